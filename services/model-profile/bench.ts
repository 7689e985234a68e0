import type { Workload } from '#runtime/workload.ts';

const model = 'model:bench@1';
const seeded = 50_000;
const perCall = 4_000;

const decisionOf = (number: number) => ({
  uid: `bench-${number}`,
  model,
  task_type: `type-${number % 12}`,
  confidence: ((number * 7_919) % 101) / 100,
  outcome: (number * 31) % 10 < 7 ? 1 : 0,
  source: 'code_check',
  cost_usd: ((number * 13) % 1_000) / 1e5,
  latency_ms: 50 + ((number * 17) % 4_000),
});

export const workload: Workload<void> = {
  async seed({ call }) {
    await call('register_model', { name: 'bench', version: '1' });
    for (let from = 0; from < seeded; from += perCall) {
      await call('record_decisions', {
        decisions: Array.from({ length: perCall }, (_, at) => decisionOf(from + at)),
      });
    }
  },
  calls: [
    {
      title: 'get_profile, one model',
      tool: 'get_profile',
      kind: 'small-read',
      arguments: () => ({ model }),
    },
    {
      title: 'record_decision',
      tool: 'record_decision',
      kind: 'small-write',
      arguments: (number) => decisionOf(1_000_000 + number),
    },
    {
      title: 'record_decisions, 100 of them',
      tool: 'record_decisions',
      kind: 'large',
      arguments: (number) => ({
        decisions: Array.from({ length: 100 }, (_, at) => decisionOf(1e9 + number * 100 + at)),
      }),
    },
    {
      title: 'get_profile by task type',
      tool: 'get_profile',
      kind: 'large',
      arguments: () => ({ model, by: 'task_type' }),
    },
    { title: 'get_calibration', tool: 'get_calibration', kind: 'large', arguments: () => ({ model }) },
    { title: 'find_patterns', tool: 'find_patterns', kind: 'large', arguments: () => ({ model }) },
    { title: 'detect_drift', tool: 'detect_drift', kind: 'large', arguments: () => ({ model }) },
    {
      title: 'get_decision_history, 50',
      tool: 'get_decision_history',
      kind: 'large',
      arguments: () => ({ model }),
    },
  ],
  heavy: [
    { tool: 'get_calibration', arguments: () => ({ model, resamples: 2_000, bins: 60 }) },
    {
      tool: 'record_decisions',
      arguments: (number) => ({
        decisions: Array.from({ length: perCall }, (_, at) => decisionOf(1e10 + number * perCall + at)),
      }),
    },
    { tool: 'get_decision_history', arguments: () => ({ after_change: 0, limit: 2_000 }) },
  ],
};
