import { setImmediate } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { openGate } from './gate.ts';

const never = new AbortController().signal;

/** Work that ends when it is told to, in the order in which it began. */
function bench() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => async () => {
    begun.push(name);
    await new Promise<void>((resolve) => void ends.set(name, resolve));
    return name;
  };
  const end = async (name: string) => {
    ends.get(name)?.();
    await setImmediate();
  };
  return { begun, work, end };
}

test('a token has so many at once, and others begin meanwhile', async () => {
  const inTurn = openGate(2, 8);
  const { begun, work, end } = bench();

  for (const name of ['a1', 'a2', 'a3']) void inTurn('a', never, work(name));
  void inTurn('b', never, work('b1'));
  await setImmediate();
  expect(begun).toEqual(['a1', 'a2', 'b1']);

  await end('a1');
  expect(begun).toEqual(['a1', 'a2', 'b1', 'a3']);
});

test('where all places are taken, tokens take turns', async () => {
  const inTurn = openGate(2, 2);
  const { begun, work, end } = bench();

  for (const name of ['a1', 'a2', 'a3', 'a4']) void inTurn('a', never, work(name));
  for (const name of ['b1', 'b2']) void inTurn('b', never, work(name));
  await setImmediate();
  for (const name of ['a1', 'a2', 'b1', 'a3']) await end(name);

  expect(begun).toEqual(['a1', 'a2', 'b1', 'a3', 'b2', 'a4']);
});

test('who comes while another is at work is before what that one has waiting', async () => {
  const inTurn = openGate(1, 1);
  const { begun, work, end } = bench();

  for (const name of ['a1', 'a2', 'a3']) void inTurn('a', never, work(name));
  for (const name of ['b1', 'b2']) void inTurn('b', never, work(name));
  void inTurn('c', never, work('c1'));
  await setImmediate();
  for (const name of ['a1', 'b1', 'c1', 'a2', 'b2']) await end(name);

  expect(begun).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
});

test('who gives up while it waits does not begin, and makes no place', async () => {
  const inTurn = openGate(1, 1);
  const { begun, work, end } = bench();
  const gone = new AbortController();

  const first = inTurn('a', never, work('a1'));
  const second = inTurn('a', gone.signal, work('a2'));
  const third = inTurn('a', never, work('a3'));
  gone.abort(new Error('gone'));
  await expect(second).rejects.toThrow('gone');
  await end('a1');
  await end('a3');

  expect(await Promise.all([first, third])).toEqual(['a1', 'a3']);
  expect(begun).toEqual(['a1', 'a3']);
});

test('work that fails makes place, and too many that wait are refused', async () => {
  const inTurn = openGate(1, 1);
  const { work, end } = bench();

  await expect(inTurn('a', never, async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  const held = inTurn('a', never, work('held'));
  const waiting = Array.from({ length: 500 }, async () => inTurn('a', never, async () => 'done'));
  await expect(inTurn('a', never, async () => 'done')).rejects.toMatchObject({ code: 'unavailable' });
  await expect(inTurn('b', AbortSignal.abort(new Error('gone')), async () => 'done')).rejects.toThrow('gone');
  await end('held');

  expect(await held).toBe('held');
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['done']));
});

test('whoever has more at work or waiting is told so, and the others are not', async () => {
  const inTurn = openGate(2, 8);
  const told: [string, boolean][] = [];
  const work = (name: string) => async (hasMore: boolean) => {
    told.push([name, hasMore]);
    await setImmediate();
  };

  const all = ['a1', 'a2', 'a3', 'a4'].map(async (name) => inTurn('a', never, work(name)));
  await Promise.all([...all, inTurn('b', never, work('b1'))]);

  expect(Object.fromEntries(told)).toEqual({ a1: true, a2: true, a3: true, a4: true, b1: false });
});

test('what others wait for goes before what its own token has waiting, not before others', async () => {
  const inTurn = openGate(1, 1);
  const { begun, work, end } = bench();

  for (const name of ['a1', 'a2', 'a3']) void inTurn('a', never, work(name));
  void inTurn('b', never, work('b1'));
  void inTurn('a', never, work('a urgent'), true);
  await setImmediate();
  for (const name of ['a1', 'b1', 'a urgent', 'a2']) await end(name);

  expect(begun).toEqual(['a1', 'b1', 'a urgent', 'a2', 'a3']);
});
