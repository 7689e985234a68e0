import { copyFileSync, mkdirSync, mkdtempDisposableSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { openDatabase, openToRead } from '#runtime/database.ts';
import { monitorLength } from '#statistics/drift.ts';

import { calibrationSteps } from '../calibration.ts';
import { keepAll, nowMs, testLedger } from '../store.fixture.ts';
import { decodeCell } from './cell.ts';
import { migrations, openLedger } from './ledger.ts';
import { metrics } from './metrics.ts';
import { readingFrom } from './reading.ts';
import { hashOf } from './uids.ts';

type Trial = Pick<ReturnType<typeof testLedger>, 'reading' | 'ledger'>;

/** @returns how many decisions went. */
const letGo = (store: Pick<Trial, 'ledger'>): number =>
  store
    .ledger()
    .retaining(nowMs)
    .reduce((sum, gone) => sum + gone, 0);

/** As tools read them. */
function byModel({ reading }: Pick<Trial, 'reading'>, name: string): string[] {
  const uids: string[] = [];
  const steps = reading.decisions(reading.newestOf(reading.model(name)), ({ uid }) => uids.push(uid) > 0);
  while (steps.next().done !== true);
  return uids;
}

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

    expect(letGo(store)).toBe(30);
    expect(letGo(store)).toBe(0);
    // An outcome that came later counts as well.
    expect(store.ledger().kept().holdings).toMatchObject([{ owner: 'test', items: 21 }]);
    // The last that went is an outcome.
    expect(store.reading.lastGone()).toBe(51);
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

    expect(letGo(store)).toBe(1);
    expect(store.reading.changes(0, 10).map(({ uid }) => uid)).toEqual(['new']);
  });
});

describe('a token that floods the store', () => {
  const perToken = 20;
  const judged = (uid: string, more: object = {}) =>
    decision(uid, { confidence: 0.5, outcome: 1, source: 'human', ...more });
  const uidsOf = (store: ReturnType<typeof testLedger>, owner: string) =>
    store.database
      .prepare<[string], string>(
        'SELECT uid FROM decision JOIN owner ON owner.id = owner WHERE owner.name = ? ORDER BY decision.id',
      )
      .pluck()
      .all(owner);

  /** Those of A and B come in turns, on the same model; A has many more. */
  function flooded() {
    const store = testLedger({ ...keepAll, decisions: perToken }, 8);
    store.register('m');
    for (let at = 0; at < 15; at += 1) {
      store.record([judged(`b-${at}`)], 'B');
      store.record(
        Array.from({ length: 10 }, (_, many) => judged(`a-${at}-${many}`)),
        'A',
      );
    }
    return store;
  }

  test('pushes out its own decisions alone; all that are left are found, in memory and in runs, and by model', () => {
    using store = flooded();
    expect(letGo(store)).toBe(130);
    const left = [
      ...Array.from({ length: 15 }, (_, at) => `b-${at}`),
      ...[13, 14].flatMap((at) => Array.from({ length: 10 }, (_, many) => `a-${at}-${many}`)),
    ].toSorted();

    for (const _ of ['before', 'after']) {
      expect([...uidsOf(store, 'A'), ...uidsOf(store, 'B')].toSorted()).toEqual(left);
      expect(byModel(store, 'm').toSorted()).toEqual(left);
      expect(
        store.record(
          left.map((uid) => judged(uid)),
          'B',
        ),
      ).toMatchObject({ duplicates: left.length });
      expect(store.ledger().kept().holdings).toMatchObject([
        { owner: 'A', items: 20 },
        { owner: 'B', items: 15 },
      ]);
      store.reopen();
    }
    expect(letGo(store)).toBe(0);
    // Sums stay as they are of all that ever came.
    const sums = store.database.prepare<[], Buffer>('SELECT sums FROM cell').pluck().all();
    expect(sums.reduce((n, bytes) => n + (decodeCell(bytes).judged[2]?.n ?? 0), 0)).toBe(165);
  });

  test('changes no figure of another, in a single digit', () => {
    using store = flooded();
    store.register('n');
    for (let at = 0; at < 15; at += 1)
      store.record([judged(`own-${at}`, { model: 'model:n', confidence: at / 15, outcome: at % 2 })], 'B');
    const figures = () => {
      const steps = calibrationSteps(store.reading, {
        model: store.reading.model('n'),
        window: { fromDay: 0, toDay: 1e6 },
        taskType: undefined,
        bins: 10,
        method: 'equal_mass',
        resamples: 20,
        seed: 1,
        nowMs,
      });
      let step = steps.next();
      while (step.done !== true) step = steps.next();
      return step.value;
    };
    const before = figures();
    expect(before.brier.method).toContain('one by one');

    // 30 of B, of which 20 stay: those on n are the newest.
    expect(letGo(store)).toBe(140);
    expect(figures()).toEqual(before);
  });

  test('leaves runs of uids that are no more than what is kept needs', () => {
    using store = testLedger({ ...keepAll, decisions: 20 }, 8);
    store.register('m');
    for (let at = 0; at < 40; at += 1) {
      store.record([judged(`b-${at}`)], at % 2 === 0 ? 'B' : 'C');
      store.record(
        Array.from({ length: 5 }, (_, many) => judged(`a-${at}-${many}`)),
        'A',
      );
      letGo(store);
    }
    const runs = store.database.prepare<[], number>('SELECT count(DISTINCT run) FROM uid_run').pluck().get();
    // 60 decisions are kept; two runs that lie side by side hold more than 8 of them.
    expect(runs).toBeLessThanOrEqual(16);
    const kept = [...uidsOf(store, 'A'), ...uidsOf(store, 'B'), ...uidsOf(store, 'C')];
    expect(kept).toHaveLength(60);
    store.reopen();
    expect(store.record(kept.map((uid) => judged(uid)))).toMatchObject({ duplicates: 60 });
  });

  test('leaves readers who follow in no doubt: who has read behind the last that went missed nothing', () => {
    using store = flooded();
    // The outcome of a decision that goes is a change as well, and a later one.
    store.resolve('a-0-0', 0, 2, { owner: 'C' });
    store.record([judged('b-last')], 'B');
    letGo(store);

    expect(store.reading.lastGone()).toBe(166);
    expect(store.reading.changes(166, 10).map(({ uid }) => uid)).toEqual(['b-last']);
    expect(
      store
        .ledger()
        .kept()
        .holdings.map(({ owner }) => owner),
    ).toEqual(['A', 'B']);
  });
});

