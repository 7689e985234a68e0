/** What SQLite and the system refuse, in words that a caller can act on. */
import { readFileSync, statSync } from 'node:fs';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';

export interface SqliteError extends Error {
  readonly errcode: number;
}

export const isSqliteError = (error: unknown): error is SqliteError =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number';

export const codes = {
  readonlyRecovery: 264,
  readonlyRollback: 776,
  busySnapshot: 517,
  busy: 5,
  constraint: 19,
  mismatch: 20,
  readonly: 8,
  cantOpen: 14,
};

type Words = readonly [code: Exclude<ErrorCode, 'internal'>, hint: string];

const readOnly: Words = [
  'forbidden',
  'The database or its folder cannot be written: the operator changes its mode or owner. read_query reads it.',
];

/** By primary result code. */
const meanings: Readonly<Record<number, Words>> = {
  1: ['invalid_input', 'Correct the SQL. describe_table and search_objects show what there is.'],
  3: ['forbidden', 'The operator changes the mode of the file.'],
  5: [
    'unavailable',
    'Another program or transaction has it locked, by writing, or with a rollback journal also by reading: try again, or end that one (commit, rollback, close the program). PRAGMA journal_mode = wal lets readers and a writer work side by side.',
  ],
  6: ['unavailable', 'Another statement is at work on it: try again.'],
  7: [
    'too_large',
    'It needs more memory than a statement may have: sort or join less at once, or add an index.',
  ],
  8: readOnly,
  10: ['unavailable', 'The disk does not answer: tell the operator, and try again.'],
  11: [
    'conflict',
    'The database is damaged: restore a copy, or save what can be read with the .recover command of the sqlite3 program.',
  ],
  13: [
    'unavailable',
    'The disk is full, or the database has the size that the operator allows. Nothing was changed: make room, then try again.',
  ],
  14: ['unavailable', 'The file or its folder cannot be opened: the operator looks at their modes.'],
  15: ['unavailable', 'Try again.'],
  17: ['conflict', 'The tables were changed meanwhile: try again.'],
  18: ['too_large', 'A value, row or statement is larger than is taken here.'],
  19: [
    'conflict',
    'Change the values, or say what to do (ON CONFLICT). Unless the message says otherwise, this statement changed nothing.',
  ],
  20: ['invalid_input', 'The type of a value does not fit.'],
  23: ['forbidden', 'It is closed here.'],
  25: ['invalid_input', 'Give as many params as the SQL has placeholders.'],
  26: [
    'conflict',
    'It is encrypted, or no SQLite database: decrypt a copy with the program that made it, or name another file.',
  ],
};

/** Things missing from this SQLite that a database relies on. */
const absent: readonly (readonly [RegExp, string])[] = [
  [
    /no such module/,
    'The program that made the database brings this module along. Other tables can be read, and search_objects shows the SQL of this one.',
  ],
  [
    /no such collation sequence|unknown tokenizer|no such tokenizer/,
    'The program that made the database brings this along. Queries that do not use the index or column work: put + before the column, or name a collation such as COLLATE NOCASE.',
  ],
  [
    /malformed database schema/,
    'Its schema cannot be read, so nothing else can. The .recover command of sqlite3 may help.',
  ],
];

/** Who keeps a database locked, in words, as far as the kernel tells. */
export function holdersOf(path: string): readonly string[] {
  try {
    // In WAL mode everybody who has it open holds a lock on the database itself: who writes holds one on the index of the log.
    const log = statSync(`${path}-shm`, { throwIfNoEntry: false });
    const { ino } = log ?? statSync(path);
    const pids = readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(
        ([, , , kind, pid, at]) =>
          at?.endsWith(`:${ino}`) && Number(pid) !== process.pid && (!log || kind === 'WRITE'),
      )
      .map(([, , , , pid]) => Number(pid));
    return [...new Set(pids)].map((pid) => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [, name = '', parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(stat) ?? [];
      return Number(parent) === process.ppid
        ? 'a transaction or statement of this service'
        : `${name.replace(/[^\w .-]/g, '?')} (process ${pid})`;
    });
  } catch {
    // It ended just now, or the service may not look.
    return [];
  }
}

/** Failures of the system that files meet. */
const obstacles: Readonly<Record<string, readonly [Words[0], string, string]>> = {
  EACCES: ['forbidden', 'Permission denied', 'The operator changes the owner or mode.'],
  EPERM: ['forbidden', 'Operation not permitted', 'The operator changes the owner or mode.'],
  EROFS: ['forbidden', 'The file system is read-only', 'The operator mounts it for writing.'],
  ENOENT: ['not_found', 'Something was removed meanwhile', 'Look again.'],
  ELOOP: ['conflict', 'Something was replaced by a link meanwhile', 'Look again.'],
  EEXIST: ['conflict', 'Something of this name is there already', 'Choose another name.'],
  ENAMETOOLONG: ['invalid_input', 'A name is too long', 'A name has at most 255 bytes.'],
  ENOSPC: ['unavailable', 'The disk is full', 'Free space and try again.'],
  EDQUOT: ['unavailable', 'The disk quota is used up', 'Free space and try again.'],
  EFBIG: ['too_large', 'The file would be too large', 'Export less.'],
  EIO: ['unavailable', 'The disk does not answer', 'Try again.'],
};

/** A failure of the call; anything else is a bug, and stays as it is. */
export function inWords(error: unknown): unknown {
  if (error instanceof ToolError || !(error instanceof Error)) return error;
  if (!isSqliteError(error)) {
    const { code = '', path } = error as NodeJS.ErrnoException;
    const obstacle = obstacles[code];
    if (obstacle) {
      return new ToolError(obstacle[0], path ? `${obstacle[1]}: ${path}` : obstacle[1], {
        hint: obstacle[2],
      });
    }
    const isOfSql = /^ERR_(SQLITE|INVALID_ARG|INVALID_STATE|OUT_OF_RANGE)/.test(code);
    if (!isOfSql) return error;
    return new ToolError('invalid_input', `Database error: ${error.message}`, {
      ...(error.message.includes('parameter') && {
        hint: 'Name the parameters that the SQL has, and no others.',
      }),
    });
  }
  const message = `Database error: ${error.message}`;
  const missing = absent.find(([form]) => form.test(error.message));
  if (missing) return new ToolError('conflict', message, { hint: missing[1], cause: error });
  if (error.errcode === codes.busySnapshot) {
    return new ToolError('conflict', message, {
      hint: 'Others wrote since this transaction first read: roll it back, and begin again with mode immediate.',
      cause: error,
    });
  }
  const [code, hint] = meanings[error.errcode & 0xff] ?? ['unavailable', 'Try again.'];
  return new ToolError(code, message, {
    hint,
    cause: error,
    ...((error.errcode & 0xff) === codes.busy && { retryAfterMs: 1_000 }),
  });
}
