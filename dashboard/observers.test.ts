import { expect, test } from 'vitest';

import type { Standings } from '#runtime/process/standings.ts';

import { Observers } from './observers.ts';
import { noon, standingsOf } from './overview.fixture.ts';

function observing() {
  const clock = { ms: noon };
  const says: { standings: Standings | undefined; asked: number } = { standings: standingsOf(), asked: 0 };
  const observers = new Observers(
    async () => {
      says.asked += 1;
      return says.standings;
    },
    () => clock.ms,
  );
  const later = async (ms: number) => {
    clock.ms += ms;
    return (await observers.known()).length;
  };
  return { observers, says, later };
}

test('they are asked once for all who look, and again after ten seconds or when the clock was set back', async () => {
  const { observers, says, later } = observing();

  const [one, other] = await Promise.all([observers.known(), observers.known()]);
  await later(9_999);
  expect(one).toBe(other);
  expect(says.asked).toBe(1);
  await later(1);
  expect(says.asked).toBe(2);
  await later(-3_600_000);
  expect(says.asked).toBe(3);
});

test('one that falls silent is shown for a minute, then left out, and comes back', async () => {
  const { says, later } = observing();
  await later(0);

  says.standings = undefined;
  expect(await later(30_000)).toBe(1);
  expect(await later(30_000)).toBe(0);
  says.standings = standingsOf();
  expect(await later(10_000)).toBe(1);
});
