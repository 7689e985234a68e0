import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { seededRandom } from '#statistics/random.ts';

import { callOf, nowMs, testStore } from './store.fixture.ts';
import type { Store } from './store/store.ts';

let store: Store;
let call: ReturnType<typeof callOf>;
beforeAll(async () => {
  store = await testStore();
  call = callOf(store);
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
});

const judged = (
  model: string,
  pairs: readonly (readonly [p: number | undefined, y: number])[],
  more: object = {},
) =>
  pairs.map(([confidence, outcome], at) => ({
    uid: `${model} ${at} ${JSON.stringify(more)}`,
    model,
    confidence,
    outcome,
    source: 'ground_truth',
    ...more,
  }));

async function register(name: string, more: object = {}): Promise<string> {
  const { model } = await call('register_model', { name, ...more });
  return model as string;
}

const rates = (n: number, successes: number): [undefined, number][] =>
  Array.from({ length: n }, (_, at) => [undefined, at < successes ? 1 : 0]);

describe('published figures, through the tools', () => {
  test.each([
    [81, 263, 'wilson', 0.255289, 0.36621],
    [15, 148, 'jeffreys', 0.060449, 0.157643],
    [0, 20, 'wilson', 0, 0.161125],
    [8, 10, 'clopper_pearson', 0.443905, 0.974789],
  ])('%i of %i, %s', async (successes, n, interval, low, high) => {
    const model = await register(`rate ${n}`);
    await call('record_decisions', { decisions: judged(model, rates(n, successes)) });

    const { rows } = await call('get_profile', { model, interval });

    expect(rows[0].success).toMatchObject({
      value: expect.closeTo(successes / n, 9) as number,
      n,
      method: `mean outcome, ${interval} interval`,
      source_mix: { ground_truth: n },
      warnings: [],
    });
    expect(rows[0].success.ci95[0]).toBeCloseTo(low, 6);
    expect(rows[0].success.ci95[1]).toBeCloseTo(high, 6);
    expect(rows[0].success.snapshot_id).toMatch(/^change:\d+$/);
  });

  test('Brier and log score', async () => {
    const model = await register('brier');
    await call('record_decisions', {
      decisions: judged(model, [
        [0.1, 0],
        [0.9, 1],
        [0.8, 1],
        [0.3, 0],
      ]),
    });

    const found = await call('get_calibration', { model });

    expect(found['brier'].value).toBeCloseTo(0.0375, 9);
    expect(found['log_score'].value).toBeCloseTo(0.1976349, 7);
  });

  test('calibration error, decomposition and the largest error', async () => {
    const model = await register('torchmetrics');
    await call('record_decisions', {
      decisions: judged(model, [
        [0.25, 0],
        [0.25, 0],
        [0.55, 1],
        [0.75, 1],
        [0.75, 1],
      ]),
    });

    const found = await call('get_calibration', { model, bins: 2, seed: 7 });

    expect(found['ece'].value).toBeCloseTo(0.29, 9);
    expect(found['mce']).toBeCloseTo(0.3167, 4);
    expect(found['parts']).toMatchObject({ within_bins: 0 });
    expect(found['parts'].reliability).toBeCloseTo(0.0905, 9);
    expect(found['parts'].resolution).toBeCloseTo(0.24, 9);
    expect(found['parts'].uncertainty).toBeCloseTo(0.24, 9);
    expect(found['ece'].ci95[0]).toBeLessThanOrEqual(0.29);
    expect(found['ece'].ci95[1]).toBeGreaterThanOrEqual(0.29);
    expect(await call('get_calibration', { model, bins: 2, seed: 7 })).toEqual(found);
  });

  test('the chart of drift', async () => {
    const model = await register('chart');
    // The outcomes of Montgomery do not fit between 0 and 1: scaled, the chart is scaled.
    const x = [
      102.0, 94.8, 98.3, 98.4, 102.0, 98.5, 99.0, 97.7, 100.0, 98.1, 101.3, 98.7, 101.1, 98.4, 97.0, 96.7,
      100.3, 101.4, 97.2, 101.0,
    ];
    await call('record_decisions', {
      decisions: judged(
        model,
        x.map((value) => [undefined, value / 200] as const),
      ),
    });

    const found = await call('detect_drift', {
      model,
      target: 99 / 200,
      slack: 1 / 200,
      threshold: 10 / 200,
    });

    expect(found).toMatchObject({ verdict: 'no_drift_shown', alarm_count: 0 });
    expect(found['chart'].high * 200).toBeCloseTo(1, 6);
    expect(found['chart'].low * 200).toBeCloseTo(0, 6);
  });
});

