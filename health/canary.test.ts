import { createPrivateKey } from 'node:crypto';

import { expect, test, vi } from 'vitest';

import { Assertions, makeSigningKey } from '#runtime/access/assertions.ts';
import { createLog } from '#runtime/account/log.ts';
import { probe } from '#runtime/process/probe.ts';

import context from '../services/context/service.ts';
import memory from '../services/memory/service.ts';
import { serveBehind } from '../tests/support/fronted.ts';
import { Canaries, look, type Asked, type Saying } from './canary.ts';
import { littleServer, type Manner } from './little-servers.fixture.ts';

const never = new AbortController().signal;
const elapsedMs = () => performance.now();
/** A busy machine is slow: only who waits for an answer that does not come waits for little. */
const patient = { listMs: 10_000, callMs: 10_000 };
const impatient = { listMs: 500, callMs: 500 };
const lookAt = async (port: number, saying: Saying, deadlines = patient) =>
  look({ port, isFront: false }, saying, {
    secret: 'fla_x',
    isListed: () => {},
    signal: never,
    deadlines,
    elapsedMs,
  });

const failed = (code: string, message = 'No.') => ({
  result: { content: [], isError: true, _meta: { 'dev.flotilla/error': { code, message } } },
});

test('a process that does its job is up, and is asked for the canary as it says', async () => {
  await using server = await littleServer();

  expect(await lookAt(server.port, server.said)).toMatchObject({ result: 'up', reason: null });
  expect(server.asked.map(({ method }) => method)).toEqual(['server/discover', 'tools/list', 'tools/call']);
  expect(server.asked[2]).toMatchObject({
    authorization: 'Bearer fla_x',
    params: { name: 'peek', arguments: { limit: 1 } },
  });
});

test.each<[string, Manner, string, string]>([
  ['lists nothing', { lists: [] }, 'down', 'tools/list: it lists no tools, and has 2'],
  [
    'lists less than it has',
    { lists: ['peek'] },
    'down',
    'tools/list: it lists 1 tools, which are not the 2 that it has',
  ],
  [
    'lists others',
    { lists: ['peek', 'burn'] },
    'down',
    'tools/list: it lists 2 tools, which are not the 2 that it has',
  ],
  ['answers everything with an error', { status: 500 }, 'down', 'server/discover: it answers 500'],
  ['does not know health', { status: 401 }, 'down', 'server/discover: it answers 401'],
  ['hangs when it lists', { answers: { 'tools/list': null } }, 'down', 'tools/list: no answer within 0.5 s'],
  ['is too slow', { lateMs: 5_000 }, 'down', 'server/discover: no answer within 0.5 s'],
  ['hangs in its canary', { answers: { 'tools/call': null } }, 'down', 'canary peek: no answer within 0.5 s'],
  [
    'offers no tools',
    { answers: { 'server/discover': { result: { capabilities: {} } } } },
    'down',
    'server/discover: it offers no tools',
  ],
  [
    'speaks another protocol',
    { answers: { 'tools/list': { result: 'tools' } } },
    'down',
    'tools/list: its answer is none of the protocol',
  ],
  [
    'answers the list with an error',
    { answers: { 'tools/list': { error: { code: -1, message: 'Not now' } } } },
    'down',
    'tools/list: it answers: Not now',
  ],
  [
    'has a bug in its canary',
    { answers: { 'tools/call': failed('internal', 'Internal error (ref 1).') } },
    'down',
    'canary peek: Internal error (ref 1). (internal)',
  ],
  [
    'forbids its canary',
    { answers: { 'tools/call': failed('forbidden') } },
    'down',
    'canary peek: No. (forbidden)',
  ],
  [
    'fails without a code',
    { answers: { 'tools/call': { result: { content: [], isError: true } } } },
    'down',
    'canary peek: A bug; the reference id finds it in the log. (internal)',
  ],
  [
    'cannot do its job now',
    { answers: { 'tools/call': failed('unavailable', 'The disk is full.') } },
    'not_ready',
    'canary peek: The disk is full. (unavailable)',
  ],
])('a process that %s is not up', async (_title, manner, result, reason) => {
  await using server = await littleServer(manner);

  const deadlines = reason.includes('no answer') ? impatient : patient;
  expect(await lookAt(server.port, server.said, deadlines)).toMatchObject({ result, reason });
});

test.each<[string, Manner]>([
  ['has nothing to read', { answers: { 'tools/call': failed('not_found') } }],
  [
    'reaches outside, where something is away',
    {
      answers: {
        'tools/list': {
          result: {
            tools: ['peek', 'recall'].map((name) => ({ name, annotations: { openWorldHint: true } })),
          },
        },
        'tools/call': failed('unavailable'),
      },
    },
  ],
])('a process that %s does its job', async (_title, manner) => {
  await using server = await littleServer(manner);

  expect(await lookAt(server.port, server.said)).toMatchObject({ result: 'up', reason: null });
});

