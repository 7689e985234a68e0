import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { openTaskStore, taskTtlMs } from './task-store.ts';

function file(): string {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-tasks-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'tasks.db');
}

test('A task is found by the token that began it, until it is two hours old, and never too early', () => {
  let nowMs = 1_000;
  using store = openTaskStore(file(), 'test', () => nowMs);

  const { id } = store.begin('ada') ?? { id: '' };
  store.end(id, 'completed', { content: [] });

  expect(store.find(id, 'ada')).toEqual({
    id,
    createdMs: 1_000,
    updatedMs: 1_000,
    status: 'completed',
    outcome: '{"content":[]}',
  });
  expect(store.find(id, 'bob')).toBeUndefined();
  nowMs += taskTtlMs - 1;
  expect(store.find(id, 'ada')).toBeDefined();
  nowMs += 1;
  expect(store.find(id, 'ada')).toBeUndefined();
});

test('A token keeps no more than a hundred tasks, and no more than their bytes; others keep theirs', () => {
  let nowMs = 1_000;
  using store = openTaskStore(file(), 'test', () => nowMs);

  for (let count = 0; count < 100; count += 1) expect(store.begin('ada')).toBeDefined();
  const large = store.begin('bob');
  store.end(large?.id ?? '', 'completed', 'x'.repeat(17 * 1024 * 1024));

  expect([store.begin('ada'), store.begin('bob')]).toEqual([undefined, undefined]);
  expect(store.begin('eve')).toBeDefined();
  nowMs += taskTtlMs;
  expect(store.begin('ada')).toBeDefined();
});

test('What a process left working has failed when the next one begins; what had ended stays', () => {
  const path = file();
  const before = openTaskStore(path, 'test', () => 1_000);
  const working = before.begin('ada')?.id ?? '';
  const done = before.begin('ada')?.id ?? '';
  before.end(done, 'cancelled', undefined);
  before[Symbol.dispose]();

  using store = openTaskStore(path, 'test', () => 2_000);

  expect(store.find(working, 'ada')).toMatchObject({ status: 'failed', updatedMs: 2_000 });
  expect(JSON.parse(store.find(working, 'ada')?.outcome ?? '')).toMatchObject({ code: -32_603 });
  expect(store.find(done, 'ada')).toMatchObject({ status: 'cancelled', updatedMs: 1_000, outcome: null });
});
