import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { createLog } from '#runtime/account/log.ts';
import { createMetrics } from '#runtime/account/metrics.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { Calls } from './calls.ts';
import { binCount } from './percentile.ts';
import type { Reading } from './reading.ts';
import { scrape } from './scrape.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;

/** Processes that say what a test lets them say, and a clock that a test moves. Looks come when it asks for them. */
function watched(file: string, begun = noon) {
  const clock = { ms: begun };
  const said = new Map<string, Reading | Promise<Reading>>();
  const events: string[] = [];
  const calls = new Calls({
    targets: ['memory', 'git'].map((name) => ({ name, port: 0 })),
    file,
    read: async ({ name }) => {
      const reading = said.get(name);
      if (!reading) throw new Error('refused');
      return reading;
    },
    log: createLog('health', 'info', (line) => events.push(line)),
    now: () => clock.ms,
    intervalMs: 1_000_000,
  });
  return { calls, clock, said, events, [Symbol.asyncDispose]: async () => calls[Symbol.asyncDispose]() };
}

interface Said {
  readonly startedAtMs?: number;
  readonly fast?: number;
  readonly slow?: number;
  readonly failed?: number;
  readonly tool?: string;
}

/** So many calls within 1 ms, between 200 and 500 ms, and at their deadline. */
function saying({ startedAtMs = noon, fast = 0, slow = 0, failed = 0, tool = 'search' }: Said): Reading {
  const bins = (at: number, count: number) =>
    Array.from({ length: binCount }, (_, index) => (index === at ? count : 0));
  const series = [
    { tool, error: '', bins: bins(0, fast) },
    { tool, error: 'slow', bins: bins(8, slow) },
    { tool, error: 'timeout', bins: bins(12, failed) },
  ];
  return {
    startedAtMs,
    version: '1.0.0',
    memoryBytes: 50_000_000,
    cpuMs: 5,
    refused: 1,
    answerBytes: new Map([[tool, 10 * (fast + slow + failed)]]),
    series: new Map(series.map((one) => [`${one.tool} ${one.error}`, one])),
  };
}

test('calls, errors by kind and percentiles of a window, of a process and of each tool', async () => {
  using folder = temporaryFolder();
  await using here = watched(join(folder.path, 'calls.db'));
  here.said.set('memory', saying({ fast: 90, failed: 2 }));
  await here.calls.sweep();
  here.clock.ms += 10 * minute;
  here.said.set('memory', saying({ fast: 97, slow: 1, failed: 2 }));
  await here.calls.sweep();

  expect(here.calls.summary('memory', hour)).toEqual({
    calls: 100,
    errors: 3,
    errorsByKind: { timeout: 2, slow: 1 },
    answerBytes: 1_000,
    p50Ms: expect.closeTo(0.52, 2) as number,
    p95Ms: expect.closeTo(0.98, 2) as number,
    p99Ms: 7_500,
    refused: 1,
    restarts: 0,
  });
  expect(here.calls.summary('memory', 5 * minute)).toMatchObject({ calls: 8, errorsByKind: { slow: 1 } });
  expect(here.calls.tools(hour)).toEqual([
    expect.objectContaining({ name: 'memory', tool: 'search', calls: 100, answerBytes: 1_000 }),
  ]);
  expect(here.calls.within('memory', noon - hour, here.clock.ms + 1, 0.5)).toEqual({ good: 98, total: 100 });
  // From an instant on, up to another: what adjoins is counted once.
  expect(here.calls.within('memory', noon - minute, noon, 0.5).total).toBe(0);
  expect(here.calls.within('memory', noon, noon + minute, 0.5).total).toBe(92);
  expect(here.calls.summary('git', hour)).toMatchObject({ calls: 0, p99Ms: null });
  expect(here.calls.vitals('memory')).toEqual({
    version: '1.0.0',
    startedAtMs: noon,
    memoryBytes: 50_000_000,
  });
});

test('a restart is counted, also one that came while health was off, and its counters begin anew', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'calls.db');
  {
    await using here = watched(file);
    here.said.set('memory', saying({ fast: 5 }));
    await here.calls.sweep();
    here.said.set('memory', saying({ startedAtMs: noon + 1_000, fast: 7 }));
    await here.calls.sweep();
    expect(here.calls.summary('memory', hour)).toMatchObject({ calls: 12, restarts: 1 });
  }
  await using here = watched(file, noon + 10 * minute);
  here.said.set('memory', saying({ startedAtMs: noon + 5 * minute, fast: 3 }));
  await here.calls.sweep();
  await here.calls.sweep();

  expect(here.calls.summary('memory', hour)).toMatchObject({ calls: 12, restarts: 2 });
});

