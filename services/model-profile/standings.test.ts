import { createPrivateKey, hash } from 'node:crypto';

import { expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { Assertions, makeSigningKey } from '#runtime/access/assertions.ts';
import { createToken } from '#runtime/access/tokens.ts';
import { standingsSchema } from '#runtime/process/standings.ts';

import dashboard from '../../dashboard/service.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { callTool } from '../../tests/support/rpc.ts';
import { serve } from '../../tests/support/serve.ts';
import profile from './service.ts';
import { openStandings } from './standings.ts';
import { nowMs, testLedger } from './store.fixture.ts';

const decided = (model: string, n: number, successes: number, more: object = {}) =>
  Array.from({ length: n }, (_, at) => ({
    uid: hash('sha256', `${model} ${at} ${JSON.stringify(more)}`),
    model,
    task_type: 'code',
    outcome: at < successes ? 1 : 0,
    source: 'ground_truth',
    ...more,
  }));

test('who succeeds most surely comes first, who has too few outcomes last, and clients apart', async () => {
  using store = testLedger();
  for (const name of ['sure', 'lucky', 'new', 'silent']) store.register(name);
  store.register('laptop', { kind: 'client' });
  store.record(decided('model:sure', 150, 120), 'anna');
  store.record(decided('model:sure', 50, 42, { task_type: 'review', source: 'human' }), 'ben');
  store.record(decided('model:lucky', 20, 18));
  store.record(decided('model:new', 3, 3, { cluster_id: 'c' }));
  store.record(decided('model:silent', 4, 0, { outcome: undefined, source: undefined }));
  store.record(decided('client:laptop', 25, 25));

  const { models, clients, ...rest } = await openStandings(store.reading, () => nowMs)();

  expect(rest).toEqual({ at: '2026-11-20T12:00:00.000Z', days: 30, needed: 20 });
  // 18 of 20 is more than 120 of 150, and less sure.
  expect(models.map(({ name, judged, decisions, share }) => [name, decisions, judged, share])).toEqual([
    ['sure', 200, 150, 0.8],
    ['lucky', 20, 20, 0.9],
    ['silent', 4, 0, null],
    ['new', 3, 3, 1],
  ]);
  expect(models[0]).toMatchObject({ judgedBy: 'ground_truth', since: '2026-11-20', warnings: [] });
  // Wilson's interval of 120 of 150.
  expect(models[0]?.interval?.map((bound) => bound.toFixed(4))).toEqual(['0.7289', '0.8562']);
  expect(models[0]?.tasks).toMatchObject([
    { name: 'code', judged: 150, judgedBy: 'ground_truth' },
    { name: 'review', judged: 50, share: 0.84, judgedBy: 'human' },
  ]);
  expect(models[3]?.warnings[0]).toContain('belong to clusters');
  expect(clients).toMatchObject([{ name: 'laptop', share: 1, decisions: 25 }]);
});

test('it is bounded: the busiest ten, three kinds of tasks, thirty days, names cut and on one line', async () => {
  using store = testLedger();
  const names = Array.from({ length: 45 }, (_, at) => `${at} `.padEnd(190, 'long\u202e'));
  for (const [at, name] of names.entries())
    store.record(decided(store.register(name), at + 1, 0, { task_type: `kind ${at % 5}\u0007` }));
  const busy = store.register('busy');
  for (const task_type of ['a', 'b', 'c', 'd']) store.record(decided(busy, 30, 10, { task_type }));
  const old = store.register('old');
  store.record(decided(old, 200, 200, { time: '2026-10-01T00:00:00Z' }));
  const before = store.register('before');
  store.record(decided(before, 60, 60, { time: '2026-10-21T23:00:00Z' }));
  store.record(decided(before, 60, 0, { time: '2026-10-22T01:00:00Z' }));

  const { models } = await openStandings(store.reading, () => nowMs)();

  expect(models.map(({ decisions }) => decisions).toSorted((a, b) => b - a)).toEqual([
    120, 60, 45, 44, 43, 42, 41, 40, 39, 38,
  ]);
  const ofBusy = models.find(({ name }) => name === 'busy');
  expect(ofBusy?.tasks).toHaveLength(3);
  expect(models.find(({ name }) => name === 'before')).toMatchObject({ share: 0, since: '2026-10-22' });
  expect(JSON.stringify(models)).not.toMatch(/\\u0007|\u202e/);
  expect(Math.max(...models.map(({ name }) => name.length))).toBeLessThanOrEqual(200);
});

test('it is made once for all who ask at once or soon after, and again when that is old', async () => {
  using store = testLedger();
  const model = store.register('m');
  const clock = { ms: nowMs };
  const standings = openStandings(store.reading, () => clock.ms);
  const known = async () => (await standings()).models.length;

  const [one, other] = await Promise.all([standings(), standings()]);
  store.record(decided(model, 1, 1));

  expect(one).toBe(other);
  clock.ms += 9_000;
  expect(await known()).toBe(0);
  clock.ms += 1_000;
  expect(await known()).toBe(1);
  store.record(decided(store.register('n'), 1, 1));
  clock.ms -= 3_600_000;
  expect(await known()).toBe(2);
});

test('what cannot be read now is tried again', async () => {
  using store = testLedger();
  let isBroken = true;
  const reading = {
    ...store.reading,
    taskTypeNames() {
      if (isBroken) throw new Error('disk');
      return store.reading.taskTypeNames();
    },
  };
  const standings = openStandings(reading, () => nowMs);

  await expect(standings()).rejects.toThrow('disk');
  isBroken = false;
  expect((await standings()).models).toEqual([]);
});

test('the dashboard reads it by its own key and nothing else, health does not, and the page shows it', async () => {
  const offset = await freePortOffset();
  const portOf = (name: string) => (entryOf(name)?.port ?? 0) + offset;
  const settings = { FLOTILLA_PORT_OFFSET: String(offset) };
  await using served = await serve(profile, settings, portOf('model-profile'));
  const by = (signer: string) =>
    new Assertions(signer, createPrivateKey(makeSigningKey(served.dataRoot, signer))).ofSelf(
      'read',
      'model-profile',
      Date.now(),
    );
  const ask = async (path: string, token: string, method = 'GET') => {
    const headers = { authorization: `Bearer ${token}` };
    return fetch(`${served.url}${path}`, { method, headers });
  };
  const [own, health] = [by('dashboard'), by('health')];

  await callTool(served, 'register_model', { name: '<i>m</i>' });
  await callTool(served, 'record_decisions', { decisions: decided('model:<i>m</i>', 30, 27) });

  const response = await ask('/standings', own);
  expect(standingsSchema.parse(await response.json()).models).toMatchObject([
    { name: '<i>m</i>', judged: 30 },
  ]);
  const refused: [string, string, string?][] = [
    ['/standings', health],
    ['/standings', own, 'POST'],
    ['/standings/', own],
    ['/mcp', own, 'POST'],
    ['/admin/audit', own],
    ['/admin/snapshot', own, 'POST'],
  ];
  for (const [path, token, method] of refused)
    expect((await ask(path, token, method)).ok, `${path} ${method}`).toBe(false);
  expect((await ask('/standings', health)).status).toBe(403);
  expect((await ask('/standings', 'nobody')).status).toBe(401);
  const other = { name: 'other', scope: ['memory:read'], expiresAt: null };
  const narrow = await createToken(served.dataRoot, other);
  await vi.waitFor(async () => expect((await ask('/standings', narrow)).status).toBe(403));

  await using shown = await serve(
    dashboard,
    { ...settings, FLOTILLA_DATA: served.dataRoot },
    portOf('dashboard'),
  );
  const headers = { authorization: `Bearer ${served.token}` };
  const page = await (await fetch(`${shown.url}/dashboard`, { headers })).text();
  expect(page).toContain('<bdi>&lt;i&gt;m&lt;/i&gt;</bdi>');
  expect(page).not.toContain('<i>m');
  const status = (await (await fetch(`${shown.url}/status`, { headers })).json()) as { observers: unknown };
  expect(status.observers).toMatchObject([{ name: 'model-profile', models: [{ share: 0.9 }] }]);
});
