import type { Workload } from '#runtime/workload.ts';

const projects = 20;
const tasksEach = 250;

interface State {
  readonly projects: readonly string[];
  readonly tasks: readonly string[];
}

export const workload: Workload<State> = {
  async seed({ call }) {
    await call('register_worker', { worker: 'ada', capabilities: ['backend'], most_tasks: 5 });
    const made: string[] = [];
    const tasks: string[] = [];
    for (let number = 0; number < projects; number += 1) {
      const { project } = await call('create_project', {
        name: `project ${number}`,
        tasks: Array.from({ length: tasksEach }, (_, at) => ({
          key: `k${at}`,
          title: `Change ${at} of ${number}`,
          description: 'The store is split in two, and the tests of both pass. '.repeat(4),
          requires: ['nobody'],
          depends_on: at % 10 === 0 ? [] : [`k${at - 1}`],
        })),
      });
      const { project_id: id } = project as { readonly project_id: string };
      const { tasks: some } = await call('list_tasks', { project_id: id, limit: 50 });
      made.push(id);
      tasks.push(...(some as { readonly task_id: string }[]).map(({ task_id: one }) => one));
    }
    return { projects: made, tasks };
  },
  calls: [
    {
      title: 'get_task',
      tool: 'get_task',
      kind: 'small-read',
      arguments: (number, { tasks }) => ({ task_id: tasks[number % tasks.length] }),
    },
    {
      title: 'list_tasks of a project, ten',
      tool: 'list_tasks',
      kind: 'small-read',
      arguments: (number, { projects: all }) => ({ project_id: all[number % all.length], limit: 10 }),
    },
    {
      title: 'create_tasks, one',
      tool: 'create_tasks',
      kind: 'small-write',
      arguments: (number) => ({ tasks: [{ title: `task ${number}`, requires: ['nobody'] }] }),
    },
  ],
  heavy: [
    {
      tool: 'create_tasks',
      arguments: (number) => ({
        tasks: Array.from({ length: 1_000 }, (_, at) => ({
          key: `k${at}`,
          title: `task ${number} ${at}`,
          requires: ['nobody'],
          depends_on: at === 0 ? [] : [`k${at - 1}`],
        })),
      }),
    },
    { tool: 'list_tasks', arguments: () => ({ limit: 500 }) },
    {
      tool: 'get_project',
      arguments: (number, state: State) => ({ project_id: state.projects[number % projects] }),
    },
  ],
};
