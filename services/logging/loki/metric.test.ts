import { describe, expect, test } from 'vitest';

import type { Line } from '../store/line.ts';
import { Evaluation, maxSeries, type Times } from './metric.ts';
import { parseQuery } from './parse.ts';
import type { Metric } from './query.ts';

const second = 1_000;
let id = 0;
const line = (atSeconds: number, message: string, rest: Partial<Line> = {}): Line => ({
  id: (id += 1),
  atMs: atSeconds * second,
  observedMs: 0,
  level: 'info',
  service: 'api',
  source: 'test',
  message,
  fields: {},
  ...rest,
});

/** One line each ten seconds from 10 to 100, of two services in turn; every third is an error. */
const lines = Array.from({ length: 10 }, (_, at) =>
  line((at + 1) * 10, `status=${at % 3 === 0 ? 500 : 200} took=${at + 1}ms`, {
    service: at % 2 === 0 ? 'api' : 'web',
    level: at % 3 === 0 ? 'error' : 'info',
    fields: { user: `u${at % 2}` },
  }),
);

function run(logql: string, given: readonly Line[], times: Times) {
  const evaluation = new Evaluation(parseQuery(logql) as Metric, times);
  for (const one of given) evaluation.add(one);
  const steps = evaluation.series();
  let step = steps.next();
  while (!step.done) step = steps.next();
  return { evaluation, series: step.value };
}

/** The rows at one time, as `{label: value}` and number. */
const instant = (logql: string, atSeconds = 100, given: readonly Line[] = lines) =>
  run(logql, given, { startMs: atSeconds * second, stepMs: second, count: 1 })
    .series.map(({ labels, values }) => [labels, values[0]])
    .toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

const range = (logql: string, startSeconds: number, stepSeconds: number, count: number, given = lines) =>
  run(logql, given, { startMs: startSeconds * second, stepMs: stepSeconds * second, count }).series.map(
    ({ values }) => [...values],
  );

describe('instant queries', () => {
  const api = { service: 'api' };
  const web = { service: 'web' };

  test.each<[string, readonly unknown[]]>([
    ['sum(count_over_time({}[100s]))', [[{}, 10]]],
    // The line at the start of the range is out, the one at its end is in.
    ['sum(count_over_time({}[30s]))', [[{}, 3]]],
    ['sum(count_over_time({}[30s] offset 50s))', [[{}, 3]]],
    ['sum(rate({}[50s]))', [[{}, 0.1]]],
    [
      'sum by (service) (count_over_time({}[100s]))',
      [
        [api, 5],
        [web, 5],
      ],
    ],
    [
      'sum(count_over_time({}[100s])) by (service)',
      [
        [api, 5],
        [web, 5],
      ],
    ],
    [
      'sum without (level, source) (count_over_time({}[100s]))',
      [
        [api, 5],
        [web, 5],
      ],
    ],
    [
      'sum by (user) (count_over_time({}[100s]))',
      [
        [{ user: 'u0' }, 5],
        [{ user: 'u1' }, 5],
      ],
    ],
    ['count(count_over_time({}[100s]))', [[{}, 4]]],
    ['max(sum by (level) (count_over_time({}[100s])))', [[{}, 6]]],
    ['min(sum by (level) (count_over_time({}[100s])))', [[{}, 4]]],
    ['avg(sum by (level) (count_over_time({}[100s])))', [[{}, 5]]],
    ['topk(1, sum by (level) (count_over_time({}[100s])))', [[{ level: 'info' }, 6]]],
    ['bottomk(1, sum by (level) (count_over_time({}[100s])))', [[{ level: 'error' }, 4]]],
    [
      'topk by (service) (1, sum by (service, level) (count_over_time({}[100s])))',
      [
        [{ level: 'info', service: 'api' }, 3],
        [{ level: 'info', service: 'web' }, 3],
      ].map(([labels, value]) => [labels, value]),
    ],
    ['sum(count_over_time({level="error"} |= "500" | logfmt | took > 3ms [100s]))', [[{}, 3]]],
    [
      'sum by (status) (count_over_time({}[100s] | logfmt))',
      [
        [{ status: '200' }, 6],
        [{ status: '500' }, 4],
      ],
    ],
    [
      'sum by (status) (count_over_time(({} | logfmt)[100s]))',
      [
        [{ status: '200' }, 6],
        [{ status: '500' }, 4],
      ],
    ],
    ['sum(bytes_over_time({} |= "status=500 took=1ms" [100s]))', [[{}, 19]]],
    ['sum(bytes_rate({} |= "status=500 took=1ms" [100s]))', [[{}, 0.19]]],
    ['sum(sum_over_time({} | logfmt | unwrap duration(took) [100s]))', [[{}, 0.055]]],
    [
      'max_over_time({} | logfmt | unwrap status [100s]) by (level)',
      [
        [{ level: 'error' }, 500],
        [{ level: 'info' }, 200],
      ],
    ],
    ['min_over_time({} | logfmt | unwrap status [100s]) by ()', [[{}, 200]]],
    ['avg_over_time({} | logfmt | unwrap status [100s]) by ()', [[{}, 320]]],
    ['sum(rate({level="error"}[100s])) / sum(rate({}[100s]))', [[{}, 0.4]]],
    ['sum by (level) (count_over_time({}[100s])) > 5', [[{ level: 'info' }, 6]]],
    ['5 < sum by (level) (count_over_time({}[100s]))', [[{ level: 'info' }, 6]]],
    ['sum by (level) (count_over_time({}[100s])) == 4', [[{ level: 'error' }, 4]]],
    ['sum(count_over_time({}[100s])) * 2 + 10 / 5 - 2 ^ 3 ^ 0', [[{}, 20]]],
    ['(sum(count_over_time({}[100s])) + 2) * 3 % 7', [[{}, 1]]],
    ['sum by (level) (count_over_time({}[100s])) + sum by (service) (count_over_time({}[100s]))', []],
    ['sum(count_over_time({}[100s])) / 0', []],
    ['count_over_time({service="none"}[100s])', []],
  ])('%s', (logql, expected) => {
    const rows = instant(logql);
    expect(rows.map(([labels]) => labels)).toEqual(expected.map((row) => (row as [object])[0]));
    for (const [at, row] of rows.entries())
      expect(row[1]).toBeCloseTo((expected[at] as [object, number])[1], 9);
  });

  test('without a grouping each stream has its row', () => {
    expect(instant('count_over_time({level="error"}[100s])')).toEqual([
      [{ service: 'api', level: 'error', source: 'test' }, 2],
      [{ service: 'web', level: 'error', source: 'test' }, 2],
    ]);
  });

  test('lines that a parser could not read are counted, named by their error, and can be left out', () => {
    const given = [line(1, '{"a":1}'), line(2, 'plain')];
    const { evaluation } = run('sum(count_over_time({} | json [10s]))', given, {
      startMs: 5 * second,
      stepMs: second,
      count: 1,
    });
    expect([...evaluation.errors]).toEqual([['JSONParserErr', 1]]);
    expect(instant('sum(count_over_time({} | json [10s]))', 5, given)).toEqual([[{}, 2]]);
    expect(instant('sum(count_over_time({} | json | __error__="" [10s]))', 5, given)).toEqual([[{}, 1]]);
  });
});

