/** The shape of a JSON text: the first elements of its arrays and the beginnings of its strings, as valid JSON. */
import type { Steps } from '#runtime/turns.ts';

import { stepsPerTurn } from '../limits.ts';

const elementsShown = 3;
const charactersShown = 200;

export function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text.slice(0, 1_000))) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What follows a string, a number or a word in valid JSON. */
const afterLiteral = /[\s,\]}]/g;

/** Numbers stay as they are written, which parsing would not do. The text has to be valid JSON. */
export function* compressJson(text: string): Steps<string> {
  const parts: string[] = [];
  const open: { isArray: boolean; elements: number }[] = [];
  /** The depth of the array whose further elements are passed over. */
  let muted: number | undefined;
  let isKey = false;
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
  const end = () => {
    if (muted === open.length) muted = undefined;
  };

  for (let at = 0, steps = 1; at < text.length; steps += 1) {
    if (steps % stepsPerTurn === 0) yield;
    const character = text[at] ?? '';
    if (character === '{' || character === '[') {
      begin();
      emit(character);
      open.push({ isArray: character === '[', elements: 0 });
      isKey = character === '{';
      at += 1;
    } else if (character === '}' || character === ']') {
      const { isArray, elements } = open.pop() ?? { isArray: false, elements: 0 };
      if (isArray && elements > elementsShown) {
        emit(`,"[+${elements - elementsShown} more]"`);
      }
      emit(character);
      end();
      at += 1;
    } else if (character === ',') {
      if (open.at(-1)?.isArray === false) {
        emit(',');
        isKey = true;
      }
      at += 1;
    } else if (character === ':') {
      emit(':');
      isKey = false;
      at += 1;
    } else if (/\s/.test(character)) {
      at += 1;
    } else {
      const stop = character === '"' ? endOfString(text, at) : endOfLiteral(text, at);
      const literal = text.slice(at, stop);
      if (isKey) emit(literal);
      else {
        begin();
        emit(shortened(literal));
        end();
      }
      at = stop;
    }
  }
  return parts.join('');
}

function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at + 1;
  }
  return text.length;
}

function endOfLiteral(text: string, start: number): number {
  afterLiteral.lastIndex = start;
  return afterLiteral.exec(text)?.index ?? text.length;
}

function shortened(literal: string): string {
  if (!literal.startsWith('"') || literal.length <= charactersShown + 2) return literal;
  const value = JSON.parse(literal) as string;
  if (value.length <= charactersShown) return literal;
  const shown = value.slice(0, charactersShown).toWellFormed();
  return JSON.stringify(`${shown}[+${value.length - charactersShown} characters]`);
}
