/**
 * The program of an engine: a process of its own, which opens databases for one call after the other. SQLite cannot be
 * interrupted from within Node, and a thread cannot be ended while it computes in C: a process can.
 */
import { setImmediate } from 'node:timers/promises';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';

import { wornBytes } from '../limits.ts';
import { Connections, type Territory } from './connections.ts';
import type { Desk } from './desk.ts';
import { codes, holdersOf, inWords, isSqliteError } from './failures.ts';
import { receiver, send } from './frames.ts';
import { perform, type Asked, type Kind } from './work.ts';

export interface Order {
  readonly kind: Kind;
  readonly args: Asked<Kind>;
}

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
const report = (message: Report) => send(1, message);
// What is made is read by other programs of the user, whatever the fleet does with its own files.
process.umask(0o022);
let isStopped = false;
let toldAtMs = 0;
let beganAtMs = 0;

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

async function answer(order: Order): Promise<void> {
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
    const held = isSqliteError(thrown) && (thrown.errcode & 0xff) === codes.busy && 'target' in order.args;
    const holders = held ? holdersOf(order.args.target.path) : [];
    const isUndone = desk.transaction?.database.isTransaction === false;
    const failure = {
      code,
      message: isUndone ? `${message} (the whole transaction was rolled back)` : message,
      hint: holders.length > 0 ? `It is held by ${holders.slice(0, 3).join(', ')}. ${hint}` : hint,
      retryAfterMs,
    };
    report({ failure, ...state() });
  }
}

/** Looked up where an errand took long, and now and then: it costs as much as a small errand. */
let isWorn = false;
let errands = 0;

function state(): State {
  errands += 1;
  if (errands % 50 === 0 || performance.now() - beganAtMs > 5) isWorn = process.memoryUsage.rss() > wornBytes;
  return { inTransaction: desk.transaction?.database.isTransaction ?? false, isWorn };
}

// While it waits for an order, nothing else is done: it is told to stop by a signal, which it hears when it breathes.
process.on('SIGUSR2', () => {
  isStopped = true;
});
const next = receiver(0) as () => Order | undefined;
for (let order = next(); order; order = next()) {
  isStopped = false;
  toldAtMs = -Infinity;
  beganAtMs = performance.now();
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  await answer(order);
  // oxlint-disable-next-line no-await-in-loop -- what was collected as garbage is given back in a turn of the loop
  await setImmediate();
}
// The service is gone, or needs this engine no longer: what is open is closed in good order.
desk.connections.closeAll();
process.exit(0);
