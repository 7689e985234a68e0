/** The sampler and its store, on a machine of our own making whose clock the test holds. */

import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import { createLog } from '#runtime/account/log.ts';
import { invoke, testCall } from '#runtime/testing.ts';

import type { Member } from '../fleet.ts';
import { machine, plainHost, watchOf } from '../machine.fixture.ts';
import { findAnomalies, getMetricsHistory } from '../tools/history.ts';
import { getSystemSnapshot } from '../tools/snapshot.ts';
import { getUptimeEvents } from '../tools/system.ts';
import { figuresBetween, readCounters, Sampler } from './sampler.ts';
import { slope } from './statistics.ts';
import { openStore, type Store } from './store.ts';

const start = Date.parse('2026-11-20T00:00:00Z') / 1_000;
const log = createLog('test', 'error', () => {});

/** Samples by hand: the timer's are minutes away. */
async function sampling(
  store: Store,
  options: { readonly members?: () => Member[]; readonly now?: () => number; readonly files?: object } = {},
) {
  const host = machine({ ...plainHost, ...options.files });
  const now = options.now ?? (() => start * 1_000);
  const fleet = async () => options.members?.() ?? [];
  const sampler = new Sampler({ host, store, log, now, fleet });
  return {
    host,
    sampler,
    async [Symbol.asyncDispose]() {
      await sampler[Symbol.asyncDispose]();
      host[Symbol.dispose]();
    },
  };
}

const kinds = (store: Store) =>
  store
    .events(0, 100)
    .map(({ kind, subject }) => `${kind} ${subject}`)
    .toReversed();

test('what goes on is the difference of counters; a counter that began anew counts nothing', () => {
  using host = machine(plainHost);
  const before = { ...readCounters(host), atMs: 1_000 };
  host.write({
    '/proc/stat':
      'cpu  1100 0 550 8800 150 0 0 0 0 0\nbtime 1\nprocesses 1\nprocs_running 1\nprocs_blocked 3\n',
    '/proc/diskstats': '   8       0 sda 100 0 22000 50 200 0 4000 80 0 800 130 0 0 0 0 0 0\n',
    '/proc/self/net/dev':
      'h\nh\n  eth0: 500 1 0 0 0 0 0 0 12000 1 0 0 0 0 0 0\n    lo: 9999999 1 0 0 0 0 0 0 9999999 1 0 0 0 0 0 0\n',
    '/proc/pressure/io': 'some avg10=0 avg60=0 avg300=0 total=8000000\n',
  });

  const figures = figuresBetween(before, { ...readCounters(host), atMs: before.atMs + 10_000 });

  expect(figures).toMatchObject({
    cpu_percent: 15,
    iowait_percent: 5,
    blocked_processes: 3,
    io_pressure_percent: 10,
    disk_read_bytes_per_second: 1_024_000,
    disk_busy_percent: 5,
    network_received_bytes_per_second: 0,
    network_sent_bytes_per_second: 1_000,
  });
});

test('a sample keeps what can be measured; the rest is absent, and not 0', async () => {
  using store = openStore(':memory:');
  await using here = await sampling(store, {
    files: { '/proc/meminfo': 'MemTotal: 100 kB\nMemAvailable: 50 kB\n' },
  });

  expect(here.sampler.isWriting).toBe(true);
  expect(store.samples('load_1m', 0, start + 1)).toEqual([{ atSeconds: start, value: 0.5 }]);
  expect(store.samples('memory_used_percent', 0, start + 1)).toEqual([]);
  expect(store.samples('swap_used_percent', 0, start + 1)).toEqual([]);
  expect(store.samples('temperature_celsius', 0, start + 1)).toEqual([]);
});

