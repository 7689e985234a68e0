import { setImmediate } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { held } from '#runtime/testing.ts';

import { onceForAll } from './once.ts';

test('whoever asks while it runs waits for the next time, all for the same one', async () => {
  const works = [held(), held(), held()];
  let begun = 0;
  const work = async () => works[begun++]?.run();
  const over: string[] = [];
  const ask = async (who: string) => onceForAll('folder', work).then(() => over.push(who));

  const asked = [ask('first'), ask('second'), ask('third')];
  await setImmediate();
  expect(begun).toBe(1);
  works[0]?.end();
  await asked[0];
  await setImmediate();
  expect([begun, over]).toEqual([2, ['first']]);
  asked.push(ask('fourth'));
  works[1]?.end();
  await Promise.all(asked.slice(0, 3));
  works[2]?.end();
  await Promise.all(asked);

  expect([begun, over]).toEqual([3, ['first', 'second', 'third', 'fourth']]);
});

test('what fails fails for those who waited for it, and the next one begins anew', async () => {
  let begun = 0;
  const work = async () => {
    begun += 1;
    await setImmediate();
    if (begun === 2) throw new RangeError('the disk');
  };

  const results = await Promise.allSettled([1, 2, 3].map(async () => onceForAll('other', work)));

  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  await onceForAll('other', work);
  expect(begun).toBe(3);
});
