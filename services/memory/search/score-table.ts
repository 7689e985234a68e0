/** A number per id. */
import type { Steps } from '#runtime/turns.ts';

export interface Scored {
  id: number;
  score: number;
}

/** A total order: equal scores put the newer one first. */
export function byScore(x: Scored, y: Scored): number {
  return y.score - x.score || y.id - x.id;
}

export interface Selection {
  readonly count: number;
  /** Asked only for what may be among the best. */
  readonly isAdmitted?: ((id: number) => boolean) | undefined;
  readonly order?: (x: Scored, y: Scored) => number;
}

const pageSize = 256;
const slotsPerStep = 100 * pageSize;
/** To ask whether an id is admitted may mean to read a row. */
const slotsPerQuestion = 100;

/**
 * Ids are dense where a search finds something and the store may be large, so the table is made of pages, created when
 * first written: several times faster than a Map of as many entries.
 */
export function scoreTable() {
  const pages = new Map<number, Float64Array>();

  return {
    get: (id: number): number => pages.get(Math.floor(id / pageSize))?.[id % pageSize] ?? 0,

    add(id: number, score: number): void {
      const number = Math.floor(id / pageSize);
      let page = pages.get(number);
      if (!page) {
        page = new Float64Array(pageSize);
        pages.set(number, page);
      }
      page[id % pageSize] = (page[id % pageSize] ?? 0) + score;
    },

    multiply(id: number, factor: number): void {
      const page = pages.get(Math.floor(id / pageSize));
      if (page) page[id % pageSize] = (page[id % pageSize] ?? 0) * factor;
    },

    /** The best scores, in order. */
    *highest({ count, isAdmitted, order = byScore }: Selection): Steps<Scored[]> {
      let best: Scored[] = [];
      let threshold = 0;
      let read = 0;
      const keepBest = () => {
        best = best.toSorted(order).slice(0, count);
        threshold = best.length < count ? 0 : (best.at(-1)?.score ?? 0);
      };
      for (const [number, page] of pages) {
        for (let slot = 0; slot < pageSize; slot += 1) {
          const score = page[slot] ?? 0;
          if (score === 0 || score < threshold) continue;
          const id = number * pageSize + slot;
          if (isAdmitted) {
            read += slotsPerQuestion;
            if (!isAdmitted(id)) continue;
          }
          best.push({ id, score });
          if (best.length >= 4 * count) keepBest();
        }
        read += pageSize;
        if (read < slotsPerStep) continue;
        read = 0;
        yield;
      }
      keepBest();
      return best;
    },
  };
}
