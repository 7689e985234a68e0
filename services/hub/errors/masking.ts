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
  // A secret that is cut through is no longer known: the last word goes.
  const read = message.length > readLength ? message.slice(0, readLength).replace(/\S{0,2000}$/, '') : message;
  return plainText(redacted(read), mostMessageLength);
}

/** Each has bounds, so that no message makes it slow. What stands first takes what later ones would take in parts. */
const masks: readonly (readonly [RegExp, string])[] = [
  [/\b[a-z][a-z\d+.-]{1,20}:\/\/[^\s"'<>)\]]{1,500}/gi, '<url>'],
  [/[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}/g, '<address>'],
  [/\b[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}\b/gi, '<id>'],
  [/(?<![\w.~@%+-])(?:[a-z]:)?[\w.~@%+-]{0,64}(?:[\\/][\w.~@%+=:,-]{1,128}){1,40}[\\/]?/gi, '<path>'],
  [/\b(?:0x)?(?=[\da-f]{0,63}\d)[\da-f]{8,64}\b/gi, '<id>'],
  [/\b(?=\w{0,63}\d)(?=\w{0,63}[a-z])[\da-z_]{16,64}\b/gi, '<id>'],
  [/\d+(?:[.,:]\d+)*/g, '<n>'],
];

export function masked(clean: string): string {
  let text = clean;
  for (const [pattern, mark] of masks) text = text.replace(pattern, mark);
  return plainText(text, mostPatternLength);
}

/** Sixteen hexadecimal digits: the same for failures of one rule, sign and masked message. */
export function fingerprintOf(rule: Pick<Rule, 'name'>, facts: Facts, pattern: string): string {
  return hash('sha256', JSON.stringify([rule.name, signOf(facts), pattern]), 'hex').slice(0, 16);
}

/** The code that tells most. */
export function signOf({ code, http_status: status, errno, name }: Facts): string {
  const sign = code ?? status ?? errno ?? name ?? '';
  return plainText(redacted(String(sign).slice(0, 200)), 64);
}
