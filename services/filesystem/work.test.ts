import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { sorted, teller } from './work.ts';

test('What is put in order in turns is in the order that it has at once', async () => {
  const item = fc.record({ key: fc.nat(50), place: fc.nat() });
  const some = fc.array(item, { maxLength: 20_000, size: 'max' });
  const compare = (one: { key: number }, other: { key: number }) => one.key - other.key;
  await fc.assert(
    fc.asyncProperty(some, async (items) => {
      expect(await sorted(items, compare)).toEqual(items.toSorted(compare));
    }),
    { numRuns: 20 },
  );
});

test('Others are served while much is put in order', async () => {
  const names = Array.from({ length: 50_000 }, (_, n) => `name ${(n * 7_919) % 50_021}`);
  const others = { turns: 0, areServed: true };
  const work = sorted(names, (one, other) => (one < other ? -1 : 1)).finally(() => {
    others.areServed = false;
  });

  while (others.areServed) {
    others.turns += 1;
    await setImmediate();
  }

  expect(await work).toEqual(names.toSorted());
  expect(others.turns).toBeGreaterThan(40);
});

test('Progress is told at first, and not again at once', () => {
  const told: number[] = [];
  const tell = teller(testCall({ progress: (done) => told.push(done) }));

  for (let done = 0; done < 1_000; done += 1) tell(done);

  expect(told).toEqual([1]);
});
