/** Figures from what a store holds; the formulas have tests of their own in statistics/. */
import { beforeAll, afterAll, describe, expect, test } from 'vitest';

import { seededRandom } from '#statistics/random.ts';

import { nowMs, trialStore } from '../store.fixture.ts';
import { sources } from '../vocabulary.ts';
import { agreement } from './agreement.ts';
import { compare, type CompareRequest } from './compare.ts';
import { evaluatePolicy } from './policy.ts';
import type { RankRequest } from './games.ts';
import { rank } from './rank.ts';
import { recommend, type RecommendRequest } from './recommend.ts';
import { strengths } from './strengths.ts';

const comparing = (given: Partial<CompareRequest> & Pick<CompareRequest, 'a' | 'b'>): CompareRequest => ({
  from: undefined,
  metric: 'success',
  paired: 'auto',
  margin: undefined,
  taskType: undefined,
  sources: undefined,
  seed: 1,
  nowMs,
  ...given,
});

const ranking = (given: Partial<RankRequest> = {}): RankRequest => ({
  from: 'battles',
  kind: 'model',
  models: undefined,
  taskType: undefined,
  sources: undefined,
  ties: 'half',
  covariates: [],
  ci: 'sandwich',
  resamples: 100,
  seed: 1,
  upTo: undefined,
  nowMs,
  ...given,
});

const times = <Value>(count: number, value: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => value(index));