test('a day of samples stays in full and a month in sums, both within their bounds', () => {
  using store = openStore(':memory:');
  const tenMinutes = 600;
  for (let at = start; at < start + 26 * 3_600; at += 10)
    store.record(at, { cpu_percent: at % tenMinutes === 0 ? 100 : 10 });
  const end = start + 26 * 3_600;

  const fine = store.samples('cpu_percent', 0, end);
  const sums = store.sums('cpu_percent', 0, end);

  expect(fine.length).toBeLessThanOrEqual(8_650);
  expect(fine[0]?.atSeconds).toBeGreaterThanOrEqual(end - 86_400 - 20);
  expect(sums).toHaveLength(26 * 12 - 1);
  expect(sums[0]).toEqual({ atSeconds: start, samples: 30, mean: 13, least: 10, most: 100, p95: 10 });
  expect(sums[1]).toMatchObject({ mean: 10, most: 10 });
});

test('sums go after a month', () => {
  using store = openStore(':memory:');
  const row = { samples: 30, mean: 1, least: 1, most: 1, p95: 1 };
  store.import('cpu_percent', [
    { atSeconds: start - 40 * 86_400, ...row },
    { atSeconds: start - 86_400, ...row },
  ]);

  store.record(start, { cpu_percent: 1 });

  expect(store.sums('cpu_percent', 0, start).map(({ atSeconds }) => atSeconds)).toEqual([start - 86_400]);
});

test('nothing is known from before the first sample, also when its five minutes are summed up', () => {
  using store = openStore(':memory:');
  for (const after of [34, 44, 700]) store.record(start + after, { cpu_percent: 1 });

  expect(store.sums('cpu_percent', 0, start + 700)).not.toEqual([]);
  expect(store.reach().first).toBe(start + 34);
});

test('after a restart the past is there, and the pause and the starts are told', async () => {
  using folder = machine({ '/.keep': '' });
  const file = join(folder.root, 'history.db');
  {
    using store = openStore(file);
    await using _first = await sampling(store);
    for (let at = start; at < start + 700; at += 10) store.record(at, { cpu_percent: 5 });
  }
  {
    using store = openStore(file);
    await using _again = await sampling(store, { now: () => (start + 4_000) * 1_000 });
    expect(store.sums('cpu_percent', 0, start + 4_000)).toMatchObject([
      { mean: 5 },
      { mean: 5 },
      { mean: 5 },
    ]);
    expect(kinds(store)).toEqual([
      'host_started host',
      'sampling_started host',
      'sampling_paused host',
      'sampling_started host',
    ]);
    expect(store.events(0, 2)[1]).toMatchObject({ kind: 'sampling_paused', seconds: 3_310 });
  }
  using store = openStore(file);
  const files = { '/proc/sys/kernel/random/boot_id': 'another\n', '/proc/uptime': '100.00 1\n' };
  await using _anew = await sampling(store, { now: () => (start + 5_000) * 1_000, files });
  expect(store.events(0, 2)[1]).toMatchObject({
    kind: 'host_started',
    atSeconds: start + 4_900,
    seconds: 900,
  });
});

test('processes of the fleet that start anew or are lost are told once', async () => {
  using store = openStore(':memory:');
  const member = {
    name: 'memory',
    port: 1,
    reason: null,
    latencyMs: 1,
    pid: 5,
    cpuSeconds: 1,
    memoryBytes: 1_000,
  };
  let members: Member[] = [{ ...member, result: 'up', startedSeconds: start - 50 }];
  let nowMs = start * 1_000;
  await using here = await sampling(store, { members: () => members, now: () => nowMs });
  const look = async () => {
    nowMs += 60_000;
    members = [...members];
    for (let count = 0; count < 6; count += 1) here.sampler.sample();
    await vi.waitFor(() => expect(here.sampler.fleet?.members).toBe(members));
  };
  await vi.waitFor(() => expect(here.sampler.fleet?.members).toBe(members));

  await look();
  members = [{ name: 'memory', port: 1, result: 'down', reason: 'connection refused', latencyMs: null }];
  await look();
  await look();
  members = [{ ...member, result: 'up', pid: 6, startedSeconds: start + 200 }];
  await look();

  expect(kinds(store).filter((kind) => kind.endsWith('memory'))).toEqual([
    'process_started memory',
    'process_lost memory',
    'process_restarted memory',
  ]);
  expect(store.countEvents('process_restarted', 'memory', 0)).toBe(1);

  // The first look comes before this service itself listens.
  store.see('started:system-info', String(start - 500));
  here.sampler.noteFleet(
    [{ name: 'system-info', port: 1, result: 'down', reason: 'connection refused', latencyMs: null }],
    performance.now(),
  );
  expect(kinds(store)).not.toContain('process_lost system-info');

  // Whoever asks in between sees more than the look of each minute; a look that was overtaken brings nothing back.
  const again: Member[] = [{ ...member, result: 'up', pid: 7, startedSeconds: start + 235 }];
  const beganMs = performance.now();
  here.sampler.noteFleet(again, beganMs);
  here.sampler.noteFleet(members, beganMs - 1);
  expect(store.countEvents('process_restarted', 'memory', 0)).toBe(2);
});

