/**
 * Glob patterns, matched without regular expressions: a pattern comes from a caller or a file, and none may take longer
 * than its length times that of the path.
 */
import { ToolError } from '#runtime/errors.ts';

const maxAlternatives = 256;

/** Whether a path of names with slashes between fits the pattern: `*`, `**`, `?`, `[a-z]`, `{a,b}`. */
export function globMatcher(pattern: string): (path: string) => boolean {
  if (/[@!+*?]\(/.test(pattern)) {
    throw new ToolError('invalid_input', `Not a pattern that is understood here: ${pattern}`, {
      hint: 'There are *, **, ?, [a-z] and {a,b}; to leave files out use the argument for exclusion.',
    });
  }
  const alternatives = expandBraces(pattern).map(segmentsOf);
  return (path) => {
    const names = path.split('/');
    return alternatives.some((segments) => fitsPath(segments, names));
  };
}

/** The parts of a pattern without braces. Two stars at its end are for what lies in a folder, not the folder itself. */
export function segmentsOf(pattern: string): readonly string[] {
  const segments = pattern.split('/');
  return segments.at(-1) === '**' ? [...segments, '*'] : segments;
}

export function fitsPath(segments: readonly string[], names: readonly string[]): boolean {
  return fits(segments, names, (segment) => segment === '**', fitsName);
}

/**
 * Matches items one by one; a star takes any number of them. The last star met is the only one that need ever take more:
 * so the work is at most pattern times items.
 */
function fits<Part, Item>(
  pattern: readonly Part[],
  items: readonly Item[],
  isStar: (part: Part) => boolean,
  fitsOne: (part: Part, item: Item) => boolean,
): boolean {
  let at = 0;
  let star = -1;
  let starItem = 0;
  let index = 0;
  while (index < items.length) {
    const part = pattern[at];
    if (part !== undefined && isStar(part)) {
      star = at;
      starItem = index;
      at += 1;
    } else if (part !== undefined && fitsOne(part, items[index] as Item)) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      starItem += 1;
      index = starItem;
      at = star + 1;
    } else return false;
  }
  return pattern.slice(at).every(isStar);
}

const parsed = new Map<string, readonly string[]>();

function fitsName(segment: string, name: string): boolean {
  return fits(tokensOf(segment), Array.from(name), (token) => token === '*', fitsCharacter);
}

function tokensOf(segment: string): readonly string[] {
  let tokens = parsed.get(segment);
  if (!tokens) {
    tokens = segment.match(/\\.|\[[!^]?\]?[^\]]*\]|./gsu) ?? [];
    if (parsed.size > 1_000) parsed.clear();
    parsed.set(segment, tokens);
  }
  return tokens;
}

function fitsCharacter(token: string, character: string): boolean {
  if (token === '?') return true;
  if (token.length > 1 && token.startsWith('\\')) return token.slice(1) === character;
  if (token.length > 1 && token.startsWith('[')) return fitsSet(token.slice(1, -1), character);
  return token === character;
}

function fitsSet(set: string, character: string): boolean {
  const isNegated = /^[!^]/.test(set);
  const members = Array.from(set.slice(isNegated ? 1 : 0));
  let isIn = false;
  for (let index = 0; index < members.length; index += 1) {
    const first = members[index] ?? '';
    const last = members[index + 2];
    if (members[index + 1] === '-' && last !== undefined) {
      isIn ||= first <= character && character <= last;
      index += 2;
    } else isIn ||= first === character;
  }
  return isIn !== isNegated;
}

/** `a{b,c}d` is `abd` and `acd`; braces without a comma stand for themselves. */
function expandBraces(pattern: string): readonly string[] {
  const done: string[] = [];
  const open = [pattern];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (done.length + open.length > maxAlternatives) {
      throw new ToolError('invalid_input', `The pattern has more than ${maxAlternatives} alternatives.`, {
        hint: 'Use a simpler pattern.',
      });
    }
    const inner = /\{([^{}]*,[^{}]*)\}/.exec(next);
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
