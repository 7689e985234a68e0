/**
 * The notes that the `memory` tool shows as files: rows of the table `file`. Folders exist as long as something lies in
 * them. The only SQL that reads notes.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Change, Rows } from '../journal.ts';
import { rowsPerStep } from '../limits.ts';
import { liveCounter } from '../live-count.ts';

type Note = Rows['file'];

export interface NoteEntry {
  readonly path: string;
  readonly size: number;
}

export type NoteStore = ReturnType<typeof openNoteStore>;

export function openNoteStore(database: Database) {
  const byPath = database.prepare<[string], Note>('SELECT * FROM file WHERE path = ? AND valid_to IS NULL');
  // '0' follows '/' in ASCII: the range holds what lies in the folder, and the index answers it.
  const under = `path >= :folder || '/' AND path < :folder || '0' AND valid_to IS NULL`;
  const firstInside = database.prepare<[{ folder: string }], Note>(
    `SELECT * FROM file WHERE ${under} ORDER BY path LIMIT 1`,
  );
  const anyInside = database
    .prepare<[{ folder: string }], number>(`SELECT 1 FROM file WHERE ${under} LIMIT 1`)
    .pluck();
  const sizes = database.prepare<[{ folder: string; after: string; limit: number }], NoteEntry>(
    `SELECT path, octet_length(text) AS size FROM file WHERE ${under} AND path > :after ORDER BY path LIMIT :limit`,
  );

  /** A note, or one after the other all that lies in a folder, for as long as each is moved away. */
  function* at(path: string): Generator<Note> {
    const note = byPath.get(path);
    if (note) yield note;
    else
      for (let next = firstInside.get({ folder: path }); next; next = firstInside.get({ folder: path }))
        yield next;
  }

  return {
    read: (path: string) => byPath.get(path),
    /** Whether it is a note or a folder. */
    exists: (path: string) => byPath.get(path) !== undefined || anyInside.get({ folder: path }) !== undefined,
    /** What lies in a folder, by path; so many at most. */
    *entries(folder: string, most: number): Steps<NoteEntry[]> {
      const entries: NoteEntry[] = [];
      while (entries.length < most) {
        const limit = Math.min(rowsPerStep, most - entries.length);
        const some = sizes.all({ folder, after: entries.at(-1)?.path ?? '', limit });
        entries.push(...some);
        if (some.length < limit) break;
        yield;
      }
      return entries;
    },
    count: liveCounter(database, 'file'),

    create: (change: Change, path: string, text: string) => change.insert('file', { path, text }),
    write: (change: Change, note: Note, text: string) => change.replace('file', note, { text }),
    /** A note, or all that lies in a folder. @returns how many notes. */
    remove(change: Change, path: string): number {
      let removed = 0;
      for (const note of at(path)) {
        change.end('file', note);
        removed += 1;
      }
      return removed;
    },
    /** A note, or all that lies in a folder, to a place outside. */
    move(change: Change, oldPath: string, newPath: string): void {
      for (const note of at(oldPath)) {
        change.replace('file', note, { path: newPath + note.path.slice(oldPath.length) });
      }
    },
  };
}
