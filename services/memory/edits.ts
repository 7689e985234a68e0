/**
 * What each tool changes, by its name: plain values in and out, so that a change can be made in a thread as well as here.
 */
import { importLines, type OnBadLine } from './graph/jsonl.ts';
import type { Entity, GraphStore, Relation } from './graph/graph-store.ts';
import type { Change, Journal } from './journal.ts';
import type { MemoryStore, MemoryUpdate, NewMemory } from './memory-store.ts';
import { bytesOf } from './limits.ts';
import type { NoteStore } from './notes/note-store.ts';
import type { Purge } from './purge.ts';
import { roomFor } from './room.ts';
import { editNote, type NoteEdit } from './notes/commands.ts';
import { takeBack } from './undo.ts';

interface Written {
  readonly journal: Journal;
  readonly graph: GraphStore;
  readonly memories: MemoryStore;
  readonly notes: NoteStore;
  readonly purge: Purge;
}

// What JSON takes beside the texts.
const entityBytes = 90;
const relationBytes = 70;

const inAnswer = {
  /** The entities that have room, and what was left out. */
  entities(entities: readonly Entity[]) {
    const room = roomFor(
      entities.map(({ name, entityType, observations: texts }) => ({
        headBytes: entityBytes + bytesOf(name, entityType),
        texts,
      })),
    );
    return {
      entities: entities.slice(0, room.length).map((entity, index) => {
        const observations = entity.observations.slice(0, room[index]);
        const total = entity.observations.length;
        return { ...entity, observations, ...(observations.length < total && { observationsTotal: total }) };
      }),
      ...(room.length < entities.length && { total: entities.length }),
    };
  },

  relations(relations: readonly Relation[]) {
    const room = roomFor(
      relations.map(({ from, to, relationType }) => ({
        headBytes: relationBytes + bytesOf(from, to, relationType),
      })),
    );
    return relations.slice(0, room.length);
  },
};

