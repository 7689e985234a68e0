import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { Lane, PathQueue } from './queues.ts';

/** Work that is over when it is told so. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const work = {
    hasBegun: false,
    end: resolve,
    run: async () => {
      work.hasBegun = true;
      await promise;
    },
  };
  return work;
}

describe('A change', () => {
  const call = testCall();

  test.each([
    ['the same path', ['/r/a'], ['/r/a']],
    ['a path above', ['/r/a/b'], ['/r/a']],
    ['a path below', ['/r'], ['/r/a/b']],
    ['one of several', ['/r/x', '/r/a'], ['/r/y', '/r/a/c']],
    ['another spelling', ['/r/CAF\u00c9'], ['/r/cafe\u0301']],
    ['another part of what would be a repository', ['/r/a/objects/x'], ['/r/a/refs']],
    ['one of very many', Array.from({ length: 20 }, (_, n) => `/r/many/${n}`), ['/r/many/other']],
  ])('waits for one before it that touches %s', async (_, first, second) => {
    const queue = new PathQueue();
    const [one, other] = [held(), held()];
    const done = [queue.run(first, call, one.run), queue.run(second, call, other.run)];
    await setImmediate();
    expect([one.hasBegun, other.hasBegun]).toEqual([true, false]);

    one.end();
    await done[0];
    await setImmediate();

    expect(other.hasBegun).toBe(true);
    other.end();
    await Promise.all(done);
  });

  test.each([
    ['beside it', ['/r/a'], ['/r/b']],
    ['whose name begins alike', ['/r/a'], ['/r/ab']],
    ['in another root', Array.from({ length: 20 }, (_, n) => `/r/many/${n}`), ['/s/x']],
  ])('waits for none %s', async (_, first, second) => {
    const queue = new PathQueue();
    const [one, other] = [held(), held()];
    const done = [queue.run(first, call, one.run), queue.run(second, call, other.run)];
    await setImmediate();

    expect([one.hasBegun, other.hasBegun]).toEqual([true, true]);
    one.end();
    other.end();
    await Promise.all(done);
  });

  test('that was stopped while it waited does nothing, and keeps nobody waiting', async () => {
    const queue = new PathQueue();
    const [one, stopped, last] = [held(), held(), held()];
    const stop = new AbortController();
    const first = queue.run(['/r/a'], call, one.run);
    const second = queue.run(['/r/a', '/r/b'], testCall({ signal: stop.signal }), stopped.run);
    const third = queue.run(['/r/b'], call, last.run);

    stop.abort(new RangeError('too late'));
    await expect(second).rejects.toThrow('too late');
    await setImmediate();

    expect([stopped.hasBegun, last.hasBegun]).toEqual([false, true]);
    one.end();
    last.end();
    await Promise.all([first, third, queue.settled()]);
  });

  test('never runs beside one that touches its paths, and all of them end', async () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 })
      .map((names) => `/r/${names.join('/')}`);
    const paths = fc.array(path, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(paths, fc.nat(3)), { maxLength: 30 }), async (changes) => {
        const queue = new PathQueue();
        const running = new Set<readonly string[]>();
        const run = async ([paths, turns]: readonly [readonly string[], number]) =>
          queue.run(paths, call, async () => {
            for (const other of running) {
              for (const one of other)
                for (const path of paths) {
                  const isApart = !`${one}/`.startsWith(`${path}/`) && !`${path}/`.startsWith(`${one}/`);
                  expect(isApart, `${one} ${path}`).toBe(true);
                }
            }
            running.add(paths);
            for (let turn = 0; turn < turns; turn += 1) await setImmediate();
            running.delete(paths);
          });
        await Promise.all(changes.map(run));
      }),
      { numRuns: 100 },
    );
  });
});

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
