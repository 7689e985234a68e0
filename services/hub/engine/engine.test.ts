import { beforeEach, describe, expect, test } from 'vitest';

import { surround } from '../../../tests/support/surround.ts';
import type { Envelope, Stored } from '../message.ts';
import type { Engine, Mailbox, Outgoing, Page, Settlement } from './engine.ts';
import { engines, surroundings } from './engines.fixture.ts';
import { boxOf, leaseOf, messageOf, start } from './messages.fixture.ts';

const mostAttempts = 3;

let count = 0;
beforeEach(() => {
  count = 0;
});

/** Small, so that it can be filled. */
const box = (agent: string, overrides: Partial<Mailbox> = {}) => boxOf(agent, { most: 100, ...overrides });

function message(
  {
    body = 'hello',
    owner = 'sender',
    ...envelope
  }: Partial<Envelope> & { body?: string; owner?: string } = {},
  ...mailboxes: Mailbox[]
): Outgoing {
  count += 1;
  const to = mailboxes.length > 0 ? mailboxes : [box('worker')];
  const outgoing = messageOf(envelope.id ?? `m${count}`, to, envelope, body);
  return { ...outgoing, stored: { ...outgoing.stored, owner } };
}

const textOf = ({ body }: Pick<Stored, 'body'>): unknown => JSON.parse(Buffer.from(body.bytes).toString());

async function receive(engine: Engine, agent = 'worker', overrides: object = {}) {
  const delivered = await leaseOf(engine, agent, overrides);
  return delivered.map(({ stored, attempt, isReplay }) => ({
    seq: stored.seq,
    id: stored.envelope.id,
    attempt,
    ...(isReplay && { isReplay }),
  }));
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id);

async function settle(engine: Engine, settlement: Settlement, nowMs = start, agent = 'worker') {
  const [settled] = await engine.settle(agent, [settlement], nowMs);
  return settled;
}

const register = async (engine: Engine, key: string) =>
  engine.put({ kind: 'agent', key, owner: 'one', value: {}, changedAtMs: start, expiresAtMs: undefined });

const send = async (engine: Engine, ...messages: Outgoing[]) => engine.append(messages, start);

