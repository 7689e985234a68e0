/** Breadth first through the graph, along relations in whichever direction they point. */
import { maxLinksVisited, rowsPerStep } from '../limits.ts';
import type { Steps } from '#runtime/turns.ts';
import type { GraphStore } from './graph-store.ts';

interface Arrival {
  readonly from: number;
  readonly relation: number;
}

export interface Walk {
  /** By distance, and how each was reached first: not at all where the walk began. */
  readonly reached: ReadonlyMap<number, Arrival | undefined>;
  /** Gave up before all was seen: too many entities or relations. */
  readonly isCut: boolean;
}

interface Bounds {
  readonly depth: number;
  readonly maxEntities: number;
  readonly maxLinks?: number;
  /** Where the walk may end. */
  readonly goal?: number;
}

export function* walk(
  graph: GraphStore,
  start: readonly number[],
  { depth, maxEntities, maxLinks = maxLinksVisited, goal }: Bounds,
): Steps<Walk> {
  const reached = new Map<number, Arrival | undefined>(start.map((id) => [id, undefined]));
  let frontier = start;
  let visited = 0;
  let left = rowsPerStep;
  for (let distance = 0; distance < depth && frontier.length > 0; distance += 1) {
    const next: number[] = [];
    for (const here of frontier) {
      if (goal !== undefined && reached.has(goal)) return { reached, isCut: false };
      for (let after = 0; ;) {
        const limit = left;
        const ends = graph.ends(here, after, limit);
        for (const { id, there } of ends) {
          after = id;
          if (reached.has(there)) continue;
          if (reached.size === maxEntities) return { reached, isCut: true };
          reached.set(there, { from: here, relation: id });
          next.push(there);
        }
        visited += ends.length;
        if (visited > maxLinks) return { reached, isCut: true };
        // To look at an entity without relations is work too.
        left -= Math.max(1, ends.length);
        if (left <= 0) {
          left = rowsPerStep;
          yield;
        }
        if (ends.length < limit) break;
      }
    }
    frontier = next;
  }
  return { reached, isCut: false };
}
