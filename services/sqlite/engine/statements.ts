/** Runs SQL of callers: one statement at a time, within what it may do and how much it may answer. */
import { constants, type StatementSync } from 'node:sqlite';

import { ToolError } from '#runtime/errors.ts';

import {
  maxCellBytes,
  maxKeptSqlLength,
  maxNameLength,
  maxStatements,
  preparedPerDatabase,
} from '../limits.ts';
import { isChange, isDefinition, type Permit } from './authorizer.ts';
import { numberOf, type Open } from './connections.ts';
import { isSqliteError } from './failures.ts';
import { bound, cellOf, type Cell, type Given } from './values.ts';

/** By position, or by name. */
export type Parameters = readonly Given[] | Readonly<Record<string, Given>>;

export interface Statement {
  readonly sql: string;
  readonly params?: Parameters | undefined;
}

export interface Bounds {
  readonly rows: number;
  /** Rows that were shown before. */
  readonly skip: number;
  /** Of all rows of an answer, as JSON. */
  readonly bytes: number;
}

/** What is left of an answer for the rows of all statements of a call. */
interface Room {
  bytes: number;
  /** The first row is shown however large it is. */
  isEmpty: boolean;
}

export const roomOf = ({ bytes }: Bounds): Room => ({ bytes, isEmpty: true });

export type Row = Readonly<Record<string, Cell>>;

export interface Outcome {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /** There are more rows. */
  readonly isCut: boolean;
  /** Values that are not shown whole. */
  readonly cut: readonly string[];
  /** It changes something. */
  readonly isChange: boolean;
  readonly actions: readonly number[];
  readonly affected: number;
  readonly lastRowid: Cell | undefined;
}

interface Prepared {
  readonly statement: StatementSync;
  /** What follows it in the text. */
  readonly rest: string;
}

