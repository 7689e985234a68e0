/** What SQLite does by itself, since it serves one hub alone. */
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { openDatabase, transactionsOf } from '#runtime/database.ts';

import { engines } from './engines.fixture.ts';
import { boxOf, leaseOf, messageOf, start } from './messages.fixture.ts';
import { openMail } from './sqlite-mail.ts';

const day = 86_400_000;
const minute = 60_000;

test('a clock that was set back while the hub was not there holds no lease, agent or reservation for longer', async () => {
  const first = await (engines['sqlite'] as NonNullable<(typeof engines)['sqlite']>)();
  const { engine } = first;
  const agent = { kind: 'agent', key: 'a', owner: 'o', value: {} } as const;
  await engine.put({ ...agent, changedAtMs: start, expiresAtMs: undefined });
  await engine.append([messageOf('one', ['a']), messageOf('two', ['b'])], start);
  const lease = { most: 1, mostBytes: 1_000, isOrdered: true };
  await engine.lease({ agent: 'a', untilMs: start + minute, nowMs: start, ...lease });
  await engine.seen(new Map([['a', start]]));
  const kept = { name: 'x', agent: 'a', owner: 'o', isShared: false, reason: '', sinceMs: start };
  await engine.reserve([{ ...kept, untilMs: start + minute }], start);

  const now = start - day;
  await using again = await first.reopen(now);
  expect(await again.engine.lastSeen()).toEqual(new Map([['a', now]]));
  expect(await again.engine.lease({ agent: 'a', untilMs: now + minute, nowMs: now, ...lease })).toEqual([]);
  expect(await again.engine.reservations(now)).toHaveLength(1);
  expect(await again.engine.reservations(now + minute)).toEqual([]);
  expect((await again.engine.sweep(now + minute, 5)).woken).toEqual(['a']);
  expect(
    await again.engine.lease({ agent: 'a', untilMs: now + day, nowMs: now + minute, ...lease }),
  ).toMatchObject([{ attempt: 2 }]);
  expect((await again.engine.sweep(now + 31 * day, 5)).dead.map(({ reason }) => reason)).toContain('expired');
});

test('a clock that went on as it should changes nothing', async () => {
  const first = await (engines['sqlite'] as NonNullable<(typeof engines)['sqlite']>)();
  await first.engine.append([messageOf('one', ['a'])], start);
  await first.engine.lease({
    agent: 'a',
    most: 1,
    mostBytes: 1_000,
    isOrdered: true,
    untilMs: start + minute,
    nowMs: start,
  });
  await using again = await first.reopen(start + 1_000);
  expect((await again.engine.sweep(start + minute - 1, 5)).woken).toEqual([]);
  expect((await again.engine.sweep(start + minute, 5)).woken).toEqual(['a']);
});

const many = Array.from({ length: 1_300 }, (_, at) => `agent-${at}`);

test('a message to very many leaves the log when it is in the last mailbox at the earliest', async () => {
  await using opened = await (engines['sqlite'] as NonNullable<(typeof engines)['sqlite']>)();
  const { engine } = opened;
  // Of the first ones, none waits for it.
  const full = { most: 0, whenFull: 'dead_letter' } as const;
  const boxes = many.map((agent, at) => boxOf(agent, at < 1_000 ? full : {}));

  const sending = engine.append([messageOf('one', boxes)], start);
  const trimmed = await engine.trim(start + 1, 10);
  const [sent] = await sending;

  expect(trimmed).toBe(0);
  expect(sent?.placed).toHaveLength(many.length);
});

test('a message to very many reaches them all, also where the hub ended in the middle', async () => {
  const first = await (engines['sqlite'] as NonNullable<(typeof engines)['sqlite']>)();
  const sending = first.engine.append([messageOf('one', many)], start).catch(() => 'ended');
  expect(new Set(await first.engine.loads(many))).toEqual(new Set([0, 1]));

  await using again = await first.reopen();

  expect(await sending).toBe('ended');
  expect(new Set(await again.engine.loads(many))).toEqual(new Set([1]));
  expect(await again.engine.append([messageOf('one', many)], start)).toMatchObject([
    { outcome: 'duplicate' },
  ]);
});

/** Mail on a disk that can be full. */
function openFilling() {
  const database = openDatabase(':memory:', join(import.meta.dirname, 'migrations'));
  const quota = { items: 1_000_000, bytes: 1_000_000_000 };
  const { engine, dropMailbox } = openMail(database, transactionsOf(database), quota, () => {});
  return {
    engine,
    dropMailbox,
    rowsOf: (table: string) =>
      database.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get() as number,
    setFull: (isFull: boolean) =>
      database.pragma(
        `max_page_count = ${isFull ? Number(database.pragma('page_count', { simple: true })) : 1_000_000}`,
      ),
    [Symbol.dispose]: () => database.close(),
  };
}

