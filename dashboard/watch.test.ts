import { expect, test } from 'vitest';

import type { Reading } from './document-client.ts';
import { noon, overviewOf } from './overview.fixture.ts';
import { Watch } from './watch.ts';

function watching() {
  const clock = { ms: noon };
  const asked: (string | undefined)[] = [];
  const says = { reading: { overview: overviewOf() } as Reading };
  const watch = new Watch(
    async (name) => {
      asked.push(name);
      return says.reading;
    },
    () => clock.ms,
  );
  return { watch, clock, asked, says };
}

test('health is asked once for all who ask at once or soon after', async () => {
  const { watch, clock, asked } = watching();

  await Promise.all([watch.known(), watch.known()]);
  await watch.known();
  expect(asked).toHaveLength(1);
  clock.ms += 1_000;
  await watch.known(undefined, 5_000);
  expect(asked).toHaveLength(1);
  await watch.known();
  await watch.known('memory');

  expect(asked).toEqual([undefined, undefined, 'memory']);
});

test('while health is silent, what it said last stays known, with why and since when', async () => {
  const { watch, clock, says } = watching();
  await watch.known();
  says.reading = { overview: undefined, failure: 'refused' };

  clock.ms += 1_000;
  const first = await watch.known();
  clock.ms += 60_000;
  const later = await watch.known('memory');

  const failingSince = '2026-11-20T12:00:01.000Z';
  expect(first).toMatchObject({ failure: 'refused', failingSince, overview: { version: '0.1.0' } });
  expect(later).toMatchObject({ failure: 'refused', failingSince, overview: { version: '0.1.0' } });
  says.reading = { overview: overviewOf() };
  clock.ms += 1_000;
  expect(await watch.known()).toMatchObject({ failure: null, failingSince: null });
});

test('while health is silent, the page of a process shows what is known of it, not what was long before', async () => {
  const { watch, clock, says } = watching();
  const ill = { memory: { status: 'down', reason: 'connection refused' } } as const;
  says.reading = { overview: overviewOf(ill) };
  await watch.known('memory');
  clock.ms += 60_000;
  says.reading = { overview: overviewOf({}, {}, clock.ms) };
  await watch.known();
  await watch.known('context');
  says.reading = { overview: undefined, failure: 'refused' };
  clock.ms += 2_000;

  for (const name of ['memory', undefined, 'context', 'git']) {
    const { overview } = await watch.known(name);
    expect(overview?.processes.find((one) => one.name === 'memory')?.status, name).toBe('up');
  }
});

test('a clock that was set back does not keep old figures', async () => {
  const { watch, clock, asked } = watching();
  await watch.known();

  clock.ms -= 3_600_000;
  await watch.known();

  expect(asked).toHaveLength(2);
});
