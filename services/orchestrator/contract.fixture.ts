import type { Contract } from '#runtime/testing.ts';

export const contract: Contract = {
  listTokens: 13_000,
  keep: (number) => ({ tool: 'create_tasks', args: { tasks: [{ title: `task ${number}` }] } }),
  async prepare({ foreign, call }) {
    const claimed = async (args: object = {}) => {
      const { tasks } = await call('create_tasks', {
        tasks: [{ title: foreign, description: foreign, priority: 'critical', ...args }],
      });
      const [{ task_id: id }] = tasks;
      for (;;) {
        const { tasks: given } = await call('claim_tasks', { worker: 'ada', most: 5 });
        const own = (given as { task_id: string; lease: { fence: number } }[]).find(
          ({ task_id: one }) => one === id,
        );
        if (own) return { task_id: id as string, fence: own.lease.fence };
      }
    };
    const made = async (args: object = {}) => {
      const { tasks } = await call('create_tasks', {
        tasks: [{ title: foreign, description: foreign, requires: ['nobody'], ...args }],
      });
      return tasks[0].task_id as string;
    };
    await call('register_worker', { worker: 'ada', capabilities: [], most_tasks: 5, description: foreign });
    await call('register_worker', { worker: 'old', capabilities: ['review'] });
    const { project } = await call('create_project', {
      name: foreign,
      description: foreign,
      template: 'generic',
    });
    const { project: over } = await call('create_project', { name: 'over', tasks: [] });
    const asked = await claimed();
    await call('ask_question', { ...asked, question: foreign, choices: ['yes', 'no'] });
    const cancelled = await made();
    await call('cancel_task', { task_id: cancelled });
    const id = project.project_id as string;
    const shown = { limit: 5 };
    const held = {
      start_task: await claimed(),
      renew_lease: await claimed(),
      complete_task: await claimed(),
      fail_task: await claimed(),
    };
    await call('complete_task', { ...held.complete_task, result: { text: foreign } });
    const committed = async () => {
      const one = await claimed({ repository: { path: foreign }, refs: [foreign] });
      await call('complete_task', one);
      return one.task_id;
    };
    await call('register_worker', { worker: 'merger', capabilities: ['integration'] });
    const merged = { task_id: await committed(), worker: 'merger', commit: 'c'.repeat(40) };
    const unmerged = { task_id: await committed(), worker: 'merger', files: [foreign], note: foreign };
    const free = await claimed();
    await call('release_task', free);
    const again = await claimed();
    const given = async (args: object) => ({ ...(await Promise.resolve(again)), ...args });
    return {
      create_project: {
        name: 'shop',
        description: foreign,
        requirements: [foreign],
        tech_stack: { backend: 'node' },
        priority: 'high',
        on_failure: 'cascade',
        template: 'web_application',
        tasks: [{ key: 'more', title: 'more', depends_on: ['deployment'] }],
        idempotency_key: 'shop-1',
      },
      plan_project: {
        name: 'shop',
        description: foreign,
        requirements: [foreign],
        tech_stack: { backend: 'node' },
        priority: 'high',
        on_failure: 'cascade',
        template: 'generic',
        tasks: [],
      },
      get_project: { project_id: id },
      list_projects: { status: 'pending', ...shown },
      update_project: {
        project_id: id,
        if_version: 1,
        name: 'another',
        description: foreign,
        requirements: [foreign],
        tech_stack: { backend: 'node' },
        priority: 'low',
        on_failure: 'block',
      },
      cancel_project: { project_id: id },
      delete_project: { project_id: over.project_id },
      list_project_templates: {},
      create_tasks: { project_id: id, tasks: [{ title: foreign }], idempotency_key: 'tasks-1' },
      get_task: { task_id: held.complete_task.task_id, max_bytes: 10_000 },
      list_tasks: {
        project_id: id,
        status: ['pending'],
        type: 'planning',
        worker: 'ada',
        waiting_for: 'input',
        ...shown,
      },
      update_task: {
        task_id: await made(),
        if_version: 1,
        title: foreign,
        description: foreign,
        priority: 'high',
        max_attempts: 5,
        deadline: '2999-01-01',
        on_failure: 'cascade',
        add_depends_on: [cancelled],
        remove_depends_on: [cancelled],
      },
      cancel_task: { task_id: await made(), reason: foreign },
      retry_task: { task_id: cancelled },
      answer_question: { task_id: asked.task_id, answer: 'yes' },
      register_worker: { worker: 'bob', capabilities: ['review'], most_tasks: 3, description: foreign },
      list_workers: { worker: 'ada', ...shown },
      remove_worker: { worker: 'old' },
      claim_tasks: { worker: 'ada', most: 5, wait_seconds: 0, max_bytes: 1_000 },
      start_task: held.start_task,
      renew_lease: { ...held.renew_lease, lease_seconds: 60, progress: { percent: 50, note: foreign } },
      complete_task: await given({ result: { text: foreign } }),
      fail_task: { ...held.fail_task, error: { message: foreign, code: 'ETIMEDOUT', retryable: true } },
      release_task: again,
      ask_question: { ...again, question: foreign, choices: ['yes', 'no'] },
      record_merge: merged,
      record_conflict: unmerged,
      list_task_events: { after: 0, project_id: id, task_id: cancelled, ...shown },
      get_orchestrator_stats: {},
    };
  },
  others: (foreign) => ({
    create_project: [{ name: foreign.slice(0, 20) }],
    claim_tasks: [{ worker: 'ada' }],
    list_tasks: [{}, { waiting_for: 'input' }],
    list_task_events: [{ after: 0 }],
  }),
  largest: (foreign) => ({
    create_tasks: [
      {
        tasks: Array.from({ length: 5_000 }, (_, number) => ({
          key: `k${number}`,
          title: foreign,
          requires: ['nobody'],
          depends_on: number === 0 ? [] : [`k${number - 1}`],
        })),
      },
      { tasks: [{ title: 'long', description: foreign + 'é"'.repeat(300_000) }] },
      { tasks: [{ title: 'too long', description: 'é"'.repeat(2_500_000) }] },
    ],
    plan_project: {
      name: 'large',
      tasks: Array.from({ length: 5_000 }, (_, number) => ({ key: `k${number}`, title: foreign })),
    },
    create_project: {
      name: 'large',
      tasks: Array.from({ length: 380 }, (_, number) => ({
        key: `k${number}`,
        title: foreign,
        depends_on: Array.from({ length: Math.min(number, 250) }, (_, need) => `k${need}`),
      })),
    },
    list_tasks: { limit: 500 },
    list_task_events: { limit: 500 },
  }),
};
