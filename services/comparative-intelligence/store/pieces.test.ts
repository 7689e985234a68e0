/** Large batches come in pieces: seen when they are whole, and nobody waits for all of one. And each token pushes out its own rows alone. */
import { expect, test } from 'vitest';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { exportPage } from '../exchange/export.ts';
import { maxReports, maxRuns } from '../limits.ts';
import { nowMs, trialStore } from '../store.fixture.ts';
import type { NewComparison } from './answers.ts';
import { openStore } from './store.ts';

type Trial = ReturnType<typeof trialStore>;

const fight = { model_a: 'a', model_b: 'b', winner: 'model_a' };
const csvOf = (rows: number) =>
  `model_a,model_b,winner,item_id,judge\n${Array.from(
    { length: rows },
    (_, at) =>
      `m${at % 40},m${(at * 7 + 1) % 41}x,${['model_a', 'model_b', 'tie', 'both_bad'][at % 4]},i${at % 9},j${at % 3}`,
  ).join('\n')}`;
const which = { kind: 'model' } as const;

/** What readers see of battles. */
function seen({ reading }: Trial) {
  const sums = reading.pairs(which).reduce((sum, { wa, wb, t, bb }) => sum + wa + wb + t + bb, 0);
  const page = exportPage(reading, {
    format: 'battles_jsonl',
    kind: 'model',
    taskType: undefined,
    state: undefined,
    after: 0,
    bytes: 1e9,
  });
  let step = page.next();
  while (step.done !== true) step = page.next();
  return {
    state: reading.snapshot(0).battles,
    sums,
    battles: reading.battles(which).length,
    judged: reading.judgedBattles(which).length,
    exported: step.value.battles,
    summed: reading
      .summedBattles(which, false)
      .reduce((sum, { aWins, bWins, ties }) => sum + aWins + bWins + ties, 0),
    models: reading.subjects('model').length,
    judges: reading.judges().size,
  };
}
const all = (battles: number, judged: number, names: { models: number; judges: number }) => ({
  state: battles,
  sums: battles,
  battles,
  judged,
  exported: battles,
  summed: battles,
  ...names,
});
const ofB = { models: 2, judges: 1 };

test('battles, sums and names of a batch are seen when it is whole; what others record meanwhile is seen at once', () => {
  using store = trialStore();
  const steps = store.recording({ csv: csvOf(2_500) });
  for (let piece = 1; piece <= 2; piece += 1) {
    expect(steps.next().done).toBe(false);
    expect(store.record({ owner: 'B', battles: [fight] })).toMatchObject({ accepted: 1, last: piece });
    expect(seen(store)).toEqual(all(piece, 0, ofB));
  }
  // A name of the batch, that another uses before the batch is whole.
  expect(store.record({ owner: 'B', battles: [{ ...fight, model_b: 'm7' }] })).toMatchObject({ last: 3 });
  const { value, done } = steps.next();
  expect({ value, done }).toMatchObject({ done: true, value: { accepted: 2_500, rejected: 0, last: 2_503 } });
  const whole = all(2_503, 2_500, { models: 2 + 40 + 41, judges: 4 });
  expect(seen(store)).toEqual(whole);
  // As of the state before it, it is not there.
  expect(store.reading.battles({ ...which, upTo: 3 })).toHaveLength(3);

  const pairs = () => store.reading.pairs(which);
  const before = pairs();
  store.tidy();
  expect(store.keeper().hasToTidy()).toBe(false);
  expect(pairs()).toEqual(before);
  expect(seen(store)).toEqual(whole);
  using atOnce = trialStore();
  for (const part of [csvOf(2_500)]) atOnce.record({ csv: part });
  expect(seen(atOnce)).toMatchObject({ sums: 2_500, battles: 2_500, models: 81 });
});

test('of a batch that a kill cuts off nothing is left; sent again it is stored, and once', () => {
  using store = trialStore();
  const batch = { csv: csvOf(3_500), batch: 'first' };
  const steps = store.recording(batch);
  for (let piece = 0; piece < 3; piece += 1) steps.next();
  store.record({ owner: 'B', battles: [fight] });
  store.reopen();

  expect(seen(store)).toEqual(all(1, 0, ofB));
  expect(store.record(batch)).toMatchObject({ accepted: 3_500, duplicates: 0, last: 3_501 });
  expect(store.record(batch)).toMatchObject({ accepted: 0, duplicates: 3_500, last: 3_501 });
  const whole = all(3_501, 3_500, { models: 83, judges: 4 });
  expect(seen(store)).toEqual(whole);
  // A kill while the sums are added up, and what was left is taken away.
  store.keeper().tidy().next();
  store.reopen();
  expect(seen(store)).toEqual(whole);
  store.tidy();
  expect(store.keeper().hasToTidy()).toBe(false);
  expect(seen(store)).toEqual(whole);
  expect(store.reading.lastId()).toBeLessThanOrEqual(6_501);
});