describe('sources', () => {
  test('are told apart, the strongest first, and pooled only when asked', async () => {
    const model = await register('sources');
    await call('record_decisions', {
      decisions: [
        ...judged(model, rates(10, 9), { source: 'llm_judge' }),
        ...judged(model, rates(10, 5), { source: 'code_check' }),
      ],
    });

    const apart = await call('get_profile', { model });
    const pooled = await call('get_profile', { model, source: 'pooled' });

    expect(apart['rows'][0]).toMatchObject({
      success: { value: 0.5, n: 10, source_mix: { code_check: 10 } },
      other_sources: [{ value: 0.9, n: 10, source_mix: { llm_judge: 10 } }],
    });
    expect(pooled['rows'][0].success).toMatchObject({
      value: 0.7,
      n: 20,
      source_mix: { code_check: 10, llm_judge: 10 },
      warnings: [expect.stringContaining('pooled') as string],
    });
  });
});

describe('a profile', () => {
  test('is by task type and day, within a window, with latencies and prices', async () => {
    const model = await register('rows');
    const at = (time: string, task_type: string, outcome: number, latency: number) => ({
      uid: `${time} ${task_type}`,
      model,
      time,
      task_type,
      outcome,
      source: 'human',
      latency_ms: latency,
      cost_usd: 0.5,
      input_tokens: 10,
    });
    await call('record_decisions', {
      decisions: [
        at('2026-11-01T00:00:00Z', 'code', 1, 10),
        at('2026-11-19T23:00:00Z', 'code', 0, 20),
        at('2026-11-20T01:00:00Z', 'text', 1, 30),
      ],
    });

    const byType = await call('get_profile', { model, by: 'task_type' });
    const byDay = await call('get_profile', { model, by: 'day', window_days: 2 });
    const all = await call('get_profile', { model, window_days: 1 });
    const earlier = await call('get_profile', { model, until: '2026-11-10' });

    expect(
      byType['rows'].map(({ key, decisions }: { key: string; decisions: number }) => [key, decisions]),
    ).toEqual([
      ['code', 2],
      ['text', 1],
    ]);
    expect(byDay['rows'].map(({ key }: { key: string }) => key)).toEqual(['2026-11-20', '2026-11-19']);
    expect(all['rows'][0]).toMatchObject({
      decisions: 1,
      success: { value: 1, n: 1 },
      total_cost_usd: 0.5,
      tokens: { input: 10 },
    });
    expect(all['rows'][0].latency_ms.p50.value / 30).toBeCloseTo(1, 1);
    expect(earlier['rows'][0].decisions).toBe(1);
  });

  test('of all models is of one kind, page by page', async () => {
    await register('one', { kind: 'client' });
    await register('two', { kind: 'client' });

    const first = await call('get_profile', { kind: 'client', limit: 1 });
    const second = await call('get_profile', { kind: 'client', limit: 1, cursor: first['next_cursor'] });

    expect([first, second].map(({ rows }) => rows[0].key)).toEqual(['client:one', 'client:two']);
    expect(second['next_cursor']).toBeUndefined();
  });

  test('says what it cannot tell', async () => {
    const model = await register('empty');

    expect((await call('get_profile', { model }))['rows'][0]).toMatchObject({
      decisions: 0,
      success: { value: null, ci95: null, n: 0 },
    });
    expect(await call('get_calibration', { model })).toMatchObject({
      verdict: 'no_data',
      brier: { value: null, n: 0 },
    });
    expect(await call('detect_drift', { model })).toMatchObject({ verdict: 'inconclusive', needed_n: 110 });
    expect(await call('find_patterns', { model })).toMatchObject({ patterns: [], tried: 0 });
    expect(await call('get_decision_history', { model })).toMatchObject({ decisions: [], complete: true });
  });
});

