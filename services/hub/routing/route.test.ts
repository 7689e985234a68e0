import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { Directory } from '../directory.ts';
import type { Kind } from '../engine/engine.ts';
import type { Envelope } from '../message.ts';
import { topicGlob } from './glob.ts';
import { route, type Circumstances } from './route.ts';

const nowMs = 1_000_000;

const put = (directory: Directory, kind: Kind, key: string, value: unknown, expiresAtMs?: number) =>
  directory.apply({ put: { kind, key, owner: 'token', version: 1, value, changedAtMs: 0, expiresAtMs } });

/** Agents with their capabilities, and whatever else there is. */
function directoryOf(
  agents: Readonly<Record<string, readonly string[]>>,
  {
    subscriptions = [],
    rules = {},
  }: { subscriptions?: readonly object[]; rules?: Readonly<Record<string, object>> } = {},
): Directory {
  const directory = new Directory();
  const complaints = [
    ...Object.entries(agents).map(([name, capabilities]) => put(directory, 'agent', name, { capabilities })),
    ...subscriptions.map((value, at) => put(directory, 'subscription', `s${at}`, value)),
    ...Object.entries(rules).map(([name, value]) => put(directory, 'rule', name, value)),
  ];
  expect(complaints.filter(Boolean)).toEqual([]);
  return directory;
}

const envelopeOf = (given: Partial<Envelope> = {}): Envelope => ({
  id: 'm1',
  type: 'request',
  source: 'anna',
  priority: 'normal',
  timeMs: nowMs,
  expiresAtMs: nowMs + 1,
  correlationId: 'm1',
  ...given,
});

type Loads = Circumstances['loads'];
const idle: Loads = (agents) => Promise.resolve(agents.map(() => 0));
const loaded =
  (loads: Readonly<Record<string, number>>): Loads =>
  (agents) =>
    Promise.resolve(agents.map((name) => loads[name] ?? 0));

/** Who gets it, as `name: by what`. */
async function routed(directory: Directory, given: Partial<Envelope>, body: unknown = {}, loads = idle) {
  const { receivers, reason, unknown, isDead } = await route(directory, envelopeOf(given), body, {
    nowMs,
    loads,
    applies: (owner) => owner === 'token',
  });
  return {
    to: receivers.map(({ agent, why }) => `${agent.key}: ${why.by} ${why.what}`),
    reason,
    unknown,
    isDead,
  };
}
const receiversOf = async (...given: Parameters<typeof routed>) => (await routed(...given)).to;

describe('A message to names', () => {
  const agents = { anna: [], bert: [], cleo: [] };

  test('goes to each agent that it names, once, and to its sender where it names that', async () => {
    expect(await receiversOf(directoryOf(agents), { to: ['bert', 'anna', 'bert'] })).toEqual([
      'bert: name bert',
      'anna: name anna',
    ]);
  });

  test('goes to everybody but its sender when it names *', async () => {
    expect(await receiversOf(directoryOf(agents), { to: ['*'] })).toEqual(['bert: name *', 'cleo: name *']);
    expect(await routed(directoryOf({ anna: [] }), { to: ['*'] })).toMatchObject({
      to: [],
      reason: 'There is no other agent.',
      isDead: true,
    });
  });

  test('tells which of its names nobody has, and is dead when nobody has one', async () => {
    expect(await routed(directoryOf(agents), { to: ['bert', 'ghost'] })).toMatchObject({
      to: ['bert: name bert'],
      unknown: ['ghost'],
      reason: undefined,
      isDead: false,
    });
    expect(await routed(directoryOf(agents), { to: ['ghost', 'spook'] })).toEqual({
      to: [],
      unknown: ['ghost', 'spook'],
      reason: 'No agent has the name ghost, spook.',
      isDead: true,
    });
  });

  test('is looked at by no rule', async () => {
    const directory = directoryOf(agents, { rules: { all: { route_to: { agents: ['cleo'] } } } });

    expect(await receiversOf(directory, { to: ['bert'] })).toEqual(['bert: name bert']);
  });

  test('reaches an agent that is gone, and none whose registration has ended', async () => {
    const directory = directoryOf(agents);
    directory.setGone('bert', true);
    put(directory, 'agent', 'cleo', {}, nowMs);

    expect(await receiversOf(directory, { to: ['bert', 'cleo'] })).toEqual(['bert: name bert']);
  });
});

