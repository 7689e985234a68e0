import type { Workload } from '#runtime/workload.ts';

const models = 129;
const battlesPerCall = 50_000;
const calls = 4;

/** So that a model with a lower number wins more often, and everyone wins sometimes. */
function csvOf(call: number): string {
  const lines = ['model_a,model_b,winner'];
  for (let number = 0; number < battlesPerCall; number += 1) {
    const at = call * battlesPerCall + number;
    const a = at % models;
    const b = (a + 1 + (Math.floor(at / models) % (models - 1))) % models;
    const hash = (Math.imul(at, 2_654_435_761) >>> 0) / 2 ** 32;
    const winner = hash < 0.1 ? 'tie' : hash < 0.55 + (b - a) / (3 * models) ? 'model_a' : 'model_b';
    lines.push(`model-${a},model-${b},${winner}`);
  }
  return lines.join('\n');
}

export const workload: Workload<undefined> = {
  async seed({ call }) {
    for (let number = 0; number < calls; number += 1) {
      await call('record_battles', { csv: csvOf(number), batch_id: `seed ${number}`, source: 'human' });
    }
    return undefined;
  },
  calls: [
    {
      title: 'rank_models, 129 models, remembered',
      tool: 'rank_models',
      kind: 'large',
      arguments: () => ({}),
    },
    {
      title: 'compare_models, battles',
      tool: 'compare_models',
      kind: 'large',
      arguments: (number) => ({
        a: `model-${number % models}`,
        b: `model-${(number + 1) % models}`,
        source: 'battles',
      }),
    },
    {
      title: 'plan_experiment',
      tool: 'plan_experiment',
      kind: 'small-read',
      arguments: (number) => ({ delta: 0.01 + (number % 100) / 1_000 }),
    },
    {
      title: 'record_battles, one',
      tool: 'record_battles',
      kind: 'large',
      arguments: (number) => ({
        battles: [{ model_a: 'new-a', model_b: 'new-b', winner: number % 2 === 0 ? 'model_a' : 'tie' }],
        task_type: 'bench',
      }),
    },
  ],
  heavy: [
    { tool: 'rank_models', arguments: (number) => ({ ci: 'bootstrap', resamples: 100, seed: number }) },
    { tool: 'generate_report', arguments: () => ({ format: 'html', source: 'battles' }) },
    { tool: 'record_battles', arguments: (number) => ({ csv: csvOf(number), source: 'code_check' }) },
  ],
};
