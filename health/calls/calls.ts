/**
 * What clients call, as each process counts it: `/metrics` of one after the other, each every ten seconds, apart from the polls. What
 * was counted while health did not look counts for nothing; of a process that ends, the last seconds are lost.
 */
import type { Log } from '#runtime/account/log.ts';
import { Link } from '#runtime/link.ts';

import type { CallHandlers } from './calls-thread.ts';
import { binCount, binsWithin, percentileMs, totalOf, type Bins } from './percentile.ts';
import { changeBetween, type Change, type Reading } from './reading.ts';
import { CallStore, type ProcessSums, type Sums } from './store.ts';

interface Target {
  readonly name: string;
  readonly port: number;
}

export interface CallFigures {
  readonly calls: number;
  readonly errors: number;
  readonly errorsByKind: Readonly<Record<string, number>>;
  /** Text of all answers together. */
  readonly answerBytes: number;
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
}

export interface ProcessFigures extends CallFigures {
  readonly refused: number;
  readonly restarts: number;
}

export interface ToolFigures extends CallFigures {
  readonly name: string;
  readonly tool: string;
}

/** How a process was at the last look. */
export interface Vitals {
  readonly version: string | null;
  readonly startedAtMs: number;
  readonly memoryBytes: number;
}

interface Options {
  readonly targets: readonly Target[];
  readonly file: string;
  readonly read: (target: Target, signal: AbortSignal) => Promise<Reading>;
  readonly log: Log;
  readonly now: () => number;
  readonly intervalMs?: number;
}

/** By process, and by process and tool. */
type ErrorKinds = ReadonlyMap<string, Readonly<Record<string, number>>>;

const deadlineMs = 5_000;
/** When health stops, so long is waited for a disk that does not answer. */
const stopMs = 2_000;

export class Calls implements AsyncDisposable {
  readonly #options: Options;
  readonly #store: CallStore;
  readonly #startedAtMs: number;
  readonly #stop = new AbortController();
  readonly #last = new Map<string, Reading>();
  readonly #vitals = new Map<string, Vitals>();
  readonly #reading = new Map<string, Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #thread: Link<CallHandlers>;
  #next = 0;
  #writable = true;

  constructor(options: Options) {
    this.#options = options;
    this.#store = new CallStore(options.file);
    this.#thread = this.#open();
    this.#startedAtMs = options.now();
    const { targets, intervalMs = 10_000 } = options;
    // One at a time, evenly over the interval: neither they nor we have ten seconds' work at once.
    this.#timer = setInterval(
      () => {
        const target = targets[this.#next % targets.length];
        this.#next += 1;
        if (target) void this.#look(target);
      },
      Math.max(1, intervalMs / Math.max(1, targets.length)),
    );
  }

