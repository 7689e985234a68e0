/** What is in a database, told so that one part that cannot be read hides no other. */
import { statSync } from 'node:fs';

import { ToolError } from '#runtime/errors.ts';

import { maxCellBytes, maxListed, maxToldBytes } from '../limits.ts';
import type { Named, Open } from './connections.ts';
import { at, rowsOf, type Desk } from './desk.ts';
import { isSqliteError } from './failures.ts';
import { asText, cellOf, quoted, type Cell } from './values.ts';

const maxSchemaRows = 100_000;
const maxSchemaLength = 16 * 1024 * 1024;

interface Entry {
  readonly type: string;
  readonly name: string;
  readonly table: string;
  readonly sql: string | null;
}

/** All of the schema: tables first, then what belongs to them. */
function entriesOf(open: Open): Entry[] {
  const rows = rowsOf(
    open,
    `SELECT CASE WHEN type = 'table' AND rootpage = 0 THEN 'virtual' ELSE type END, name, tbl_name, sql FROM sqlite_schema
     WHERE type IN ('table', 'view', 'index', 'trigger') LIMIT ${maxSchemaRows}`,
  );
  return rows.map(([type, name, table, sql]) => ({
    type: type === 'table' && open.guard.shadows.has(String(name)) ? 'shadow' : String(type),
    name: String(name),
    table: String(table),
    sql: sql as string | null,
  }));
}

const isTable = ({ type }: Entry) => type !== 'index' && type !== 'trigger';

/** Tables in the order in which they were made, views with them. */
export function tables(desk: Desk, { target, skip }: { target: Named; skip: number }) {
  const all = entriesOf(at(desk, target, 'read')).filter(isTable);
  const found = all.slice(skip, skip + maxListed).map(({ name, type }) => ({ name, type }));
  return { found, hasMore: skip + found.length < all.length };
}

/** What cannot be told of one object, in SQLite's words; anything but its own errors is thrown. */
function attempt<Value>(tell: () => Value): { value: Value } | { problem: string } {
  try {
    return { value: tell() };
  } catch (error) {
    if (!isSqliteError(error)) throw error;
    return { problem: error.message };
  }
}

interface Column {
  readonly cid: number;
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly dflt_value: string | null;
  readonly pk: number;
  readonly hidden: number;
}

function columnsOf(open: Open, table: string): Column[] {
  return rowsOf(open, `PRAGMA main.table_xinfo(${quoted(table)})`).map((row) => {
    const [cid, name, type, notnull, initial, pk, hidden] = row as [
      bigint,
      string,
      string,
      bigint,
      unknown,
      bigint,
      bigint,
    ];
    return {
      cid: Number(cid),
      name,
      type,
      notnull: Number(notnull),
      dflt_value: initial as string | null,
      pk: Number(pk),
      hidden: Number(hidden),
    };
  });
}

/** @throws ToolError `not_found`. */
function requireEntry(open: Open, table: string): Entry {
  const entries = entriesOf(open).filter(isTable);
  const found =
    entries.find(({ name }) => name === table) ??
    entries.find(({ name }) => name.toLowerCase() === table.toLowerCase()) ??
    (/^sqlite_(schema|master)$/i.test(table)
      ? { type: 'table', name: 'sqlite_schema', table: 'sqlite_schema', sql: null }
      : undefined);
  if (found) return found;
  throw new ToolError('not_found', `Database error: no such table: ${table}`, {
    hint: 'list_tables shows what there is.',
  });
}

