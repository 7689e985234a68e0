import { expect, test, vi } from 'vitest';
import { z } from 'zod';

import { createLog } from '#runtime/account/log.ts';
import { defineService } from '#runtime/service.ts';

import { freePortOffset } from '../scripts/ports.ts';
import { serve } from '../tests/support/serve.ts';
import type { CanaryState } from './canary.ts';
import { History } from './history.ts';
import type { Round } from './keeper-thread.ts';
import { Poller, type Target } from './poller.ts';
import { Timeline } from './timeline.ts';
import { afterLook, noRun } from './verdict.ts';

const intervalMs = 200;
const portOf = (served: { readonly url: string }) => Number(new URL(served.url).port);

/** A real process of the fleet, without tools; not ready while `trouble` says why. */
async function fixture(trouble: string[] = [], port = 0) {
  return serve(
    defineService({
      name: 'memory',
      settings: z.object({}),
      open: () => ({}),
      check: () => ({ ready: trouble.length === 0, reasons: trouble }),
    }),
    {},
    port,
  );
}

interface Chosen {
  readonly history?: History;
  readonly timeline?: Timeline;
  readonly everyMs?: number;
  readonly graceMs?: number;
  readonly canaries?: ConstructorParameters<typeof Poller>[0]['canaries'];
}

function watch(
  targets: readonly Target[],
  {
    history = new History(':memory:'),
    timeline = new Timeline(Date.now),
    everyMs = intervalMs,
    graceMs = 5_000,
    canaries,
  }: Chosen = {},
) {
  const rounds: Round[] = [];
  const keeper = {
    trouble: undefined as string | undefined,
    uptimes: new Map(),
    keep(round: Round) {
      rounds.push(round);
      history.record(round.atMs, round.samples, round);
    },
  };
  const delays: number[] = [];
  const poller = new Poller({
    targets,
    self: 'health',
    keeper,
    history,
    canaries,
    log: createLog('health', 'error', () => {}),
    timeline,
    watcher: { delayed: (delayMs) => delays.push(delayMs) },
    intervalMs: everyMs,
    graceMs,
  });
  return {
    poller,
    history,
    keeper,
    rounds,
    delays,
    statusOf: (name: string) => poller.state(name).status,
    async [Symbol.asyncDispose]() {
      await poller[Symbol.asyncDispose]();
      history[Symbol.dispose]();
    },
  };
}

const settled = async (watched: ReturnType<typeof watch>) =>
  vi.waitFor(() => expect(watched.rounds.length).toBeGreaterThan(1));

test('before the first round nothing is known, and that is not ready', async () => {
  await using watched = watch([{ name: 'memory', port: 1, expected: true }]);

  expect(watched.statusOf('memory')).toBe('unknown');
  expect(watched.poller.readiness()).toEqual({
    ready: false,
    reasons: ['the first round of polls is not done'],
    warnings: [],
  });
});

test('a fleet that is up is ready without warnings, and its polls are in the history', async () => {
  await using memory = await fixture();
  await using watched = watch([
    { name: 'memory', port: portOf(memory), expected: true },
    { name: 'health', port: 1, expected: true },
  ]);

  await settled(watched);

  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  expect(watched.poller.readiness()).toEqual({ ready: true, reasons: [], warnings: [] });
  expect(watched.poller.state('memory')).toMatchObject({ status: 'up', uptime: { hour: null, day: null } });
  expect(watched.statusOf('health')).toBe('up');
  expect(watched.history.samples('memory', 0, 1)).toMatchObject([{ result: 'up' }]);
  expect(Math.min(...watched.delays)).toBeGreaterThanOrEqual(0);
});

test('a process that is coming up is asked again at once, not only when the next round is due', async () => {
  const port = 4321 + (await freePortOffset());
  await using watched = watch([{ name: 'memory', port, expected: true }], { everyMs: 60_000 });
  await vi.waitFor(() => expect(watched.poller.readiness().warnings).toEqual(['memory has not come up yet']));

  await using _memory = await fixture([], port);

  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  expect(watched.history.transitions(0, 10)).toMatchObject([{ from: 'unknown', to: 'up' }]);
});

test('a process that is not ready is degraded', async () => {
  await using memory = await fixture(['no upstream']);
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }]);

  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('degraded'));

  expect(watched.poller.state('memory').reason).toBe('no upstream');
  expect(watched.poller.readiness()).toMatchObject({ ready: true, warnings: [] });
});

test('a process that stops goes down with the third lost poll, and comes back with the second good one', async () => {
  const memory = await fixture();
  const port = portOf(memory);
  await using watched = watch([{ name: 'memory', port, expected: true }]);
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  const { since: upSince } = watched.poller.state('memory');

  await memory[Symbol.asyncDispose]();
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('down'), { timeout: 20_000 });

  const { since, reason, detectionMs } = watched.poller.state('memory');
  expect(reason).toBe('connection refused');
  expect(Date.parse(since ?? '')).toBeGreaterThan(Date.parse(upSince ?? ''));
  // From the last good poll to the third lost one.
  expect(detectionMs).toBeGreaterThan(2 * intervalMs);
  expect(watched.poller.readiness()).toMatchObject({
    ready: true,
    reasons: [],
    warnings: ['memory is down: connection refused'],
  });

  await using _again = await fixture([], port);
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'), { timeout: 20_000 });
  const results = watched.rounds.flatMap(({ samples }) => samples.map(({ result }) => result)).join(' ');
  expect(results).toMatch(/up(?: down){3,} up up/);
  const transitions = watched.history.transitions(0, 100).toReversed();
  expect(transitions.map(({ from, to }) => `${from} ${to}`).join(', ')).toMatch(
    /^unknown up, .*up degraded, degraded down, down up/,
  );
  const fall = transitions.find(({ to }) => to === 'down');
  expect(fall).toMatchObject({ reason: 'connection refused', detectionMs });
  expect(fall?.durationMs).toBeGreaterThan(0);
});

