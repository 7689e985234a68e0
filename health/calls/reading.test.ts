import fc from 'fast-check';
import { expect, test } from 'vitest';

import { createMetrics, durationBuckets } from '#runtime/account/metrics.ts';

import { figureIn, mostLineLength } from './exposition.ts';
import { binCount, binsWithin, percentileMs, totalOf } from './percentile.ts';
import { changeBetween, other, ReadingBuilder, type Reading } from './reading.ts';

function read(text: string, name = 'memory'): Reading | undefined {
  const builder = new ReadingBuilder(name);
  for (const line of text.split('\n')) builder.take(line);
  return builder.done();
}

const binsOf = (counts: Readonly<Record<number, number>>) =>
  Array.from({ length: binCount }, (_, index) => counts[index] ?? 0);

const start = 'process_start_time_seconds{service="memory"} 1000\n';
const bucket = (le: string | number, count: number | string, tool = 'search', error = '') =>
  `mcp_server_operation_duration_seconds_bucket{le="${le}",service="memory",mcp_method_name="tools/call",gen_ai_tool_name="${tool}",error_type="${error}"} ${count}\n`;

test('what our own metrics say is read: calls by tool and error over all revisions, refusals, memory, version', async () => {
  const metrics = createMetrics('memory', '1.2.3');
  const call = (target: string, outcome: string, durationMs: number, protocolVersion = '2026-07-28') =>
    metrics.observeOperation({
      method: 'tools/call',
      target,
      outcome,
      protocolVersion,
      durationMs,
      responseBytes: 100,
    });
  call('search', 'ok', 0.5);
  call('search', 'ok', 40, '2025-06-18');
  call('search', 'timeout', 400_000);
  metrics.observeOperation({
    method: 'tools/list',
    target: null,
    outcome: 'ok',
    protocolVersion: '2026-07-28',
    durationMs: 3,
    responseBytes: 9,
  });
  metrics.countRefusal('busy');
  metrics.countRefusal('forbidden');

  const reading = read(await metrics.text());

  expect(reading).toMatchObject({ version: '1.2.3', refused: 2 });
  expect(reading?.memoryBytes).toBeGreaterThan(1_000_000);
  expect(reading?.startedAtMs).toBeLessThanOrEqual(Date.now());
  expect([...(reading?.series.values() ?? [])]).toEqual([
    { tool: 'search', error: '', bins: binsOf({ 0: 1, 5: 1 }) },
    { tool: 'search', error: 'timeout', bins: binsOf({ [binCount - 1]: 1 }) },
  ]);
  expect(reading?.answerBytes).toEqual(new Map([['search', 300]]));
  // Who asks for another process hears that this is none of its answers.
  expect(read(await metrics.text(), 'context')).toBeUndefined();
});

test('labels are unescaped, and may be called like anything', () => {
  expect(figureIn('a{b="x\\"y\\\\z\\n",__proto__="c"} 5')).toEqual({
    name: 'a',
    labels: new Map([
      ['b', 'x"y\\z\n'],
      ['__proto__', 'c'],
    ]),
    value: 5,
  });
  expect(figureIn('a 1e3')).toMatchObject({ value: 1_000, labels: new Map() });
});

test.each([
  ['a comment', '# TYPE a counter'],
  ['no number', 'a{b="c"} many'],
  ['no finite number', 'a +Inf'],
  ['an open quotation mark', 'a{b="c} 1'],
  ['labels that are none', 'a{b=c} 1'],
  ['words behind it', 'a 1 2 3'],
  ['too long a line', `a{b="${'x'.repeat(mostLineLength)}"} 1`],
])('%s is no figure', (_what, line) => {
  expect(figureIn(line)).toBeUndefined();
});

