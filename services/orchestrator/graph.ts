/** Dependencies as a graph. Pure. */

/**
 * One circle among the tasks of a call, as the places of its tasks, each of which needs the next; `undefined` when there is none.
 * Takes away what needs nothing, again and again (Kahn, 1962): what is left has a circle.
 *
 * @param needs of each task, the places of those that it needs.
 */
export function circleIn(needs: readonly (readonly number[])[]): readonly number[] | undefined {
  const open = needs.map((places) => places.length);
  const dependents: number[][] = needs.map(() => []);
  for (const [place, places] of needs.entries()) for (const need of places) dependents[need]?.push(place);
  const free = open.flatMap((count, place) => (count === 0 ? [place] : []));
  let taken = 0;
  for (let place = free.pop(); place !== undefined; place = free.pop()) {
    taken += 1;
    for (const dependent of dependents[place] ?? []) {
      open[dependent] = (open[dependent] ?? 0) - 1;
      if (open[dependent] === 0) free.push(dependent);
    }
  }
  if (taken === needs.length) return undefined;
  return walkRound(needs, open);
}

/** From a task that is left, to one that it needs and that is left too, until one comes again. */
function walkRound(needs: readonly (readonly number[])[], open: readonly number[]): readonly number[] {
  const seenAt = new Map<number, number>();
  const walked: number[] = [];
  let place = open.findIndex((count) => count > 0);
  while (!seenAt.has(place)) {
    seenAt.set(place, walked.length);
    walked.push(place);
    place = (needs[place] ?? []).find((need) => (open[need] ?? 0) > 0) ?? place;
  }
  return walked.slice(seenAt.get(place));
}