describe('A message to a capability', () => {
  const agents = { anna: ['review'], bert: ['review', 'test'], cleo: ['review'], dora: [] };

  test('goes to the least loaded agent that has it', async () => {
    expect(
      await receiversOf(
        directoryOf(agents),
        { capability: { name: 'review', pick: 'any' } },
        {},
        loaded({ bert: 2, cleo: 1 }),
      ),
    ).toEqual(['cleo: capability review']);
  });

  test('goes to who was picked longest ago when several are least loaded, also when they are picked at the same time', async () => {
    const directory = directoryOf({ anna: [], bert: ['x'], cleo: ['x'], dora: ['x'] });
    const one = () => receiversOf(directory, { capability: { name: 'x', pick: 'any' } });

    const first = (await Promise.all([one(), one(), one()])).flat();
    expect(first.toSorted()).toEqual(['bert: capability x', 'cleo: capability x', 'dora: capability x']);
    expect([...(await one()), ...(await one()), ...(await one())]).toEqual(first);
    // A change of its entry does not make it new.
    put(directory, 'agent', 'bert', { capabilities: ['x'] });
    expect(await one()).toEqual([first[0]]);
  });

  test('goes to each that has it when all are picked', async () => {
    expect(await receiversOf(directoryOf(agents), { capability: { name: 'review', pick: 'all' } })).toEqual([
      'bert: capability review',
      'cleo: capability review',
    ]);
  });

  test.each([
    ['available before busy', { bert: 'busy' }, [], 'cleo'],
    ['busy before gone', { bert: 'busy' }, ['cleo'], 'bert'],
    ['gone rather than nobody', {}, ['bert', 'cleo'], 'bert'],
    ['available before gone', {}, ['bert'], 'cleo'],
    ['never who is draining', { bert: 'draining' }, ['cleo'], 'cleo'],
    ['nobody when all are draining', { bert: 'draining', cleo: 'draining' }, [], undefined],
  ])('goes to who takes work: %s', async (_, statuses: Readonly<Record<string, string>>, gone, expected) => {
    const directory = directoryOf(agents);
    for (const [name, status] of Object.entries(statuses))
      put(directory, 'agent', name, { capabilities: ['review'], status });
    for (const name of gone) directory.setGone(name, true);

    const { to, isDead } = await routed(directory, { capability: { name: 'review', pick: 'any' } });
    expect(to).toEqual(expected === undefined ? [] : [`${expected}: capability review`]);
    expect(isDead).toBe(expected === undefined);
  });

  test('is dead when only its sender has it, or nobody', async () => {
    for (const name of ['test', 'nothing'])
      expect(
        await routed(directoryOf(agents), { source: 'bert', capability: { name, pick: 'any' } }),
      ).toMatchObject({
        to: [],
        reason: `No other agent that takes work has the capability ${name}.`,
        isDead: true,
      });
  });

  test('goes to nobody who leaves while loads are asked for', async () => {
    const directory = directoryOf(agents);
    const leaving: Loads = (names) => {
      directory.apply({ removed: { kind: 'agent', key: 'bert' } });
      return loaded({ cleo: 9 })(names);
    };

    expect(
      await receiversOf(directory, { capability: { name: 'review', pick: 'any' } }, {}, leaving),
    ).toEqual(['cleo: capability review']);
  });

  test('fails as the question for loads fails', async () => {
    const failing: Loads = () => Promise.reject(new Error('away'));

    await expect(
      routed(directoryOf(agents), { capability: { name: 'review', pick: 'any' } }, {}, failing),
    ).rejects.toThrow('away');
  });
});

