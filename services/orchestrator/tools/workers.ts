import { z } from 'zod';

import { isAgent } from '#config/catalogue.ts';
import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { successRate } from '../assign.ts';
import { isoOf, workerField, workerOut, workerShape, type WorkerOut } from '../fields.ts';
import { takeBack } from '../ledger/releasing.ts';
import type { Ledger } from '../ledger/query.ts';
import type { WorkerRow } from '../ledger/schema.ts';
import {
  dropWorker,
  listWorkers as listInLedger,
  loadTallies,
  ownWorker,
  registerWorker as registerInLedger,
  workerLoad,
} from '../ledger/workers.ts';
import type { Orchestrator } from '../orchestrator.ts';

const mostTypes = 50;

function* workerView({ waiting, presence }: Orchestrator, worker: WorkerRow): Ledger<WorkerOut> {
  const { name, most_tasks: mostTasks } = worker;
  const load = yield* workerLoad(name);
  const tallies = yield* loadTallies(name);
  const sum = (key: 'completed' | 'failed' | 'lost' | 'worked_ms') =>
    tallies.reduce((total, tally) => total + tally[key], 0);
  const completed = sum('completed');
  return {
    worker: name,
    state: waiting.isWaiting(name)
      ? 'waiting'
      : load >= mostTasks
        ? 'busy'
        : presence.isHere(name, worker.seen_at)
          ? 'free'
          : 'away',
    capabilities: JSON.parse(worker.capabilities) as string[],
    most_tasks: mostTasks,
    load,
    ...(worker.description !== '' && { description: worker.description }),
    owner: worker.owner,
    version: worker.version,
    registered_at: isoOf(worker.registered_at),
    last_seen: isoOf(presence.lastSeenMs(name, worker.seen_at)),
    metrics: {
      completed,
      failed: sum('failed'),
      lost: sum('lost'),
      average_seconds: completed === 0 ? null : sum('worked_ms') / completed / 1_000,
      uptime_seconds: Math.floor((worker.up_ms + presence.upMs(name)) / 1_000),
      by_type: tallies
        .toSorted((one, other) => other.completed + other.failed - one.completed - one.failed)
        .slice(0, mostTypes)
        .map(({ type, completed: done, failed, lost }) => ({
          type,
          completed: done,
          failed: failed + lost,
          success_rate: Math.round(successRate(done, failed + lost) * 1_000) / 1_000,
        })),
    },
  };
}

const workerRow = toldBriefly(workerOut, 'worker', 'state', 'capabilities', 'load');

export const registerWorker = defineTool({
  name: 'register_worker',
  title: 'Register Worker',
  description:
    'Become a worker under a name, with what you can do; then claim_tasks. The same name again changes its entry, and keeps its record.',
  effect: 'write',
  hints: completing,
  input: z.object({ worker: workerField.describe('Its name.'), ...workerShape }),
  output: z.object({
    worker: workerRow.describe('As list_workers describes it.'),
    new: z.boolean().describe('Whether the name is new.'),
  }),

  async handler(
    { worker: name, capabilities, most_tasks: mostTasks, description },
    orchestrator: Orchestrator,
    { caller },
  ) {
    const { desk, waiting, presence } = orchestrator;
    // Whoever had its name would keep the agent from its work.
    if (name !== caller && isAgent(name))
      throw new ToolError('forbidden', `${name} is an agent of the fleet: its name is for its own token.`, {
        hint: 'Take another name.',
      });
    const registered = await desk.change((change) =>
      registerInLedger(change, { name, capabilities, mostTasks, description }, caller),
    );
    // A call of it that waits has asked with what it could do before.
    if (!registered.isNew) waiting.release(name);
    presence.touch(name);
    return desk.look(function* () {
      return { worker: yield* workerView(orchestrator, registered.worker), new: registered.isNew };
    });
  },
});

export const listWorkers = defineTool({
  name: 'list_workers',
  title: 'List Workers',
  description: 'See who works here: what each can do, how busy it is, and how it has done.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    worker: workerField.optional().describe('Only this one.'),
    limit: limitField(200, 50),
    cursor: cursorField,
  }),
  output: z.object({ workers: z.array(workerOut).describe('By name.'), ...continuation }),

  async handler({ cursor, ...args }, orchestrator: Orchestrator) {
    const [after] = decodeCursor('list_workers', args, cursor, z.tuple([z.string()]), ['']);
    const found = await orchestrator.desk.look(function* () {
      const rows = yield* listInLedger(args.worker, after, args.limit + 1);
      const views = [];
      for (const row of rows) views.push(yield* workerView(orchestrator, row));
      return views;
    });
    const rows = fitting(found.slice(0, args.limit));
    const last = rows.length < found.length ? rows.at(-1) : undefined;
    return { workers: rows, ...continued('list_workers', args, last && [last.worker]) };
  },
});

export const removeWorker = defineTool({
  name: 'remove_worker',
  title: 'Remove Worker',
  description:
    'Take a worker of yours out, with its record. The tasks that it holds go to others, and no attempt has failed. Operators may take out any.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ worker: workerField.describe('Its name.') }),
  output: z.object({
    removed: z.string().describe('Its name.'),
    returned: z.int().describe('Tasks that it held.'),
  }),

  async handler({ worker: name }, { desk, waiting, presence }: Orchestrator, { caller, isOperator }) {
    const returned = await desk.change(function* (change) {
      yield* ownWorker(name, caller, isOperator);
      const count = yield* takeBack(change, name);
      yield* dropWorker(change, name);
      return count;
    });
    waiting.release(name);
    presence.forget(name);
    return { removed: name, returned };
  },
});

export const workerTools = [registerWorker, listWorkers, removeWorker];
