/** What one token stored is never changed, kept longer or removed by another. */
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { openDatabase } from '#runtime/database.ts';
import { testCall } from '#runtime/testing.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { levels } from './limits.ts';
import { prompts } from './prompts.ts';
import { resources } from './resources.ts';
import { callOf, later, testStore } from './store.fixture.ts';

const ada = { caller: 'ada' };
const bob = { caller: 'bob' };
const eve = { caller: 'eve' };
const notFound = { code: 'not_found' };

interface Stored {
  readonly handle: string;
}

test.each(['session', 'ephemeral'])('an output at level %s is deleted by its owner alone', async (level) => {
  using store = testStore();
  const call = callOf(store);
  const { handle } = await call<Stored>('store_output', { content: 'text', level }, ada);

  expect(await call('delete_outputs', { handles: [handle] }, eve)).toEqual({
    deleted: 0,
    not_found: [handle],
  });
  expect(await call('read_output', { handle }, eve)).toMatchObject({ text: 'text' });
  expect(await call('delete_outputs', { handles: [handle] }, ada)).toEqual({ deleted: 1, not_found: [] });
});

test.each([
  ['short', 'text'],
  ['long', 'line\n'.repeat(20_000)],
])('a %s text that two store is an output of each', async (_, content) => {
  using store = testStore();
  const call = callOf(store);
  const { outputs: before } = await call<{ outputs: object[] }>('list_outputs', {}, ada);
  expect(before).toEqual([]);
  const of = async (who: typeof ada, args: object) =>
    (await call<Stored>('store_output', { content, ...args }, who)).handle;
  const hers = await of(ada, { label: 'mine', ttl_seconds: 100 });
  const listed = await call<{ outputs: object[] }>('list_outputs', {}, ada);

  const another = await of(eve, { label: 'changed', ttl_seconds: 1_000 });

  expect(another).toBe(hers);
  expect(await call('list_outputs', {}, ada)).toMatchObject({
    outputs: expect.arrayContaining(listed.outputs) as unknown,
  });
  expect(store.kept().holdings.map(({ owner, items }) => [owner, items])).toEqual([
    ['ada', 1],
    ['eve', 1],
  ]);
  expect(await call('delete_outputs', { handles: [another] }, eve)).toMatchObject({ deleted: 1 });
  expect(await call('read_output', { handle: hers, limit: 500_000 }, ada)).toMatchObject({ text: content });
  await expect(call('read_output', { handle: hers }, { ...ada, ...later(100) })).rejects.toMatchObject(
    notFound,
  );
});

test('an output is kept by the snapshots and handoffs of its owner alone', async () => {
  using store = testStore();
  const call = callOf(store);
  const { handle } = await call<Stored>('store_output', { content: 'text' }, ada);
  const muchLater = { ...ada, ...later(2 * levels.session.ttl) };
  const handoff = { goal: 'g', state: handle };
  await call('save_snapshot', { name: 'n', entries: [{ key: 'k', text: handle }] }, eve);
  await call('create_handoff', handoff, eve);

  await expect(call('read_output', { handle }, muchLater)).rejects.toMatchObject(notFound);
  await call('create_handoff', handoff, ada);
  expect(await call('read_output', { handle }, muchLater)).toMatchObject({ text: 'text' });
});

test.each(['session', 'ephemeral'])('a snapshot at level %s is deleted by its owner alone', async (level) => {
  using store = testStore();
  const call = callOf(store);
  const entries = [{ key: 'k', text: 'v' }];
  const { snapshot_id: id } = await call('save_snapshot', { name: 'n', entries, level }, ada);

  await expect(call('delete_snapshot', { snapshot_id: id }, eve)).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('ada') as string,
  });
  expect(await call('restore_snapshot', { snapshot_id: id }, eve)).toMatchObject({ entries });
  expect(await call('delete_snapshot', { snapshot_id: id }, ada)).toEqual({ deleted: id });
  await expect(call('delete_snapshot', { snapshot_id: id }, eve)).rejects.toMatchObject(notFound);
});

