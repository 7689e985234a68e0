/** Words of a query, as the index of words understands them. */
import { hash } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';

import { maxQueryWords } from '../limits.ts';

/** A word that no text has by chance; names of tokens may have any signs. */
export const ownerTag = (owner: string): string => `o${hash('sha256', owner, 'hex').slice(0, 16)}`;
export const typeTag = (type: string): string => `t${type}`;

export interface Words {
  /** For FTS5. */
  readonly match: string;
  /** In lower case, for the excerpt. */
  readonly shown: readonly string[];
}

const term = /(-?)(?:"([^"]*)"|(\S+))/g;

/** Words that must all be there, `"in this order"`, `beginn*`, and `-without` this one. @throws ToolError invalid_input. */
export function wordsIn(query: string): Words {
  const wanted: string[] = [];
  const unwanted: string[] = [];
  const shown: string[] = [];
  for (const [, minus, phrase, word = ''] of query.matchAll(term)) {
    const isPrefix = phrase === undefined && word.endsWith('*');
    const text = (phrase ?? word).replaceAll('*', ' ').replaceAll('"', ' ').trim();
    // What has neither letters nor digits is no word to the index.
    if (!/[\p{L}\p{N}]/u.test(text)) continue;
    const quoted = `"${text}"${isPrefix ? ' *' : ''}`;
    if (minus === '-') unwanted.push(quoted);
    else {
      wanted.push(quoted);
      shown.push(text.toLowerCase());
    }
  }
  if (wanted.length === 0 || wanted.length + unwanted.length > maxQueryWords)
    throw new ToolError('invalid_input', `query: must have from 1 to ${maxQueryWords} words to look for.`, {
      hint: 'For example: rollback "disk full" conn* -test',
    });
  const all = `text : (${wanted.join(' AND ')})`;
  return { match: unwanted.length === 0 ? all : `(${all}) NOT text : (${unwanted.join(' OR ')})`, shown };
}
