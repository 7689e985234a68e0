/** What of lists has room in an answer. */
import { answerTokens, bytesOf, bytesPerToken } from './limits.ts';

/** Some texts under a head, such as the observations of an entity under its name. */
interface Group {
  /** What JSON takes of it without the texts. */
  readonly headBytes: number;
  readonly texts?: readonly string[];
}

const textBytes = 10;

/**
 * How many texts of each group there is room for: first all the heads, in order, and then the texts. There are fewer numbers
 * than groups where not even all heads have room.
 */
export function roomFor(groups: readonly Group[], tokens = answerTokens): number[] {
  let left = tokens * bytesPerToken;
  const end = groups.findIndex(({ headBytes }) => (left -= headBytes) < 0);
  if (end >= 0) return groups.slice(0, end).map(() => 0);
  return groups.map(({ texts = [] }) => {
    const cut = texts.findIndex((text) => (left -= textBytes + bytesOf(text)) < 0);
    return cut < 0 ? texts.length : cut;
  });
}
