/** Counts what a call does, so that others are served in between, no call works for ever, and the client hears of it. */
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';

import type { Call } from '#runtime/tool.ts';

export interface Work {
  /** Added to by whoever works: the comparison of a character is one, and what takes longer counts for more. */
  steps: number;
  /** Whether it is time to let others be served. */
  isDue(): boolean;
  pause(): Promise<void>;
}

/** What looking at one entry takes, in comparisons of characters. */
export const stepsPerEntry = 1_000;
/** What opening one and reading a little takes. */
export const stepsPerFile = 5_000;

/** Some two milliseconds: several calls take their turns between two small ones of others. */
export const stepsPerTurn = 200_000;

export function beginWork({ signal }: Pick<Call, 'signal'>): Work {
  let paused = 0;
  const work: Work = {
    steps: 0,
    isDue: () => work.steps - paused >= stepsPerTurn,
    async pause() {
      paused = work.steps;
      await setImmediate();
      signal.throwIfAborted();
    },
  };
  return work;
}

const progressMs = 250;

/** Tells the client how far a call has come: at first, and then some times a second. What is done only grows. */
export function teller({ progress }: Pick<Call, 'progress'>): Call['progress'] {
  let told = 0;
  let toldAt = -Infinity;
  return (done, total, message) => {
    if (done <= told || performance.now() - toldAt < progressMs) return;
    told = done;
    toldAt = performance.now();
    progress(done, total, message);
  };
}

/** A run that is put in order at once, and steps of merging between which others are served. */
const runLength = 4_000;

/** Puts much in order, in turns. Equal ones stay as they come. */
export async function sorted<Item>(
  items: readonly Item[],
  compare: (one: Item, other: Item) => number,
): Promise<Item[]> {
  let runs: Item[][] = [];
  for (let start = 0; start === 0 || start < items.length; start += runLength) {
    if (start > 0) await setImmediate();
    runs.push(items.slice(start, start + runLength).toSorted(compare));
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(await merge(runs[at] ?? [], runs[at + 1] ?? [], compare));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<Item>(
  left: readonly Item[],
  right: readonly Item[],
  compare: (one: Item, other: Item) => number,
): Promise<Item[]> {
  const merged: Item[] = [];
  let [fromLeft, fromRight] = [0, 0];
  while (fromLeft < left.length && fromRight < right.length) {
    if (merged.length % runLength === runLength - 1) await setImmediate();
    const isLeft = compare(left[fromLeft] as Item, right[fromRight] as Item) <= 0;
    merged.push((isLeft ? left[fromLeft++] : right[fromRight++]) as Item);
  }
  for (const item of left.slice(fromLeft)) merged.push(item);
  for (const item of right.slice(fromRight)) merged.push(item);
  return merged;
}
