/** Sessions and their files, over one database. The only SQL of the service. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';

import { maxFilesPerSession, pieceBytes } from './limits.ts';

export interface Session {
  readonly id: number;
  readonly handle: string;
  readonly owner: string;
  readonly name: string | null;
  readonly runs: number;
  readonly created_at: string;
  readonly used_at: string;
}

export interface CountedSession extends Session {
  readonly files: number;
  readonly bytes: number;
}

export interface File {
  readonly path: string;
  readonly content: number;
  readonly bytes: number;
  readonly changed_at: string;
}

/** Files that are being taken over: they are there together, or not at all. */
export interface Intake {
  file(path: string): void;
  part(bytes: Uint8Array): void;
  /** Not the last file, after all. */
  leave(): void;
  gone(path: string): void;
  /** @throws ToolError `too_large`, with nothing changed. */
  keep(call: Call): void;
  /** To be called in the end, whatever came of it. */
  drop(): void;
}

export type Store = ReturnType<typeof openStore>;

const remedy = 'Close sessions with close_python_session, or remove files in them.';

export function openStore(path: string, quota: Quota) {
  const database = openDatabase(path, fileURLToPath(new URL('migrations', import.meta.url)));
  const { read, write, probe } = transactionsOf(database);
  const quotas = openQuotas(database, quota, remedy);
  const columns = 'id, handle, owner, name, runs, created_at, used_at';
  const counted = `${columns},
    (SELECT count(*) FROM file WHERE session_id = session.id) AS files,
    (SELECT coalesce(sum(bytes), 0) FROM file WHERE session_id = session.id) AS bytes`;
  const insert = database.prepare<[object]>(
    `INSERT INTO session (handle, owner, name, created_at, used_at) VALUES (:handle, :owner, :name, :now, :now)`,
  );
  const find = database.prepare<[string, string], Session>(
    `SELECT ${columns} FROM session WHERE handle = ? AND owner = ?`,
  );
  const list = database.prepare<[string, string, number, number], CountedSession>(
    `SELECT ${counted} FROM session WHERE owner = ? AND (used_at, id) < (?, ?) ORDER BY used_at DESC, id DESC LIMIT ?`,
  );
  const use = database.prepare<[number, string, number]>(
    'UPDATE session SET runs = runs + ?, used_at = ? WHERE id = ?',
  );
  const drop = database.prepare<[number]>('DELETE FROM session WHERE id = ?');
  const files = database.prepare<[number, string, number], File>(
    'SELECT path, content, bytes, changed_at FROM file WHERE session_id = ? AND path > ? ORDER BY path LIMIT ?',
  );
  const findFile = database.prepare<[number, string], File>(
    'SELECT path, content, bytes, changed_at FROM file WHERE session_id = ? AND path = ?',
  );
  const insertFile = database.prepare<[object]>(
    `INSERT INTO file (session_id, path, owner, content, bytes, changed_at)
     VALUES (:session, :path, :owner, :content, :bytes, :now)`,
  );
  const dropFile = database.prepare<[number, string]>('DELETE FROM file WHERE session_id = ? AND path = ?');
  const dropFiles = database.prepare<[number]>('DELETE FROM file WHERE session_id = ?');
  const countFiles = database
    .prepare<[number], number>('SELECT count(*) FROM file WHERE session_id = ?')
    .pluck();
  /** In blocks, as a folder in memory counts them. */
  const otherBytes = database
    .prepare<[number, string], number>(
      'SELECT coalesce(sum((bytes + 4095) / 4096 * 4096), 0) FROM file WHERE session_id = ? AND path != ?',
    )
    .pluck();
  const isThere = database.prepare<[number], object>('SELECT 1 FROM session WHERE id = ?');
  const newContent = database.prepare('INSERT INTO leftover DEFAULT VALUES');
  const settle = database.prepare<[number]>('DELETE FROM leftover WHERE content = ?');
  const insertPiece = database.prepare<[number, number, Uint8Array]>('INSERT INTO piece VALUES (?, ?, ?)');
  const piece = database
    .prepare<[number, number], Buffer>('SELECT bytes FROM piece WHERE content = ? AND number = ?')
    .pluck();
  const partOfPiece = database
    .prepare<[number, number, number, number], Buffer>(
      'SELECT substr(bytes, ?, ?) FROM piece WHERE content = ? AND number = ?',
    )
    .pluck();
  const oldest = database
    .prepare<[], number>('SELECT content FROM leftover ORDER BY content LIMIT 1')
    .pluck();
  const dropPieces = database.prepare<[number, number]>(
    'DELETE FROM piece WHERE rowid IN (SELECT rowid FROM piece WHERE content = ? LIMIT ?)',
  );

  const open = new Set<number>();
  /** What no file has. */
  function oldestLeft(): number | undefined {
    const content = oldest.get();
    return content === undefined || open.has(content) ? undefined : content;
  }

  /** Takes away a few pieces of what no file has. @returns whether there may be more. */
  function sweep(): boolean {
    // A change waits for the disk, also where there is nothing to change.
    if (read(oldestLeft) === undefined) return false;
    return write(() => {
      const content = oldestLeft();
      if (content === undefined) return false;
      if (dropPieces.run(content, piecesPerStep).changes < piecesPerStep) settle.run(content);
      return true;
    });
  }

  /** @throws ToolError `not_found`, also for a session of another token. */
  function get(handle: string, { caller }: Pick<Call, 'caller'>): Session {
    const found = read(() => find.get(handle, caller));
    if (!found) throw noSession();
    return found;
  }

  /** Much of it goes to the disk as it comes, under contents that no file has yet: one commit for each megabyte. */
  function intake(session: number): Intake {
    const taken: Taken[] = [];
    const left = new Set<string>();
    let waitingBytes = 0;

    /** In a transaction. */
    function put(one: Taken, isWhole: boolean): void {
      if (one.content === 0) {
        one.content = Number(newContent.run().lastInsertRowid);
        open.add(one.content);
      }
      const all = Buffer.concat(one.waiting);
      const end = isWhole ? all.length : all.length - (all.length % pieceBytes);
      for (let at = 0; at < end; at += pieceBytes) {
        insertPiece.run(one.content, one.pieces, all.subarray(at, Math.min(end, at + pieceBytes)));
        one.pieces += 1;
      }
      one.waiting = end < all.length ? [all.subarray(end)] : [];
    }

    function flush(isLast: boolean): void {
      const growing = isLast ? undefined : taken.at(-1);
      for (const one of taken) if (one.waiting.length > 0 || isLast) put(one, one !== growing);
      waitingBytes = growing ? sizeOf(growing.waiting) : 0;
    }

    return {
      file: (path) => void taken.push({ path, content: 0, bytes: 0, pieces: 0, waiting: [] }),
      part(bytes) {
        const one = taken.at(-1);
        if (!one) return;
        one.bytes += bytes.length;
        one.waiting.push(Buffer.from(bytes));
        waitingBytes += bytes.length;
        if (waitingBytes >= flushBytes) write(() => flush(false));
      },
      leave() {
        const one = taken.pop();
        if (!one) return;
        waitingBytes -= sizeOf(one.waiting);
        open.delete(one.content);
      },
      gone: (path) => void left.add(path),
      keep: (call) =>
        write(() => {
          if (!isThere.get(session)) throw noSession();
          flush(true);
          for (const path of left) dropFile.run(session, path);
          for (const { path, content, bytes } of taken) {
            const before = findFile.get(session, path);
            dropFile.run(session, path);
            // What takes no longer than to write it goes at once.
            if (before && before.bytes <= pieceBytes) {
              dropPieces.run(before.content, 1);
              settle.run(before.content);
            }
            settle.run(content);
            insertFile.run({ session, path, owner: call.caller, content, bytes, now: isoOf(call) });
          }
          use.run(0, isoOf(call), session);
          if ((countFiles.get(session) ?? 0) > maxFilesPerSession) {
            throw new ToolError('too_large', `A session keeps at most ${maxFilesPerSession} files.`);
          }
          quotas.requireWithin(call.caller);
        }),
      drop() {
        for (const { content } of taken) open.delete(content);
      },
    };
  }

  return {
    probe,
    get,
    sweep,
    intake,
    kept: quotas.kept,

    create: (name: string | undefined, call: Call): CountedSession =>
      write(() => {
        const handle = `py_${randomBytes(12).toString('hex')}`;
        insert.run({ handle, owner: call.caller, name: name ?? null, now: isoOf(call) });
        quotas.requireWithin(call.caller);
        return { ...get(handle, call), files: 0, bytes: 0 };
      }),

    /** Last used first, and one more where there is one. */
    list: ({ caller }: Call, [usedAt, id]: readonly [string, number], limit: number): CountedSession[] =>
      list.all(caller, usedAt, id, limit + 1),

    /** A run begins. */
    used: (session: number, call: Call) => write(() => void use.run(1, isoOf(call), session)),

    remove: (session: number) =>
      write(() => {
        dropFiles.run(session);
        drop.run(session);
      }),

    clear: (session: number) => write(() => dropFiles.run(session).changes),

    files: (session: number, after: string, limit: number): File[] =>
      read(() => files.all(session, after, limit)),
    file: (session: number, path: string): File | undefined => read(() => findFile.get(session, path)),

    /** @throws ToolError `conflict` for a path that leads through a file, or is a folder. */
    requirePlace(session: number, path: string): void {
      const parts = path.split('/');
      const around = parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
      const file = around.find((folder) => findFile.get(session, folder));
      if (file !== undefined) throw new ToolError('conflict', `${file} is a file, and no folder.`);
      if (files.get(session, `${path}/`, 1)?.path.startsWith(`${path}/`)) {
        throw new ToolError('conflict', `${path} is a folder, and no file.`);
      }
    },

    /** @throws ToolError `too_large` for what would not fit into the folder, beside the other files. */
    requireRoom(session: number, path: string, bytes: number, most: number): void {
      const others = otherBytes.get(session, path) ?? 0;
      if (others + bytes <= most) return;
      const has = `The folder of a session has room for ${most} bytes, and its other files take ${others}`;
      throw new ToolError('too_large', `${has}: ${bytes} more do not fit.`, {
        hint: 'Remove files by code that the session runs, or use another session.',
      });
    },

    *pieces({ content, bytes }: File): Generator<Buffer> {
      for (let number = 0; number * pieceBytes < bytes; number += 1)
        yield piece.get(content, number) ?? Buffer.of();
    },

    /** So many bytes of a file from one on, or what there is. */
    read: ({ content, bytes }: File, start: number, count: number): Buffer =>
      read(() => {
        const end = Math.min(bytes, start + count);
        const parts: Buffer[] = [];
        for (let at = start; at < end;) {
          const number = Math.floor(at / pieceBytes);
          const from = at - number * pieceBytes;
          const most = Math.min(end - at, pieceBytes - from);
          parts.push(partOfPiece.get(from + 1, most, content, number) ?? Buffer.of());
          at += most;
        }
        return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      }),

    [Symbol.dispose]: () => database.close(),
  };
}

/** A file on its way in. */
interface Taken {
  readonly path: string;
  /** 0 before anything of it is on the disk. */
  content: number;
  bytes: number;
  pieces: number;
  waiting: Buffer[];
}

const sizeOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);

const noSession = () =>
  new ToolError('not_found', 'There is no such session.', {
    hint: 'list_python_sessions shows those of this token; create_python_session makes one.',
  });

const isoOf = ({ nowMs }: Call) => new Date(nowMs).toISOString();

/** A megabyte, in one step. */
const piecesPerStep = 4;
const flushBytes = 4 * pieceBytes;
