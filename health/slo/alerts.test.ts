import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { Alerts, type News } from './alerts.ts';
import { AlertStore } from './alert-store.ts';
import { findingsIn, type Facts, type Finding, type Found, type ProcessFacts } from './findings.ts';
import { windowNames, type Windows } from './burn.ts';
import type { Objective } from './objectives.ts';

const startMs = Date.UTC(2026, 10, 29, 12);
const minuteMs = 60_000;

const finding = (key: string, more: Partial<Finding> = {}): Finding => ({
  key,
  kind: 'down',
  severity: 'page',
  subject: 'memory',
  summary: 'memory is down: connection refused',
  sinceMs: startMs - 10_000,
  processes: ['memory'],
  ...more,
});
const found = (...findings: readonly Finding[]): Found => ({ findings, unknown: [] });
const down = finding('down memory');

interface Given {
  readonly file?: string;
  readonly remindMs?: number;
  readonly isQuiet?: (processes: readonly string[], nowMs: number) => boolean;
  readonly nowMs?: number;
}

/** Alerts with what they told, and how often something was looked into. */
function watched({ file = ':memory:', remindMs = 0, isQuiet = () => false, nowMs = startMs }: Given = {}) {
  const logged: string[] = [];
  const told: News[] = [];
  const lookedInto: string[] = [];
  const note = (event: string) => void logged.push(event);
  const log = { info: note, warn: note, error: note };
  const store = new AlertStore(file, log);
  const alerts = new Alerts(
    {
      store,
      log,
      remindMs,
      isQuiet,
      evidenceOf: async (processes) => {
        lookedInto.push(...processes);
        return processes.map((process) => ({
          process,
          probe: 'refused',
          manager: 'restarted twice',
          lines: ['last words'],
          note: null,
        }));
      },
      tell: (news) => {
        told.push(news);
        return [];
      },
    },
    nowMs,
  );
  return {
    alerts,
    store,
    logged,
    lookedInto,
    events: () =>
      told.map(({ event, alerts: about }) => `${event} ${about.map(({ key }) => key).join(', ')}`),
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}

test('what is found again and again is one alert, told once, with what was found about it', async () => {
  using it = watched();

  for (let second = 0; second < 600; second += 5) await it.alerts.take(found(down), startMs + second * 1_000);

  expect(it.events()).toEqual(['opened down memory']);
  expect(it.logged).toEqual(['alert_opened']);
  expect(it.lookedInto).toEqual(['memory']);
  expect(it.alerts.open()).toMatchObject([
    {
      id: 1,
      key: 'down memory',
      severity: 'page',
      sinceMs: startMs - 10_000,
      resolvedMs: null,
      evidence: [{ manager: 'restarted twice', lines: ['last words'] }],
    },
  ]);
});

test('an open one tells how it is now, without a message for each change of words', async () => {
  using it = watched();
  await it.alerts.take(found(finding('file', { kind: 'file', summary: 'a.yaml: no target' })), startMs);
  const opened = it.alerts.open().length;
  const later = startMs + 10 * minuteMs;
  await it.alerts.take(found(finding('file', { kind: 'file', summary: 'b.yaml: no target' })), later);

  expect(opened).toBe(1);
  expect(it.alerts.open()).toMatchObject([{ summary: 'b.yaml: no target' }]);
  expect(it.events()).toEqual(['opened file']);
});

test('it is resolved when it was well for a while, and no sooner: flapping is one alert', async () => {
  using it = watched();
  await it.alerts.take(found(down), startMs);
  for (let second = 10; second < 300; second += 10)
    await it.alerts.take(second % 50 === 0 ? found(down) : found(), startMs + second * 1_000);
  expect(it.events()).toEqual(['opened down memory']);

  await it.alerts.take(found(), startMs + 309_000);
  expect(it.alerts.open()).toHaveLength(1);
  await it.alerts.take(found(), startMs + 310_000);

  expect(it.events()).toEqual(['opened down memory', 'resolved down memory']);
  expect(it.alerts.open()).toEqual([]);
  expect(it.alerts.history(startMs, 10)).toMatchObject([
    { id: 1, openedMs: startMs, resolvedMs: startMs + 310_000 },
  ]);
  expect(it.logged).toEqual(['alert_opened', 'alert_resolved']);
});

test('what nobody can say now stays as it was', async () => {
  using it = watched();
  await it.alerts.take(found(down), startMs);
  for (let minute = 1; minute < 60; minute += 1)
    await it.alerts.take({ findings: [], unknown: ['down memory'] }, startMs + minute * minuteMs);

  expect(it.alerts.open()).toHaveLength(1);
});

test('what comes at the same time is one message, and says the worst first', async () => {
  using it = watched();
  const low = finding('disk', { severity: 'ticket', kind: 'burn', subject: 'disk', processes: [] });
  await it.alerts.take(found(low, down, finding('down git')), startMs);

  expect(it.events()).toEqual(['opened disk, down memory, down git']);
  expect(it.alerts.open().map(({ severity }) => severity)).toEqual(['page', 'page', 'ticket']);
});

test('who falls and comes back is no alert', async () => {
  using it = watched();
  for (const afterMs of [0, 5_000, 9_000])
    await it.alerts.take(found(finding('down memory', { sinceMs: startMs })), startMs + afterMs);
  await it.alerts.take(found(), startMs + 10_000);
  await it.alerts.take(found(), startMs + 120_000);

  expect(it.events()).toEqual([]);
});

test('who is degraded for a moment is no alert', async () => {
  using it = watched();
  const degraded = (sinceMs: number) =>
    finding('degraded memory', { kind: 'degraded', severity: 'ticket', sinceMs });

  await it.alerts.take(found(degraded(startMs)), startMs + 60_000);
  await it.alerts.take(found(), startMs + 70_000);
  await it.alerts.take(found(degraded(startMs + 190_000)), startMs + 200_000);
  expect(it.events()).toEqual([]);
  await it.alerts.take(found(degraded(startMs + 190_000)), startMs + 310_000);

  expect(it.events()).toEqual(['opened degraded memory']);
  expect(it.alerts.open()).toMatchObject([{ sinceMs: startMs + 190_000, openedMs: startMs + 310_000 }]);
});

test('a ticket that becomes a page is told again, a page that becomes a ticket is not', async () => {
  using it = watched();
  const disk = (severity: 'page' | 'ticket') =>
    finding('disk', { kind: 'disk', severity, sinceMs: startMs - minuteMs });
  await it.alerts.take(found(disk('ticket')), startMs);
  await it.alerts.take(found(disk('page')), startMs + minuteMs);
  await it.alerts.take(found(disk('ticket')), startMs + 2 * minuteMs);

  expect(it.events()).toEqual(['opened disk', 'worse disk']);
  expect(it.alerts.open()).toMatchObject([{ id: 1, severity: 'page' }]);
});

test.each([
  [0, []],
  [60 * minuteMs, ['reminder down memory', 'reminder down memory']],
])('reminders come after %i ms each, never sooner', async (remindMs, reminders) => {
  using it = watched({ remindMs });
  for (let minute = 0; minute < 150; minute += 1)
    await it.alerts.take(found(down), startMs + minute * minuteMs);

  expect(it.events()).toEqual(['opened down memory', ...reminders]);
});

test('in a maintenance window it is written down and not told; when the window ends it is told if it is so still', async () => {
  let isQuiet = true;
  using it = watched({ isQuiet: () => isQuiet, remindMs: minuteMs * 5 });
  await it.alerts.take(found(down, finding('down git')), startMs);
  await it.alerts.take(found(down), startMs + 10 * minuteMs);
  await it.alerts.take(found(down), startMs + 12 * minuteMs);
  expect(it.events()).toEqual([]);
  expect(it.alerts.open()).toMatchObject([{ key: 'down memory', toldMs: null }]);
  expect(it.alerts.history(0, 10)).toMatchObject([{ key: 'down git', toldMs: null }]);

  isQuiet = false;
  await it.alerts.take(found(down), startMs + 13 * minuteMs);
  isQuiet = true;
  await it.alerts.take(found(down), startMs + 30 * minuteMs);
  await it.alerts.take(found(), startMs + 32 * minuteMs);

  // Of one that was told, the end is told too.
  expect(it.events()).toEqual(['opened down memory', 'resolved down memory']);
});

test('a restart forgets nothing, and resolves nothing before it knows', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'alerts.db');
  {
    using before = watched({ file });
    await before.alerts.take(found(down), startMs);
  }
  using it = watched({ file, nowMs: startMs + 10 * minuteMs });
  await it.alerts.take(found(), startMs + 10 * minuteMs + 5_000);
  expect(it.alerts.open()).toMatchObject([{ id: 1, evidence: [{ process: 'memory' }] }]);
  await it.alerts.take(found(down), startMs + 10 * minuteMs + 50_000);
  await it.alerts.take(found(), startMs + 11 * minuteMs + 50_000);

  expect(it.events()).toEqual(['resolved down memory']);
  await it.alerts.take(found(down), startMs + 20 * minuteMs);
  expect(it.alerts.open()).toMatchObject([{ id: 2 }]);
});

