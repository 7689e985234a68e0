/**
 * Patterns for names and topics, matched without regular expressions: they come from callers, and none may take longer than its
 * length times that of the name. `?` is one character, `*` any number of them. A topic has segments that end at dots: there `*`
 * stays within one segment, and `**`, which stands alone, is any number of segments, also none.
 */
import { z } from 'zod';

export type Fits = (text: string) => boolean;

/** Any number of segments. */
export const rest: unique symbol = Symbol('**');
/** A text without `*` and `?` is that segment itself. */
export type Segment = string | typeof rest;

export const longestName = 200;
const mostSegments = 16;

export const isPattern = (text: string): boolean => /[*?]/.test(text);

const hasLoneStars = (pattern: string) =>
  pattern.split('.').every((segment) => segment === '**' || !segment.includes('**'));
const isShallow = (topic: string) => topic.split('.').length <= mostSegments;

export const topicField = z
  .string()
  .max(longestName)
  .regex(
    /^[\w:@/-]+(?:\.[\w:@/-]+)*$/,
    'must be words with dots between them, like build.done: letters, digits and _ - : @ /',
  )
  .refine(isShallow, `must have at most ${mostSegments} parts`);

export const topicPatternField = z
  .string()
  .max(longestName)
  .regex(
    /^[\w:@/*?-]+(?:\.[\w:@/*?-]+)*$/,
    'must be a topic, or a pattern like build.* or build.**: letters, digits and _ - : @ / with * and ?',
  )
  .refine(isShallow, `must have at most ${mostSegments} parts`)
  .refine(hasLoneStars, 'must have ** alone between dots, like build.**');

export const namePatternField = z
  .string()
  .max(longestName)
  .regex(
    /^[\w.:@*?-]+$/,
    'must be a name, or a pattern like reviewer-*: letters, digits and . _ : @ - with * and ?',
  );

/** Of a name, which has no segments. */
export function nameGlob(pattern: string): Fits {
  if (!isPattern(pattern)) return (name) => name === pattern;
  return (name) => fitsText(pattern, name);
}

export function topicGlob(pattern: string): Fits {
  if (!isPattern(pattern)) return (topic) => topic === pattern;
  const segments = segmentsOf(pattern);
  return (topic) => fitsSegments(segments, topic.split('.'));
}

/** Two `**` in a row are as one. */
export const segmentsOf = (pattern: string): readonly Segment[] =>
  pattern
    .split('.')
    .filter((segment, at, all) => segment !== '**' || all[at - 1] !== '**')
    .map((segment) => (segment === '**' ? rest : segment));

/** The last star met is the only one that need ever take more: so the work is at most pattern times name. */
function fitsSegments(pattern: readonly Segment[], names: readonly string[]): boolean {
  let at = 0;
  let index = 0;
  let afterRest = -1;
  let restIndex = 0;
  while (index < names.length) {
    const segment = pattern[at];
    if (segment === rest) {
      at += 1;
      afterRest = at;
      restIndex = index;
    } else if (segment !== undefined && fitsText(segment, names[index] as string)) {
      at += 1;
      index += 1;
    } else if (afterRest >= 0) {
      restIndex += 1;
      index = restIndex;
      at = afterRest;
    } else return false;
  }
  if (pattern[at] === rest) at += 1;
  return at === pattern.length;
}

const star = 0x2a;
const questionMark = 0x3f;

/** The same for the characters of a name, or of one segment. */
export function fitsText(pattern: string, text: string): boolean {
  let at = 0;
  let index = 0;
  let afterStar = -1;
  let starIndex = 0;
  while (index < text.length) {
    // NaN behind the end, which equals nothing.
    const code = pattern.charCodeAt(at);
    if (code === star) {
      at += 1;
      afterStar = at;
      starIndex = index;
    } else if (code === questionMark) {
      at += 1;
      index += (text.codePointAt(index) as number) > 0xff_ff ? 2 : 1;
    } else if (code === text.charCodeAt(index)) {
      at += 1;
      index += 1;
    } else if (afterStar >= 0) {
      starIndex += 1;
      index = starIndex;
      at = afterStar;
    } else return false;
  }
  while (pattern.charCodeAt(at) === star) at += 1;
  return at === pattern.length;
}

const hasPlainPath = (name: string) => {
  const path = name.slice(name.indexOf(':') + 1).split('/');
  return !path.some(
    (part, at) => part === '.' || part === '..' || (part === '' && at > 0 && name.startsWith('file:')),
  );
};
/** What stands before the first colon, and how the rest begins. */
function hasPlainScheme(name: string): boolean {
  const [, scheme, named = ''] = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(name) ?? [];
  if (scheme === undefined) return true;
  return (
    scheme === scheme.toLowerCase() && !/^\s/.test(named) && !(scheme === 'file' && named.includes('\\'))
  );
}
const hasStarsAtEnd = (name: string) => !name.replace(/\/\*\*$/, '').includes('*');

/** The same thing has one spelling only: two agents that hold `file:a` and `file:./a` would both believe that it is theirs. */
export const reservationField = z
  .string()
  .min(1)
  .max(500)
  .refine((name) => name.isWellFormed() && !/\p{Cc}/u.test(name), 'must have no control characters')
  .refine((name) => name === name.trim().normalize('NFC'), 'must have no space around it, and be in NFC')
  .refine(
    hasPlainPath,
    'must be written plainly, like file:src/a.ts: no . or .. between slashes, no slash at the end',
  )
  .refine(
    hasPlainScheme,
    'must have its kind in lower case and nothing between that and the name, like file:src/a.ts; files with slashes',
  )
  .refine(hasStarsAtEnd, 'may have stars only at its end, as /**, for all below');
