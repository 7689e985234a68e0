/**
 * All writes of the service: versions of rows that begin and end with a change, and are never overwritten. The only SQL
 * that inserts or ends a row.
 */
import type { Database, Transactions } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import { bytesKept, checkLengths, costOf, maxChangeCost } from './limits.ts';
import { composed } from './names.ts';
import { nowIso } from '#runtime/time.ts';

interface Version {
  id: number;
  valid_from: number;
  valid_to: number | null;
}

export interface Rows {
  entity: Version & { entity_id: number; name: string; type: string; composed: string | null };
  observation: Version & { observation_id: number; entity_id: number; text: string };
  relation: Version & { relation_id: number; from_id: number; to_id: number; type: string };
  memory: Version & {
    memory_id: number;
    text: string;
    project: string | null;
    session: string | null;
    speaker: string | null;
    tags: string;
    occurred_at: string;
    created_at: string;
    expires_at: string | null;
    /** 0 once it has expired and was taken out of the posting lists: not content, but kept by the search. */
    is_indexed: number;
  };
  file: Version & { file_id: number; path: string; text: string };
}

export type Kind = keyof Rows;
type Key<K extends Kind> = `${K}_id`;
type Column<K extends Kind> = Exclude<keyof Rows[K], keyof Version | Key<K> | 'is_indexed' | 'composed'> &
  string;
type Values<K extends Kind> = Pick<Rows[K], Column<K>> & { [key in Key<K>]?: number };

/** The columns of each table that hold its content. */
const contents: { [K in Kind]: readonly Column<K>[] } = {
  entity: ['name', 'type'],
  observation: ['entity_id', 'text'],
  relation: ['from_id', 'to_id', 'type'],
  memory: ['text', 'project', 'session', 'speaker', 'tags', 'occurred_at', 'created_at', 'expires_at'],
  file: ['path', 'text'],
};

/** Columns that follow from the content. */
const derived: { [K in Kind]?: (values: Values<K>) => Partial<Rows[K]> } = {
  // How a name is found that is not written in NFC.
  entity: ({ name }) => ({ composed: composed(name) === name ? null : composed(name) }),
};

export const kinds = Object.keys(contents) as readonly Kind[];
/** Those that make, or belong to, an entity. */
const graphKinds: ReadonlySet<Kind> = new Set(['entity', 'observation', 'relation']);

/**
 * A search index over live rows, brought up to date by the journal at the end of each change, within its transaction. Once
 * for all of a change: full-text indexes write out what they hold with every statement that follows on another table.
 */
export interface RowIndex<Row> {
  /** Works out what is to be written, and what that costs beyond the rows themselves. Both by ascending id. */
  prepare(removed: readonly Row[], added: readonly Row[]): { readonly cost: number; write(): void };
}
export type RowIndexes = { readonly [K in Kind]?: RowIndex<Rows[K]> };

export interface Author {
  readonly tool: string;
  readonly caller: string;
  readonly nowMs: number;
}

/** What a change may cost, in the unit of limits.ts. */
export interface Bounds {
  readonly most: number;
  /** Told what was spent so far. @throws to end the change, which is undone. */
  readonly goOn?: (spent: number) => void;
}

/** A change costs more than it may: what it did is undone. */
export class TooLarge extends ToolError {
  constructor() {
    super('too_large', 'This is more than one call may change.', {
      hint: 'Nothing was changed: split it into several calls; of one large entity, delete facts and relations first.',
    });
  }
}

/** What one transaction may do. It becomes an entry of the journal with its first write, and none without. */
export interface Change {
  readonly author: Author;
  readonly bounds: Bounds;
  /** A row of the thing that `<kind>_id` names, or of a new one. @throws TooLarge, as all below. */
  insert<K extends Kind>(kind: K, values: Values<K>): Rows[K];
  end<K extends Kind>(kind: K, row: Rows[K]): void;
  /** Ends a row and begins the next version of the same thing. */
  replace<K extends Kind>(kind: K, row: Rows[K], values: Partial<Values<K>>): Rows[K];
  /** Counts what costs time and may write nothing, so that a call full of what exists is bounded too. */
  spend(cost: number): void;
  /** Says, before the first write, which change this one takes back or brings back. */
  undoing(changeId: number): void;
}

const keyOf = <K extends Kind>(kind: K, row: Rows[K]): number =>
  (row as unknown as Readonly<Record<string, number>>)[`${kind}_id`] as number;

export const sameContent = <K extends Kind>(kind: K, one: Rows[K], other: Rows[K]): boolean =>
  (contents[kind] as readonly Column<K>[]).every((column) => one[column] === other[column]);

