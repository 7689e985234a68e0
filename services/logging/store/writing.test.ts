/** Large batches come in pieces: seen when they are whole, and nobody waits for all of one. */
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { openKeeper, type Keeper, type Staging } from './keeper.ts';
import { openReader } from './reader.ts';
import { keeping, newLine } from './store.fixture.ts';
import { writingTo } from './writing.ts';

const nowMs = Date.parse('2026-11-20T12:00:00Z');
const linesOf = (count: number, word: string) =>
  Array.from({ length: count }, (_, at) => newLine(nowMs - 86_400_000 + at * 60_000, `${word} ${at}`));
const batchOf = (owner: string, count: number, name?: string) => ({
  lines: linesOf(count, owner),
  owner,
  name,
  refused: {},
});

const large = { ...keeping, linesPerSegment: 1_000_000 };

function folderOf() {
  const folder = temporaryFolder();
  return { dataDir: join(folder.path, 'store'), [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

function found(dataDir: string, query: string): number {
  using reader = openReader(dataDir);
  return reader.piece({ filter: { query }, order: 'oldest', limit: 100_000, budgetMs: 60_000 }).lines.length;
}

function begun(keeper: Keeper, ...given: Parameters<typeof batchOf>): Staging {
  const staging = keeper.begin(batchOf(...given), nowMs);
  if (!('number' in staging)) throw new Error('It was stored at once.');
  return staging;
}

test('a small batch of another token is stored between the pieces of a large one, and what waits keeps its order', async () => {
  using folder = folderOf();
  using keeper = openKeeper(folder.dataDir, large);
  const order: string[] = [];
  const writing = writingTo(
    keeper,
    () => nowMs,
    () => {},
  );
  const stored = async (name: string, owner: string, count: number) =>
    writing.store(batchOf(owner, count)).then(({ accepted }) => order.push(`${name} ${accepted}`));

  const all = [
    stored('large', 'anna', 5_500),
    stored('behind', 'anna', 10),
    stored('large of another', 'bert', 2_500),
  ];
  await new Promise((resolve) => setTimeout(resolve));
  all.push(stored('small of another', 'carl', 10));
  await Promise.all(all);
  writing[Symbol.dispose]();

  expect(order).toEqual(['small of another 10', 'large of another 2500', 'large 5500', 'behind 10']);
});

test('lines of a batch are seen when all of them are there, in both days', () => {
  using folder = folderOf();
  using keeper = openKeeper(folder.dataDir, large);
  const staging = begun(keeper, 'anna', 1_440);

  expect(keeper.stage(staging, 1_000)).toBe(false);
  keeper.append([batchOf('bert', 5)], nowMs);
  expect([found(folder.dataDir, 'anna'), found(folder.dataDir, 'bert')]).toEqual([0, 5]);
  expect(keeper.stage(staging, 1_000)).toBe(true);
  expect(found(folder.dataDir, 'anna')).toBe(0);
  expect(keeper.finish(staging, nowMs)).toMatchObject({ accepted: 1_440 });

  keeper.append([batchOf('bert', 5)], nowMs);
  expect([found(folder.dataDir, 'anna'), found(folder.dataDir, 'bert')]).toEqual([1_440, 10]);
});

test('of a batch that a crash cuts off nothing is left, and what came meanwhile is', () => {
  using folder = folderOf();
  {
    using keeper = openKeeper(folder.dataDir, large);
    keeper.stage(begun(keeper, 'anna', 1_440), 1_000);
    keeper.append([batchOf('bert', 5)], nowMs);
  }
  using keeper = openKeeper(folder.dataDir, large);
  keeper.append([batchOf('carl', 5)], nowMs);

  const left = ['anna', 'bert', 'carl'].map((word) => found(folder.dataDir, word));
  expect(left).toEqual([0, 5, 5]);
  using reader = openReader(folder.dataDir);
  expect(reader.counts({ filter: {}, by: 'none', everyMinutes: undefined })).toMatchObject([{ lines: 10 }]);
});

test('a quota that was used up meanwhile, or a name that was taken, takes all of it back', () => {
  using folder = folderOf();
  using keeper = openKeeper(folder.dataDir, { ...large, quota: { items: 3_000, bytes: 1_000_000 } });
  const [one, other] = [begun(keeper, 'anna', 2_000), begun(keeper, 'anna', 2_000)];
  const [named, again] = [begun(keeper, 'bert', 1_200, 'n'), begun(keeper, 'bert', 1_200, 'n')];
  for (const staging of [one, other, named, again]) keeper.stage(staging, 10_000);

  expect(keeper.finish(one, nowMs)).toMatchObject({ accepted: 2_000 });
  expect(keeper.finish(other, nowMs)).toMatchObject({ code: 'too_large' });
  expect(keeper.finish(named, nowMs)).toMatchObject({ accepted: 1_200, isRepeated: false });
  expect(keeper.finish(again, nowMs)).toMatchObject({ accepted: 1_200, isRepeated: true });

  keeper.append([batchOf('carl', 5)], nowMs);
  expect(['anna', 'bert', 'carl'].map((word) => found(folder.dataDir, word))).toEqual([2_000, 1_200, 5]);
});

test('lines whose stretch of time goes while they come in are refused as a whole, also where another begins there', () => {
  using folder = folderOf();
  using keeper = openKeeper(folder.dataDir, large);
  const staging = begun(keeper, 'anna', 1_440);
  keeper.stage(staging, 10_000);
  const [first = 0] = staging.parts.keys();

  keeper.removeWhole(first);
  keeper.append([batchOf('bert', 5)], nowMs);

  expect([...staging.parts.keys()]).toContain(first);
  expect(() => keeper.finish(staging, nowMs)).toThrow('taken out meanwhile');
  keeper.append([batchOf('carl', 5)], nowMs);
  expect(['anna', 'bert', 'carl'].map((word) => found(folder.dataDir, word))).toEqual([0, 5, 5]);
});
