import { z } from 'zod';

import { adding, completing } from '#runtime/hints.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { commitField, conflictShape, taskIdField, taskOut, workerField } from '../fields.ts';
import { recordConflict as conflictInLedger, recordMerge as mergeInLedger } from '../ledger/merging.ts';
import { taskView } from '../ledger/reading.ts';
import type { Orchestrator } from '../orchestrator.ts';

const which = {
  task_id: taskIdField.describe('Which.'),
  worker: workerField.optional().describe('Yours with the capability integration; owners need none.'),
};

const mergerOf = ({ caller, isOperator }: Call, worker: string | undefined) => ({
  caller,
  isOperator,
  worker,
});

export const recordMerge = defineTool({
  name: 'record_merge',
  title: 'Record Merge',
  description:
    'Say that the branch of a task is merged: it is completed, and what needs it may begin. The same commit again is answered as the first time.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object({ ...which, commit: commitField.describe('By which it is in the base.') }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id, commit, worker }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const task = yield* mergeInLedger(change, id, commit, mergerOf(call, worker));
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const recordConflict = defineTool({
  name: 'record_conflict',
  title: 'Record Conflict',
  description:
    'Say that the branch of a task conflicts with its base: a worker gets the task again, and is told what to mend.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object({ ...which, ...conflictShape }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id, worker, files, note }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const task = yield* conflictInLedger(change, id, { files, note }, mergerOf(call, worker));
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const mergeTools = [recordMerge, recordConflict];
