import { expect, test, vi } from 'vitest';

import { maxQueueBytes, maxQueueBytesPerToken, maxQueueCallsPerToken, stepsPerGroup } from '../limits.ts';
import { openQueue } from './queue.ts';
import type { Result, Submission } from './submission.ts';

const step = (owner: string): Submission => ({
  kind: 'step',
  owner,
  nowUs: 0,
  step: { chain: '', type: 0, prov: 0, content: owner },
});

/** A writer whose commits return when they are told to. */
function held() {
  const groups: { owners: string[]; end: (error?: Error) => void }[] = [];
  const queue = openQueue(async (submissions) => {
    const { promise, resolve, reject } = Promise.withResolvers<Result[]>();
    groups.push({
      owners: submissions.map(({ owner }) => owner),
      end: (error) => (error ? reject(error) : resolve(submissions.map(() => ({ value: null })))),
    });
    return promise;
  });
  return { queue, groups };
}

test('what comes while a commit is under way goes with the next, all of it together', async () => {
  const { queue, groups } = held();
  const first = queue.add(step('a'), 1, 1);
  await vi.waitFor(() => expect(groups).toHaveLength(1));
  const later = Array.from({ length: 50 }, async (_, at) => queue.add(step(`${at % 3}`), 1, 1));
  await new Promise(setImmediate);
  expect(groups).toHaveLength(1);
  groups[0]?.end();
  await first;
  await vi.waitFor(() => expect(groups).toHaveLength(2));
  expect(groups[1]?.owners).toHaveLength(50);
  groups[1]?.end();
  await Promise.all(later);
  expect(queue.waiting()).toEqual({ calls: 0, bytes: 0 });
  expect(queue.counts.commits).toBe(2);
});

test('the batches of one token do not keep the step of another waiting', async () => {
  const { queue, groups } = held();
  const all = Array.from({ length: 6 }, async () => queue.add(step('heavy'), stepsPerGroup, 1));
  all.push(queue.add(step('light'), 1, 1));
  await vi.waitFor(() => expect(groups.length).toBeGreaterThan(0));
  for (let at = 0; at < 20 && !groups.some(({ owners }) => owners.includes('light')); at += 1) {
    groups[at]?.end();
    await new Promise(setImmediate);
    await new Promise(setImmediate);
  }
  expect(groups.findIndex(({ owners }) => owners.includes('light'))).toBeLessThan(3);
  await vi.waitFor(() => {
    for (const { end } of groups) end();
    expect(queue.waiting().calls).toBe(0);
  });
  await Promise.all(all);
});

test('what finds no room is refused with when to come again, and counted; the others are not affected', async () => {
  const { queue, groups } = held();
  const under = [queue.add(step('a'), 1, 1)];
  await vi.waitFor(() => expect(groups).toHaveLength(1));
  under.push(queue.add(step('a'), 1, maxQueueBytesPerToken));
  const refusal = { code: 'unavailable', retryAfterMs: 1_000 };
  await expect(queue.add(step('a'), 1, 1)).rejects.toMatchObject(refusal);
  under.push(queue.add(step('b'), 1, maxQueueBytes - maxQueueBytesPerToken - 1));
  await expect(queue.add(step('c'), 1, 1)).rejects.toMatchObject(refusal);
  expect(queue.counts.refused).toBe(2);
  await vi.waitFor(() => {
    for (const { end } of groups) end();
    expect(queue.waiting().calls).toBe(0);
  });
  await Promise.all(under);
  const many = Array.from({ length: maxQueueCallsPerToken + 10 }, async () => queue.add(step('a'), 1, 0));
  const settled = Promise.allSettled(many);
  await vi.waitFor(() => {
    for (const { end } of groups) end();
    expect(queue.waiting().calls).toBe(0);
  });
  expect((await settled).filter(({ status }) => status === 'rejected')).toHaveLength(10);
});

test('what keeps a group from the disk is told to all of it, and the next goes on', async () => {
  const { queue, groups } = held();
  const both = [queue.add(step('a'), 1, 1), queue.add(step('b'), 1, 1)];
  await vi.waitFor(() => expect(groups).toHaveLength(1));
  groups[0]?.end(new Error('full'));
  for (const { status } of await Promise.allSettled(both)) expect(status).toBe('rejected');
  const next = queue.add(step('a'), 1, 1);
  await vi.waitFor(() => expect(groups).toHaveLength(2));
  groups[1]?.end();
  await next;
  expect(queue.waiting()).toEqual({ calls: 0, bytes: 0 });
});
