import type { Workload } from '#runtime/workload.ts';

const sessions = 50;
const thoughtsEach = 100;

const thoughtOf = (number: number) => ({
  thought: `Step ${number}: the port of the staging database is ${4_000 + (number % 1_000)}, so what depends on it has to change.`,
  nextThoughtNeeded: true,
  thoughtNumber: 1 + number,
  totalThoughts: thoughtsEach,
});

/** The handles of the sessions. */
type State = readonly unknown[];

export const workload: Workload<State> = {
  async seed({ call }) {
    const handles: unknown[] = [];
    for (let session = 0; session < sessions; session += 1) {
      const thoughts = Array.from({ length: thoughtsEach }, (_, number) => thoughtOf(number));
      const { session_id: handle } = await call('import_session', { content: JSON.stringify({ thoughts }) });
      handles.push(handle);
    }
    return handles;
  },
  calls: [
    {
      title: 'get_session, one thought',
      tool: 'get_session',
      kind: 'small-read',
      arguments: (number, handles) => ({
        session_id: handles[number % sessions],
        from: 1 + (number % 90),
        limit: 1,
      }),
    },
    {
      title: 'sequentialthinking',
      tool: 'sequentialthinking',
      kind: 'small-write',
      arguments: (number, handles) => ({
        ...thoughtOf(number),
        thoughtNumber: thoughtsEach + 1 + number,
        session_id: handles[number % sessions],
      }),
    },
    {
      title: 'search_thoughts',
      tool: 'search_thoughts',
      kind: 'large',
      arguments: (number) => ({ query: `staging ${4_000 + (number % 100)}`, limit: 5 }),
    },
    {
      title: 'get_summary',
      tool: 'get_summary',
      kind: 'large',
      arguments: (number, handles) => ({ session_id: handles[number % sessions] }),
    },
  ],
  heavy: [
    { tool: 'search_thoughts', arguments: () => ({ query: 'the port of what has to change', limit: 100 }) },
    {
      tool: 'export_session',
      arguments: (number, handles) => ({ session_id: handles[number % sessions], format: 'mermaid' }),
    },
    {
      tool: 'import_session',
      arguments: () => ({
        content: JSON.stringify({
          thoughts: Array.from({ length: 1_000 }, (_, number) => thoughtOf(number)),
        }),
      }),
    },
    {
      tool: 'compare_branches',
      arguments: (number, handles) => ({ session_id: handles[number % sessions], branches: ['', ''] }),
    },
  ],
};
