import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { openAgain } from '#runtime/database.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { seqBits } from './limits.ts';
import { silent, trial, type Trial } from './store.fixture.ts';
import { openStore } from './store/store.ts';
import { verified } from './store/verify.ts';

const dayMs = 86_400_000;
const owner = 'test';
const secret = 'xylophone4711';

/** Chains of which all is in the index and sealed. */
async function sealed({ call, start, store }: Trial, count = 2, steps = 6): Promise<string[]> {
  const chains: string[] = [];
  for (let chain = 0; chain < count; chain += 1) {
    const id = await start({ goal: secret });
    chains.push(id);
    const given = Array.from({ length: steps }, (_, at) => ({
      type: 'analysis',
      content: `step ${at} ${secret}`,
      opaque: [{ kind: 'signature', data: `${secret}${at}` }],
    }));
    await call('capture_batch', { batch_id: id, chain_id: id, steps: given });
  }
  await vi.waitFor(() => expect(store.reads.behind()).toBe(0));
  return chains;
}

const admin = { owner, by: 'root', reason: 'asked for', nowUs: Date.now() * 1_000 };

/** As somebody would who may write the file. */
function tamper({ file }: Trial, sql: string): void {
  const database = openAgain(file);
  database.exec(sql);
  database.close();
}

const rowOf = ({ store }: Trial, uid: string, seq: number) =>
  store.reads.chain(owner, uid).id * seqBits + seq;

test('what was sealed is found whole, and its head can be noted', async () => {
  await using one = trial();
  await sealed(one);
  const first = await one.store.verify({});
  expect(first).toMatchObject({ is_whole: true, chains: 2, steps: 12, steps_not_sealed: 0, faults: [] });
  await sealed(one, 1);
  expect(await one.store.verify({ head: first.head })).toMatchObject({ is_whole: true, chains: 3 });
  expect(await one.store.verify({ head: 'ab'.repeat(32) })).toMatchObject({ is_whole: false });
});

describe('of a store that somebody changed who may write its file', () => {
  const whole = trial();
  let chains: string[] = [];
  beforeAll(async () => {
    chains = await sealed(whole);
  });
  afterAll(async () => whole[Symbol.asyncDispose]());

  /** What is found in a copy in which this was done. */
  function faultsAfter(change: string) {
    using folder = temporaryFolder();
    const file = join(folder.path, 'copy.db');
    for (const end of ['', '-wal']) copyFileSync(whole.file + end, file + end);
    const database = openAgain(file);
    database.exec(change);
    const steps = verified(database, {});
    let step = steps.next();
    while (!step.done) step = steps.next();
    database.close();
    expect(step.value.is_whole).toBe(step.value.faults.length === 0);
    return step.value.faults;
  }

  test('nothing is found where nothing was changed', () => {
    expect(faultsAfter('SELECT 1')).toEqual([]);
  });

  test.each<[string, (row: number) => string]>([
    ['is changed', (row) => `UPDATE step SET content = 'another' WHERE id = ${row}`],
    ['has another time', (row) => `UPDATE step SET at_us = at_us + 1 WHERE id = ${row}`],
    ['is taken out', (row) => `DELETE FROM step WHERE id = ${row}`],
    [
      'is put in another place',
      (row) =>
        `UPDATE step SET id = -1 WHERE id = ${row}; UPDATE step SET id = ${row} WHERE id = ${row + 1}; UPDATE step SET id = ${row + 1} WHERE id = -1`,
    ],
    [
      'has another signature',
      (row) => `UPDATE step_opaque SET payload = CAST('x' AS BLOB) WHERE step_id = ${row}`,
    ],
  ])('a step that %s is found', (_, change) => {
    const [uid = ''] = chains;
    expect(faultsAfter(change(rowOf(whole, uid, 3)))).toContainEqual({
      owner,
      chain_id: uid,
      finding: 'steps 1 to 6 are not as they were sealed',
    });
  });

  test.each([
    ['the last steps are gone', 'DELETE FROM step WHERE id % 1048576 > 4', 'was sealed, and is gone'],
    ['a chain is gone', 'DELETE FROM chain WHERE id = 1', 'the chain was sealed, and is gone'],
    ['a seal is gone', 'DELETE FROM seal WHERE n = 1', 'does not follow'],
    [
      'the last seal is gone',
      'DELETE FROM seal WHERE n = (SELECT max(n) FROM seal)',
      'seal of step 6 is gone',
    ],
    ['a seal is changed', "UPDATE seal SET by = 'me' WHERE n = 1", 'does not follow'],
    [
      'a step is gone, and the count is changed',
      'DELETE FROM step WHERE id % 1048576 = 2; UPDATE chain SET n_steps = n_steps - 1',
      'not as they were sealed',
    ],
  ])('that %s is found', (_, change, finding) => {
    expect(
      faultsAfter(change)
        .map((fault) => fault.finding)
        .join(),
    ).toContain(finding);
  });
});