describe('A message to a topic', () => {
  const agents = { anna: [], bert: [], cleo: [] };

  test('goes to each agent that listens to it, once, but not to its sender', async () => {
    const directory = directoryOf(agents, {
      subscriptions: [
        { agent: 'anna', topic: 'build.done' },
        { agent: 'bert', topic: 'build.*' },
        { agent: 'bert', topic: '**' },
        { agent: 'cleo', topic: 'build.done' },
        { agent: 'ghost', topic: 'build.done' },
      ],
    });

    expect((await receiversOf(directory, { topic: 'build.done' })).toSorted()).toEqual([
      'bert: topic build.*',
      'cleo: topic build.done',
    ]);
  });

  test('goes only to those whose subscription takes its type, priority and body', async () => {
    const directory = directoryOf(
      { ...agents, dora: [] },
      {
        subscriptions: [
          { agent: 'bert', topic: 't', types: ['error', 'task.*'] },
          { agent: 'cleo', topic: 't', minimum_priority: 'high' },
          { agent: 'dora', topic: 't', match: { 'job.size': { gt: 3 } } },
        ],
      },
    );
    const names = async (given: Partial<Envelope>, body?: unknown) =>
      (await receiversOf(directory, { topic: 't', ...given }, body)).map((text) => text.split(':')[0]);

    expect(await names({ type: 'error' })).toEqual(['bert']);
    expect(await names({ type: 'task.done' })).toEqual(['bert']);
    expect(await names({ priority: 'high' })).toEqual(['cleo']);
    expect(await names({ priority: 'critical' })).toEqual(['cleo']);
    expect(await names({}, { job: { size: 4 } })).toEqual(['dora']);
    expect(await names({}, { job: { size: 3 } })).toEqual([]);
  });

  test('that nobody hears is no dead letter', async () => {
    expect(await routed(directoryOf(agents), { topic: 'nothing' })).toEqual({
      to: [],
      unknown: [],
      reason: 'Nobody listens to the topic nothing.',
      isDead: false,
    });
  });

  test('goes past subscriptions that have ended', async () => {
    const directory = directoryOf(agents);
    put(directory, 'subscription', 's', { agent: 'bert', topic: 't' }, nowMs);
    put(directory, 'subscription', 'u', { agent: 'cleo', topic: 't' }, nowMs + 1);

    expect(await receiversOf(directory, { topic: 't' })).toEqual(['cleo: topic t']);
  });
});

