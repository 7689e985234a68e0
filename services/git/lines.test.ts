/** Changes of one repository wait for each other. */
import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { place, repository } from './repositories.fixture.ts';

test('tokens take turns to change a repository', async () => {
  using at = place({ isSandboxed: false });
  const repo = repository(at.root, 'repo');
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const look = async (caller: string) => at.git.open(repo, testCall({ caller }));
  // Each gives the other time to come into the line, however busy the machine is.
  const change = async (caller: string, work: () => Promise<unknown> = async () => look('b')) =>
    at.git.change(repo, testCall({ caller }), async () => {
      order.push(caller);
      await work();
    });
  /** When what the caller brought before has been looked at, and waits. */
  const isWaiting = async (caller: string) => {
    for (let times = 0; times < 3; times += 1) await look(caller);
  };

  const changes = [
    change('a', async () => {
      begun.resolve();
      await first.promise;
    }),
  ];
  await begun.promise;
  changes.push(...Array.from({ length: 4 }, async () => change('a')));
  await isWaiting('a');
  changes.push(change('b'));
  await isWaiting('b');
  first.resolve();
  await Promise.all(changes);

  expect(order.toSorted().join('')).toBe('aaaaab');
  expect(order.at(-1)).toBe('a');
});

test('a change that is stopped while it waits for another ends at once, and is not made', async () => {
  using at = place({ isSandboxed: false });
  const repo = repository(at.root, 'repo');
  const first = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const gone = new AbortController();
  let isMade = false;

  const change = at.git.change(repo, testCall(), async () => {
    begun.resolve();
    await first.promise;
  });
  await begun.promise;
  const stopped = at.git.change(repo, testCall({ signal: gone.signal }), async () => {
    isMade = true;
  });
  for (let times = 0; times < 3; times += 1) await at.git.open(repo, testCall());
  gone.abort(new RangeError('gone'));

  await expect(stopped).rejects.toThrow('gone');
  first.resolve();
  await change;
  expect(await at.git.change(repo, testCall(), async () => isMade)).toBe(false);
});
