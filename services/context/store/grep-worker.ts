/** The thread of grep.ts: one search, one answer. */
import { parentPort, workerData } from 'node:worker_threads';

import type { GrepJob, GrepResult } from './grep.ts';

const { text, pattern, flags, fromLine, limit } = workerData as GrepJob;
const expression = new RegExp(pattern, flags);
const lines: number[] = [];
for (const [number, line] of text.split('\n').entries()) {
  if (number < fromLine || !expression.test(line)) continue;
  lines.push(number);
  if (lines.length > limit) break;
}
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
parentPort?.postMessage({ lines: lines.slice(0, limit), hasMore: lines.length > limit } satisfies GrepResult);
