/** The thread of `checkpoints.ts`. */
import { workerData } from 'node:worker_threads';

import { openAgain } from '../database.ts';
import { serveLink } from '../link.ts';

const mostTimes = 5;

const file = workerData as string;

const handlers = {
  /** Moves what was written meanwhile as well, which is less each time: when nothing is left, SQLite begins the log anew. */
  checkpoint(): void {
    const database = openAgain(file);
    try {
      for (let times = 0; times < mostTimes; times += 1) {
        database.pragma('wal_checkpoint(PASSIVE)');
        const [state] = database.pragma('wal_checkpoint(NOOP)') as [{ log: number; checkpointed: number }];
        if (state.log === state.checkpointed) return;
      }
    } finally {
      database.close();
    }
  },
};

export type CheckpointHandlers = typeof handlers;

serveLink(handlers, () => {});
