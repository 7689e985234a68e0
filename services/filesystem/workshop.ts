/** Hands jobs to the thread that edits and compares texts, so that they hold up nobody: one caller's after the other's. */
import { Worker } from 'node:worker_threads';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { Lane } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import { edit, type Edited, type EditJob, type Job, type Outcomes } from './craft.ts';
import { craftAtOnce, craftedAtOnceBytes, craftedAtOnceLines, craftMemoryMb } from './limits.ts';

import { newline } from './text.ts';
import { teller } from './work.ts';

/** What the thread says of a job. */
export type Report =
  | { readonly done: number; readonly total: number }
  | { readonly outcome: Outcomes[Job['kind']] }
  | {
      readonly failure: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint?: string;
      };
    };

type Ask = <Asked extends Job>(job: Asked) => Promise<Outcomes[Asked['kind']]>;

const lane = new Lane(craftAtOnce);
/** An idle thread costs memory, a new one some fifty milliseconds. */
const idleMs = 60_000;
let thread: Worker | undefined;
let idle: NodeJS.Timeout | undefined;

/** The thread for one call alone, as long as its work goes on. It is ended when the call is. */
export async function inWorkshop<Value>(call: Call, work: (ask: Ask) => Promise<Value>): Promise<Value> {
  return lane.run(call, async () => {
    clearTimeout(idle);
    const own = (thread ??= begin());
    const tell = teller(call);
    try {
      return await work(async (job) => answerOf(own, job, call, tell));
    } finally {
      idle = setTimeout(() => end(own), idleMs).unref();
    }
  });
}

/** An edit: at once where it is small, since the way to the thread and back takes longer. */
export async function edited(job: EditJob, call: Call): Promise<Edited> {
  return isSmall(job) ? edit(job, teller(call)) : inWorkshop(call, async (ask) => ask(job));
}

function isSmall({ contents, edits }: EditJob): boolean {
  let bytes = contents.length * Math.max(1, edits.length);
  for (const { oldText, newText } of edits) bytes += oldText.length + newText.length;
  if (bytes > craftedAtOnceBytes) return false;
  const lines = [contents, ...edits.map(({ newText }) => Buffer.from(newText))].map(countLineEnds);
  return lines.reduce((sum, count) => sum + count, 0) <= craftedAtOnceLines;
}

function countLineEnds(text: Uint8Array): number {
  let count = 0;
  for (const byte of text) if (byte === newline) count += 1;
  return count;
}

function begin(): Worker {
  const begun = new Worker(new URL('craft-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: craftMemoryMb },
  });
  begun.unref();
  const forget = () => {
    if (thread === begun) thread = undefined;
  };
  begun.once('error', forget);
  begun.once('exit', forget);
  return begun;
}

function end(ended: Worker): void {
  if (thread === ended) thread = undefined;
  void ended.terminate();
}

async function answerOf<Asked extends Job>(
  own: Worker,
  job: Asked,
  { signal }: Call,
  tell: Call['progress'],
): Promise<Outcomes[Asked['kind']]> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      own.off('message', hear);
      own.off('error', fail);
      own.off('exit', gone);
      signal.removeEventListener('abort', stop);
      act();
    };
    const hear = (report: Report) => {
      if ('done' in report) tell(report.done, report.total, 'edits made');
      else if ('outcome' in report) settle(() => resolve(report.outcome as Outcomes[Asked['kind']]));
      else settle(() => reject(failureOf(report.failure)));
    };
    const fail = (error: unknown) => settle(() => reject(error));
    const gone = () => fail(new Error('The thread that edits texts has ended'));
    const stop = () => {
      end(own);
      fail(signal.reason);
    };
    own.on('message', hear);
    own.once('error', fail);
    own.once('exit', gone);
    signal.addEventListener('abort', stop, { once: true });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    own.postMessage(job);
  });
}

function failureOf({ code, message, hint }: { code: ErrorCode; message: string; hint?: string }): Error {
  if (code === 'internal') return new Error(message);
  return new ToolError(code, message, hint === undefined ? {} : { hint });
}