describe('calibration', () => {
  test('from one decision has no interval, and from few a warning', async () => {
    const model = await register('few');
    const tell = async () => {
      const { brier, log_score, ece } = await call('get_calibration', { model });
      return [brier, log_score, ece];
    };

    await call('record_decisions', { decisions: judged(model, [[0.9, 1]], { task_type: 'a' }) });
    for (const told of await tell()) expect(told.ci95).toBeNull();
    await call('record_decisions', { decisions: judged(model, [[0.9, 0]], { task_type: 'b' }) });
    for (const told of await tell()) {
      expect(told.ci95).toHaveLength(2);
      expect(told.warnings).toContain('With fewer than 30 decisions, a bootstrap interval is too narrow.');
    }
  });

  test('from sums is that from decisions', async () => {
    const random = seededRandom(3);
    const model = await register('calibrated');
    const pairs = Array.from({ length: 2_000 }, () => {
      const p = Math.round(random.uniform() * 100) / 100;
      return [p, random.uniform() < p * 0.8 ? 1 : 0] as const;
    });
    await call('record_decisions', { decisions: judged(model, pairs, { task_type: 'kept' }) });

    const read = await call('get_calibration', { model, resamples: 50, bins: 10 });

    expect(read['verdict']).toBe('overconfident');
    expect(read['brier'].method).toContain('one by one');
    const { calibrationSteps } = await import('./calibration.ts');
    // A model of which no list of decisions is kept.
    const withoutLists = { ...store.reading, newestOf: () => [] };
    const steps = calibrationSteps(withoutLists, {
      model: store.reading.model(model),
      window: { fromDay: 0, toDay: 1e6 },
      taskType: undefined,
      bins: 10,
      method: 'equal_width',
      resamples: 50,
      seed: 1,
      nowMs,
    });
    let step = steps.next();
    while (!step.done) step = steps.next();
    const summed = step.value;
    expect(summed.brier.method).toContain('sums');
    for (const name of ['brier', 'log_score', 'ece'] as const)
      expect(summed[name].value).toBeCloseTo(read[name].value, 8);
    expect(summed.bins.map(({ n }) => n)).toEqual(read['bins'].map(({ n }: { n: number }) => n));
    const {
      reliability,
      resolution,
      uncertainty,
      within_bins: within,
    } = summed.parts ?? { reliability: 0, resolution: 0, uncertainty: 0, within_bins: 0 };
    expect(reliability - resolution + uncertainty + within).toBeCloseTo(summed.brier.value ?? 0, 8);
  });
});

describe('drift', () => {
  test.each(['cusum', 'evalue'])(
    'is found by %s where a model fell, and not where it did not',
    async (method) => {
      const random = seededRandom(5);
      const stream = (n: number, p: number): [undefined, number][] =>
        Array.from({ length: n }, () => [undefined, random.uniform() < p ? 1 : 0]);
      const [fallen, steady] = [await register(`fallen ${method}`), await register(`steady ${method}`)];
      await call('record_decisions', {
        decisions: judged(fallen, [...stream(200, 0.9), ...stream(200, 0.4)]),
      });
      await call('record_decisions', { decisions: judged(steady, stream(400, 0.8)) });

      const found = await call('detect_drift', { model: fallen, method, baseline: 200 });

      expect(found).toMatchObject({
        verdict: 'drift',
        baseline: { n: 200 },
        since: { n: 200 },
        monitor: { seen: 400 },
      });
      expect(found['monitor'].alarms).toBeGreaterThan(0);
      expect(await call('detect_drift', { model: steady, method, baseline: 200 })).toMatchObject({
        verdict: 'no_drift_shown',
      });
    },
  );

  test('of latency is by its logarithm', async () => {
    const random = seededRandom(6);
    const model = await register('slow');
    const decisions = Array.from({ length: 300 }, (_, at) => ({
      uid: `slow ${at}`,
      model,
      latency_ms: Math.exp(4 + 0.3 * random.normal() + (at < 150 ? 0 : 0.5)),
    }));
    await call('record_decisions', { decisions });

    for (const method of ['cusum', 'evalue']) {
      const found = await call('detect_drift', { model, metric: 'latency', method, baseline: 150 });
      expect(found['verdict'], method).toBe('drift');
      expect(found['since'].value / found['baseline'].value).toBeCloseTo(Math.exp(0.5), 0);
    }
  });
});

