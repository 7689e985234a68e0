/**
 * The heavy calls of one token, in a thread of their own: making them must not delay what is measured, so answers are received, and
 * only short ones are looked into; and it leaves the two cores to the service, as a client on another host would. Ends with a message.
 */
import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';

import type { HeavyOrder, HeavyTraffic } from './fair.ts';
import { toolCall } from './requests.ts';
import type { TrafficRequest } from './traffic.ts';
import { workloadOf } from './workload-server.ts';

/** Calls that are sent at once. */
const connections = 16;
/** After a call that was told to come again. */
const pauseMs = 100;
/** A refusal is shorter. */
const longestLookedIntoChars = 10_000;

const { name, url, token, state } = workerData as HeavyOrder;
const { heavy } = await workloadOf(name);
// Of this thread alone, on Linux.
setPriority(10);
const agent = new Agent({ keepAlive: true });
const over = new AbortController();
let done = 0;
let refused = 0;
let number = 0;

async function keepCalling(): Promise<void> {
  while (!over.signal.aborted) {
    number += 1;
    const call = heavy[number % heavy.length];
    if (!call) return;
    if (await isRefused(toolCall(token, call.tool, call.arguments(number, state)))) {
      refused += 1;
      await sleep(pauseMs);
    } else done += 1;
  }
}

/** Whether the service says to come again. @throws Error for an answer that is none, and for a call that the service would never take. */
async function isRefused({ headers, body }: TrafficRequest): Promise<boolean> {
  const sent = request(`${url}/mcp`, { method: 'POST', agent, headers }).end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let kept = '';
  for await (const chunk of response) if (kept.length < longestLookedIntoChars) kept += chunk;
  if (response.statusCode !== 200) throw new Error(`${url} answered ${response.statusCode}: ${kept}`);
  if (kept.length >= longestLookedIntoChars) return false;
  if (kept.includes('Invalid arguments for ')) throw new Error(`A heavy call is none: ${kept}`);
  return kept.includes('"code":"unavailable"');
}

const all = Promise.all(Array.from({ length: connections }, keepCalling));
if (parentPort) await Promise.race([once(parentPort, 'message'), all]);
over.abort();
await all;
agent.destroy();
const traffic: HeavyTraffic = { done, refused };
parentPort?.postMessage(traffic); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.close();
