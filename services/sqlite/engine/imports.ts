/** CSV files become rows: first aside, where nobody waits for them, then in the table, as one change. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

import { ToolError } from '#runtime/errors.ts';

import { bufferBytes, maxColumns, linesPerStep } from '../limits.ts';
import type { Named, Open } from './connections.ts';
import { CsvReader, delimiters, TypeFinder, type CsvForm, type Field } from './csv.ts';
import { at, atomic, execute, rowsOf, type Desk } from './desk.ts';
import { codes, isSqliteError } from './failures.ts';
import { missing, placeOf } from './places.ts';
import { only, prepare } from './statements.ts';
import { quoted } from './values.ts';

interface Import {
  readonly target: Named;
  readonly path: string;
  readonly table: string;
  readonly form: CsvForm;
  readonly hasHeader: boolean;
  readonly columns: readonly string[] | undefined;
  readonly onConflict: 'abort' | 'ignore' | 'replace';
}

/** What waits aside. */
interface Staged {
  /** Of the CSV file. */
  readonly bytes: number;
  readonly rows: number;
  readonly width: number;
  readonly lastLine: number;
  /** Columns of the table; all of it in their order unless named. */
  readonly names: readonly string[] | undefined;
  /** Of a table that was missing. */
  readonly types: readonly string[] | undefined;
}

/** A temporary table lies in a file of its own, with a lock of its own, which is gone with the connection. Its rowids are lines of the CSV file. */
const aside = 'temp.flotilla_import';
/** Of the progress: reading a row takes longer than adding it. */
const readingShare = 0.8;

export async function stageCsv(desk: Desk, job: Import): Promise<Staged> {
  const file = openCsv(desk, job);
  try {
    const open = at(desk, job.target, 'write');
    execute(open, `DROP TABLE IF EXISTS ${aside}`);
    const isNew = !isThere(open, job.table);
    try {
      return await apart(desk, open, async () => stage(desk, open, file, job, isNew));
    } catch (error) {
      execute(open, `DROP TABLE IF EXISTS ${aside}`);
      throw error;
    }
  } finally {
    closeSync(file.fd);
  }
}

/** One transaction for many rows. It changes the temporary database alone, and so locks nobody out. */
async function apart<Value>(desk: Desk, open: Open, work: () => Promise<Value>): Promise<Value> {
  if (desk.transaction) return work();
  execute(open, 'BEGIN');
  try {
    const value = await work();
    execute(open, 'COMMIT');
    return value;
  } catch (error) {
    if (open.database.isTransaction) execute(open, 'ROLLBACK');
    throw error;
  }
}

const isThere = (open: Open, table: string): boolean =>
  rowsOf(
    open,
    "SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
    table,
  ).length > 0;

async function stage(desk: Desk, open: Open, file: CsvFile, job: Import, isNew: boolean): Promise<Staged> {
  const { form, hasHeader } = job;
  const finders: TypeFinder[] = [];
  let isEmpty = true;
  let names = job.columns;
  let isHeader = hasHeader;
  let rows = 0;
  let width = 0;
  let lastLine = 0;
  let add: ((record: Field[], line: number) => void) | undefined;
  const begin = (record: Field[]) => {
    width = names?.length ?? record.length;
    if (width > maxColumns) throw new ToolError('invalid_input', `A row has more than ${maxColumns} fields.`);
    if (isNew) {
      names ??= record.map((_, index) => `column${index + 1}`);
      requireDifferent(names);
      finders.push(...names.map(() => new TypeFinder()));
    } else only(open, insertOf(job, names, `VALUES (${marksOf(width)})`), 'write');
    const fields = fieldsOf(width);
    execute(open, `CREATE TEMP TABLE flotilla_import (${fields})`);
    const sql = `INSERT INTO ${aside} (rowid, ${fields}) VALUES (?, ${marksOf(width)})`;
    const statement = prepare(open, sql, 'ours')?.statement;
    return (values: Field[], line: number) => void statement?.run(line, ...values);
  };
  await readAll(
    desk,
    file,
    form,
    (bytes) => desk.progress(readingShare * bytes, file.size, `${rows} rows read`),
    (record, line) => {
      isEmpty = false;
      if (isHeader) {
        names ??= namesIn(record, form);
        isHeader = false;
        return;
      }
      add ??= begin(record);
      if (record.length !== width) {
        throw new ToolError(
          'invalid_input',
          `Line ${line} of the CSV file: ${record.length} fields, and not ${width}.`,
          {
            hint: 'Nothing was imported. Correct the file, or name the delimiter that it has.',
          },
        );
      }
      add(record, line);
      if (isNew) for (const [index, field] of record.entries()) finders[index]?.see(field);
      rows += 1;
      lastLine = line;
    },
  );
  const staged = { bytes: file.size, rows, width, lastLine, names, types: undefined };
  if (!isNew) return staged;
  if (isEmpty || !names)
    throw new ToolError('invalid_input', 'The CSV file is empty.', { hint: 'Nothing was imported.' });
  requireDifferent(names);
  return { ...staged, types: names.map((_, index) => finders[index]?.type ?? 'TEXT') };
}