/** Whether any file of the store has the text in it. */
const isOnDisk = ({ file }: Trial, text: string) =>
  readdirSync(dirname(file)).some((name) => readFileSync(join(dirname(file), name)).includes(text));

test('what is redacted is nowhere any more, and that it was is sealed', async () => {
  await using one = trial();
  const [uid = '', other = ''] = await sealed(one);
  const before = one.store.kept().holdings[0]?.bytes ?? 0;
  expect(isOnDisk(one, secret)).toBe(true);

  expect(await one.store.redact({ ...admin, uid, seqs: [2, 3] })).toEqual({ redacted: 2 });

  const { steps } = await one.call('get_reasoning_chain', { chain_id: uid });
  expect(steps[1]).toEqual({
    seq: 2,
    type: 'analysis',
    ts: expect.any(String) as string,
    provenance: 'redacted',
    content: '[redacted]',
  });
  expect(steps[0].content).toContain(secret);
  expect(one.store.kept().holdings[0]?.bytes).toBeLessThan(before);
  expect(await one.store.verify({})).toMatchObject({ is_whole: true, steps: 12 });

  expect(await one.store.redact({ ...admin, uid })).toEqual({ redacted: 6 });
  expect(await one.store.delete({ ...admin, uid: other })).toEqual({ steps: 6 });
  await vi.waitFor(() => expect(isOnDisk(one, secret)).toBe(false));
  expect((await one.call('search_reasoning', { query: secret }))['steps']).toEqual([]);
  expect(await one.call('get_reasoning_chain', { chain_id: uid })).not.toHaveProperty('chain.goal');
  // It can be added to, and is sealed on.
  await one.call('capture_reasoning_step', { chain_id: uid, content: 'after' });
  await vi.waitFor(() => expect(one.store.reads.behind()).toBe(0));
  const { is_whole: isWhole, faults, chains, steps: count } = await one.store.verify({});
  expect({ isWhole, faults, chains, count }).toEqual({ isWhole: true, faults: [], chains: 1, count: 7 });
  expect(one.store.kept().holdings).toEqual([{ owner, items: 8, bytes: 300 + 6 * 110 + 105 }]);
  tamper(one, `UPDATE step SET content = 'made up' WHERE id = ${rowOf(one, uid, 2)}`);
  expect(await one.store.verify({})).toMatchObject({ is_whole: false });
});

test('words of judgements go with what they judge', async () => {
  await using one = trial();
  const [uid = '', other = ''] = await sealed(one);
  const outcome = { name: 'solved', value: 1, label: `yes ${secret}`, explanation: secret };
  for (const chain of [uid, other]) await one.call('end_chain', { chain_id: chain, outcome });
  const judgements = async (chain: string) =>
    (await one.call('get_reasoning_chain', { chain_id: chain }))['evaluations'];

  await one.store.redact({ ...admin, uid: other, seqs: [1] });
  expect(await judgements(other)).toMatchObject([outcome]);
  await one.store.redact({ ...admin, uid });
  await one.store.redact({ ...admin, uid: other });

  for (const chain of [uid, other])
    expect(await judgements(chain)).toEqual([{ name: 'solved', value: 1, at: expect.any(String) as string }]);
  await vi.waitFor(() => expect(isOnDisk(one, secret)).toBe(false));
  const { items, bytes } = one.store.kept().holdings[0] ?? { items: 0, bytes: 0 };
  for (const chain of [uid, other]) await one.store.delete({ ...admin, uid: chain });
  await vi.waitFor(() => expect(one.store.kept().holdings[0]?.items ?? 0).toBe(0));
  expect(items).toBe(2 * (1 + 6 + 1));
  // Nothing is left of what was counted.
  expect([bytes > 0, one.store.kept().holdings[0]?.bytes ?? 0]).toEqual([true, 0]);
});

