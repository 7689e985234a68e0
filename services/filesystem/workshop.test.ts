import { setImmediate } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import type { EditJob } from './craft.ts';
import { edited, inWorkshop } from './workshop.ts';

const job = (text: string, oldText: string, newText: string, more: Partial<EditJob> = {}): EditJob => ({
  kind: 'edit',
  path: '/f',
  contents: Buffer.from(text),
  edits: [{ oldText, newText }],
  rules: { replaceAll: true, expectedOccurrences: 1 },
  ...more,
});
const lines = 'some line\n'.repeat(150_000);

test('A large edit is made while others are served', async () => {
  const others = { turns: 0, areServed: true };
  const work = edited(job(`${lines}A`, 'A', 'B'), testCall()).finally(() => {
    others.areServed = false;
  });

  while (others.areServed) {
    others.turns += 1;
    await setImmediate();
  }

  const { contents, diff } = await work;
  expect(Buffer.from(contents ?? []).toString('utf8', lines.length)).toBe('B');
  expect(diff).toContain('-A\n');
  expect(others.turns).toBeGreaterThan(20);
});

test('A small one and a large one say the same', async () => {
  const small = await edited(job('a\nb\n', 'b', 'c'), testCall());
  const asked = await inWorkshop(testCall(), async (ask) => ask(job('a\nb\n', 'b', 'c')));

  expect({ ...asked, contents: Buffer.from(asked.contents ?? []) }).toEqual({
    ...small,
    contents: Buffer.from(small.contents ?? []),
  });
  for (const text of ['x', lines]) {
    await expect(edited(job(text, 'nowhere', ''), testCall())).rejects.toMatchObject({
      code: 'not_found',
      message: 'Could not find exact match for edit:\nnowhere',
      hint: expect.stringContaining('Nothing was changed') as string,
    });
  }
});

test('An edit stops with its call, and the next one is made', async () => {
  const stop = new AbortController();
  const edits = Array.from({ length: 400 }, (_, n) => ({
    oldText: n % 2 === 0 ? 'A' : 'B',
    newText: n % 2 === 0 ? 'B' : 'A',
  }));
  const call = testCall({ signal: stop.signal, progress: () => stop.abort(new RangeError('too late')) });

  await expect(edited(job(`${lines}A`, '', '', { edits }), call)).rejects.toThrow('too late');

  const { contents } = await edited(job(`${lines}A`, 'A', 'B'), testCall());
  expect(contents).toHaveLength(lines.length + 1);
});

test('Progress is told', async () => {
  const told: number[] = [];
  const edits = Array.from({ length: 3 }, () => ({ oldText: 'A', newText: 'A' }));

  await edited(job(`${lines}A`, '', '', { edits }), testCall({ progress: (done) => told.push(done) }));

  expect(told[0]).toBe(1);
});

test('What the thread cannot do is a bug, and the next call is served', async () => {
  const wrong = { kind: 'apply patch', index: 9, path: '/f', contents: Buffer.alloc(0) } as const;
  const broken = inWorkshop(testCall(), async (ask) => {
    await ask({ kind: 'read patch', text: '' });
    return ask(wrong);
  });

  await expect(broken).rejects.toThrow('The patch has no file 9');
  expect(await inWorkshop(testCall(), async (ask) => ask({ kind: 'read patch', text: '' }))).toEqual([]);
});
