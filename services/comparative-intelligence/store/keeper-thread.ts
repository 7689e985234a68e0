/**
 * The thread that writes: nobody is answered before it is on disk. Tokens take turns: a large batch comes in pieces, between which what
 * others send is stored.
 */
import { workerData } from 'node:worker_threads';

import { serveLink } from '#runtime/link.ts';
import { inTurn, inTurns, type Steps } from '#runtime/turns.ts';

import type { NewComparison, NewRecommendation, NewReport, NewRun } from './answers.ts';
import type { Recording } from './battles.ts';
import type { CopyPage } from './copied.ts';
import { openKeeper, type Keeping } from './keeper.ts';

export interface KeeperSettings {
  readonly file: string;
  readonly keeping: Keeping;
}

const { file, keeping } = workerData as KeeperSettings;
const keeper = openKeeper(file, keeping);

const underway = new Set<Promise<unknown>>();
const never = new AbortController().signal;
/** Whose work is what nobody asked for. */
const nobody = '';

async function until<Value>(work: Promise<Value>): Promise<Value> {
  underway.add(work);
  try {
    return await work;
  } finally {
    underway.delete(work);
  }
}

const once = async <Value>(caller: string, work: () => Value): Promise<Value> =>
  until(inTurn({ caller, operation: 'write' }, work));

async function inSteps<Value>(caller: string, steps: Steps<Value>): Promise<Value> {
  const call = { caller, operation: 'write', signal: never };
  // Each step is a transaction of its own.
  return until(Promise.try(() => inTurns((step) => step(), call, steps)));
}

let isTidying = false;

/** What fails is tried again with the next batch, or after the next start. */
function tidy(): void {
  if (isTidying || !keeper.hasToTidy()) return;
  isTidying = true;
  inSteps(nobody, keeper.tidy())
    .catch(() => {})
    .finally(() => {
      isTidying = false;
    });
}

const handlers = {
  record: async (recording: Recording) => inSteps(recording.owner, keeper.record(recording)).finally(tidy),
  copy: async (page: CopyPage) => once(nobody, () => keeper.copy(page)),
  forgetCopy: async () => once(nobody, () => keeper.forgetCopy()),
  keepRun: async (run: NewRun) => once(run.owner, () => keeper.keepRun(run)),
  keepComparison: async (row: NewComparison) => once(row[0], () => keeper.keepComparison(row)),
  keepRecommendation: async (row: NewRecommendation) => once(row.owner, () => keeper.keepRecommendation(row)),
  keepReport: async (report: NewReport) => once(report.owner, () => keeper.keepReport(report)),
  probe: () => keeper.probe(),
};
export type KeeperHandlers = typeof handlers;

serveLink(handlers, async () => {
  await Promise.allSettled(underway);
  keeper[Symbol.dispose]();
});
tidy();