for (const [name, open] of Object.entries(engines)) {
  describe(`The engine on ${name}`, () => {
    const around = surroundings[name];
    if (around) surround(around.missing, around.start);

    describe('the log', () => {
      test('gives places that grow, and what was stored comes back as it was', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [first, second] = await send(engine, message({ body: 'é 🚢' }), message());

        expect(first).toMatchObject({ outcome: 'stored', placed: [{ agent: 'worker', outcome: 'queued' }] });
        expect(second?.seq).toBeGreaterThan(first?.seq ?? Infinity);
        const [found] = await engine.read({ from: 0, backwards: false, most: 10 });
        expect(found).toMatchObject({ seq: first?.seq, owner: 'sender', envelope: { id: 'm1' } });
        expect(found && textOf(found)).toBe('é 🚢');
        expect(await engine.find('sender', 'm2')).toMatchObject([{ seq: second?.seq }]);
        expect(await engine.at(second?.seq ?? 0)).toMatchObject({ envelope: { id: 'm2' } });
        expect(await engine.at((second?.seq ?? 0) + 1)).toBeUndefined();
        expect(await engine.at((first?.seq ?? 0) - 1)).toBeUndefined();
        expect(await engine.find('another', 'm2')).toEqual([]);
      });

      test('keeps each message of a batch, and puts it into all of its mailboxes, whichever number that is', async () => {
        await using opened = await open();
        const { engine } = opened;
        const widths = [1, 60, 30, 1, 49, 51, 2, 99, 100, 101, 1];
        const many = (width: number) => Array.from({ length: width }, (_, at) => box(`${width} ${at}`));

        const all = await send(engine, ...widths.map((width) => message({}, ...many(width))));

        expect(all.map(({ outcome }) => outcome)).toEqual(widths.map(() => 'stored'));
        expect(all.map(({ placed }) => placed.length)).toEqual(widths);
        for (const width of new Set(widths)) {
          const names = many(width).map(({ agent }) => agent);
          const each = widths.filter((one) => one === width).length;
          expect(await engine.loads(names)).toEqual(names.map(() => each)); // oxlint-disable-line no-await-in-loop
        }
      });

      test('knows a duplicate, and another message under the same id', async () => {
        await using opened = await open();
        const { engine } = opened;

        const once = message({ id: 'one' });
        const [stored] = await send(engine, once);
        expect(await send(engine, once)).toMatchObject([{ outcome: 'duplicate', seq: stored?.seq }]);
        expect(await send(engine, message({ id: 'one', body: 'other' }))).toMatchObject([
          { outcome: 'conflict' },
        ]);
        expect(await send(engine, message({ id: 'one', source: 'another' }))).toMatchObject([
          { outcome: 'stored' },
        ]);
        expect(await send(engine, message({ id: 'two' }), message({ id: 'two' }))).toMatchObject([
          { outcome: 'stored' },
          { outcome: 'duplicate' },
        ]);
        expect(await engine.loads(['worker'])).toEqual([3]);
      });

      test('knows ids by who has sent them: a name that another token has now is as if it were new', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [first] = await send(engine, message({ id: 'one', owner: 'before' }));
        const [second] = await send(engine, message({ id: 'one', owner: 'now' }));
        expect([first, second]).toMatchObject([{ outcome: 'stored' }, { outcome: 'stored' }]);
        expect(
          await send(
            engine,
            message({ id: 'one', owner: 'before' }),
            message({ id: 'one', owner: 'now', body: 'other' }),
          ),
        ).toMatchObject([
          { outcome: 'duplicate', seq: first?.seq },
          { outcome: 'conflict', seq: second?.seq },
        ]);
        expect(await engine.find('sender', 'one')).toMatchObject([
          { seq: second?.seq, owner: 'now' },
          { seq: first?.seq, owner: 'before' },
        ]);
        const [{ seq } = { seq: 0 }] = await receive(engine, 'worker', { most: 1 });
        await settle(engine, { seq, attempt: 1, as: 'acknowledged' });
        expect(await engine.trim(start + 1, 10)).toBe(1);
        expect(await engine.find('sender', 'one')).toMatchObject([{ seq: second?.seq }]);
        expect(await send(engine, message({ id: 'one', owner: 'before' }))).toMatchObject([
          { outcome: 'stored' },
        ]);
      });

      test('is read forwards, backwards, by conversation and from a time', async () => {
        await using opened = await open();
        const { engine } = opened;

        const sent: number[] = [];
        for (const [at, correlationId] of ['a', 'b', 'a', 'b'].entries()) {
          const [appended] = await engine.append([message({ correlationId })], start + at * 1_000); // oxlint-disable-line no-await-in-loop -- in this order
          sent.push(appended?.seq ?? 0);
        }
        const read = async (span: object) => {
          const rows = await engine.read({ from: 0, backwards: false, most: 10, ...span });
          return rows.map(({ envelope }) => envelope.id);
        };
        const last = (sent[3] ?? 0) + 1;
        expect(await read({ most: 2 })).toEqual(['m1', 'm2']);
        expect(await read({ from: sent[1] })).toEqual(['m3', 'm4']);
        expect(await read({ from: last, backwards: true, most: 3 })).toEqual(['m4', 'm3', 'm2']);
        expect(await read({ correlationId: 'a' })).toEqual(['m1', 'm3']);
        expect(await read({ correlationId: 'b', from: last, backwards: true })).toEqual(['m4', 'm2']);
        expect(await engine.placeAt(0)).toBeLessThanOrEqual(sent[0] ?? 0);
        expect(await engine.placeAt(start + 1_000)).toBe(sent[1]);
        expect(await engine.placeAt(start + 1_001)).toBe(sent[2]);
        expect(await engine.placeAt(start + 9_000)).toBe(last);
      });

      test('is read for one agent, both ways, however much others say', async () => {
        await using opened = await open();
        const { engine } = opened;
        const [from] = await send(engine, message({ source: 'one' }));
        for (const half of [0, 1]) {
          const others = Array.from({ length: 3_000 }, (_, at) =>
            message({ id: `${half} ${at}` }, box('many', { most: 10_000 })),
          );
          await send(engine, ...others); // oxlint-disable-line no-await-in-loop -- in this order
        }
        const last = message({}, box('one'));
        const [to] = await send(engine, { ...last, stored: { ...last.stored, receivers: ['other', 'one'] } });

        const all = async (backwards: boolean, most: number) => {
          const found: number[] = [];
          let next: number | undefined = backwards ? Number.MAX_SAFE_INTEGER : 0;
          while (next !== undefined) {
            const page: Page = await engine.readOf('one', { from: next, backwards, most }); // oxlint-disable-line no-await-in-loop -- page after page
            found.push(...page.messages.map(({ seq }) => seq));
            ({ next } = page);
          }
          return found;
        };
        expect(await all(false, 10)).toEqual([from?.seq, to?.seq]);
        expect(await all(true, 10)).toEqual([to?.seq, from?.seq]);
        expect(await all(true, 1)).toEqual([to?.seq, from?.seq]);
        expect(await engine.readOf('nobody', { from: 0, backwards: false, most: 10 })).toMatchObject({
          messages: [],
        });
      });

      test('to very many mailboxes reaches each', async () => {
        await using opened = await open();
        const { engine } = opened;
        const names = Array.from({ length: 1_300 }, (_, at) => `agent-${at}`);

        const [sent] = await send(engine, message({}, ...names.map((name) => box(name))));

        expect(sent?.placed).toHaveLength(names.length);
        expect(new Set(await engine.loads(names))).toEqual(new Set([1]));
        expect(await engine.deliveries(sent?.seq ?? 0)).toHaveLength(names.length);
      });

      test('outlives a start, and never uses a place again', async () => {
        await using opened = await open();

        const [before] = await send(opened.engine, message());
        await receive(opened.engine);
        await settle(opened.engine, { seq: before?.seq ?? 0, attempt: 1, as: 'acknowledged' });
        expect(await opened.engine.trim(start + 1, 10)).toBe(1);
        await using again = await opened.reopen();
        const [after] = await send(again.engine, message());
        expect(after?.seq).toBeGreaterThan(before?.seq ?? Infinity);
      });

      test('is trimmed of what is old and settled, and of nothing that waits', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [waits] = await send(engine, message());
        const [gone] = await send(engine, message({}, box('other')));
        await receive(engine, 'other');
        await settle(engine, { seq: gone?.seq ?? 0, attempt: 1, as: 'acknowledged' }, start, 'other');

        expect(await engine.trim(start, 10)).toBe(0);
        expect(await engine.trim(start + 1, 10)).toBe(1);
        expect(await engine.read({ from: 0, backwards: false, most: 10 })).toMatchObject([
          { seq: waits?.seq },
        ]);
        expect(await engine.totals()).toMatchObject({ messages: 1, firstSeq: waits?.seq, trimmed: 0 });
      });
    });

    describe('a mailbox', () => {
      test('gives the most urgent first, and each sender in order', async () => {
        await using opened = await open();
        const { engine } = opened;

        await send(
          engine,
          message({ id: 'low', priority: 'low' }),
          message({ id: 'n1' }),
          message({ id: 'n2' }),
          message({ id: 'critical', priority: 'critical' }),
          message({ id: 'high', priority: 'high', source: 'another' }),
        );
        expect(idsOf(await receive(engine))).toEqual(['critical', 'high', 'n1', 'n2', 'low']);
        expect(await receive(engine)).toEqual([]);
      });

      test('keeps what follows back while an earlier one is at work', async () => {
        await using opened = await open();
        const { engine } = opened;

        await send(
          engine,
          message({ id: 'a1' }),
          message({ id: 'a2' }),
          message({ id: 'b1', source: 'another' }),
          message({ id: 'a high', priority: 'high' }),
        );
        expect(idsOf(await receive(engine, 'worker', { most: 2 }))).toEqual(['a high', 'a1']);
        const [b1] = await receive(engine);
        expect(b1?.id).toBe('b1');
        expect(await receive(engine)).toEqual([]);
        expect(idsOf(await receive(engine, 'worker', { isOrdered: false }))).toEqual(['a2']);
      });

      test('gives what comes behind very many that are kept back, in order', async () => {
        await using opened = await open();
        const { engine } = opened;
        const of = (source: string, count: number, priority: Envelope['priority'] = 'normal') =>
          Array.from({ length: count }, (_, at) =>
            message({ id: `${source} ${priority} ${at}`, source, priority }, box('worker', { most: 5_000 })),
          );
        const isAtWork = { most: 1, nowMs: start };
        await send(engine, ...of('slow', 700));
        expect(idsOf(await receive(engine, 'worker', isAtWork))).toEqual(['slow normal 0']);
        await send(engine, ...of('urgent', 600, 'high'));
        const [failed] = await receive(engine, 'worker', isAtWork);
        await send(engine, ...of('b', 2), ...of('a', 2), ...of('b', 1, 'low'), ...of('b', 1, 'critical'));
        const rest = ['b normal 0', 'b normal 1', 'a normal 0', 'a normal 1', 'b low 0'];

        expect(idsOf(await receive(engine, 'worker', { most: 1 }))).toEqual(['b critical 0']);
        expect(idsOf(await receive(engine, 'worker', { most: 4 }))).toEqual(rest.slice(0, 4));
        expect(await receive(engine, 'worker', { most: 1, isOrdered: true })).toMatchObject([
          { id: rest[4] },
        ]);
        expect(await receive(engine)).toEqual([]);
        // One that may be tried again comes, and nothing behind it.
        await settle(engine, {
          seq: failed?.seq ?? 0,
          attempt: 1,
          as: 'retry',
          atMs: start + 1_000,
          reason: '',
          mostAttempts,
        });
        expect(await receive(engine)).toEqual([]);
        expect(idsOf(await receive(engine, 'worker', { nowMs: start + 1_000 }))).toEqual(['urgent high 0']);
        // More senders than are looked at one by one.
        await send(
          engine,
          ...Array.from({ length: 250 }, (_, at) =>
            message({ source: `s${at}` }, box('worker', { most: 5_000 })),
          ),
        );
        expect(await receive(engine, 'worker', { most: 300 })).toHaveLength(250);
      });

      test('looks for what may be given out at one price, however much is kept back', async () => {
        await using opened = await open();
        const { engine } = opened;
        const fastest = async (agent: string, keptBack: number) => {
          for (let sent = 0; sent < keptBack; sent += 500)
            // oxlint-disable-next-line no-await-in-loop -- in parts
            await send(engine, ...Array.from({ length: 500 }, () => message({}, boxOf(agent))));
          await receive(engine, agent, { most: 1 });
          let least = Infinity;
          for (let times = 0; times < 20; times += 1) {
            const began = performance.now();
            expect(await receive(engine, agent, { most: 1 })).toEqual([]); // oxlint-disable-line no-await-in-loop -- one after the other
            least = Math.min(least, performance.now() - began);
          }
          return least;
        };
        const [few, many] = [await fastest('few', 1_000), await fastest('many', 16_000)];
        // Sixteen times as much waits.
        expect(many / few).toBeLessThan(6);
      });

      test('gives what follows when the earlier one is acknowledged', async () => {
        await using opened = await open();
        const { engine, arrived } = opened;

        const [first] = await send(engine, message({ id: 'a1' }), message({ id: 'a2' }));
        await receive(engine, 'worker', { most: 1 });
        arrived.length = 0;
        expect(await settle(engine, { seq: first?.seq ?? 0, attempt: 1, as: 'acknowledged' })).toBe('done');
        await expect.poll(() => arrived).toContain('worker');
        expect(idsOf(await receive(engine))).toEqual(['a2']);
      });

      test('gives no more bytes than asked for, but always one message', async () => {
        await using opened = await open();
        const { engine } = opened;

        await send(engine, ...[1, 2, 3].map(() => message({ body: 'x'.repeat(500) })));
        expect(await receive(engine, 'worker', { mostBytes: 100 })).toHaveLength(1);
        expect(await receive(engine, 'worker', { mostBytes: 1_100, isOrdered: false })).toHaveLength(2);
      });

      test('that is full refuses, drops the oldest of the least urgent, or makes dead letters', async () => {
        await using opened = await open();
        const { engine } = opened;
        const small = (agent: string, whenFull: Mailbox['whenFull']) => box(agent, { most: 2, whenFull });
        for (const whenFull of ['reject', 'drop_oldest', 'dead_letter'] as const) {
          const to = small(whenFull, whenFull);
          // oxlint-disable-next-line no-await-in-loop -- in this order
          await send(engine, message({ priority: 'high' }, to), message({ id: `${whenFull} low` }, to));
        }
        expect(await send(engine, message({}, small('reject', 'reject')))).toMatchObject([
          { outcome: 'full', placed: [{ agent: 'reject', outcome: 'full' }] },
        ]);
        expect(await send(engine, message({}, small('drop_oldest', 'drop_oldest')))).toMatchObject([
          { outcome: 'stored', placed: [{ outcome: 'queued', dropped: 1 }] },
        ]);
        expect(idsOf(await receive(engine, 'drop_oldest'))).not.toContain('drop_oldest low');
        expect(await send(engine, message({}, small('dead_letter', 'dead_letter')))).toMatchObject([
          { outcome: 'stored', placed: [{ outcome: 'dead_letter' }] },
        ]);
        // One that is full does not keep the message from another.
        const [both] = await send(engine, message({}, small('reject', 'reject'), box('other')));
        expect(both).toMatchObject({
          outcome: 'stored',
          placed: [{ outcome: 'full' }, { agent: 'other', outcome: 'queued' }],
        });
        expect(await engine.loads(['reject', 'drop_oldest', 'dead_letter', 'other', 'nobody'])).toEqual([
          2, 2, 2, 1, 0,
        ]);
      });

      test('that may hold much less than it does drops the oldest of the least urgent, in pieces', async () => {
        await using opened = await open();
        const { engine } = opened;
        const large = box('worker', { most: 2_000 });
        const low = { priority: 'low', source: 'other' } as const;
        const sources = ['s1', 's2', 's3'];
        const batch = Array.from({ length: 1_000 }, (_, at) =>
          message(at % 10 === 0 ? low : { source: sources[at % 3] ?? '' }, large),
        );
        await send(engine, ...batch);
        // At work: these cannot be dropped.
        expect(await receive(engine, 'worker', { most: 2, isOrdered: false })).toMatchObject([
          { id: 'm2' },
          { id: 'm3' },
        ]);

        const over = new AbortController();
        const small = box('worker', { most: 5, whenFull: 'drop_oldest' });
        const sending = send(engine, message({ id: 'last', ...low }, small)).finally(() => over.abort());
        const loads = new Set<number>();
        while (!over.signal.aborted) {
          const [load = 0] = await engine.loads(['worker']); // oxlint-disable-line no-await-in-loop -- as long as it is sent
          loads.add(load);
          await new Promise(setImmediate); // oxlint-disable-line no-await-in-loop -- others have their turn
        }

        expect(await sending).toMatchObject([{ outcome: 'stored', placed: [{ outcome: 'queued' }] }]);
        expect([...loads].filter((load) => load > 5 && load < 1_000).length).toBeGreaterThan(1);
        expect(await engine.loads(['worker'])).toEqual([5]);
        expect(idsOf(await receive(engine, 'worker', { isOrdered: false }))).toEqual([
          'm999',
          'm1000',
          'last',
        ]);
        const everywhere = { atMs: Infinity, seq: Infinity, agent: '' };
        const dead = await engine.deadLetters({ agents: ['worker'], owner: '' }, everywhere, 2_000);
        expect(dead).toHaveLength(996);
        expect(new Set(dead.map(({ reason }) => reason))).toEqual(new Set(['dropped to make room']));
      });

      test('that was full refuses what the same sender has behind, though there is room again meanwhile', async () => {
        await using opened = await open();
        const { engine } = opened;
        const small = box('small', { most: 5 });
        const batch = Array.from({ length: 1_000 }, () => message({}, small));
        const over = new AbortController();
        const sending = send(engine, ...batch).finally(() => over.abort());
        while (!over.signal.aborted)
          for (const { seq, attempt } of await receive(engine, 'small', { most: 5 }))
            // oxlint-disable-line no-await-in-loop -- as long as it is sent
            await settle(engine, { seq, attempt, as: 'acknowledged' }, start, 'small'); // oxlint-disable-line no-await-in-loop -- likewise

        const outcomes = (await sending).map(({ outcome }) => outcome);
        const refused = outcomes.indexOf('full');
        expect(refused).toBeGreaterThan(0);
        expect(new Set(outcomes.slice(0, refused))).toEqual(new Set(['stored']));
        expect(new Set(outcomes.slice(refused))).toEqual(new Set(['full']));
      });

      test('gives out nothing that has expired: it is a dead letter', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message({ expiresAtMs: start + 1_000 }));
        expect(await receive(engine, 'worker', { nowMs: start + 1_000 })).toEqual([]);
        const swept = await engine.sweep(start + 1_000, mostAttempts);
        expect(swept.dead).toMatchObject([
          { agent: 'worker', reason: 'expired', stored: { seq: appended?.seq, envelope: { id: 'm1' } } },
        ]);
        expect(await engine.loads(['worker'])).toEqual([0]);
        expect(await engine.sweep(start + 1_000, mostAttempts)).toMatchObject({ dead: [], isMore: false });
      });

      test('that is dropped has nothing left, and what waited is dead', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [first, second] = await send(engine, message(), message());
        await receive(engine, 'worker', { most: 1 });
        expect(await engine.vacate('worker', [], 'its agent has left', start)).toEqual({
          dead: 2,
          released: 0,
        });
        expect(await engine.loads(['worker'])).toEqual([0]);
        for (const appended of [first, second])
          // oxlint-disable-next-line no-await-in-loop -- two
          expect(await engine.deliveries(appended?.seq ?? 0)).toMatchObject([
            { state: 'dead', reason: 'its agent has left' },
          ]);
      });

      test('that is dropped does not know receipts of before', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [done, given] = await send(engine, message(), message({ source: 'another' }));
        const [doneSeq, givenSeq] = [done?.seq ?? 0, given?.seq ?? 0];
        await receive(engine);
        await settle(engine, { seq: doneSeq, attempt: 1, as: 'acknowledged' });
        await engine.vacate('worker', [], 'its agent has left', start + 1);
        for (const seq of [doneSeq, givenSeq])
          for (const as of ['acknowledged', 'dead'] as const)
            // oxlint-disable-next-line no-await-in-loop -- four
            expect(await settle(engine, { seq, attempt: 1, as, reason: '' }, start + 2)).toBe('unknown');

        const [next] = await send(engine, message());
        await receive(engine, 'worker', { nowMs: start + 2 });
        const receipt = { seq: next?.seq ?? 0, attempt: 1, as: 'acknowledged' } as const;
        expect(await settle(engine, receipt, start + 2)).toBe('done');
        expect(await settle(engine, receipt, start + 2)).toBe('before');
      });

      test('wakes whoever waits for it, and nobody else', async () => {
        await using opened = await open();
        const { engine, arrived } = opened;

        await send(engine, message({}, box('one'), box('two')));
        await expect.poll(() => arrived.toSorted()).toEqual(['one', 'two']);
      });
    });

    describe('a delivery', () => {
      test('comes back when its lease ends, up to so many attempts', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message());
        const found: unknown[] = [];
        for (let attempt = 1; attempt <= mostAttempts; attempt += 1) {
          const nowMs = start + attempt * 100_000;
          /* oxlint-disable no-await-in-loop -- in this order */
          expect(await receive(engine, 'worker', { nowMs, untilMs: nowMs + 1_000 })).toMatchObject([
            { attempt },
          ]);
          expect(await engine.sweep(nowMs + 999, mostAttempts)).toMatchObject({ woken: [], dead: [] });
          const { woken, dead } = await engine.sweep(nowMs + 1_000, mostAttempts);
          /* oxlint-enable no-await-in-loop */
          found.push([...woken, ...dead.map(({ agent, stored }) => `${agent} lost ${stored.seq}`)]);
        }
        const last = (found.at(-1) as string[]).filter((one) => one.includes('lost'));
        expect([...found.slice(0, -1), last]).toEqual([
          ['worker'],
          ['worker'],
          [`worker lost ${appended?.seq}`],
        ]);
        expect(await engine.deliveries(appended?.seq ?? 0)).toMatchObject([
          { state: 'dead', attempts: 3, reason: 'no acknowledgement in 3 attempts' },
        ]);
      });

      test('is settled once', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message());
        const seq = appended?.seq ?? 0;
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' })).toBe('unknown');
        await receive(engine);
        expect(await settle(engine, { seq, attempt: 2, as: 'acknowledged' })).toBe('unknown');
        expect(await settle(engine, { seq: seq + 1, attempt: 1, as: 'acknowledged' })).toBe('unknown');
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' }, start, 'another')).toBe(
          'unknown',
        );
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' })).toBe('done');
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' })).toBe('before');
        expect(await settle(engine, { seq, attempt: 1, as: 'dead', reason: 'no' })).toBe('late');
        expect(await engine.deliveries(seq)).toMatchObject([{ state: 'acknowledged', attempts: 1 }]);
        expect(await engine.loads(['worker'])).toEqual([0]);
      });

      test('whose lease has ended is acknowledged late while nobody else has it', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message());
        const seq = appended?.seq ?? 0;
        await receive(engine, 'worker', { untilMs: start + 1 });
        await engine.sweep(start + 1, mostAttempts);
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' }, start + 2)).toBe('done');
        expect(await receive(engine)).toEqual([]);

        const [next] = await send(engine, message());
        await receive(engine, 'worker', { untilMs: start + 1 });
        await engine.sweep(start + 1, mostAttempts);
        expect(await receive(engine)).toMatchObject([{ attempt: 2 }]);
        expect(await settle(engine, { seq: next?.seq ?? 0, attempt: 1, as: 'acknowledged' })).toBe('late');
        expect(await settle(engine, { seq: next?.seq ?? 0, attempt: 2, as: 'acknowledged' })).toBe('done');
      });

      test('that failed comes again after its delay, and what follows waits for it', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message({ id: 'a1' }), message({ id: 'a2' }));
        const seq = appended?.seq ?? 0;
        await receive(engine, 'worker', { most: 1 });
        const retry = { as: 'retry', atMs: start + 5_000, reason: 'busy', mostAttempts } as const;
        expect(await settle(engine, { seq, attempt: 1, ...retry })).toBe('done');
        expect(await receive(engine)).toEqual([]);
        expect(await engine.deliveries(seq)).toMatchObject([{ state: 'pending', reason: 'busy' }]);
        expect((await engine.sweep(start + 5_000, mostAttempts)).woken).toEqual(['worker']);
        const again = await receive(engine, 'worker', { nowMs: start + 5_000 });
        expect(again).toMatchObject([{ id: 'a1', attempt: 2 }, { id: 'a2' }]);
      });

      test('that failed the last time, or for good, is a dead letter', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [one, two] = await send(engine, message(), message());
        await receive(engine);
        const retry = { as: 'retry', atMs: start, reason: 'busy', mostAttempts: 1 } as const;
        expect(await settle(engine, { seq: one?.seq ?? 0, attempt: 1, ...retry })).toBe('dead');
        expect(await settle(engine, { seq: two?.seq ?? 0, attempt: 1, as: 'dead', reason: 'never' })).toBe(
          'dead',
        );
        expect(await engine.deliveries(two?.seq ?? 0)).toMatchObject([{ state: 'dead', reason: 'never' }]);
      });

      test('is held longer when its lease is extended', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message());
        const seq = appended?.seq ?? 0;
        await receive(engine, 'worker', { untilMs: start + 1_000 });
        expect(await settle(engine, { seq, attempt: 1, as: 'extended', untilMs: start + 9_000 })).toBe(
          'done',
        );
        expect(await engine.sweep(start + 5_000, mostAttempts)).toMatchObject({ woken: [] });
        expect(await engine.sweep(start + 9_000, mostAttempts)).toMatchObject({ woken: ['worker'] });
      });

      test('comes back at once when its receiver is gone', async () => {
        await using opened = await open();
        const { engine } = opened;

        await send(engine, message(), message());
        await receive(engine);
        expect(await engine.release('worker', start, mostAttempts)).toEqual({
          returned: 2,
          dead: [],
          isMore: false,
        });
        expect(await receive(engine)).toMatchObject([
          { id: 'm1', attempt: 2 },
          { id: 'm2', attempt: 2 },
        ]);
        expect(await engine.release('worker', start, 2)).toMatchObject({
          returned: 0,
          dead: [{ stored: { envelope: { id: 'm1' } } }, { stored: { envelope: { id: 'm2' } } }],
        });
      });
    });

    test('what is at work with one that is gone comes back in pieces, when it is much', async () => {
      await using opened = await open();
      const { engine } = opened;
      const batch = Array.from({ length: 1_100 }, () => message({}, box('worker', { most: 2_000 })));
      await send(engine, ...batch);
      while ((await receive(engine, 'worker', { most: 500, isOrdered: false })).length > 0); // oxlint-disable-line no-await-in-loop -- until nothing is left

      const pieces = [];
      do
        pieces.push(await engine.release('worker', start, mostAttempts)); // oxlint-disable-line no-await-in-loop -- piece after piece
      while (pieces.at(-1)?.isMore);
      expect(pieces).toEqual([
        { returned: 500, dead: [], isMore: true },
        { returned: 500, dead: [], isMore: true },
        { returned: 100, dead: [], isMore: false },
      ]);
      expect(await engine.backlog('worker')).toMatchObject({ pending: 1_100, leased: 0 });
    });

    describe('dead letters', () => {
      const newest = { atMs: Infinity, seq: Infinity, agent: '' };

      test('are seen by the sender and the receiver, newest first', async () => {
        await using opened = await open();
        const { engine } = opened;

        const nowhere = { ...message({ owner: 'x' }), mailboxes: [], dead: 'no_route' };
        await engine.append([nowhere], start);
        await engine.append([message({ owner: 'y', expiresAtMs: start })], start + 1);
        await engine.sweep(start + 2, mostAttempts);
        const of = async (agents: string[], owner: string) =>
          (await engine.deadLetters({ agents, owner }, newest, 10)).map(({ stored, agent, reason }) => [
            stored.envelope.id,
            agent,
            reason,
          ]);
        expect(await of([], 'x')).toEqual([['m1', '', 'no_route']]);
        expect(await of([], 'y')).toEqual([['m2', 'worker', 'expired']]);
        expect(await of(['worker'], 'x')).toEqual([
          ['m2', 'worker', 'expired'],
          ['m1', '', 'no_route'],
        ]);
        expect(await of(['worker'], 'z')).toEqual([['m2', 'worker', 'expired']]);
        const [first] = await engine.deadLetters({ agents: ['worker'], owner: 'x' }, newest, 1);
        const rest = await engine.deadLetters({ agents: ['worker'], owner: 'x' }, first ?? newest, 9);
        expect(rest).toMatchObject([{ agent: '' }]);
        expect(await engine.totals()).toMatchObject({ dead: 2 });
      });

      test('are found behind very many of others, and come without bodies', async () => {
        await using opened = await open();
        const { engine } = opened;
        const nowhere = (owner: string) => ({ ...message({ owner }), mailboxes: [], dead: 'no_route' });
        await engine.append([nowhere('x')], start);
        await engine.append(
          Array.from({ length: 1_500 }, () => nowhere('y')),
          start + 1,
        );
        const dead = await engine.deadLetters({ agents: [], owner: 'x' }, newest, 10);
        expect(dead).toMatchObject([{ stored: { seq: 1 } }]);
        expect(dead[0]?.stored).not.toHaveProperty('body');
      });

      test('of very many mailboxes are looked for in pieces', async () => {
        await using opened = await open();
        const { engine } = opened;
        const agents = Array.from({ length: 1_200 }, (_, at) => `agent-${at}`);
        const last = agents.at(-1) as string;
        await engine.append(
          [message({ owner: 'y', expiresAtMs: start }, boxOf('agent-3'), boxOf(last), boxOf('other'))],
          start,
        );
        await engine.append([message({ owner: 'y', expiresAtMs: start }, boxOf(last))], start);
        await engine.sweep(start + 2, mostAttempts);

        const listing = async (before: typeof newest, most: number) =>
          (await engine.deadLetters({ agents, owner: 'x' }, before, most)).map(({ seq, agent }) => [
            seq,
            agent,
          ]);
        expect(await listing(newest, 10)).toEqual([
          [2, last],
          [1, 'agent-3'],
          [1, last],
        ]);
        expect(await listing(newest, 2)).toEqual([
          [2, last],
          [1, 'agent-3'],
        ]);
        expect(await listing({ atMs: start + 2, seq: 1, agent: 'agent-3' }, 10)).toEqual([[1, last]]);
      });

      test('are sent again from the beginning of their attempts, or deleted', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message());
        const seq = appended?.seq ?? 0;
        await receive(engine);
        await settle(engine, { seq, attempt: 1, as: 'dead', reason: 'no' });
        const later = start + 10_000_000;
        expect(await engine.revive({ agent: 'worker', seq }, box('worker'), later + 1_000, later)).toBe(
          'queued',
        );
        expect(await engine.revive({ agent: 'worker', seq }, box('worker'), later + 1_000, later)).toBe(
          'unknown',
        );
        const attempts = { as: 'retry', atMs: later, reason: 'again', mostAttempts: 2 } as const;
        expect(await receive(engine, 'worker', { nowMs: later, untilMs: later + 9 })).toMatchObject([
          { attempt: 2 },
        ]);
        expect(await settle(engine, { seq, attempt: 2, ...attempts }, later)).toBe('done');
        expect(await receive(engine, 'worker', { nowMs: later, untilMs: later + 9 })).toMatchObject([
          { attempt: 3 },
        ]);
        expect(await settle(engine, { seq, attempt: 3, ...attempts }, later)).toBe('dead');

        expect(await engine.bury([{ agent: 'worker', seq }])).toBe(1);
        expect(await engine.bury([{ agent: 'worker', seq }])).toBe(0);
        expect(await engine.deliveries(seq)).toEqual([]);
      });

      test('that had nowhere to go are sent to a mailbox', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await engine.append([{ ...message(), mailboxes: [], dead: 'no_route' }], start);
        const seq = appended?.seq ?? 0;
        expect(
          await engine.revive({ agent: '', seq }, box('worker', { most: 0 }), start + 9_000, start),
        ).toBe('full');
        expect(await engine.revive({ agent: '', seq }, box('worker'), start + 9_000, start)).toBe('queued');
        expect(await engine.deliveries(seq)).toMatchObject([{ agent: 'worker', state: 'pending' }]);
        expect(idsOf(await receive(engine))).toEqual(['m1']);
      });

      test('that are sent to a mailbox where the message is at work leave it there as it is', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [appended] = await send(engine, message({ expiresAtMs: start + 1_000 }, box('a'), box('b')));
        const seq = appended?.seq ?? 0;
        await receive(engine, 'b');
        await engine.sweep(start + 1_000, mostAttempts);
        expect(await engine.revive({ agent: 'a', seq }, box('b'), start + 9_000, start)).toBe('queued');
        expect(await receive(engine, 'b')).toEqual([]);
        expect(await settle(engine, { seq, attempt: 1, as: 'acknowledged' }, start, 'b')).toBe('done');
      });
    });

    describe('what waits', () => {
      test('is told in order, and goes to another mailbox once', async () => {
        await using opened = await open();
        const { engine } = opened;
        const seqs: number[] = [];
        for (const id of ['m1', 'm2', 'm3', 'm4'])
          seqs.push(
            (await send(engine, message({ id, priority: id === 'm3' ? 'high' : 'normal' }, box('a'))))[0]
              ?.seq ?? 0,
          ); // oxlint-disable-line no-await-in-loop -- in order
        const [one = 0, two = 0, three = 0, four = 0] = seqs;
        expect(await engine.queued('a', 0, 10)).toEqual(seqs);
        expect(await engine.queued('a', one, 2)).toEqual([two, three]);
        expect(await engine.queued('nobody', 0, 10)).toEqual([]);

        await receive(engine, 'a', { most: 1 });
        expect(await engine.queued('a', 0, 10)).toEqual([one, two, four]);
        expect(await engine.move({ agent: 'a', seq: three }, box('b'), start)).toBe('unknown');
        expect(await engine.move({ agent: 'a', seq: one }, box('a'), start)).toBe('unknown');
        expect(await engine.move({ agent: 'a', seq: one }, box('b', { most: 0 }), start)).toBe('full');
        expect(await engine.move({ agent: 'a', seq: one }, box('b'), start)).toBe('queued');
        expect(await engine.move({ agent: 'a', seq: one }, box('b'), start)).toBe('unknown');
        expect(await engine.loads(['a', 'b'])).toEqual([3, 1]);
        expect(await engine.deliveries(one)).toMatchObject([{ agent: 'b', state: 'pending', attempts: 0 }]);
        expect(idsOf(await receive(engine, 'b'))).toEqual(['m1']);
        expect(await settle(engine, { seq: one, attempt: 1, as: 'acknowledged' }, start, 'b')).toBe('done');
        expect(await engine.queued('a', 0, 10)).toEqual([two, four]);
      });

      test('is taken to where it was before without a second one', async () => {
        await using opened = await open();
        const { engine } = opened;
        const seq = (await send(engine, message({}, box('a'), box('b'), box('c'))))[0]?.seq ?? 0;
        await receive(engine, 'b');
        await settle(engine, { seq, attempt: 1, as: 'acknowledged' }, start, 'b');

        expect(await engine.move({ agent: 'a', seq }, box('c'), start)).toBe('queued');
        expect(await engine.loads(['a', 'b', 'c'])).toEqual([0, 0, 1]);
        expect(await engine.move({ agent: 'c', seq }, box('b'), start)).toBe('queued');
        expect(await receive(engine, 'b')).toMatchObject([{ attempt: 2 }]);
        expect(await settle(engine, { seq, attempt: 2, as: 'acknowledged' }, start, 'b')).toBe('done');
        // Nothing of it is due any more.
        expect(await engine.trim(start + 86_400_000, 10)).toBe(1);
        expect(await engine.totals()).toMatchObject({ messages: 0, dead: 0 });
      });
    });

    describe('a replay', () => {
      test('brings messages once more, marked, with receipts of their own', async () => {
        await using opened = await open();
        const { engine } = opened;

        const [one, two] = await send(engine, message(), message({}, box('other')));
        const seqs = [one?.seq ?? 0, two?.seq ?? 0];
        await receive(engine);
        await settle(engine, { seq: seqs[0] ?? 0, attempt: 1, as: 'acknowledged' });
        const later = start + 5_000_000;
        expect(await engine.replay(box('worker'), [...seqs, 999_999], later)).toBe(2);
        const again = await receive(engine, 'worker', { nowMs: later, untilMs: later + 1_000 });
        expect(again).toMatchObject([
          { id: 'm1', attempt: 2, isReplay: true },
          { id: 'm2', attempt: 1, isReplay: true },
        ]);
        expect(await settle(engine, { seq: seqs[0] ?? 0, attempt: 1, as: 'acknowledged' }, later)).toBe(
          'late',
        );
        expect(await settle(engine, { seq: seqs[0] ?? 0, attempt: 2, as: 'acknowledged' }, later)).toBe(
          'done',
        );
        // What waits there already stays as it is.
        expect(await engine.replay(box('worker'), seqs.slice(1), later)).toBe(1);
        expect(await engine.loads(['worker'])).toEqual([1]);
        expect(await engine.replay(box('worker', { most: 1 }), seqs.slice(0, 1), later)).toBe(0);
      });
    });

    describe('documents', () => {
      const agent = {
        kind: 'agent',
        key: 'a',
        owner: 'one',
        value: { x: 1 },
        changedAtMs: start,
        expiresAtMs: undefined,
      } as const;

      test('belong to who made them', async () => {
        await using opened = await open();
        const { engine, changes } = opened;

        expect(await engine.put(agent)).toEqual({ done: true, entry: { ...agent, version: 1 } });
        expect(await engine.totals()).toMatchObject({ messages: 0 });
        expect(await engine.put({ ...agent, owner: 'two' })).toMatchObject({
          done: false,
          entry: { owner: 'one' },
        });
        expect(await engine.remove('agent', 'a', 'two')).toBe(false);
        expect(await engine.put({ ...agent, value: 2 })).toMatchObject({ done: true, entry: { version: 2 } });
        expect(await engine.remove('agent', 'a', 'one')).toBe(true);
        expect(await engine.get('agent', 'a', start)).toBeUndefined();
        await engine.current();
        expect(changes).toMatchObject([
          { put: { key: 'a', version: 1, value: { x: 1 } } },
          { put: { key: 'a', version: 2, value: 2 } },
          { removed: { kind: 'agent', key: 'a' } },
        ]);
      });

      test('of an agent that has left take nothing from the one that has the name now', async () => {
        await using opened = await open();
        const { engine } = opened;
        const named = { ...agent, key: 'worker' };
        const subscription = { ...named, kind: 'subscription', key: 'worker:t' } as const;
        const reservation = {
          name: 'file:x',
          agent: 'worker',
          owner: 'one',
          isShared: false,
          reason: '',
          sinceMs: start,
          untilMs: start + 60_000,
        };
        const isFree = { dead: 0, released: 0 };

        await engine.put(named);
        await engine.put(subscription);
        await engine.reserve([reservation], start);
        await send(engine, message());
        expect(await engine.vacate('worker', ['worker:t'], 'it has left', start)).toEqual(isFree);
        expect(await engine.move({ agent: 'worker', seq: 1, hasLeft: true }, box('other'), start)).toBe(
          'unknown',
        );
        expect(await engine.reservations(start)).toHaveLength(1);
        expect(await engine.get('subscription', 'worker:t', start)).toBeDefined();
        expect(await engine.loads(['worker'])).toEqual([1]);

        await engine.remove('agent', 'worker', 'one');
        expect(await engine.vacate('worker', ['worker:t'], 'it has left', start)).toEqual({
          dead: 1,
          released: 1,
        });
        expect(await engine.vacate('worker', ['worker:t'], 'it has left', start)).toEqual(isFree);
        expect(await engine.get('subscription', 'worker:t', start)).toBeUndefined();
      });

      test('of a new agent are not kept while one of the name before has left something', async () => {
        await using opened = await open();
        const { engine } = opened;
        const named = { ...agent, key: 'worker' };
        const nothing = { done: false, entry: { version: 0 } };

        await send(engine, message());
        expect(await engine.put(named)).toMatchObject(nothing);
        await receive(engine);
        expect(await engine.put(named)).toMatchObject(nothing);
        await engine.vacate('worker', [], 'it has left', start);
        expect(await engine.put(named)).toMatchObject({ done: true, entry: { version: 1 } });
        await send(engine, message());
        expect(await engine.put(named)).toMatchObject({ done: true, entry: { version: 2 } });
      });

      test('are changed only from the version that was seen', async () => {
        await using opened = await open();
        const { engine, changes } = opened;

        const shared = { ...agent, kind: 'context' } as const;
        expect(await engine.put(shared, 1)).toMatchObject({ done: false });
        expect(await engine.put(shared, 0)).toMatchObject({ done: true, entry: { version: 1 } });
        expect(await engine.put(shared, 0)).toMatchObject({ done: false, entry: { version: 1 } });
        expect(await engine.put({ ...shared, value: 'two' }, 1)).toMatchObject({ done: true });
        expect(await engine.put({ ...shared, value: 'three' }, 1)).toMatchObject({
          done: false,
          entry: { version: 2, value: 'two' },
        });
        expect(changes).toEqual([]);
      });

      test('that have expired are as if they were not there', async () => {
        await using opened = await open();
        const { engine } = opened;

        await engine.put({ ...agent, kind: 'context', expiresAtMs: start + 10 });
        await engine.put({ ...agent, kind: 'context', key: 'b' });
        expect(await engine.get('context', 'a', start + 9)).toMatchObject({ key: 'a' });
        expect(await engine.get('context', 'a', start + 10)).toBeUndefined();
        const keys = async (after: string, most: number, at: number) =>
          (await engine.list('context', after, most, at)).map(({ key }) => key);
        expect(await keys('', 10, start)).toEqual(['a', 'b']);
        expect(await keys('', 1, start)).toEqual(['a']);
        expect(await keys('a', 10, start)).toEqual(['b']);
        expect(await keys('', 10, start + 10)).toEqual(['b']);
        expect(
          await engine.put({ ...agent, kind: 'context', owner: 'two', changedAtMs: start + 10 }, 0),
        ).toMatchObject({ done: true });
      });

      test('are told to who opens the hub again', async () => {
        await using opened = await open();

        await opened.engine.put(agent);
        await opened.engine.put({ ...agent, kind: 'rule', key: 'r' });
        await opened.engine.put({ ...agent, kind: 'context', key: 'c' });
        await using again = await opened.reopen();
        expect(again.changes).toMatchObject([{ put: { key: 'a', version: 1 } }, { put: { key: 'r' } }]);
      });

      test('count in the quota of their owner', async () => {
        await using opened = await open();
        const { engine } = opened;
        const heldBy = (owner: string) =>
          engine.kept().holdings.find((holding) => holding.owner === owner && holding.items > 0);
        await engine.put({ ...agent, kind: 'context', key: 'k', value: 'x'.repeat(98) });
        expect(heldBy('one')).toEqual({ owner: 'one', items: 1, bytes: 300 });
        await engine.put({ ...agent, kind: 'context', key: 'k', value: 'x'.repeat(8) });
        expect(heldBy('one')).toEqual({ owner: 'one', items: 1, bytes: 210 });
        await engine.remove('context', 'k', 'one');
        expect(heldBy('one')).toBeUndefined();
      });
    });

    describe('reservations', () => {
      const wish = (agent_: string, name_: string, overrides: object = {}) => ({
        name: name_,
        agent: agent_,
        owner: 'token',
        isShared: false,
        reason: 'work',
        sinceMs: start,
        untilMs: start + 1_000,
        ...overrides,
      });

      test('are had by one, until they end', async () => {
        await using opened = await open();
        const { engine } = opened;

        const late = { untilMs: start + 9_000 };
        const first = await engine.reserve([wish('a', 'file:x'), wish('a', 'file:y')], start);
        expect(first).toMatchObject({ made: [{ name: 'file:x' }, { name: 'file:y' }] });
        expect(await engine.reserve([wish('b', 'file:z'), wish('b', 'file:y')], start)).toMatchObject({
          held: [{ name: 'file:y', agent: 'a', reason: 'work' }],
        });
        expect(await engine.reservations(start)).toHaveLength(2);
        // Its own again, with a new fence.
        const again = await engine.reserve([wish('a', 'file:x', { untilMs: start + 5_000 })], start);
        const fences = [first, again].map((one) => ('made' in one ? (one.made[0]?.fence ?? 0) : 0));
        expect(fences[1]).toBeGreaterThan(fences[0] ?? Infinity);
        expect(await engine.reserve([wish('b', 'file:y', late)], start + 1_000)).toMatchObject({
          made: [{}],
        });
        expect(await engine.reserve([wish('b', 'file:x')], start + 1_000)).toMatchObject({ held: [{}] });
        expect(await engine.unreserve('a', ['file:x', 'file:nothing'])).toEqual(['file:x']);
        expect(await engine.reserve([wish('b', 'file:x', late)], start + 1_000)).toMatchObject({
          made: [{}],
        });
        expect((await engine.unreserve('b', undefined)).toSorted()).toEqual(['file:x', 'file:y']);
        expect(await engine.reservations(start)).toEqual([]);
      });

      const overlaps: readonly (readonly [string, string, boolean])[] = [
        ['src/**', 'src/a/b.ts', true],
        ['src/a/b.ts', 'src/**', true],
        ['src/**', 'src/a/**', true],
        ['src/a/**', 'src/**', true],
        ['src/**', 'src', true],
        ['src', 'src/**', true],
        ['src/**', 'srcs/a', false],
        ['src/a', 'src/ab', false],
        ['src/a/**', 'src/b/**', false],
        ['src/0', 'src/a/**', false],
      ];
      test.each(overlaps)('%s and %s overlap: %s', async (held, wanted, isHeld) => {
        await using opened = await open();
        const { engine } = opened;
        await engine.reserve([wish('a', held)], start);
        expect(await engine.reserve([wish('b', wanted)], start)).toMatchObject(
          isHeld ? { held: [{}] } : { made: [{}] },
        );
      });

      test('that are shared are in the way of exclusive ones alone', async () => {
        await using opened = await open();
        const { engine } = opened;

        const shared = { isShared: true };
        expect(await engine.reserve([wish('a', 'x', shared)], start)).toMatchObject({ made: [{}] });
        expect(await engine.reserve([wish('b', 'x', shared)], start)).toMatchObject({ made: [{}] });
        expect(await engine.reserve([wish('c', 'x')], start)).toMatchObject({ held: [{}, {}] });
        await engine.unreserve('a', undefined);
        expect(await engine.reserve([wish('b', 'x')], start)).toMatchObject({ made: [{ isShared: false }] });
        expect(await engine.reserve([wish('c', 'x', shared)], start)).toMatchObject({ held: [{}] });
      });
    });

    test('keeps when each agent was heard of last', async () => {
      await using opened = await open();
      const { engine } = opened;

      for (const name_ of ['a', 'b']) await register(engine, name_); // oxlint-disable-line no-await-in-loop -- two
      await engine.seen(new Map([['a', start + 5]]));
      await engine.seen(new Map([['a', start], ['b', start]])); // prettier-ignore
      expect(await engine.lastSeen()).toEqual(new Map([['a', start + 5], ['b', start]])); // prettier-ignore
    });

    test('keeps nothing of when one was heard of who is not there, or no longer', async () => {
      await using opened = await open();
      const { engine } = opened;

      for (const name_ of ['a', 'b']) await register(engine, name_); // oxlint-disable-line no-await-in-loop -- two
      await engine.seen(new Map([['a', start], ['b', start], ['nobody', start]])); // prettier-ignore
      await engine.remove('agent', 'a', 'one');
      expect(await engine.lastSeen()).toEqual(new Map([['b', start]]));
      // Another hub may have heard of it just before.
      await engine.seen(new Map([['a', start + 1]]));
      await engine.remove('agent', 'b', 'another');
      expect(await engine.lastSeen()).toEqual(new Map([['b', start]]));
    });

    test('knows that a name was left as long as anything is there that was settled before', async () => {
      await using opened = await open();
      const { engine } = opened;

      const [sent] = await send(engine, message({ expiresAtMs: start + 9e9 }, box('a'), box('b')));
      const receipt = { seq: sent?.seq ?? 0, attempt: 1, as: 'acknowledged' } as const;
      await receive(engine, 'a');
      await settle(engine, receipt, start, 'a');
      await engine.vacate('a', [], 'its agent has left', start + 1);
      expect(await engine.trim(start + 8e9, 10)).toBe(0);
      expect(await settle(engine, receipt, start + 8e9, 'a')).toBe('unknown');
    });

    test('says how much waits, the fullest mailbox first', async () => {
      await using opened = await open();
      const { engine } = opened;

      await send(engine, message({}, box('one'), box('two')), message({}, box('two')));
      await receive(engine, 'two', { most: 1 });
      expect(await engine.backlogs(10)).toEqual([
        { agent: 'two', pending: 1, leased: 1, oldestMs: start },
        { agent: 'one', pending: 1, leased: 0, oldestMs: start },
      ]);
      expect(await engine.backlog('one')).toEqual({ agent: 'one', pending: 1, leased: 0, oldestMs: start });
      expect(await engine.backlog('nobody')).toEqual({
        agent: 'nobody',
        pending: 0,
        leased: 0,
        oldestMs: undefined,
      });
      expect(await engine.totals()).toMatchObject({ messages: 2, dead: 0 });
      // The Redis of the tests is set so, to be fast.
      const warnings = await engine.probe();
      expect(warnings.filter((text) => !text.includes('everysec'))).toEqual([]);
    });

    test('refuses nobody for longer because a clock was set back', async () => {
      await using opened = await open({ items: 1, bytes: 1_000_000 });
      const { engine } = opened;
      const sent = await send(engine, message(), message());
      expect(await engine.append([message()], start)).toMatchObject([{ outcome: 'over_quota' }]);
      await receive(engine);
      for (const { seq } of sent) await settle(engine, { seq, attempt: 1, as: 'acknowledged' }); // oxlint-disable-line no-await-in-loop -- two
      expect(await engine.append([message()], start - 3_600_000)).toMatchObject([{ outcome: 'stored' }]);
    });

    test('lets go of the oldest that are settled when a token keeps too much, and refuses when all of it waits', async () => {
      await using opened = await open({ items: 3, bytes: 1_000_000 });
      const { engine } = opened;
      const done = await send(engine, message(), message());
      await receive(engine);
      for (const { seq } of done) await settle(engine, { seq, attempt: 1, as: 'acknowledged' }); // oxlint-disable-line no-await-in-loop -- two
      const outcomes = [];
      for (let number = 0; number < 8; number += 1) {
        const [appended] = await engine.append([message({ body: 'x' })], start + number * 2_000); // oxlint-disable-line no-await-in-loop -- in this order
        outcomes.push(appended?.outcome);
      }
      expect(outcomes.slice(0, 3)).toEqual(['stored', 'stored', 'stored']);
      expect(outcomes.at(-1)).toBe('over_quota');
      expect(await engine.append([message({ owner: 'another' })], start)).toMatchObject([
        { outcome: 'stored' },
      ]);
      expect((await engine.totals()).trimmed).toBe(2);
      // As last known: on Redis once a second.
      await expect.poll(() => engine.kept().holdings[0]?.owner, { timeout: 90_000 }).toBe('sender');
    });
  });
}
