import type { Contract } from '#runtime/testing.ts';

import { maxBattles, maxListed } from './limits.ts';

const names = ['alpha', 'beta', 'gamma'];

/** Each two, on some items, judged by two. */
const battlesOf = (foreign: string) =>
  Array.from({ length: 60 }, (_, number) => ({
    model_a: names[number % 3],
    model_b: names[(number + 1) % 3],
    winner: ['model_a', 'model_b', 'tie', 'model_a'][number % 4],
    item_id: `${foreign} ${Math.floor(number / 12)}`,
    task_type: number % 2 === 0 ? 'code' : foreign,
    judge: number % 5 === 0 ? foreign : 'judge',
    swapped: number % 2 === 1,
    len_a: 100 + number,
    len_b: 120,
  }));

const csvOf = (rows: number) =>
  `model_a,model_b,winner,swapped,len_a,len_b\n${Array.from(
    { length: rows },
    (_, row) =>
      `m${row % 400},m${(row * 7 + 1) % 400},${row % 3 === 0 ? 'model_a' : 'model_b'},${row % 2 === 0},${row % 90},7`,
  ).join('\n')}`;

const clientsCsv = (foreign: string) =>
  `model_a,model_b,winner,item_id,judge\n${Array.from(
    { length: 20 },
    (_, number) =>
      `client:laptop ${foreign},client:phone,${number % 3 === 0 ? 'model_b' : 'model_a'},"${foreign}, ${number}",${foreign}`,
  ).join('\n')}\n`;

const policy = [
  { model: 'alpha', probability: 0.7 },
  { model: 'beta', probability: 0.3 },
];
const log = names.map((model, number) => ({ model, propensity: 0.5, reward: number / 2 }));

export const contract: Contract = {
  listTokens: 5_900,
  keep: (number) => ({
    tool: 'record_battles',
    args: { battles: [{ model_a: 'alpha', model_b: 'beta', winner: 'tie', item_id: `item ${number}` }] },
  }),
  async prepare({ foreign, call }) {
    await call('record_battles', { battles: battlesOf(foreign) });
    await call('record_battles', { csv: clientsCsv(foreign) });
    const common = { kind: 'model', task_type: 'code', judged_by: ['llm_judge'], seed: 1 };
    const { task_type: _, ...all } = common;
    return {
      compare_models: {
        a: 'alpha',
        b: 'beta',
        source: 'battles',
        metric: 'success',
        paired: 'auto',
        margin: 0.1,
        ...omit(common, 'kind'),
      },
      rank_models: {
        source: 'battles',
        ...all,
        models: names,
        ties: 'davidson',
        covariates: ['position'],
        ci: 'sandwich',
        resamples: 50,
      },
      record_battles: {
        battles: battlesOf('other'),
        batch_id: 'second',
        judge: 'j',
        source: 'human',
        task_type: 'code',
      },
      identify_strengths: {
        model: 'alpha',
        source: 'battles',
        judged_by: ['llm_judge'],
        alpha: 0.05,
        margin: 0.2,
      },
      recommend_model: {
        ...common,
        models: names,
        weights: { quality: 1, cost: 0, latency: 0 },
        explore: true,
        source: 'battles',
      },
      plan_experiment: {
        delta: 0.05,
        items: 100,
        power: 0.8,
        alpha: 0.05,
        paired: true,
        rate: 0.7,
        variance: 0.2,
        comparisons: 3,
        equivalence: false,
      },
      judge_agreement: { kind: 'model', resamples: 50, seed: 1 },
      evaluate_policy: { policy, log, kind: 'model', margin: 0.1 },
      generate_report: {
        format: 'html',
        title: 'Trial',
        ...all,
        models: names,
        source: 'battles',
        margin: 0.1,
      },
    };
  },
  others: () => ({
    record_battles: [{ csv: clientsCsv('my'), batch_id: 'of clients' }],
    rank_models: [{ kind: 'client' }],
    generate_report: [
      { format: 'battles_csv', kind: 'client' },
      { format: 'battles_jsonl', kind: 'client' },
      { format: 'json', kind: 'client' },
    ],
  }),
  fill: () => ({ tool: 'record_battles', args: { csv: csvOf(maxBattles) } }),
  largest: (foreign) => ({
    record_battles: [
      { csv: csvOf(maxBattles) },
      {
        battles: Array.from({ length: maxListed }, (_, row) => ({
          model_a: `m${row}`,
          model_b: 'x',
          winner: 'tie',
        })),
      },
      { jsonl: '{}\n'.repeat(maxBattles) },
    ],
    rank_models: { covariates: ['position', 'length'], ci: 'bootstrap', resamples: 500 },
    judge_agreement: {
      labels: Array.from({ length: maxListed }, (_, row) => ({
        item: `${foreign} ${row >> 1}`,
        judge: `judge ${row % 2}`,
        label: `label ${row % 5}`,
      })),
      resamples: 500,
    },
    evaluate_policy: {
      policy,
      log: Array.from({ length: maxListed }, (_, row) => ({
        model: names[row % 3],
        propensity: 0.3,
        reward: row % 2,
        task_type: `type ${row % 50}`,
      })),
    },
    generate_report: { format: 'html' },
  }),
};

function omit<Value extends object, Name extends keyof Value>(value: Value, name: Name): Omit<Value, Name> {
  const { [name]: _, ...rest } = value;
  return rest;
}
