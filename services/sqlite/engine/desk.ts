/** What the work of an engine has at hand. */
import type { Permit } from './authorizer.ts';
import type { Access, Connections, Named, Open } from './connections.ts';
import { prepare } from './statements.ts';

export interface Desk {
  readonly connections: Connections;
  /** The connection of the transaction that this engine is there for. */
  transaction: Open | undefined;
  readonly progress: (done: number, total?: number, message?: string) => void;
  /** Says that what was done is being made to last: from now on it cannot be undone. */
  readonly ending: () => void;
  /** Lets the engine hear whether it is to stop. @throws when it is. */
  readonly breathe: () => Promise<void>;
}

export const at = (desk: Desk, target: Named, access: Access): Open =>
  desk.transaction ?? desk.connections.open(target, access);

/** What callers may do: temporary tables live as long as a transaction does. */
export const within = (desk: Desk, permit: Permit): Permit =>
  desk.transaction && permit === 'all' ? 'scratch' : permit;

/** SQL of this service, with values. */
export function rowsOf(open: Open, sql: string, ...values: (string | number | bigint | null)[]): unknown[][] {
  const prepared = prepare(open, sql, 'ours');
  return (prepared?.statement.all(...values) ?? []) as unknown as unknown[][];
}

/** SQL of this service. */
export function execute(open: Open, sql: string): void {
  open.guard.permit = 'ours';
  open.database.exec(sql);
}

/** All of a change or nothing: what is thrown undoes it. Within a transaction of the caller, only this part. */
export async function atomic<Value>(
  desk: Desk,
  open: Open,
  work: () => Value | Promise<Value>,
): Promise<Value> {
  const [begin, end, undo] = desk.transaction
    ? ['SAVEPOINT flotilla', 'RELEASE flotilla', 'ROLLBACK TO flotilla; RELEASE flotilla']
    : ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'];
  execute(open, begin);
  try {
    const value = await work();
    if (!desk.transaction) desk.ending();
    execute(open, end);
    return value;
  } catch (error) {
    // SQLite itself ends a transaction that met a full disk.
    if (open.database.isTransaction) execute(open, undo);
    throw error;
  }
}
