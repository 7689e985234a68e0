import type { Contract } from '#runtime/testing.ts';

import { maxBatch } from './limits.ts';

const model = 'model:m@1+high#abc';
const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => ({
    uid: `many-${from + at}`,
    model,
    task_type: `type ${at % 7}`,
    confidence: ((at * 37) % 101) / 100,
    outcome: at % 3 === 0 ? 0 : 1,
    source: 'code_check',
    latency_ms: at,
  }));

export const contract: Contract = {
  listTokens: 6_200,
  beforeKeep: () => ({ tool: 'register_model', args: { name: 'm' } }),
  keep: (number) => ({ tool: 'record_decision', args: { uid: `decision ${number}`, model: 'model:m' } }),
  async prepare({ foreign, call }) {
    await call('register_model', {
      name: 'm',
      version: '1',
      effort: 'high',
      prompt_hash: 'abc',
      note: foreign,
    });
    const decision = {
      uid: foreign,
      model,
      task_type: foreign,
      chosen: foreign,
      confidence: 0.9,
      outcome: 0,
      source: 'llm_judge',
      evaluator: foreign,
      error_kind: 'format',
      item_id: foreign,
    };
    await call('record_decision', decision);
    await call('record_decisions', { decisions: many(4_000) });
    const window = { window_days: 7, until: new Date().toISOString().slice(0, 10) };
    return {
      register_model: {
        kind: 'client',
        name: 'laptop',
        version: '1',
        effort: 'low',
        prompt_hash: 'p',
        note: 'mine',
      },
      record_decision: {
        ...decision,
        uid: 'another',
        cost_usd: 0.01,
        latency_ms: 1,
        input_tokens: 1,
        output_tokens: 1,
        reasoning_tokens: 1,
        cluster_id: 'c',
        chain_id: 'k',
        step: 1,
        policy: 'p',
        propensity: 0.5,
        time: new Date().toISOString(),
      },
      record_decisions: { decisions: many(3, 100) },
      resolve_outcome: {
        decision: foreign,
        outcome: 0,
        source: 'human',
        evaluator: 'me',
        error_kind: 'refusal',
      },
      get_profile: {
        model,
        by: 'task_type',
        ...window,
        source: 'code_check',
        interval: 'jeffreys',
        aspects: ['success', 'latency'],
        limit: 2,
      },
      get_calibration: {
        model,
        ...window,
        source: 'pooled',
        bins: 5,
        method: 'equal_mass',
        resamples: 50,
        seed: 3,
      },
      get_decision_history: { model, state: 'any', limit: 5 },
      detect_drift: {
        model,
        metric: 'success',
        method: 'cusum',
        ...window,
        source: 'code_check',
        baseline: 20,
        target: 0.7,
        slack: 0.1,
        threshold: 2,
      },
      find_patterns: { model, ...window, source: 'code_check', alpha: 0.1 },
      export_profile: { model, format: 'jsonl', page_bytes: 2_000 },
    };
  },
  largest: (foreign) => ({
    record_decisions: [
      { decisions: many(maxBatch, 1_000).map(({ latency_ms: _left, ...rest }) => rest) },
      {
        decisions_jsonl: many(maxBatch, 10_000)
          .map((one) => JSON.stringify({ ...one, chosen: foreign.repeat(20) }))
          .join('\n'),
      },
    ],
    get_calibration: { model, resamples: 2_000, bins: 60 },
    detect_drift: { model },
    find_patterns: { model },
    get_decision_history: [
      { model, limit: 2_000 },
      { after_change: 0, limit: 2_000 },
    ],
    export_profile: [
      { model, format: 'csv', page_bytes: 256_000 },
      { model, format: 'markdown' },
    ],
    get_profile: {
      model,
      by: 'task_type',
      aspects: ['success', 'latency', 'cost', 'tokens', 'errors'],
      limit: 200,
    },
  }),
  fill: (number) => ({
    tool: 'record_decisions',
    args: {
      decisions: many(2_000, 100_000 + number * 2_000).map((one) => ({ ...one, chosen: 'x'.repeat(2_000) })),
    },
  }),
};
