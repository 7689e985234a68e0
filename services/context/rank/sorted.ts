/** Sorts long lists in turns. */
import type { Steps } from '#runtime/turns.ts';

import { pace } from '../pace.ts';

/** Sorted at once. */
const shortList = 512;

/** What is equal stays in its order. */
export function* sorted<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number): Steps<Item[]> {
  if (items.length <= shortList) return items.toSorted(compare);
  const middle = Math.ceil(items.length / 2);
  const first = yield* sorted(items.slice(0, middle), compare);
  const second = yield* sorted(items.slice(middle), compare);
  yield;
  const isTurnOver = pace();
  const merged: Item[] = [];
  let [at, other] = [0, 0];
  while (at < first.length && other < second.length) {
    const [a, b] = [first[at] as Item, second[other] as Item];
    const isFirst = compare(a, b) <= 0;
    merged.push(isFirst ? a : b);
    if (isFirst) at += 1;
    else other += 1;
    if (isTurnOver()) yield;
  }
  for (; at < first.length; at += 1) merged.push(first[at] as Item);
  for (; other < second.length; other += 1) merged.push(second[other] as Item);
  return merged;
}
