import { Histogram as Reference, Registry } from 'prom-client';
import { expect, test } from 'vitest';

import { createHistogram } from './histogram.ts';

test('the text is the one that prom-client writes, sample for sample', async () => {
  const bounds = [0.1, 1, 10];
  const registry = new Registry();
  const reference = new Reference({
    name: 'x',
    help: 'An x.',
    labelNames: ['s', 'a', 'b'],
    buckets: bounds,
    registers: [registry],
  });
  const histogram = createHistogram({
    name: 'x',
    help: 'An x.',
    labelNames: ['a', 'b'],
    bounds,
    constant: { s: '1' },
  });

  for (const value of [0, 0.1, 0.100001, 1, 5, 10, 11, 1e9]) {
    for (const labels of [
      ['q"uote', ''],
      ['line\nend', 'back\\slash'],
    ]) {
      reference.labels('1', ...labels).observe(value);
      histogram.series(labels).observe(value);
    }
  }

  const samples = (text: string) => text.split('\n').filter(Boolean).map(normalised).toSorted();
  expect(samples(histogram.text())).toEqual(samples(await registry.metrics()));
});

/** The order of labels means nothing. */
function normalised(line: string): string {
  return line.replace(
    /\{(.*)\}/,
    (_, labels: string) =>
      `{${labels
        .split(/,(?=\w+=")/)
        .toSorted()
        .join(',')}}`,
  );
}

test('a series is the same whenever it is asked for', () => {
  const histogram = createHistogram({ name: 'x', help: 'x', labelNames: ['a'], bounds: [1], constant: {} });

  histogram.series(['one']).observe(0.5);
  histogram.series(['one']).observe(2);

  expect(histogram.text()).toContain('x_count{a="one"} 2\n');
});
