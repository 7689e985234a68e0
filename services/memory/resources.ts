import type { Resource } from '#runtime/service.ts';
import type { Steps } from '#runtime/turns.ts';

import { firstPage, graphPage, listed, type EntitySource, type LinkSource } from './graph/graph-page.ts';
import type { GraphStore } from './graph/graph-store.ts';
import { answerTokens, bytesPerToken, maxEntitiesPerAnswer } from './limits.ts';
import { graphUri, type Store } from './store.ts';

const json = { mimeType: 'application/json', untrusted: 'as-is' } as const;

export const resources: readonly Resource<Store>[] = [
  {
    uri: graphUri,
    name: 'knowledge-graph',
    title: 'Knowledge Graph',
    description: 'The knowledge graph with its entities and relations, up to a bound.',
    ...json,
    read: (_variables, store, call) =>
      store.inTurns(
        call,
        document(store.graph, store.graph.inOrder, store.graph.linksFrom, 'read_graph and its next_cursor'),
      ),
  },
  {
    uri: 'memory://entity/{name}',
    name: 'entity',
    title: 'Entity',
    description: 'One entity of the knowledge graph with all its relations.',
    ...json,
    read({ name = '' }, { graph, inTurns }, call) {
      const id = graph.find(name)?.entity_id;
      if (id === undefined) return undefined;
      const source: EntitySource = (start) => listed(graph, [id], start);
      const goOn = 'open_nodes and its next_cursor or observationOffset';
      return inTurns(call, document(graph, source, graph.linksTouching, goOn));
    },
  },
];

function* document(
  graph: GraphStore,
  source: EntitySource,
  links: LinkSource,
  goOnWith: string,
): Steps<{ text: string }> {
  const limits = { limit: maxEntitiesPerAnswer, bytes: answerTokens * bytesPerToken };
  const { entities, relations, next } = yield* graphPage(graph, source, links, firstPage, limits);
  const isCut =
    next !== undefined || entities.some(({ observationsTotal }) => observationsTotal !== undefined);
  const more = isCut && { truncated: true, continue: `Call ${goOnWith}.` };
  return { text: JSON.stringify({ entities, relations, ...more }, null, 2) };
}