test('a handoff is deleted by its author alone', async () => {
  using store = testStore();
  const call = callOf(store);
  const { handoff_id: id } = await call('create_handoff', { goal: 'g', state: 's' }, ada);
  await call('accept_handoff', { handoff_id: id }, bob);
  const updated: string[] = [];
  const remove = async (who: typeof ada) =>
    call('delete_handoffs', { handoff_ids: [id] }, { ...who, resourceUpdated: (uri) => updated.push(uri) });

  for (const who of [bob, eve]) expect(await remove(who)).toEqual({ deleted: 0, not_found: [id] });
  expect(updated).toEqual([]);
  expect(await call('read_handoff', { handoff_id: id }, eve)).toMatchObject({ accepted_by: 'bob' });
  expect(await remove(ada)).toEqual({ deleted: 1, not_found: [] });
  expect(updated).toHaveLength(1);
});

test('a handoff that is meant for one is there for that one and its author alone', async () => {
  using store = testStore();
  const call = callOf(store);
  const work = { goal: 'g', state: 's', meant_for: 'bob' };
  const { handoff_id: id } = await call<{ handoff_id: string }>('create_handoff', work, ada);
  const resource = resources.find(({ name }) => name === 'handoff');
  const resume = prompts.find(({ name }) => name === 'resume');
  const seenBy = async (who: typeof ada) => [
    (await call<{ handoffs: object[] }>('list_handoffs', {}, who)).handoffs.length,
    resume?.arguments['handoff_id']?.complete?.('hand_', store, testCall(who)).length,
    (await resource?.read({ id }, store, testCall(who))) === undefined ? 0 : 1,
  ];

  expect(await seenBy(eve)).toEqual([0, 0, 0]);
  for (const tool of ['read_handoff', 'accept_handoff'])
    await expect(call(tool, { handoff_id: id }, eve)).rejects.toMatchObject(notFound);
  expect(() => resume?.messages({ handoff_id: id }, store, testCall(eve))).toThrow('no handoff');

  for (const who of [ada, bob]) {
    expect(await seenBy(who)).toEqual([1, 1, 1]);
    await call('read_handoff', { handoff_id: id }, who);
  }
  await call('accept_handoff', { handoff_id: id }, bob);
  await expect(call('accept_handoff', { handoff_id: id }, eve)).rejects.toMatchObject(notFound);

  const back = await call<{ handoff_id: string }>('create_handoff', work, ada);
  expect(await call('accept_handoff', { handoff_id: back.handoff_id }, ada)).toMatchObject({
    accepted_by: 'ada',
  });
});

test('budgets of the same name are one for each token', async () => {
  using store = testStore();
  const call = callOf(store);
  const budget = { budget_id: 'b' };
  await call('set_budget', { ...budget, limit: 100 }, ada);
  await call('consume_budget', { ...budget, tokens: 10 }, ada);

  for (const tool of ['check_budget', 'consume_budget'])
    await expect(call(tool, { ...budget, tokens: 1 }, eve)).rejects.toMatchObject(notFound);
  expect(await call('delete_budgets', { budget_ids: ['b'] }, eve)).toEqual({ deleted: 0, not_found: ['b'] });
  await call('set_budget', { ...budget, limit: 1, reset: true }, eve);
  await call('consume_budget', { ...budget, tokens: 1 }, eve);
  expect(await call('list_budgets', {}, eve)).toMatchObject({ budgets: [{ budget_id: 'b', limit: 1 }] });
  expect(await call('delete_budgets', { budget_ids: ['b'] }, eve)).toMatchObject({ deleted: 1 });

  expect(await call('check_budget', budget, ada)).toEqual({
    limit: 100,
    consumed: 10,
    remaining: 90,
    uses: 1,
    asked: 0,
    fits: true,
  });
});

