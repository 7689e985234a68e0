/** Reads the store for a query: in turns with other callers, and no more than one call may cost. */
import { performance } from 'node:perf_hooks';

import type { Call } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import type { Level, Line } from '../store/line.ts';
import type { Filter, Order } from '../store/reader.ts';
import type { Store } from '../store/store.ts';
import type { Narrowing } from './pipeline.ts';

/** What these tools use of the store. */
export interface Analysed {
  readonly store: Pick<Store, 'scan' | 'counts' | 'sources'>;
}

/** That one call looks at, after the store has left out what it can. Ten microseconds each, for the most part. */
export const mostLines = 200_000;
/** After so long the call answers with what it has. */
const budgetMs = 10_000;

export interface Range {
  readonly sinceMs: number;
  /** Not itself within. */
  readonly untilMs: number;
}

export interface Reading {
  /** Lines that were looked at. */
  readonly looked: number;
  /** The last of them, where the call had enough or could not go on; `undefined` at the end of the range. */
  readonly last: Line | undefined;
  readonly isOutOfTime: boolean;
}

/** @param take says whether that was enough. */
export async function read(
  store: Analysed['store'],
  {
    range,
    narrowing,
    order,
    after,
    most = mostLines,
  }: {
    readonly range: Range;
    readonly narrowing: Narrowing;
    readonly order: Order;
    readonly after?: number | undefined;
    readonly most?: number;
  },
  call: Call,
  take: (line: Line) => boolean | void,
): Promise<Reading> {
  const endAtMs = performance.now() + budgetMs;
  let looked = 0;
  let last: Line | undefined;
  for await (const { lines, next } of store.scan(
    { ...range, ...filterOf(narrowing) },
    { order, after },
    call,
  )) {
    const isEnough = await inTurns((piece) => piece(), call, stepsOver(lines));
    if (isEnough) return { looked, last, isOutOfTime: false };
    if (next !== undefined && (looked >= most || performance.now() > endAtMs))
      return { looked, last, isOutOfTime: true };
    call.progress(looked, undefined, `${looked} lines`);
  }
  return { looked, last: undefined, isOutOfTime: false };

  function* stepsOver(lines: readonly Line[]): Steps<boolean> {
    for (const line of lines) {
      looked += 1;
      last = line;
      if (take(line) === true) return true;
      yield;
    }
    return false;
  }
}

function filterOf({ levels, services, sources, texts }: Narrowing): Filter {
  // One text is enough for the store to leave out most lines; the pipeline looks for all of them.
  const [longest] = texts.toSorted((a, b) => b.length - a.length);
  const regex = longest?.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
  const words = texts.flatMap(wholeWords).slice(0, mostWords);
  return {
    levels,
    services,
    sources,
    query: words.length === 0 ? undefined : words.join(' '),
    regex: regex !== undefined && regex.length <= 1_000 ? regex : undefined,
  };
}

/** More narrow no further. */
const mostWords = 20;

/**
 * Words of a text that are words of every line which holds the text: the index finds them. The first and the last may be
 * parts of longer ones there.
 */
const wholeWords = (text: string) =>
  text.match(/(?<=[^\p{L}\p{M}\p{N}\p{Co}])[\p{L}\p{N}]+(?=[^\p{L}\p{M}\p{N}\p{Co}])/gu) ?? [];

/** What can be left out for several queries that are answered in one reading. */
export function joined(all: readonly Narrowing[]): Narrowing {
  const [only] = all;
  if (only && all.length === 1) return only;
  const union = <Value>(valuesOf: (one: Narrowing) => readonly Value[] | undefined): Value[] | undefined =>
    all.every((one) => valuesOf(one) !== undefined)
      ? [...new Set(all.flatMap((one) => valuesOf(one) ?? []))]
      : undefined;
  const levels: readonly Level[] | undefined = union((one) => one.levels);
  const services = union((one) => one.services);
  const sources = union((one) => one.sources);
  return { ...(levels && { levels }), ...(services && { services }), ...(sources && { sources }), texts: [] };
}
