/** Models, kinds of tasks and tokens by their numbers, in memory as they are on disk. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { monitorLength } from '#statistics/drift.ts';

import { maxModels, maxTaskTypes } from '../limits.ts';
import { keyOf, type Identity } from '../subject.ts';
import { idsOfModels, idsOfTaskTypes } from './cells.ts';
import { metrics } from './metrics.ts';

export interface KnownModel {
  readonly id: number;
  decisions: number;
  /** What the monitors of drift know. */
  readonly monitors: Float64Array;
}

/** Decisions of one token on one model, each of which names the one before it. */
export interface Strand {
  readonly model: number;
  readonly owner: number;
  last: number;
}

export interface Registering extends Identity {
  readonly owner: string;
  readonly nowMs: number;
  readonly note: string | null;
}

export interface Registered {
  readonly key: string;
  readonly isNew: boolean;
}

const strandKey = (model: number, owner: number) => owner * idsOfModels + model;

export function openNames(database: Database) {
  const allModels = database.prepare<[], { id: number; key: string; decisions: number; monitors: Buffer }>(
    'SELECT id, key, decisions, monitors FROM model',
  );
  const insertModel = database.prepare('INSERT INTO model VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)');
  const setNote = database.prepare('UPDATE model SET note = ? WHERE key = ?');
  const updateModel = database.prepare('UPDATE model SET decisions = ?, monitors = ? WHERE id = ?');
  const modelsOf = database.prepare<[string], number>('SELECT count(*) FROM model WHERE owner = ?').pluck();
  const allStrands = database.prepare<[], Strand>('SELECT model, owner, last FROM strand');
  const updateStrand = database.prepare(
    'INSERT INTO strand VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last',
  );
  const allTaskTypes = database.prepare<[], { id: number; name: string; owner: number }>(
    'SELECT * FROM task_type',
  );
  const insertTaskType = database.prepare('INSERT INTO task_type VALUES (NULL, ?, ?)');
  const findOwner = database.prepare<[string], number>('SELECT id FROM owner WHERE name = ?').pluck();
  const insertOwner = database.prepare('INSERT INTO owner (name) VALUES (?)');

  const models = new Map<string, KnownModel>();
  const modelsById = new Map<number, KnownModel>();
  const strands = new Map<number, Strand>();
  const taskTypes = new Map<string, number>();
  /** How many of them each owner has named. */
  const taskTypesNamed = new Map<number, number>();
  const touchedModels = new Set<KnownModel>();
  const touchedStrands = new Set<Strand>();

  function know(key: string, model: KnownModel): void {
    models.set(key, model);
    modelsById.set(model.id, model);
  }

  return {
    /** What is in memory is as it is on disk. */
    load(): void {
      models.clear();
      modelsById.clear();
      for (const { id, key, decisions, monitors } of allModels.all())
        know(key, { id, decisions, monitors: floats(monitors) });
      strands.clear();
      for (const strand of allStrands.all()) strands.set(strandKey(strand.model, strand.owner), strand);
      taskTypes.clear();
      taskTypesNamed.clear();
      for (const { id, name, owner } of allTaskTypes.all()) {
        taskTypes.set(name, id);
        taskTypesNamed.set(owner, (taskTypesNamed.get(owner) ?? 0) + 1);
      }
      touchedModels.clear();
      touchedStrands.clear();
    },

    /** To be called in the transaction. */
    flush(): void {
      for (const { id, decisions, monitors } of touchedModels)
        updateModel.run(decisions, bytesOf(monitors), id);
      for (const { model, owner, last } of touchedStrands) updateStrand.run(model, owner, last);
      touchedModels.clear();
      touchedStrands.clear();
    },

    modelBy: (key: string) => models.get(key),
    modelById: (id: number) => modelsById.get(id),
    /** Its monitors or counts are about to change. */
    touch: (model: KnownModel) => touchedModels.add(model),

    /** Its `last` is about to change. */
    strandOf(model: number, owner: number): Strand {
      const key = strandKey(model, owner);
      let strand = strands.get(key);
      if (!strand) strands.set(key, (strand = { model, owner, last: 0 }));
      touchedStrands.add(strand);
      return strand;
    },

    taskType: (name: string) => taskTypes.get(name),
    /** @returns `undefined` when the owner has named too many. */
    taskTypeId(name: string, owner: number): number | undefined {
      const known = taskTypes.get(name);
      if (known !== undefined) return known;
      const named = taskTypesNamed.get(owner) ?? 0;
      if (named >= maxTaskTypes || taskTypes.size >= idsOfTaskTypes - 1) return undefined;
      const id = Number(insertTaskType.run(name, owner).lastInsertRowid);
      taskTypes.set(name, id);
      taskTypesNamed.set(owner, named + 1);
      return id;
    },

    ownerId: (name: string) => findOwner.get(name) ?? Number(insertOwner.run(name).lastInsertRowid),

    /** @throws ToolError too_large. */
    register({ owner, nowMs, note, ...identity }: Registering): Registered {
      const key = keyOf(identity);
      if (models.has(key)) {
        if (note !== null) setNote.run(note, key);
        return { key, isNew: false };
      }
      if ((modelsOf.get(owner) ?? 0) >= maxModels || models.size >= idsOfModels - 1) {
        throw new ToolError('too_large', `The token "${owner}" has registered ${maxModels} models already.`, {
          hint: 'Register fewer: a version or prompt hash of each call makes a model of each call.',
        });
      }
      const monitors = new Float64Array(metrics.length * monitorLength);
      const { kind, name, version, effort, prompt_hash: prompt } = identity;
      const row = insertModel.run(
        key,
        kind,
        name,
        version ?? null,
        effort ?? null,
        prompt ?? null,
        note,
        owner,
        nowMs,
        bytesOf(monitors),
      );
      know(key, { id: Number(row.lastInsertRowid), decisions: 0, monitors });
      return { key, isNew: true };
    },
  };
}

const floats = (bytes: Buffer) =>
  new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
const bytesOf = (numbers: Float64Array) =>
  Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
