/**
 * Who changes the store next. A small change is made at once, where its call is. One that takes longer is made by a thread with
 * a connection of its own: meanwhile all others read, and see the state before it. One change is made at a time; those that
 * wait are taken from each caller in turn, so that many of one caller do not hold up the others. A large change gives way when
 * another caller comes with a small one: it is undone and begins anew after a rest. Each time it rests longer, and at last it
 * is made to its end.
 */
import { Worker } from 'node:worker_threads';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import type { Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurn } from '#runtime/turns.ts';

import type { ArgsOf, EditName, ValueOf } from './edits.ts';
import { TooLarge, type Author, type Bounds } from './journal.ts';
import { maxArgumentsLengthHere, maxChangeCost, maxChangeCostHere } from './limits.ts';

/** One step of building the indexes anew: of nobody's doing. */
export const rebuilding = 'rebuild';

export interface Job<Name extends EditName = EditName> {
  readonly name: Name;
  readonly args: ArgsOf<Name>;
  readonly author: Author;
}

export interface Done<Value = unknown> {
  readonly value: Value;
  /** The names of the entities that were touched. */
  readonly touched: readonly string[];
}

/** What the thread is given when it starts. */
export interface ThreadData {
  readonly file: string;
  readonly quota: Quota;
  /** Of the change that is being made: becomes 1 when its call is stopped, and what it has cost so far. */
  readonly shared: Int32Array;
}
export const stopPlace = 0;
export const spentPlace = 1;

/** What the thread answers; errors do not pass between threads as they are. */
export type ThreadAnswer =
  | { readonly done: Done }
  | {
      readonly failure: {
        readonly code: Exclude<ErrorCode, 'internal'>;
        readonly message: string;
        readonly hint: string | undefined;
      };
    }
  | { readonly bug: Error };

/** A thread costs some 25 MB; it ends when it has had nothing to do for so long. */
const idleMs = 30_000;
/** How often a client hears how far it is: in rows, about. */
const progressMs = 500;

type Waiter = Pick<Call, 'caller' | 'operation' | 'signal' | 'progress'>;

const nobodyWith = (signal: AbortSignal): Waiter => ({
  caller: '',
  operation: '',
  signal,
  progress: () => {},
});

interface Waiting {
  readonly call: Waiter;
  /** @param mayGiveWay whether it may be undone for others. @returns `undefined` when it was. */
  make(mayGiveWay: boolean): Done | Promise<Done | undefined>;
  readonly resolve: (done: Done) => void;
  readonly reject: (reason: unknown) => void;
  timesGivenWay: number;
  /** Until it begins anew. */
  rest?: NodeJS.Timeout | undefined;
}

/** In all it rests for 1.3 s. */
const mostTimesGivenWay = 7;
const firstRestMs = 10;

type Maker = (job: Job, bounds: Bounds) => Done;

/** @param here makes a change in this thread. */
export function openChanges(file: string, quota: Quota, here: Maker) {
  // Nobody else can open such a one.
  const hasThread = file !== ':memory:';
  const thread = openThread(file, quota);
  const lines = new Map<string, Waiting[]>();
  let isAtWork = false;
  let servedLast: string | undefined;

  /** From each caller in turn; not from one whose change rests. */
  function takeNext(): Waiting | undefined {
    const ready = [...lines].filter(([, [first]]) => first?.rest === undefined);
    const [caller, line] = ready.find(([caller]) => caller !== servedLast) ?? ready[0] ?? [];
    if (caller === undefined || !line) return undefined;
    const next = line.shift();
    lines.delete(caller);
    if (line.length > 0) lines.set(caller, line);
    servedLast = caller;
    return next;
  }

  async function serveAll(): Promise<void> {
    isAtWork = true;
    for (let next = takeNext(); next; next = takeNext()) {
      try {
        next.call.signal.throwIfAborted();
        const done = await next.make(next.timesGivenWay < mostTimesGivenWay);
        if (done) next.resolve(done);
        else rest(next);
      } catch (error) {
        next.reject(error);
      }
    }
    isAtWork = false;
  }

  function rest(waiting: Waiting): void {
    const { caller } = waiting.call;
    lines.set(caller, [waiting, ...(lines.get(caller) ?? [])]);
    waiting.rest = setTimeout(() => wake(waiting), firstRestMs * 2 ** waiting.timesGivenWay);
    waiting.timesGivenWay += 1;
  }

  function wake(waiting: Waiting): void {
    clearTimeout(waiting.rest);
    waiting.rest = undefined;
    if (!isAtWork) void serveAll();
  }

  function attempt(job: Job): Done | undefined {
    try {
      return here(job, { most: hasThread ? maxChangeCostHere : maxChangeCost });
    } catch (error) {
      if (hasThread && error instanceof TooLarge) return undefined;
      throw error;
    }
  }

  async function inLine(call: Waiter, make: Waiting['make']): Promise<Done> {
    return new Promise((resolve, reject) => {
      const line = lines.get(call.caller) ?? [];
      line.push({ call, make, resolve, reject, timesGivenWay: 0 });
      lines.set(call.caller, line);
      if (!isAtWork) void serveAll();
    });
  }

  return {
    /** @throws what the edit throws; ToolError too_large, unavailable; the reason for which the call was stopped. */
    make<Name extends EditName>(
      job: Job<Name>,
      call: Call,
    ): Done<ValueOf<Name>> | Promise<Done<ValueOf<Name>>> {
      type Made = Done<ValueOf<Name>>;
      const isLarge = hasThread && lengthOf(job.args) > maxArgumentsLengthHere;
      const done = isLarge || isAtWork ? undefined : attempt(job);
      if (done) return done as Made;
      const isTried = isLarge || !isAtWork;
      if (!isTried) thread.giveWay(call.caller);
      let told = 0;
      const progress = (spent: number) => {
        if (spent > told) call.progress((told = spent));
      };
      return inLine(call, async (mayGiveWay) => {
        const small = isTried ? undefined : await inTurn(call, () => attempt(job));
        return small ?? thread.make(job, { call, progress, mayGiveWay });
      }) as Promise<Made>;
    },

    /** One step of building the indexes anew, when it is its turn. @returns the share that is done; `undefined` for all. */
    async rebuild(signal: AbortSignal): Promise<number | undefined> {
      const nobody = nobodyWith(signal);
      const { value } = await inLine(nobody, async () => thread.make(rebuilding, { call: nobody }));
      return value as number | undefined;
    },

    /** A write of the service itself, here, when it is its turn. */
    async own<Value>(write: () => Value, signal: AbortSignal): Promise<Value> {
      const { value } = await inLine(nobodyWith(signal), () => ({
        value: write(),
        touched: [],
      }));
      return value as Value;
    },

    /** Whether the lock of the database may be held by the thread. */
    get isAtWork() {
      return isAtWork;
    },

    async close() {
      const closed = thread.close();
      for (const [first] of lines.values()) if (first?.rest) wake(first);
      await closed;
    },
  };
}

