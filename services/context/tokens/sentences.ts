/** Where a text can be cut so that it reads well. */

/** From the best place to cut to the least good. */
export const boundaries = ['paragraph', 'sentence', 'line', 'word'] as const;
export type Boundary = (typeof boundaries)[number];

/** What stands before a cut. Each looks at a few characters only, so that no text can make it slow. */
const endings: Readonly<Record<Boundary, RegExp>> = {
  paragraph: /\n[^\S\n]?\n$/,
  sentence: /(?:[.!?…]["')\]]?\s|[。！？]|\n)$/u,
  line: /\n$/,
  word: /\s$/,
};

const looksBack = 4;
/** A sentence that is longer is cut inside. */
const longestSearch = 4_000;

/** The last place up to `end` where the text may be cut, but not near `earliest`; `undefined` when there is none. */
export function lastBoundary(
  text: string,
  end: number,
  earliest: number,
  kind: Boundary,
): number | undefined {
  const ending = endings[kind];
  for (let at = end; at > Math.max(earliest, end - longestSearch); at -= 1) {
    if (ending.test(text.slice(Math.max(0, at - looksBack), at))) return at;
  }
  return undefined;
}