describe('patterns', () => {
  test('are found where they are, with the kinds of failure', async () => {
    const random = seededRandom(9);
    const model = await register('patterned');
    const decisions = Array.from({ length: 1_200 }, (_, at) => {
      const task = `task ${at % 6}`;
      const outcome = random.uniform() < (task === 'task 3' ? 0.4 : 0.85) ? 1 : 0;
      const error_kind = task === 'task 3' ? 'timeout' : 'format';
      return {
        uid: `patterned ${at}`,
        model,
        task_type: task,
        outcome,
        source: 'code_check',
        ...(outcome === 0 && { error_kind }),
      };
    });
    await call('record_decisions', { decisions });

    const {
      patterns,
      failures,
      failures_without_kind: without,
      tried,
    } = await call('find_patterns', { model });

    expect(tried).toBeGreaterThanOrEqual(6);
    expect(patterns[0]).toMatchObject({ p_adjusted: expect.any(Number) as number });
    const byTask = patterns.find(({ dimension }: { dimension: string }) => dimension === 'task_type');
    expect(byTask).toMatchObject({
      group: 'task 3',
      direction: 'below',
      difference: { method: expect.stringContaining('Newcombe') as string },
    });
    expect(
      patterns.some(({ group }: { group: string }) => group === 'timeout among failures of task 3'),
    ).toBe(true);
    expect(failures.map(({ error_kind: kind }: { error_kind: string }) => kind).toSorted()).toEqual([
      'format',
      'timeout',
    ]);
    expect(without).toBe(0);
  });

  test('that are none are rarely found', async () => {
    const random = seededRandom(10);
    let found = 0;
    for (let round = 0; round < 10; round += 1) {
      const model = await register(`noise ${round}`);
      const decisions = Array.from({ length: 600 }, (_, at) => ({
        uid: `${model} ${at}`,
        model,
        task_type: `task ${at % 20}`,
        outcome: random.uniform() < 0.7 ? 1 : 0,
        source: 'human',
      }));
      await call('record_decisions', { decisions });
      found += (await call('find_patterns', { model }))['patterns'].length > 0 ? 1 : 0;
    }
    // At most one in twenty, and chance.
    expect(found).toBeLessThanOrEqual(3);
  });
});

describe('history', () => {
  test('misses no change, in order, whatever its pages', async () => {
    const model = await register('followed');
    const { last_change: start } = await call('get_decision_history', { after_change: 0, limit: 2_000 });
    let { last_change: from, complete } = await call('get_decision_history', {
      after_change: start,
      limit: 2_000,
    });
    while (!complete)
      ({ last_change: from, complete } = await call('get_decision_history', {
        after_change: from,
        limit: 2_000,
      }));
    await call('record_decisions', { decisions: judged(model, rates(30, 20)) });
    const first = `${model} 0 {}`;
    await call('resolve_outcome', { decision: first, outcome: 0, source: 'human' });
    await call('resolve_outcome', {
      decision: first,
      outcome: 0,
      source: 'ground_truth',
      evaluator: 'again',
    });

    const seen: any[] = []; // oxlint-disable-line typescript/no-explicit-any -- looked at field by field
    for (let after = from, done = false; !done;) {
      const page = await call('get_decision_history', { after_change: after, limit: 7 });
      seen.push(...page['decisions']);
      after = page['last_change'];
      done = page['complete'];
    }

    expect(seen.map(({ change }) => change - from)).toEqual(Array.from({ length: 32 }, (_, at) => at + 1));
    expect(seen.at(-2)).toMatchObject({
      kind: 'outcome',
      uid: first,
      outcome: 0,
      source: 'ground_truth',
      said: { outcome: 0, source: 'human', counts: false },
    });
    expect(seen.at(-1)).toMatchObject({ kind: 'outcome', said: { evaluator: 'again', counts: true } });
  });

  test('is newest first by pages, and by state', async () => {
    const model = await register('newest');
    await call('record_decisions', { decisions: judged(model, rates(25, 10)) });

    const uids: string[] = [];
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await call('get_decision_history', {
        model,
        state: 'failed',
        limit: 4,
        ...(cursor !== undefined && { cursor }),
      });
      uids.push(...page['decisions'].map(({ uid }: { uid: string }) => uid));
      cursor = page['next_cursor'] as string | undefined;
    }

    expect(uids).toEqual(Array.from({ length: 15 }, (_, at) => `${model} ${24 - at} {}`));
  });
});

