import { setImmediate } from 'node:timers/promises';

import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';

import { held, testCall } from '#runtime/testing.ts';

import { changesAtOnce, maxPatchedFiles } from './limits.ts';
import { testPlace, type TestPlace } from './place.fixture.ts';
import { PathQueue } from './queues.ts';

describe('A change', () => {
  const call = testCall();
  /** As many as one patch may have. */
  const manyFiles = ['/r/top', ...Array.from({ length: maxPatchedFiles }, (_, n) => `/r/evil/${n}`)];

  test.each([
    ['the same path', ['/r/a'], ['/r/a']],
    ['a path above', ['/r/a/b'], ['/r/a']],
    ['a path below', ['/r'], ['/r/a/b']],
    ['one of several', ['/r/x', '/r/a'], ['/r/y', '/r/a/c']],
    ['another spelling', ['/r/CAF\u00c9'], ['/r/cafe\u0301']],
    ['another part of what would be a repository', ['/r/a/objects/x'], ['/r/a/refs']],
    ['one of very many', Array.from({ length: 20 }, (_, n) => `/r/many/${n}`), ['/r/many/19/x']],
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
    ['below a folder in which very many others change', manyFiles, ['/r/evil/other']],
    ['in a root at whose top and below which very many others change', manyFiles, ['/r/mine']],
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

  /** The order in which changes begin that came while the first of them was at work; each is a caller's letter and a path. */
  async function orderOf(changes: readonly string[]): Promise<string[]> {
    const queue = new PathQueue();
    const begun: string[] = [];
    const first = held();
    const done = changes.map(async (change, index) => {
      const [caller = '', path = ''] = change.split(' ');
      return queue.run([path], testCall({ caller }), async () => {
        begun.push(change);
        if (index === 0) await first.run();
      });
    });
    await setImmediate();
    first.end();
    await Promise.all(done);
    return begun;
  }

  test.each([
    ['one of many', 'a /r,a /r,a /r,a /r,b /r', 'a /r,b /r,a /r,a /r,a /r'],
    ['several', 'a /r,a /r,a /r,b /r,b /r,c /r', 'a /r,b /r,c /r,a /r,b /r,a /r'],
    ['one below', 'a /r,a /r,a /r,b /r/x', 'a /r,b /r/x,a /r,a /r'],
    ['one above', 'a /r/x,a /r/x,a /r/x,b /r', 'a /r/x,b /r,a /r/x,a /r/x'],
    ['one that was first', 'a /r,b /r,a /r,c /r', 'a /r,b /r,c /r,a /r'],
  ])('waits for at most one change of each other caller: %s', async (_, changes, order) => {
    expect(await orderOf(changes.split(','))).toEqual(order.split(','));
  });

  test('is not passed by later ones for ever', async () => {
    const queue = new PathQueue();
    const begun: string[] = [];
    let left = 20;
    const wait = held();
    const again = async (caller: string): Promise<void> => {
      if (left === 0) return;
      left -= 1;
      const next = queue.run(['/r/x'], testCall({ caller }), async () => {
        begun.push(caller);
        await setImmediate();
      });
      await Promise.all([next, setImmediate().then(async () => again(caller))]);
    };
    const first = queue.run(['/r/x'], testCall({ caller: 'a' }), wait.run);
    const folder = queue.run(['/r'], testCall({ caller: 'a' }), async () => void begun.push('folder'));
    const others = ['b', 'c'].map(again);
    await setImmediate();
    wait.end();
    await Promise.all([first, folder, ...others]);

    expect(begun.slice(0, 3)).toEqual(['b', 'c', 'folder']);
  });

  test('never runs beside one that touches its paths, and all of them end', async () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 })
      .map((names) => `/r/${names.join('/')}`);
    const paths = fc.array(path, { minLength: 1, maxLength: 4 });
    const caller = fc.constantFrom('a', 'b', 'c');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(paths, fc.nat(3), caller), { maxLength: 30 }), async (changes) => {
        const queue = new PathQueue();
        const running = new Set<readonly string[]>();
        const run = async ([paths, turns, caller]: readonly [readonly string[], number, string]) => {
          // Some come while others are at work.
          for (let turn = 0; turn < turns; turn += 1) await setImmediate();
          return queue.run(paths, testCall({ caller }), async () => {
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
        };
        await Promise.all(changes.map(run));
      }),
      { numRuns: 100 },
    );
  });
});

describe('A change that waits for other changes of its own caller', () => {
  const [busy, other] = [testCall({ caller: 'busy' }), testCall({ caller: 'other' })];
  const settled = async () => {
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
  };
  /** Changes of other paths, which take all places of their caller but one. */
  const busyWith = ({ files }: TestPlace, work: () => Promise<void>) =>
    Array.from({ length: changesAtOnce.perCaller - 1 }, async (_, at) =>
      files.change(busy, [[`b/${at}`]], work),
    );

  test('leaves its paths to others, and is made when it has its turn', async () => {
    await using place = testPlace({ 'a/': '', 'b/': '', 'c/': '' });
    const { files } = place;
    const [first, second, third, theirs] = [held(), held(), held(), held()];
    const made = [
      files.change(busy, [['a/x']], first.run),
      ...busyWith(place, second.run),
      files.change(busy, [['c/x']], third.run),
    ];
    await vi.waitFor(() => expect([first.hasBegun, second.hasBegun]).toEqual([true, true]));

    const done = files.change(other, [['c']], theirs.run);
    await vi.waitFor(() => expect(theirs.hasBegun).toBe(true));
    first.end();
    await settled();
    expect(third.hasBegun).toBe(false);
    theirs.end();
    await done;
    await vi.waitFor(() => expect(third.hasBegun).toBe(true));
    second.end();
    third.end();
    await Promise.all(made);
  });

  test('is made after those of the same path that came before it', async () => {
    await using place = testPlace({ 'a/': '', 'b/': '', 'c/': '' });
    const { files } = place;
    const [first, second] = [held(), held()];
    const order: number[] = [];
    const made = [files.change(busy, [['a/x']], first.run), ...busyWith(place, second.run)];
    await vi.waitFor(() => expect([first.hasBegun, second.hasBegun]).toEqual([true, true]));
    for (let number = 0; number < 10; number += 1)
      made.push(files.change(busy, [['c/x']], async () => void order.push(number)));
    await settled();
    first.end();
    second.end();
    await Promise.all(made);

    expect(order).toEqual(order.toSorted((one, other) => one - other));
    expect(order).toHaveLength(10);
  });
});
