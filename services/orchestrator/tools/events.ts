import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { eventOut, projectIdField, taskIdField } from '../fields.ts';
import { countProjects, countTasks } from '../ledger/counting.ts';
import { eventsAfter, filterOf, newestSeq } from '../ledger/events.ts';
import { statuses } from '../states.ts';
import type { Orchestrator } from '../orchestrator.ts';

export const listTaskEvents = defineTool({
  name: 'list_task_events',
  title: 'List Task Events',
  description:
    'Read what happened, oldest first, from a place on: each change of a task, a project or a worker is an event with a number. /events streams the same.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    after: z.int().min(0).default(0).describe('seq of the last one that you have.'),
    project_id: projectIdField.optional().describe('Only of this project.'),
    task_id: taskIdField.optional().describe('Only of this task.'),
    limit: z.int().min(1).max(500).default(100).describe('Most events.'),
  }),
  output: z.object({
    events: z.array(eventOut).describe('Oldest first.'),
    last: z.int().describe('Pass it as after to go on.'),
    newest: z
      .int()
      .describe('Of all events: there are more while last is smaller, unless you ask for some only.'),
  }),

  async handler({ after, limit, ...filter }, { desk }: Orchestrator) {
    return desk.look(function* () {
      const events = fitting(yield* eventsAfter(yield* filterOf(filter), after, limit));
      return { events, last: events.at(-1)?.seq ?? after, newest: yield* newestSeq() };
    });
  },
});

const byStatus = (what: string) =>
  toldBriefly(
    z.object(Object.fromEntries(statuses.map((status) => [status, z.int().describe('How many.')]))),
  ).describe(what);

export const getOrchestratorStats = defineTool({
  name: 'get_orchestrator_stats',
  title: 'Get Orchestrator Stats',
  description: 'See how the orchestrator is: projects, tasks by status, workers, and what waits.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    projects: byStatus('By status.'),
    tasks: byStatus('By status.'),
    waiting_calls: z.int().describe('Workers that wait for a task.'),
    last_event: z.int().describe('seq of the newest.'),
    since_start: toldBriefly(z.object({ lost: z.int(), retried: z.int(), late: z.int() })).describe(
      'Leases that ended (lost), attempts that were made again after a delay (retried), deadlines that passed (late).',
    ),
  }),

  async handler(_args, { desk, waiting, tending }: Orchestrator) {
    return desk.look(function* () {
      return {
        projects: yield* countProjects(),
        tasks: yield* countTasks(),
        waiting_calls: waiting.count(),
        last_event: yield* newestSeq(),
        since_start: { ...tending.counts },
      };
    });
  },
});

export const eventTools = [listTaskEvents, getOrchestratorStats];
