/** The thread of threads.ts: one job, one answer, one after the other. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';

import { entriesDiff } from '../compress/line-diff.ts';
import { grep } from './grep.ts';
import type { Job, Outcome } from './threads.ts';

/** On Linux this is the priority of this thread alone: whoever is served comes first. */
setPriority(10);

// oxlint-disable unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.on('message', (job: Job) => {
  const outcome: Outcome = 'pattern' in job ? grep(job) : entriesDiff(job);
  parentPort?.postMessage(outcome);
});
parentPort?.postMessage('loaded');
