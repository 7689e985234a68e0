/** Stores for tests, and the few calls that most tests begin with. */
import { testCall } from '#runtime/testing.ts';

import type { Entity, Relation } from './graph-store.ts';
import { openStore, type Store } from './store.ts';

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

export function fill(store: Store, { entities, relations }: Partial<Graph>): void {
  store.change('test', testCall(), (change) => {
    store.graph.createEntities(change, entities ?? []);
    store.graph.createRelations(change, relations ?? []);
  });
}

export function storeWith(graph: Partial<Graph>): Store {
  const store = openStore(':memory:');
  fill(store, graph);
  return store;
}

/** Everything that lives in the graph, in order. */
export function graphOf(store: Store): Graph {
  return {
    entities: [...store.graph.entitiesAfter(0)].map((row) => ({
      name: row.name,
      entityType: row.type,
      observations: [...store.graph.observations(row.entity_id)].map(({ text }) => text),
    })),
    relations: [...store.graph.linksAfter(0)].map(({ from, to, relationType }) => ({
      from,
      to,
      relationType,
    })),
  };
}