const fieldsOf = (width: number) => Array.from({ length: width }, (_, index) => `f${index}`).join(', ');
const marksOf = (width: number) => Array.from({ length: width }, () => '?').join(', ');

function insertOf({ onConflict, table }: Import, names: readonly string[] | undefined, source: string) {
  const columns = names ? ` (${names.map(quoted).join(', ')})` : '';
  return `INSERT OR ${onConflict.toUpperCase()} INTO main.${quoted(table)}${columns} ${source}`;
}

function requireDifferent(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      throw new ToolError('invalid_input', `Two columns of the CSV file are named ${name}.`, {
        hint: 'Give columns.',
      });
    }
    seen.add(name.toLowerCase());
  }
}

/** Adds what was staged. */
export async function importCsv(desk: Desk, { staged, ...job }: Import & { readonly staged: Staged }) {
  const open = at(desk, job.target, 'write');
  try {
    if (
      staged.rows > 0 &&
      rowsOf(open, "SELECT 1 FROM temp.sqlite_schema WHERE name = 'flotilla_import'").length === 0
    )
      throw new ToolError('conflict', `The database was replaced meanwhile: ${job.target.path}`, {
        hint: 'Look again.',
      });
    return await atomic(desk, open, async () => {
      const isMade = !isThere(open, job.table);
      if (isMade) makeTable(open, job, staged);
      const inserted = staged.rows === 0 ? 0 : await addAll(desk, open, job, staged);
      return { read: staged.rows, inserted, created: isMade };
    });
  } finally {
    if (open.database.isOpen) execute(open, `DROP TABLE IF EXISTS ${aside}`);
  }
}

function makeTable(open: Open, { table }: Import, { names, types }: Staged): void {
  if (!types) {
    throw new ToolError('conflict', `The table was dropped meanwhile: ${table}`, {
      hint: 'Import it again.',
    });
  }
  const declared = names?.map((name, index) => `${quoted(name)} ${types[index]}`) ?? [];
  execute(open, `CREATE TABLE main.${quoted(table)} (${declared.join(', ')})`);
}

async function addAll(
  desk: Desk,
  open: Open,
  job: Import,
  { bytes, width, lastLine, names }: Staged,
): Promise<number> {
  const stepLines = dependsOnOrder(open, job.table) ? 1 : linesPerStep;
  const source = `SELECT ${fieldsOf(width)} FROM ${aside} WHERE rowid BETWEEN ? AND ? ORDER BY rowid`;
  const statement = only(open, insertOf(job, names, source), 'write');
  const add = (from: number, to: number) => Number(statement.run(from, to).changes);
  let inserted = 0;
  for (let from = 1; from <= lastLine; from += stepLines) {
    const to = from + stepLines - 1;
    try {
      inserted += add(from, to);
    } catch (error) {
      if (stepLines === 1) throw blamed(error, from);
      // SQLite undid the step. Its lines, one by one, say which it was.
      if (isOfRow(error)) for (let line = from; line <= to; line += 1) addOne(add, line);
      throw error;
    }
    if (from % linesPerStep === 1 || stepLines > 1) {
      desk.progress(bytes * (readingShare + (1 - readingShare) * (from / lastLine)), bytes, 'Adding rows');
      await desk.breathe();
    }
  }
  return inserted;
}

function addOne(add: (from: number, to: number) => number, line: number): void {
  try {
    add(line, line);
  } catch (error) {
    throw blamed(error, line);
  }
}

function blamed(error: unknown, line: number): unknown {
  if (error instanceof Error) error.message = `Line ${line} of the CSV file: ${error.message}`;
  return error;
}