/** @throws ToolError for what the guard refuses; `undefined` where the text holds no statement. */
export function prepare({ database, guard }: Open, sql: string, permit: Permit): Prepared | undefined {
  guard.permit = permit;
  guard.seen.clear();
  guard.refusal = undefined;
  try {
    const statement = database.prepare(sql);
    return { statement, rest: sql.slice(statement.sourceSQL.length) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_INVALID_ARG_VALUE') return undefined;
    throw refused({ guard }, error);
  }
}

function refused({ guard }: Pick<Open, 'guard'>, error: unknown): unknown {
  const { refusal } = guard;
  if (!refusal || !isSqliteError(error)) return error;
  return new ToolError('forbidden', `Database error: not authorized here: ${refusal.what}.`, {
    hint: refusal.hint,
  });
}

/** The only statement of a text. @throws ToolError `invalid_input` for none or several. */
export function only(open: Open, sql: string, permit: Permit): StatementSync {
  const { guard, prepared } = open;
  const key = `${permit} ${sql}`;
  const known = prepared.get(key);
  if (!known) {
    const statement = onlyAnew(open, sql, permit);
    const seen = [...guard.seen];
    if (sql.length > maxKeptSqlLength || !seen.every((action) => keptActions.has(action))) return statement;
    prepared.set(key, { statement, seen });
    const [oldest] = prepared.keys();
    if (prepared.size > preparedPerDatabase && oldest !== undefined) prepared.delete(oldest);
    return statement;
  }
  // SQLite prepares it anew by itself where it has to, and asks the guard then.
  guard.permit = permit;
  guard.refusal = undefined;
  guard.seen.clear();
  for (const action of known.seen) guard.seen.add(action);
  prepared.delete(key);
  prepared.set(key, known);
  return known.statement;
}

/** Other statements are rare, and some of them work when they are prepared. */
const keptActions: ReadonlySet<number> = new Set([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE,
  constants.SQLITE_INSERT,
  constants.SQLITE_UPDATE,
  constants.SQLITE_DELETE,
]);

function onlyAnew(open: Open, sql: string, permit: Permit): StatementSync {
  const prepared = prepare(open, sql, permit);
  if (!prepared) throw new ToolError('invalid_input', 'There is no statement in the SQL.');
  // Preparing what follows asks the guard anew: what it saw of the first has to stay.
  const { seen } = open.guard;
  const first = [...seen];
  if (hasStatement(open, prepared.rest)) {
    throw new ToolError('invalid_input', 'You can only execute one statement at a time.', {
      hint: 'execute_sql and execute_batch take several.',
    });
  }
  seen.clear();
  for (const action of first) seen.add(action);
  return prepared.statement;
}

/** Whether anything but white space, comments and semicolons is left. */
function hasStatement(open: Open, sql: string): boolean {
  if (!/[^\s;]/.test(sql)) return false;
  try {
    return prepare(open, sql, 'read') !== undefined;
  } catch {
    // It is no comment.
    return true;
  }
}

export function runOnly(
  open: Open,
  { sql, params }: Statement,
  permit: Permit,
  bounds: Bounds,
  room = roomOf(bounds),
): Outcome {
  const statement = only(open, sql, permit);
  return perform(open, statement, { sql, params }, bounds, room);
}

/** All statements of a text, one after the other. Of params in a list each takes as many as it has placeholders. */
export function runAll(open: Open, { sql, params }: Statement, permit: Permit, bounds: Bounds): Outcome[] {
  const outcomes: Outcome[] = [];
  const room = roomOf(bounds);
  let left = params;
  for (let rest = sql; ;) {
    const prepared = prepare(open, rest, permit);
    if (!prepared) break;
    if (outcomes.length === maxStatements) {
      throw new ToolError('too_large', `More than ${maxStatements} statements in one call.`, {
        hint: 'Send them in several calls.',
      });
    }
    const text = prepared.statement.sourceSQL;
    const isAlone = outcomes.length === 0 && !/[^\s;]/.test(prepared.rest);
    let own = left;
    if (Array.isArray(left) && !isAlone) {
      const needed = Math.max(0, ...variablesOf(open, text));
      own = left.slice(0, needed);
      left = left.slice(needed);
    } else if (left !== undefined && !isAlone) prepared.statement.setAllowUnknownNamedParameters(true);
    outcomes.push(perform(open, prepared.statement, { sql: text, params: own }, bounds, room));
    rest = prepared.rest;
    if (isAlone) break;
  }
  if (Array.isArray(left) && outcomes.length > 1 && left.length > 0) {
    throw new ToolError('invalid_input', `The SQL has ${left.length} parameters fewer than params.`);
  }
  if (outcomes.length === 0) throw new ToolError('invalid_input', 'There is no statement in the SQL.');
  return outcomes;
}

function perform(
  open: Open,
  statement: StatementSync,
  { sql, params }: Statement,
  { rows: most, skip, bytes }: Bounds,
  room: Room,
): Outcome {
  const { guard, own } = open;
  const actions = [...guard.seen];
  const changes = isChange(guard);
  const counts = changes && !isDefinition(guard);
  requireAll(open, sql, params);
  const names = namesOf(statement);
  const [named, positional] = boundTo(params);
  const before = changes ? numberOf(own.totalChanges) : 0n;
  const rows: Row[] = [];
  const cut: string[] = [];
  let isCut = false;
  let affected = 0n;
  try {
    if (names.length === 0) {
      affected = BigInt(
        named ? statement.run(named, ...positional).changes : statement.run(...positional).changes,
      );
    } else {
      const iterator = named ? statement.iterate(named, ...positional) : statement.iterate(...positional);
      let at = 0;
      for (const values of iterator as unknown as Iterable<never[]>) {
        at += 1;
        if (at <= skip || isCut) continue;
        const shown = rowOf(names, values, at, bytes);
        room.bytes -= shown.bytes;
        if (rows.length === most || (room.bytes < 0 && !room.isEmpty)) {
          isCut = true;
          // A change is stepped to its end: what it returns is only what is shown of it.
          if (!changes) break;
        } else {
          rows.push(shown.row);
          room.isEmpty = false;
          cut.push(...shown.cuts.slice(0, maxCutsTold - cut.length));
        }
      }
      if (changes) affected = numberOf(own.changes);
    }
  } catch (error) {
    // ON CONFLICT FAIL keeps what came before it.
    if (isSqliteError(error) && changes && numberOf(own.totalChanges) !== before)
      error.message += ' (what the statement changed before this row was kept)';
    throw refused(open, error);
  }
  // `changes()` keeps the number of the last statement that changed rows.
  const hasChanged = counts && numberOf(own.totalChanges) !== before;
  const hasInserted = hasChanged && actions.includes(constants.SQLITE_INSERT);
  const last = hasInserted ? numberOf(own.lastRowid) : undefined;
  return {
    columns: names,
    rows,
    isCut,
    cut,
    isChange: changes,
    actions,
    affected: hasChanged ? Number(affected) : 0,
    lastRowid: last === undefined ? undefined : cellOf(last, maxCellBytes).cell,
  };
}

function boundTo(params: Parameters | undefined): [Record<string, never> | undefined, never[]] {
  if (params === undefined) return [undefined, []];
  if (Array.isArray(params)) return [undefined, (params as readonly Given[]).map(bound) as never[]];
  const entries = Object.entries(params as Readonly<Record<string, Given>>);
  return [Object.fromEntries(entries.map(([name, value]) => [name, bound(value)])) as never, []];
}

/** SQLite takes a missing parameter for NULL, in silence. */
function requireAll(open: Open, sql: string, params: Parameters | undefined): void {
  const variables = variablesOf(open, sql);
  const given = params === undefined ? 0 : Object.keys(params).length;
  const needed = Array.isArray(params) || params === undefined ? Math.max(0, ...variables) : variables.size;
  if (given >= needed) return;
  const isUnnamable = /[:@$]__proto__\b/.test(sql);
  throw new ToolError(
    'invalid_input',
    `The SQL has ${needed} ${needed === 1 ? 'parameter' : 'parameters'}, and params has ${given}.`,
    {
      hint: isUnnamable
        ? 'No parameter can be named __proto__: choose another name.'
        : 'Give a value for each placeholder, null for NULL.',
    },
  );
}

const mostRemembered = 200;
const remembered = new Map<string, ReadonlySet<number>>();

/** The numbers of the parameters of a statement, which only the program tells that SQLite makes of it. */
function variablesOf(open: Open, sql: string): ReadonlySet<number> {
  if (!/[?:@$]/.test(sql)) return new Set();
  const known = remembered.get(sql);
  if (known) return known;
  const { seen, permit } = open.guard;
  const before = [...seen];
  try {
    // The program of whatever it is, which is not run.
    const explained = prepare(open, `EXPLAIN ${sql}`, permit)?.statement.all() ?? [];
    const program = explained as unknown as unknown[][];
    const variables = new Set(
      program.filter(([, opcode]) => opcode === 'Variable').map(([, , p1]) => Number(p1)),
    );
    remember(sql, variables);
    return variables;
  } catch {
    // It is an EXPLAIN itself.
    return new Set();
  } finally {
    seen.clear();
    for (const action of before) seen.add(action);
  }
}

function remember(sql: string, variables: ReadonlySet<number>): void {
  if (remembered.size >= mostRemembered) remembered.clear();
  if (sql.length < maxNameLength) remembered.set(sql, variables);
}

/** Two columns of one name are told apart as SQLite does it: `a`, `a:1`. */
function namesOf(statement: StatementSync): string[] {
  const names = new Set<string>();
  for (const { name } of statement.columns()) {
    const short = name.slice(0, maxNameLength);
    let own = short;
    for (let number = 1; names.has(own); number += 1) own = `${short}:${number}`;
    names.add(own);
  }
  return [...names];
}

/** Values that were cut, of which an answer tells. */
const maxCutsTold = 20;

/** A row that fits an answer, however large its values are. */
function rowOf(names: readonly string[], values: readonly never[], at: number, mostBytes: number) {
  for (let most = maxCellBytes; ; most = Math.floor(most / 4)) {
    const cuts: string[] = [];
    const row: Record<string, Cell> = {};
    for (const [index, name] of names.entries()) {
      const shown = cellOf(values[index] as never, most);
      Object.defineProperty(row, name, { value: shown.cell, enumerable: true });
      if (shown.cut !== undefined && cuts.length < maxCutsTold)
        cuts.push(`row ${at}, ${name}: of ${shown.cut}`);
    }
    const bytes = Buffer.byteLength(JSON.stringify(row));
    if (bytes <= mostBytes) {
      return { row, bytes, cuts };
    }
    if (most === 0) {
      throw new ToolError('too_large', 'One row is larger than an answer.', {
        hint: 'Select fewer columns.',
      });
    }
  }
}
