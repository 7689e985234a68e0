import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { windowsMs } from './burn.ts';
import { Ledger, without, type Source, type Span } from './ledger.ts';

const nobody = () => [];
const minuteMs = 60_000;
const startMs = Date.UTC(2026, 10, 29, 12);
const measure = { count: 'polls' } as const;
const objective = (...processes: string[]) => ({ processes, measure });

/** A process that is polled once a second, but for gaps; `isBad` of each second. */
function polled(process: string, isBad: (atMs: number) => boolean, gaps: readonly Span[] = []) {
  const asked: Span[] = [];
  const source: Source = {
    process,
    measure,
    counts(fromMs, toMs) {
      asked.push({ fromMs, toMs });
      let [good, total] = [0, 0];
      for (let atMs = Math.ceil(fromMs / 1_000) * 1_000; atMs < toMs; atMs += 1_000) {
        if (atMs < startMs || gaps.some((gap) => gap.fromMs <= atMs && atMs < gap.toMs)) continue;
        total += 1;
        good += Number(!isBad(atMs));
      }
      return total === 0 ? null : { good, total };
    },
  };
  return { source, asked };
}

test('windows hold exactly what lies in them, whichever moment it is', async () => {
  using ledger = new Ledger(':memory:');
  const { source } = polled('memory', (atMs) => atMs >= startMs + 7_200_000);
  ledger.follow([source]);
  for (const afterMs of [7_190_000, 7_200_000, 7_252_000]) await ledger.read(startMs + afterMs, nobody);

  const windows = ledger.windows(objective('memory'), startMs + 7_252_000);

  expect(windows['1h']).toMatchObject({ total: 3_600, knownMs: 3_600_000 });
  expect(windows['1h'].total - windows['1h'].good).toBeCloseTo(52, 6);
  expect(windows['5m'].total).toBeCloseTo(300, 6);
  // Two hours and some are known of it.
  expect(windows['30d']).toEqual({ good: 7_200, total: 7_252, knownMs: 7_252_000 });
  expect(ledger.windows(objective('nobody'), startMs)['5m']).toEqual({ good: 0, total: 0, knownMs: 0 });
});

test('processes count together', async () => {
  using ledger = new Ledger(':memory:');
  ledger.follow([polled('memory', () => true).source, polled('git', () => false).source]);
  await ledger.read(startMs + minuteMs, nobody);

  expect(ledger.windows(objective('memory', 'git'), startMs + minuteMs)['5m']).toEqual({
    good: 60,
    total: 120,
    knownMs: minuteMs,
  });
});

test('maintenance windows are cut out, to the second', async () => {
  using ledger = new Ledger(':memory:');
  ledger.follow([polled('memory', () => true).source, polled('git', () => true).source]);
  const window = { fromMs: startMs + 90_500, toMs: startMs + 150_500 };
  const excluded = (process: string) => (process === 'memory' ? [window] : []);
  await ledger.read(startMs + 2 * minuteMs, excluded);
  await ledger.read(startMs + 5 * minuteMs, excluded);

  const counted = (process: string) => ledger.windows(objective(process), startMs + 5 * minuteMs)['5m'];
  expect(counted('memory')).toMatchObject({ total: 240, knownMs: 240_000 });
  expect(counted('git')).toMatchObject({ total: 300, knownMs: 300_000 });
});

test('what was counted is there after a restart, and what was missed meanwhile is made up for', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'budget.db');
  const gap = { fromMs: startMs + 3_600_000, toMs: startMs + 2 * 86_400_000 };
  const isBad = (atMs: number) => atMs < startMs + 10_000;
  {
    using ledger = new Ledger(file);
    ledger.follow([polled('memory', isBad).source]);
    await ledger.read(startMs + 1_800_000, nobody);
    // It was not saved again before it ended: a kill.
    await ledger.read(startMs + 1_810_000, nobody);
  }
  using again = new Ledger(file);
  const { source, asked } = polled('memory', isBad, [gap]);
  again.follow([source]);
  const nowMs = gap.toMs + minuteMs;
  await again.read(nowMs, nobody);

  expect(again.windows(objective('memory'), nowMs)['30d']).toEqual({
    good: 3_600 + 60 - 10,
    total: 3_600 + 60,
    knownMs: 3_660_000,
  });
  // Hours in which nothing was polled are not looked into minute by minute.
  expect(asked.length).toBeLessThan(250);
});

test('what is older than the period goes, from memory and from the disk', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'budget.db');
  using ledger = new Ledger(file);
  ledger.follow([polled('memory', () => true, [{ fromMs: startMs + minuteMs, toMs: Infinity }]).source]);
  await ledger.read(startMs + minuteMs, nobody);
  const laterMs = startMs + windowsMs['30d'] + 2 * 3_600_000;
  await ledger.read(laterMs, nobody);

  expect(ledger.windows(objective('memory'), laterMs)['30d'].total).toBe(0);
});

test('a clock that jumps makes nothing negative, and counting goes on', async () => {
  using ledger = new Ledger(':memory:');
  ledger.follow([polled('memory', () => false).source]);
  await ledger.read(startMs + 600_000, nobody);
  await ledger.read(startMs + 7_200_000, nobody);
  await ledger.read(startMs + 60_000, nobody);
  await ledger.read(startMs + 120_000, nobody);

  const { good, total, knownMs } = ledger.windows(objective('memory'), startMs + 120_000)['5m'];
  expect(total).toBe(good);
  expect(total).toBeGreaterThan(0);
  expect(knownMs).toBeLessThanOrEqual(windowsMs['5m']);
});

test('objectives may change: what is no longer followed is not read, and comes back as it was', async () => {
  using ledger = new Ledger(':memory:');
  const [memory, git] = [polled('memory', () => false), polled('git', () => false)];
  ledger.follow([memory.source, git.source]);
  await ledger.read(startMs + minuteMs, nobody);
  ledger.follow([memory.source]);
  const asked = git.asked.length;
  await ledger.read(startMs + 2 * minuteMs, nobody);
  expect(git.asked).toHaveLength(asked);

  ledger.follow([memory.source, git.source]);
  await ledger.read(startMs + 3 * minuteMs, nobody);

  expect(ledger.windows(objective('git'), startMs + 3 * minuteMs)['5m'].total).toBe(180);
});

test.each<[string, readonly Span[], readonly Span[]]>([
  ['nothing', [], [{ fromMs: 10, toMs: 20 }]],
  ['all', [{ fromMs: 0, toMs: 30 }], []],
  [
    'the middle',
    [{ fromMs: 12, toMs: 15 }],
    [
      { fromMs: 10, toMs: 12 },
      { fromMs: 15, toMs: 20 },
    ],
  ],
  [
    'both ends',
    [
      { fromMs: 5, toMs: 11 },
      { fromMs: 19, toMs: 25 },
    ],
    [{ fromMs: 11, toMs: 19 }],
  ],
  [
    'what lies elsewhere',
    [
      { fromMs: 0, toMs: 10 },
      { fromMs: 20, toMs: 21 },
    ],
    [{ fromMs: 10, toMs: 20 }],
  ],
])('a span without %s', (_, holes, rest) => {
  expect(without({ fromMs: 10, toMs: 20 }, holes)).toEqual(rest);
});