describe('A rule', () => {
  const agents = { anna: [], bert: ['review'], cleo: ['review'], dora: [] };
  const to = { route_to: { agents: ['dora'] } };

  test.each<[string, object, Partial<Envelope>, boolean]>([
    ['without conditions', {}, {}, true],
    ['of its type', { type: 'request' }, {}, true],
    ['of a pattern of types', { type: 're*' }, {}, true],
    ['of another type', { type: 'response' }, {}, false],
    ['of its sender', { source: 'an*' }, {}, true],
    ['of another sender', { source: 'b*' }, {}, false],
    ['of its topic', { target: 'build.**' }, { topic: 'build.done' }, true],
    ['of its capability', { target: 'review' }, { capability: { name: 'review', pick: 'any' } }, true],
    ['of another topic', { target: 'build' }, { topic: 'build.done' }, false],
    ['of any target, where it has none', { target: '**' }, {}, false],
    ['of a lower priority', { minimum_priority: 'low' }, {}, true],
    ['of a higher priority', { minimum_priority: 'high' }, {}, false],
    ['of its body', { match: { size: { gt: 1 } } }, {}, true],
    ['of another body', { match: { size: 1 } }, {}, false],
    ['that is not enabled', { enabled: false }, {}, false],
    [
      'of all of that',
      { type: '*', source: 'anna', target: 't', minimum_priority: 'normal', match: { size: 2 } },
      { topic: 't' },
      true,
    ],
  ])('%s', async (_, conditions, given, fits) => {
    const directory = directoryOf(agents, { rules: { r: { ...conditions, ...to } } });
    const { to: receivers } = await routed(directory, given, { size: 2 });

    expect(receivers.includes('dora: rule r')).toBe(fits);
  });

  test.each([
    ['names, but not back to the sender', { agents: ['bert', 'ghost', 'anna'] }, ['bert']],
    ['all of a capability', { capability: 'review', pick: 'all' }, ['bert', 'cleo']],
    ['the least loaded of a capability', { capability: 'review' }, ['cleo']],
    ['those who listen to a topic', { topic: 'alerts' }, ['dora']],
  ])('leads to %s', async (_, target, expected) => {
    const directory = directoryOf(agents, {
      rules: { r: { route_to: target } },
      subscriptions: [
        { agent: 'dora', topic: 'alerts' },
        { agent: 'anna', topic: 'alerts' },
      ],
    });

    expect((await receiversOf(directory, {}, {}, loaded({ bert: 1 }))).toSorted()).toEqual(
      expected.map((name) => `${name}: rule r`),
    );
  });

  test('that fits comes before a capability and a topic', async () => {
    const directory = directoryOf(agents, {
      rules: { r: to },
      subscriptions: [{ agent: 'cleo', topic: 't' }],
    });

    expect(await receiversOf(directory, { topic: 't' })).toEqual(['dora: rule r']);
    expect(await receiversOf(directory, { capability: { name: 'review', pick: 'all' } })).toEqual([
      'dora: rule r',
    ]);
  });

  test('counts beside all others that fit, and the one of the highest priority is named', async () => {
    const directory = directoryOf(agents, {
      rules: {
        last: { priority: 1, route_to: { agents: ['bert', 'cleo'] } },
        first: { priority: 900, route_to: { agents: ['bert'] } },
        b: { route_to: { agents: ['dora'] } },
        a: { route_to: { agents: ['dora'] } },
      },
    });

    expect(await receiversOf(directory, {})).toEqual(['bert: rule first', 'dora: rule a', 'cleo: rule last']);
  });

  test('counts only for messages that its owner may rule', async () => {
    const directory = directoryOf(agents);
    const put = { kind: 'rule', key: 'r', owner: 'stranger', version: 1, value: to, changedAtMs: 0 } as const;
    directory.apply({ put: { ...put, expiresAtMs: undefined } });

    expect(await receiversOf(directory, {})).toEqual([]);
  });

  test('that leads to a topic is followed by no other rule, so that rules cannot loop', async () => {
    const directory = directoryOf(agents, {
      rules: {
        there: { target: 'a', route_to: { topic: 'b' } },
        back: { target: 'b', route_to: { topic: 'a' } },
      },
      subscriptions: [
        { agent: 'bert', topic: 'a' },
        { agent: 'cleo', topic: 'b' },
      ],
    });

    expect(await receiversOf(directory, { topic: 'a' })).toEqual(['cleo: rule there']);
    expect(await receiversOf(directory, { topic: 'b' })).toEqual(['bert: rule back']);
  });

  test('that fits but leads to nobody makes a dead letter, which names it', async () => {
    const directory = directoryOf(agents, {
      rules: { r: { route_to: { agents: ['ghost'] } }, q: { route_to: { topic: 'nothing' } } },
      subscriptions: [{ agent: 'bert', topic: 't' }],
    });

    expect(await routed(directory, { topic: 't' })).toMatchObject({
      to: [],
      reason: 'Nobody is where the rule q, r leads.',
      isDead: true,
    });
  });

  test.each([
    ['names', { agents: ['anna'] }],
    ['a capability', { capability: 'own' }],
    ['a topic', { topic: 'own' }],
  ])('that leads by %s to nobody else than the sender is as one that does not fit', async (_, target) => {
    const directory = directoryOf(
      { ...agents, anna: ['own'] },
      {
        rules: { r: { route_to: target } },
        subscriptions: [
          { agent: 'anna', topic: 'own' },
          { agent: 'bert', topic: 't' },
        ],
      },
    );

    expect(await receiversOf(directory, { topic: 't' })).toEqual(['bert: topic t']);
  });

  test('stops when it has ended, is changed or removed', async () => {
    const directory = directoryOf(agents, { rules: { r: to } });
    expect(await receiversOf(directory, {})).toEqual(['dora: rule r']);
    put(directory, 'rule', 'r', { type: 'error', ...to });
    expect(await receiversOf(directory, {})).toEqual([]);
    put(directory, 'rule', 'r', to, nowMs);
    expect(await receiversOf(directory, {})).toEqual([]);
    put(directory, 'rule', 'r', to);
    expect(await receiversOf(directory, {})).toEqual(['dora: rule r']);
    directory.apply({ removed: { kind: 'rule', key: 'r' } });
    expect(await receiversOf(directory, {})).toEqual([]);
  });
});

test('A message that names nothing, and that no rule fits, is a dead letter', async () => {
  expect(await routed(directoryOf({ anna: [], bert: [] }), {})).toEqual({
    to: [],
    unknown: [],
    reason: 'It names no agent, capability or topic, and no rule fits it.',
    isDead: true,
  });
});