test('minutes are kept for three days and hours for ninety, of tools as of processes', async () => {
  using folder = temporaryFolder();
  await using here = watched(join(folder.path, 'calls.db'));
  here.said.set('memory', saying({ fast: 5, failed: 1 }));
  await here.calls.sweep();

  here.clock.ms = noon + 4 * 24 * hour;
  here.said.set('memory', saying({ fast: 6, failed: 1 }));
  await here.calls.sweep();
  expect(here.calls.summary('memory', 24 * hour)).toMatchObject({ calls: 1, errorsByKind: {} });
  expect(here.calls.within('memory', noon - hour, here.clock.ms + 1, 1)).toEqual({ good: 6, total: 7 });
  expect(here.calls.tools(30 * 24 * hour)).toMatchObject([{ calls: 7, errorsByKind: { timeout: 1 } }]);

  here.clock.ms = noon + 95 * 24 * hour;
  here.said.set('memory', saying({ fast: 7, failed: 1 }));
  await here.calls.sweep();
  expect(here.calls.within('memory', noon - hour, here.clock.ms + 1, 1)).toEqual({ good: 1, total: 1 });
});

test('a chart has a cell for each stretch, and none for one in which nobody looked', async () => {
  using folder = temporaryFolder();
  await using here = watched(join(folder.path, 'calls.db'));
  here.said.set('memory', saying({ fast: 2 }));
  await here.calls.sweep();
  here.clock.ms += 10 * minute;
  here.said.set('memory', saying({ fast: 3 }));
  await here.calls.sweep();
  here.clock.ms += 3 * minute;
  here.said.set('memory', saying({ fast: 7, failed: 1 }));
  await here.calls.sweep();

  const cells = here.calls.cells('memory', 4, 5 * minute);

  expect(cells.map((cell) => cell?.bins[0] ?? null)).toEqual([null, 2, null, 5]);
  expect(here.calls.traffic(['memory', 'git'], 4, 5 * minute)).toEqual({
    calls: [null, 2, null, 6],
    errors: [null, 0, null, 1],
  });
  expect(here.calls.traffic(['git'], 2, hour).calls).toEqual([null, null]);
  expect(here.calls.traffic(['memory'], 2, hour).calls).toEqual([null, 8]);
});

test('a process that hangs is asked once, and holds up no other; what cannot be read is no longer known', async () => {
  using folder = temporaryFolder();
  await using here = watched(join(folder.path, 'calls.db'));
  const { promise, reject } = Promise.withResolvers<Reading>();
  here.said.set('memory', promise);
  here.said.set('git', saying({ fast: 1 }));

  const first = here.calls.sweep();
  const second = here.calls.sweep();
  await vi.waitFor(() => expect(here.calls.summary('git', hour).calls).toBe(1));
  reject(new Error('no answer'));
  await Promise.all([first, second]);

  expect(here.calls.vitals('memory')).toBeUndefined();
  expect(here.calls.vitals('git')).toBeDefined();
});

test('the answer of a process is read in bounds: no end, another program, an error', async () => {
  const metrics = createMetrics('memory', '1.0.0');
  metrics.observeOperation({
    method: 'tools/call',
    target: 'search',
    outcome: 'ok',
    protocolVersion: 'x',
    durationMs: 1,
    responseBytes: 1,
  });
  let answer: RequestListener = () => {};
  const server = createServer((request, response) => answer(request, response));
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  using _closed = { [Symbol.dispose]: () => (server.close(), server.closeAllConnections()) };
  const { port } = server.address() as AddressInfo;
  const ask = async (signal = AbortSignal.timeout(30_000)) => scrape({ name: 'memory', port }, signal);

  const text = await metrics.text();
  answer = (_request, response) => response.end(text);
  expect((await ask()).series.size).toBe(1);
  answer = (_request, response) => response.end('<h1>Hello</h1>\n'.repeat(1_000));
  await expect(ask()).rejects.toThrow('another program');
  answer = (_request, response) => response.writeHead(500).end('x');
  await expect(ask()).rejects.toThrow('answers 500');
  // Without a line end, and without an end.
  answer = (_request, response) => {
    const more = () =>
      void (response.write('x'.repeat(1_000_000)) ? setImmediate(more) : response.once('drain', more));
    more();
  };
  await expect(ask()).rejects.toThrow('too long');
  answer = () => {};
  await expect(ask(AbortSignal.timeout(50))).rejects.toThrow(/timeout|aborted/i);
});
