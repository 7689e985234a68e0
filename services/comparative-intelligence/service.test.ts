/** The service as its tools show it, with its threads; model-profile does not run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Log } from '#runtime/account/log.ts';
import type { AnyTool } from '#runtime/tool.ts';
import { invoke } from '#runtime/testing.ts';

import type { Comparing } from './comparing.ts';
import { profileClient } from './profile/client.ts';
import { openCopy } from './profile/copy.ts';
import { resources } from './resources.ts';
import { routes } from './routes.ts';
import { openStore } from './store/store.ts';
import { kinds } from './subject.ts';
import { compareModels } from './tools/compare-models.ts';
import { evaluatePolicy } from './tools/evaluate-policy.ts';
import { generateReport } from './tools/generate-report.ts';
import { identifyStrengths } from './tools/identify-strengths.ts';
import { judgeAgreement } from './tools/judge-agreement.ts';
import { planExperiment } from './tools/plan-experiment.ts';
import { rankModels } from './tools/rank-models.ts';
import { recommendModel } from './tools/recommend-model.ts';
import { recordBattles } from './tools/record-battles.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const hostile = '<script>alert(1)</script> | # [x](javascript:y)';

let folder: string;
let deps: Comparing;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flotilla-compare-'));
  const store = await openStore(folder, { quota: { items: 10_000, bytes: 1e8 }, decisions: 1_000 });
  // Port 1: nobody listens there.
  const client = profileClient({ url: 'http://127.0.0.1:1', secret: async () => 'none' });
  const copy = openCopy(store, client, silent);
  deps = { store, copy, rankings: new Map(), [Symbol.asyncDispose]: async () => {} };
  const names = ['alpha', 'beta', 'gamma', hostile];
  const battles = Array.from({ length: 240 }, (_, number) => ({
    model_a: names[number % 4],
    model_b: names[(number + 1) % 4],
    winner: number % 3 === 0 ? 'model_b' : 'model_a',
    task_type: number % 2 === 0 ? 'code' : hostile,
    item_id: `item ${number % 40}`,
    judge: number % 2 === 0 ? 'one' : 'two',
  }));
  await invoke(recordBattles, { battles }, deps);
});
afterAll(async () => {
  await deps.copy[Symbol.asyncDispose]();
  await deps.store[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

test('a comparison of battles, and that looking again and again is told', async () => {
  const args = { a: 'alpha', b: 'beta', source: 'battles' };
  const found = await invoke(compareModels, args, deps);
  expect(found).toMatchObject({
    n: 60,
    value: 0.3333333333,
    source_mix: { llm_judge: 60 },
  });
  expect(found.warnings.join()).not.toContain('Looked at');
  for (let look = 0; look < 3; look += 1) {
    await invoke(recordBattles, { battles: [{ model_a: 'alpha', model_b: 'beta', winner: 'tie' }] }, deps);
    await invoke(compareModels, args, deps);
  }
  expect((await invoke(compareModels, args, deps)).warnings.join()).toContain('Looked at in 4 states');
});

test('a ranking is remembered while nothing changes, and repeated as of its snapshot', async () => {
  const first = await invoke(rankModels, {}, deps);
  const again = await invoke(rankModels, {}, deps);
  expect(again.run_id).toBe(first.run_id);
  await invoke(recordBattles, { battles: [{ model_a: 'beta', model_b: 'gamma', winner: 'both_bad' }] }, deps);
  const next = await invoke(rankModels, {}, deps);
  expect(next.run_id).not.toBe(first.run_id);
  expect(next.n).toBe(first.n + 1);
  const repeated = await invoke(rankModels, { snapshot_id: first.snapshot_id }, deps);
  expect(repeated.rows).toEqual(first.rows);
  expect(repeated.snapshot_id).toBe(first.snapshot_id);
});

test('without model-profile, decisions are unavailable, and battles are not', async () => {
  const refused = { code: 'unavailable', hint: expect.stringContaining('source: "battles"') as string };
  await expect(
    invoke(compareModels, { a: 'alpha', b: 'beta', source: 'decisions' }, deps),
  ).rejects.toMatchObject(refused);
  await expect(
    invoke(evaluatePolicy, { policy: [{ model: 'alpha', probability: 1 }] }, deps),
  ).rejects.toMatchObject(refused);
  expect(await invoke(compareModels, { a: 'alpha', b: 'beta' }, deps)).toMatchObject({
    source_mix: { llm_judge: expect.any(Number) as number },
  });
  expect((await invoke(identifyStrengths, { model: 'alpha' }, deps)).overall.n).toBeGreaterThan(100);
});

test('a recommendation is logged with its propensity, and its seed repeats it', async () => {
  const args = { task_type: 'code', explore: true, source: 'battles' };
  const found = await invoke(recommendModel, args, deps);
  expect(found.recommendation_id).toBeGreaterThan(0);
  expect(found.propensity).toBe(found.candidates.find(({ model }) => model === found.chosen)?.p_best);
  const again = await invoke(recommendModel, { ...args, seed: found.seed }, deps);
  expect(again).toMatchObject({ chosen: found.chosen, propensity: found.propensity });
});

describe('a plan', () => {
  const plan = async (args: object) => invoke(planExperiment, args, deps);

  test('gives the published sizes', async () => {
    expect(await plan({ delta: 0.03, variance: 1 / 9 })).toMatchObject({ value: 969 });
    expect(await plan({ delta: 0.05, rate: 0.8, paired: false })).toMatchObject({ value: 903 });
  });

  test('says what a number of items shows, and allows for many comparisons', async () => {
    const { delta } = await plan({ items: 969, variance: 1 / 9 });
    expect(delta).toBeCloseTo(0.03, 4);
    expect((await plan({ delta: 0.03, variance: 1 / 9, comparisons: 10 })).value).toBeGreaterThan(1_500);
    expect((await plan({ delta: 0.03, variance: 1 / 9, items: 400 })).power).toBeLessThan(0.8);
  });

  test('of a difference of nearly nothing is none', async () => {
    expect(await plan({ items: 1_000_000_000, variance: 1e-9 })).toMatchObject({ value: null });
    expect(await plan({ items: 10, rate: 0 })).toMatchObject({ value: null });
  });

  test('takes the spread from data', async () => {
    const found = await plan({ delta: 0.1, a: 'alpha', b: 'beta' });
    expect(found.warnings.join()).toContain('The spread is that of');
    expect(found.n).toBeGreaterThan(50);
  });
});

describe('a report', () => {
  // In JSON a name stands as it is, in quotation marks.
  test.each([
    ['json', /^\{\n {2}"schema": "flotilla.comparison\/1"/, /^\s*<script/m],
    ['markdown', /^# &lt;script&gt;/, /<script|[^\\]\[x/],
    ['html', /<h1>&lt;script&gt;/, /<script/],
  ] as const)(
    'as %s is kept, read at its uri, and holds no markup of others',
    async (format, wanted, unwanted) => {
      const {
        uri = '',
        size_bytes: size,
        summary,
      } = await invoke(generateReport, { format, title: hostile }, deps);
      expect(summary.length).toBeGreaterThan(0);
      const resource = resources.find(({ uri: template }) => template === `comparison://${format}/{id}`);
      const [, id = ''] = /([^/]+)$/.exec(uri) ?? [];
      const read = (await resource?.read({ id }, deps, {} as never)) as { text: string } | undefined;
      expect(Buffer.byteLength(read?.text ?? '')).toBe(size);
      expect(read?.text).toMatch(wanted);
      expect(read?.text).not.toMatch(unwanted);
      const other = resources.find(({ uri: template }) => !template.includes(format));
      expect(await other?.read({ id }, deps, {} as never)).toBeUndefined();
    },
  );

  test('as HTML runs nothing, fetches nothing, and styles nothing but by its own sheet', async () => {
    const { uri = '' } = await invoke(generateReport, { format: 'html' }, deps);
    const { body = '' } = deps.store.reading.report(uri.split('/').at(-1) ?? '') ?? {};
    expect(body.replaceAll('&#39;', "'")).toContain("content=\"default-src 'none'; style-src 'sha256-");
    expect(body).not.toMatch(/<script|<link|<img|<iframe|\son\w+=|\sstyle=|https?:/);
    expect(body.match(/<svg/g)?.length).toBeGreaterThan(4);
  });

  test('of nothing is refused', async () => {
    await expect(invoke(generateReport, { kind: 'client' }, deps)).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

test('battles are exported in pages, and as a file', async () => {
  let [text, cursor] = ['', undefined as string | undefined];
  do {
    const page = await invoke(
      generateReport,
      { format: 'battles_jsonl', ...(cursor !== undefined && { cursor }) },
      deps,
    );
    text += page.content;
    cursor = page.next_cursor;
  } while (cursor !== undefined);
  expect(text.trim().split('\n')).toHaveLength(deps.store.reading.snapshot(0).battles);
  const file = routes.find(({ path }) => path === '/battles.jsonl');
  const response = await file?.handle(new Request('http://x/battles.jsonl'), deps, 'test', {});
  expect(await response?.text()).toBe(text);
  for (const [query, status] of [
    ['?kind=x', 400],
    ['?limit=1', 400],
    ['?task_type=none', 404],
  ] as const) {
    expect((await file?.handle(new Request(`http://x/${query}`), deps, 'test', {}))?.status).toBe(status);
  }
});

const fight = { model_a: 'a', model_b: 'b', winner: 'tie' };
const share = { model: 'alpha', probability: 1 };
const logged = { model: 'alpha', propensity: 1, reward: 1 };

test.each([
  ['neither list nor text', recordBattles, {}, 'invalid_input'],
  ['a list and a text', recordBattles, { battles: [fight], jsonl: '{}' }, 'invalid_input'],
  ['no good battle', recordBattles, { battles: [{ ...fight, winner: 'x' }] }, 'invalid_input'],
  [
    'too many battles',
    recordBattles,
    { battles: Array.from({ length: 10_001 }, () => fight) },
    'invalid_input',
  ],
  ['a text too long', recordBattles, { csv: 'x'.repeat(4_000_001) }, 'invalid_input'],
  ['an unknown model', compareModels, { a: 'nobody', b: 'alpha', source: 'battles' }, 'not_found'],
  ['a model and a client', compareModels, { a: 'client:x', b: 'alpha', source: 'battles' }, 'invalid_input'],
  [
    'a cost of battles',
    compareModels,
    { a: 'alpha', b: 'beta', source: 'battles', metric: 'cost_usd' },
    'invalid_input',
  ],
  ['a margin of 0', compareModels, { a: 'alpha', b: 'beta', margin: 0 }, 'invalid_input'],
  ['a negative seed', compareModels, { a: 'alpha', b: 'beta', seed: -1 }, 'invalid_input'],
  ['one model to rank', rankModels, { models: ['alpha'] }, 'conflict'],
  ['no client to rank', rankModels, { kind: 'client' }, 'conflict'],
  ['a snapshot to come', rankModels, { snapshot_id: 'battle:99999999,change:0' }, 'conflict'],
  ['a snapshot of another form', rankModels, { snapshot_id: 'latest' }, 'invalid_input'],
  ['covariates of decisions', rankModels, { source: 'decisions', covariates: ['length'] }, 'invalid_input'],
  [
    'weights of nothing',
    recommendModel,
    { task_type: 'code', weights: { quality: 0, cost: 0, latency: 0 } },
    'invalid_input',
  ],
  ['a negative weight', recommendModel, { task_type: 'code', weights: { quality: -1 } }, 'invalid_input'],
  [
    'a budget of battles',
    recommendModel,
    { task_type: 'code', budget_usd: 1, source: 'battles' },
    'invalid_input',
  ],
  ['an unknown kind of task', recommendModel, { task_type: 'none', source: 'battles' }, 'not_found'],
  ['an unknown model by task', identifyStrengths, { model: 'nobody', source: 'battles' }, 'not_found'],
  ['neither delta nor items', planExperiment, {}, 'invalid_input'],
  ['a rate above 1', planExperiment, { delta: 0.1, rate: 1.2 }, 'invalid_input'],
  ['a delta of NaN', planExperiment, { delta: Number.NaN }, 'invalid_input'],
  ['a alone', planExperiment, { delta: 0.1, a: 'alpha' }, 'invalid_input'],
  ['a judge that is none', judgeAgreement, { judges: ['nobody'] }, 'not_found'],
  ['one label', judgeAgreement, { labels: [{ item: 'i', judge: 'j', label: 'l' }] }, 'conflict'],
  [
    'a probability above 1',
    evaluatePolicy,
    { policy: [{ ...share, probability: 1.5 }], log: [logged] },
    'invalid_input',
  ],
  [
    'half a policy',
    evaluatePolicy,
    { policy: [{ ...share, probability: 0.5 }], log: [logged] },
    'invalid_input',
  ],
  [
    'a propensity of 0',
    evaluatePolicy,
    { policy: [share], log: [{ ...logged, propensity: 0 }] },
    'invalid_input',
  ],
  [
    'a reward of NaN',
    evaluatePolicy,
    { policy: [share], log: [{ ...logged, reward: Number.NaN }] },
    'invalid_input',
  ],
  ['an empty log', evaluatePolicy, { policy: [share], log: [] }, 'invalid_input'],
  ['a cursor of a report', generateReport, { format: 'html', cursor: 'x' }, 'invalid_input'],
  ['a cursor of nobody', generateReport, { format: 'battles_csv', cursor: 'x' }, 'invalid_input'],
] as [string, AnyTool<Comparing>, object, string][])(
  '%s is refused, and nothing is changed',
  async (_, tool, args, code) => {
    const before = deps.store.reading.snapshot(0);
    await expect(invoke(tool, args, deps)).rejects.toMatchObject({ code });
    expect(deps.store.reading.snapshot(0)).toEqual(before);
  },
);

test('decisions are looked for again after a clock that was ahead is set back', async () => {
  const nowMs = Date.now();
  const newest = { decisions: [], newest: undefined, change: 0, isComplete: true, atMs: nowMs + 3_600_000 };
  const { signal } = new AbortController();
  for (const kind of kinds) await deps.store.write('copy', { kind, ...newest }, { caller: 'test', signal });

  await expect(deps.copy.refresh({ signal, nowMs: nowMs + 3_600_001 }, false)).resolves.toEqual([]);
  await expect(deps.copy.refresh({ signal, nowMs }, false)).rejects.toMatchObject({ code: 'unavailable' });
});