describe('export', () => {
  async function exported(format: 'jsonl' | 'csv') {
    const model = await register(`exported ${format}`);
    await call('record_decisions', {
      decisions: judged(model, rates(60, 10), { chosen: '=1+1, "quoted"\nline' }),
    });
    const pages: string[] = [];
    for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
      const page = await call('export_profile', {
        model,
        format,
        page_bytes: 3_000,
        ...(cursor !== undefined && { cursor }),
      });
      pages.push(page['content'] as string);
      cursor = page['next_cursor'] as string | undefined;
    }
    expect(pages.length).toBeGreaterThan(3);
    return { model, content: pages.join('') };
  }

  test('as CSV is whole, page by page, and holds no formula', async () => {
    const { content } = await exported('csv');

    expect(content.split('\r\n')).toHaveLength(62);
    expect(content).toContain(`"'=1+1, ""quoted""\nline"`);
  });

  test('as JSONL is whole, page by page, after a header', async () => {
    const { model, content } = await exported('jsonl');

    const [header, ...lines] = content
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(header).toMatchObject({
      schema: 'flotilla.model-profile/1',
      model: { key: model },
      decisions: 60,
    });
    expect(new Set(lines.map(({ uid }) => uid)).size).toBe(60);
    expect(lines[0]).toMatchObject({ chosen: '=1+1, "quoted"\nline', outcome: 0 });
  });

  test('as Markdown tells the figures, and text of others is no markup', async () => {
    const model = await register('page | <b>');
    await call('record_decisions', {
      decisions: judged(
        model,
        [
          [0.9, 1],
          [0.8, 0],
        ],
        { task_type: '# a | b' },
      ),
    });

    const { content } = await call('export_profile', { model, format: 'markdown' });

    expect(content).toContain('| Brier score | 0.325 |');
    expect(content).toContain(String.raw`| \# a \| b | 0.5 |`);
    expect(content).not.toContain('<b>');
  });
});

