/**
 * Where the pieces of a text end that are tokenized each on its own. The vocabularies come with regular expressions for
 * that; these scanners find the same ends several times as fast, and without a step that grows with the square of a run.
 */

/** Where the piece ends that begins here. */
export type Split = (text: string, start: number) => number;

// What a character is to the expressions. Other: whatever is neither a letter, a mark, a number nor white space.
const upper = 1;
const lower = 2;
/** A letter without case. */
const plain = 3;
const mark = 4;
const number = 5;
const space = 6;
const newline = 7;
const other = 8;

const tests: readonly (readonly [number, RegExp])[] = [
  [upper, /[\p{Lu}\p{Lt}]/u],
  [lower, /\p{Ll}/u],
  [plain, /\p{L}/u],
  [mark, /\p{M}/u],
  [number, /\p{N}/u],
  [newline, /[\r\n]/],
  [space, /\s/],
  [other, /[^]/u],
];

/** By code point; 0 for those that nobody has looked at yet. */
const kinds = new Uint8Array(0x11_00_00);

function look(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  return (kinds[codePoint] = tests.find(([, test]) => test.test(character))?.[0] ?? other);
}

/** Of the character that begins here; 0 at the end of the text. */
function kindAt(text: string, at: number): number {
  if (at >= text.length) return 0;
  const unit = text.charCodeAt(at);
  const codePoint = unit >= 0xd8_00 && unit < 0xdc_00 ? (text.codePointAt(at) as number) : unit;
  return kinds[codePoint] || look(codePoint);
}

function after(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return at + (unit >= 0xd8_00 && unit < 0xdc_00 && (text.codePointAt(at) as number) > 0xff_ff ? 2 : 1);
}

/** Whether the character there is white space. */
export const isSpaceAt = (text: string, at: number): boolean =>
  at >= 0 && has(spaces, kindAt(text, at)) === 1;

/** A set of kinds, one bit each. */
const setOf = (...members: number[]) => members.reduce((set, kind) => set | (1 << kind), 0);
const has = (set: number, kind: number) => (set >> kind) & 1;

const letters = setOf(upper, lower, plain);
const notLower = setOf(upper, plain, mark);
const notUpper = setOf(lower, plain, mark);
const symbols = setOf(other, mark);
const spaces = setOf(space, newline);
/** What may stand before a word, as a part of it. */
const leading = setOf(other, mark, space);
const numbers = setOf(number);
const words = setOf(upper, lower, plain, mark, number);

/** The end of the letters, marks and numbers that begin here, or the first place after `most`. */
export function wordEndAt(text: string, start: number, most: number): number {
  let at = start;
  while (at < most && has(words, kindAt(text, at))) at = after(text, at);
  return at;
}

/** The end of the run of characters of these kinds. */
function runEnd(text: string, start: number, set: number): number {
  let at = start;
  while (has(set, kindAt(text, at))) at = after(text, at);
  return at;
}

const blank = 0x20;
const apostrophe = 0x27;
const slash = 0x2f;
const isNewline = (unit: number) => unit === 0x0a || unit === 0x0d;

/** The end of what stands here of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` and `'d`; where it begins when it is none. */
function contractionEnd(text: string, at: number, ignoreCase: boolean): number {
  if (text.charCodeAt(at) !== apostrophe) return at;
  const given = text.slice(at + 1, at + 3);
  const said = ignoreCase ? asciiLower(given) : given;
  if ('sdmt'.includes(said[0] ?? '?')) return at + 2;
  return said === 'll' || said === 've' || said === 're' ? at + 3 : at;
}

const asciiLower = (text: string) => text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());

/** White space: up to its last newline, or all but the last character before a word, which belongs to that. */
function spaceEnd(text: string, start: number, upToNewline: boolean, wholeAtEnd: boolean): number {
  const end = runEnd(text, start, spaces);
  if (wholeAtEnd && end === text.length) return end;
  if (upToNewline) {
    for (let at = end; at > start; at -= 1) if (isNewline(text.charCodeAt(at - 1))) return at;
  }
  return end === text.length || end === start + 1 ? end : end - 1;
}

/** A word of o200k_base: capitals, then small letters; `undefined` when none begins here. */
function wordEnd(text: string, start: number): number | undefined {
  let at = start;
  let lastWithoutCase: number | undefined;
  for (;;) {
    const kind = kindAt(text, at);
    if (!has(notLower, kind)) {
      if (kind === lower) return contractionEnd(text, runEnd(text, at, notUpper), true);
      break;
    }
    at = after(text, at);
    if (kind !== upper) lastWithoutCase = at;
  }
  if (lastWithoutCase !== undefined) return contractionEnd(text, lastWithoutCase, true);
  return undefined;
}

const o200k: Split = (text, start) => {
  const kind = kindAt(text, start);
  if (has(leading, kind)) {
    const next = after(text, start);
    const end = wordEnd(text, next);
    if (end !== undefined) return end;
    // A mark may begin a word itself, but no capital follows it then.
    if (kind === mark) return contractionEnd(text, next, true);
    const capitals = runEnd(text, next, notLower);
    if (capitals > next) return contractionEnd(text, capitals, true);
  } else if (has(letters, kind)) {
    return wordEnd(text, start) ?? contractionEnd(text, runEnd(text, start, notLower), true);
  } else if (kind === number) {
    return threeNumbers(text, start);
  }
  return (
    symbolsEnd(text, start, (unit) => isNewline(unit) || unit === slash) ?? spaceEnd(text, start, true, false)
  );
};

const cl100k: Split = (text, start) => {
  const contraction = contractionEnd(text, start, true);
  if (contraction > start) return contraction;
  const kind = kindAt(text, start);
  if (kind === number) return threeNumbers(text, start);
  const first = has(leading, kind) ? after(text, start) : start;
  const end = runEnd(text, first, letters);
  if (end > first) return end;
  return symbolsEnd(text, start, isNewline) ?? spaceEnd(text, start, true, true);
};

const r50k: Split = (text, start) => {
  const contraction = contractionEnd(text, start, false);
  if (contraction > start) return contraction;
  const first = text.charCodeAt(start) === blank ? start + 1 : start;
  for (const set of [letters, numbers, symbols]) {
    const end = runEnd(text, first, set);
    if (end > first) return end;
  }
  return spaceEnd(text, start, false, false);
};

function threeNumbers(text: string, start: number): number {
  let at = start;
  for (let count = 0; count < 3 && kindAt(text, at) === number; count += 1) at = after(text, at);
  return at;
}

/** Symbols, maybe after a blank, and what belongs to their end; `undefined` when none begin here. */
function symbolsEnd(text: string, start: number, belongs: (unit: number) => boolean): number | undefined {
  const first = text.charCodeAt(start) === blank ? start + 1 : start;
  let at = runEnd(text, first, symbols);
  if (at === first) return undefined;
  while (belongs(text.charCodeAt(at))) at += 1;
  return at;
}

export const splits = { o200k, cl100k, r50k };