test.each([
  ['is more than the token may keep', csvOf(2_500), 'too_large'],
  ['cannot be read to its end', `${csvOf(2_500)}\na,b\n`, 'invalid_input'],
])('a batch that %s leaves nothing', (_, csv, code) => {
  using store = trialStore({ items: 2_000, bytes: 1e9 });
  store.record({ owner: 'B', battles: [fight] });
  expect(() => store.record({ csv })).toThrow(expect.objectContaining({ code }) as Error);
  expect(seen(store)).toEqual(all(1, 0, ofB));
  store.tidy();
  expect(store.keeper().hasToTidy()).toBe(false);
  expect(store.reading.lastId()).toBe(1);
  expect(store.keeper().kept().holdings).toMatchObject([{ owner: 'B', items: 1 }]);
  // Names that nobody uses any more do not count.
  expect(store.record({ battles: [{ ...fight, model_a: 'm7' }] })).toMatchObject({ accepted: 1, last: 2 });
});

test('while one token records a large batch, the small writes of another are answered', async () => {
  using folder = temporaryFolder();
  await using store = await openStore(folder.path, { quota: { items: 1e6, bytes: 1e9 }, decisions: 1_000 });
  const call = (caller: string) => ({ caller, signal: new AbortController().signal });
  const defaults = { judge: '', source: 2, taskType: 'general', nowMs };
  const state = { isStored: false };
  const large = store
    .write('record', { owner: 'A', batch: 'large', csv: csvOf(20_000), defaults }, call('A'))
    .finally(() => {
      state.isStored = true;
    });
  // Behind the large one, since it is of the same token.
  const again = store.write(
    'record',
    { owner: 'A', batch: 'large', csv: csvOf(20_000), defaults },
    call('A'),
  );
  let answered = 0;
  for (; !state.isStored && answered < 3; answered += 1)
    await store.write('record', { owner: 'B', batch: undefined, battles: [fight], defaults }, call('B'));

  expect({ ...state, answered }).toEqual({ isStored: false, answered: 3 });
  expect(store.reading.snapshot(0).battles).toBe(3);
  expect(await large).toMatchObject({ accepted: 20_000 });
  expect(await again).toMatchObject({ accepted: 0, duplicates: 20_000 });
});

const comparison = (owner: string, snapshot: string): NewComparison => [
  owner,
  'a',
  'b',
  '{}',
  snapshot,
  '{}',
  nowMs,
];

test('a token that floods the copy, the rankings and the reports pushes out its own alone', () => {
  using store = trialStore({ items: 1e6, bytes: 1e9 }, 100);
  store.decide([
    { subject: 'm', uid: 'of B', token: 2, outcome: 1 },
    { subject: 'm', uid: 'of nobody', token: 0, outcome: 0 },
  ]);
  const run = { method: '', params: '', seed: 1, snapshot: '', atMs: nowMs, ratings: [] };
  const keeper = store.keeper();
  const first = keeper.keepRun({ ...run, owner: 'B' });
  const report = keeper.keepReport({ owner: 'B', format: 'json', body: '{}', atMs: nowMs });
  keeper.keepComparison(comparison('B', 'battle:0'));

  for (let page = 0; page < 3; page += 1)
    store.decide(
      Array.from({ length: 70 }, (_, at) => ({ subject: 'm', uid: `${page} ${at}`, token: 1, outcome: 1 })),
    );
  for (let at = 0; at < maxRuns + 10; at += 1) keeper.keepRun({ ...run, owner: 'A' });
  for (let at = 0; at < maxReports + 10; at += 1)
    keeper.keepReport({ owner: 'A', format: 'json', body: '{}', atMs: nowMs });

  const rows = (sql: string) => store.database.prepare<[], string>(sql).pluck().all();
  expect(rows('SELECT token FROM decision WHERE token <> 1 ORDER BY token')).toEqual([0, 2]);
  expect(rows('SELECT uid FROM decision WHERE token = 1 ORDER BY id').at(0)).toBe('1 40');
  expect(rows('SELECT count(*) FROM decision WHERE token = 1')).toEqual([100]);
  expect(rows(`SELECT id FROM rating_run WHERE owner = 'B'`)).toEqual([first]);
  expect(rows(`SELECT count(*) FROM rating_run WHERE owner = 'A'`)).toEqual([maxRuns]);
  expect(store.reading.report(report)).toBeDefined();
  expect(rows(`SELECT count(*) FROM report WHERE owner = 'A'`)).toEqual([maxReports]);
  // What is learned of a decision later makes it no newer, and no other's.
  store.decide([{ subject: 'm', uid: 'of B', token: 2, outcome: 0 }]);
  expect(rows('SELECT outcome FROM decision WHERE token = 2')).toEqual([0]);
  // Looks of both are counted.
  expect(keeper.keepComparison(comparison('A', 'battle:1'))).toBe(2);
});
