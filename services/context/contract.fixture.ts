import type { Contract } from '#runtime/testing.ts';

import { maxItemsPerCall, maxTextLength } from './limits.ts';

export const contract: Contract = {
  listTokens: 9_600,
  keep: (number) => ({ tool: 'store_output', args: { content: `line ${number}` } }),
  async prepare({ foreign, call }) {
    const { handle } = await call('store_output', { content: `one\ntwo ${foreign}`, label: foreign });
    const save = async (text: string) => {
      const saved = await call('save_snapshot', { name: 'work', entries: [{ key: 'plan', text }] });
      return saved['snapshot_id'] as string;
    };
    const [first, second] = [await save(`a\nb ${foreign}`), await save(`a\nc ${foreign}`)];
    const { handoff_id: handoff } = await call('create_handoff', { goal: foreign, state: foreign });
    await call('set_budget', { budget_id: 'b', limit: 100 });
    const kept = { level: 'task', session_id: 's' };
    const paged = { limit: 5 };
    const text = 'One. Two. Three.';
    const amount = { tokens: 5, encoding: 'cl100k_base' };
    const encoding = 'o200k_base';
    return {
      count_tokens: { text, encoding: 'claude' },
      set_budget: { budget_id: 'b', limit: 200, reset: true },
      check_budget: { budget_id: 'b', ...amount },
      consume_budget: { budget_id: 'b', ...amount },
      truncate_to_budget: { text, token_budget: 2, strategy: 'sentence', encoding, ...kept },
      chunk_text: { text, chunk_tokens: 16, overlap_tokens: 2, boundary: 'word', encoding, ...paged },
      dedupe: { texts: [text, text], threshold: 0.5, ...kept },
      rank_passages: { query: 'two', passages: [text], ...paged },
      assemble_context: {
        sources: [
          { id: 'a', text },
          { id: 'b', handle },
        ],
        query: 'two',
        token_budget: 50,
        passage_tokens: 20,
        encoding,
        ...kept,
      },
      compact_messages: {
        messages: [{ role: 'user', content: text.repeat(99) }],
        token_budget: 99,
        keep_recent: 0,
        keep_system: false,
        pinned: [],
        exclude_tools: ['read'],
        encoding,
        ...kept,
      },
      compress_output: { content: `${text}\n`.repeat(50), kind: 'log', token_budget: 60, encoding, ...kept },
      store_output: { content: text, label: 'l', ttl_seconds: 60, ...kept },
      read_output: { handle, startLine: 1, endLine: 2, limit: 100 },
      grep_output: {
        handle,
        pattern: 't.o',
        contextLines: 1,
        beforeLines: 1,
        afterLines: 0,
        ignoreCase: true,
        ...paged,
      },
      list_outputs: paged,
      delete_outputs: { handles: [handle] },
      save_snapshot: { name: 'n', entries: [{ key: 'k', text }], ...kept },
      list_snapshots: { name: 'work', ...paged },
      restore_snapshot: { snapshot_id: first, keys: ['plan'], limit: 100 },
      diff_snapshots: { from: first, to: second, context_lines: 1, limit: 100 },
      delete_snapshot: { snapshot_id: first },
      create_handoff: {
        goal: 'g',
        state: 's',
        decisions: ['d'],
        open_questions: ['q'],
        files: ['f'],
        next_actions: ['n'],
        session_id: 's',
        meant_for: 'x',
      },
      read_handoff: { handoff_id: handoff },
      accept_handoff: { handoff_id: handoff },
      delete_handoffs: { handoff_ids: [handoff] },
      list_budgets: paged,
      delete_budgets: { budget_ids: ['b'] },
      list_handoffs: { status: 'open', ...paged },
      measure_tools: { tools: [{ name: 't' }], context_window: 1_000, encoding, ...paged },
    };
  },
  largest: () => ({
    count_tokens: { text: 'ก'.repeat(600_000) },
    chunk_text: { text: ' '.repeat(maxTextLength), chunk_tokens: 16 },
    rank_passages: { query: '思考', passages: ['思考'.repeat(300_000)] },
    compress_output: { content: '思考\n'.repeat(300_000), kind: 'log' },
    dedupe: { texts: Array.from({ length: maxItemsPerCall }, (_, n) => `${n} `.repeat(400)) },
    assemble_context: {
      sources: Array.from({ length: maxItemsPerCall }, (_, n) => ({ id: `${n}`, text: 'word '.repeat(300) })),
      query: 'word',
      token_budget: 1_000,
    },
    truncate_to_budget: { text: 'ก'.repeat(600_000), token_budget: 1_000, strategy: 'middle' },
    compact_messages: {
      messages: Array.from({ length: 4_999 }, (_, n) => ({ role: 'user', content: `${n} word`.repeat(40) })),
      token_budget: 1_000,
    },
    measure_tools: {
      tools: Array.from({ length: 900 }, (_, n) => ({ name: `t${n}`, description: 'word '.repeat(200) })),
    },
    store_output: { content: 'line\n'.repeat(390_000) },
    save_snapshot: { name: 'n', entries: [{ key: 'k', text: '思\n'.repeat(490_000) }] },
  }),
};
