import { expect, test, vi } from 'vitest';
import { z } from 'zod';

import { createLog } from '#runtime/account/log.ts';
import { defineService } from '#runtime/service.ts';

import { freePortOffset } from '../scripts/ports.ts';
import { serve } from '../tests/support/serve.ts';
import { History } from './history.ts';
import { Poller, type Target } from './poller.ts';

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

function watch(targets: readonly Target[], now: () => number = Date.now, everyMs = intervalMs) {
  const history = new History(':memory:');
  const logged: string[] = [];
  const log = createLog('health', 'error', (line) => logged.push(line));
  const poller = new Poller({
    targets,
    self: 'health',
    history,
    anchors: { record() {} },
    log,
    now,
    intervalMs: everyMs,
  });
  return {
    poller,
    history,
    logged,
    statusOf: (name: string) => poller.state(name).status,
    async [Symbol.asyncDispose]() {
      await poller[Symbol.asyncDispose]();
      history[Symbol.dispose]();
    },
  };
}

test('before the first round nothing is known, and that is not ready', async () => {
  await using watched = watch([{ name: 'memory', port: 1, expected: true }]);

  expect(watched.statusOf('memory')).toBe('unknown');
  expect(watched.poller.readiness()).toEqual({
    ready: false,
    reasons: ['the first round of polls is not done'],
  });
});

test('a fleet that is up is ready, and its polls are in the history', async () => {
  await using memory = await fixture();
  await using watched = watch([
    { name: 'memory', port: portOf(memory), expected: true },
    { name: 'health', port: 1, expected: true },
  ]);

  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));

  expect(watched.poller.state('memory')).toMatchObject({ status: 'up', uptime: { hour: null, day: null } });
  expect(watched.statusOf('health')).toBe('up');
  expect(watched.history.samples('memory', 0, 1)).toMatchObject([{ result: 'up' }]);
});

test('a process that is coming up is asked again at once, not only when the next round is due', async () => {
  const port = 4321 + (await freePortOffset());
  await using watched = watch([{ name: 'memory', port, expected: true }], Date.now, 60_000);
  await vi.waitFor(() => expect(watched.poller.readiness().reasons).toEqual(['memory has not come up yet']));

  await using _memory = await fixture([], port);

  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
});

test('a process that is not ready is degraded, which leaves the fleet ready', async () => {
  await using memory = await fixture(['no upstream']);
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }]);

  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('degraded'));

  expect(watched.poller.state('memory').reason).toBe('no upstream');
  expect(watched.poller.readiness().ready).toBe(true);
});

test('a process that stops goes down, with when and why, and the fleet is not ready', async () => {
  const memory = await fixture();
  await using watched = watch([{ name: 'memory', port: portOf(memory), expected: true }]);
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('up'));
  const { since: upSince } = watched.poller.state('memory');

  await memory[Symbol.asyncDispose]();
  await vi.waitFor(() => expect(watched.statusOf('memory')).toBe('down'), { timeout: 20_000 });

  const { since, reason } = watched.poller.state('memory');
  expect(reason).toBe('connection refused');
  expect(Date.parse(since ?? '')).toBeGreaterThan(Date.parse(upSince ?? ''));
  expect(watched.poller.readiness()).toEqual({
    ready: false,
    reasons: ['memory is down: connection refused'],
  });
});

test('a process that is not meant to run is absent, counts nowhere, and is up when it runs anyway', async () => {
  await using memory = await fixture();
  await using watched = watch([
    { name: 'memory', port: portOf(memory), expected: false },
    { name: 'dashboard', port: 1, expected: false },
  ]);

  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));

  expect(watched.statusOf('memory')).toBe('up');
  expect(watched.poller.state('dashboard')).toMatchObject({ status: 'absent', reason: null });
  expect(watched.history.samples('dashboard', 0, 1)).toEqual([]);
});

test('polls that have grown old are told', async () => {
  let aheadMs = 0;
  await using watched = watch([{ name: 'health', port: 1, expected: true }], () => Date.now() + aheadMs);
  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));

  aheadMs = 60_000;

  expect(watched.poller.readiness().reasons).toEqual(['the last polls are too old']);
});

test('a history that takes no rows is told, while the polling goes on', async () => {
  await using memory = await fixture();
  const watched = watch([{ name: 'memory', port: portOf(memory), expected: true }]);
  await vi.waitFor(() => expect(watched.poller.readiness().ready).toBe(true));

  watched.history[Symbol.dispose]();
  await vi.waitFor(() =>
    expect(watched.poller.readiness().reasons).toContain('the history cannot be written'),
  );
  const { polledAt } = watched.poller;
  await vi.waitFor(() => expect(watched.poller.polledAt).not.toBe(polledAt));

  expect(watched.statusOf('memory')).toBe('up');
  expect(watched.logged).toHaveLength(1);
  await watched.poller[Symbol.asyncDispose]();
});
