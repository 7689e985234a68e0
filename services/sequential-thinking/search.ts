/**
 * Finds thoughts that contain all words of a query. It looks at one thought after the other, newest first: that finds
 * parts of words in every script, costs nothing when a thought is written, and leaves nothing behind when one is deleted.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import {
  excerptLength,
  maxCharactersPerSearch,
  maxCharactersPerStep,
  maxRowsPerSearch,
  maxRowsPerStep,
} from './limits.ts';

interface Row {
  readonly id: number;
  readonly handle: string | null;
  readonly title: string | null;
  readonly position: number;
  readonly number: number;
  readonly branch_id: string | null;
  readonly at: string;
  /** `null` when the thought is none of the caller's. */
  readonly text: string | null;
}

export interface Found {
  readonly rows: readonly (Row & { readonly excerpt: string })[];
  /** Where to go on; `undefined` when all has been looked at. */
  readonly next: number | undefined;
}

export function openSearch(database: Database) {
  const columns = 't.id, s.handle, s.title, t.position, t.number, t.branch_id, t.at';
  const ofCaller = database.prepare<[string, number], Row>(
    `SELECT ${columns}, CASE WHEN s.caller = ? THEN t.text END AS text
     FROM thought AS t LEFT JOIN session AS s ON s.id = t.session_id
     WHERE t.id < ? ORDER BY t.id DESC`,
  );
  const ofSession = database.prepare<[number, number], Row>(
    `SELECT ${columns}, t.text
     FROM thought AS t JOIN session AS s ON s.id = t.session_id
     WHERE t.session_id = ? AND t.position < ? ORDER BY t.position DESC`,
  );

  return {
    /** Of one session, or of all that the caller began. @param told hears how many were looked at. */
    *search(
      where: { readonly caller: string } | { readonly sessionId: number },
      words: readonly string[],
      before: number,
      limit: number,
      told: (seen: number) => void,
    ): Steps<Found> {
      const rows: (Row & { excerpt: string })[] = [];
      let [seen, characters, at] = [0, 0, before];
      for (;;) {
        let [seenNow, charactersNow] = [0, 0];
        const source =
          'caller' in where ? ofCaller.iterate(where.caller, at) : ofSession.iterate(where.sessionId, at);
        for (const row of source) {
          at = 'caller' in where ? row.id : row.position;
          seenNow += 1;
          charactersNow += row.text?.length ?? 0;
          const excerpt = row.text === null ? undefined : excerptWith(row.text, words);
          if (excerpt !== undefined && rows.push({ ...row, excerpt }) === limit) return { rows, next: at };
          if (seenNow === maxRowsPerStep || charactersNow >= maxCharactersPerStep) break;
        }
        if (seenNow < maxRowsPerStep && charactersNow < maxCharactersPerStep)
          return { rows, next: undefined };
        seen += seenNow;
        characters += charactersNow;
        if (seen >= maxRowsPerSearch || characters >= maxCharactersPerSearch) return { rows, next: at };
        told(seen);
        yield;
      }
    },
  };
}

/** The part of the text around the first word, if it contains all of them. */
function excerptWith(text: string, words: readonly string[]): string | undefined {
  const lowered = text.toLowerCase();
  if (!words.every((word) => lowered.includes(word))) return undefined;
  const at = Math.max(0, lowered.indexOf(words[0] ?? '') - excerptLength / 4);
  const part = text.slice(at, at + excerptLength).toWellFormed();
  return `${at > 0 ? '…' : ''}${part}${at + excerptLength < text.length ? '…' : ''}`;
}
