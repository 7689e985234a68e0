/** The thread that writes what was counted: whoever polls and answers waits for no disk. */
import { workerData } from 'node:worker_threads';

import { serveLink } from '#runtime/link.ts';

import type { Change } from './reading.ts';
import { CallStore } from './store.ts';

const store = new CallStore((workerData as { readonly file: string }).file, { isOpen: true });

const handlers = {
  record({
    name,
    change,
    atMs,
  }: {
    readonly name: string;
    readonly change: Change;
    readonly atMs: number;
  }): void {
    store.record(name, change, atMs);
  },
};
export type CallHandlers = typeof handlers;

serveLink(handlers, () => store[Symbol.dispose]());
