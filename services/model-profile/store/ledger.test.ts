import { describe, expect, test } from 'vitest';

import { keepAll, nowMs, testLedger } from '../store.fixture.ts';
import { decodeCell } from './cell.ts';

const decision = (uid: string, more: object = {}) => ({ uid, model: 'model:m', ...more });

describe('the same uid', () => {
  test('with the same content is stored once, also when its outcome was revised since', () => {
    using store = testLedger();
    store.register('m');
    const first = decision('a', { confidence: 0.5, outcome: 0, source: 'llm_judge', error_kind: 'format' });

    expect(store.record([first, first])).toMatchObject({ accepted: 1, duplicates: 1, rejected: 0 });
    store.resolve('a', 1, 0);
    store.resolve('a', 0.5, 0);
    expect(store.record([first])).toMatchObject({ accepted: 0, duplicates: 1, rejected: 0 });
  });

  test.each([
    ['another outcome', { outcome: 1, source: 'human' }],
    ['another confidence', { confidence: 0.6 }],
    ['another task', { task_type: 'other' }],
    ['another time', { time: '2026-11-19T00:00:00Z' }],
    ['another choice', { chosen: 'b' }],
    ['another model', { model: 'model:n' }],
  ])('with %s is a conflict, and changes nothing', (_, more) => {
    using store = testLedger();
    store.register('m');
    store.register('n');
    store.record([decision('a', { confidence: 0.5, chosen: 'a' })]);

    expect(store.record([decision('a', { confidence: 0.5, chosen: 'a', ...more })])).toMatchObject({
      accepted: 0,
      duplicates: 0,
      refused: [{ index: 0, uid: 'a', reason: 'conflict' }],
    });
    expect(store.reading.change()).toBe(1);
  });

  test('is found in memory, in a run, and after a restart; another one is not', () => {
    using store = testLedger(keepAll, 10);
    store.register('m');
    const all = Array.from({ length: 57 }, (_, at) => decision(`uid-${at}`));
    store.record(all);

    expect(store.record(all)).toMatchObject({ accepted: 0, duplicates: 57 });
    store.reopen();
    expect(store.record(all)).toMatchObject({ accepted: 0, duplicates: 57 });
    expect(store.record([decision('uid-57')])).toMatchObject({ accepted: 1 });
  });
});

describe('an outcome', () => {
  test('counts by the strength of its source, and every one is kept', () => {
    using store = testLedger();
    store.register('m');
    store.record([decision('a')]);
    const [truth, check, human, judge] = [0, 1, 2, 3];

    expect(store.resolve('a', 1, judge)).toMatchObject({ effect: 'first', outcome: 1, source: judge });
    expect(store.resolve('a', 1, judge)).toMatchObject({ effect: 'unchanged' });
    expect(store.resolve('a', 0, judge)).toMatchObject({ effect: 'revised', outcome: 0 });
    expect(store.resolve('a', 1, check)).toMatchObject({ effect: 'revised', outcome: 1, source: check });
    expect(store.resolve('a', 0, human)).toMatchObject({ effect: 'kept_beside', outcome: 1, source: check });
    expect(store.resolve('a', 0, human)).toMatchObject({ effect: 'unchanged', outcome: 1, source: check });
    expect(store.resolve('a', 0, truth)).toMatchObject({ effect: 'revised', outcome: 0, source: truth });
    expect(
      store.reading
        .changes(1, 10)
        .map(({ event_outcome: outcome, event_counts: counts }) => [outcome, counts]),
    ).toEqual([
      [1, 1],
      [0, 1],
      [1, 1],
      [0, 0],
      [0, 1],
    ]);
  });

  test('of a success takes away what went wrong', () => {
    using store = testLedger();
    store.register('m');
    store.record([decision('a', { outcome: 0, source: 'human', error_kind: 'refusal' })]);
    store.resolve('a', 1, 2);

    expect(store.reading.changes(0, 1)[0]).toMatchObject({ outcome: 1, error_kind: null });
  });

  test('has no outcome itself', () => {
    using store = testLedger();
    store.register('m');
    store.record([decision('a')]);
    const { change } = store.resolve('a', 1, 0);

    expect(() => store.resolve(String(change), 0, 0)).toThrow(
      expect.objectContaining({ code: 'invalid_input', hint: expect.stringContaining('"a"') as string }),
    );
    expect(() => store.resolve('77', 0, 0)).toThrow(expect.objectContaining({ code: 'not_found' }));
  });
});

