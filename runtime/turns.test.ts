import { performance } from 'node:perf_hooks';
import { setImmediate as settled } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { testCall } from './testing.ts';

import { atTurnEnd, inTurn, inTurns, onAccount, takeTurn, telling, watchTurns, type Steps } from './turns.ts';

function spin(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

/** Steps that last longer than a piece of work: each is a piece of its own. */
function* longSteps(count: number): Steps<number> {
  for (let done = 0; done < count; done += 1) {
    spin(5);
    yield;
  }
  return count;
}

const asIs = <Value>(read: () => Value): Value => read();

test('others are served between the pieces, and no snapshot spans two', async () => {
  const seen: string[] = [];
  const snapshot = <Value>(read: () => Value): Value => {
    seen.push('begin');
    const value = read();
    seen.push('end');
    return value;
  };
  setImmediate(() => seen.push('other'));

  const value = await inTurns(snapshot, testCall(), longSteps(1));

  expect(value).toBe(1);
  expect(seen).toEqual(['begin', 'end', 'other', 'begin', 'end']);
});

test('short steps share a piece', async () => {
  let pieces = 0;
  const counting = <Value>(read: () => Value): Value => {
    pieces += 1;
    return read();
  };

  await inTurns(
    counting,
    testCall(),
    (function* short(): Steps<void> {
      for (let step = 0; step < 100; step += 1) yield;
    })(),
  );

  expect(pieces).toBeLessThan(10);
});

test('a call that was stopped goes no further', async () => {
  const stop = new AbortController();
  let pieces = 0;
  const snapshot = <Value>(read: () => Value): Value => {
    if (++pieces === 2) stop.abort(new RangeError('too late'));
    return read();
  };

  const work = inTurns(snapshot, testCall({ signal: stop.signal }), longSteps(9));

  await expect(work).rejects.toThrow('too late');
  expect(pieces).toBe(2);
});

test('what the work throws is thrown', async () => {
  await expect(async () =>
    inTurns(
      asIs,
      testCall(),
      (function* broken(): Steps<never> {
        yield;
        throw new RangeError('broken');
      })(),
    ),
  ).rejects.toThrow('broken');
});

test('work that is done in one piece answers at once', () => {
  const work = (function* short(): Steps<number> {
    yield;
    return 1;
  })();

  expect(inTurns(asIs, testCall(), work)).toBe(1);
});

test('small work of one caller passes the long work of another', async () => {
  const heavy = Array.from({ length: 8 }, async () =>
    inTurns(asIs, testCall({ caller: 'heavy' }), longSteps(10)),
  );
  let heavyDone = 0;
  for (const work of heavy) void work.then(() => (heavyDone += 1));
  await settled();

  const waits: number[] = [];
  for (let call = 0; call < 10; call += 1) {
    const askedAt = heavyDone;
    await new Promise<void>((done) => takeTurn('light', done));
    waits.push(heavyDone - askedAt);
    await settled();
  }

  expect(heavyDone).toBeLessThan(8);
  expect(Math.max(...waits)).toBe(0);
  await Promise.all(heavy);
});

test('an answer, and a commit, waits for no further piece of the long work of another', async () => {
  const seen: string[] = [];
  function* long(): Steps<void> {
    for (let step = 0; step < 6; step += 1) {
      spin(5);
      seen.push('piece');
      yield;
    }
  }
  const heavy = inTurns(asIs, testCall({ caller: 'heavy' }), long());
  await settled();

  await new Promise<void>((done) => {
    takeTurn('light', () => {
      seen.push('small');
      void Promise.resolve().then(() => seen.push('answer'));
      atTurnEnd(() => {
        seen.push('commit');
        done();
      });
    });
  });
  await heavy;

  expect(seen.slice(seen.indexOf('small')).slice(0, 4)).toEqual(['small', 'answer', 'commit', 'piece']);
});

test('work in a turn has a value, or fails', async () => {
  await expect(inTurn(testCall(), () => 1)).resolves.toBe(1);
  await expect(
    inTurn(testCall(), () => {
      throw new RangeError('broken');
    }),
  ).rejects.toThrow('broken');
});

test('who did nothing for long has no credit to keep others out with', async () => {
  const order: string[] = [];
  const work = (caller: string) =>
    takeTurn(caller, () => {
      spin(1);
      order.push(caller);
    });
  work('rested');
  for (let count = 0; count < 20; count += 1) work('busy');
  while (order.length < 21) await settled();
  order.length = 0;

  for (let count = 0; count < 60; count += 1) {
    work('rested');
    work('busy');
  }
  while (order.length < 120) await settled();

  // With credit for its rest it would have the first twenty. A busy machine makes one turn long, which counts as well.
  expect(order.slice(0, 60).filter((caller) => caller === 'busy').length).toBeGreaterThan(10);
});

test('the work of one caller runs in the order in which it came', async () => {
  const order: number[] = [];
  for (let count = 0; count < 50; count += 1) {
    takeTurn('one', () => {
      spin(0.2);
      order.push(count);
    });
  }
  while (order.length < 50) await settled();

  expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index));
});

test('what is put off to the end of the turn happens once, after the work', async () => {
  // However busy the machine is, the turn is not over.
  using _clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
  const seen: string[] = [];
  await new Promise<void>((done) => {
    takeTurn('early', () => {
      seen.push('first');
      atTurnEnd(() => {
        seen.push('end');
        done();
      });
    });
    takeTurn('late', () => seen.push('second'));
  });

  expect(seen).toEqual(['first', 'second', 'end']);
});

test('the beginning of a turn is told, and a long stretch with the name of what ran; a short one is not', async () => {
  await settled();
  const told: (string | undefined)[] = [];
  using _watching = watchTurns({ begins: () => told.push('begins'), wasLong: ({ name }) => told.push(name) });

  const value = onAccount('one', 'long_tool', () => {
    spin(12);
    return 'done';
  });
  onAccount('one', 'short_tool', () => {});

  expect(value).toBe('done');
  expect(told).toEqual(['begins', 'long_tool']);
});

test('of long work the client hears twice a second', () => {
  let nowMs = 0;
  using _clock = vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const told: string[] = [];
  const call = testCall({ progress: (_done, _total, words) => void told.push(words ?? '') });
  function* slow(): Steps<string> {
    for (let step = 0; step < 30; step += 1) {
      nowMs += 100;
      yield;
    }
    return 'done';
  }

  const steps = telling(call, slow());
  let step = steps.next();
  while (!step.done) step = steps.next();

  expect(step.value).toBe('done');
  expect(told).toEqual(['6 steps', '11 steps', '16 steps', '21 steps', '26 steps']);
});