describe('bad input is answered, and changes nothing', () => {
  const ok = { uid: 'bad', model: 'model:bad' };
  test.each([
    ['record_decision', { ...ok, confidence: 1.1 }, 'invalid_input'],
    ['record_decision', { ...ok, confidence: -0.1 }, 'invalid_input'],
    ['record_decision', { ...ok, confidence: Number.NaN }, 'invalid_input'],
    ['record_decision', { ...ok, outcome: 2, source: 'human' }, 'invalid_input'],
    ['record_decision', { ...ok, outcome: 1 }, 'invalid_input'],
    ['record_decision', { ...ok, source: 'human' }, 'invalid_input'],
    ['record_decision', { ...ok, outcome: 1, source: 'a friend' }, 'invalid_input'],
    ['record_decision', { ...ok, outcome: 1, source: 'human', error_kind: 'timeout' }, 'invalid_input'],
    ['record_decision', { ...ok, error_kind: 'failure' }, 'invalid_input'],
    ['record_decision', { ...ok, cost_usd: -1 }, 'invalid_input'],
    ['record_decision', { ...ok, latency_ms: Infinity }, 'invalid_input'],
    ['record_decision', { ...ok, input_tokens: 1.5 }, 'invalid_input'],
    ['record_decision', { ...ok, time: '2026-11-20' }, 'invalid_input'],
    ['record_decision', { ...ok, time: '2026-02-30T00:00:00Z' }, 'invalid_input'],
    ['record_decision', { ...ok, time: '2026-11-20T12:11:00Z' }, 'invalid_input'],
    ['record_decision', { ...ok, time: '1990-01-01T00:00:00Z' }, 'invalid_input'],
    ['record_decision', { ...ok, uid: '' }, 'invalid_input'],
    ['record_decision', { ...ok, uid: 'x'.repeat(201) }, 'invalid_input'],
    ['record_decision', { ...ok, chosen: 'half \ud800' }, 'invalid_input'],
    ['record_decision', { ...ok, chosen: 'nul \0' }, 'invalid_input'],
    ['record_decision', { ...ok, model: 'nobody' }, 'not_found'],
    ['record_decisions', { decisions: [] }, 'invalid_input'],
    ['record_decisions', {}, 'invalid_input'],
    ['record_decisions', { decisions: [ok], decisions_jsonl: '{}' }, 'invalid_input'],
    ['record_decisions', { decisions: Array.from({ length: 5_001 }, () => ok) }, 'invalid_input'],
    ['record_decisions', { decisions_jsonl: '{}\n'.repeat(5_001) }, 'too_large'],
    ['resolve_outcome', { decision: 'unknown', outcome: 1, source: 'human' }, 'not_found'],
    ['resolve_outcome', { decision: 'bad', outcome: 1.01, source: 'human' }, 'invalid_input'],
    [
      'resolve_outcome',
      { decision: 'bad', outcome: 1, source: 'human', error_kind: 'format' },
      'invalid_input',
    ],
    ['get_profile', { model: 'nobody' }, 'not_found'],
    ['get_profile', { model: 'bad', task_type: 'unknown' }, 'not_found'],
    ['get_profile', { model: 'bad', until: '2026-02-30' }, 'invalid_input'],
    ['get_calibration', { model: 'nobody' }, 'not_found'],
    ['get_calibration', { model: 'bad', bins: 7 }, 'invalid_input'],
    ['detect_drift', { model: 'bad', method: 'evalue', target: 1 }, 'invalid_input'],
    ['detect_drift', { model: 'nobody' }, 'not_found'],
    ['find_patterns', { model: 'nobody' }, 'not_found'],
    ['get_decision_history', { model: 'nobody' }, 'not_found'],
    ['get_decision_history', { after_change: 0, cursor: 'x' }, 'invalid_input'],
    ['export_profile', { model: 'nobody' }, 'not_found'],
    ['register_model', { name: '' }, 'invalid_input'],
    ['register_model', { name: 'x', kind: 'team' }, 'invalid_input'],
  ])('%s %j', async (tool, args, code) => {
    await register('bad');
    const before = store.reading.change();

    await expect(call(tool, args)).rejects.toMatchObject({ code });

    expect(store.reading.change()).toBe(before);
  });

  test('a batch names each that it refuses, and takes the rest', async () => {
    const model = await register('batch');

    const answer = await call('record_decisions', {
      decisions: [
        { uid: 'batch 1', model },
        { uid: 'batch 2', model: 'model:nobody' },
        { uid: 'batch 3', model, confidence: 2 },
        { uid: 'batch 4', model, colour: 'red' },
        { uid: 'batch 1', model, confidence: 0.1 },
        'no object',
        { uid: 'batch 1', model },
        { uid: 'batch 5', model, latency_ms: Infinity },
      ],
    });

    expect(answer).toMatchObject({ accepted: 1, duplicates: 1, rejected_count: 6, durable: true });
    expect(
      answer['rejected'].map(({ index, reason }: { index: number; reason: string }) => [index, reason]),
    ).toEqual([
      [1, 'unknown_model'],
      [2, 'invalid'],
      [3, 'invalid'],
      [4, 'conflict'],
      [5, 'invalid'],
      [7, 'invalid'],
    ]);
  });

  test('a uid of another decision is a conflict', async () => {
    const model = await register('conflict');
    await call('record_decision', { uid: 'conflict 1', model, confidence: 0.1 });

    expect(await call('record_decision', { uid: 'conflict 1', model, confidence: 0.1 })).toMatchObject({
      recorded: false,
    });
    await expect(
      call('record_decision', { uid: 'conflict 1', model, confidence: 0.2 }),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  test('a model that is set up otherwise is another, and is named', async () => {
    await register('setup', { version: '2' });

    await expect(call('get_profile', { model: 'setup' })).rejects.toMatchObject({
      code: 'not_found',
      hint: expect.stringContaining('model:setup@2') as string,
    });
  });
});

describe('too much at once', () => {
  test('is sent away with word when to come again, counted, and taken then', async () => {
    await using busy = await testStore();
    const ask = callOf(busy);
    const { model } = await ask('register_model', { name: 'm' });
    const batch = (number: number) =>
      Array.from({ length: 5_000 }, (_, at) => ({ uid: `${number} ${at}`, model }));

    const answers = await Promise.allSettled(
      Array.from({ length: 25 }, async (_, number) => ask('record_decisions', { decisions: batch(number) })),
    );

    const refused = answers.flatMap((answer, number) =>
      answer.status === 'rejected' ? [{ number, error: answer.reason as unknown }] : [],
    );
    // Half of the room is for others.
    expect(refused).toHaveLength(15);
    expect(refused[0]?.error).toMatchObject({ code: 'unavailable', retryAfterMs: 1_000 });
    expect(busy.refusedBusy()).toBe(75_000);
    expect(await ask('record_decisions', { decisions: batch(refused[0]?.number ?? 0) })).toMatchObject({
      accepted: 5_000,
    });
    expect(busy.kept().holdings).toMatchObject([{ items: 55_000 }]);
  });
});

test('what one token may name is its own: others name kinds of task all the same', async () => {
  await using store = await testStore();
  const ask = callOf(store);
  const { model } = await ask('register_model', { name: 'm' });
  const many = Array.from({ length: 1_001 }, (_, at) => ({
    uid: `decision ${at}`,
    model,
    task_type: `type ${at}`,
  }));

  const flood = await ask('record_decisions', { decisions: many }, { caller: 'flood' });
  const other = await ask(
    'record_decisions',
    { decisions: [{ uid: 'own', model, task_type: 'own' }] },
    { caller: 'other' },
  );

  expect(flood).toMatchObject({ accepted: 1_000, rejected: [{ reason: 'too_many_task_types' }] });
  expect(other).toMatchObject({ accepted: 1 });
});
