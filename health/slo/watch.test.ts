import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { expect, test, vi } from 'vitest';

import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';
import { createLog } from '#runtime/account/log.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import type { ProcessFacts } from './findings.ts';
import { maintenanceFile } from './maintenance.ts';
import { operatorFolder } from './objectives.ts';
import { Watch } from './watch.ts';

const entries: readonly CatalogueEntry[] = catalogue;
const startMs = Date.parse('2026-11-29T12:00:00Z');

/** A fleet whose states and polls a test says, with a clock of its own and a webhook that keeps what it gets. */
async function watched() {
  const folder = temporaryFolder();
  const messages: { event: string; title: string }[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      messages.push(JSON.parse(await text(request)) as { event: string; title: string });
      response.end();
    })();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const states = new Map<string, ProcessFacts>();
  const logged: string[] = [];
  let nowMs = startMs;
  /** Seconds since the start in which a process was polled and not found up. */
  const lost = new Map(entries.map(({ name }) => [name, new Set<number>()]));
  const watch = new Watch({
    dataDir: join(folder.path, 'health'),
    dataRoot: folder.path,
    entries,
    counted: {
      polls: (name, fromMs, toMs) => {
        const first = Math.max(-7 * 3_600, Math.ceil((fromMs - startMs) / 1_000));
        const end = Math.min(Math.ceil((toMs - startMs) / 1_000), (nowMs - startMs) / 1_000);
        const bad = [...(lost.get(name) ?? [])].filter((second) => first <= second && second < end).length;
        const total = Math.max(0, end - first);
        return { good: total - bad, total };
      },
    },
    stateOf: (name) => states.get(name) ?? { name, status: 'up', reason: null, since: null },
    backupTroubles: () => [],
    auditTroubles: () => [],
    webhooks: [{ kind: 'json', url: `http://127.0.0.1:${port}/hook` }],
    remindMs: 0,
    surroundings: { dataRoot: folder.path, programs: [], systemdFolder: '/nowhere', deadlineMs: 500 },
    log: createLog('health', 'info', (line) => logged.push(line)),
    now: () => nowMs,
    intervalMs: 600_000,
  });
  return {
    path: folder.path,
    watch,
    messages,
    logged,
    set: (name: string, status: ProcessFacts['status']) =>
      states.set(name, {
        name,
        status,
        reason: status === 'up' ? null : 'connection refused',
        since: new Date(nowMs).toISOString(),
      }),
    async after(seconds: number) {
      for (const [name, { status }] of states)
        for (let second = 0; second < seconds; second += 1)
          if (status !== 'up') lost.get(name)?.add((nowMs - startMs) / 1_000 + second);
      nowMs += seconds * 1_000;
      await watch.look();
    },
    now: () => nowMs,
    report: (id: string) => watch.reports().find((one) => one.id === id),
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      await new Promise((done) => server.close(done));
      folder[Symbol.dispose]();
    },
  };
}

test('an outage is told soon, pages by its budget after 52 s, and is over some minutes after it', async () => {
  await using it = await watched();
  await it.after(0);
  it.set('memory', 'down');
  for (let second = 1; second <= 10; second += 1) await it.after(1);
  await vi.waitFor(() =>
    expect(it.messages).toMatchObject([
      { event: 'opened', title: expect.stringContaining('memory') as string },
    ]),
  );
  for (let second = 11; second <= 51; second += 1) await it.after(1);
  const pages = () => it.watch.alerts.open().filter(({ severity }) => severity === 'page');
  expect(pages().map(({ key }) => key)).toEqual(['down memory']);
  await it.after(1);

  expect(pages().map(({ key }) => key)).toContain('burn page core-memory');
  expect(it.report('core-memory')).toMatchObject({ state: 'burning', process: 'memory' });
  expect(it.report('core')?.state).toBe('ok');
  it.set('memory', 'up');
  for (let minute = 0; minute < 15; minute += 1) await it.after(60);

  expect(pages()).toEqual([]);
  // Of a history of a few hours, the slow rules see a large part: that is a ticket for as long as it is so.
  expect(it.watch.alerts.open().map(({ key }) => key)).toEqual(['burn ticket core-memory']);
  await vi.waitFor(() => expect(it.messages.filter(({ event }) => event === 'resolved')).toHaveLength(2));
  expect(it.report('core-memory')?.budget.badEvents).toBeCloseTo(52, 6);
});

test('in a maintenance window nobody is told, and no budget is spent', async () => {
  await using it = await watched();
  await it.after(0);
  it.watch.maintenance.start(
    { processes: ['memory'], reason: 'disk', startedBy: 'laptop', toMs: it.now() + 600_000 },
    it.now(),
  );
  it.set('memory', 'down');
  for (let minute = 0; minute < 9; minute += 1) await it.after(60);
  it.set('memory', 'up');
  for (let minute = 0; minute < 3; minute += 1) await it.after(60);

  expect(it.report('core-memory')?.budget.badEvents).toBe(0);
  expect(it.messages).toEqual([]);
  expect(it.watch.alerts.history(0, 10)).toMatchObject([{ key: 'down memory', toldMs: null }]);
});

test('calls that nobody counts are not known, and no alert comes of them', async () => {
  await using it = await watched();
  await it.after(60);

  expect(it.report('core-latency-memory')).toMatchObject({
    state: 'unknown',
    budget: { remaining: null, known: 0 },
  });
});

test('files of the operator are read again when they change; a bad one changes nothing and is told', async () => {
  await using it = await watched();
  await it.after(0);
  const folder = operatorFolder(it.path);
  const file = join(folder, 'mine.yaml');
  const write = (contents: string, path = file) => {
    writeFileSync(path, contents);
    utimesSync(path, it.now() / 1_000, it.now() / 1_000);
  };
  mkdirSync(folder);
  write('kind: Nothing\n');
  await it.after(1);
  expect(it.watch.fileTroubles).toEqual([expect.stringContaining('mine.yaml, line 1')]);
  expect(it.watch.objectives.some(({ id }) => id === 'core')).toBe(true);
  expect(it.watch.alerts.open()).toMatchObject([{ key: 'file', severity: 'ticket' }]);

  write(
    'apiVersion: openslo/v1\nkind: SLO\nmetadata: { name: core, annotations: { dev.flotilla/off: "true" } }\nspec:\n  service: x\n  indicator: { spec: { ratioMetric: { counter: true, good: { metricSource: { type: flotilla, spec: { count: polls, result: up } } }, total: { metricSource: { type: flotilla, spec: { count: polls, of: [{ tier: [1] }] } } } } } }\n  timeWindow: [{ duration: 30d, isRolling: true }]\n  budgetingMethod: Occurrences\n  objectives: [{ target: 0.9 }]\n',
  );
  write(
    'windows: [{ name: always, processes: all, schedule: "* * * * *", minutes: 5, reason: trial }]\n',
    maintenanceFile(it.path),
  );
  await it.after(60);
  expect(it.watch.fileTroubles).toEqual([]);
  expect(it.watch.objectives.some(({ slo }) => slo === 'core')).toBe(false);
  expect(it.watch.maintenance.at(it.now())).not.toEqual([]);
  expect(it.watch.alerts.open()).toEqual([]);

  rmSync(folder, { recursive: true });
  rmSync(maintenanceFile(it.path));
  await it.after(600);
  expect(it.watch.objectives.some(({ id }) => id === 'core-memory')).toBe(true);
  expect(it.watch.maintenance.at(it.now())).toEqual([]);
});
