/** Texts in parts of bounded length, so that no write, read or deletion of one takes long. The only SQL on parts. */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import { lineStart, linesIn } from '../lines.ts';
import { cutAt } from '#runtime/page.ts';

/** In characters. What a row itself has of a text; the rest follows in parts. */
export const partLength = 16_384;
const partsPerText = 4_096;

/** A text as the row that it belongs to has it. */
export interface TextRow {
  /** How it begins; all of it where `text_id` is null. */
  readonly text: string;
  readonly text_id: number | null;
}

interface Part {
  readonly id: number;
  readonly length: number;
  readonly newlines: number;
}

export function openTexts(database: Database) {
  const reserve = database
    .prepare<[], number>('INSERT INTO leftover DEFAULT VALUES RETURNING text_id')
    .pluck();
  const leave = database.prepare<[number]>('INSERT INTO leftover VALUES (?)');
  const forget = database.prepare<[number]>('DELETE FROM leftover WHERE text_id = ?');
  const someLeftover = database
    .prepare<[string], number>(
      'SELECT text_id FROM leftover WHERE text_id NOT IN (SELECT value FROM json_each(?)) LIMIT 1',
    )
    .pluck();
  const insert = database.prepare<[number, number, number, string]>('INSERT INTO part VALUES (?, ?, ?, ?)');
  const partRows = database.prepare<[number, number], Part>(
    'SELECT id, length, newlines FROM part WHERE id >= ? AND id < ? ORDER BY id',
  );
  const textOf = database.prepare<[number], string>('SELECT text FROM part WHERE id = ?').pluck();
  const removeLast = database.prepare<[number, number]>(
    'DELETE FROM part WHERE id = (SELECT max(id) FROM part WHERE id >= ? AND id < ?)',
  );
  /** Texts that are being written: nobody takes them away. */
  const unfinished = new Set<number>();
  /** Whether there may be something to take away. */
  let hasLeftovers = true;

  const parts = ({ text_id: id }: TextRow): Part[] =>
    id === null ? [] : partRows.all(id * partsPerText, (id + 1) * partsPerText);

  /** @returns whether there was one. */
  const removePart = (id: number) => removeLast.run(id * partsPerText, (id + 1) * partsPerText).changes > 0;

  /** Takes away one part of what was left. */
  function removeSome(): void {
    while (hasLeftovers) {
      const id = someLeftover.get(JSON.stringify([...unfinished]));
      if (id === undefined) hasLeftovers = false;
      else if (removePart(id)) return;
      else forget.run(id);
    }
  }

  return {
    removeSome,

    /**
     * Writes all but the beginning of a text, step by step; the row that has the beginning comes at last, with `adopt`.
     *
     * @param begun gets the id as soon as there is one, for `settle`.
     */
    *write(text: string, begun: number[]): Steps<number | null> {
      if (headOf(text).length === text.length) return null;
      const id = reserve.get() as number;
      unfinished.add(id);
      begun.push(id);
      let number = id * partsPerText;
      for (const part of partsOf(text).drop(1)) {
        // One goes for each that comes: texts that are given up, again and again, take no more room than one.
        removeSome();
        insert.run(number, part.length, linesIn(part) - 1, part);
        number += 1;
        yield;
      }
      return id;
    },

    /** To be called in the transaction that writes the row. */
    adopt(id: number | null): void {
      if (id !== null) forget.run(id);
    },

    /** To be called when writing is over, whatever came of it: what was not adopted is taken away. */
    settle(begun: readonly number[]): void {
      for (const id of begun) unfinished.delete(id);
      hasLeftovers = true;
    },

    /** To be called in the transaction that deletes the row: the parts are taken away later. */
    leave({ text_id: id }: Pick<TextRow, 'text_id'>): void {
      if (id === null) return;
      leave.run(id);
      hasLeftovers = true;
    },

    *remove(id: number | null): Steps<void> {
      if (id === null) return;
      while (removePart(id)) yield;
      forget.run(id);
    },

    /** The characters from `start` up to `end`. */
    between(row: TextRow, start: number, end: number): string {
      if (row.text_id === null || end <= row.text.length) return row.text.slice(start, end);
      const found = [row.text.slice(start, end)];
      let at = row.text.length;
      for (const { id, length } of parts(row)) {
        if (at + length > start && at < end)
          found.push((textOf.get(id) ?? '').slice(Math.max(0, start - at), end - at));
        at += length;
      }
      return found.join('');
    },

    /** Where a line begins, counted from 0; `undefined` when there is none. */
    lineStart(row: TextRow, line: number): number | undefined {
      const inHead = lineStart(row.text, 0, line);
      if (inHead !== undefined || row.text_id === null) return inHead;
      let [at, left] = [row.text.length, line - (linesIn(row.text) - 1)];
      for (const { id, length, newlines } of parts(row)) {
        if (newlines >= left) return at + (lineStart(textOf.get(id) ?? '', 0, left) ?? 0);
        at += length;
        left -= newlines;
      }
      return undefined;
    },

    *all(row: TextRow): Steps<string> {
      const found = [row.text];
      for (const { id } of parts(row)) {
        found.push(textOf.get(id) ?? '');
        yield;
      }
      return found.join('');
    },
  };
}

export const headOf = (text: string) => text.slice(0, cutAt(text, partLength));

/** The head, and what follows it. */
export function* partsOf(text: string): Generator<string, void> {
  let start = 0;
  do {
    const end = cutAt(text, start + partLength);
    yield text.slice(start, end);
    start = end;
  } while (start < text.length);
}