test('a clock that is set back opens nothing twice, and does not keep open what is well', async () => {
  using it = watched();
  await it.alerts.take(found(down), startMs);
  await it.alerts.take(found(down), startMs - 3_600_000);
  await it.alerts.take(found(), startMs - 3_540_000);

  expect(it.events()).toEqual(['opened down memory', 'resolved down memory']);
});

test('a disk that takes nothing ends no alert: it is told at once, and written when there is room', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'alerts.db');
  using it = watched({ file });
  it.store.database.pragma('max_page_count = 1');

  await it.alerts.take(
    found(
      down,
      ...Array.from({ length: 50 }, (_, index) => finding(`down x${index}`, { summary: 'x'.repeat(2_000) })),
    ),
    startMs,
  );
  expect(it.events()).toHaveLength(1);
  expect(it.store.isKept).toBe(false);
  expect(it.logged).toContain('alerts_not_written');
  it.store.database.pragma('max_page_count = 1000000');
  await it.alerts.take(found(down), startMs + 1_000);

  expect(it.store.isKept).toBe(true);
  using again = watched({ file });
  expect(again.alerts.open()).toHaveLength(51);
});

const process = (more: Partial<ProcessFacts>): ProcessFacts => ({
  name: 'memory',
  status: 'up',
  reason: null,
  since: new Date(startMs).toISOString(),
  ...more,
});
const objective: Objective = {
  id: 'core-memory',
  slo: 'core',
  title: 'Core services do their job: memory',
  description: '',
  target: 0.999,
  measure: { count: 'polls' },
  mostSevere: 'page',
  process: 'memory',
  processes: ['memory'],
};
const windowsOf = (bad: number, knownMs = 30 * 86_400_000) =>
  Object.fromEntries(
    windowNames.map((name) => [name, { good: 1_000 - bad, total: 1_000, knownMs }]),
  ) as unknown as Windows;
