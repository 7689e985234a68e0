/**
 * Regular expressions of callers, which must not stall anybody: RE2's syntax, matched in time that grows with the text times
 * the size of the expression, and with both bounded.
 */
import { RE2JS } from 're2js';

import { ToolError } from '#runtime/errors.ts';

/** Longer ones are no expressions that somebody wrote. */
export const maxPatternLength = 1_000;
/** Instructions of a compiled expression, about one for each character that it can stand for. */
const maxProgramSize = 1_000;
/**
 * Instructions times characters: with so many, the automaton that is built on the way and the one that needs no building
 * take ten to fifteen milliseconds at worst.
 */
const automatonWork = 100_000;
const mostWork = 1_000_000;

export interface Pattern {
  readonly source: string;
  /** Characters of a text that are looked at. What comes later is not seen: whoever asks can tell from the length. */
  readonly reach: number;
  /** The names of its groups that have one. */
  readonly names: readonly string[];
  /** Whether some part of the text matches. */
  readonly test: (text: string) => boolean;
  /** What the named groups of the first match hold; `undefined` without a match. */
  capture(text: string): ReadonlyMap<string, string> | undefined;
}

/**
 * @param whole whether the whole text has to match.
 * @throws ToolError invalid_input, with what is wrong and what RE2 has in its place; too_large for what would take too long.
 */
export function compilePattern(
  source: string,
  { ignoreCase = false, whole = false, dotMatchesNewline = false } = {},
): Pattern {
  if (source.length > maxPatternLength || sizeOf(source) > maxProgramSize) throw tooLarge(source);
  const compiled = compile(
    whole ? `^(?:${source})$` : source,
    (ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) | (dotMatchesNewline ? RE2JS.DOTALL : 0),
  );
  const size = compiled.programSize();
  if (size > maxProgramSize) throw tooLarge(source);
  const reach = Math.floor(mostWork / size);
  const automatonReach = Math.floor(automatonWork / size);
  // Something follows what is seen of a long text, so that $ does not match there.
  const seen = (text: string) => (text.length > reach ? `${text.slice(0, reach)}\0` : text);
  const names = Object.keys(compiled.namedGroups());
  return {
    source,
    reach,
    names,
    test: (text) =>
      text.length <= automatonReach ? compiled.test(text) : compiled.matcher(seen(text)).find(),
    capture(text) {
      const matcher = compiled.matcher(seen(text));
      if (!matcher.find()) return undefined;
      return new Map(names.map((name) => [name, matcher.group(name) ?? '']));
    },
  };
}

function compile(source: string, flags: number): RE2JS {
  try {
    return RE2JS.compile(source, flags);
  } catch (error) {
    const what = error instanceof Error ? error.message.replace('error parsing regexp: ', '') : 'unknown';
    throw new ToolError('invalid_input', `The regular expression cannot be read: ${what}.`, {
      hint: 'The syntax is RE2: no look-ahead, look-behind or back-references. Quote special characters with \\, and use (?i) to ignore case.',
    });
  }
}

const tooLarge = (source: string) =>
  new ToolError('too_large', `The regular expression is too large: ${source.slice(0, 40)}…`, {
    hint: `At most ${maxPatternLength} characters are taken, and ${maxProgramSize} when repetitions such as {30} are written out. Use * or + in place of large counts.`,
  });

/** What an expression comes to with its repetitions written out, from above: compiling a hostile one takes long by itself. */
function sizeOf(source: string): number {
  const outer: { size: number; last: number }[] = [];
  let group = { size: 0, last: 0 };
  for (const [token] of source.matchAll(tokens)) {
    const repeat = /^\{(\d+)(?:,(\d*))?\}$/.exec(token);
    if (token === '(') {
      outer.push(group);
      group = { size: 0, last: 0 };
    } else if (token === ')') {
      const last = group.size + 2;
      group = outer.pop() ?? { size: 0, last: 0 };
      group = { size: group.size + last, last };
    } else if (repeat) {
      const count = Math.max(Number(repeat[1]), Number(repeat[2] || 0));
      // RE2 refuses it as soon as it reads it, and says so.
      if (count > maxRepeat) return 0;
      const more = group.last * (count - 1);
      group = { size: group.size + Math.max(0, more), last: group.last + Math.max(0, more) };
    } else {
      group = { size: group.size + 1, last: /^[*+?|^$]$/.test(token) ? group.last : 1 };
    }
  }
  return outer.reduce((sum, { size }) => sum + size, group.size);
}

const maxRepeat = 1_000;

/** An escaped character, a class, a repetition, or one character. */
const tokens = /\\(?:[pP]\{[^}]*\}|.)|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\{\d+(?:,\d*)?\}|[^]/gs;