describe('two models', () => {
  const store = trialStore();
  afterAll(() => store[Symbol.dispose]());
  // The table [[59, 6], [16, 80]] of Fagerland, Lydersen and Laake; then 56 of 70 against 48 of 80.
  const cells = [
    [59, 1, 1],
    [6, 1, 0],
    [16, 0, 1],
    [80, 0, 0],
  ] as const;
  beforeAll(() => {
    let item = 0;
    for (const [count, one, other] of cells) {
      for (let copy = 0; copy < count; copy += 1) {
        item += 1;
        store.decide([
          {
            subject: 'one',
            item: `item ${item}`,
            outcome: one,
            costUsd: 0.01 + one / 1_000,
            confidence: 0.9,
          },
          { subject: 'other', item: `item ${item}`, outcome: other, costUsd: 0.02, confidence: 0.5 },
        ]);
      }
    }
    store.decide([
      ...times(70, (index) => ({ subject: 'left', outcome: index < 56 ? 1 : 0 })),
      ...times(80, (index) => ({ subject: 'right', outcome: index < 48 ? 1 : 0 })),
      ...times(12, (index) => ({ subject: 'same', item: `item ${index}`, outcome: 1 })),
      ...times(12, (index) => ({ subject: 'same too', item: `item ${index}`, outcome: 1 })),
      { subject: 'rare', item: 'item 1', outcome: 1, source: 3 },
      { subject: 'mute' },
    ]);
  });
  const compared = (given: Parameters<typeof comparing>[0]) => compare(store.reading, comparing(given));

  test('on the same items: the paired difference, by Tango and McNemar', () => {
    const found = compared({ a: 'one', b: 'other' });
    expect(found.value).toBeCloseTo(-10 / 161, 7);
    expect(found.ci95?.map((bound) => bound.toFixed(6))).toEqual(['-0.124023', '-0.005433']);
    expect(found.p_value?.toFixed(6)).toBe('0.034690');
    expect(found).toMatchObject({
      n: 161,
      verdict: 'worse',
      source_mix: { human: 322 },
      snapshot_id: 'battle:0,change:498',
    });
    expect(found.e_value).toBeCloseTo(2.48, 1);
    expect(found.warnings.join()).toContain('one look only');
    expect(found.needed_n).toBeUndefined();
    expect(found.a.value).toBeCloseTo(65 / 161, 7);
  });

  test('turned round, the verdict turns', () => {
    expect(compared({ a: 'other', b: 'one' })).toMatchObject({ verdict: 'better', value: 0.06211180124 });
  });

  test('on items of their own: Newcombe', () => {
    const found = compared({ a: 'left', b: 'right' });
    expect(found.value).toBeCloseTo(0.2, 10);
    expect(found.ci95?.map((bound) => bound.toFixed(6))).toEqual(['0.052431', '0.333873']);
    expect(found).toMatchObject({ n: 70, verdict: 'better' });
    expect(found.method).toContain('Newcombe');
  });

  test('lower is better of cost, and of the Brier score', () => {
    expect(compared({ a: 'one', b: 'other', metric: 'cost_usd' })).toMatchObject({
      verdict: 'better',
      n: 161,
    });
    const brier = compared({ a: 'one', b: 'other', metric: 'brier' });
    expect(brier.value).toBeGreaterThan(0);
    expect(brier.verdict).toBe('worse');
  });

  test('identical outcomes are no proof of equality: a margin asks for one, and n says how much is missing', () => {
    const open = compared({ a: 'same', b: 'same too' });
    expect(open).toMatchObject({ value: 0, p_value: 1, verdict: 'inconclusive' });
    expect(open.needed_n).toBeUndefined();
    expect(open.warnings.join()).toContain('give a margin');
    const asked = compared({ a: 'same', b: 'same too', margin: 0.1 });
    // Tango leaves z²/(n + z²): 0.1 needs 35.
    expect(asked).toMatchObject({ verdict: 'inconclusive', needed_n: 35 });
    store.decide(
      ['same', 'same too'].flatMap((subject) =>
        times(35, (index) => ({ subject, item: `more ${index}`, outcome: 1 })),
      ),
    );
    expect(compared({ a: 'same', b: 'same too', margin: 0.1 }).verdict).toBe('equivalent');
  });

  test('too few items make no verdict, and sources are not mixed', () => {
    expect(() => compared({ a: 'rare', b: 'one' })).toThrow(
      'no decision with an outcome of a source that both have',
    );
    const pooled = compared({ a: 'rare', b: 'one', sources: [2, 3], paired: 'yes' });
    expect(pooled).toMatchObject({ n: 1, verdict: 'inconclusive', source_mix: { human: 161, llm_judge: 1 } });
    expect(pooled.warnings.join()).toContain('pooled');
    expect(pooled.needed_n).toBeGreaterThanOrEqual(10);
  });

  test.each([
    ['an unknown model', { a: 'nobody', b: 'one' }, 'not_found'],
    ['a model against itself', { a: 'one', b: 'model:one' }, 'invalid_input'],
    ['a model against a client', { a: 'one', b: 'client:c' }, 'invalid_input'],
    ['one without outcomes', { a: 'mute', b: 'one' }, 'not_found'],
    ['battles that never were', { a: 'one', b: 'other', from: 'battles' as const }, 'not_found'],
    ['pairs without shared items', { a: 'left', b: 'right', paired: 'yes' as const }, 'conflict'],
    ['an unknown kind of task', { a: 'one', b: 'other', taskType: 'none' }, 'not_found'],
  ])('%s is refused', (_, given, code) => {
    expect(() => compared(given)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

test('clusters widen the interval: four questions of one text are not four texts', () => {
  using store = trialStore();
  const random = seededRandom(3);
  for (let text = 0; text < 40; text += 1) {
    const better = random.uniform() < 0.6 ? 1 : 0;
    for (let question = 0; question < 4; question += 1) {
      const shared = { item: `${text}/${question}`, cluster: `text ${text}` };
      store.decide([
        { ...shared, subject: 'one', outcome: better },
        { ...shared, subject: 'other', outcome: 0.5 },
      ]);
    }
  }
  const clustered = compare(store.reading, comparing({ a: 'one', b: 'other' }));
  expect(clustered.method).toContain('40 clusters');
  expect(clustered.method).toContain('BCa bootstrap, seed 1');
  const [lower = 0, upper = 0] = clustered.ci95 ?? [];
  // sd 0.5 over √40 texts, not over √160 questions.
  expect((upper - lower) / 2).toBeGreaterThan(0.13);
  expect(compare(store.reading, comparing({ a: 'one', b: 'other' }))).toEqual(clustered);
});

const won = (a: string, b: string, aWins: number, bWins: number, ties = 0, more: object = {}) => [
  ...times(aWins, () => ({ model_a: a, model_b: b, winner: 'model_a', ...more })),
  ...times(bWins, () => ({ model_a: a, model_b: b, winner: 'model_b', ...more })),
  ...times(ties, () => ({ model_a: a, model_b: b, winner: 'tie', ...more })),
];

describe('all models', () => {
  const teams = ['Mil', 'Det', 'Tor', 'NY', 'Bos', 'Cle', 'Bal'];
  const wins = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
  ];
  const store = trialStore();
  afterAll(() => store[Symbol.dispose]());
  beforeAll(() => {
    for (const [a, row] of wins.entries()) {
      for (const [b, count] of row.entries()) {
        if (count > 0) store.record({ battles: won(teams[a] ?? '', teams[b] ?? '', count, 0) });
      }
    }
    store.record({ battles: won('client:x', 'client:y', 3, 2) });
  });

  test('the American League East of 1987: ratings, intervals and ranks', () => {
    const found = rank(store.reading, ranking());
    expect(
      found.rows.map(({ model, rating, ci95: [, upper = 0], rank: place }) => [
        model.slice(6),
        rating,
        Number((upper - rating).toFixed(1)),
        place,
      ]),
    ).toEqual([
      ['Mil', 1092.27, 70.7, 1],
      ['Det', 1067.09, 70.7, 1],
      ['Tor', 1042.44, 66.4, 1],
      ['NY', 1034.29, 70.1, 1],
      ['Bos', 1009.99, 66, 1],
      ['Cle', 936.36, 72.9, 2],
      ['Bal', 817.56, 77.8, 6],
    ]);
    expect(found).toMatchObject({
      n: 273,
      source_mix: { human: 273 },
      unranked: [],
      snapshot_id: 'battle:278,change:0',
    });
    expect(found.rows.slice(0, 5).every(({ vs_next: next }) => next?.verdict === 'inconclusive')).toBe(true);
  });

  test('kinds are never ranked together', () => {
    expect(rank(store.reading, ranking({ kind: 'client' })).rows.map(({ model }) => model)).toEqual([
      'client:x',
      'client:y',
    ]);
    expect(() => rank(store.reading, ranking({ models: ['Mil', 'client:x'] }))).toThrow(
      'never ranked together',
    );
  });

  test('as of an earlier battle, a ranking is what it was', () => {
    const before = rank(store.reading, ranking());
    store.record({ battles: won('Bal', 'Mil', 50, 0, 3) });
    expect(rank(store.reading, ranking()).rows[0]?.model).not.toBe('model:Mil');
    const again = rank(store.reading, ranking({ upTo: 278 }));
    expect(again.rows).toEqual(before.rows);
    expect(again.snapshot_id).toBe('battle:278,change:0');
    expect(() => rank(store.reading, ranking({ upTo: 10_000 }))).toThrow('cannot be read again');
  });

  test.each([
    ['one model only', { models: ['Mil'] }, 'conflict'],
    ['an unknown one', { models: ['Mil', 'none'] }, 'not_found'],
    ['decisions that never were', { from: 'decisions' as const }, 'not_found'],
    ['covariates that no battle has', { covariates: ['length' as const] }, 'conflict'],
    ['a bootstrap without end', { ci: 'bootstrap' as const, resamples: 1e9 }, 'too_large'],
    ['a source that judged nothing', { sources: [0] }, 'not_found'],
  ])('%s is refused', (_, given, code) => {
    expect(() => rank(store.reading, ranking(given))).toThrow(expect.objectContaining({ code }) as Error);
  });
});

test('disconnected groups: the largest is ranked, the others are named; one who never lost is rated by a ridge', () => {
  using store = trialStore();
  store.record({ battles: [...won('a', 'b', 5, 0), ...won('b', 'c', 2, 2), ...won('x', 'y', 3, 3)] });
  const found = rank(store.reading, ranking());
  expect(found.rows[0]?.model).toBe('model:a');
  expect(found.rows).toHaveLength(3);
  expect(found.unranked.map(({ model }) => model)).toEqual(['model:x', 'model:y']);
  expect(found.warnings.join()).toContain('ridge');
  expect(found.warnings.join()).toContain('2 are not ranked');
});

test('identical outcomes, and ties that are dropped', () => {
  using store = trialStore();
  store.record({ battles: won('a', 'b', 0, 0, 9) });
  expect(rank(store.reading, ranking()).rows.map(({ rating, rank: place }) => [rating, place])).toEqual([
    [1000, 1],
    [1000, 1],
  ]);
  expect(() => rank(store.reading, ranking({ ties: 'drop' }))).toThrow('nothing is left');
});

test.each(['sandwich', 'bootstrap'] as const)(
  'games that never vary leave room in the intervals of %s, and one game is no proof',
  (ci) => {
    using store = trialStore();
    store.record({ battles: won('a', 'b', 1, 0, 0, { task_type: 'once' }) });
    store.record({ battles: won('a', 'b', 20, 0, 0, { task_type: 'always' }) });
    store.record({ battles: won('a', 'b', 0, 0, 30, { task_type: 'tied' }) });
    const ranked = (taskType: string) => {
      const { rows } = rank(store.reading, ranking({ taskType, ci }));
      expect(rows.every(({ rank: best, worst_rank: worst }) => worst >= best)).toBe(true);
      return rows;
    };
    const [once, always, tied] = [ranked('once'), ranked('always'), ranked('tied')];
    expect(once.map(({ rank: place, worst_rank: worst }) => [place, worst])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(once[0]?.vs_next).toMatchObject({ verdict: 'inconclusive' });
    expect(once[0]?.vs_next?.p_adjusted).toBeGreaterThan(0.3);
    // Wilson says of 20 of 20 that at least 83.9 % are won: 287 points.
    expect(always[0]?.vs_next?.verdict).toBe('better');
    expect(always[0]?.vs_next?.ci95[0]).toBeLessThan(287);
    expect(always[0]?.vs_next?.p_adjusted).toBeGreaterThan(1e-4);
    const [lower = 0, upper = 0] = tied[0]?.ci95 ?? [];
    expect(upper - lower).toBeGreaterThan(50);
  },
);

test('battles on one item are one cluster, in a ranking and in the share of each', () => {
  using store = trialStore();
  for (let item = 0; item < 15; item += 1)
    store.record({
      battles: won('a', 'b', item < 12 ? 20 : 0, item < 12 ? 0 : 20, 0, { item_id: `item ${item}` }),
    });
  store.record({ battles: won('a', 'b', 200, 0, 0, { item_id: 'one', task_type: 'one' }) });
  const found = rank(store.reading, ranking({ taskType: 'general' }));
  expect(found.warnings.join()).toContain('items as clusters');
  expect(found.method).toContain('sandwich intervals over items');
  // 12 of 15: √(0.8·0.2/15)/(0.8·0.2) of log odds, with 15/14 for few clusters.
  const half = 1.959964 * (400 / Math.LN10) * Math.sqrt(15 / 14 / 15 / 0.16);
  const [lower = 0, upper = 0] = found.rows[0]?.vs_next?.ci95 ?? [];
  expect((upper - lower) / 2).toBeCloseTo(half, 0);
  expect(rank(store.reading, ranking({ taskType: 'one' })).rows[0]?.vs_next).toMatchObject({
    verdict: 'inconclusive',
  });

  const compared = compare(store.reading, comparing({ a: 'a', b: 'b', taskType: 'general' }));
  // Wilson of 12 of 15.
  expect(compared.a.ci95?.[0]).toBeCloseTo(0.5481, 3);
  expect(compared.a.ci95?.[1]).toBeCloseTo(0.9295, 3);
  expect(compare(store.reading, comparing({ a: 'a', b: 'b', taskType: 'one' })).a.ci95?.[0]).toBeLessThan(
    0.3,
  );
});

describe('what was said again about the same item', () => {
  const asked = {
    model: 'one',
    from: undefined,
    sources: undefined,
    alpha: 0.05,
    margin: undefined,
    nowMs,
  } as const;
  const choosing: RecommendRequest = {
    from: undefined,
    kind: 'model',
    taskType: 'general',
    models: undefined,
    sources: undefined,
    weights: { quality: 1, cost: 0, latency: 0 },
    budget: undefined,
    explore: false,
    seed: 1,
    nowMs,
  };
  const outcomes = (subject: string, good: number, of: number, again: number) =>
    times(of * again, (index) => ({
      subject,
      item: `${subject} ${index % of}`,
      outcome: index % of < good ? 1 : 0,
      confidence: 0.9,
      costUsd: index % of,
    }));
  const stored = (again: number) => {
    const store = trialStore();
    store.decide([...outcomes('one', 24, 30, again), ...outcomes('rest', 16, 30, again)]);
    return store;
  };
  const battled = (again: number) => {
    const store = trialStore();
    const battles = times(30, (item) => {
      const better = item < 24 ? again : 0;
      return won('one', 'rest', better, again - better, 0, { item_id: `item ${item}` });
    });
    store.record({ battles: battles.flat() });
    return store;
  };

  test.each([
    ['decisions', stored],
    ['battles', battled],
  ])('makes no interval narrower: strengths, confidence and recommendations from %s', (_, storeOf) => {
    using once = storeOf(1);
    using often = storeOf(20);
    const [first, again] = [strengths(once.reading, asked), strengths(often.reading, asked)];
    const rowOf = ({ strengths: some, others }: typeof first) => [...some, ...others][0];
    for (const [one, other] of [
      [first.overall, again.overall],
      [rowOf(first), rowOf(again)],
      [first.confidence_gap, again.confidence_gap],
    ] as const) {
      expect(other?.n).toBe(one && 20 * one.n);
      expect(other?.value).toBe(one?.value);
      for (const bound of [0, 1]) expect(other?.ci95?.[bound] ?? 0).toBeCloseTo(one?.ci95?.[bound] ?? 0, 6);
      expect(other?.method ?? '30 items').toContain('30 items');
    }
    const [chosen, still] = [recommend(once.reading, choosing), recommend(often.reading, choosing)];
    expect(still.p_best).toBeCloseTo(chosen.p_best, 1);
    expect(still.candidates[0]?.quality.ci95).toEqual(chosen.candidates[0]?.quality.ci95);
  });

  test('is no reason to choose: twenty independent outcomes are needed', () => {
    using store = trialStore();
    store.decide(outcomes('one', 3, 4, 50));
    const { chosen, reason } = recommend(store.reading, choosing);
    expect(chosen).toBeNull();
    expect(reason).toContain('more than 4 independent outcomes');
    expect(strengths(store.reading, asked).overall.method).toContain('from 4 items');
  });

  test('draws on clusters, where items belong together', () => {
    using store = trialStore();
    store.decide(outcomes('one', 24, 30, 1).map((one, index) => ({ ...one, cluster: `text ${index % 6}` })));
    expect(strengths(store.reading, asked).overall.method).toContain('from 6 items or clusters');
  });

  test('bounds a bootstrap over items by how many there are', () => {
    using store = trialStore();
    store.record({
      jsonl: times(6_000, (index) =>
        JSON.stringify({
          model_a: 'a',
          model_b: 'b',
          winner: index % 3 === 0 ? 'model_b' : 'model_a',
          item_id: `item ${index >> 1} ${index % 2 === 0 ? '' : index % 4}`,
        }),
      ).join('\n'),
    });
    store.record({ battles: [{ model_a: 'a', model_b: 'b', winner: 'tie', item_id: 'item 0 ' }] });
    expect(() => rank(store.reading, ranking({ ci: 'bootstrap', resamples: 2_000 }))).toThrow(
      expect.objectContaining({ code: 'too_large', message: expect.stringContaining('allow 1666') }) as Error,
    );
  });
});

test('an interval without width shows no equivalence', () => {
  using store = trialStore();
  for (let item = 0; item < 12; item += 1) {
    store.decide([
      { subject: 'one', item: `${item}`, outcome: 0.5 },
      { subject: 'other', item: `${item}`, outcome: 0.5 },
    ]);
  }
  expect(compare(store.reading, comparing({ a: 'one', b: 'other', margin: 0.01 }))).toMatchObject({
    verdict: 'inconclusive',
    warnings: [expect.stringContaining('shows no equivalence')] as string[],
  });
});

test('battles that others judged are told from none', () => {
  using store = trialStore();
  store.record({ battles: won('a', 'b', 12, 0) });
  expect(() => compare(store.reading, comparing({ a: 'a', b: 'b', sources: [0] }))).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('judged by human') as string }) as Error,
  );
});

test('what being shown first is worth is taken out of the ratings', () => {
  using store = trialStore();
  // a is always first and wins 3 of 4; b, when first, wins 3 of 4 against c: all are alike, but for the place.
  store.record({
    battles: [
      ...won('a', 'b', 30, 10, 0, { swapped: false }),
      ...won('b', 'a', 10, 30, 0, { swapped: true }),
      ...won('b', 'c', 30, 10, 0, { swapped: false }),
      ...won('c', 'a', 30, 10, 0, { swapped: false }),
      ...won('c', 'b', 1, 1),
    ],
  });
  const plain = rank(store.reading, ranking());
  const { rows, effects, warnings } = rank(store.reading, ranking({ covariates: ['position'] }));
  const spread = (list: typeof rows) => (list[0]?.rating ?? 0) - (list.at(-1)?.rating ?? 0);
  expect(spread(rows)).toBeLessThan(1e-6 + spread(plain.rows) / 10);
  // log 3 in points.
  expect(effects['position']?.value).toBeCloseTo((400 / Math.LN10) * Math.log(3), 1);
  expect(warnings.join()).toContain('2 battles are left out');
});

test('from decisions: who did better on a shared item has won, and items are clusters', () => {
  using store = trialStore();
  store.decide(
    times(30, (index) => index).flatMap((index) => [
      { subject: 'good', item: `item ${index}`, outcome: index < 25 ? 1 : 0 },
      { subject: 'fair', item: `item ${index}`, outcome: index % 2 },
      { subject: 'poor', item: `item ${index}`, outcome: index % 5 === 0 ? 1 : 0 },
    ]),
  );
  const { rows, method, n } = rank(store.reading, ranking({ from: 'decisions' }));
  expect(rows.map(({ model }) => model)).toEqual(['model:good', 'model:fair', 'model:poor']);
  expect(n).toBe(90);
  expect(method).toContain('over items');
  const [boot] = rank(store.reading, ranking({ from: 'decisions', ci: 'bootstrap' })).rows;
  expect(boot?.ci95[0]).toBeLessThan(boot?.rating ?? 0);
});

test('strengths and weaknesses survive the adjustment, and chance findings do not', () => {
  using store = trialStore();
  const random = seededRandom(12);
  const types = times(20, (index) => `type ${index}`);
  for (const taskType of types) {
    const rate = taskType === 'type 3' ? 0.95 : taskType === 'type 7' ? 0.2 : 0.6;
    store.decide([
      ...times(40, () => ({
        subject: 'one',
        taskType,
        outcome: random.uniform() < rate ? 1 : 0,
        confidence: 0.9,
      })),
      ...times(40, () => ({ subject: 'rest', taskType, outcome: random.uniform() < 0.6 ? 1 : 0 })),
    ]);
  }
  const found = strengths(store.reading, {
    model: 'one',
    from: undefined,
    sources: undefined,
    alpha: 0.05,
    margin: undefined,
    nowMs,
  });
  expect([...found.strengths, ...found.weaknesses].map(({ task_type: type }) => type)).toEqual(
    expect.arrayContaining(['type 7']),
  );
  expect(found.strengths.length + found.weaknesses.length).toBeLessThanOrEqual(3);
  expect(found.others.every(({ p_value: p, p_adjusted: adjusted }) => adjusted >= p)).toBe(true);
  // Confidence is judged by how often it is right: 0.9 said, about 0.6 reached.
  expect(found.confidence_gap?.ci95?.[0]).toBeGreaterThan(0.2);
});

describe('a choice', () => {
  const choosing = (given: Partial<RecommendRequest> = {}): RecommendRequest => ({
    from: undefined,
    kind: 'model',
    taskType: 'general',
    models: undefined,
    sources: undefined,
    weights: { quality: 1, cost: 0, latency: 0 },
    budget: undefined,
    explore: false,
    seed: 1,
    nowMs,
    ...given,
  });
  const store = trialStore();
  afterAll(() => store[Symbol.dispose]());
  beforeAll(() =>
    store.decide([
      ...times(60, (index) => ({
        subject: 'strong',
        outcome: index < 54 ? 1 : 0,
        costUsd: 0.1,
        latencyMs: 900,
      })),
      ...times(60, (index) => ({
        subject: 'cheap',
        outcome: index < 48 ? 1 : 0,
        costUsd: 0.01,
        latencyMs: 300,
      })),
    ]),
  );

  test('is the one with the largest chance to be best, with what a wrong one costs', () => {
    const {
      chosen,
      p_best: best,
      expected_loss: loss,
      propensity,
      candidates,
    } = recommend(store.reading, choosing());
    expect(chosen).toBe('model:strong');
    // The exact chance, by the sum of betas, is 0.9301.
    expect(best).toBeCloseTo(0.93, 1.6);
    expect(loss).toBeGreaterThan(0);
    expect(loss).toBeLessThan(0.01);
    expect(propensity).toBe(1);
    expect(candidates.map(({ model }) => model)).toEqual(['model:strong', 'model:cheap']);
  });

  test('rests on battles, where decisions are of other kinds of tasks', () => {
    using own = trialStore();
    own.decide(times(30, () => ({ subject: 'a', taskType: 'prose', outcome: 1 })));
    own.record({ battles: won('a', 'b', 5, 25, 0, { task_type: 'code' }) });
    expect(recommend(own.reading, choosing({ taskType: 'code' }))).toMatchObject({ chosen: 'model:b' });
  });

  test('weighs cost, keeps to a budget, and says who is excluded', () => {
    expect(
      recommend(store.reading, choosing({ weights: { quality: 1, cost: 0.5, latency: 0 } })).chosen,
    ).toBe('model:cheap');
    const within = recommend(store.reading, choosing({ budget: 0.05 }));
    expect(within).toMatchObject({ chosen: 'model:cheap', excluded: [{ model: 'model:strong' }] });
    expect(() => recommend(store.reading, choosing({ budget: 0.001 }))).toThrow('no candidate');
  });

  test('explores by its chance, which is the propensity', () => {
    const chosen = times(200, (seed) => recommend(store.reading, choosing({ explore: true, seed })));
    const cheap = chosen.filter(({ chosen: model }) => model === 'model:cheap');
    expect(cheap.length).toBeGreaterThan(3);
    expect(cheap.length).toBeLessThan(30);
    for (const { propensity, p_best: best } of chosen) expect(propensity).toBe(best);
  });

  test('is none below the stated n, unless it explores', () => {
    store.decide(times(3, () => ({ subject: 'new', outcome: 1, taskType: 'rare' })));
    const rare = recommend(store.reading, choosing({ taskType: 'rare' }));
    expect(rare).toMatchObject({ chosen: null, propensity: 0, needed_n: 20 });
    expect(recommend(store.reading, choosing({ taskType: 'rare', explore: true })).chosen).toBe('model:new');
    // Beside others who have enough, it is left out.
    store.decide(times(3, () => ({ subject: 'new', outcome: 1 })));
    const { chosen, excluded, candidates } = recommend(store.reading, choosing());
    expect(chosen).toBe('model:strong');
    expect(excluded).toMatchObject([
      { model: 'model:new', reason: expect.stringContaining('3 outcomes') as string },
    ]);
    expect(candidates[0]?.quality.ci95?.[0]).toBeLessThan(54 / 60);
  });
});

test('judges: agreement of battles, whichever was named first, and of one with itself in both orders', () => {
  using store = trialStore();
  const battles = times(24, (index) => index).flatMap((index) => {
    const item = { item_id: `item ${index}` };
    const right = index % 3 === 0 ? 'b' : 'a';
    const as = (a: string, b: string, winner: string) => ({
      model_a: a,
      model_b: b,
      winner: winner === a ? 'model_a' : 'model_b',
    });
    return [
      { ...as('a', 'b', right), ...item, judge: 'careful', swapped: false },
      { ...as('b', 'a', right), ...item, judge: 'other' },
      // Always takes the first.
      { ...as('a', 'b', 'a'), ...item, judge: 'biased', swapped: false },
      { ...as('b', 'a', 'b'), ...item, judge: 'biased', swapped: false },
    ];
  });
  store.record({ battles });
  const asking = {
    kind: 'model',
    taskType: undefined,
    labels: undefined,
    seed: 1,
    resamples: 100,
    nowMs,
  } as const;
  const found = agreement(store.reading, { ...asking, judges: undefined });
  const both = found.pairs.find(({ judges }) => judges.join() === 'careful,other');
  expect(both).toMatchObject({ value: 1, n: 24, observed: 1 });
  expect(found.swaps).toMatchObject([{ judge: 'biased', value: 0, n: 24 }]);
  expect(found.swaps[0]?.warnings.join()).toContain('wins 48 of 48');
  expect(agreement(store.reading, { ...asking, judges: ['careful', 'other'] }).alpha.value).toBe(1);
  expect(() => agreement(store.reading, { ...asking, judges: ['nobody'] })).toThrow('no label of the judge');
  const labels = [
    ...'1 1 . 1|2 2 3 2|3 3 3 3|3 3 3 3|2 2 2 2|1 2 3 4|4 4 4 4|1 1 2 1|2 2 2 2|. 5 5 5|. . 1 1'
      .split('|')
      .entries(),
  ].flatMap(([item, row]) =>
    row
      .split(' ')
      .flatMap((label, judge) => (label === '.' ? [] : [{ item: `${item}`, judge: `${judge}`, label }])),
  );
  expect(agreement(store.reading, { ...asking, judges: undefined, labels }).alpha.value).toBeCloseTo(
    0.7434210526,
    7,
  );
  const few = agreement(store.reading, { ...asking, judges: undefined, labels: labels.slice(0, 20) });
  expect(few.alpha).toMatchObject({ ci95: null, n: 5 });
  expect(few.alpha.warnings.join()).toContain('Below 10 items');
});

describe('another way to choose', () => {
  const asking = {
    kind: 'model',
    taskType: undefined,
    sources: undefined,
    margin: undefined,
    nowMs,
  } as const;
  const policy = [
    { model: 'one', probability: 0.2 },
    { model: 'other', probability: 0.8 },
  ];

  test('from a log: its value covers the truth, and it is better', () => {
    using store = trialStore();
    const random = seededRandom(5);
    store.decide(
      times(900, () => {
        const isOne = random.uniform() < 0.75;
        const outcome = random.uniform() < (isOne ? 0.4 : 0.7) ? 1 : 0;
        return { subject: isOne ? 'one' : 'other', propensity: isOne ? 0.75 : 0.25, outcome };
      }),
    );
    const found = evaluatePolicy(store.reading, { ...asking, policy, log: undefined });
    for (const { ci95 } of [found.value, found.self_normalised, found.inverse_propensity]) {
      expect(ci95?.[0]).toBeLessThan(0.64);
      expect(ci95?.[1]).toBeGreaterThan(0.64);
    }
    expect(found.difference.verdict).toBe('better');
    expect(found.value.source_mix).toEqual({ human: 900 });
  });

  test.each([
    [
      'probabilities that do not sum to 1',
      { policy: policy.slice(1), log: [{ model: 'one', propensity: 1, reward: 1 }] },
      'invalid_input',
    ],
    [
      'a model named twice',
      { policy: [...policy, ...policy], log: [{ model: 'one', propensity: 1, reward: 1 }] },
      'invalid_input',
    ],
    [
      'nothing for a kind of task',
      {
        policy: policy.map((share) => ({ ...share, task_type: 'x' })),
        log: [{ model: 'one', propensity: 1, reward: 1, task_type: 'y' }],
      },
      'invalid_input',
    ],
    ['no logged decision', { policy, log: undefined }, 'not_found'],
    [
      'a client among models',
      {
        policy: [{ model: 'client:x', probability: 1 }],
        log: [{ model: 'one', propensity: 1, reward: 1 }],
      },
      'invalid_input',
    ],
  ])('%s is refused', (_, given, code) => {
    using store = trialStore();
    expect(() => evaluatePolicy(store.reading, { ...asking, ...given })).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  test('what was never tried is said to be a guess', () => {
    using store = trialStore();
    const log = times(20, (index) => ({ model: 'one', propensity: 0.5, reward: index % 2 }));
    const { value } = evaluatePolicy(store.reading, { ...asking, policy, log });
    expect(value.warnings.join()).toContain('Never tried in the log: other');
  });

  test.each([
    ['never', 0],
    ['hardly ever', 3],
  ])('of what was %s tried, there is neither an interval nor a verdict', (_, tries) => {
    using store = trialStore();
    const log = [
      ...times(200, (index) => ({ model: 'one', propensity: 0.98, reward: index % 2 })),
      ...times(tries, () => ({ model: 'other', propensity: 0.02, reward: 1 })),
    ];
    const found = evaluatePolicy(store.reading, {
      ...asking,
      policy: [{ model: 'other', probability: 1 }],
      log,
      margin: 0.5,
    });
    const figures = [found.value, found.self_normalised, found.inverse_propensity, found.difference];
    expect(figures.map(({ ci95 }) => ci95)).toEqual([null, null, null, null]);
    expect(found.difference.verdict).toBe('inconclusive');
    expect(found.value.warnings.join()).toContain('Neither an interval nor a verdict');
  });
});

test('sources are in the order of trust', () => {
  expect(sources).toEqual(['ground_truth', 'code_check', 'human', 'llm_judge']);
});