export function describe(desk: Desk, { target, table }: { target: Named; table: string }) {
  const open = at(desk, target, 'read');
  const entry = requireEntry(open, table);
  const columns = attempt(() => columnsOf(open, entry.name));
  const of = (pragma: string) => rowsOf(open, `PRAGMA main.${pragma}(${quoted(entry.name)})`);
  const indexes = attempt(() =>
    of('index_list')
      .slice(0, 200)
      .map(([, name, unique, origin, partial]) => ({
        name: String(name),
        columns: rowsOf(open, `PRAGMA main.index_info(${quoted(String(name))})`).map(
          ([, , column]) => (column as string | null) ?? '(an expression)',
        ),
        unique: unique === 1n,
        partial: partial === 1n,
        origin: String(origin),
      })),
  );
  const keys = attempt(() =>
    of('foreign_key_list')
      .slice(0, 500)
      .map(([, , other, from, to, onUpdate, onDelete]) => ({
        column: String(from),
        references: `${String(other)}(${(to as string | null) ?? 'its primary key'})`,
        on_update: String(onUpdate),
        on_delete: String(onDelete),
      })),
  );
  return {
    name: entry.name,
    type: entry.type,
    sql: entry.sql,
    columns: 'value' in columns ? columns.value : [],
    indexes: 'value' in indexes ? indexes.value : [],
    foreign_keys: 'value' in keys ? keys.value : [],
    problem: 'problem' in columns ? columns.problem : undefined,
  };
}

export interface Sought {
  readonly target: Named;
  readonly pattern: string;
  readonly type: string | undefined;
  readonly table: string | undefined;
  readonly detail: 'names' | 'summary' | 'full';
  readonly skip: number;
  readonly limit: number;
}

/** Objects whose name is like the pattern, and columns. */
export function search(desk: Desk, { target, pattern, type, table, detail, skip, limit }: Sought) {
  const open = at(desk, target, 'read');
  const like = (name: string) => rowsOf(open, "SELECT ? LIKE ? ESCAPE '\\'", name, pattern)[0]?.[0] === 1n;
  const ofTable = (name: string) => table === undefined || name.toLowerCase() === table.toLowerCase();
  const entries = entriesOf(open).filter((entry) => ofTable(entry.table));
  if (table !== undefined && entries.length === 0) {
    throw new ToolError('not_found', `There is no such table: ${table}`, { hint: 'list_tables shows them.' });
  }
  const found: Found[] = [];
  // What was shown before, this page, and whether there is one more.
  let bytes = 0;
  const isFull = () => found.length > skip + limit || bytes > maxToldBytes;
  const find = (object: Found) => {
    found.push(object);
    if (found.length > skip) bytes += JSON.stringify(object).length;
  };
  const findColumns = () => {
    for (const { name: of } of entries.filter(isTable)) {
      if (isFull()) break;
      const columns = attempt(() => columnsOf(open, of));
      for (const column of 'value' in columns ? columns.value : []) {
        if (!like(column.name)) continue;
        const details = [column.type, column.pk > 0 ? 'primary key' : '', column.notnull ? 'not null' : ''];
        find({
          name: column.name,
          type: 'column',
          table: of,
          ...(detail !== 'names' && { details: details.filter((word) => word !== '').join(', ') }),
        });
      }
    }
  };
  const findOthers = () => {
    for (const entry of entries) {
      if (isFull()) break;
      if (!(type === undefined || entry.type === type || (type === 'table' && entry.type === 'virtual')))
        continue;
      if ((type === undefined && entry.type === 'shadow') || !like(entry.name)) continue;
      find({
        name: entry.name,
        type: entry.type,
        ...(!isTable(entry) && { table: entry.table }),
        ...(detail !== 'names' && isTable(entry) && { details: summaryOf(open, entry.name) }),
        ...(detail === 'full' && entry.sql !== null && { sql: cut(entry.sql) }),
      });
    }
  };
  if (type !== 'column') findOthers();
  // Of all objects, columns are told with their tables, unless a name is sought.
  if (type === 'column' || (type === undefined && !/^%+$/.test(pattern))) findColumns();
  const page = found.slice(skip, skip + limit);
  return { found: page, hasMore: isFull() };
}

const cut = (text: string) => (text.length > maxCellBytes ? `${text.slice(0, maxCellBytes)}…` : text);

function summaryOf(open: Open, name: string): string {
  const columns = attempt(() => columnsOf(open, name));
  if ('problem' in columns) return columns.problem;
  return cut(columns.value.map(({ name: column, type }) => `${column} ${type}`.trim()).join(', '));
}

