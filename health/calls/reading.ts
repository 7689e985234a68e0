/** What a process has counted since its start, out of its `/metrics`, and what it counted between two looks. Pure. */
import { durationBuckets } from '#runtime/account/metrics.ts';

import { figureIn, type Figure } from './exposition.ts';
import { binCount } from './percentile.ts';

/** Calls of one tool that came to one end. Of a name that the process does not know, `tool` is empty. */
export interface Series {
  readonly tool: string;
  /** Empty for calls that went well. */
  readonly error: string;
  readonly bins: readonly number[];
}

export interface Reading {
  /** Tells one start of the process from the next. */
  readonly startedAtMs: number;
  readonly version: string | null;
  readonly memoryBytes: number;
  readonly cpuMs: number;
  readonly refused: number;
  readonly series: ReadonlyMap<string, Series>;
  /** Of the answers of each tool. */
  readonly answerBytes: ReadonlyMap<string, number>;
}

/** What came about since the last look. */
export interface Change extends Omit<Reading, 'series'> {
  readonly restarted: boolean;
  readonly series: readonly Series[];
}

/** Of one process; what is beyond goes to `other`, so that no process fills the disk with names. */
const mostTools = 400;
const mostErrors = 40;
export const other = '(other)';
const nameForm = /^[\w./-]{1,128}$/;

const binOf = new Map([...durationBuckets.map(String), '+Inf'].map((bound, index) => [bound, index]));

/** Takes lines as they come. */
export class ReadingBuilder {
  readonly #name: string;
  readonly #cumulative = new Map<string, { readonly tool: string; readonly error: string; bins: number[] }>();
  readonly #tools = new Set<string>();
  readonly #errors = new Set<string>();
  #startedAtMs: number | undefined;
  #version: string | null = null;
  #memoryBytes = 0;
  #cpuMs = 0;
  readonly #answerBytes = new Map<string, number>();
  #refused = 0;

  /** Lines of the process of this name count, and no others. */
  constructor(name: string) {
    this.#name = name;
  }

  take(line: string): void {
    if (line.startsWith('mcp_server_operation_duration_seconds_bucket{')) {
      const figure = figureIn(line);
      if (figure && this.#isOurs(figure) && isCount(figure.value)) this.#count(figure);
    } else if (
      /^(?:process_|flotilla_(?:build_info|requests_refused_total|answer_bytes_total)\{)/.test(line)
    ) {
      const figure = figureIn(line);
      if (figure && this.#isOurs(figure) && figure.value >= 0) this.#note(figure);
    }
  }

  /** @returns `undefined` where the lines were of another program. */
  done(): Reading | undefined {
    if (this.#startedAtMs === undefined) return undefined;
    const series = new Map<string, Series>();
    for (const [key, { tool, error, bins }] of this.#cumulative) {
      // A count up to a bound holds those below it, also where a bound is missing.
      let before = 0;
      const single = bins.map((upTo) => {
        const calls = Math.max(0, upTo - before);
        before = Math.max(before, upTo);
        return calls;
      });
      series.set(key, { tool, error, bins: single });
    }
    return {
      startedAtMs: this.#startedAtMs,
      version: this.#version,
      memoryBytes: this.#memoryBytes,
      cpuMs: this.#cpuMs,
      refused: this.#refused,
      series,
      answerBytes: this.#answerBytes,
    };
  }

  #isOurs({ labels }: Figure): boolean {
    return labels.get('service') === this.#name;
  }

  #note({ name, labels, value }: Figure): void {
    if (name === 'process_start_time_seconds') this.#startedAtMs = Math.round(value * 1_000);
    if (name === 'process_resident_memory_bytes') this.#memoryBytes = Math.round(value);
    if (name === 'process_cpu_seconds_total') this.#cpuMs = Math.round(value * 1_000);
    if (name === 'flotilla_requests_refused_total') this.#refused += Math.round(value);
    if (name === 'flotilla_answer_bytes_total' && isCount(value)) {
      const tool = known(labels.get('gen_ai_tool_name') ?? '', this.#tools, mostTools);
      this.#answerBytes.set(tool, (this.#answerBytes.get(tool) ?? 0) + value);
    }
    if (name === 'flotilla_build_info')
      this.#version = /^[\w.+-]{1,40}$/.exec(labels.get('version') ?? '')?.[0] ?? null;
  }

  #count({ labels, value }: Figure): void {
    if (labels.get('mcp_method_name') !== 'tools/call') return;
    const bin = binOf.get(labels.get('le') ?? '');
    if (bin === undefined) return;
    const tool = known(labels.get('gen_ai_tool_name') ?? '', this.#tools, mostTools);
    const error = known(labels.get('error_type') ?? '', this.#errors, mostErrors);
    const key = `${tool} ${error}`;
    let series = this.#cumulative.get(key);
    if (!series) this.#cumulative.set(key, (series = { tool, error, bins: Array<number>(binCount).fill(0) }));
    // Revisions of the protocol are counted apart, and are one here.
    series.bins[bin] = (series.bins[bin] ?? 0) + value;
  }
}

const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;

function known(name: string, names: Set<string>, most: number): string {
  if (name === '' || names.has(name)) return name;
  if (names.size >= most || !nameForm.test(name)) return other;
  names.add(name);
  return name;
}

const grown = (now: number, then = 0) => (now < then ? now : now - then);

/**
 * Counters only grow, until their process starts again: then all that it says is new. One that fell without a new start is that of a
 * service that was started again within a process. Of a process that nobody looked at before, what it counted before `watchedFromMs`
 * is not known to be new, and counts for nothing.
 */
export function changeBetween(before: Reading | undefined, after: Reading, watchedFromMs: number): Change {
  const restarted = before !== undefined && before.startedAtMs !== after.startedAtMs;
  const isNew = restarted || (before === undefined && after.startedAtMs >= watchedFromMs);
  if (before === undefined && !isNew)
    return { ...after, restarted, cpuMs: 0, refused: 0, series: [], answerBytes: new Map() };
  const base = isNew ? undefined : before;
  const series: Series[] = [];
  for (const [key, { tool, error, bins }] of after.series) {
    const then = base?.series.get(key)?.bins ?? [];
    const fell = bins.some((calls, index) => calls < (then[index] ?? 0));
    const since = fell ? bins : bins.map((calls, index) => calls - (then[index] ?? 0));
    if (since.some((calls) => calls > 0)) series.push({ tool, error, bins: since });
  }
  const answerBytes = new Map(
    [...after.answerBytes].map(([tool, bytes]) => [tool, grown(bytes, base?.answerBytes.get(tool))]),
  );
  return {
    ...after,
    restarted,
    cpuMs: grown(after.cpuMs, base?.cpuMs),
    refused: grown(after.refused, base?.refused),
    series,
    answerBytes,
  };
}