test('budgets and outputs from before stay with those who stored them', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'context.db');
  const former = join(folder.path, 'former');
  const migrations = fileURLToPath(new URL('migrations', import.meta.url));
  mkdirSync(former);
  for (const each of readdirSync(migrations).filter((name) => name < '003'))
    cpSync(join(migrations, each), join(former, each));
  const handle = `out_${'0'.repeat(24)}`;
  const old = openDatabase(file, former);
  old.exec(`
    INSERT INTO budget VALUES ('b', 100, 10, 1, 0, 'ada', '2026-11-20', '2027-01-01');
    INSERT INTO snapshot VALUES ('snap_0', 'n', 'session', NULL, 'bob', '2026-11-20', NULL, 0, 2, 2, '[]', NULL);
    INSERT INTO mention VALUES ('snap_0', '${handle}');
    INSERT INTO output VALUES ('${handle}', 'session', NULL, NULL, 'ada', '2026-11-20', '2027-01-01', 4, 1, 4, 'text', NULL);`);
  old.close();

  using store = testStore(file);
  const call = callOf(store);
  await call('set_budget', { budget_id: 'b', limit: 5 }, eve);

  expect(await call('check_budget', { budget_id: 'b' }, ada)).toMatchObject({ limit: 100, consumed: 10 });
  expect(await call('delete_outputs', { handles: [handle] }, eve)).toMatchObject({ deleted: 0 });
  expect(await call('read_output', { handle }, { ...bob, ...later(90 * 86_400) })).toMatchObject({
    text: 'text',
  });
  expect(store.kept().holdings.map(({ owner, items }) => [owner, items])).toEqual([
    ['ada', 2],
    ['bob', 1],
    ['eve', 1],
  ]);
  await call('delete_budgets', { budget_ids: ['b'] }, ada);
  await call('delete_outputs', { handles: [handle] }, ada);
  expect(store.kept().holdings.map(({ owner, items }) => [owner, items])).toEqual([
    ['bob', 1],
    ['eve', 1],
  ]);
});

test('a budget that expires takes none of its name with it', async () => {
  using store = testStore();
  const call = callOf(store);
  const expires = later(30 * 86_400);
  await call('set_budget', { budget_id: 'b', limit: 1 }, ada);
  await call('set_budget', { budget_id: 'b', limit: 2 }, { ...eve, ...later(60) });

  await call('store_output', { content: 'purges' }, { ...ada, ...expires });

  await expect(call('check_budget', { budget_id: 'b' }, { ...ada, ...expires })).rejects.toMatchObject(
    notFound,
  );
  expect(await call('check_budget', { budget_id: 'b' }, { ...eve, ...expires })).toMatchObject({ limit: 2 });
  expect(store.holdings().durable.budget).toMatchObject({ items: 1, expired: 1 });
});

test.each(['session', 'ephemeral'])(
  'a private output at level %s is there for its owner alone',
  async (level) => {
    using store = testStore();
    const call = callOf(store);
    const content = 'secret '.repeat(10_000);
    const { handle } = await call<Stored>('store_output', { content, level, private: true }, ada);

    expect(await call('read_output', { handle }, ada)).toHaveProperty('totalCharacters', content.length);
    await expect(call('read_output', { handle }, eve)).rejects.toMatchObject(notFound);
    await expect(call('grep_output', { handle, pattern: 'secret' }, eve)).rejects.toMatchObject(notFound);
    expect(await call('list_outputs', {}, eve)).toMatchObject({ outputs: [] });
    expect(await call('list_outputs', {}, ada)).toMatchObject({ outputs: [{ handle }] });

    // The same text of another token is that token's own; a text that its owner stores for all is for all.
    await call('store_output', { content, level }, bob);
    expect(await call('read_output', { handle }, eve)).toHaveProperty('totalCharacters', content.length);
    await call('delete_outputs', { handles: [handle] }, bob);
    await expect(call('read_output', { handle }, eve)).rejects.toMatchObject(notFound);
    await call('store_output', { content, level }, ada);
    expect(await call('read_output', { handle }, eve)).toHaveProperty('totalCharacters', content.length);
  },
);
