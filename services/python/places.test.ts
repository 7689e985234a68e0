/** Who gives way to whom: with places alone, whose programs only note that they ended. */
import { expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';

import { openPlaces, type Place } from './places.ts';

function openForTest(most: number, mostBytes = Infinity) {
  const left: string[] = [];
  const places = openPlaces(most, mostBytes, (place) => {
    left.push(nameOf(place));
    void places.giveBack(place);
  });
  let session = 0;
  let now = 0;
  const take = (owner: string, { isBusy = false, bytes = 0 } = {}): Place => {
    const place = places.take(owner, (session += 1));
    place.isBusy = isBusy;
    place.usedAtMs = now += 1;
    place.program = {
      end: async () => Promise.resolve(),
      expel: () => void left.push(`${nameOf(place)} at work`),
      heldBytes: () => bytes,
    };
    return place;
  };
  return { places, take, left };
}

const nameOf = ({ owner, session }: Place) => `${owner}${session}`;

test('who has most gives way, with what it used longest ago', () => {
  const { take, left } = openForTest(4);
  for (const owner of ['a', 'a', 'a', 'b']) take(owner);

  take('c');
  take('b');
  take('c');

  // Then a has one, b two and c one: a takes from b, and b cannot take it back from those who have no more.
  expect(left).toEqual(['a1', 'a2', 'b4']);
});

test('a token that takes again and again takes from itself', () => {
  const { take, left } = openForTest(4);
  for (const owner of ['a', 'a', 'b', 'b']) take(owner);

  for (let round = 0; round < 3; round += 1) take('a');

  expect(left).toEqual(['a1', 'a2', 'a5']);
});

test('one token never holds all places at work, and whoever has none there waits', () => {
  const { take } = openForTest(4);
  for (let round = 0; round < 3; round += 1) take('a', { isBusy: true });

  expect(() => take('a')).toThrow(ToolError);
  take('b', { isBusy: true });
  expect(() => take('c')).toThrow(/All 4 interpreters are taken/);
});

test('too much memory of all makes those of the token with most fall asleep, then ends one at work', () => {
  const { places, take, left } = openForTest(10, 100);
  take('a', { bytes: 20 });
  take('b', { bytes: 20 });
  take('b', { bytes: 30, isBusy: true });
  take('b', { bytes: 20, isBusy: true });

  places.holdMemory();
  expect(left).toEqual([]);
  take('c', { bytes: 15 });
  places.holdMemory();
  expect(left).toEqual(['b2']);
  take('a', { bytes: 60, isBusy: true });
  places.holdMemory();
  expect(left).toEqual(['b2', 'a1', 'a6 at work']);
});
