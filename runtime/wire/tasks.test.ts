import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, onTestFinished, test, vi } from 'vitest';

import type { Wire } from '../account/calls.ts';
import { openTaskStore } from '../data/task-store.ts';
import { ProtocolResult } from '../tool.ts';
import { Tasks } from './tasks.ts';

const wire: Wire = {
  isGone: false,
  whenGone: () => () => {},
  protocolVersion: '2026-07-28',
  mayStream: false,
  protocol: undefined,
  progress: () => {},
  resourceUpdated: () => {},
};

test('A task whose question nobody answers has failed after ten minutes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-tasks-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await using tasks = new Tasks(
    openTaskStore(join(folder, 'tasks.db'), 'test', Date.now),
    Date.now,
    () => {},
  );
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());

  const begun = (await tasks.begin('ada', wire, {
    run: async () => {
      await sleep(600);
      return new ProtocolResult({ resultType: 'input_required', inputRequests: { sure: {} } });
    },
    answered: async () => undefined,
    outcome: () => 'ok',
  })) as ProtocolResult;
  const id = begun.result['taskId'] as string;
  // oxlint-disable-next-line no-await-in-loop -- until it asks
  while (tasks.find(id, 'ada')?.status === 'working') await sleep(10);
  expect(tasks.find(id, 'ada')).toMatchObject({ status: 'input_required', inputRequests: { sure: {} } });
  await vi.advanceTimersByTimeAsync(599_999);
  expect(tasks.find(id, 'ada')).toMatchObject({ status: 'input_required' });
  await vi.advanceTimersByTimeAsync(1);

  expect(tasks.find(id, 'ada')).toMatchObject({
    status: 'failed',
    error: { code: -32_603, message: 'Nobody answered the question.' },
  });
});