// Table and column names below come from `contents` alone.
function prepareKind<K extends Kind>(database: Database, kind: K) {
  const key = `${kind}_id`;
  const columns: readonly string[] = [...contents[kind], ...(kind === 'entity' ? ['composed'] : [])];
  const select = `SELECT * FROM ${kind} WHERE`;
  const insert = database.prepare(
    `INSERT INTO ${kind} (${key}, ${columns.join(', ')}, valid_from)
     VALUES (coalesce(?, (SELECT coalesce(max(id), 0) + 1 FROM ${kind})), ${columns.map(() => '?').join(', ')}, ?)`,
  );
  return {
    /** Without RETURNING, and values by place, not by name: either costs as much as the row. @returns the id of the row. */
    insert(values: Readonly<Record<string, unknown>>, validFrom: number): number {
      const placed = columns.map((column) => values[column]);
      return Number(insert.run(values[key] ?? null, ...placed, validFrom).lastInsertRowid);
    },
    end: database.prepare<[number, number]>(`UPDATE ${kind} SET valid_to = ? WHERE id = ?`),
    live: database.prepare<[number], Rows[K]>(`${select} ${key} = ? AND valid_to IS NULL`),
    version: database.prepare<[number], Rows[K]>(`${select} id = ?`),
    begun: database
      .prepare<[number, number], number>(
        `SELECT id FROM ${kind} WHERE valid_from = ? AND valid_to IS NOT valid_from ORDER BY id LIMIT ?`,
      )
      .pluck(),
    ended: database
      .prepare<[number, number], number>(
        `SELECT id FROM ${kind} WHERE valid_to = ? AND valid_from <> valid_to ORDER BY id LIMIT ?`,
      )
      .pluck(),
  };
}

/** What a change began and ended; a row that it both began and ended is neither. */
interface TouchedRows<Row> {
  readonly added: Map<number, Row>;
  readonly removed: Row[];
}
const touchedRows = (): TouchedRows<Version> => ({ added: new Map(), removed: [] });
const byId = (one: Version, other: Version) => one.id - other.id;

/** An undo may take its author to so many times the quota. */
const undoRoom = 2;

/** What else belongs into the transaction of a change. */
export interface Upkeep {
  /** @throws ToolError too_large beyond so many times the owner's quota. */
  readonly requireWithin: (owner: string, times: number) => void;
  readonly afterwards: (author: Author) => void;
}

export type Journal = ReturnType<typeof openJournal>;

