import { expect, test } from 'vitest';

import { openTrial } from './orchestrator.fixture.ts';

test('a task is made, claimed, started and completed, and then what needs it may begin', async () => {
  await using trial = await openTrial();
  const { tasks } = await trial.call('planner', 'create_tasks', {
    tasks: [
      { key: 'first', title: 'The first' },
      { key: 'second', title: 'The second', depends_on: ['first'] },
    ],
  });
  expect(tasks).toMatchObject([
    { key: 'first', status: 'pending' },
    { key: 'second', status: 'blocked' },
  ]);
  await trial.call('worker', 'register_worker', { worker: 'ada', capabilities: [] });
  const claimed = await trial.call('worker', 'claim_tasks', { worker: 'ada', most: 5 });
  expect(claimed['tasks']).toMatchObject([{ title: 'The first', lease: { worker: 'ada', fence: 1 } }]);
  const held = { task_id: claimed['tasks'][0].task_id, fence: 1 };
  expect(await trial.call('worker', 'start_task', held)).toMatchObject({ task: { status: 'in_progress' } });
  const completed = await trial.call('worker', 'complete_task', { ...held, result: { answer: 42 } });
  expect(completed).toMatchObject({ task: { status: 'completed' } });
  const next = await trial.call('worker', 'claim_tasks', { worker: 'ada', most: 5 });
  expect(next['tasks']).toMatchObject([{ title: 'The second', depends_on: [held.task_id] }]);
  const told = await trial.call('planner', 'get_task', { task_id: held.task_id });
  expect(told).toMatchObject({ task: { status: 'completed', result: { answer: 42 } } });
});
