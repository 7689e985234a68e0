/**
 * The program of an engine: a process of its own, which opens databases for one call after the other. SQLite cannot be
 * interrupted from within Node, and a thread cannot be ended while it computes in C: a process can.
 */
import { setImmediate } from 'node:timers/promises';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';

import { wornBytes } from '../limits.ts';
import { Connections, type Territory } from './connections.ts';
import type { Desk } from './desk.ts';

import { inWords } from './failures.ts';
import { frameOf, unframed } from './frames.ts';
import { perform, type Asked, type Kind } from './work.ts';

export type Order = { readonly kind: Kind; readonly args: Asked<Kind> } | { readonly stop: true };

export type Report =
  | { readonly done: number; readonly total: number | undefined; readonly message: string | undefined }
  | { readonly ending: true }
  | ({ readonly outcome: unknown } & State)
  | ({
      readonly failure: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint?: string | undefined;
        readonly retryAfterMs?: number | undefined;
      };
    } & State);

/** How an errand leaves the engine. */
interface State {
  readonly inTransaction: boolean;
  /** It holds so much memory that the next errand might not have enough: what was freed is not always given back. */
  readonly isWorn: boolean;
}

const progressMs = 250;

const territory = JSON.parse(process.argv[2] ?? '{}') as Territory;
const report = (message: Report) => process.stdout.write(frameOf(message));
// What is made is read by other programs of the user, whatever the fleet does with its own files.
process.umask(0o022);
let isStopped = false;
let toldAtMs = 0;

const desk: Desk = {
  connections: new Connections(territory),
  transaction: undefined,
  progress(done, total, message) {
    const nowMs = performance.now();
    if (nowMs - toldAtMs < progressMs) return;
    toldAtMs = nowMs;
    report({ done, total, message });
  },
  ending: () => report({ ending: true }),
  async breathe() {
    await setImmediate();
    if (isStopped) throw new ToolError('cancelled', 'The call was cancelled.');
  },
};

async function answer(order: Exclude<Order, { stop: true }>): Promise<void> {
  try {
    const outcome = await perform(desk, order.kind, order.args);
    report({ outcome, ...state() });
  } catch (thrown) {
    const error = inWords(thrown);
    const { code, message, hint, retryAfterMs } =
      error instanceof ToolError
        ? error
        : {
            code: 'internal' as const,
            message: String((error as Error)?.stack ?? error),
            hint: undefined,
            retryAfterMs: undefined,
          };
    report({ failure: { code, message, hint, retryAfterMs }, ...state() });
  }
}

const state = (): State => ({
  inTransaction: desk.transaction?.database.isTransaction ?? false,
  isWorn: process.memoryUsage.rss() > wornBytes,
});

let last = Promise.resolve();

/** One after the other. */
async function take(before: Promise<void>, order: Exclude<Order, { stop: true }>): Promise<void> {
  await before;
  isStopped = false;
  toldAtMs = 0;
  await answer(order);
}

process.stdin.on(
  'data',
  unframed((message) => {
    const order = message as Order;
    if ('stop' in order) isStopped = true;
    else last = take(last, order);
  }),
);
// The service is gone, or needs this engine no longer: what is open is closed in good order.
process.stdin.on('end', () => {
  isStopped = true;
  void leave();
});

async function leave(): Promise<void> {
  await last;
  desk.connections.closeAll();
  process.exit(0);
}
