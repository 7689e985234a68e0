import type { Resource } from '#runtime/service.ts';

import { projectIdField, taskIdField } from './fields.ts';
import { projectOf } from './ledger/creating.ts';
import { detailedProjectView, detailedTaskView } from './ledger/reading.ts';
import { taskOf } from './ledger/tasks.ts';
import { megabyte } from './limits.ts';
import { projectUri, taskUri, type Orchestrator } from './orchestrator.ts';
import { ToolError } from '#runtime/errors.ts';

/** What is not there is no document. */
async function document(read: () => Promise<object>): Promise<{ readonly text: string } | undefined> {
  try {
    return { text: JSON.stringify(await read(), null, 2) };
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return undefined;
    throw error;
  }
}

export const resources: readonly Resource<Orchestrator>[] = [
  {
    uri: projectUri('{id}'),
    name: 'project',
    title: 'Project',
    description:
      'How a project stands, with its tasks and results. Subscribe to it to be told when it changes.',
    mimeType: 'application/json',
    untrusted: 'as-is',
    async read({ id = '' }, { desk }) {
      if (!projectIdField.safeParse(id).success) return undefined;
      return document(async () =>
        desk.look(function* (view) {
          return yield* detailedProjectView(view, yield* projectOf(id));
        }),
      );
    },
  },
  {
    uri: taskUri('{id}'),
    name: 'task',
    title: 'Task',
    description: 'All of a task: its work, attempts and result. Subscribe to it to be told when it changes.',
    mimeType: 'application/json',
    untrusted: 'as-is',
    async read({ id = '' }, { desk }) {
      if (!taskIdField.safeParse(id).success) return undefined;
      return document(async () =>
        desk.look(function* (view) {
          return yield* detailedTaskView(view, yield* taskOf(id), 2 * megabyte);
        }),
      );
    },
  },
];