test('A store of which all tokens lost the oldest together is taken over, with decisions by model, uids and counts', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-profile-'));
  const file = join(folder.path, 'profile.db');
  const earlier = join(folder.path, 'migrations');
  mkdirSync(earlier);
  for (const name of readdirSync(migrations).filter((one) => one < '003'))
    copyFileSync(join(migrations, name), join(earlier, name));
  const old = openDatabase(file, earlier);
  // Decisions 1 to 10 are gone; 11 to 30 are of two owners in turns, on one model; the run holds 3 to 18.
  old.exec(`INSERT INTO owner VALUES (1, 'anna'), (2, 'bert');
    INSERT INTO task_type VALUES (1, 'general', 1);
    INSERT INTO model VALUES (1, 'model:m', 'model', 'm', NULL, NULL, NULL, NULL, 'anna', 0, 30, 30, zeroblob(${8 * monitorLength * metrics.length}));
    UPDATE counter SET value = CASE name WHEN 'change' THEN 31 ELSE 11 END;
    INSERT INTO kept VALUES ('anna', 10, 1220), ('bert', 10, 1220);`);
  const insert = old.prepare(
    'INSERT INTO decision (id, uid, model, task_type, previous, owner, at_ms) VALUES (?, ?, 1, 1, ?, ?, ?)',
  );
  for (let id = 11; id <= 30; id += 1) insert.run(id, `d${id}`, id - 1, 1 + (id % 2), nowMs);
  old.exec(
    `INSERT INTO outcome_event (id, decision, at_ms, owner, outcome, source, counts) VALUES (31, 30, 0, 2, 1, 0, 1);`,
  );
  const page = old.prepare('INSERT INTO uid_run VALUES (18, ?, ?)');
  for (let id = 3; id <= 18; id += 1) {
    const hash = hashOf(`d${id}`);
    page.run(Math.floor((hash / 2 ** 53) * 512), Buffer.from(new Float64Array([hash, id]).buffer));
  }
  old.close();

  using ledger = openLedger(file, { ...keepAll, decisions: 4 }, 20);
  using database = openToRead(file);
  const store = { reading: readingFrom(database), ledger: () => ledger };
  expect(byModel(store, 'm')).toEqual(Array.from({ length: 20 }, (_, at) => `d${30 - at}`));
  expect(store.reading.lastGone()).toBe(10);
  expect(ledger.kept().holdings).toMatchObject([
    { owner: 'bert', items: 11 },
    { owner: 'anna', items: 10 },
  ]);
  const again = [12, 30].map((id) => decision(`d${id}`));
  expect(ledger.together([() => ledger.record({ owner: 'anna', nowMs, decisions: again })])).toMatchObject([
    { duplicates: 2 },
  ]);
  expect(letGo(store)).toBe(12);
  expect(byModel(store, 'm')).toEqual(Array.from({ length: 8 }, (_, at) => `d${30 - at}`));
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