test('events come newest first by their times, page by page, whenever they were written', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  for (const atSeconds of [30, 10, 20, 20, 20]) {
    const kind = 'process_restarted';
    watch.store.addEvent({ atSeconds: start + atSeconds, kind, subject: 'a', detail: '', seconds: null });
  }
  const call = testCall({ nowMs: (start + 60) * 1_000 });

  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    // oxlint-disable-next-line no-await-in-loop -- one page leads to the next
    const page = await invoke(getUptimeEvents, { limit: 2, ...(cursor && { cursor }) }, watch, call);
    seen.push(...page.events.map(({ time }) => time));
    cursor = page.next_cursor;
  } while (cursor !== undefined);

  expect(seen.map((time) => Date.parse(time) / 1_000 - start)).toEqual([30, 20, 20, 20, 10]);
});

test('the snapshot tells of the fleet as it is now, not as it was in the last minute', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  const memory = catalogue.find(({ name }) => name === 'memory');
  watch.store.see('started:memory', String(start));
  const up: Member = { name: 'memory', port: 1, result: 'up', reason: null, latencyMs: 1 };
  const sampler = { ...watch.sampler, fleet: { atMs: performance.now(), members: [up] } };

  const { fleet, attention } = await invoke(
    getSystemSnapshot,
    {},
    { ...watch, sampler, entries: memory ? [{ ...memory, port: 1 }] : [] },
  );

  expect(fleet).toMatchObject({ up: 0, total: 1, down: ['memory'] });
  expect(attention).toContain('memory of the fleet does not answer.');
});

test('a store that cannot be written ends neither the sampling nor the answers', async () => {
  using store = openStore(':memory:');
  let isFull = false;
  const failing: Store = {
    ...store,
    record(atSeconds, sample) {
      if (isFull) throw new Error('disk full');
      store.record(atSeconds, sample);
    },
  };
  await using here = await sampling(failing);

  isFull = true;
  here.sampler.sample();
  expect(here.sampler.isWriting).toBe(false);
  isFull = false;
  here.sampler.sample();
  expect(here.sampler.isWriting).toBe(true);
});

test('the history has percentiles and a trend, and says how much of it is known', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  for (let index = 0; index < 180; index += 1) {
    watch.store.record(start + index * 10, { memory_used_percent: index + 1 });
  }
  const call = testCall({ nowMs: (start + 1_800) * 1_000 - 1_000 });

  const args = { metric: 'memory_used_percent', window: '1h', points: 4 };
  const history = await invoke(getMetricsHistory, args, watch, call);

  expect(history).toMatchObject({
    unit: 'percent',
    resolutionSeconds: 10,
    samples: 180,
    coveragePercent: 50,
    latest: 180,
    min: 1,
    max: 180,
    mean: 90.5,
    p50: 90.5,
    p95: 171.05,
    trendPerHour: 360,
  });
  expect(history.points).toHaveLength(2);
  const other = await invoke(getMetricsHistory, { metric: 'temperature_celsius' }, watch, call);
  expect(other).toMatchObject({ samples: 0, unavailable: [{ field: 'temperature_celsius' }] });
  expect(other.mean).toBeUndefined();
});

