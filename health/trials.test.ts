/** Little servers that are killed, hang, lie, are slow and flap, under a poller and canaries as health has them, only faster. */
import { expect, test, vi } from 'vitest';

import { createLog } from '#runtime/account/log.ts';

import { Canaries } from './canary.ts';
import { History } from './history.ts';
import type { Round } from './keeper-thread.ts';
import { littleServer } from './little-servers.fixture.ts';
import { Poller } from './poller.ts';
import { Timeline } from './timeline.ts';

const names = ['memory', 'context', 'git', 'python', 'sqlite', 'filesystem'] as const;
const intervalMs = 250;

async function trial() {
  const stack = new AsyncDisposableStack();
  const servers = await Promise.all(names.map(async (name) => stack.use(await littleServer({}, name))));
  const targets = servers.map(({ name, port }) => ({ name, port, expected: true, isFront: false }));
  const log = createLog('health', 'error', () => {});
  const timeline = new Timeline(Date.now);
  const history = stack.use(new History(':memory:'));
  const canaries = stack.use(
    new Canaries({
      targets,
      secretFor: () => 'fla_x',
      log,
      elapsedMs: timeline.elapsedMs,
      everyMs: 4 * intervalMs,
      againMs: intervalMs / 2,
      deadlines: { listMs: intervalMs, callMs: intervalMs },
    }),
  );
  const keeper = {
    trouble: undefined,
    uptimes: new Map(),
    keep: (round: Round) => history.record(round.atMs, round.samples, round),
  };
  const poller = stack.use(
    new Poller({ targets, self: 'health', keeper, canaries, log, timeline, intervalMs, graceMs: 0 }),
  );
  const owned = stack.move();
  const server = (name: (typeof names)[number]) => servers.find((one) => one.name === name) ?? servers[0];
  return {
    history,
    poller,
    server,
    status: (name: string) => poller.state(name),
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

test('a process that is killed, hangs, lies or is slow is found, with the reason, and comes back when it is well', async () => {
  await using fleet = await trial();
  await vi.waitFor(() => {
    for (const name of names) expect(fleet.status(name)).toMatchObject({ status: 'up' });
    // Each has had a canary.
    for (const name of names) expect(fleet.status(name).canaryMs).toBeGreaterThan(0);
  });

  await fleet.server('memory')?.close();
  Object.assign(fleet.server('context')?.manner ?? {}, { isHanging: true });
  Object.assign(fleet.server('git')?.manner ?? {}, { lists: [] });
  Object.assign(fleet.server('python')?.manner ?? {}, { lateMs: 2 * intervalMs });
  const down = (reason: string) => ({ status: 'down', reason });
  const up = { status: 'up', reason: null };
  // The others too may have been late once, on a busy machine.
  await vi.waitFor(() => {
    const seen = names.map((name) => [name, fleet.status(name)] as const);
    expect(Object.fromEntries(seen.map(([name, { status, reason }]) => [name, { status, reason }]))).toEqual({
      memory: down('connection refused'),
      context: down(`no answer within ${intervalMs * 0.8} ms`),
      git: down('tools/list: it lists no tools, and has 2'),
      python: down(`server/discover: no answer within ${intervalMs / 1_000} s`),
      sqlite: up,
      filesystem: up,
    });
  });
  // Of these the polls alone would say that all is well.
  expect(names.filter((name) => fleet.status(name).canaryDown)).toEqual(['git', 'python']);
  const fallsOf = (name: string) =>
    fleet.history.transitions(0, 1_000).filter((one) => one.to === 'down' && one.name === name);
  // Three lost polls, or three canaries, lie between the last good look and the verdict. A round is kept when it is over.
  for (const [name, leastMs] of [
    ['memory', 2 * intervalMs],
    ['context', 2 * intervalMs],
    ['git', intervalMs],
    ['python', 2 * intervalMs],
  ] as const)
    await vi.waitFor(() => expect(fallsOf(name)[0]?.detectionMs, name).toBeGreaterThan(leastMs));

  Object.assign(fleet.server('context')?.manner ?? {}, { isHanging: false });
  delete fleet.server('git')?.manner.lists;
  delete fleet.server('python')?.manner.lateMs;
  await vi.waitFor(() => {
    for (const name of ['context', 'git', 'python'])
      expect(fleet.status(name)).toMatchObject({ status: 'up', reason: null });
  });
  for (const name of ['context', 'git', 'python'])
    await vi.waitFor(() => expect(fallsOf(name)[0]?.durationMs, name).toBeGreaterThan(0));
});