describe('range queries', () => {
  test('each time looks back by the range, wherever the step ends', () => {
    expect(range('sum(count_over_time({}[20s]))', 10, 10, 10)).toEqual([[1, 2, 2, 2, 2, 2, 2, 2, 2, 2]]);
    expect(range('sum(count_over_time({}[10s]))', 15, 30, 3)).toEqual([[1, 1, 1]]);
    expect(range('sum(count_over_time({}[5s]))', 15, 30, 3)).toEqual([]);
    expect(range('sum(count_over_time({}[25s]))', 100, 20, 3)).toEqual([[3, 1, Number.NaN]]);
  });

  test('the smallest and largest of each time', () => {
    expect(range('max_over_time({} | logfmt | unwrap duration(took) [20s]) by ()', 20, 40, 3)).toEqual([
      [0.002, 0.006, 0.01],
    ]);
    expect(range('min_over_time({} | logfmt | unwrap duration(took) [20s]) by ()', 20, 40, 3)).toEqual([
      [0.001, 0.005, 0.009],
    ]);
  });

  test('agree with counting each window by itself, for random lines, ranges, steps and order', () => {
    let state = 7;
    const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below;
    for (let trial = 0; trial < 50; trial += 1) {
      const given = Array.from({ length: 60 }, () => line(random(500), 'x'));
      const [rangeS, step, start] = [1 + random(120), 1 + random(60), random(200)];
      const expected = Array.from({ length: 8 }, (_, at) => {
        const end = (start + at * step) * second;
        return given.filter(({ atMs }) => atMs > end - rangeS * second && atMs <= end).length || Number.NaN;
      });
      const rows = range(`sum(count_over_time({}[${rangeS}s]))`, start, step, 8, given);
      expect(rows).toEqual(expected.every((value) => Number.isNaN(value)) ? [] : [expected]);
    }
  });
});

test('too many rows are refused with the remedy', () => {
  const given = Array.from({ length: maxSeries + 1 }, (_, at) => line(1, `id=${at}`));
  expect(() => instant('count_over_time({} | logfmt [10s])', 5, given)).toThrow(/more than 1000 rows/);
  expect(instant('sum(count_over_time({}[10s]))', 5, given)).toEqual([[{}, maxSeries + 1]]);
});

test('the window that has to be read covers every range and offset', () => {
  const { evaluation } = run('rate({}[10s] offset 1m) / rate({}[5m])', [], {
    startMs: 1_000_000,
    stepMs: 1_000,
    count: 11,
  });
  expect(evaluation.window).toEqual({ afterMs: 700_000, untilMs: 1_010_000 });
});