test('a message to very many is sent, and reaches them all, also where the disk was full in the middle', async () => {
  using filling = openFilling();
  const { engine } = filling;
  const sending = engine.append([messageOf('one', many)], start);
  // The first piece is in the file by now, the others are not.
  filling.setFull(true);
  const [sent] = await sending;
  const reached = (await engine.loads(many)).filter((load) => load === 1).length;
  expect(sent).toMatchObject({ outcome: 'stored' });
  expect(sent?.placed).toHaveLength(reached);
  expect(reached).toBeGreaterThanOrEqual(50);
  expect(reached).toBeLessThan(many.length);
  await expect(engine.sweep(start, 3)).rejects.toMatchObject({ code: 'unavailable' });

  filling.setFull(false);
  await engine.sweep(start, 3);
  expect(new Set(await engine.loads(many))).toEqual(new Set([1]));
  // It can leave the log when it is settled everywhere.
  const later = start + day;
  while ((await engine.sweep(later, 3)).isMore); // oxlint-disable-line no-await-in-loop -- piece after piece
  expect(await engine.trim(later, 10)).toBe(1);
});

test('what a sender says after a message that was cut off comes behind it', async () => {
  using filling = openFilling();
  const { engine } = filling;
  const last = many.at(-1) as string;
  const sending = engine.append([messageOf('one', many)], start);
  filling.setFull(true);
  await sending;
  expect(await engine.loads([last])).toEqual([0]);
  await expect(engine.append([messageOf('two', [last])], start)).rejects.toMatchObject({
    code: 'unavailable',
  });

  filling.setFull(false);
  await engine.append([messageOf('two', [last])], start);
  const delivered = await leaseOf(engine, last, { isOrdered: false });
  expect(delivered.map(({ stored }) => stored.envelope.id)).toEqual(['one', 'two']);
});

test('a message that is replayed to a mailbox before it has come there by itself is there once', async () => {
  using filling = openFilling();
  const { engine } = filling;
  const last = many.at(-1) as string;
  const sending = engine.append([messageOf('one', many)], start);
  expect(await engine.replay(boxOf(last), [1], start)).toBe(1);

  expect((await sending)[0]?.placed).toHaveLength(many.length);
  expect(new Set(await engine.loads(many))).toEqual(new Set([1]));
});

test('of a batch, what was kept before the disk was full is told as kept, and the rest is not', async () => {
  using filling = openFilling();
  const { engine } = filling;
  const batch = Array.from({ length: 120 }, (_, at) => messageOf(`m${at}`, ['a'], {}, 'x'.repeat(10_000)));
  const sending = engine.append(batch, start);
  filling.setFull(true);
  const outcomes = (await sending).map(({ outcome }) => outcome);
  const kept = outcomes.indexOf('failed');
  expect(kept).toBeGreaterThan(0);
  expect(outcomes).toEqual(batch.map((_, at) => (at < kept ? 'stored' : 'failed')));
  expect(await engine.loads(['a'])).toEqual([kept]);

  filling.setFull(false);
  const again = (await engine.append(batch, start)).map(({ outcome }) => outcome);
  expect(again).toEqual(batch.map((_, at) => (at < kept ? 'duplicate' : 'stored')));
});

test('nothing is kept of names that were left when what they had is gone', async () => {
  using filling = openFilling();
  const { engine, dropMailbox, rowsOf } = filling;
  await engine.append([messageOf('one', ['a', 'b'])], start);
  for (const agent of ['a', 'b', 'c']) await dropMailbox(agent, 'left', start + 1); // oxlint-disable-line no-await-in-loop -- three
  expect(rowsOf('mailbox')).toBe(0);
  await engine.trim(start, 10);
  expect(rowsOf('departure')).toBe(3);
  await engine.trim(start + 2, 10);
  expect([rowsOf('message'), rowsOf('departure')]).toEqual([0, 0]);
});

test('dead letters of others are not looked through, however many there are', async () => {
  await using opened = await (engines['sqlite'] as NonNullable<(typeof engines)['sqlite']>)();
  const { engine } = opened;
  const nowhere = (id: string, owner: string) => {
    const { stored, ...more } = messageOf(id, []);
    return { ...more, stored: { ...stored, owner }, dead: 'no_route' };
  };
  await engine.append([nowhere('one', 'x')], start);
  await engine.append(
    Array.from({ length: 3_000 }, (_, at) => nowhere(`other-${at}`, 'y')),
    start + 1,
  );

  let found: readonly unknown[] | undefined;
  const listing = engine
    .deadLetters({ agents: ['a'], owner: 'x' }, { atMs: Infinity, seq: Infinity, agent: '' }, 10)
    .then((dead) => (found = dead));
  // What goes on in pieces ends in a later turn of the event loop.
  await new Promise(setImmediate);

  expect(found).toHaveLength(1);
  await listing;
});