test('a process that is gone, one that says nothing of itself and one without a canary are told apart', async () => {
  const server = await littleServer();
  expect(await lookAt(server.port, {})).toMatchObject({
    result: 'down',
    reason: 'tools/list: it does not say what it offers',
  });
  const { canary: _canary, ...mcp } = server.said.mcp;
  expect(await lookAt(server.port, { mcp })).toMatchObject({ result: 'up' });
  await server.close();
  expect(await lookAt(server.port, server.said)).toMatchObject({
    result: 'down',
    reason: 'server/discover: connection refused',
  });
});

function canariesOf(targets: readonly Asked[], secretFor: (name: string) => string = () => 'fla_x') {
  const seen: string[] = [];
  const clock = { aheadMs: 0 };
  const canaries = new Canaries({
    targets,
    secretFor,
    log: createLog('health', 'error', () => {}),
    elapsedMs: () => performance.now() + clock.aheadMs,
    looked: (name, { result }) => void seen.push(`${name} ${result}`),
    deadlines: patient,
  });
  return { canaries, seen, pass: (ms: number) => (clock.aheadMs += ms) };
}

test('each process has its place in the minute, and after a failure is asked again soon', async () => {
  await using lying = await littleServer({ lists: [] }, 'memory');
  await using other = await littleServer({}, 'git');
  const { canaries, seen, pass } = canariesOf([
    { name: 'memory', port: lying.port, isFront: false },
    { name: 'git', port: other.port, isFront: false },
  ]);
  await using _all = canaries;
  const answers = () => {
    canaries.answers('memory', lying.said);
    canaries.answers('git', other.said);
    canaries.answers('dashboard', {});
  };
  answers();
  pass(15_100);
  answers();
  await vi.waitFor(() => expect(seen).toEqual(['memory down']));
  expect(canaries.state('memory')).toMatchObject({ run: { status: 'unknown', lost: 1 } });

  for (let lost = 2; lost <= 3; lost++) {
    pass(5_100);
    await vi.waitFor(() => {
      answers();
      expect(canaries.state('memory').run.lost).toBe(lost);
    });
  }
  expect(canaries.state('memory')).toMatchObject({
    run: { status: 'down' },
    reason: 'tools/list: it lists no tools, and has 2',
  });
  expect(seen).toEqual(['memory down', 'memory down', 'memory down']);

  pass(20_000);
  delete lying.manner.lists;
  await vi.waitFor(() => {
    answers();
    expect(seen).toContain('git up');
    expect(canaries.state('memory').run.answered).toBe(1);
  });
  expect(canaries.state('memory')).toMatchObject({ run: { status: 'down' } });
  pass(5_100);
  await vi.waitFor(() => {
    answers();
    expect(canaries.state('memory')).toMatchObject({ run: { status: 'up' }, reason: null });
  });
  const before = seen.length;
  pass(5_100);
  answers();
  expect(canaries.state('memory').run.status).toBe('up');
  expect(seen).toHaveLength(before);

  canaries.fell('memory');
  expect(canaries.state('memory')).toMatchObject({ run: { status: 'unknown' }, goodAtMs: undefined });
});

test('real services and the gateway before them do their job, in the name of health', async () => {
  await using fronted = await serveBehind([memory, context]);
  const { gateway, direct } = fronted;
  const key = createPrivateKey(makeSigningKey(gateway.dataRoot, 'health'));
  const assertions = new Assertions('health', key);
  const all = { ...direct, gateway };
  const targets = Object.entries(all).map(([name, { url }]) => ({
    name,
    port: Number(new URL(url).port),
    isFront: name === 'gateway',
  }));
  const { canaries, pass } = canariesOf(targets, (name) => assertions.ofSelf('read', name, Date.now()));
  await using _all = canaries;
  const round = async () => {
    for (const target of targets) canaries.answers(target.name, await probe(target, 5_000, never));
  };

  await round();
  pass(60_000);
  await vi.waitFor(async () => {
    await round();
    for (const { name } of targets)
      expect({ name, ...canaries.state(name) }).toMatchObject({ name, reason: null, run: { status: 'up' } });
  });
  const records = await fetch(`${gateway.url}/admin/audit`, {
    headers: { authorization: `Bearer ${gateway.token}` },
  });
  expect(records.ok).toBe(true);

  // A gateway that lists less than the services do.
  const front = targets.find(({ isFront }) => isFront);
  await using liar = await littleServer({ lists: ['find_tools'] }, 'gateway');
  const { canaries: others, pass: later } = canariesOf(
    targets.map((target) => (target === front ? { ...target, port: liar.port } : target)),
    (name) => assertions.ofSelf('read', name, Date.now()),
  );
  await using _others = others;
  const roundWithLiar = async () => {
    for (const target of targets) {
      const saying = await probe(target, 5_000, never);
      others.answers(target.name, target === front ? { ...saying, ...liar.said } : saying);
    }
  };
  await roundWithLiar();
  later(60_000);
  await vi.waitFor(async () => {
    await roundWithLiar();
    later(5_100);
    expect(others.state('gateway').reason).toMatch(/^tools\/list: it lacks \d+ tools that services list/);
  });
});
