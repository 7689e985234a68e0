/** Looks for words in steps, the newest chains first. */
import type { Database } from '#runtime/database.ts';

import { excerptLength, seqBits } from '../limits.ts';
import { typeNumber, types, type StepType } from '../steps/step.ts';
import { ownerTag, typeTag, wordsIn } from './words.ts';
import { wordsOf } from './tending.ts';

export interface Question {
  readonly owner: string;
  readonly query: string;
  readonly chain?: string | undefined;
  readonly type?: StepType | undefined;
  readonly limit: number;
  /** A step's row; later ones are passed over. */
  readonly before: number;
}

export interface Hit {
  readonly chain_id: string;
  readonly seq: number;
  readonly type: StepType;
  readonly model: string;
  readonly at_us: number;
  readonly excerpt: string;
}

export interface Found {
  readonly hits: readonly Hit[];
  readonly next: number | undefined;
  /** Steps of the token that are not in the index yet. */
  readonly notIndexed: number;
}

interface Row {
  readonly id: number;
  readonly type: number;
  readonly at_us: number;
  readonly content: string;
  readonly detail: string | null;
  readonly uid: string;
  readonly model: string;
}

export function openSearch(database: Database) {
  const search = database.prepare<[string, number, number, number], Row>(
    `SELECT s.id, s.type, s.at_us, s.content, s.detail, lower(hex(c.uid)) AS uid, c.model
     FROM (SELECT rowid AS id FROM step_fts WHERE step_fts MATCH ? AND rowid < ? AND rowid > ? ORDER BY rowid DESC LIMIT ?) AS f
     JOIN step AS s ON s.id = f.id JOIN chain AS c ON c.id = s.id / ${seqBits}
     ORDER BY s.id DESC`,
  );
  const chainId = database
    .prepare<[string, Buffer], number>('SELECT id FROM chain WHERE owner = ? AND uid = ?')
    .pluck();
  const behind = database
    .prepare<[string], number>(
      'SELECT coalesce(sum(last_seq - tended_seq), 0) FROM chain WHERE tended_seq < last_seq AND owner = ?',
    )
    .pluck();

  return ({ owner, query, chain, type, limit, before }: Question): Found => {
    const { match, shown } = wordsIn(query);
    const tags = [ownerTag(owner), ...(type === undefined ? [] : [typeTag(type)])];
    let [above, below] = [-1, before];
    if (chain !== undefined) {
      const id = chainId.get(owner, Buffer.from(chain, 'hex'));
      if (id === undefined) return { hits: [], next: undefined, notIndexed: 0 };
      [above, below] = [id * seqBits, Math.min(before, (id + 1) * seqBits)];
    }
    const rows = search.all(`tags : (${tags.join(' AND ')}) AND (${match})`, below, above, limit + 1);
    const hits = rows
      .slice(0, limit)
      .filter((row) => type === undefined || row.type === typeNumber(type))
      .map((row): Hit => ({
        chain_id: row.uid,
        seq: row.id % seqBits,
        type: types[row.type] ?? 'analysis',
        model: row.model,
        at_us: row.at_us,
        excerpt: excerptOf(wordsOf(row), shown),
      }));
    return {
      hits,
      next: rows.length > limit ? rows[limit - 1]?.id : undefined,
      notIndexed: behind.get(owner) ?? 0,
    };
  };
}

/** The part around the first word that is found as it was written. */
function excerptOf(text: string, words: readonly string[]): string {
  const lowered = text.toLowerCase();
  const places = words.map((word) => lowered.indexOf(word)).filter((at) => at >= 0);
  const from = Math.max(0, Math.min(...places, text.length) - excerptLength / 4);
  const start = places.length === 0 ? 0 : from;
  const part = text
    .slice(start, start + excerptLength)
    .toWellFormed()
    .replaceAll(/\s+/g, ' ');
  return `${start > 0 ? '…' : ''}${part}${start + excerptLength < text.length ? '…' : ''}`;
}
