import type { Resource } from '#runtime/service.ts';

import { firstPage, graphPage, listed, type EntitySource, type LinkSource } from './graph/graph-page.ts';
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
    read: (_variables, store) =>
      document(
        store,
        store.graph.inOrder,
        store.graph.linksFrom,
        'read_graph with a limit and its next_cursor',
      ),
  },
  {
    uri: 'memory://entity/{name}',
    name: 'entity',
    title: 'Entity',
    description: 'One entity of the knowledge graph with all its relations.',
    ...json,
    read({ name = '' }, store) {
      const id = store.graph.find(name)?.entity_id;
      if (id === undefined) return undefined;
      const source: EntitySource = (start) => listed(store.graph, [id], start);
      return document(
        store,
        source,
        store.graph.linksTouching,
        'open_nodes and its next_cursor or observationOffset',
      );
    },
  },
];

function document(store: Store, source: EntitySource, links: LinkSource, goOnWith: string) {
  const limits = { limit: maxEntitiesPerAnswer };
  const { entities, relations, next } = store.snapshot(() =>
    graphPage(store.graph, source, links, firstPage, limits),
  );
  const isCut =
    next !== undefined || entities.some(({ observationsTotal }) => observationsTotal !== undefined);
  const more = isCut && { truncated: true, continue: `Call ${goOnWith}.` };
  return { text: JSON.stringify({ entities, relations, ...more }, null, 2) };
}
