import type { Contract } from '#runtime/testing.ts';

import { maxFileLength, maxImportLength, maxItemsPerCall, maxTextLength } from './limits.ts';

const day = { since: '2026-01-01T00:00:00Z', until: '2099-01-01T00:00:00Z' };
const eve = { name: 'Eve', entityType: 'person', observations: ['hums'] };
const likes = { from: 'Ada', to: 'Bob', relationType: 'likes' };

export const contract: Contract = {
  listTokens: 9_400,
  keep: (number) => ({ tool: 'add_memory', args: { text: `thought ${number}` } }),
  async prepare({ foreign, call }) {
    const thing = (name: string) => ({ name, entityType: 'thing', observations: [foreign, 'writes'] });
    await call('create_entities', { entities: [thing('Ada'), thing('Bob')] });
    await call('create_relations', { relations: [{ ...likes, relationType: 'knows' }] });
    await call('memory', { command: 'create', path: '/memories/a', file_text: foreign });
    await call('add_memory', { text: `tea ${foreign}`, project: 'p', session: 's', tags: ['t'] });
    return {
      create_entities: { entities: [eve] },
      create_relations: { relations: [likes] },
      add_observations: { observations: [{ entityName: 'Ada', contents: ['sings'] }] },
      delete_entities: { entityNames: ['Ada'] },
      delete_observations: { deletions: [{ entityName: 'Ada', observations: ['writes'] }] },
      delete_relations: { relations: [{ ...likes, relationType: 'knows' }] },
      read_graph: { limit: 5, entityTypes: ['thing'], includeObservations: true, observationLimit: 1 },
      search_nodes: {
        query: 'ada',
        limit: 5,
        mode: 'ranked',
        entityTypes: ['thing'],
        since: day.since,
        token_budget: 900,
      },
      open_nodes: { names: ['Ada'], observationLimit: 1, observationOffset: 0, depth: 1 },
      add_memory: {
        text: 'tea',
        project: 'p',
        session: 's',
        speaker: 'Ada',
        tags: ['t'],
        occurred_at: day.since,
        ttl: 60,
      },
      search_memories: {
        query: 'tea',
        project: 'p',
        tags: ['t'],
        ...day,
        neighbours: 2,
        limit: 5,
        token_budget: 900,
      },
      get_memory: { id: 1 },
      list_memories: { project: 'p', session: 's', tags: ['t'], ...day, limit: 5 },
      update_memory: {
        id: 1,
        text: 'coffee',
        project: 'q',
        session: 's',
        speaker: 'Bob',
        tags: [],
        occurred_at: day.since,
        ttl: 60,
      },
      delete_memories: { ids: [1] },
      build_context: { topic: 'tea', depth: 1, token_budget: 100, project: 'p' },
      find_path: { from: 'Ada', to: 'Bob', max_depth: 3 },
      merge_entities: { names: ['Bob'], into: 'Ada' },
      rename_entity: { name: 'Ada', new_name: 'Lovelace' },
      export_graph: { limit: 5 },
      import_graph: { jsonl: JSON.stringify({ type: 'entity', ...eve }) },
      get_history: { entity: 'Ada', limit: 5 },
      undo: { change_id: 3 },
      memory: { command: 'view', path: '/memories/a' },
      purge_history: { before: day.until },
      memory_stats: {},
    };
  },
  largest: () => ({
    create_entities: [
      {
        entities: Array.from({ length: maxItemsPerCall }, (_, number) => ({
          ...eve,
          name: `${number}`.padEnd(500, 'x'),
          observations: ['o'.repeat(1_400)],
        })),
      },
      // Each item of each is wrong.
      {
        entities: Array.from({ length: maxItemsPerCall }, () => ({
          observations: Array.from({ length: 40 }, () => ({})),
        })),
      },
    ],
    add_memory: { text: '思'.repeat(maxTextLength) },
    add_observations: {
      observations: [
        { entityName: 'Ada', contents: Array.from({ length: 35 }, (_, n) => `${n} `.padEnd(65_000, '思 ')) },
      ],
    },
    import_graph: [
      { jsonl: '{\n'.repeat(maxImportLength / 2) },
      {
        jsonl: Array.from({ length: 4_500 }, (_, number) =>
          JSON.stringify({ type: 'entity', ...eve, name: `${number}`, observations: [`hums ${number}`] }),
        ).join('\n'),
      },
    ],
    search_memories: { query: 'the tea '.repeat(200) },
    search_nodes: { query: '思考'.repeat(2_000), mode: 'ranked', limit: maxItemsPerCall },
    update_memory: { id: 1, text: '思'.repeat(maxTextLength) },
    build_context: { topic: '思考'.repeat(2_000), depth: 3 },
    memory: { command: 'create', path: '/memories/b', file_text: '思\n'.repeat(maxFileLength / 2) },
    delete_memories: { ids: Array.from({ length: maxItemsPerCall }, (_, id) => id + 1) },
  }),
};