test('a process that is not meant to run is absent, counts nowhere, and is up when it runs anyway', async () => {
  await using memory = await fixture();
  await using watched = watch([
    { name: 'memory', port: portOf(memory), expected: false },
    { name: 'dashboard', port: 1, expected: false },
  ]);

  await settled(watched);

  expect(watched.statusOf('memory')).toBe('up');
  expect(watched.poller.state('dashboard')).toMatchObject({ status: 'absent', reason: null });
  expect(watched.history.samples('dashboard', 0, 1)).toEqual([]);
});

test('polls that have grown old are told, and a clock that is set makes none old', async () => {
  const ahead = { elapsedMs: 0, clockMs: 0 };
  const timeline = new Timeline(
    () => Date.now() + ahead.clockMs,
    () => performance.now() + ahead.elapsedMs,
  );
  await using watched = watch([{ name: 'health', port: 1, expected: true }], { timeline, everyMs: 60_000 });
  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));
  const before = watched.poller.state('health').since ?? '';

  ahead.clockMs = -7_200_000;
  expect(watched.poller.readiness().reasons).toEqual([]);
  expect(Date.parse(before) - Date.parse(watched.poller.state('health').since ?? '')).toBeGreaterThan(
    7_100_000,
  );
  ahead.elapsedMs = 300_000;
  expect(watched.poller.readiness().reasons).toEqual(['the last polls are too old']);
});

test('a history that takes no rows is told, while the polling goes on', async () => {
  await using memory = await fixture();
  await using watched = watch([
    { name: 'memory', port: portOf(memory), expected: true },
    { name: 'health', port: 1, expected: true },
  ]);
  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));

  watched.keeper.trouble = 'the history cannot be written';

  expect(watched.poller.readiness()).toMatchObject({
    ready: false,
    reasons: ['the history cannot be written'],
  });
  await vi.waitFor(() => expect(watched.statusOf('health')).toBe('degraded'));
  expect(watched.statusOf('memory')).toBe('up');
});

test('health that was started again goes on with a status that it left a moment ago', async () => {
  await using memory = await fixture();
  const history = new History(':memory:');
  const hourAgo = Date.now() - 3_600_000;
  const up = {
    name: 'memory',
    from: 'unknown',
    to: 'up',
    reason: null,
    detectionMs: null,
    heldMs: null,
  } as const;
  history.record(hourAgo, [], { changes: [{ ...up, atMs: hourAgo }] });
  history.record(Date.now() - 2_000, [{ name: 'memory', result: 'up', latencyMs: 1, reason: null }]);
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }], { history });

  await settled(watched);

  expect(Math.abs(Date.parse(watched.poller.state('memory').since ?? '') - hourAgo)).toBeLessThan(60_000);
  expect(history.transitions(0, 10)).toHaveLength(1);
});

test('a process that lies is down although its polls are good, and its history says so', async () => {
  await using memory = await fixture();
  let said: CanaryState = { run: noRun, reason: null, durationMs: null, goodAtMs: performance.now() };
  const heard = { answers: 0, fell: 0 };
  const canaries = {
    answers: () => void (heard.answers += 1),
    fell: () => void (heard.fell += 1),
    state: () => said,
  };
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }], { canaries });
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));

  let run = afterLook(afterLook(noRun, 'up'), 'down');
  said = { ...said, run, reason: 'tools/list: it lists no tools' };
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('degraded'));
  run = afterLook(afterLook(run, 'down'), 'down');
  said = { ...said, run };
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('down'));

  expect(watched.poller.state('memory').reason).toBe('tools/list: it lists no tools');
  const rounds = watched.rounds.length;
  await vi.waitFor(() => expect(watched.rounds.length).toBeGreaterThan(rounds));
  expect(watched.rounds.at(-1)?.samples[0]).toMatchObject({
    result: 'down',
    reason: 'tools/list: it lists no tools',
  });
  expect(watched.history.transitions(0, 1)[0]?.detectionMs).toBeGreaterThan(0);
  expect(heard.answers).toBeGreaterThan(2);
  expect(heard.fell).toBe(0);
});

test('a process whose status changes again and again is flapping, until it has been calm', async () => {
  const trouble: string[] = [];
  let aheadMs = 0;
  await using memory = await fixture(trouble);
  const timeline = new Timeline(
    () => Date.now() + aheadMs,
    () => performance.now() + aheadMs,
  );
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }], {
    timeline,
    everyMs: 150,
  });
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  expect(watched.poller.state('memory').flapping).toBe(false);
  for (let turn = 0; turn < 4; turn++) {
    trouble.push('busy');
    await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('degraded'));
    trouble.pop();
    await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  }

  expect(watched.poller.state('memory').flapping).toBe(true);
  expect(watched.poller.readiness().warnings).toEqual(['memory changes again and again']);
  expect(watched.poller.changes).toBeGreaterThanOrEqual(8);
  aheadMs = 600_000;
  await vi.waitFor(() => expect(watched.poller.state('memory').flapping).toBe(false));
});
