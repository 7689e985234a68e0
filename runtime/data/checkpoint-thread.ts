/** The thread of `checkpoints.ts`. */
import { workerData } from 'node:worker_threads';

import { openAgain, type Database } from '../database.ts';
import { serveLink } from '../link.ts';
import { states, type CheckpointPlace } from './checkpoints.ts';

const mostTimes = 5;

const { file, state } = workerData as CheckpointPlace;

/** Moves what was written meanwhile as well, which is less each time: when nothing is left, SQLite begins the log anew. */
function moveLog(database: Database): void {
  for (let times = 0; times < mostTimes; times += 1) {
    database.pragma('wal_checkpoint(PASSIVE)');
    const [seen] = database.pragma('wal_checkpoint(NOOP)') as [{ log: number; checkpointed: number }];
    if (seen.log === seen.checkpointed) return;
  }
}

/** Never keeps a commit waiting for longer than it takes: where somebody is at the log, it stays as it is. */
function cutLog(database: Database): void {
  database.pragma('busy_timeout = 0');
  database.pragma('wal_checkpoint(TRUNCATE)');
}

/** Nothing where the database is being closed. */
function atWork(act: (database: Database) => void): void {
  if (Atomics.compareExchange(state, 0, states.free, states.atWork) !== states.free) return;
  try {
    const database = openAgain(file);
    try {
      act(database);
    } finally {
      database.close();
    }
  } finally {
    Atomics.store(state, 0, states.free);
    Atomics.notify(state, 0);
  }
}

serveLink({ checkpoint: () => atWork(moveLog), rest: () => atWork(cutLog) }, () => {});
