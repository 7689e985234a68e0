/**
 * A service in a thread of its own: what its loop does is measured, and not what the test does meanwhile. Run as a worker, this
 * file serves; imported, it starts such a worker.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import type { AnyService } from '#runtime/service.ts';

import { loadService } from '../../scripts/load.ts';
import { serve, type Served } from './serve.ts';
import { sloppyService } from './sloppy-service.ts';

/** A stretch in which a tool held the loop. */
interface Held {
  readonly target: string;
  readonly lateMs: number;
  readonly cpuMs: number;
}

type Settings = Readonly<Record<string, string>>;
type Order = { readonly serve: Settings } | 'stop' | 'held' | 'pace';
type Place = Pick<Served, 'url' | 'token' | 'dataRoot'>;

export interface OwnThread extends AsyncDisposable {
  /** Serves anew, where warm code is. */
  readonly serve: (settings?: Settings) => Promise<Served>;
  /** What held the loop since the last time that it was asked. */
  held(): Promise<readonly Held[]>;
  /** How many times as long as usual work takes now: 1 to 4. */
  pace(): Promise<number>;
}

export function startThread(service: AnyService): OwnThread {
  const worker = new Worker(new URL(import.meta.url), { workerData: service.name });
  /** One order at a time. */
  async function ask<Answer>(order: Order): Promise<Answer> {
    const answered = once(worker, 'message') as Promise<[Answer]>;
    worker.postMessage(order); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
    return (await answered)[0];
  }
  const stop = async () => ask<void>('stop');
  return {
    async serve(settings = {}) {
      const place = await ask<Place>({ serve: settings });
      return { ...place, stop, [Symbol.asyncDispose]: stop };
    },
    held: async () => ask<readonly Held[]>('held'),
    pace: async () => ask<number>('pace'),
    async [Symbol.asyncDispose]() {
      const ended = once(worker, 'exit');
      await worker.terminate();
      await ended;
    },
  };
}

/** The work of `pace` may take so long before calls may take longer. */
const usualMs = 9;
const pageBytes = 4_096;
/** So large a block is not one that was used before, and its pages are new. */
const blockBytes = 40_000_000;
const newPages = 500;
const mostPace = 4;

/**
 * Measures what most calls do: reading and writing JSON, and taking memory, which differs most among machines. On two quiet cores of a
 * slow virtual machine it takes 17 ms (the middle of 180 measurements), 9 of them for new pages.
 */
function pace(): number {
  const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, text: `some words that stand here ${id}` }));
  const times = Array.from({ length: 3 }, () => {
    const startedAtMs = performance.now();
    JSON.parse(JSON.stringify(rows));
    const block = Buffer.alloc(blockBytes);
    for (let page = 0; page < newPages; page += 1) block[page * pageBytes] = 1;
    return performance.now() - startedAtMs;
  });
  return Math.min(Math.max(1, (times.toSorted((a, b) => a - b)[1] as number) / usualMs), mostPace);
}

async function work(port: NonNullable<typeof parentPort>): Promise<void> {
  const name = workerData as string;
  const service = name === 'sloppy' ? sloppyService().service : await loadService(name);
  const held: Held[] = [];
  const writeLog = (line: string) => {
    const { event, ...one } = JSON.parse(line) as Held & { readonly event: string };
    if (event === 'loop_held' && one.target !== '') held.push(one);
  };
  let served: Served | undefined;
  const obey = async (order: Order): Promise<unknown> => {
    if (order === 'pace') return pace();
    if (order === 'held') return held.splice(0);
    if (order === 'stop') return served?.[Symbol.asyncDispose]();
    served = await serve(service, { ...order.serve, FLOTILLA_LOG_LEVEL: 'warn' }, 0, { writeLog });
    return { url: served.url, token: served.token, dataRoot: served.dataRoot };
  };
  port.on('message', (order: Order) => {
    void obey(order).then((answer) => port.postMessage(answer));
  });
}

if (!isMainThread && parentPort && typeof workerData === 'string') await work(parentPort);