export function openJournal(
  database: Database,
  { write }: Transactions,
  indexes: RowIndexes,
  { requireWithin, afterwards }: Upkeep,
) {
  const statements = {
    entity: prepareKind(database, 'entity'),
    observation: prepareKind(database, 'observation'),
    relation: prepareKind(database, 'relation'),
    memory: prepareKind(database, 'memory'),
    file: prepareKind(database, 'file'),
  };
  const of = <K extends Kind>(kind: K) => statements[kind] as unknown as ReturnType<typeof prepareKind<K>>;
  const indexOf = <K extends Kind>(kind: K) => indexes[kind];

  const keep = database.prepare<[{ owner: string; items: number; bytes: number }]>(
    `INSERT INTO kept (owner, items, bytes) VALUES (:owner, max(:items, 0), max(:bytes, 0))
     ON CONFLICT (owner) DO UPDATE SET items = max(items + :items, 0), bytes = max(bytes + :bytes, 0)`,
  );
  const begin = database.prepare<[string, string, string, number | null]>(
    'INSERT INTO change (at, caller, tool, undoes) VALUES (?, ?, ?, ?)',
  );
  const group = database
    .prepare<[{ id: number }], number>(
      `WITH root(id) AS (SELECT coalesce(undoes, id) FROM change WHERE id = :id)
       SELECT id FROM change WHERE id = (SELECT id FROM root) OR undoes = (SELECT id FROM root) ORDER BY id`,
    )
    .pluck();
  // Among so many, or the search for one that stands could take long.
  const newestOf = database
    .prepare<[string], number>(
      `SELECT id FROM (SELECT id, undoes FROM change WHERE caller = ? ORDER BY id DESC LIMIT 5000) AS c
       WHERE undoes IS NULL AND (SELECT count(*) FROM change AS u WHERE u.undoes = c.id) % 2 = 0
       ORDER BY id DESC LIMIT 1`,
    )
    .pluck();
  // The plus signs keep the planner from reading all live entities.
  const touchedEntities = database
    .prepare<[{ id: number }], string>(
      `SELECT DISTINCT name FROM entity
       WHERE entity_id IN (SELECT entity_id FROM entity_change WHERE change_id = :id)
         AND (+valid_to IS NULL OR +valid_to = :id)`,
    )
    .pluck();
  const purged = database.prepare<[number]>('SELECT 1 FROM purged WHERE change_id = ?').pluck();
  const newest = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM change').pluck();

  /** One after the other, because they may be large. */
  function* versions<K extends Kind>(kind: K, ids: readonly number[]): Generator<Rows[K]> {
    for (const id of ids) {
      const row = of(kind).version.get(id);
      if (row) yield row;
    }
  }

  function changeBy(author: Author, bounds: Bounds) {
    let id: number | undefined;
    let undoes: number | null = null;
    let spent = 0;
    let bytes = 0;
    let items = 0;
    const touched = new Map(kinds.map((kind) => [kind, touchedRows()]));
    const of = <K extends Kind>(kind: K) => touched.get(kind) as TouchedRows<Rows[K]>;
    let isOfGraph = false;
    const begun = () =>
      (id ??= Number(begin.run(nowIso(author), author.caller, author.tool, undoes).lastInsertRowid));
    const spend = (cost: number) => {
      spent += cost;
      if (spent > bounds.most) throw new TooLarge();
      bounds.goOn?.(spent);
    };
    const change: Change = {
      author,
      bounds,
      spend,
      insert(kind, values) {
        checkLengths(kind, values);
        spend(costOf(kind, values));
        const validFrom = begun();
        const key = `${kind}_id`;
        const given = { ...values, ...derived[kind]?.(values) } as Readonly<Record<string, unknown>>;
        const rowId = statements[kind].insert(given, validFrom);
        const row = {
          ...given,
          id: rowId,
          [key]: given[key] ?? rowId,
          valid_from: validFrom,
          valid_to: null,
          ...(kind === 'memory' && { is_indexed: 1 }),
        } as unknown as Rows[typeof kind];
        of(kind).added.set(rowId, row);
        isOfGraph ||= graphKinds.has(kind);
        items += 1;
        bytes += bytesKept(kind, row);
        return row;
      },
      end(kind, row) {
        spend(costOf(kind, row));
        statements[kind].end.run(begun(), row.id);
        if (!of(kind).added.delete(row.id)) of(kind).removed.push(row);
        isOfGraph ||= graphKinds.has(kind);
      },
      replace(kind, row, values) {
        change.end(kind, row);
        return change.insert(kind, { ...row, ...values });
      },
      undoing(changeId) {
        undoes = changeId;
      },
    };
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it ties the rows of a kind to the index of that kind
    const prepareIndex = <K extends Kind>(kind: K) => {
      const { added, removed } = of(kind);
      if (added.size + removed.length === 0) return [];
      return indexOf(kind)?.prepare(removed.toSorted(byId), [...added.values()]) ?? [];
    };
    const updateIndexes = () => {
      const work = kinds.flatMap(prepareIndex);
      for (const { cost } of work) spend(cost);
      for (const index of work) index.write();
    };
    const count = () => {
      if (items === 0) return;
      keep.run({ owner: author.caller, items, bytes: Math.round(bytes) });
      // What another deleted has to come back, also to an owner who has no room for a second copy.
      requireWithin(author.caller, undoes === null ? 1 : undoRoom);
    };
    const names = () => (id !== undefined && isOfGraph ? touchedEntities.all({ id }) : []);
    return { change, updateIndexes, count, id: () => id, names };
  }

  return {
    /**
     * Runs one IMMEDIATE transaction: of two processes that write one file, one waits for the other.
     * @returns what `work` returned; the number of the change, where rows were changed at all; the names of the entities that it
     * touched.
     * @throws TooLarge; ToolError too_large beyond the caller's quota, cancelled, unavailable.
     */
    record<Value>(
      author: Author,
      work: (change: Change) => Value,
      bounds: Bounds = { most: maxChangeCost },
    ): { value: Value; changeId: number | undefined; touched: string[] } {
      const { change, updateIndexes, count, id, names } = changeBy(author, bounds);
      const value = write(() => {
        const done = work(change);
        count();
        updateIndexes();
        afterwards(author);
        return done;
      });
      return { value, changeId: id(), touched: names() };
    },
    /** Counts rows that are no longer kept for their owner. */
    release: (owner: string, items: number, bytes: number): void =>
      void keep.run({ owner, items: -items, bytes: -Math.round(bytes) }),
    isPurged: (changeId: number) => purged.get(changeId) !== undefined,
    live: <K extends Kind>(kind: K, key: number) => of(kind).live.get(key),
    liveVersionOf: <K extends Kind>(kind: K, row: Rows[K]) => of(kind).live.get(keyOf(kind, row)),
    /** The rows that a change began and that live or were ended later; at most so many. */
    begunBy: <K extends Kind>(kind: K, changeId: number, most: number) =>
      versions(kind, of(kind).begun.all(changeId, most)),
    endedBy: <K extends Kind>(kind: K, changeId: number, most: number) =>
      versions(kind, of(kind).ended.all(changeId, most)),
    /** A change, what took it back, what brought it back, and so on, in turn. */
    groupOf: (changeId: number) => group.all({ id: changeId }),
    /** The newest change of this caller that stands. */
    newestOf: (caller: string) => newestOf.get(caller),
    count: () => newest.get() ?? 0,
  };
}
