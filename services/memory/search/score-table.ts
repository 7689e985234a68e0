/** A number per memory id. */

export interface Scored {
  id: number;
  score: number;
}

/** A total order: equal scores put the newer memory first. */
export function byScore(x: Scored, y: Scored): number {
  return y.score - x.score || y.id - x.id;
}

const pageSize = 256;

/**
 * Ids are dense where a search finds something and the store may be large, so the table is made of pages, created when
 * first written: several times faster than a Map of as many entries.
 */
export function scoreTable() {
  const pages = new Map<number, Float64Array>();

  return {
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

    /** The best scores in order, among the ids that are in every one of the sets. */
    highest(count: number, admitted: readonly ReadonlySet<number>[]): Scored[] {
      let best: Scored[] = [];
      let threshold = 0;
      const keepBest = () => {
        best = best.toSorted(byScore).slice(0, count);
        threshold = best.length < count ? 0 : (best.at(-1)?.score ?? 0);
      };
      for (const [number, page] of pages) {
        for (let slot = 0; slot < pageSize; slot += 1) {
          const score = page[slot] ?? 0;
          const id = number * pageSize + slot;
          if (score > 0 && score >= threshold && admitted.every((ids) => ids.has(id))) {
            best.push({ id, score });
            if (best.length >= 4 * count) keepBest();
          }
        }
      }
      keepBest();
      return best;
    },
  };
}
