/** The files of the `memory` tool. Folders exist as long as something lies in them. The only SQL that reads files. */
import type { Database } from '#runtime/database.ts';

import type { Change, Rows } from './journal.ts';

export interface FileEntry {
  readonly path: string;
  readonly size: number;
}

export type FileStore = ReturnType<typeof openFileStore>;

export function openFileStore(database: Database) {
  const byPath = database.prepare<[string], Rows['file']>(
    'SELECT * FROM file WHERE path = ? AND valid_to IS NULL',
  );
  // '0' follows '/' in ASCII: the range holds what lies in the folder, and the index answers it.
  const under = `path >= :folder || '/' AND path < :folder || '0' AND valid_to IS NULL`;
  const inside = database.prepare<[{ folder: string }], Rows['file']>(`SELECT * FROM file WHERE ${under}`);
  const anyInside = database
    .prepare<[{ folder: string }], number>(`SELECT 1 FROM file WHERE ${under} LIMIT 1`)
    .pluck();
  const sizes = database.prepare<[{ folder: string }], FileEntry>(
    `SELECT path, octet_length(text) AS size FROM file WHERE ${under} ORDER BY path`,
  );
  const count = database.prepare<[], number>('SELECT count(*) FROM file WHERE valid_to IS NULL').pluck();

  const at = (path: string): Rows['file'][] => {
    const file = byPath.get(path);
    return file ? [file] : inside.all({ folder: path });
  };

  return {
    read: (path: string) => byPath.get(path),
    /** Whether it is a file or a folder. */
    exists: (path: string) => byPath.get(path) !== undefined || anyInside.get({ folder: path }) !== undefined,
    entries: (folder: string) => sizes.all({ folder }),
    count: () => count.get() ?? 0,

    create: (change: Change, path: string, text: string) => change.insert('file', { path, text }),
    write: (change: Change, file: Rows['file'], text: string) => change.replace('file', file, { text }),
    /** A file, or all that lies in a folder. @returns how many files. */
    remove: (change: Change, path: string) => at(path).map((file) => change.end('file', file)).length,
    /** A file, or all that lies in a folder. @returns how many files. */
    move: (change: Change, oldPath: string, newPath: string) =>
      at(oldPath).map((file) =>
        change.replace('file', file, { path: newPath + file.path.slice(oldPath.length) }),
      ).length,
  };
}
