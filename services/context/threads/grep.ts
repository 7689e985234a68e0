/** Finds the lines of a text that match a regular expression, with the lines around them. */
import { fitting, pageBytes } from '#runtime/page.ts';

export interface GrepJob {
  readonly text: string;
  readonly pattern: string;
  readonly flags: string;
  /** The line from which on, from 0, and how many matches at most. */
  readonly fromLine: number;
  readonly limit: number;
  /** Lines to show on either side. */
  readonly before: number;
  readonly after: number;
}

export interface GrepResult {
  readonly matches: readonly {
    /** From 0. */
    readonly line: number;
    readonly text: string;
    readonly before: readonly string[];
    readonly after: readonly string[];
  }[];
  readonly hasMore: boolean;
}

const longestLine = 2_000;

export function grep({ text, pattern, flags, fromLine, limit, before, after }: GrepJob): GrepResult {
  const expression = new RegExp(pattern, flags);
  // With many lines around it, less is shown of each, so that a match fits into an answer.
  const lineLength = Math.min(longestLine, Math.floor(pageBytes / (1 + before + after)));
  const shown = (start: number, end: number) =>
    end - start > lineLength
      ? `${text.slice(start, start + lineLength).toWellFormed()}…`
      : text.slice(start, end);
  const endOfLine = (start: number) => {
    const end = text.indexOf('\n', start);
    return end < 0 ? text.length : end;
  };

  const found: { readonly line: number; readonly start: number }[] = [];
  for (let [line, start] = [0, 0]; start <= text.length && found.length <= limit; line += 1) {
    const end = endOfLine(start);
    if (line >= fromLine && expression.test(text.slice(start, end))) found.push({ line, start });
    start = end + 1;
  }

  const matches = found.slice(0, limit).map(({ line, start }) => {
    const end = endOfLine(start);
    const earlier: string[] = [];
    for (let at = start; at > 0 && earlier.length < before;) {
      const previous = at < 2 ? 0 : text.lastIndexOf('\n', at - 2) + 1;
      earlier.unshift(shown(previous, at - 1));
      at = previous;
    }
    const later: string[] = [];
    for (let at = end + 1; at <= text.length && later.length < after;) {
      const next = endOfLine(at);
      later.push(shown(at, next));
      at = next + 1;
    }
    return { line, text: shown(start, end), before: earlier, after: later };
  });
  const fit = fitting(matches);
  return { matches: fit, hasMore: fit.length < found.length };
}