/** About how long a text it is, as far as that matters; a value counts as some characters. */
function lengthOf(value: unknown, most = maxArgumentsLengthHere): number {
  if (typeof value === 'string') return value.length + charactersPerValue;
  if (typeof value !== 'object' || value === null) return charactersPerValue;
  let length = charactersPerValue;
  for (const inner of Object.values(value)) {
    length += lengthOf(inner, most - length);
    if (length > most) break;
  }
  return length;
}
const charactersPerValue = 20;

interface Making {
  readonly call: Pick<Waiter, 'caller' | 'signal'>;
  /** Told how much is spent, twice a second. */
  readonly progress?: (spent: number) => void;
  readonly mayGiveWay?: boolean;
}

/** Started with the first large change. */
function openThread(file: string, quota: Quota) {
  const shared = new Int32Array(new SharedArrayBuffer(8));
  let worker: Worker | undefined;
  let answered: PromiseWithResolvers<ThreadAnswer> | undefined;
  let idle: NodeJS.Timeout | undefined;
  let isClosed = false;
  /** The caller whose change is being made and may give way. */
  let givesWay: string | undefined;
  let isGivingWay = false;

  function start(): Worker {
    const workerData: ThreadData = { file, quota, shared };
    const started = new Worker(new URL('change-thread.ts', import.meta.url), { workerData });
    const ended = (cause?: unknown) => {
      if (worker !== started) return;
      worker = undefined;
      const hint = 'Nothing was changed: try again.';
      answered?.reject(new ToolError('unavailable', 'The change was interrupted.', { hint, cause }));
    };
    started.on('message', (answer: ThreadAnswer) => answered?.resolve(answer));
    started.once('error', ended);
    started.once('exit', () => ended());
    return started;
  }

  async function end(): Promise<void> {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  }

  return {
    /** Undoes what is being made for another caller, if it may be. */
    giveWay(caller: string): void {
      if (givesWay === undefined || givesWay === caller) return;
      isGivingWay = true;
      Atomics.store(shared, stopPlace, 1);
    },

    /** @returns `undefined` when it gave way. */
    async make(
      job: Job | typeof rebuilding,
      { call: { caller, signal }, progress, mayGiveWay = false }: Making,
    ): Promise<Done | undefined> {
      if (isClosed) throw new ToolError('unavailable', 'The service is stopping.');
      clearTimeout(idle);
      const working = (worker ??= start());
      answered = Promise.withResolvers();
      shared.fill(0);
      givesWay = mayGiveWay ? caller : undefined;
      isGivingWay = false;
      const stopIt = () => void Atomics.store(shared, stopPlace, 1);
      const telling = setInterval(() => progress?.(Atomics.load(shared, spentPlace)), progressMs);
      signal.addEventListener('abort', stopIt);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      working.postMessage(job);
      try {
        const answer = await answered.promise;
        if ('done' in answer) return answer.done;
        if ('bug' in answer) throw answer.bug;
        const { code, message, hint } = answer.failure;
        if (isGivingWay && code === 'cancelled' && !signal.aborted) return undefined;
        throw new ToolError(code, message, hint === undefined ? {} : { hint });
      } finally {
        givesWay = undefined;
        signal.removeEventListener('abort', stopIt);
        clearInterval(telling);
        idle = setTimeout(() => void end(), idleMs).unref();
      }
    },

    /** What is being made then is undone. */
    async close(): Promise<void> {
      isClosed = true;
      answered?.reject(new ToolError('unavailable', 'The service is stopping.'));
      await end();
    },
  };
}
