/** The heavy calls of one token, in a thread of their own: making them must not delay what is measured. Ends with a message. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';

import type { HeavyOrder, HeavyTraffic } from './fair.ts';
import { ask, toolCall } from './requests.ts';
import { workloadOf } from './workload-server.ts';

/** Calls that are sent at once. */
const connections = 16;
/** After a call that was told to come again. */
const pauseMs = 100;

const { name, url, token, state } = workerData as HeavyOrder;
const { heavy } = await workloadOf(name);
const over = new AbortController();
let done = 0;
let refused = 0;
let number = 0;

async function keepCalling(): Promise<void> {
  while (!over.signal.aborted) {
    number += 1;
    const call = heavy[number % heavy.length];
    if (!call) return;
    const { result } = await ask(url, toolCall(token, call.tool, call.arguments(number, state)));
    if (result?.['_meta']?.['dev.flotilla/error']?.code === 'unavailable') {
      refused += 1;
      await sleep(pauseMs);
    } else done += 1;
  }
}

const all = Promise.all(Array.from({ length: connections }, keepCalling));
if (parentPort) await Promise.race([once(parentPort, 'message'), all]);
over.abort();
await all;
const traffic: HeavyTraffic = { done, refused };
parentPort?.postMessage(traffic); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.close();
