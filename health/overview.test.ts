import { join } from 'node:path';

import { expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import { createLog } from '#runtime/account/log.ts';
import { overviewSchema } from '#runtime/process/overview.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { Calls } from './calls/calls.ts';
import { binCount } from './calls/percentile.ts';
import type { Reading } from './calls/reading.ts';
import { incidentsIn, Overviews, type Sources } from './overview.ts';
import type { ProcessState } from './poller.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');
const minute = 60_000;

const canary = 'flt_canaryCANARYcanaryCANARYcanary';

/** Everything that health has, each part of it from a text of somebody else. */
async function made(changes: Partial<Sources> = {}) {
  const folder = temporaryFolder();
  const clock = { ms: noon };
  const now = () => clock.ms;
  const bins = Array.from({ length: binCount }, (_, bin) => (bin === 2 ? 4 : 0));
  const reading = (tool: string): Reading => ({
    startedAtMs: noon,
    version: '1.0.0',
    memoryBytes: 5,
    cpuMs: 1_000,
    refused: 0,
    answerBytes: new Map([[tool, 400]]),
    series: new Map([[`${tool} `, { tool, error: '', bins }]]),
  });
  const calls = new Calls({
    targets: ['memory', 'gateway'].map((name) => ({ name, port: 0 })),
    file: join(folder.path, 'calls.db'),
    read: async () => reading('search'),
    log: createLog('health', 'error', () => {}),
    now,
    intervalMs: 1_000_000,
  });
  await calls.sweep();
  const state = (name: string): ProcessState => ({
    name,
    status: name === 'memory' ? 'down' : 'up',
    latencyMs: 1,
    reason: name === 'memory' ? `no\u202e answer\n${'x'.repeat(1_000)}` : null,
    since: null,
    flapping: false,
    detectionMs: null,
    canaryMs: null,
    canaryDown: false,
    uptime: { hour: null, day: null },
  });
  const overviews = new Overviews({
    entries: catalogue,
    state,
    polledAt: () => null,
    past: {
      strip: (_name, cells) =>
        Array.from({ length: cells }, (_, cell) => (cell === 0 ? null : { up: 59_999, polls: 60_000 })),
      transitions: () => [],
    },
    calls,
    linesSettled: async () => {},
    lines: () =>
      Array.from({ length: 40 }, (_, index) => ({ time: null, level: null, text: `line ${index}` })),
    backups: () => ({
      lastVerifiedAt: null,
      recoveryPointAgeMs: null,
      archive: `/secret/${canary}`,
      troubles: [],
    }),
    warnings: () => ['look'],
    version: '1.0.0',
    now,
    ...changes,
  });
  return {
    overviews,
    clock,
    async [Symbol.asyncDispose]() {
      await calls[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

test('the document holds to its form, and has no more of anybody’s text than fits', async () => {
  await using here = await made();

  const { text } = await here.overviews.document('memory');

  const overview = overviewSchema.parse(JSON.parse(text));
  const memory = overview.processes.find(({ name }) => name === 'memory');
  expect(memory).toMatchObject({ status: 'down', version: '1.0.0', day: { calls: 4 } });
  expect(memory?.reason).toMatch(/^no answer x+…$/);
  expect(memory?.reason).toHaveLength(500);
  expect(memory?.lines.map((line) => line.text)).toEqual([
    'line 35',
    'line 36',
    'line 37',
    'line 38',
    'line 39',
  ]);
  expect(overview.processes.find(({ name }) => name === 'git')?.lines).toEqual([]);
  expect(overview.detail).toMatchObject({ name: 'memory', lines: { length: 40 } });
  expect(overview.detail?.calls.at(-1)).toBe(4);
  expect(overview.strips).toEqual({
    dayCellMs: 30 * minute,
    dayFrom: '2026-11-19T12:30:00.000Z',
    quarterCellMs: 24 * 60 * minute,
    quarterFrom: '2026-08-23T00:00:00.000Z',
  });
  expect(text).not.toContain(canary);
});

test('a call through the gateway is shown once, where it was done; a share is rounded so that only 1 means all', async () => {
  await using here = await made();

  const { tools, traffic, processes } = await here.overviews.make();

  expect(tools.map(({ name, tool, calls, answerBytes }) => [name, tool, calls, answerBytes])).toEqual([
    ['memory', 'search', 4, 400],
  ]);
  expect(traffic.hour.calls).toBe(4);
  expect(traffic.calls.at(-1)).toBe(4);
  expect(processes[0]?.quarterStrip.slice(0, 2)).toEqual([null, 0.9999]);
});

test('budgets and alerts are told where there are any, in bounds', async () => {
  const evidence = [
    { process: 'memory', manager: '3 restarts', note: null, probe: 'refused', lines: [canary] },
  ];
  const objective = {
    title: 'Core',
    process: null,
    events: 'polls',
    target: 0.999,
    budget: { remaining: 0.5, known: 0.25 },
    windows: { '1h': { burnRate: 2 }, '30d': { errorRatio: 0.0005 } },
  };
  const alert = { kind: 'down', severity: 'page' as const, subject: 'memory', summary: 'x'.repeat(900) };
  await using here = await made({
    objectives: () => [objective],
    alerts: () => Array.from({ length: 99 }, () => ({ ...alert, sinceMs: noon, toldMs: null, evidence })),
  });

  const { budgets, alerts } = overviewSchema.parse(await here.overviews.make());

  expect(budgets).toEqual([
    {
      title: 'Core',
      process: null,
      events: 'polls',
      target: 0.999,
      windowDays: 30,
      known: 0.25,
      good: 0.9995,
      remaining: 0.5,
      burnRate: 2,
    },
  ]);
  expect(alerts).toHaveLength(30);
  expect(alerts?.[0]).toMatchObject({ why: ['memory: 3 restarts'], isQuiet: true });
  expect(alerts?.[0]?.what).toHaveLength(500);
  expect(JSON.stringify(alerts)).not.toContain(canary);
});

test('it is made at most once a second, and anew after a clock was set back', async () => {
  await using here = await made();
  const first = await here.overviews.document();

  here.clock.ms += 999;
  expect(await here.overviews.document()).toBe(first);
  here.clock.ms += 1;
  const second = await here.overviews.document();
  expect(second.etag).not.toBe(first.etag);
  here.clock.ms -= 60 * minute;
  expect(await here.overviews.document()).not.toBe(second);
});

test('what fell and fell further is one incident with the worst of it; a hiccup is none', () => {
  let atMs = noon;
  let from = 'up';
  const step = (to: string, forMs: number, reason: string | null = null, name = 'memory') => {
    const transition = { name, atMs, from, to, reason, endedAtMs: atMs + forMs };
    [atMs, from] = [atMs + forMs, to];
    return transition;
  };
  const transitions = [
    step('degraded', 2_000, 'slow'),
    step('down', 60_000, 'refused'),
    step('degraded', 10_000, 'not ready'),
    step('up', 60_000),
    step('degraded', 1_000, 'lost'),
    step('up', 60_000),
    step('degraded', 20_000, 'full'),
    step('absent', 1_000),
  ];

  expect(incidentsIn(transitions.toReversed())).toEqual([
    {
      name: 'memory',
      at: '2026-11-20T12:03:13.000Z',
      endedAt: '2026-11-20T12:03:33.000Z',
      to: 'degraded',
      reason: 'full',
    },
    {
      name: 'memory',
      at: '2026-11-20T12:00:00.000Z',
      endedAt: '2026-11-20T12:01:12.000Z',
      to: 'down',
      reason: 'refused',
    },
  ]);
});