test('more than a day is told from means of five minutes', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  const rows = Array.from({ length: 2_016 }, (_, index) => ({
    atSeconds: start + index * 300,
    samples: 30,
    mean: 20,
    least: 5,
    most: index === 1_000 ? 99 : 30,
    p95: 25,
  }));
  watch.store.import('cpu_percent', rows);

  const call = testCall({ nowMs: (start + 7 * 86_400) * 1_000 - 1_000 });
  const history = await invoke(getMetricsHistory, { metric: 'cpu_percent', window: '7d' }, watch, call);

  expect(history).toMatchObject({
    resolutionSeconds: 300,
    coveragePercent: 100,
    mean: 20,
    min: 5,
    max: 99,
    p99: 20,
  });
  expect(history.points).toHaveLength(60);
});

test('find_anomalies looks at every measure, worst first, and says for which too little is known', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  const end = start + 86_400;
  const past = (value: number) =>
    Array.from({ length: 276 }, (_, index) => ({
      atSeconds: start + index * 300,
      samples: 30,
      mean: value,
      least: value,
      most: value,
      p95: value,
    }));
  watch.store.import('cpu_percent', past(10));
  watch.store.import('memory_used_percent', past(40));
  for (let at = end - 3_600; at < end; at += 10) {
    const isBad = at >= end - 600;
    watch.store.record(at, {
      cpu_percent: isBad ? 95 : 10,
      memory_used_percent: isBad ? 60 : 40,
      load_1m: 1,
    });
  }
  const call = testCall({ nowMs: end * 1_000 - 1_000 });

  const { anomalies, checked, unavailable } = await invoke(findAnomalies, {}, watch, call);

  expect(anomalies).toMatchObject([
    {
      metric: 'cpu_percent',
      direction: 'high',
      minutes: 10,
      value: 95,
      usual: 10,
      start: '2026-11-20T23:50:00.000Z',
    },
    { metric: 'memory_used_percent', value: 60, usual: 40 },
  ]);
  expect(checked).toBe(2);
  expect(unavailable).toMatchObject([
    { field: 'load_1m', reason: expect.stringContaining('30 are needed') as string },
  ]);
  const one = await invoke(findAnomalies, { metric: 'memory_used_percent' }, watch, call);
  expect(one.anomalies).toHaveLength(1);
});

test('a window that cannot be meant is refused', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);

  for (const window of ['0m', '61', '32d', '1w', '-1h', '1h; id', '99999d', ' 1h', '１h', '']) {
    const args = { window, metric: 'cpu_percent' };
    await expect(invoke(getMetricsHistory, args, watch), window).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(invoke(findAnomalies, args, watch), window).rejects.toMatchObject({ code: 'invalid_input' });
  }
});

test('events come newest first, page by page', async () => {
  using host = machine(plainHost);
  await using watch = watchOf(host);
  for (let index = 0; index < 5; index += 1) {
    watch.store.addEvent({
      atSeconds: start + index,
      kind: 'host_slept',
      subject: 'host',
      detail: `${index}`,
      seconds: 1.26,
    });
  }
  const call = testCall({ nowMs: (start + 60) * 1_000 });

  const first = await invoke(getUptimeEvents, { limit: 3 }, watch, call);
  const second = await invoke(getUptimeEvents, { limit: 3, cursor: first.next_cursor }, watch, call);

  expect([...first.events, ...second.events].map(({ detail }) => detail)).toEqual(['4', '3', '2', '1', '0']);
  expect(first.events[0]?.seconds).toBe(1.3);
  expect(second.truncated).toBeUndefined();
  expect(first).toMatchObject({ uptimeSeconds: 90_061.5, bootId: '11111111-2222-3333-4444-555555555555' });
});

test('a slope is not moved by a few wild values', () => {
  const values = Array.from({ length: 100 }, (_, index) => (index % 10 === 0 ? 1_000 : index * 2));

  expect(slope(values)).toBeCloseTo(2, 1);
  expect(slope([5])).toBe(0);
});