  /** Looks at all of them now. */
  async sweep(): Promise<void> {
    await Promise.all(this.#options.targets.map(async (target) => this.#look(target)));
  }

  /** Calls that ended within so many seconds, of all: what a latency objective counts. A threshold between two buckets counts as the lower one. */
  within(
    name: string,
    fromMs: number,
    toMs: number,
    thresholdSeconds: number,
  ): { good: number; total: number } {
    const { bins } = this.#store.process(name, fromMs, toMs, this.#options.now());
    return { good: totalOf(bins.slice(0, binsWithin(thresholdSeconds))), total: totalOf(bins) };
  }

  /** Of the newest so many milliseconds: of whole minutes up to six hours, of whole hours beyond. */
  summary(name: string, windowMs: number): ProcessFigures {
    return this.#summary(name, windowMs, this.#errors(windowMs));
  }

  summaries(names: readonly string[], windowMs: number): ReadonlyMap<string, ProcessFigures> {
    const kinds = this.#errors(windowMs);
    return new Map(names.map((name) => [name, this.#summary(name, windowMs, kinds)]));
  }

  /** Of several processes as if they were one. */
  together(names: readonly string[], windowMs: number): CallFigures {
    const { now } = this.#options;
    const sums = names.map((name) => this.#store.process(name, now() - windowMs, now() + 1, now()));
    const bins = Array.from({ length: binCount }, (_, bin) =>
      sums.reduce((all, each) => all + (each.bins[bin] ?? 0), 0),
    );
    const kinds: Record<string, number> = {};
    const known = this.#errors(windowMs);
    for (const [kind, count] of names.flatMap((name) => Object.entries(known.get(name) ?? {}))) {
      kinds[kind] = (kinds[kind] ?? 0) + count;
    }
    const sum = (key: 'errors' | 'answerBytes') => sums.reduce((all, each) => all + each[key], 0);
    return figuresOf({ errors: sum('errors'), answerBytes: sum('answerBytes'), bins }, kinds);
  }

  /** Of all tools that were called in it. */
  tools(windowMs: number): readonly ToolFigures[] {
    const { now } = this.#options;
    const kinds = this.#errors(windowMs);
    return this.#store
      .tools(now() - windowMs, now() + 1, now())
      .map(({ name, tool, ...sums }) => ({ name, tool, ...figuresOf(sums, kinds.get(`${name} ${tool}`)) }));
  }

  /** For a chart, oldest first; the last cell is not over yet. */
  cells(name: string, cells: number, cellMs: number): readonly (ProcessSums | null)[] {
    return this.#store.cells(name, cells, cellMs, this.#options.now());
  }

  /** How often each process was seen to have been started again. */
  restarts(windowMs: number): ReadonlyMap<string, number> {
    const { now } = this.#options;
    return this.#store.restarts(now() - windowMs, now() + 1, now());
  }

  /** Calls of these together and their errors, as `cells`. */
  traffic(
    names: readonly string[],
    cells: number,
    cellMs: number,
  ): { calls: (number | null)[]; errors: (number | null)[] } {
    return this.#store.traffic(names, cells, cellMs, this.#options.now());
  }

  /** `undefined` while it does not answer. */
  vitals(name: string): Vitals | undefined {
    return this.#vitals.get(name);
  }

  /** What a person should look at. */
  get troubles(): readonly string[] {
    return this.#writable ? [] : ['what processes count cannot be written: see the log of health'];
  }

  #summary(name: string, windowMs: number, kinds: ErrorKinds): ProcessFigures {
    const { now } = this.#options;
    const sums = this.#store.process(name, now() - windowMs, now() + 1, now());
    const { refused, restarts } = sums;
    return { ...figuresOf(sums, kinds.get(name)), refused, restarts };
  }

  #errors(windowMs: number): ErrorKinds {
    const { now } = this.#options;
    const found = new Map<string, Record<string, number>>();
    for (const { name, tool, kind, calls } of this.#store.errors(now() - windowMs, now() + 1, now())) {
      for (const key of new Set([name, `${name} ${tool}`])) {
        const kinds = found.get(key) ?? {};
        kinds[kind] = (kinds[kind] ?? 0) + calls;
        found.set(key, kinds);
      }
    }
    return found;
  }

  /** One look at a process at a time: what hangs is not asked again until it has come to its end. */
  async #look(target: Target): Promise<void> {
    const running = this.#reading.get(target.name);
    if (running) return running;
    const look = this.#read(target).finally(() => this.#reading.delete(target.name));
    this.#reading.set(target.name, look);
    return look;
  }

  async #read(target: Target): Promise<void> {
    const { read } = this.#options;
    const { name } = target;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(deadlineMs)]);
    let reading: Reading;
    try {
      reading = await read(target, signal);
    } catch {
      // Whether it is down is for the polls to say.
      this.#vitals.delete(name);
      return;
    }
    if (this.#stop.signal.aborted) return;
    const { version, startedAtMs, memoryBytes } = reading;
    this.#vitals.set(name, { version, startedAtMs, memoryBytes });
    const change = changeBetween(this.#last.get(name), reading, this.#startedAtMs);
    const seen = this.#last.has(name) ? undefined : this.#store.startedAtMs(name);
    const restarted = change.restarted || (seen !== undefined && seen !== startedAtMs);
    if (await this.#write(name, { ...change, restarted })) this.#last.set(name, reading);
  }

  /** A full disk must not end the looking; what could not be written comes with the next look. */
  async #write(name: string, change: Change): Promise<boolean> {
    try {
      if (this.#thread.gone) this.#thread = this.#open();
      await this.#thread.ask('record', { name, change, atMs: this.#options.now() });
      this.#writable = true;
    } catch (error) {
      if (this.#writable) this.#options.log.error('calls_not_written', { error });
      this.#writable = false;
    }
    return this.#writable;
  }

  #open(): Link<CallHandlers> {
    return new Link(new URL('calls-thread.ts', import.meta.url), { file: this.#options.file }, () => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    const late = new Promise<void>((done) => {
      setTimeout(done, stopMs).unref();
    });
    await Promise.race([Promise.all(this.#reading.values()), late]);
    await Promise.race([this.#thread[Symbol.asyncDispose](), late]);
    this.#store[Symbol.dispose]();
  }
}

function figuresOf(
  { errors, answerBytes, bins }: Sums,
  kinds: Readonly<Record<string, number>> = {},
): CallFigures {
  return { calls: totalOf(bins), errors, errorsByKind: kinds, answerBytes, ...percentiles(bins) };
}

export function percentiles(bins: Bins): Pick<CallFigures, 'p50Ms' | 'p95Ms' | 'p99Ms'> {
  const at = (share: number) => {
    const ms = percentileMs(bins, share);
    return ms === null ? null : Math.round(ms * 100) / 100;
  };
  return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}
