/** Planted series: how many of the planted anomalies are found, and how often a quiet day raises an alarm. */
import { expect, test } from 'vitest';

import { anomaliesIn as anomalySteps } from './anomalies.ts';
import { metricOf, type MetricName } from './metrics.ts';
import type { Coarse, Point } from './store.ts';
import { mean, quantile, sorted } from './statistics.ts';

function anomaliesIn(...args: Parameters<typeof anomalySteps>) {
  const steps = anomalySteps(...args);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

const day = 86_400;
const start = Date.parse('2026-11-29T00:00:00Z') / 1_000;
const pastDays = 14;

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d_2b_79_f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const normal = (random: () => number) =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** How a metric behaves on a host that is well: the time of day, noise that lingers, blips, and a job each night at three. */
interface Nature {
  readonly metric: MetricName;
  readonly at: (hour: number) => number;
  readonly noise: number;
  /** Multiplies, in place of adding. */
  readonly factors?: true;
  readonly nightly: number;
  readonly blip: number;
  readonly most: number;
}

const office = (hour: number) => Math.max(0, Math.sin(((hour - 7) / 12) * Math.PI));
const natures: readonly Nature[] = [
  { metric: 'cpu_percent', at: (hour) => 8 + 22 * office(hour), noise: 3, nightly: 45, blip: 50, most: 100 },
  {
    metric: 'memory_used_percent',
    at: (hour) => 40 + 6 * office(hour),
    noise: 0.8,
    nightly: 4,
    blip: 5,
    most: 100,
  },
  { metric: 'io_pressure_percent', at: () => 0.5, noise: 0.5, nightly: 12, blip: 30, most: 100 },
  {
    metric: 'disk_written_bytes_per_second',
    at: (hour) => 3e5 * (1 + 3 * office(hour)),
    noise: 0.35,
    factors: true,
    nightly: 40,
    blip: 60,
    most: 1e10,
  },
  {
    metric: 'network_received_bytes_per_second',
    at: (hour) => 2e5 * (1 + 9 * office(hour)),
    noise: 0.3,
    factors: true,
    nightly: 3,
    blip: 30,
    most: 1e10,
  },
  { metric: 'threads', at: (hour) => 400 + 60 * office(hour), noise: 8, nightly: 25, blip: 60, most: 1e6 },
  {
    metric: 'open_files',
    at: (hour) => 5_000 + 900 * office(hour),
    noise: 120,
    nightly: 500,
    blip: 900,
    most: 1e6,
  },
  { metric: 'fullest_disk_percent', at: () => 61, noise: 0.05, nightly: 0.4, blip: 0.5, most: 100 },
];

function* series(
  nature: Nature,
  random: () => number,
  from: number,
  to: number,
  step: number,
): Generator<Point> {
  // Noise that lingers for some minutes, however fine the steps are.
  const keep = Math.exp(-step / 180);
  let lingering = normal(random);
  let blipUntil = 0;
  const dayShift = new Map<number, number>();
  for (let at = from; at < to; at += step) {
    lingering = keep * lingering + Math.sqrt(1 - keep * keep) * normal(random);
    const today = Math.floor(at / day);
    if (!dayShift.has(today)) dayShift.set(today, 0.5 * normal(random));
    const hour = (at % day) / 3_600;
    // Blips of up to a minute, some twenty a day: a build, a scan, somebody's download.
    if (random() < (20 * step) / day) blipUntil = at + 10 + random() * 50;
    const noise = nature.noise * (0.8 * lingering + 0.4 * normal(random) + (dayShift.get(today) ?? 0));
    const base = nature.at(hour);
    let value = nature.factors ? base * Math.exp(noise) : base + noise;
    // It begins some minutes earlier or later each night.
    const jobAt = 3 + 0.15 * ((dayShift.get(today) ?? 0) % 1);
    if (hour >= jobAt && hour < jobAt + 0.4)
      value = nature.factors ? value * nature.nightly : value + nature.nightly;
    if (at < blipUntil && step < 60) value = nature.factors ? value * nature.blip : value + nature.blip;
    yield { atSeconds: at, value: Math.min(nature.most, Math.max(0, value)) };
  }
}

function pastOf(nature: Nature, random: () => number): Coarse[] {
  const rows: Coarse[] = [];
  let bucket: number[] = [];
  for (const { atSeconds, value } of series(nature, random, start - pastDays * day, start, 60)) {
    bucket.push(value);
    if (bucket.length < 5) continue;
    const ordered = sorted(bucket);
    rows.push({
      atSeconds: atSeconds - 240,
      samples: 30,
      mean: mean(bucket),
      least: ordered[0] ?? 0,
      most: ordered.at(-1) ?? 0,
      p95: quantile(ordered, 0.95),
    });
    bucket = [];
  }
  return rows;
}

type Plant = (value: number, secondsIn: number, nature: Nature) => number;

/** What goes wrong on hosts, in sizes that somebody would want to know of. */
const plants: readonly {
  readonly title: string;
  readonly metrics: readonly MetricName[];
  readonly minutes: number;
  readonly plant: Plant;
}[] = [
  {
    title: 'a process spins',
    metrics: ['cpu_percent'],
    minutes: 15,
    plant: (value) => Math.min(100, value + 50),
  },
  { title: 'a host is saturated', metrics: ['cpu_percent'], minutes: 6, plant: () => 99 },
  {
    title: 'memory leaks',
    metrics: ['memory_used_percent'],
    minutes: 120,
    plant: (value, secondsIn) => Math.min(99, value + secondsIn / 240),
  },
  {
    title: 'a cache takes memory',
    metrics: ['memory_used_percent'],
    minutes: 20,
    plant: (value) => value + 20,
  },
  {
    title: 'a disk does not keep up',
    metrics: ['io_pressure_percent'],
    minutes: 10,
    plant: (value) => value + 40,
  },
  {
    title: 'something writes without end',
    metrics: ['disk_written_bytes_per_second'],
    minutes: 20,
    plant: (value) => value * 50,
  },
  {
    title: 'the network is gone',
    metrics: ['network_received_bytes_per_second'],
    minutes: 10,
    plant: () => 0,
  },
  {
    title: 'a flood comes in',
    metrics: ['network_received_bytes_per_second'],
    minutes: 10,
    plant: (value) => value * 40,
  },
  {
    title: 'threads leak',
    metrics: ['threads'],
    minutes: 90,
    plant: (value, secondsIn) => value + secondsIn / 6,
  },
  {
    title: 'files stay open',
    metrics: ['open_files'],
    minutes: 60,
    plant: (value, secondsIn) => value + secondsIn * 2,
  },
  {
    title: 'a disk fills',
    metrics: ['fullest_disk_percent'],
    minutes: 180,
    plant: (value, secondsIn) => value + secondsIn / 1_200,
  },
];

type Detector = (
  samples: readonly Point[],
  past: readonly Coarse[],
  metric: MetricName,
) => readonly { readonly startSeconds: number; readonly endSeconds: number }[];

const ours: Detector = (samples, past, metric) => anomaliesIn(samples, past, metricOf(metric));

/** What one would write first: three standard deviations from the mean, each sample by itself. */
const naive: Detector = (samples, past) => {
  const means = past.map((row) => row.mean);
  const middle = mean(means);
  const deviation = Math.sqrt(mean(means.map((value) => (value - middle) ** 2)));
  return samples
    .filter(({ value }) => Math.abs(value - middle) > 3 * deviation)
    .map(({ atSeconds }) => ({ startSeconds: atSeconds, endSeconds: atSeconds + 10 }));
};

/** What many dashboards have: shares above ninety percent. */
const fixed: Detector = (samples, _past, metric) =>
  samples
    .filter(({ value }) => metricOf(metric).unit === 'percent' && value > 90)
    .map(({ atSeconds }) => ({ startSeconds: atSeconds, endSeconds: atSeconds + 10 }));

const natureOf = (metric: MetricName) => natures.find((nature) => nature.metric === metric) as Nature;

function recallOf(detector: Detector, seeds: readonly number[]) {
  const missed: string[] = [];
  let planted = 0;
  for (const seed of seeds) {
    for (const [index, { title, metrics, minutes, plant }] of plants.entries()) {
      for (const metric of metrics) {
        const random = randomFrom(seed * 1_000 + index);
        const nature = natureOf(metric);
        const past = pastOf(nature, random);
        const begin = start + Math.floor((random() * (day - minutes * 60)) / 10) * 10;
        const end = begin + minutes * 60;
        const samples = [
          ...series(nature, random, begin - 3_600, Math.min(end + 1_800, start + day), 10),
        ].map((point) =>
          point.atSeconds >= begin && point.atSeconds < end
            ? { ...point, value: plant(point.value, point.atSeconds - begin, nature) }
            : point,
        );
        planted += 1;
        const isFound = detector(samples, past, metric).some(
          ({ startSeconds, endSeconds }) => startSeconds < end && endSeconds > begin,
        );
        if (!isFound)
          missed.push(`${title} (${seed}, ${new Date(begin * 1_000).toISOString().slice(11, 16)})`);
      }
    }
  }
  return { recall: 1 - missed.length / planted, planted, missed };
}

/** Alarms of all metrics together on a day on which nothing is wrong. */
function falseAlarmsPerDay(detector: Detector, seeds: readonly number[]) {
  const alarms: string[] = [];
  for (const seed of seeds) {
    for (const [index, nature] of natures.entries()) {
      const random = randomFrom(seed * 7_777 + index);
      const past = pastOf(nature, random);
      const samples = [...series(nature, random, start, start + day, 10)];
      for (const { startSeconds, endSeconds } of detector(samples, past, nature.metric)) {
        const at = new Date(startSeconds * 1_000).toISOString().slice(11, 16);
        alarms.push(`${nature.metric} (${seed}, ${at}, ${Math.round((endSeconds - startSeconds) / 60)} min)`);
      }
    }
  }
  return { perDay: alarms.length / seeds.length, alarms };
}

const seeds = [1, 2, 3, 4, 5, 6];

test('of planted anomalies at least nine in ten are found, and a quiet day has less than one false alarm', () => {
  const { recall, planted, missed } = recallOf(ours, seeds);
  const { perDay, alarms } = falseAlarmsPerDay(ours, seeds);
  process.stdout.write(
    `anomalies: ${planted} planted, recall ${recall.toFixed(3)}, ${perDay.toFixed(2)} false alarms a quiet day\n`,
  );

  expect(recall, missed.join('; ')).toBeGreaterThanOrEqual(0.9);
  expect(perDay, alarms.join('; ')).toBeLessThan(1);
});

test('naive thresholds fail the same: they alarm all day, or miss most', () => {
  const deviations = { ...recallOf(naive, [1, 2]), ...falseAlarmsPerDay(naive, [1, 2]) };
  const shares = { ...recallOf(fixed, [1, 2]), ...falseAlarmsPerDay(fixed, [1, 2]) };
  process.stdout.write(
    `three deviations: recall ${deviations.recall.toFixed(3)}, ${deviations.perDay.toFixed(1)} false alarms; over 90 %: recall ${shares.recall.toFixed(3)}, ${shares.perDay.toFixed(1)}\n`,
  );

  expect(deviations.perDay).toBeGreaterThan(1);
  expect(shares.recall).toBeLessThan(0.9);
});

const cpu = metricOf('cpu_percent');
const flat = (from: number, to: number, step: number, value: (at: number) => number): Point[] =>
  Array.from({ length: (to - from) / step }, (_, index) => ({
    atSeconds: from + index * step,
    value: value(from + index * step),
  }));
const sums = (points: readonly Point[]): Coarse[] =>
  points.map(({ atSeconds, value }) => ({
    atSeconds,
    samples: 30,
    mean: value,
    least: value,
    most: value,
    p95: value,
  }));

test('two minutes are a blip, four are an anomaly that says since when, how far and against what', () => {
  const past = sums(flat(start - day, start, 300, () => 10));
  const spike = (minutes: number) =>
    flat(start, start + 3_600, 10, (at) => (at >= start + 600 && at < start + 600 + minutes * 60 ? 80 : 10));

  expect(anomaliesIn(spike(2), past, cpu)).toEqual([]);
  expect(anomaliesIn(spike(4), past, cpu)).toEqual([
    {
      startSeconds: start + 600,
      endSeconds: start + 840,
      minutes: 4,
      direction: 'high',
      value: 80,
      extreme: 80,
      usual: 10,
      usualLow: 10,
      usualHigh: 10,
      score: 70 / 3,
      basis: 'last day',
    },
  ]);
});

test('what comes at the same hour each day is usual there, and unusual at another', () => {
  const past = sums(flat(start - 7 * day, start, 300, (at) => (at % day < 3_600 ? 80 : 10)));
  const now = (at: number) => flat(at, at + 1_200, 10, () => 80);

  expect(anomaliesIn(now(start + 600), past, cpu)).toEqual([]);
  expect(anomaliesIn(now(start + 6 * 3_600), past, cpu)).toMatchObject([
    { direction: 'high', basis: 'same hour of earlier days' },
  ]);
});

test('without a past nothing is called unusual', () => {
  expect(
    anomaliesIn(
      flat(start, start + 3_600, 10, () => 99),
      [],
      cpu,
    ),
  ).toEqual([]);
});
