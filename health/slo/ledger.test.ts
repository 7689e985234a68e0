import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { windowsMs } from './burn.ts';
import { Ledger, type Source, type Span } from './ledger.ts';

const nobody = () => [];
const minuteMs = 60_000;
const startMs = Date.UTC(2026, 10, 29, 12);
const measure = { count: 'polls' } as const;
/** What lies ahead was not polled yet. */
let clockMs = startMs;
async function read(
  ledger: Ledger,
  nowMs: number,
  excluded: (process: string, span: Span) => readonly Span[] = nobody,
): Promise<void> {
  clockMs = nowMs;
  await ledger.read(nowMs, excluded);
}

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
      for (let atMs = Math.ceil(fromMs / 1_000) * 1_000; atMs < Math.min(toMs, clockMs); atMs += 1_000) {
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
  for (const afterMs of [7_190_000, 7_200_000, 7_252_000]) await read(ledger, startMs + afterMs);

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
  await read(ledger, startMs + minuteMs);

  expect(ledger.windows(objective('memory', 'git'), startMs + minuteMs)['5m']).toEqual({
    good: 60,
    total: 120,
    knownMs: minuteMs,
  });
});

test('minutes in which a maintenance window was open do not count, also what was counted of them before', async () => {
  using ledger = new Ledger(':memory:');
  ledger.follow([polled('memory', () => true).source, polled('git', () => true).source]);
  const window = { fromMs: startMs + 90_500, toMs: startMs + 150_500 };
  const excluded = (process: string, span: Span) =>
    process === 'memory' && window.fromMs < span.toMs && window.toMs > span.fromMs ? [window] : [];
  await read(ledger, startMs + 90_000);
  await read(ledger, startMs + 2 * minuteMs, excluded);
  await read(ledger, startMs + 5 * minuteMs, excluded);

  const counted = (process: string) => ledger.windows(objective(process), startMs + 5 * minuteMs);
  // Of five minutes, the second and the third.
  expect(counted('memory')['5m']).toMatchObject({ total: 180, knownMs: 180_000 });
  expect(counted('memory')['30d']).toMatchObject({ total: 180, knownMs: 180_000 });
  expect(counted('git')['5m']).toMatchObject({ total: 300, knownMs: 300_000 });
});

test('a minute is read again until it is over: what is written late counts, and nothing counts twice', async () => {
  using ledger = new Ledger(':memory:');
  let seenMs = 0;
  const { source } = polled('memory', () => false);
  ledger.follow([{ ...source, counts: (fromMs, toMs) => source.counts(fromMs, Math.min(toMs, seenMs)) }]);
  for (let afterMs = 5_000; afterMs <= 305_000; afterMs += 5_000) {
    // What is known is up to twenty seconds old.
    seenMs = startMs + Math.floor(afterMs / 20_000) * 20_000;
    await read(ledger, startMs + afterMs);
  }

  expect(ledger.windows(objective('memory'), startMs + 305_000)['30d'].total).toBe(300);
});

test('what only the first poll after a gap tells of the gap counts', async () => {
  using ledger = new Ledger(':memory:');
  let isBack = false;
  const { source } = polled('health', (atMs) => atMs >= startMs + minuteMs);
  ledger.follow([
    {
      ...source,
      counts: (fromMs, toMs) => source.counts(fromMs, isBack ? toMs : Math.min(toMs, startMs + minuteMs)),
    },
  ]);
  await read(ledger, startMs + minuteMs);
  await read(ledger, startMs + 3_600_000);
  await read(ledger, startMs + 3_605_000);
  isBack = true;
  await read(ledger, startMs + 3_610_000);

  const { good, total } = ledger.windows(objective('health'), startMs + 3_610_000)['2h'];
  expect({ good, total: Math.round(total) }).toEqual({ good: 60, total: 3_610 });
});

test('what was counted is there after a restart, and what was missed meanwhile is made up for', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'budget.db');
  const gap = { fromMs: startMs + 3_600_000, toMs: startMs + 2 * 86_400_000 };
  const isBad = (atMs: number) => atMs < startMs + 10_000;
  {
    using ledger = new Ledger(file);
    ledger.follow([polled('memory', isBad).source]);
    await read(ledger, startMs + 1_800_000);
    // It was not saved again before it ended: a kill.
    await read(ledger, startMs + 1_810_000);
  }
  using again = new Ledger(file);
  const { source, asked } = polled('memory', isBad, [gap]);
  again.follow([source]);
  const nowMs = gap.toMs + minuteMs;
  await read(again, nowMs);

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
  await read(ledger, startMs + minuteMs);
  const laterMs = startMs + windowsMs['30d'] + 2 * 3_600_000;
  await read(ledger, laterMs);

  expect(ledger.windows(objective('memory'), laterMs)['30d'].total).toBe(0);
});

test('a clock that jumps makes nothing negative, and counting goes on', async () => {
  using ledger = new Ledger(':memory:');
  ledger.follow([polled('memory', () => false).source]);
  await read(ledger, startMs + 600_000);
  await read(ledger, startMs + 7_200_000);
  await read(ledger, startMs + 60_000);
  await read(ledger, startMs + 120_000);

  const { good, total, knownMs } = ledger.windows(objective('memory'), startMs + 120_000)['5m'];
  expect(total).toBe(good);
  expect(total).toBeGreaterThan(0);
  expect(knownMs).toBeLessThanOrEqual(windowsMs['5m']);
});

test('objectives may change: what is no longer followed is not read, and comes back as it was', async () => {
  using ledger = new Ledger(':memory:');
  const [memory, git] = [polled('memory', () => false), polled('git', () => false)];
  ledger.follow([memory.source, git.source]);
  await read(ledger, startMs + minuteMs);
  ledger.follow([memory.source]);
  const asked = git.asked.length;
  await read(ledger, startMs + 2 * minuteMs);
  expect(git.asked).toHaveLength(asked);

  ledger.follow([memory.source, git.source]);
  await read(ledger, startMs + 3 * minuteMs);

  expect(ledger.windows(objective('git'), startMs + 3 * minuteMs)['5m'].total).toBe(180);
});