test('no text of others breaks the reading', () => {
  const pieces = fc.constantFrom(
    'a',
    '{',
    '}',
    '"',
    '\\',
    '=',
    ',',
    ' ',
    '1',
    '-',
    'NaN',
    '\u0000',
    'é',
    bucket(1, 5),
    start,
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
      const reading = read(parts.join(''));
      for (const { bins } of reading?.series.values() ?? []) {
        for (const calls of bins) expect(calls).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});

test('counts that are none are left out, and a bucket that is missing counts with the next', () => {
  const text =
    start +
    bucket(0.001, 'NaN') +
    bucket(0.0025, -5) +
    bucket(0.005, 1.5) +
    bucket(0.77, 3) +
    bucket(0.01, 4) +
    bucket('+Inf', 6);

  expect([...(read(text)?.series.values() ?? [])]).toEqual([
    { tool: 'search', error: '', bins: binsOf({ 3: 4, [binCount - 1]: 2 }) },
  ]);
});

test('names that are none, and more than a process has, are counted together', () => {
  const many = Array.from({ length: 500 }, (_, index) => bucket('+Inf', 1, `tool_${index}`)).join('');

  const reading = read(start + bucket('+Inf', 1, '<script>') + many);

  const tools = [...(reading?.series.values() ?? [])];
  expect(tools).toHaveLength(401);
  expect(tools.find(({ tool }) => tool === other)?.bins.at(-1)).toBe(101);
});

const reading = (startedAtMs: number, bins: readonly number[], refused = 0): Reading => ({
  startedAtMs,
  version: null,
  memoryBytes: 1,
  cpuMs: 10,
  refused,
  answerBytes: new Map([['search', 10 * refused]]),
  series: new Map([['search ', { tool: 'search', error: '', bins }]]),
});

test.each([
  [
    'the difference of two looks',
    reading(5, binsOf({ 0: 3, 1: 1 }), 2),
    reading(5, binsOf({ 0: 5, 1: 1 }), 3),
    { 0: 2 },
    1,
    false,
  ],
  [
    'everything after a new start',
    reading(5, binsOf({ 0: 3 }), 2),
    reading(9, binsOf({ 0: 4 }), 2),
    { 0: 4 },
    2,
    true,
  ],
  [
    'everything where a counter fell without one',
    reading(5, binsOf({ 0: 3 }), 2),
    reading(5, binsOf({ 0: 1 }), 1),
    { 0: 1 },
    1,
    false,
  ],
  [
    'everything of who started while it was watched',
    undefined,
    reading(100, binsOf({ 0: 4 }), 2),
    { 0: 4 },
    2,
    false,
  ],
])('counts %s', (_what, before, after, bins, refused, restarted) => {
  expect(changeBetween(before, after, 50)).toMatchObject({
    restarted,
    refused,
    answerBytes: new Map([['search', 10 * refused]]),
    series: [{ tool: 'search', error: '', bins: binsOf(bins) }],
  });
});

test('what was counted before anybody looked counts for nothing, and neither does what did not change', () => {
  const after = reading(5, binsOf({ 0: 4 }), 2);

  expect(changeBetween(undefined, after, 50)).toMatchObject({ series: [], refused: 0, cpuMs: 0 });
  expect(changeBetween(after, after, 50)).toMatchObject({ series: [], refused: 0 });
});

test('a percentile lies where evenly spread calls of its bucket would have it', () => {
  // 10 from 10 to 20 ms, 10 from 20 to 50 ms.
  const bins = binsOf({ 4: 10, 5: 10 });

  expect(percentileMs(bins, 0.25)).toBeCloseTo(15);
  expect(percentileMs(bins, 0.5)).toBeCloseTo(20);
  expect(percentileMs(bins, 0.95)).toBeCloseTo(47);
  expect(percentileMs(binsOf({ 0: 4 }), 0.5)).toBeCloseTo(0.5);
  expect(percentileMs(binsOf({ [binCount - 1]: 4 }), 0.5)).toBe(300_000);
  expect(percentileMs(binsOf({}), 0.99)).toBeNull();
});

test('percentiles of real times are off by less than the width of a bucket', () => {
  const times = fc.array(fc.double({ min: 0, max: 250, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(times, fc.constantFrom(0.5, 0.95, 0.99), (seconds, share) => {
      const bins = binsOf({});
      for (const time of seconds) {
        const bin = durationBuckets.findIndex((bound) => time <= bound);
        bins[bin] = (bins[bin] ?? 0) + 1;
      }
      const exact =
        seconds.toSorted((one, another) => one - another)[Math.ceil(seconds.length * share) - 1] ?? 0;
      const bin = durationBuckets.findIndex((bound) => exact <= bound);

      const found = (percentileMs(bins, share) ?? 0) / 1_000;

      expect(found).toBeGreaterThanOrEqual((durationBuckets[bin - 1] ?? 0) - 1e-9);
      expect(found).toBeLessThanOrEqual((durationBuckets[bin] ?? 0) + 1e-9);
    }),
  );
});

test('a threshold between two bounds counts what surely ended within it', () => {
  const bins = binsOf({ 0: 1, 4: 1, 5: 1, [binCount - 1]: 1 });
  const within = (seconds: number) => totalOf(bins.slice(0, binsWithin(seconds)));

  expect([0.0005, 0.001, 0.02, 0.049, 0.05, 300, 1_000].map(within)).toEqual([0, 1, 2, 2, 3, 3, 3]);
});