/** A part of the SQL that makes an empty database like this one. */
export function schema(
  desk: Desk,
  { target, table, start }: { target: Named; table: string | undefined; start: number },
) {
  const open = at(desk, target, 'read');
  if (table !== undefined) requireEntry(open, table);
  const order = ['table', 'virtual', 'index', 'view', 'trigger'];
  const entries = entriesOf(open)
    // What SQLite and the modules make by themselves.
    .filter(({ name, type, sql }) => sql !== null && type !== 'shadow' && !name.startsWith('sqlite_'))
    .filter((entry) => table === undefined || entry.table.toLowerCase() === table.toLowerCase())
    .toSorted((one, other) => order.indexOf(one.type) - order.indexOf(other.type));
  let text = '';
  for (const { sql } of entries) {
    text += `${sql};\n`;
    if (text.length > maxSchemaLength) {
      throw new ToolError('too_large', 'The schema is larger than is told.', { hint: 'Name a table.' });
    }
  }
  return { text: text.slice(start, start + maxToldBytes), length: text.length };
}

export function info(desk: Desk, { target, check }: { target: Named; check: 'none' | 'quick' | 'full' }) {
  const open = at(desk, target, 'read');
  const of = (pragma: string): string | number => {
    const value = rowsOf(open, `PRAGMA main.${pragma}`)[0]?.[0];
    return typeof value === 'bigint' ? Number(value) : ((value ?? '') as string);
  };
  const counts: Record<string, number> = {};
  for (const { type } of entriesOf(open)) counts[type] = (counts[type] ?? 0) + 1;
  const sizeOf = (end: string) => statSync(open.place.path + end, { throwIfNoEntry: false })?.size ?? 0;
  const checked = attempt(() =>
    check === 'none'
      ? undefined
      : rowsOf(open, `PRAGMA main.${check === 'full' ? 'integrity_check' : 'quick_check'}(100)`)
          .map(([text]) => String(text))
          .filter((text) => text !== 'ok'),
  );
  return {
    path: open.place.path,
    exists: open.place.stat !== undefined,
    size_bytes: sizeOf(''),
    wal_bytes: sizeOf('-wal'),
    page_size: of('page_size'),
    page_count: of('page_count'),
    freelist_count: of('freelist_count'),
    journal_mode: of('journal_mode'),
    encoding: of('encoding'),
    user_version: of('user_version'),
    application_id: of('application_id'),
    counts,
    problems: 'problem' in checked ? [checked.problem] : checked.value,
  };
}

const shown = (value: unknown): Cell => cellOf(value as never, 200).cell;

interface Found {
  readonly name: string;
  readonly type: string;
  readonly table?: string;
  readonly sql?: string;
  readonly details?: string;
}

interface Profiled {
  readonly target: Named;
  readonly table: string;
  readonly columns: readonly string[] | undefined;
  readonly sample: number;
}

/** Of each column: what kinds of values there are, how many, and which are the most frequent. */
export function profile(desk: Desk, { target, table, columns, sample }: Profiled) {
  const open = at(desk, target, 'read');
  const { name } = requireEntry(open, table);
  const known = columnsOf(open, name).filter(({ hidden }) => hidden !== 1);
  const unknown =
    columns?.filter((column) => !known.some((one) => one.name.toLowerCase() === column.toLowerCase())) ?? [];
  if (unknown.length > 0) {
    throw new ToolError('not_found', `Database error: no such column: ${unknown.join(', ')}`, {
      hint: 'describe_table shows the columns.',
    });
  }
  const chosen = columns
    ? known.filter((one) => columns.some((column) => column.toLowerCase() === one.name.toLowerCase()))
    : known;
  const rows = Number(
    rowsOf(open, `SELECT count(*) FROM (SELECT 1 FROM main.${quoted(name)} LIMIT ${sample + 1})`)[0]?.[0],
  );
  return {
    rows: Math.min(rows, sample),
    isSampled: rows > sample,
    columns: chosen.map((column, index) => {
      desk.progress(index, chosen.length, column.name);
      const own = quoted(column.name);
      const from = `(SELECT ${own} AS v FROM main.${quoted(name)} LIMIT ${sample})`;
      const [nulls, distinct, least, most, mean] =
        rowsOf(
          open,
          `SELECT sum(v IS NULL), count(DISTINCT v), min(v), max(v), avg(CASE WHEN typeof(v) IN ('integer', 'real') THEN v END) FROM ${from}`,
        )[0] ?? [];
      const types = rowsOf(open, `SELECT typeof(v), count(*) FROM ${from} GROUP BY 1 ORDER BY 2 DESC, 1`);
      const frequent = rowsOf(
        open,
        `SELECT v, count(*) FROM ${from} WHERE v IS NOT NULL GROUP BY v HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 5`,
      );
      return {
        name: column.name,
        declared: column.type,
        nulls: Number(nulls ?? 0),
        distinct: Number(distinct ?? 0),
        min: shown(least ?? null),
        max: shown(most ?? null),
        ...(typeof mean === 'number' && { mean }),
        types: Object.fromEntries(types.map(([type, count]) => [String(type), Number(count)])),
        frequent: frequent.map(([value, count]) => ({ value: shown(value), count: Number(count) })),
      };
    }),
  };
}

