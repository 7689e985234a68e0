/** What failures of one kind have in common: a message without what differs each time, and a fingerprint of it. Pure. */
import { hash } from 'node:crypto';

import { plainText } from '#runtime/plain-text.ts';
import { redacted } from '#runtime/redaction.ts';

import type { Facts } from './classify.ts';
import type { Rule } from './rules.ts';

export const mostMessageLength = 1_000;
const mostPatternLength = 300;
/** Messages may be whole logs; redaction reads so much of one. */
const readLength = 10_000;

/** A message as it is kept: one line, no secrets, of bounded length. */
export function cleaned(message: string): string {
  return plainText(redacted(message.length > readLength ? cutAtWord(message) : message), mostMessageLength);
}

/** A secret that is cut through is no longer known: so the last word goes. */
function cutAtWord(message: string): string {
  let end = readLength;
  while (end > readLength - longestSecret && !/\s/.test(message.charAt(end - 1))) end -= 1;
  return message.slice(0, end);
}

const longestSecret = 5_000;

/**
 * What differs each time, and what has to be in a text that holds it. Each has bounds, so that no message makes it slow. What stands
 * first takes what later ones would take in parts.
 */
const masks: readonly (readonly [needs: RegExp, form: RegExp, mark: string])[] = [
  [/:\/\//, /\b[a-z][a-z\d+.-]{1,20}:\/\/[^\s"'<>)\]]{1,500}/gi, '<url>'],
  [/@/, /[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}/g, '<address>'],
  [/-/, /\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi, '<id>'],
  // A path is words with slashes between; one slash may stand before or behind.
  [
    /[\\/]/,
    /(?<![\w.~@%+:-])(?:[a-z]:)?[\w.~@%+-]{0,64}(?:[\\/][\w.~@%+=:,-]{1,128}){1,40}[\\/]?/gi,
    '<path>',
  ],
  [/\d/, /\b(?:0x)?(?=[\da-f]{0,63}\d)[\da-f]{8,64}\b/gi, '<id>'],
  [/\d/, /\b(?=\w{0,63}\d)(?=\w{0,63}[a-z])[\da-z_]{16,64}\b/gi, '<id>'],
  [/\d/, /\d+(?:[.,:]\d+)*/g, '<n>'],
];

export function masked(clean: string): string {
  let text = clean.slice(0, readPattern);
  for (const [needs, form, mark] of masks) if (needs.test(text)) text = text.replace(form, mark);
  return plainText(text, mostPatternLength);
}

/** Masks are shorter than what they stand for, most often. */
const readPattern = 600;

/** Sixteen hexadecimal digits: the same for failures of one rule, sign and masked message. */
export function fingerprintOf(rule: Pick<Rule, 'name'>, facts: Facts, pattern: string): string {
  return hash('sha256', JSON.stringify([rule.name, signOf(facts), pattern]), 'hex').slice(0, 16);
}

/** The code that tells most. */
export function signOf({ code, http_status: status, errno, name }: Facts): string {
  const sign = [code, status, errno, name].find((one) => one !== undefined && one !== '') ?? '';
  return plainText(redacted(String(sign).slice(0, 200)), 64);
}
