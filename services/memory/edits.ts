/**
 * What each tool changes, by its name: plain values in and out, so that a change can be made in a thread as well as here.
 */
import { importLines, type OnBadLine } from './graph/jsonl.ts';
import type { Entity, GraphStore, Relation } from './graph/graph-store.ts';
import type { Change, Journal } from './journal.ts';
import type { MemoryStore, MemoryUpdate, NewMemory } from './memory-store.ts';
import type { NoteStore } from './notes/note-store.ts';
import { editNote, type NoteEdit } from './notes/commands.ts';
import { takeBack } from './undo.ts';

interface Written {
  readonly journal: Journal;
  readonly graph: GraphStore;
  readonly memories: MemoryStore;
  readonly notes: NoteStore;
}

const edits = {
  create_entities: ({ graph }: Written, change: Change, entities: readonly Entity[]) => ({
    entities: graph.createEntities(change, entities),
  }),

  create_relations: ({ graph }: Written, change: Change, relations: readonly Relation[]) => ({
    relations: graph.createRelations(change, relations),
  }),

  add_observations: (
    { graph }: Written,
    change: Change,
    observations: readonly { readonly entityName: string; readonly contents: readonly string[] }[],
  ) => ({
    results: observations.map(({ entityName, contents }) => ({
      entityName,
      addedObservations: graph.addObservations(change, entityName, contents),
    })),
  }),

  delete_entities({ graph }: Written, change: Change, names: readonly string[]) {
    graph.deleteEntities(change, names);
    return { success: true, message: 'Entities deleted successfully' };
  },

  delete_observations(
    { graph }: Written,
    change: Change,
    deletions: readonly { readonly entityName: string; readonly observations: readonly string[] }[],
  ) {
    for (const { entityName, observations } of deletions)
      graph.deleteObservations(change, entityName, observations);
    return { success: true, message: 'Observations deleted successfully' };
  },

  delete_relations({ graph }: Written, change: Change, relations: readonly Relation[]) {
    graph.deleteRelations(change, relations);
    return { success: true, message: 'Relations deleted successfully' };
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

  undo: ({ journal, graph }: Written, change: Change, changeId: number | undefined) => ({
    undone: takeBack(journal, graph, change, changeId),
  }),
};

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
