/**
 * Glob patterns, matched without regular expressions: a pattern comes from a caller or a file, and none may take longer
 * than its length times that of the path. Each comparison is counted.
 */
import { ToolError } from '#runtime/errors.ts';

import type { Work } from './work.ts';

/** Of all patterns of one list. */
const maxAlternatives = 500;

/** Any number of characters in a name, or of names in a path. */
const star: unique symbol = Symbol('*');

/** Pairs of the first and the last character. */
interface CharacterSet {
  readonly isNegated: boolean;
  readonly ranges: readonly (readonly [string, string])[];
}
type Token = string | CharacterSet | typeof star;

/** A pattern without braces, name by name. */
export type Glob = readonly (readonly Token[] | typeof star)[];
/** The characters of each name of a path. */
export type Letters = readonly (readonly string[])[];

/** Letters with marks have two spellings in Unicode that look the same: patterns and names are compared in one. */
export const nameLetters = (name: string): readonly string[] => Array.from(name.normalize('NFC'));
export const lettersOf = (path: string): Letters => path.split('/').map(nameLetters);

/** `*`, `**`, `?`, `[a-z]`, `{a,b}`. @throws ToolError `invalid_input` for what is not understood. */
export function parseGlobs(patterns: readonly string[]): readonly Glob[] {
  const globs: Glob[] = [];
  for (const pattern of patterns) {
    if (/[@!+*?]\(/.test(pattern)) {
      throw new ToolError('invalid_input', `Not a pattern that is understood here: ${pattern}`, {
        hint: 'There are *, **, ?, [a-z] and {a,b}; to leave files out use the argument for exclusion.',
      });
    }
    globs.push(...expandBraces(pattern, maxAlternatives - globs.length).map(parseGlob));
  }
  return globs;
}

/** A pattern in which braces stand for themselves. Two stars at its end are for what lies in a folder, not the folder itself. */
export function parseGlob(pattern: string): Glob {
  const segments = pattern
    .normalize('NFC')
    .split('/')
    .map((segment) => (segment === '**' ? star : tokensOf(segment)));
  return segments.at(-1) === star ? [...segments, [star]] : segments;
}

/** At any depth. */
export const anywhere = (glob: Glob): Glob => [star, ...glob];

/** Whether a path fits one of the patterns. */
export async function fitsAny(globs: readonly Glob[], path: Letters, work: Work): Promise<boolean> {
  for (const glob of globs) {
    if (fitsPath(glob, path, work)) return true;
    if (work.isDue()) await work.pause();
  }
  return false;
}

export const fitsPath = (glob: Glob, path: Letters, work: Pick<Work, 'steps'>): boolean =>
  fits(glob, path, work, (segment, name) =>
    fits(segment, name, work, (token, character) => fitsCharacter(token, character, work)),
  );

/**
 * Matches items one by one; a star takes any number of them. The last star met is the only one that need ever take more:
 * so the work is at most pattern times items.
 */
function fits<Part, Item>(
  pattern: readonly (Part | typeof star)[],
  items: readonly Item[],
  work: Pick<Work, 'steps'>,
  fitsOne: (part: Part, item: Item) => boolean,
): boolean {
  let at = 0;
  let lastStar = -1;
  let starItem = 0;
  let index = 0;
  while (index < items.length) {
    work.steps += 1;
    const part = pattern[at];
    if (part === star) {
      lastStar = at;
      starItem = index;
      at += 1;
    } else if (part !== undefined && fitsOne(part, items[index] as Item)) {
      at += 1;
      index += 1;
    } else if (lastStar >= 0) {
      starItem += 1;
      index = starItem;
      at = lastStar + 1;
    } else return false;
  }
  while (pattern[at] === star) at += 1;
  return at === pattern.length;
}

function fitsCharacter(token: string | CharacterSet, character: string, work: Pick<Work, 'steps'>): boolean {
  if (typeof token === 'string') return token === character;
  work.steps += token.ranges.length;
  return token.ranges.some(([first, last]) => first <= character && character <= last) !== token.isNegated;
}

const anyCharacter: CharacterSet = { isNegated: true, ranges: [] };

function tokensOf(segment: string): readonly Token[] {
  const letters = Array.from(segment);
  const tokens: Token[] = [];
  // Where one is not closed, none behind it is.
  let hasSets = true;
  for (let at = 0; at < letters.length;) {
    const letter = letters[at] ?? '';
    const set: ReturnType<typeof setAt> = letter === '[' && hasSets ? setAt(letters, at + 1) : undefined;
    if (letter === '[') hasSets = set !== undefined;
    if (set) {
      tokens.push(set);
      at = set.end;
      continue;
    }
    if (letter === '\\' && at + 1 < letters.length) {
      at += 1;
      tokens.push(letters[at] ?? '');
    } else if (letter === '?') tokens.push(anyCharacter);
    else if (letter !== '*') tokens.push(letter);
    else if (tokens.at(-1) !== star) tokens.push(star);
    at += 1;
  }
  return tokens;
}

/** As in POSIX, in ASCII: pairs of the first and the last character. */
const characterClasses: Readonly<Record<string, string>> = {
  alnum: '09AZaz',
  alpha: 'AZaz',
  blank: '  \t\t',
  cntrl: '\0\x1f\x7f\x7f',
  digit: '09',
  graph: '!~',
  lower: 'az',
  print: ' ~',
  punct: '!/:@[`{~',
  space: '  \t\r',
  upper: 'AZ',
  xdigit: '09AFaf',
};

/** The set that begins behind a bracket; `undefined` when it is not closed. */
function setAt(
  letters: readonly string[],
  from: number,
): (CharacterSet & { readonly end: number }) | undefined {
  const isNegated = letters[from] === '!' || letters[from] === '^';
  const first = isNegated ? from + 1 : from;
  const ranges: (readonly [string, string])[] = [];
  for (let at = first; at < letters.length; at += 1) {
    if (letters[at] === ']' && at > first) return { isNegated, ranges, end: at + 1 };
    const [whole = '', name = ''] =
      letters[at] === '[' ? (/^\[:([a-z]{5,6}):\]/.exec(letters.slice(at, at + 10).join('')) ?? []) : [];
    const pairs = characterClasses[name];
    if (pairs !== undefined) {
      for (const [range] of pairs.matchAll(/../gs)) ranges.push([range.charAt(0), range.charAt(1)]);
      at += whole.length - 1;
      continue;
    }
    if (letters[at] === '\\' && at + 1 < letters.length) at += 1;
    const start = letters[at] ?? '';
    const last = letters[at + 2];
    const isRange = letters[at + 1] === '-' && last !== undefined && last !== ']';
    ranges.push([start, isRange ? last : start]);
    if (isRange) at += 2;
  }
  return undefined;
}

/** `a{b,c}d` is `abd` and `acd`; braces without a comma stand for themselves. */
function expandBraces(pattern: string, most: number): readonly string[] {
  const done: string[] = [];
  const open = [pattern];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (done.length + open.length >= most) {
      throw new ToolError('invalid_input', `The patterns have more than ${maxAlternatives} alternatives.`, {
        hint: 'Use fewer or simpler patterns.',
      });
    }
    const inner = next.matchAll(/\{([^{}]*)\}/g).find(([, choices = '']) => choices.includes(','));
    if (!inner) {
      done.push(next);
      continue;
    }
    const [braces, choices = ''] = inner;
    for (const choice of choices.split(',')) {
      open.push(next.slice(0, inner.index) + choice + next.slice(inner.index + braces.length));
    }
  }
  return done;
}
