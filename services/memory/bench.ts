import type { Workload } from '#runtime/workload.ts';

const entities = 2_000;
const memories = 5_000;
const nameOf = (number: number) => `person ${number % entities}`;
const noteOf = (number: number) =>
  `${nameOf(number)} moved the staging database of project ${number % 97} to port ${4_000 + (number % 1_000)}.`;

function batches<Item>(count: number, size: number, make: (number: number) => Item): Item[][] {
  return Array.from({ length: Math.ceil(count / size) }, (_, batch) =>
    Array.from({ length: Math.min(size, count - batch * size) }, (_item, index) =>
      make(batch * size + index),
    ),
  );
}

export const workload: Workload<void> = {
  async seed({ call }) {
    const people = batches(entities, 200, (number) => ({
      name: nameOf(number),
      entityType: 'person',
      observations: [noteOf(number), `likes tea number ${number}`, `works in office ${number % 40}`],
    }));
    for (const one of people) await call('create_entities', { entities: one });
    const links = batches(2 * entities, 500, (number) => ({
      from: nameOf(number),
      to: nameOf(number * 7 + 1),
      relationType: number % 2 === 0 ? 'knows' : 'works with',
    }));
    for (const one of links) await call('create_relations', { relations: one });
    const turns = batches(memories, 100, (number) => ({ role: 'user', content: noteOf(number) }));
    for (const messages of turns) await call('add_memory', { messages, project: 'bench' });
  },
  calls: [
    {
      title: 'open_nodes, one entity',
      tool: 'open_nodes',
      kind: 'small-read',
      arguments: (number) => ({ names: [nameOf(number)] }),
    },
    {
      title: 'get_memory',
      tool: 'get_memory',
      kind: 'small-read',
      arguments: (number) => ({ id: 1 + (number % memories) }),
    },
    {
      title: 'add_observations, one',
      tool: 'add_observations',
      kind: 'small-write',
      arguments: (number) => ({
        observations: [{ entityName: nameOf(number), contents: [`was seen at ${number}`] }],
      }),
    },
    {
      title: 'add_memory, one',
      tool: 'add_memory',
      kind: 'small-write',
      arguments: (number) => ({ text: `${noteOf(number)} Seen ${number}.` }),
    },
    {
      title: 'search_memories',
      tool: 'search_memories',
      kind: 'large',
      arguments: (number) => ({
        query: `which port has the staging database of project ${number % 97}`,
        limit: 5,
      }),
    },
    {
      title: 'search_nodes',
      tool: 'search_nodes',
      kind: 'large',
      arguments: (number) => ({ query: `office ${number % 40}`, limit: 10 }),
    },
    { title: 'read_graph, first page', tool: 'read_graph', kind: 'large', arguments: () => ({}) },
  ],
  heavy: [
    { tool: 'read_graph', arguments: () => ({ limit: 5_000 }) },
    { tool: 'export_graph', arguments: () => ({}) },
    { tool: 'search_nodes', arguments: () => ({ query: 'person tea office likes works', limit: 1_000 }) },
    {
      tool: 'add_memory',
      arguments: (number) => ({ text: `${number} ${'思考する 象 '.repeat(5_000)}`.slice(0, 60_000) }),
    },
    { tool: 'import_graph', arguments: () => ({ jsonl: '{\n'.repeat(900_000), on_bad_line: 'skip' }) },
  ],
};
