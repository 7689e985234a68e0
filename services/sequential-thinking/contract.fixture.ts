import type { Contract } from '#runtime/testing.ts';

import { maxImportLength, maxThoughtLength, maxThoughtsPerImport } from './limits.ts';

const thought = { thought: 'So.', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 3 };

export const contract: Contract = {
  listTokens: 3_400,
  keep: (number) => ({ tool: 'sequentialthinking', args: { ...thought, thought: `So ${number}.` } }),
  async prepare({ foreign, call }) {
    const said = { ...thought, thought: foreign };
    const { session_id: session } = await call('sequentialthinking', said);
    const branch = { branchFromThought: 1, branchId: 'b', session_id: session };
    await call('sequentialthinking', { ...said, thoughtNumber: 2, ...branch });
    return {
      sequentialthinking: {
        ...thought,
        thoughtNumber: 3,
        isRevision: true,
        revisesThought: 1,
        branchFromThought: 1,
        branchId: 'b',
        needsMoreThoughts: false,
        session_id: session,
        strict: true,
      },
      start_session: { title: 'A title' },
      list_sessions: { limit: 5 },
      get_session: { session_id: session, branch: 'b', from: 1, limit: 5 },
      get_summary: { session_id: session, max_chars: 1_000 },
      compare_branches: { session_id: session, branches: ['', 'b'], limit: 5, max_chars: 1_000 },
      search_thoughts: { query: 'thought', session_id: session, limit: 5 },
      export_session: { session_id: session, format: 'md', limit: 5 },
      import_session: {
        content: JSON.stringify({ from: 3, thoughts: [thought] }),
        session_id: session,
      },
      delete_session: { session_id: session },
    };
  },
  fill: (number) => ({
    tool: 'import_session',
    args: {
      content: JSON.stringify({
        thoughts: Array.from({ length: maxThoughtsPerImport }, (_, index) => ({
          ...thought,
          thought: `${number} ${index} `.padEnd(1_600, 'thought '),
        })),
      }),
    },
  }),
  largest: () => ({
    sequentialthinking: { ...thought, thought: '思'.repeat(maxThoughtLength) },
    import_session: [
      { content: `{"thoughts":[${'{},'.repeat(maxImportLength / 4)}` },
      {
        content: JSON.stringify({
          thoughts: Array.from({ length: maxThoughtsPerImport }, (_, number) => ({
            ...thought,
            thought: `${number}`.padEnd(1_600, ' 思'),
            thoughtNumber: number + 1,
            ...(number > 0 && { isRevision: true, revisesThought: number }),
            ...(number > 0 && number <= 200 && { branchFromThought: number, branchId: `b${number}` }),
          })),
        }),
      },
    ],
  }),
};
