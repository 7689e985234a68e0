/** The thread of `checkpoints.ts`. */
import { workerData } from 'node:worker_threads';

import { openAgain } from '../database.ts';
import { serveLink } from '../link.ts';
import { states, type CheckpointPlace } from './checkpoints.ts';

const mostTimes = 5;

const { file, state } = workerData as CheckpointPlace;

/** Moves what was written meanwhile as well, which is less each time: when nothing is left, SQLite begins the log anew. */
function moveLog(): void {
  const database = openAgain(file);
  try {
    for (let times = 0; times < mostTimes; times += 1) {
      database.pragma('wal_checkpoint(PASSIVE)');
      const [seen] = database.pragma('wal_checkpoint(NOOP)') as [{ log: number; checkpointed: number }];
      if (seen.log === seen.checkpointed) return;
    }
  } finally {
    database.close();
  }
}

serveLink(
  {
    checkpoint(): void {
      if (Atomics.compareExchange(state, 0, states.free, states.atWork) !== states.free) return;
      try {
        moveLog();
      } finally {
        Atomics.store(state, 0, states.free);
        Atomics.notify(state, 0);
      }
    },
  },
  () => {},
);