describe('The directory', () => {
  test.each<[Kind, object, string]>([
    ['agent', { capabilities: ['Upper'] }, 'agent k: ✖ must be in lower case'],
    ['agent', { capabilities: ['a', 'a'] }, 'agent k: ✖ must name each capability once'],
    ['agent', { card: { text: 'x'.repeat(17_000) } }, 'agent k: ✖ must be at most 16 KB of JSON'],
    ['agent', { mailbox: { most: 0 } }, 'agent k: ✖ Too small'],
    ['subscription', { agent: 'a', topic: 'a**' }, 'subscription k: ✖ must have ** alone'],
    ['subscription', { topic: 'a' }, 'subscription k: ✖ Invalid input'],
    ['rule', { route_to: {} }, 'rule k: ✖ must be {"agents": [names]}'],
    ['rule', { route_to: { agents: ['a'], topic: 't' } }, 'rule k: ✖ must be {"agents": [names]}'],
    ['rule', { route_to: { topic: 't.*' } }, 'rule k: ✖'],
    ['type', {}, 'type k: ✖'],
  ])('says what is wrong with a %s like %j, and is as if it were not there', (kind, value, complaint) => {
    const directory = new Directory();
    const good = { agent: {}, subscription: { agent: 'a', topic: 't' }, rule: { route_to: { topic: 't' } } };
    put(directory, kind, 'k', good[kind as keyof typeof good] ?? {});

    expect(put(directory, kind, 'k', value)).toMatch(complaint);
    expect(directory.agents(nowMs)).toEqual([]);
    expect([...directory.subscribedTo('t', nowMs)]).toEqual([]);
    expect(directory.allRules(nowMs)).toEqual([]);
    expect(directory.registeredTypes(nowMs)).toEqual([]);
  });

  test('passes over what is not its business', () => {
    const directory = new Directory();

    expect(put(directory, 'context', 'k', 5)).toBeUndefined();
    expect(directory.apply({ removed: { kind: 'strategy', key: 'k' } })).toBeUndefined();
    expect(directory.apply({ removed: { kind: 'agent', key: 'k' } })).toBeUndefined();
    expect(directory).toEqual(new Directory());
  });

  test('is after any changes as one that was told only how things stand at the end', async () => {
    const name = fc.constantFrom('anna', 'bert', 'cleo');
    const topic = fc.constantFrom('a', 'a.b', 'b');
    const pattern = fc.constantFrom('a', 'a.*', '**', 'b', 'a.b');
    const capability = fc.constantFrom('x', 'y');
    const removed = fc.constant(undefined);
    const change = fc.oneof(
      fc.record({
        kind: fc.constant('agent' as const),
        key: name,
        value: fc.oneof(removed, fc.record({ capabilities: fc.uniqueArray(capability) })),
      }),
      fc.record({
        kind: fc.constant('subscription' as const),
        key: fc.constantFrom('s', 't', 'u'),
        value: fc.oneof(removed, fc.record({ agent: name, topic: pattern })),
      }),
      fc.record({
        kind: fc.constant('rule' as const),
        key: fc.constantFrom('r', 'q'),
        value: fc.oneof(
          removed,
          fc.record({
            enabled: fc.boolean(),
            type: fc.constantFrom('request', 'error', '*'),
            route_to: fc.oneof(
              fc.record({ agents: fc.array(name, { minLength: 1 }) }),
              fc.record({ capability, pick: fc.constant('all') }),
              fc.record({ topic }),
            ),
          }),
        ),
      }),
    );
    const target = fc.oneof(
      fc.record({ to: fc.array(fc.oneof(name, fc.constant('*')), { minLength: 1 }) }),
      fc.record({ capability: fc.record({ name: capability, pick: fc.constant('all' as const) }) }),
      fc.record({ topic }),
      fc.constant({}),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change), target, async (changes, given) => {
        const directory = new Directory();
        const last = new Map<string, (typeof changes)[number]>();
        for (const one of changes) {
          last.set(`${one.kind} ${one.key}`, one);
          if (one.value) put(directory, one.kind, one.key, one.value);
          else directory.apply({ removed: { kind: one.kind, key: one.key } });
          // What is remembered of an earlier state must not stay.
          await routed(directory, {});
        }
        const fresh = new Directory();
        for (const { kind, key, value } of last.values()) if (value) put(fresh, kind, key, value);

        const names = async (one: Directory) => {
          const { to, unknown, isDead } = await routed(one, given);
          return {
            names: to.map((text) => text.split(':')[0] ?? '').toSorted(),
            unknown: unknown.toSorted(),
            isDead,
          };
        };
        expect(await names(directory)).toEqual(await names(fresh));
        const heard = [...directory.subscribedTo('a.b', nowMs)].filter((one) => one !== undefined);
        for (const subscription of heard) expect(topicGlob(subscription.value.topic)('a.b')).toBe(true);
        for (const key of ['anna', 'bert', 'cleo'])
          expect(directory.subscriptionsOf(key, nowMs).length).toBe(fresh.subscriptionsOf(key, nowMs).length);
        for (const one of ['x', 'y'])
          expect(directory.withCapability(one, nowMs).length).toBe(fresh.withCapability(one, nowMs).length);
      }),
    );
  });
});