const edits = {
  create_entities({ graph }: Written, change: Change, wanted: readonly Entity[]) {
    const { created, existing } = graph.createEntities(change, wanted);
    return {
      ...inAnswer.entities(created),
      ...(existing.length > 0 && { existing: existing.slice(0, roomFor(existing.map(headed)).length) }),
    };
  },

  create_relations({ graph }: Written, change: Change, wanted: readonly Relation[]) {
    const created = graph.createRelations(change, wanted);
    const relations = inAnswer.relations(created);
    const existing = wanted.length - created.length;
    return {
      relations,
      ...(relations.length < created.length && { total: created.length }),
      ...(existing > 0 && { existing }),
    };
  },

  add_observations(
    { graph }: Written,
    change: Change,
    observations: readonly { readonly entityName: string; readonly contents: readonly string[] }[],
  ) {
    const added = observations.map(({ entityName, contents }) => ({
      entityName,
      texts: graph.addObservations(change, entityName, contents),
    }));
    const room = roomFor(
      added.map(({ entityName, texts }) => ({ headBytes: entityBytes + bytesOf(entityName), texts })),
    );
    return {
      results: added.slice(0, room.length).map(({ entityName, texts }, index) => ({
        entityName,
        addedObservations: texts.slice(0, room[index]),
        ...((room[index] ?? 0) < texts.length && { addedTotal: texts.length }),
      })),
      ...(room.length < added.length && { total: added.length }),
    };
  },

  delete_entities({ graph }: Written, change: Change, names: readonly string[]) {
    const { deleted, notFound } = graph.deleteEntities(change, names);
    return deletion(
      'entities',
      deleted,
      notFound.slice(0, roomFor(notFound.map(headed)).length),
      notFound.length,
    );
  },

  delete_observations(
    { graph }: Written,
    change: Change,
    deletions: readonly { readonly entityName: string; readonly observations: readonly string[] }[],
  ) {
    let deleted = 0;
    const missing: { entityName: string; observations: readonly string[] }[] = [];
    for (const { entityName, observations } of deletions) {
      const notFound = graph.deleteObservations(change, entityName, observations);
      deleted += observations.length - notFound.length;
      if (notFound.length > 0) missing.push({ entityName, observations: notFound });
    }
    const room = roomFor(
      missing.map(({ entityName, observations: texts }) => ({
        headBytes: entityBytes + bytesOf(entityName),
        texts,
      })),
    );
    const shown = missing.slice(0, room.length).map(({ entityName, observations }, index) => ({
      entityName,
      observations: observations.slice(0, room[index]),
    }));
    const total = missing.reduce((sum, { observations }) => sum + observations.length, 0);
    return deletion('observations', deleted, shown, total);
  },

  delete_relations({ graph }: Written, change: Change, relations: readonly Relation[]) {
    const notFound = graph.deleteRelations(change, relations);
    return deletion(
      'relations',
      relations.length - notFound.length,
      inAnswer.relations(notFound),
      notFound.length,
    );
  },

  rename_entity(
    { graph }: Written,
    change: Change,
    { name, newName }: { readonly name: string; readonly newName: string },
  ) {
    graph.rename(change, name, newName);
    return { name: newName };
  },

  merge_entities: (
    { graph }: Written,
    change: Change,
    { names, into }: { readonly names: readonly string[]; readonly into: string },
  ) => graph.merge(change, names, into),

  import_graph: (
    { graph }: Written,
    change: Change,
    { jsonl, onBadLine }: { readonly jsonl: string; readonly onBadLine: OnBadLine },
  ) => importLines(graph, change, jsonl, onBadLine),

  add_memory: ({ memories }: Written, change: Change, added: readonly NewMemory[]) => ({
    ids: added.map((memory) => memories.add(change, memory).id),
  }),

  update_memory: (
    { memories }: Written,
    change: Change,
    { id, values }: { readonly id: number; readonly values: MemoryUpdate },
  ) => ({ memory: memories.update(change, id, values) }),

  delete_memories({ memories }: Written, change: Change, ids: readonly number[]) {
    const deleted = [...new Set(ids)].filter((id) => memories.remove(change, id));
    const gone = new Set(deleted);
    return { deleted, unknown: ids.filter((id) => !gone.has(id)) };
  },

  memory: ({ notes }: Written, change: Change, edit: NoteEdit) => ({
    content: editNote(notes, change, edit),
  }),

  purge_history: ({ purge }: Written, change: Change, before: string | undefined) => purge(change, before),

  undo: ({ journal, graph }: Written, change: Change, changeId: number | undefined) => ({
    undone: takeBack(journal, graph, change, changeId),
  }),
};

const headed = (text: string) => ({ headBytes: bytesOf(text) });

/** The official server's words where something was deleted; and always what was not there. */
function deletion<Missing>(kind: string, deleted: number, notFound: Missing[], missing: number) {
  const title = kind.charAt(0).toUpperCase() + kind.slice(1);
  return {
    success: deleted > 0 || missing === 0,
    message:
      deleted > 0 || missing === 0 ? `${title} deleted successfully` : `No ${kind} deleted: none was found`,
    deleted,
    ...(missing > 0 && { not_found: notFound }),
    ...(missing > notFound.length && { not_found_total: missing }),
  };
}

type Edits = typeof edits;
export type EditName = keyof Edits;
export type ArgsOf<Name extends EditName> = Parameters<Edits[Name]>[2];
export type ValueOf<Name extends EditName> = ReturnType<Edits[Name]>;

/** Makes one of the edits. */
export const edited = <Name extends EditName>(
  stores: Written,
  change: Change,
  name: Name,
  args: ArgsOf<Name>,
): ValueOf<Name> =>
  (edits[name] as (stores: Written, change: Change, args: ArgsOf<Name>) => ValueOf<Name>)(
    stores,
    change,
    args,
  );
