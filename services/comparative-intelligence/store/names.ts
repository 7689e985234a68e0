/**
 * Models, kinds of tasks and judges by number. A batch that comes in pieces uses numbers of names that are not stored before it is
 * whole: a number that was given once is never another name's as long as the process runs.
 */
import type { Database } from '#runtime/database.ts';

import { Fault } from '../battle.ts';
import { maxJudges, maxSubjects, maxTaskTypes } from '../limits.ts';

export interface Name {
  readonly id: number;
  readonly key: string;
  readonly values: readonly (string | number)[];
  isStored: boolean;
  /** How many batches wait to store it. */
  waiting: number;
}

interface NamesOf {
  readonly table: string;
  readonly columns: readonly string[];
  /** Of one token. */
  readonly most: number;
  readonly what: string;
}

export type Names = ReturnType<typeof openNames>;

export function openNames(database: Database) {
  const all = {
    subjects: namesOf(database, {
      table: 'subject',
      columns: ['key', 'kind'],
      most: maxSubjects,
      what: 'models and clients',
    }),
    taskTypes: namesOf(database, {
      table: 'task_type',
      columns: ['name'],
      most: maxTaskTypes,
      what: 'task types',
    }),
    judges: namesOf(database, {
      table: 'judge',
      columns: ['name', 'source'],
      most: maxJudges,
      what: 'judges',
    }),
  };
  return {
    /** @param owner whose battles name them; nobody for decisions, whose names model-profile bounds. */
    naming(owner: string) {
      const [subjects, taskTypes, judges] = [
        all.subjects.naming(owner),
        all.taskTypes.naming(owner),
        all.judges.naming(owner),
      ];
      return {
        subject: (key: string, kind: string) => subjects.idOf(key, kind),
        taskType: (name: string) => taskTypes.idOf(name),
        judge: (name: string, source: number) => judges.idOf(name, source),
        /** In the transaction that shows what uses them. */
        store(): void {
          for (const one of [subjects, taskTypes, judges]) one.store();
        },
        /** At the end, whether or not they were stored. */
        release(): void {
          for (const one of [subjects, taskTypes, judges]) one.release();
        },
      };
    },
    committed(): void {
      for (const names of Object.values(all)) names.committed();
    },
    undone(): void {
      for (const names of Object.values(all)) names.undone();
    },
  };
}

function namesOf(database: Database, { table, columns, most, what }: NamesOf) {
  const known = new Map<string, Name>();
  /** How many names each owner has stored. */
  const counts = new Map<string, number>();
  /** Stored in this transaction. */
  let fresh: Name[] = [];
  const count = database.prepare<[string], number>(`SELECT count(*) FROM ${table} WHERE owner = ?`).pluck();
  const find = database
    .prepare<(string | number)[], number>(
      `SELECT id FROM ${table} WHERE ${columns.map((column) => `${column} = ?`).join(' AND ')}`,
    )
    .pluck();
  const add = database.prepare<(string | number)[]>(
    `INSERT INTO ${table} (id, ${columns.join(', ')}, owner) VALUES (?, ${columns.map(() => '?').join(', ')}, ?)`,
  );
  let last = database.prepare<[], number>(`SELECT coalesce(max(id), 0) FROM ${table}`).pluck().get() ?? 0;

  function named(owner: string): number {
    const held = counts.get(owner) ?? count.get(owner) ?? 0;
    counts.set(owner, held);
    return held;
  }

  function nameOf(values: readonly (string | number)[]): Name {
    const key = values.join('\0');
    let name = known.get(key);
    if (!name) {
      const id = find.get(...values);
      name = { id: id ?? (last += 1), key, values, isStored: id !== undefined, waiting: 0 };
      known.set(key, name);
    }
    return name;
  }

  return {
    naming(owner: string) {
      const waiting = new Set<Name>();
      return {
        /** @throws Fault when the owner has named too many. */
        idOf(...values: (string | number)[]): number {
          const name = nameOf(values);
          if (!name.isStored && !waiting.has(name)) {
            if (owner !== '' && named(owner) + waiting.size >= most)
              throw new Fault(`The token "${owner}" has named ${most} ${what} already.`);
            waiting.add(name);
            name.waiting += 1;
          }
          return name.id;
        },
        store(): void {
          for (const name of waiting) {
            // Others may have stored it meanwhile.
            if (name.isStored) continue;
            add.run(name.id, ...name.values, owner);
            name.isStored = true;
            fresh.push(name);
            counts.set(owner, named(owner) + 1);
          }
        },
        release(): void {
          for (const name of waiting) {
            name.waiting -= 1;
            if (name.waiting === 0 && !name.isStored) known.delete(name.key);
          }
          waiting.clear();
        },
      };
    },
    committed(): void {
      fresh = [];
    },
    undone(): void {
      for (const name of fresh) name.isStored = false;
      fresh = [];
      counts.clear();
    },
  };
}