describe('what is let go', () => {
  test('are the oldest decisions with their outcomes; sums stay, and their uids are free', () => {
    using store = testLedger({ ...keepAll, decisions: 20 }, 8);
    store.register('m');
    store.record(
      Array.from({ length: 50 }, (_, at) => decision(`uid-${at}`, { outcome: 1, source: 'human' })),
    );
    store.resolve('uid-0', 0, 2);
    store.resolve('uid-49', 0, 2);

    expect(store.ledger().retain(nowMs)).toBe(30);
    expect(store.ledger().retain(nowMs)).toBe(0);
    expect(store.ledger().kept().holdings).toMatchObject([{ owner: 'test', items: 20 }]);
    expect(store.reading.firstKept()).toBe(31);
    expect(store.reading.changes(0, 100).map(({ uid }) => uid)).toEqual([
      ...Array.from({ length: 20 }, (_, at) => `uid-${at + 30}`),
      'uid-49',
    ]);
    expect(() => store.resolve('uid-0', 1, 0)).toThrow(expect.objectContaining({ code: 'not_found' }));
    expect(
      store.record([decision('uid-0'), decision('uid-40', { outcome: 1, source: 'human' })]),
    ).toMatchObject({ accepted: 1, duplicates: 1 });
    store.reopen();
    expect(store.record([decision('uid-0')])).toMatchObject({ duplicates: 1 });
  });

  test('goes by age as well, in the order in which it came', () => {
    using store = testLedger({ ...keepAll, days: 5 });
    store.register('m');
    store.record([
      decision('old', { time: '2026-11-10T00:00:00Z' }),
      decision('new', { time: '2026-11-19T00:00:00Z' }),
    ]);

    expect(store.ledger().retain(nowMs)).toBe(1);
    expect(store.reading.changes(0, 10).map(({ uid }) => uid)).toEqual(['new']);
  });
});

test('A token keeps no more than it may, and is told of each decision that was not taken', () => {
  using store = testLedger({ ...keepAll, quota: { items: 3, bytes: 1e9 } });
  store.register('m');

  const answer = store.record(
    Array.from({ length: 5 }, (_, at) => decision(`${at}`)),
    'greedy',
  );

  expect(answer).toMatchObject({
    accepted: 3,
    rejected: 2,
    refused: [{ index: 3, reason: 'over_quota' }, { index: 4 }],
  });
  expect(store.record([decision('x')], 'other')).toMatchObject({ accepted: 1 });
});

test('A change that fails as a whole leaves nothing, in memory neither', () => {
  using store = testLedger();
  store.register('m');
  const ledger = store.ledger();
  const record = (uid: string) => () =>
    ledger.record({ owner: 'test', nowMs, decisions: [decision(uid, { outcome: 1, source: 'human' })] });

  expect(() =>
    ledger.together([
      record('a'),
      () => {
        throw new RangeError('a bug');
      },
    ]),
  ).toThrow(RangeError);

  expect(store.reading.change()).toBe(0);
  expect(ledger.together([record('a')])).toMatchObject([{ accepted: 1, change: 1 }]);
});

test('Lines of JSON are read one by one', () => {
  using store = testLedger();
  store.register('m');

  expect(
    store.record(
      `${JSON.stringify(decision('a'))}\n\n{"uid": NaN}\nnot json\r\n${JSON.stringify(decision('b'))}`,
    ),
  ).toMatchObject({
    accepted: 2,
    rejected: 2,
    refused: [
      { index: 1, reason: 'invalid', message: 'The line is no JSON.' },
      { index: 2, reason: 'invalid' },
    ],
  });
});

test('Names of identities never run together', () => {
  using store = testLedger();
  const keys = [
    store.register('a', { version: 'b' }),
    store.register('a@b'),
    store.register('a', { effort: 'b' }),
    store.register('a+b'),
    store.register('a%40b'),
    store.register('a', { kind: 'client' }),
    store.register('a', { prompt_hash: 'b' }),
    store.register('a b'),
  ];

  expect(new Set(keys).size).toBe(keys.length);
  expect(keys[0]).toBe('model:a@b');
  expect(keys[5]).toBe('client:a');
});

test('More sums in one call than stay in memory are all written', () => {
  using store = testLedger();
  store.register('m');
  const types = 900;
  const days = 12;
  const time = (day: number) => new Date(nowMs - day * 86_400_000).toISOString();
  const all = Array.from({ length: types * days }, (_, at) =>
    decision(`${at}`, {
      task_type: `type ${at % types}`,
      time: time(Math.floor(at / types)),
      outcome: 1,
      source: 'human',
    }),
  );

  expect(store.record(all)).toMatchObject({ accepted: types * days });
  store.resolve('0', 0, 2);

  const sums = store.database.prepare<[], Buffer>('SELECT sums FROM cell').pluck().all();
  expect(sums).toHaveLength(types * days);
  expect(sums.reduce((n, bytes) => n + (decodeCell(bytes).judged[2]?.successes ?? 0), 0)).toBe(
    types * days - 1,
  );
});
