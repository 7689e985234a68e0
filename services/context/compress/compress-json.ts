/** The shape of a JSON text: the first elements of its arrays and the beginnings of its strings, as valid JSON. */
import type { Steps } from '#runtime/turns.ts';

import { bytesPerTurn } from '../limits.ts';
import { pace } from '../pace.ts';

const elementsShown = 3;
const charactersShown = 200;

/** What may come next, apart from white space. */
type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end' | 'nothing';

const takesValue = (expected: Expected) => expected === 'value' || expected === 'value or ]';
const takesKey = (expected: Expected) => expected === 'key' || expected === 'key or }';

interface Open {
  readonly isArray: boolean;
  elements: number;
}

/**
 * Checks as it goes, because parsing a long text is one step that cannot be interrupted. Numbers stay as they are written.
 *
 * @returns `undefined` when the text is no object or array in JSON.
 */
export function* compressJson(text: string): Steps<string | undefined> {
  const isTurnOver = pace(bytesPerTurn);
  const parts: string[] = [];
  const open: Open[] = [];
  /** The depth of the array whose further elements are passed over. */
  let muted: number | undefined;
  let expected: Expected = 'value';
  const emit = (part: string) => {
    if (muted === undefined) parts.push(part);
  };
  const begin = () => {
    const around = open.at(-1);
    if (!around?.isArray) return;
    around.elements += 1;
    if (around.elements > elementsShown) muted ??= open.length;
    else if (around.elements > 1) emit(',');
  };
  const end = (): Expected => {
    if (muted === open.length) muted = undefined;
    return open.length === 0 ? 'nothing' : ', or end';
  };

  for (let at = 0; at < text.length;) {
    const character = text[at] ?? '';
    let stop = at + 1;
    if (character === '{' || character === '[') {
      if (!takesValue(expected)) return undefined;
      begin();
      emit(character);
      open.push({ isArray: character === '[', elements: 0 });
      expected = character === '[' ? 'value or ]' : 'key or }';
    } else if (character === '}' || character === ']') {
      const closed = open.pop();
      const isEmpty = expected === (character === ']' ? 'value or ]' : 'key or }');
      if (closed?.isArray !== (character === ']') || (!isEmpty && expected !== ', or end')) return undefined;
      const more = closed.isArray ? closed.elements - elementsShown : 0;
      if (more > 0) emit(`,"[+${more} more]"`);
      emit(character);
      expected = end();
    } else if (character === ',') {
      if (expected !== ', or end') return undefined;
      const isArray = open.at(-1)?.isArray === true;
      if (!isArray) emit(',');
      expected = isArray ? 'value' : 'key';
    } else if (character === ':') {
      if (expected !== ':') return undefined;
      emit(':');
      expected = 'value';
    } else if (!isBlank(character)) {
      const isString = character === '"';
      const found = isString ? endOfString(text, at) : endOfLiteral(text, at);
      // A text that is one string or number has no shape.
      if (found === undefined || open.length === 0) return undefined;
      stop = found;
      const literal = text.slice(at, stop);
      if (isString && takesKey(expected)) {
        emit(literal);
        expected = ':';
      } else {
        if (!takesValue(expected)) return undefined;
        begin();
        emit(shortened(literal));
        expected = end();
      }
    }
    if (isTurnOver(stop - at)) yield;
    at = stop;
  }
  return expected === 'nothing' ? parts.join('') : undefined;
}

const isBlank = (character: string) =>
  character === ' ' || character === '\n' || character === '\r' || character === '\t';

const quote = 0x22;
const backslash = 0x5c;
const escaped = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;

/** `undefined` where it has no end, or holds what a string must not. */
function endOfString(text: string, start: number): number | undefined {
  for (let at = start + 1; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === quote) return at + 1;
    if (unit < 0x20) return undefined;
    if (unit !== backslash) continue;
    escaped.lastIndex = at + 1;
    if (!escaped.test(text)) return undefined;
    at = escaped.lastIndex - 1;
  }
  return undefined;
}

const literals = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

function endOfLiteral(text: string, start: number): number | undefined {
  literals.lastIndex = start;
  return literals.test(text) ? literals.lastIndex : undefined;
}

function shortened(literal: string): string {
  if (!literal.startsWith('"') || literal.length <= charactersShown + 2) return literal;
  const value = JSON.parse(literal) as string;
  if (value.length <= charactersShown) return literal;
  const shown = value.slice(0, charactersShown).toWellFormed();
  return JSON.stringify(`${shown}[+${value.length - charactersShown} characters]`);
}
