import { setImmediate } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { Lane } from './lanes.ts';
import { held, testCall } from './testing.ts';

describe('A lane', () => {
  const width = { perCaller: 2, inAll: 3, waiting: 4 };
  const of = (caller: string) => testCall({ caller });

  test('takes so much of one caller, and others beside it', async () => {
    const lane = new Lane(width);
    const works = Array.from({ length: 5 }, held);
    const done = works.map(async (work, index) => lane.run(of(index < 4 ? 'greedy' : 'other'), work.run));
    await setImmediate();
    expect(works.map(({ hasBegun }) => hasBegun)).toEqual([true, true, false, false, true]);

    works[0]?.end();
    await done[0];
    await setImmediate();

    expect(works.map(({ hasBegun }) => hasBegun)).toEqual([true, true, true, false, true]);
    for (const work of works) work.end();
    await Promise.all(done);
  });

  test('serves one caller after the other, however much one brings', async () => {
    const lane = new Lane({ perCaller: 1, inAll: 1, waiting: 100 });
    const order: string[] = [];
    const callers = ['a', 'a', 'a', 'a', 'b', 'b', 'c'];

    await Promise.all(
      callers.map(async (caller) =>
        lane.run(of(caller), async () => {
          order.push(caller);
          await setImmediate();
        }),
      ),
    );

    expect(order.join('')).toBe('aabcaba');
  });

  test('gives one who has nothing at work a place of its own, up to a bound', async () => {
    const lane = new Lane({ perCaller: 2, inAll: 2, firsts: 3, waiting: 4 });
    const works = Array.from({ length: 5 }, held);
    const callers = ['greedy', 'greedy', 'other', 'other', 'third'];
    const done = works.map(async (work, index) => lane.run(of(callers[index] ?? ''), work.run));
    await setImmediate();

    expect(works.map(({ hasBegun }) => hasBegun)).toEqual([true, true, true, false, false]);
    for (const work of works) work.end();
    await Promise.all(done);
  });

  test('says when to come again once too many wait', async () => {
    const lane = new Lane(width);
    const works = Array.from({ length: 6 }, held);
    const done = works.map(async (work) => lane.run(of('greedy'), work.run));

    await expect(lane.run(of('greedy'), async () => {})).rejects.toMatchObject({
      code: 'unavailable',
      retryAfterMs: expect.any(Number) as number,
      hint: expect.stringMatching(/^Try again in \d+ s/) as string,
    });
    expect(await lane.run(of('other'), async () => 'served')).toBe('served');
    for (const work of works) work.end();
    await Promise.all(done);
  });

  test('gives the places of those who were stopped to others', async () => {
    const lane = new Lane(width);
    const [first, second, next] = [held(), held(), held()];
    const stop = new AbortController();
    const stopped = testCall({ caller: 'greedy', signal: stop.signal });
    const done = [first, second].map(async (work) => lane.run(of('greedy'), work.run));
    const waiting = [held(), held()].map(async (work) => lane.run(stopped, work.run));
    const last = lane.run(of('greedy'), next.run);

    stop.abort(new RangeError('gone'));
    for (const one of waiting) await expect(one).rejects.toThrow('gone');
    first.end();
    await done[0];
    await setImmediate();

    expect(next.hasBegun).toBe(true);
    for (const work of [second, next]) work.end();
    await Promise.all([...done, last]);
    expect(await lane.run(of('greedy'), async () => 'served')).toBe('served');
  });
});
