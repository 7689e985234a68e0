/** Stores for tests, and the few calls that most tests begin with. */
import { testCall } from '#runtime/testing.ts';

import type { Entity, Relation } from './graph/graph-store.ts';
import type { Author, Change } from './journal.ts';
import { openStore, type Store } from './store.ts';
import type { Steps } from '#runtime/turns.ts';

export interface Graph {
  entities: Entity[];
  relations: Relation[];
}

export const entity = (name: string, ...observations: string[]): Entity => ({
  name,
  entityType: 'thing',
  observations,
});

export const relation = (from: string, to: string, relationType = 'knows'): Relation => ({
  from,
  to,
  relationType,
});

/** All the turns of a long read at once. */
export function atOnce<Value>(steps: Steps<Value>): Value {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

/** One change, here and at once. */
export const recorded = <Value>(
  store: Store,
  work: (change: Change) => Value,
  overrides: Partial<Author> = {},
): Value => store.record({ tool: 'test', caller: 'test', nowMs: testCall().nowMs, ...overrides }, work).value;

const fillSize = 500;

/** In one change, or in as many as it takes. */
export function fill(store: Store, { entities = [], relations = [] }: Partial<Graph>): void {
  const change = (graph: Graph) =>
    recorded(store, (change) => {
      store.graph.createEntities(change, graph.entities);
      store.graph.createRelations(change, graph.relations);
    });
  if (entities.length + relations.length <= fillSize) {
    change({ entities, relations });
    return;
  }
  for (let at = 0; at < entities.length; at += fillSize)
    change({ entities: entities.slice(at, at + fillSize), relations: [] });
  for (let at = 0; at < relations.length; at += fillSize)
    change({ entities: [], relations: relations.slice(at, at + fillSize) });
}

export function storeWith(graph: Partial<Graph>): Store {
  const store = openStore(':memory:');
  fill(store, graph);
  return store;
}

/** Everything that lives in the graph, in order. */
export function graphOf({ graph }: Store): Graph {
  const entities = [...graph.entitiesAfter(0)].filter((row) => row !== undefined);
  return {
    entities: entities.map((row) => ({
      name: row.name,
      entityType: row.type,
      observations: [...graph.observationsFrom(row.entity_id, 0)].flatMap((found) => found?.text ?? []),
    })),
    relations: graph
      .linksAfter(0, 1_000_000)
      .map(({ from, to, relationType }) => ({ from, to, relationType })),
  };
}

export const countsOf = ({ graph }: Store) => atOnce(graph.counts());

/** How many memories live, by what the index counts. */
export const memoriesIn = ({ memoryIndex }: Store) => atOnce(memoryIndex.counts('2026', 1)).memories;

/** Ids of the entities that contain a text, and of those that are found by words. */
export const containing = ({ nodes }: Store, query: string) => atOnce(nodes.substring(query, 0, 100_000));
export const rankedBy = ({ nodes }: Store, query: string, exactId?: number) =>
  atOnce(nodes.ranked(query, { exactId, count: 100_000 }));
