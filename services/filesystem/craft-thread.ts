/** The thread of the craft: takes one job after the other. @see workshop.ts */
import { parentPort } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';

import { edit, Patch, type Job, type Outcomes } from './craft.ts';
import type { Report } from './workshop.ts';

const port = parentPort;
let patch: Patch | undefined;

function perform(job: Job): Outcomes[Job['kind']] {
  if (job.kind === 'edit') return edit(job, (done, total) => report({ done, total }));
  if (job.kind === 'read patch') patch = new Patch(job.text);
  if (!patch) throw new TypeError('No patch was read');
  return job.kind === 'read patch' ? patch.heads() : patch.apply(job);
}

const report = (report: Report) => port?.postMessage(report);

port?.on('message', (job: Job) => {
  try {
    report({ outcome: perform(job) });
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    const { code, message, hint } = error;
    report({ failure: { code, message, ...(hint !== undefined && { hint }) } });
  }
});
