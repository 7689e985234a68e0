/** Where a text can be cut so that it reads well. */
import { isSpaceAt } from './split.ts';

/** From the best place to cut to the least good. */
export const boundaries = ['paragraph', 'sentence', 'line', 'word'] as const;
export type Boundary = (typeof boundaries)[number];

/** Whether a text may be cut here, by what stands before. */
const endsAt: Readonly<Record<Boundary, (text: string, at: number) => boolean>> = {
  paragraph: (text, at) =>
    isNewline(text, at - 1) &&
    (isNewline(text, at - 2) || (isSpaceAt(text, at - 2) && isNewline(text, at - 3))),
  sentence: (text, at) =>
    isNewline(text, at - 1) ||
    wideStops.includes(text[at - 1] ?? '?') ||
    (isSpaceAt(text, at - 1) && isStop(text, closers.includes(text[at - 2] ?? '?') ? at - 3 : at - 2)),
  line: (text, at) => isNewline(text, at - 1),
  word: (text, at) => isSpaceAt(text, at - 1),
};

const isNewline = (text: string, at: number) => text[at] === '\n';
const isStop = (text: string, at: number) => stops.includes(text[at] ?? 'x');
const stops = '.!?…';
const wideStops = '。！？';
const closers = `"')]`;

/** A sentence that is longer is cut inside. */
const longestSearch = 4_000;

/** The last place up to `end` where the text may be cut, but not near `earliest`; `undefined` when there is none. */
export function lastBoundary(
  text: string,
  end: number,
  earliest: number,
  kind: Boundary,
): number | undefined {
  const isEnd = endsAt[kind];
  for (let at = end; at > Math.max(earliest, end - longestSearch); at -= 1) if (isEnd(text, at)) return at;
  return undefined;
}