const nothing: Facts = {
  processes: [],
  objectives: [],
  backupTroubles: [],
  auditTroubles: [],
  disk: { folder: '/data', freeBytes: 10e9, sizeBytes: 100e9 },
  fileTroubles: [],
};
const keysOf = (facts: Partial<Facts>) =>
  findingsIn({ ...nothing, ...facts }).findings.map(({ key, severity }) => `${severity} ${key}`);

test('what is not well is found, with its severity', () => {
  expect(keysOf({})).toEqual([]);
  expect(
    keysOf({
      processes: [
        process({}),
        process({ name: 'git', status: 'down' }),
        process({ name: 'python', status: 'degraded' }),
        process({ name: 'sqlite', status: 'absent' }),
        process({ name: 'logging', flapping: true }),
      ],
      backupTroubles: ['the last backup failed: no room', 'nobody was told of the last backup'],
      auditTroubles: ['the audit trail of memory went back'],
      fileTroubles: ['slo/mine.yaml, line 1: must be'],
    }),
  ).toEqual([
    'page down git',
    'ticket degraded python',
    'ticket flapping logging',
    'ticket backup',
    'page audit',
    'ticket file',
  ]);
});

test('an objective is as severe as its worst rule, unless its file says ticket at most', () => {
  const judged = (bad: number, more: Partial<Objective> = {}) =>
    keysOf({ objectives: [{ objective: { ...objective, ...more }, windows: windowsOf(bad) }] });

  expect(judged(0)).toEqual([]);
  expect(judged(4)).toEqual(['ticket burn ticket core-memory']);
  expect(judged(7)).toEqual(['page burn page core-memory']);
  expect(judged(7, { mostSevere: 'ticket' })).toEqual(['ticket burn ticket core-memory']);
  const [burning] = findingsIn({ ...nothing, objectives: [{ objective, windows: windowsOf(20) }] }).findings;
  expect(burning?.summary).toBe(
    'Core services do their job: memory: the error budget burns 20.0 times too fast over 1h and 20.0 times over 5m (more than 14.4); 20 of 1000 events were not polls that found it up',
  );
});

test('while it is a page nobody asks whether it is a ticket too; one that is open stays', () => {
  const of = (bad: number) =>
    findingsIn({ ...nothing, objectives: [{ objective, windows: windowsOf(bad) }] }).unknown;

  expect(of(20)).toEqual(['burn ticket core-memory']);
  expect(of(4)).toEqual([]);
});

test('what cannot be known is said to be so', () => {
  const { findings, unknown } = findingsIn({
    ...nothing,
    processes: [process({ status: 'unknown' })],
    objectives: [{ objective, windows: windowsOf(0, 0) }],
    disk: null,
  });

  expect(findings).toEqual([]);
  expect(unknown).toEqual([
    'down memory',
    'degraded memory',
    'burn page core-memory',
    'burn ticket core-memory',
    'disk',
  ]);
});

test.each([
  [10e9, 100e9, undefined],
  [400e6, 100e9, 'ticket'],
  [50e6, 100e9, 'page'],
  [40e6, 1e9, 'ticket'],
  [9e6, 1e9, 'page'],
  [1e6, 3e6, 'page'],
  [0, 0, undefined],
])('a disk with %i of %i bytes free', (freeBytes, sizeBytes, severity) => {
  const { findings } = findingsIn({ ...nothing, disk: { folder: '/data', freeBytes, sizeBytes } });

  expect(findings[0]?.severity).toBe(severity);
});
