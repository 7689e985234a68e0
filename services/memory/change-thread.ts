/** The thread of changes.ts: makes one large change after the other, over a connection of its own. */
import { parentPort, workerData } from 'node:worker_threads';

import { openAgain } from '#runtime/database.ts';
import { cancelled, ToolError } from '#runtime/errors.ts';

import {
  rebuilding,
  spentPlace,
  stopPlace,
  type Job,
  type ThreadAnswer,
  type ThreadData,
} from './changes.ts';
import { maxChangeCost } from './limits.ts';
import { storesOf } from './store.ts';

const { file, quota, shared } = workerData as ThreadData;
const stores = storesOf(openAgain(file), quota);
const bounds = {
  most: maxChangeCost,
  goOn(spent: number) {
    Atomics.store(shared, spentPlace, spent);
    if (Atomics.load(shared, stopPlace) === 1) throw cancelled();
  },
};

type Order = Job | typeof rebuilding;

function answerTo(job: Order): ThreadAnswer {
  try {
    if (job === rebuilding) return { done: { value: stores.rebuild(), touched: [] } };
    return { done: stores.make(job, bounds) };
  } catch (error) {
    if (error instanceof ToolError && error.code !== 'internal') {
      const { code, message, hint } = error;
      return { failure: { code, message, hint } };
    }
    return { bug: error instanceof Error ? error : new Error(String(error)) };
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.on('message', (job: Order) => parentPort?.postMessage(answerTo(job)));
