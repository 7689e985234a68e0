import { afterEach, expect, test, vi } from 'vitest';

import { openPrecedence } from './precedence.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** Calls whose gits run until they are told to leave, and which of them stand still. */
function bench() {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const precedence = openPrecedence(() => performance.now());
  const halted = new Set<string>();
  const start = (name: string, { signal } = new AbortController()) => {
    const place = precedence.enter(name.slice(0, 1), signal);
    place.begin((isHalted) => void (isHalted ? halted.add(name) : halted.delete(name)));
    return place;
  };
  return { start, halted: () => [...halted].toSorted() };
}

test('gits of a token with several calls stand still while the one of another runs, and go on when it has ended', () => {
  const { start, halted } = bench();
  start('a1');
  start('a2');
  expect(halted()).toEqual([]);

  const short = start('b1');
  expect(halted()).toEqual(['a1', 'a2']);
  start('a3');
  expect(halted()).toEqual(['a1', 'a2', 'a3']);

  short.leave();
  expect(halted()).toEqual([]);
});

test('several gits of one call are no reason to stand still', () => {
  const { start, halted } = bench();
  const call = new AbortController();
  start('a1', call);
  start('a2', call);
  start('b1');

  expect(halted()).toEqual([]);
});

test('one that has worked for long gives way, and no more halts others', () => {
  const { start, halted } = bench();
  const long = start('a1');
  const short = start('b1');
  expect(halted()).toEqual([]);

  long.isLong();
  expect(halted()).toEqual(['a1']);
  short.isLong();
  expect(halted()).toEqual([]);
});

test('one that is made to end goes on to its end, and is halted no more', () => {
  const { start, halted } = bench();
  const place = start('a1');
  start('a2');
  start('a3');
  start('b1');
  place.leave();

  expect(halted()).toEqual(['a2', 'a3']);
});

test('however many short ones come, the others have a fifth of the time', () => {
  const { start, halted } = bench();
  start('a1');
  start('a2');
  let haltedMs = 0;
  let short = start('b1');
  for (let ms = 0; ms < 10_000; ms += 1) {
    if (halted().length > 0) haltedMs += 1;
    vi.advanceTimersByTime(1);
    if (ms % 20 === 19) {
      short.leave();
      short = start('b1');
    }
  }

  expect(haltedMs).toBeGreaterThan(7_500);
  expect(haltedMs).toBeLessThan(8_500);
});
