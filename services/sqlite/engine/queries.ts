/** What callers' SQL is run for. */
import { constants } from 'node:sqlite';

import { ToolError } from '#runtime/errors.ts';

import { isChange } from './authorizer.ts';
import type { Named } from './connections.ts';
import { at, atomic, execute, within, type Desk } from './desk.ts';
import {
  only,
  prepare,
  roomOf,
  runAll,
  runOnly,
  type Bounds,
  type Outcome,
  type Statement,
} from './statements.ts';
import { bound, quoted, type Given } from './values.ts';

interface Asked extends Statement {
  readonly target: Named;
  readonly bounds: Bounds;
}

export function query(desk: Desk, { target, bounds, ...statement }: Asked): Outcome {
  return runOnly(at(desk, target, 'read'), statement, 'read', bounds);
}

/** One statement that changes something and drops nothing. */
export function change(desk: Desk, { target, bounds, ...statement }: Asked): Outcome {
  const open = at(desk, target, 'write');
  const returns = only(open, statement.sql, 'write').columns().length > 0;
  if (returns && !isChange(open.guard) && !open.guard.seen.has(constants.SQLITE_PRAGMA)) {
    throw new ToolError('invalid_input', 'SELECT queries are not allowed for write_query.', {
      hint: 'Use read_query.',
    });
  }
  return runOnly(open, statement, 'write', bounds);
}

/** One CREATE TABLE. */
export function createTable(desk: Desk, { target, bounds, ...statement }: Asked): Outcome {
  const open = at(desk, target, 'write');
  only(open, statement.sql, 'write');
  const { seen } = open.guard;
  const makes = seen.has(constants.SQLITE_CREATE_TABLE) || seen.has(constants.SQLITE_CREATE_VTABLE);
  const isOther = [constants.SQLITE_CREATE_VIEW, constants.SQLITE_CREATE_TRIGGER].some((code) =>
    seen.has(code),
  );
  // CREATE TABLE IF NOT EXISTS prepares to nothing where there is one.
  const isNothing = seen.size === 0;
  if ((!makes && !isNothing) || isOther) {
    throw new ToolError('invalid_input', 'Only CREATE TABLE statements are allowed.', {
      hint: 'write_query makes indexes, views and triggers.',
    });
  }
  return runOnly(open, statement, 'write', bounds);
}

/** Any statements; several are one change, all or nothing. */
export async function executeAll(desk: Desk, { target, bounds, ...statement }: Asked): Promise<Outcome[]> {
  const open = at(desk, target, 'write');
  const permit = within(desk, 'all');
  const first = prepare(open, statement.sql, permit);
  const run = () => runAll(open, statement, permit, bounds);
  return first && /[^\s;]/.test(first.rest) ? atomic(desk, open, run) : run();
}

interface Batch {
  readonly target: Named;
  readonly statements: readonly Statement[];
  readonly bounds: Bounds;
}

export async function batch(desk: Desk, { target, statements, bounds }: Batch): Promise<Outcome[]> {
  const open = at(desk, target, 'write');
  const room = roomOf(bounds);
  return atomic(desk, open, () =>
    statements.map((statement, index) => {
      try {
        return runOnly(open, statement, within(desk, 'all'), bounds, room);
      } catch (error) {
        if (error instanceof Error) error.message = `Statement ${index + 1}: ${error.message}`;
        throw error;
      }
    }),
  );
}

/** The plan of a statement, which is not run. */
export function explain(desk: Desk, { target, sql }: { target: Named; sql: string }) {
  // What changes something can be explained too: the connection only reads, whatever is said.
  const open = at(desk, target, 'read');
  only(open, sql, 'explain');
  if (/^\s*EXPLAIN\b/i.test(sql)) {
    throw new ToolError('invalid_input', 'This is an EXPLAIN already.', {
      hint: 'Give the statement without it, or run it with read_query.',
    });
  }
  const statement = only(open, `EXPLAIN QUERY PLAN ${sql}`, 'explain');
  const rows = statement.all() as unknown as [bigint, bigint, bigint, string][];
  return {
    changes: isChange(open.guard),
    steps: rows
      .slice(0, 500)
      .map(([id, parent, , detail]) => ({ id: Number(id), parent: Number(parent), detail })),
  };
}

interface Bulk {
  readonly target: Named;
  readonly table: string;
  readonly columns: readonly string[] | undefined;
  readonly rows: readonly (readonly Given[])[];
  readonly onConflict: 'abort' | 'ignore' | 'replace';
}

export async function bulkInsert(desk: Desk, { target, table, columns, rows, onConflict }: Bulk) {
  const open = at(desk, target, 'write');
  const names = columns ? ` (${columns.map(quoted).join(', ')})` : '';
  const width = columns?.length ?? rows[0]?.length ?? 0;
  const marks = Array.from({ length: width }, () => '?').join(', ');
  const sql = `INSERT OR ${onConflict.toUpperCase()} INTO main.${quoted(table)}${names} VALUES (${marks})`;
  return atomic(desk, open, () => {
    const statement = only(open, sql, 'write');
    let inserted = 0;
    for (const [index, row] of rows.entries()) {
      if (row.length !== width) {
        throw new ToolError('invalid_input', `Row ${index + 1} has ${row.length} values, and not ${width}.`);
      }
      try {
        inserted += Number(statement.run(...row.map(bound)).changes);
      } catch (error) {
        if (error instanceof Error) error.message = `Row ${index + 1}: ${error.message}`;
        throw error;
      }
    }
    return { inserted, ignored: rows.length - inserted };
  });
}

export function begin(desk: Desk, { target, isImmediate }: { target: Named; isImmediate: boolean }) {
  // No other database is open beside it: what a transaction imports may be one.
  desk.connections.closeAll();
  const open = desk.connections.open(target, 'write');
  execute(open, isImmediate ? 'BEGIN IMMEDIATE' : 'BEGIN');
  desk.transaction = open;
  return { path: open.place.path };
}

export function end(desk: Desk, { commits }: { commits: boolean }) {
  const open = desk.transaction;
  if (!open?.database.isTransaction) throw new TypeError('There is no transaction');
  execute(open, commits ? 'COMMIT' : 'ROLLBACK');
  desk.transaction = undefined;
  return {};
}
