import type { Resource } from '#runtime/service.ts';

import { firstPage, graphPage } from './graph-page.ts';
import { maxEntitiesPerAnswer } from './limits.ts';
import { graphUri, type Store } from './store.ts';

const json = { mimeType: 'application/json' } as const;

export const resources: readonly Resource<Store>[] = [
  {
    uri: graphUri,
    name: 'knowledge-graph',
    title: 'Knowledge Graph',
    description: 'The knowledge graph with its entities and relations, up to a bound.',
    ...json,
    read: (_variables, store) => ({ text: document(store, 0, maxEntitiesPerAnswer) }),
  },
  {
    uri: 'memory://entity/{name}',
    name: 'entity',
    title: 'Entity',
    description: 'One entity of the knowledge graph with all its relations.',
    ...json,
    read({ name = '' }, store) {
      const row = store.graph.find(name);
      return row && { text: document(store, row.entity_id - 1, 1) };
    },
  },
];

function document(store: Store, afterId: number, limit: number): string {
  const { entities, relations, next } = store.snapshot(() =>
    graphPage(
      store.graph,
      function* () {
        for (const row of store.graph.entitiesAfter(afterId)) yield [row, row.entity_id];
      },
      limit === 1 ? store.graph.linksTouching : store.graph.linksFrom,
      firstPage,
      { limit },
    ),
  );
  const more = next && { truncated: true, continue: 'Call read_graph with a limit and follow next_cursor.' };
  return JSON.stringify({ entities, relations, ...more }, null, 2);
}