const isOfRow = (error: unknown): boolean =>
  isSqliteError(error) && [codes.constraint, codes.mismatch].includes(error.errcode & 0xff);

/** Triggers, and keys that point to other rows, are as if each row came alone. */
const dependsOnOrder = (open: Open, table: string): boolean =>
  rowsOf(
    open,
    `SELECT 1 FROM (SELECT * FROM main.sqlite_schema UNION ALL SELECT * FROM temp.sqlite_schema)
      WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE
      UNION ALL SELECT 1 FROM sqlite_schema s, pragma_foreign_key_list(s.name) f
      WHERE s.type = 'table' AND (s.name = ? COLLATE NOCASE OR f."table" = ? COLLATE NOCASE) LIMIT 1`,
    table,
    table,
    table,
  ).length > 0;

interface CsvFile {
  readonly fd: number;
  readonly size: number;
}

/** Files that may be a database are not opened beside one: closing them would give up its locks. */
function openCsv(desk: Desk, { path, target }: Pick<Import, 'path' | 'target'>): CsvFile {
  const place = placeOf(desk.connections.roots, path);
  if (!place.stat) throw missing(path);
  const own = placeOf(desk.connections.roots, target.path).stat;
  if (place.stat.ino === own?.ino && place.stat.dev === own.dev) throw noCsv(path);
  if (!desk.transaction) desk.connections.closeAll();
  const fd = openSync(place.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.ino === place.stat.ino && stat.dev === place.stat.dev)
    return { fd, size: stat.size };
  closeSync(fd);
  throw new ToolError('conflict', `The file was replaced meanwhile: ${path}`, { hint: 'Look again.' });
}

const noCsv = (path: string) => new ToolError('invalid_input', `This is no CSV file: ${path}`);

/** Reads all records of a file. */
async function readAll(
  desk: Desk,
  { fd, size }: CsvFile,
  form: CsvForm,
  tell: (bytes: number) => void,
  receive: (record: Field[], line: number) => void,
): Promise<void> {
  let decoder: TextDecoder | undefined;
  const reader = new CsvReader(form, receive);
  const buffer = Buffer.alloc(bufferBytes);
  for (let position = 0; ;) {
    const length = readSync(fd, buffer, 0, buffer.length, position);
    position += length;
    decoder ??= new TextDecoder(encodingOf(buffer.subarray(0, length)), { fatal: true });
    let text: string;
    try {
      text = decoder.decode(buffer.subarray(0, length), { stream: length > 0 });
    } catch {
      throw new ToolError(
        'invalid_input',
        `The CSV file is not ${decoder.encoding.toUpperCase()} (within the first ${position} bytes).`,
        {
          hint: 'Nothing was imported. Convert it, for example with: iconv -f WINDOWS-1252 -t UTF-8',
        },
      );
    }
    if (length === 0) {
      reader.push(text);
      reader.end();
      return;
    }
    if (text.includes('\0')) {
      throw new ToolError(
        'invalid_input',
        `This is no CSV file: it holds NUL bytes (within the first ${position}).`,
        {
          hint: 'Nothing was imported. If it is UTF-16 without a byte order mark, convert it: iconv -f UTF-16LE -t UTF-8',
        },
      );
    }
    reader.push(text);
    tell(Math.min(position, size));
    await desk.breathe();
  }
}

/** As a byte order mark says, which is no part of the text. */
function encodingOf(head: Buffer): string {
  const mark = head.toString('latin1', 0, 2);
  if (mark === '\u00ff\u00fe') return 'utf-16le';
  return mark === '\u00fe\u00ff' ? 'utf-16be' : 'utf-8';
}

/** A header of one field that holds another delimiter is most likely of a file that is written with that one. */
function namesIn(record: readonly Field[], { delimiter }: CsvForm): string[] {
  const [alone] = record;
  const other = record.length === 1 ? delimiters.find((one) => alone?.includes(one)) : undefined;
  if (other !== undefined && other !== delimiter) {
    throw new ToolError(
      'invalid_input',
      `The first line of the CSV file has no ${JSON.stringify(delimiter)}, but ${JSON.stringify(other)}.`,
      {
        hint: `Nothing was imported. Give the delimiter ${JSON.stringify(other)}, or columns if it is one column.`,
      },
    );
  }
  return record.map((field, index) => field ?? `column${index + 1}`);
}
