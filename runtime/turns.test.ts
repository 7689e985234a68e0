import { setImmediate } from 'node:timers';

import { expect, test } from 'vitest';

import { testCall } from './testing.ts';

import { inTurns, type Steps } from './turns.ts';

function* counting(to: number): Steps<number> {
  for (let count = 0; count < to; count += 1) yield;
  return to;
}

test('others are served between the turns, and no snapshot spans two', async () => {
  const seen: string[] = [];
  const snapshot = <Value>(read: () => Value): Value => {
    seen.push('begin');
    const value = read();
    seen.push('end');
    return value;
  };
  setImmediate(() => seen.push('other'));

  const value = await inTurns(snapshot, testCall(), counting(1));

  expect(value).toBe(1);
  expect(seen).toEqual(['begin', 'end', 'other', 'begin', 'end']);
});

test('a call that was stopped goes no further', async () => {
  const stop = new AbortController();
  let turns = 0;
  const snapshot = <Value>(read: () => Value): Value => {
    if (++turns === 2) stop.abort(new RangeError('too late'));
    return read();
  };

  const work = inTurns(snapshot, testCall({ signal: stop.signal }), counting(9));

  await expect(work).rejects.toThrow('too late');
  expect(turns).toBe(2);
});
