/** Text of others for a page: one line, without controls that a terminal or a reader would obey, and of bounded length. Pure. */
import { stripVTControlCharacters } from 'node:util';

/** Controls, and what turns the direction of the text around it. A row of blanks is looked at from its beginning alone, or it would take the square of its length. */
const unseen = /(?:(?<! ) +)?[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+ */gu;

export function plainText(text: string, mostLength: number): string {
  const plain = stripVTControlCharacters(text).replaceAll(unseen, ' ').trim().toWellFormed();
  return plain.length > mostLength ? `${plain.slice(0, mostLength - 1).toWellFormed()}…` : plain;
}