const tokenizers = {
  words: 'unicode61 remove_diacritics 2',
  stems: 'porter unicode61 remove_diacritics 2',
  trigrams: 'trigram',
};
export type Tokenizer = keyof typeof tokenizers;

interface FullText {
  readonly target: Named;
  readonly table: string;
  readonly columns: readonly string[];
  readonly name: string;
  readonly tokenizer: Tokenizer;
}

/** A full-text index beside a table, kept in step by triggers. */
export function ftsSql(
  desk: Desk,
  { target, table, columns, name, tokenizer }: FullText,
): { sql: string; table: string } {
  const open = at(desk, target, 'write');
  const entry = requireEntry(open, table);
  const rowid =
    entry.type === 'table'
      ? attempt(() => rowsOf(open, `SELECT rowid FROM main.${quoted(entry.name)} LIMIT 0`))
      : undefined;
  if (!rowid || 'problem' in rowid) {
    throw new ToolError('invalid_input', `${entry.name} has no rowids that an index could name.`, {
      hint: 'Index a table that is no view, no virtual table and not WITHOUT ROWID.',
    });
  }
  const known = columnsOf(open, entry.name);
  const names = columns.map((column) => {
    const found = known.find((one) => one.name.toLowerCase() === column.toLowerCase());
    if (found) return found.name;
    throw new ToolError('not_found', `Database error: no such column: ${column}`, {
      hint: 'describe_table shows the columns.',
    });
  });
  const keys = known.filter(({ pk }) => pk > 0);
  const [key] = keys;
  const id = keys.length === 1 && key && key.type.toUpperCase() === 'INTEGER' ? key.name : 'rowid';
  const [index, own] = [quoted(name), quoted(entry.name)];
  const list = names.map(quoted).join(', ');
  const valuesOf = (row: 'new' | 'old') =>
    [id, ...names].map((column) => `${row}.${quoted(column)}`).join(', ');
  const add = `INSERT INTO ${index} (rowid, ${list}) VALUES (${valuesOf('new')});`;
  const remove = `INSERT INTO ${index} (${index}, rowid, ${list}) VALUES ('delete', ${valuesOf('old')});`;
  const trigger = (when: string, does: string) =>
    `CREATE TRIGGER ${quoted(`${name}_after_${when}`)} AFTER ${when.toUpperCase()} ON ${own} BEGIN ${does} END;`;
  const options = `content=${asText(entry.name)}, content_rowid=${asText(id)}, tokenize=${asText(tokenizers[tokenizer])}`;
  const sql = [
    `CREATE VIRTUAL TABLE ${index} USING fts5(${list}, ${options});`,
    trigger('insert', add),
    trigger('delete', remove),
    trigger('update', `${remove} ${add}`),
    `INSERT INTO ${index} (${index}) VALUES ('rebuild');`,
  ].join('\n');
  return { sql, table: entry.name };
}