test('a batch whose chain was deleted is not said to be stored', async () => {
  await using one = trial();
  const [uid = ''] = await sealed(one, 1);
  const steps = [{ type: 'analysis', content: 'again' }];
  const batch = { batch_id: 'later', chain_id: uid, steps };
  const atMs = Date.now();
  await one.call('capture_batch', batch, { nowMs: atMs });
  await one.store.delete({ ...admin, uid, nowUs: (atMs + 1) * 1_000 });
  for (const isThere of [false, true]) {
    if (isThere) await one.start({ chain_id: uid });
    await expect(one.call('capture_batch', batch)).rejects.toMatchObject({
      code: 'conflict',
      message: `The batch "later" was stored, and its chain ${uid} was taken out since.`,
    });
  }
  const anew = { ...batch, batch_id: 'anew' };
  const later = { nowMs: atMs + 2 };
  expect(await one.call('capture_batch', anew, later)).toMatchObject({ accepted: 1 });
  expect(await one.call('capture_batch', anew, later)).toMatchObject({ duplicates: 1 });
});

test('what is not there cannot be redacted or deleted', async () => {
  await using one = trial();
  const [uid = ''] = await sealed(one, 1);
  const notFound = { code: 'not_found' };
  await expect(one.store.redact({ ...admin, uid, seqs: [1, 99] })).rejects.toMatchObject(notFound);
  await expect(one.store.redact({ ...admin, uid: 'f'.repeat(32) })).rejects.toMatchObject(notFound);
  await expect(one.store.delete({ ...admin, owner: 'eve', uid })).rejects.toMatchObject(notFound);
  expect((await one.call('get_reasoning_chain', { chain_id: uid }))['steps'][0].content).toContain(secret);
});

test('a chain of the same id as a deleted one is a new one', async () => {
  await using one = trial();
  const [uid = ''] = await sealed(one, 1);
  await one.store.delete({ ...admin, uid });
  await one.start({ chain_id: uid });
  await one.call('capture_reasoning_step', { chain_id: uid, content: 'new' });
  await vi.waitFor(() => expect(one.store.reads.behind()).toBe(0));
  expect(await one.store.verify({})).toMatchObject({ is_whole: true, chains: 1, steps: 1 });
});

test('old chains go, with what they keep, and what is new stays', async () => {
  await using one = trial({ keepDays: 1 });
  const old = { nowMs: Date.now() - 2 * dayMs };
  const chain = await one.start({}, old);
  await one.call(
    'capture_batch',
    { batch_id: 'b', chain_id: chain, steps: [{ type: 'plan', content: secret }] },
    old,
  );
  const kept = await one.start({}, { nowMs: Date.now() });
  // It looks for old ones when it starts, and then every minute.
  await one.store[Symbol.asyncDispose]();
  await using again = openStore({
    file: one.file,
    quota: { items: 100, bytes: 100_000 },
    keepDays: 1,
    log: silent,
  });
  await vi.waitFor(() => expect(again.kept().holdings).toEqual([{ owner, items: 1, bytes: 300 }]));
  expect(again.reads.chain(owner, kept)).toBeTruthy();
  expect(() => again.reads.chain(owner, chain)).toThrow('There is no chain');
  expect(await again.verify({})).toMatchObject({ is_whole: true, chains: 1 });
});
