import type { Contract } from '#runtime/testing.ts';

import { maxContentLength, maxStepsPerBatch } from './limits.ts';

export const contract: Contract = {
  listTokens: 5_200,
  keep: (number) => ({ tool: 'start_chain', args: { model: 'a-model', goal: `chain ${number}` } }),
  async prepare({ foreign, call }) {
    const about = { model: 'a-model', agent: foreign, goal: foreign };
    const { chain_id: chain } = await call('start_chain', about);
    const { chain_id: other } = await call('start_chain', { ...about, parent_chain: chain });
    const step = { chain_id: chain, content: foreign };
    await call('capture_reasoning_step', step);
    await call('capture_batch', {
      batch_id: 'prepared',
      steps: [
        { ...step, type: 'decision', options: [{ label: foreign }], chosen: foreign },
        { ...step, chain_id: other, type: 'analysis' },
      ],
    });
    const given = { chain_id: chain, parent_seq: 1, provenance: 'self_report', attrs: { tries: 1 } };
    return {
      start_chain: {
        ...about,
        provider: 'a-provider',
        version: '1',
        effort: 'high',
        prompt_hash: 'abc',
        parent_chain: chain,
        chain_id: '0af7651916cd43dd8448eb211c80319c',
        attrs: { tries: 1 },
      },
      capture_reasoning_step: { ...given, seq: 4, content: 'So.', type: 'plan', confidence: 0.5 },
      capture_decision_point: {
        ...given,
        seq: 4,
        question: 'Which?',
        options: [{ label: 'this', score: 1 }, { label: 'that' }],
        chosen: 'this',
        reasoning: 'It is here.',
        confidence: 0.5,
      },
      capture_inference: {
        ...given,
        seq: 4,
        premises: ['It rains.'],
        conclusion: 'It is wet.',
        confidence: 1,
      },
      capture_reflection: {
        chain_id: chain,
        seq: 4,
        provenance: 'self_report',
        attrs: {},
        reflection: 'I may be wrong.',
        about_seq: 1,
      },
      capture_batch: { batch_id: 'first', chain_id: chain, steps: [{ type: 'analysis', content: foreign }] },
      end_chain: {
        chain_id: chain,
        status: 'completed',
        outcome: { name: 'correct', value: 1, label: 'yes', explanation: 'It was.', source: 'human' },
      },
      get_reasoning_chain: { chain_id: chain, from_seq: 1, limit: 5 },
      list_chains: {
        model: 'a-model',
        agent: foreign,
        status: 'open',
        parent_chain: chain,
        since: '2020-01-01',
        until: '2190-01-01',
        limit: 5,
      },
      search_reasoning: { query: foreign, chain_id: chain, type: 'analysis', limit: 5 },
      export_reasoning: { chain_id: chain, format: 'markdown', content: true, max_bytes: 2_000 },
      compare_chains: { a: chain, b: other },
      import_trace: {
        content: JSON.stringify({
          role: 'assistant',
          content: [{ type: 'thinking', thinking: foreign, signature: 'c2ln' }],
        }),
        model: 'a-model',
        agent: 'an-agent',
        goal: 'a goal',
      },
    };
  },
  fill: (number) => ({
    tool: 'import_trace',
    args: {
      content: JSON.stringify({
        role: 'assistant',
        content: Array.from({ length: 1_500 }, (_, at) => ({
          type: 'text',
          text: `${number} ${at} `.padEnd(1_600, 'thought '),
        })),
      }),
    },
  }),
  largest: (foreign) => ({
    capture_reasoning_step: { chain_id: 'f'.repeat(32), content: '思'.repeat(maxContentLength) },
    capture_batch: [
      {
        batch_id: 'lines',
        steps_jsonl: Array.from({ length: maxStepsPerBatch }, (_, at) =>
          JSON.stringify({
            chain_id: 'f'.repeat(32),
            type: 'analysis',
            content: `${at} ${foreign}`.padEnd(200, '思'),
          }),
        ).join('\n'),
      },
      {
        batch_id: 'rows',
        rows: Array.from({ length: maxStepsPerBatch }, (_, at) => [
          'f'.repeat(32),
          null,
          'analysis',
          null,
          null,
          2,
          `${at} ${foreign}`,
        ]),
      },
    ],
    import_trace: [
      { content: `[${'['.repeat(1_000_000)}` },
      {
        content: JSON.stringify({
          role: 'assistant',
          content: Array.from({ length: 12_000 }, (_, at) => ({
            type: 'text',
            text: `${at} ${foreign}`.padEnd(150, ' x'),
          })),
        }),
      },
    ],
    search_reasoning: { query: `${'word '.repeat(10)}conn*`, limit: 100 },
  }),
};
