import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { describe, expect, test, vi } from 'vitest';

import { ConfigError, UnavailableError } from '#runtime/errors.ts';

import { surround } from '../../../tests/support/surround.ts';
import type { Engine, Outgoing, Settlement } from './engine.ts';
import { delayMs } from './redis-link.ts';
import { freePort, noRedis, startCluster, startRedis, type RedisServer } from './redis-server.fixture.ts';
import { boxOf, leaseOf as lease, messageOf, start } from './messages.fixture.ts';
import { openHub, type Hub } from './redis.fixture.ts';
import { openSqlite } from './sqlite.ts';
import { isWhole } from '../../../tests/support/trials.ts';

let started: RedisServer | undefined;
const shared = { server: (): RedisServer => started as RedisServer };
surround(noRedis, async () => {
  started = await startRedis();
  return started;
});
let prefixes = 0;
/** Each test has keys of its own. */
const freshPrefix = () => `test-${(prefixes += 1)}`;
const open = async (prefix: string) => openHub(shared.server().url, { prefix });

describe('a start', () => {
  test.each([
    ['', {}, /REDIS_URL must be like/],
    ['http://127.0.0.1', {}, /REDIS_URL must be like/],
    ['redis://', {}, /REDIS_URL must be like/],
    ['redis://:secret@127.0.0.1/x', {}, /REDIS_URL must be like/],
    ['redis://:secret@127.0.0.1/1', { isCluster: true }, /names a database/],
    ['redis://:secret@127.0.0.1,redis://127.0.0.1:1', {}, /several servers/],
  ])('with the settings %s %j is refused', async (url, settings, why) => {
    const failure = await openHub(url, settings).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(String(failure)).toMatch(why);
    expect(String(failure)).not.toContain('secret');
  });

  test('names what the user of REDIS_URL may not do, and never the password', async () => {
    const server = shared.server();
    const users = {
      good: [
        '~{t}*',
        '&{t}*',
        '+@read',
        '+@write',
        '+@scripting',
        '+@pubsub',
        '+@connection',
        '+info',
        '+config|get',
      ],
      silent: ['~{t}*', '&{t}*', '+@read', '+@write', '+@scripting', '+@pubsub', '+@connection', '+info'],
      nokeys: ['~other:*', '&*', '+@all'],
      nochannel: ['~*', 'resetchannels', '+@all'],
      noscripts: ['~*', '&*', '+@all', '-@scripting'],
      readonly: ['~*', '&*', '+@all', '-@write'],
    };
    for (const [name, rights] of Object.entries(users))
      expect(server.say('ACL', 'SETUSER', name, 'on', '>se cret@/', ...rights)).toBe('OK');
    const openAs = async (name: string, password = 'se%20cret%40%2F') =>
      openHub(`redis://${name}:${password}@127.0.0.1:${server.port}`, { prefix: 't' });

    await using good = await openAs('good');
    expect((await good.engine.probe()).join()).not.toMatch(/could not be checked/);
    await using silent = await openAs('silent');
    expect((await silent.engine.probe()).join()).toMatch(/could not be checked.*\+config\|get/);
    await using other = await openAs('good');
    await good.engine.append([messageOf('one', ['a'])], start);
    await vi.waitFor(() => expect(other.arrived).toContain('a'));
    for (const name of ['nokeys', 'nochannel', 'noscripts', 'readonly', 'nobody']) {
      const failure = await openAs(name).catch((error: unknown) => error); // oxlint-disable-line no-await-in-loop -- one after the other
      expect(failure, name).toBeInstanceOf(ConfigError);
      expect(String(failure)).toMatch(name === 'nobody' ? /user and password/ : /~\{t\}\*/);
      expect(String(failure)).not.toMatch(/se.{1,3}cret/);
    }
    const failure = await openAs('good', 'wrongsecret').catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(String(failure)).not.toContain('wrongsecret');
  });

  test('says that a Redis is too old, not a Cluster, or made by another hub', async () => {
    // No old Redis can be had: this one says what one would say.
    const old = createServer((socket) => {
      const info = '# Server\r\nredis_version:6.2.14\r\n';
      socket.on('error', () => {});
      socket.on('data', (data) => {
        for (const [command] of data.toString().matchAll(/info|client|select/gi))
          socket.write(/info/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
      });
    }).listen(0, '127.0.0.1');
    await once(old, 'listening');
    const { port } = old.address() as AddressInfo;
    try {
      await expect(openHub(`redis://127.0.0.1:${port}`)).rejects.toThrow(
        /needs Redis 7 or newer; this one is 6\.2\.14/,
      );
    } finally {
      old.close();
    }
    const { url } = shared.server();
    await expect(openHub(url, { isCluster: true })).rejects.toThrow(/is no Cluster/);
    shared.server().say('HSET', '{other}:meta', 'layout', '99');
    await expect(openHub(url, { prefix: 'other' })).rejects.toThrow(
      /another version of the hub \(layout 99\)/,
    );
  });

  test('fails when nothing answers, and says where it looked', async () => {
    const port = await freePort();
    const failure = await openHub(`redis://:secret@127.0.0.1:${port}`, { startWithinMs: 300 }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(UnavailableError);
    expect(String(failure)).toContain(`127.0.0.1:${port} (ECONNREFUSED)`);
    expect(String(failure)).not.toContain('secret');
  });

  test('goes over TLS, and only to a server whose certificate is trusted', async () => {
    await using plain = await startRedis();
    const [key, certificate] = [join(plain.folder, 'key.pem'), join(plain.folder, 'certificate.pem')];
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout ${key} -out ${certificate}`.split(
        ' ',
      ),
      { stdio: 'ignore' },
    );
    const tlsPort = await freePort();
    const tls = {
      'tls-cert-file': certificate,
      'tls-key-file': key,
      'tls-auth-clients': 'no',
      'tls-port': String(tlsPort),
    };
    for (const [name, value] of Object.entries(tls))
      expect(plain.say('CONFIG', 'SET', name, value)).toBe('OK');
    const url = `rediss://localhost:${tlsPort}`;
    await using hub = await openHub(url, { ca: readFileSync(certificate, 'utf8') });
    expect(await hub.engine.append([messageOf('one', ['a'])], start)).toMatchObject([{ outcome: 'stored' }]);
    await expect(openHub(url)).rejects.toThrow(/TLS to Redis fails: DEPTH_ZERO_SELF_SIGNED_CERT/);
  });
});

describe('several hubs', () => {
  test('hear what another one changes, in order, and wake for what another one sends', async () => {
    const prefix = freshPrefix();
    await using one = await open(prefix);
    await using other = await open(prefix);
    const agent = {
      kind: 'agent',
      owner: 'o',
      value: 1,
      changedAtMs: start,
      expiresAtMs: undefined,
    } as const;
    for (const key of ['a', 'b', 'c']) await one.engine.put({ ...agent, key }); // oxlint-disable-line no-await-in-loop -- in this order
    await one.engine.remove('agent', 'b', 'o');
    await other.engine.current();
    expect(other.changes).toEqual(one.changes);
    expect(other.changes).toMatchObject([{}, {}, {}, { removed: { key: 'b' } }]);

    await one.engine.append([messageOf('m', ['a', 'c'])], start);
    await vi.waitFor(() => expect(other.arrived.toSorted()).toEqual(['a', 'c']));
  });

  test('find by their poll what no message woke them for', async () => {
    const prefix = freshPrefix();
    await using hub = await open(prefix);
    const { server } = shared;
    const root = `{${prefix}}`;
    // As if the messages on the channel were lost.
    const tick = server().say('HINCRBY', `${root}:meta`, 'tick', '1');
    server().say('ZADD', `${root}:arrived`, tick, 'sleeper');
    const number = server().say('HINCRBY', `${root}:meta`, 'change', '1');
    const entry = `1\n${start}\n\n"o"\n{"x":1}`;
    server().say('XADD', `${root}:changes`, `${number}-0`, 'k', 'rule', 'n', 'r', 'v', entry);
    server().say('HSET', `${root}:e:rule`, 'r', entry);
    await vi.waitFor(() => expect(hub.arrived).toEqual(['sleeper']), { timeout: 10_000 });
    expect(hub.changes).toMatchObject([{ put: { key: 'r', value: { x: 1 }, owner: 'o' } }]);

    // Changes that the stream has no more: all is read again, and what is gone is told.
    server().say('HINCRBY', `${root}:meta`, 'change', '5');
    server().say('HDEL', `${root}:e:rule`, 'r');
    server().say('HSET', `${root}:e:type`, 't', entry);
    await hub.engine.current();
    expect(hub.changes.slice(1)).toMatchObject([
      { put: { kind: 'type', key: 't' } },
      { removed: { key: 'r' } },
    ]);
  });

  test('never give one message to two', async () => {
    const prefix = freshPrefix();
    await using one = await open(prefix);
    await using two = await open(prefix);
    await using three = await open(prefix);
    const hubs = [one, two, three];
    const sources = ['x', 'y', 'z'];
    await Promise.all(
      hubs.map(async ({ engine }, index) => {
        const source = sources[index] ?? '';
        const all = Array.from({ length: 300 }, (_, at) =>
          messageOf(`${source}${at}`, ['worker'], { source }),
        );
        await Promise.all(
          [0, 100, 200].map(async (from) => engine.append(all.slice(from, from + 100), start)),
        );
      }),
    );
    const got: string[] = [];
    const work = async ({ engine }: Hub) => {
      for (;;) {
        const delivered = await lease(engine, 'worker', { most: 7, isOrdered: false });
        if (delivered.length === 0) return;
        got.push(...delivered.map(({ stored }) => stored.envelope.id));
        const receipts = delivered.map(({ stored: { seq }, attempt }) => ({
          seq,
          attempt,
          as: 'acknowledged' as const,
        }));
        expect(new Set(await engine.settle('worker', receipts, start))).toEqual(new Set(['done']));
      }
    };
    await Promise.all(hubs.flatMap((hub) => [work(hub), work(hub)]));
    expect(got).toHaveLength(900);
    expect(new Set(got).size).toBe(900);
    expect(await one.engine.loads(['worker'])).toEqual([0]);
  });
});

describe('while Redis is away', () => {
  test('every method fails soon and says when to ask again; afterwards all is as it was', async () => {
    await using server = await startRedis(['--appendfsync', 'always']);
    await using hub = await openHub(server.url);
    const { engine } = hub;
    const agent = {
      kind: 'agent',
      key: 'a',
      owner: 'o',
      value: 1,
      changedAtMs: start,
      expiresAtMs: undefined,
    } as const;
    await engine.put(agent);
    const [sent] = await engine.append([messageOf('one', ['a'])], start);
    await server.kill();
    const asks: readonly (() => Promise<unknown>)[] = [
      async () => engine.current(),
      async () => engine.put(agent),
      async () => engine.remove('agent', 'a', 'o'),
      async () => engine.get('agent', 'a', start),
      async () => engine.list('agent', '', 1, start),
      async () => engine.append([messageOf('two', ['a'])], start),
      async () => lease(engine, 'a'),
      async () => engine.settle('a', [{ seq: 1, attempt: 1, as: 'acknowledged' }], start),
      async () => engine.release('a', start, 3),
      async () => engine.vacate('a', [], 'x', start),
      async () => engine.replay(boxOf('a'), [1], start),
      async () => engine.sweep(start, 3),
      async () => engine.deadLetters({ agents: [], owner: 'o' }, { atMs: start, seq: 1, agent: '' }, 1),
      async () => engine.revive({ agent: 'a', seq: 1 }, boxOf('a'), start, start),
      async () => engine.queued('a', 0, 1),
      async () => engine.move({ agent: 'a', seq: 1 }, boxOf('b'), start),
      async () => engine.bury([{ agent: 'a', seq: 1 }]),
      async () => engine.read({ from: 0, backwards: false, most: 1 }),
      async () => engine.find('sender', 'one'),
      async () => engine.placeAt(start),
      async () => engine.deliveries(1),
      async () => engine.reserve([], start),
      async () => engine.unreserve('a', undefined),
      async () => engine.reservations(start),
      async () => engine.seen(new Map([['a', start]])),
      async () => engine.lastSeen(),
      async () => engine.loads(['a']),
      async () => engine.backlogs(1),
      async () => engine.totals(),
      async () => engine.trim(start, 1),
      async () => engine.probe(),
    ];
    for (const [index, ask] of asks.entries()) {
      const failure = await ask().catch((error: unknown) => error); // oxlint-disable-line no-await-in-loop -- one after the other
      expect(failure, String(index)).toMatchObject({ name: 'ToolError', code: 'unavailable' });
      expect((failure as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(0);
    }
    await server.start();
    await vi.waitFor(async () => expect((await engine.probe()).join()).toMatch(/^$|everysec/), {
      timeout: 30_000,
    });
    expect(await engine.find('sender', 'one')).toMatchObject([{ seq: sent?.seq }]);
    expect(await engine.append([messageOf('one', ['a'])], start)).toMatchObject([{ outcome: 'duplicate' }]);
    expect(await lease(engine, 'a')).toMatchObject([{ stored: { envelope: { id: 'one' } } }]);
    expect(hub.events.join()).toMatch(/redis_away.*redis_back/);
    // The channel is listened to again.
    hub.arrived.length = 0;
    await engine.append([messageOf('three', ['b'])], start);
    await vi.waitFor(() => expect(hub.arrived).toContain('b'), { timeout: 30_000 });
  });

  test('the end of a hub itself is nothing to warn of', async () => {
    const hub = await open(freshPrefix());
    await hub[Symbol.asyncDispose]();
    await expect(hub.engine.loads(['a'])).rejects.toMatchObject({ code: 'unavailable' });
    await expect
      .poll(() =>
        shared
          .server()
          .say('CLIENT', 'LIST')
          .match(/name=flotilla-hub/g),
      )
      .toBeNull();
    expect(hub.events).toEqual([]);
  });

  test('attempts come at growing delays that differ', () => {
    const delays = Array.from({ length: 12 }, (_, attempt) => delayMs(attempt));
    expect(Math.max(...delays)).toBeLessThanOrEqual(10_000);
    expect(delays[11]).toBeGreaterThan(4_999);
    expect(delays[0]).toBeLessThan(51);
    expect(new Set(Array.from({ length: 20 }, () => delayMs(8))).size).toBeGreaterThan(1);
  });

  test('one that is silent is given up, and what was asked fails', async () => {
    await using server = await startRedis();
    await using hub = await openHub(server.url, { silentMs: 300 });
    server.freeze();
    await expect(hub.engine.loads(['a'])).rejects.toMatchObject({ code: 'unavailable' });
  });
});

test('says how a Redis is set that would lose what it acknowledged', async () => {
  await using server = await startRedis();
  server.say('CONFIG', 'SET', 'appendfsync', 'always');
  await using hub = await openHub(server.url);
  expect(await hub.engine.probe()).toEqual([]);
  server.say('CONFIG', 'SET', 'appendfsync', 'everysec');
  await using careless = await openHub(server.url);
  expect((await careless.engine.probe()).join()).toMatch(/everysec.*Set appendfsync always/);
  server.say('CONFIG', 'SET', 'appendfsync', 'no');
  server.say('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await using again = await openHub(server.url);
  expect((await again.engine.probe()).join()).toMatch(/set appendfsync always.*noeviction/);
  server.say('CONFIG', 'SET', 'appendonly', 'no');
  await using third = await openHub(server.url);
  expect((await third.engine.probe()).join()).toMatch(/appendonly yes/);
});

test('a Redis whose memory is full refuses, and loses nothing', async () => {
  await using server = await startRedis();
  await using hub = await openHub(server.url);
  await hub.engine.append([messageOf('one', ['a'])], start);
  server.say('CONFIG', 'SET', 'maxmemory', '1');
  await expect(hub.engine.append([messageOf('two', ['a'])], start)).rejects.toMatchObject({
    code: 'unavailable',
    reason: 'redis OOM',
  });
  server.say('CONFIG', 'SET', 'maxmemory', '0');
  expect(await hub.engine.append([messageOf('two', ['a'])], start)).toMatchObject([{ outcome: 'stored' }]);
  expect(await hub.engine.totals()).toMatchObject({ messages: 2 });
});

test('nothing is kept of names that were left when what they had is gone', async () => {
  const prefix = freshPrefix();
  await using hub = await open(prefix);
  const { engine } = hub;
  const counts = () =>
    [['ZCARD', 'departed'], ['HLEN', 'seen'], ['ZCARD', 'load'], ['ZCARD', 'arrived']].map(
      ([command = '', key = '']) => Number(shared.server().say(command, `{${prefix}}:${key}`)),
    ); // prettier-ignore
  const agent = { kind: 'agent', owner: 'o', value: {}, changedAtMs: start, expiresAtMs: undefined } as const;
  for (const key of ['a', 'b', 'c']) await engine.put({ ...agent, key }); // oxlint-disable-line no-await-in-loop -- three
  await engine.seen(new Map(['a', 'b', 'c'].map((key) => [key, start])));
  await engine.append([messageOf('one', ['a', 'b'])], start);
  expect(counts()).toEqual([0, 3, 2, 2]);
  for (const key of ['a', 'b', 'c']) {
    await engine.remove('agent', key, 'o'); // oxlint-disable-line no-await-in-loop -- three
    await engine.vacate(key, [], 'left', start + 1); // oxlint-disable-line no-await-in-loop -- three
  }
  await engine.trim(start, 10);
  expect(counts()).toEqual([3, 0, 0, 0]);
  await engine.trim(start + 2, 10);
  expect(counts()).toEqual([0, 0, 0, 0]);
});

test('sends its scripts again when Redis has forgotten them', async () => {
  await using hub = await open(freshPrefix());
  await hub.engine.append([messageOf('one', ['a'])], start);
  shared.server().say('SCRIPT', 'FLUSH');
  const both = ['two', 'three'].map(async (id) => hub.engine.append([messageOf(id, ['a'])], start));
  expect(await Promise.all(both)).toMatchObject([[{ outcome: 'stored' }], [{ outcome: 'stored' }]]);
});

test('a Cluster whose master for this mesh is away is waited for, and nothing is lost', async () => {
  await using cluster = await startCluster(['--appendfsync', 'always']);
  await using hub = await openHub(cluster.url, { isCluster: true });
  await using other = await openHub(cluster.url, { isCluster: true });
  const { engine } = hub;
  const sent: string[] = [];
  for (const [number, master] of cluster.masters.entries()) {
    const id = `before ${number}`;
    await engine.append([messageOf(id, ['a'])], start);
    sent.push(id);
    await master.kill();
    await master.start();
    await vi.waitFor(async () => engine.append([messageOf(`after ${number}`, ['a'])], start), {
      timeout: 60_000,
    });
    sent.push(`after ${number}`);
  }
  const got = await vi.waitFor(async () => lease(other.engine, 'a'), { timeout: 60_000 });
  expect(got.map(({ stored }) => stored.envelope.id)).toEqual(sent);
  other.arrived.length = 0;
  await engine.append([messageOf('last', ['b'])], start);
  await vi.waitFor(() => expect(other.arrived).toContain('b'), { timeout: 60_000 });
});

/** Numbers that look random and are the same each time. */
function numbersFrom(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const seeds = isWhole ? 200 : 6;

test.each(Array.from({ length: seeds }, (_, seed) => seed + 1))(
  'answers as the engine on SQLite does, in 400 steps from seed %i',
  async (seed) => {
    await using hub = await open(freshPrefix());
    await using sqlite = openSqlite(
      ':memory:',
      { items: 1_000_000, bytes: 1_000_000_000 },
      { changed() {}, arrived() {} },
    );
    const random = numbersFrom(seed);
    const agents = ['a', 'b', 'c'];
    // Coarse, so that many ends fall on one moment.
    const tickMs = 20;
    const one = <Item>(list: readonly Item[]) => list[random(list.length)] as Item;
    const boxes = {
      a: boxOf('a', { most: 20 }),
      b: boxOf('b', { most: 8, whenFull: 'drop_oldest' }),
      c: boxOf('c', { most: 5, whenFull: 'dead_letter' }),
    } as Readonly<Record<string, ReturnType<typeof boxOf>>>;
    const boxAt = (agent: string) => boxes[agent] as ReturnType<typeof boxOf>;
    let now = start;
    let sent = 0;
    let last = 0;
    const given: { agent: string; seq: number; attempt: number }[] = [];

    /** What both answer, once they agree. */
    async function both<Value>(what: string, ask: (engine: Engine) => Promise<Value>): Promise<Value> {
      const expected = await ask(sqlite);
      expect(await ask(hub.engine), what).toEqual(expected);
      return expected;
    }
    const message = (): Outgoing => {
      const id = random(10) === 0 ? `m${random(sent + 1)}` : `m${(sent += 1)}`;
      const to = agents.filter(() => random(2) === 0);
      const made = messageOf(id, to.map(boxAt), {
        source: one(['x', 'x', 'y']),
        priority: one(['normal', 'normal', 'high']),
        timeMs: now,
        expiresAtMs: now + tickMs * (1 + random(20)),
        correlationId: one(['t1', 't2']),
      });
      return to.length === 0 ? { ...made, dead: 'no_route' } : made;
    };
    const settlement = (receipt: { seq: number; attempt: number }): Settlement =>
      one<Settlement>([
        { ...receipt, as: 'acknowledged' },
        { ...receipt, as: 'acknowledged' },
        { ...receipt, as: 'dead', reason: 'no' },
        { ...receipt, as: 'extended', untilMs: now + tickMs * random(4) },
        {
          ...receipt,
          as: 'retry',
          atMs: now + tickMs * (random(4) - 1),
          reason: 'later, please',
          mostAttempts: 3,
        },
      ]);
    const steps: readonly (() => Promise<unknown>)[] = [
      async () => {
        const messages = Array.from({ length: 1 + random(5) }, message);
        const appended = await both('append', async (engine) => engine.append(messages, now));
        for (const { seq } of appended) last = Math.max(last, seq);
      },
      async () => {
        if (random(4) === 0) now += tickMs;
        const agent = one(agents);
        const wish = {
          agent,
          most: 1 + random(5),
          mostBytes: 1 + random(60),
          untilMs: now + tickMs * random(4),
          nowMs: now,
        };
        const isOrdered = random(4) > 0;
        const got = await both('lease', async (engine) => {
          const delivered = await engine.lease({ ...wish, isOrdered });
          return delivered.map(({ stored: { body, ...rest }, ...others }) => ({
            ...rest,
            ...others,
            text: Buffer.from(body.bytes).toString(),
          }));
        });
        given.push(...got.map(({ seq, attempt }) => ({ agent, seq, attempt })));
      },
      async () => {
        const recent = given.slice(random(2) === 0 ? -8 : 0);
        const { agent, ...receipt } = one([...recent, { agent: 'a', seq: 1 + random(9), attempt: 1 }]);
        const settlements = [settlement(receipt), settlement(receipt)].slice(random(2));
        await both('settle', async (engine) => engine.settle(agent, settlements, now));
      },
      async () => {
        now += tickMs * random(4);
        await both('sweep', async (engine) => {
          const { woken, dead, isMore } = await engine.sweep(now, 3);
          const key = ({ agent, stored }: (typeof dead)[number]) => `${stored.seq} ${agent}`;
          return {
            woken: woken.toSorted(),
            dead: dead.toSorted((left, right) => (key(left) < key(right) ? -1 : 1)),
            isMore,
          };
        });
      },
      async () => both('replay', async (engine) => engine.replay(boxAt(one(['a'])), [1, 2, last], now)),
      async () => {
        const agent = one(['', ...agents]);
        const seq = 1 + random(last + 1);
        // To another one alone where nothing is there yet.
        const to = agent === '' ? 'a' : agent;
        const there = await sqlite.deliveries(seq);
        if (agent === '' && there.some((delivery) => delivery.agent === to)) return;
        await both('revive', async (engine) => engine.revive({ agent, seq }, boxAt(to), now + 200, now));
      },
      async () => {
        const from = { agent: one(agents), seq: 1 + random(last + 1) };
        const to = boxAt(one(agents));
        await both('move', async (engine) => engine.move(from, to, now));
        await both('queued', async (engine) => engine.queued(from.agent, from.seq - 3, 4));
      },
      async () => {
        const dead = { agent: one(['', ...agents]), seq: 1 + random(last + 1) };
        await both('bury', async (engine) => engine.bury([dead]));
      },
      async () => {
        if (random(6) > 0) return;
        const agent = one(agents);
        await both('release', async (engine) => {
          const { returned, dead } = await engine.release(agent, now, 3);
          return {
            returned,
            dead: dead.map(({ stored }) => stored.seq).toSorted((left, right) => left - right),
          };
        });
      },
      async () => {
        if (random(12) === 0) await both('drop', async (engine) => engine.vacate('c', [], 'left', now));
        if (random(12) === 0) await both('trim', async (engine) => engine.trim(now - 100, 3));
      },
    ];
    const look = async (engine: Engine) => {
      const log = await engine.read({ from: 0, backwards: false, most: 1_000 });
      const dead = await engine.deadLetters(
        { agents: ['a', 'b'], owner: 'x' },
        { atMs: Infinity, seq: Infinity, agent: '' },
        1_000,
      );
      return {
        log: log.map(({ seq, envelope }) => [seq, envelope]),
        deliveries: await Promise.all(log.map(async ({ seq }) => engine.deliveries(seq))),
        dead: dead.map(({ agent, seq, reason, atMs }) => [atMs, seq, agent, reason].join(' ')).toSorted(),
        loads: await engine.loads(agents),
        backlogs: await Promise.all(agents.map(async (agent) => engine.backlog(agent))),
        totals: await engine.totals(),
        places: await Promise.all([start, start + 500, now].map(async (at) => engine.placeAt(at))),
        back: (await engine.read({ correlationId: 't1', from: last, backwards: true, most: 20 })).map(
          ({ seq }) => seq,
        ),
      };
    };
    for (let step = 0; step < 400; step += 1) {
      // The first three are what hubs do most.
      await one([...steps, ...steps.slice(0, 3), ...steps.slice(0, 3), ...steps.slice(1, 3)])();
      if (step % 50 === 49) await both('the whole state', look);
    }
  },
);
