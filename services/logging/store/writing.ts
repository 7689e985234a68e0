/** The line before the keeper: what comes at the same time is stored together, and whoever fetches waits when it is long. */
import type { ToolError } from '#runtime/errors.ts';

import type { Batch, Keeper, Outcome } from './keeper.ts';

/** So many lines share one commit; more do not make it cheaper. */
const linesPerCommit = 20_000;
/** Between two rounds of merging the index, those who come meanwhile are served. */
const tidyEveryMs = 20;

interface Waiting {
  readonly batch: Batch;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** What was stored, for those who follow. */
export type Told = (sources: ReadonlySet<string>) => void;

export function writingTo(keeper: Keeper, now: () => number, told: Told) {
  const waiting: Waiting[] = [];
  let isScheduled = false;
  let tidying: NodeJS.Timeout | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(writeSome);
  }

  function writeSome(): void {
    isScheduled = false;
    const group: Waiting[] = [];
    let lines = 0;
    while (waiting.length > 0 && (group.length === 0 || lines < linesPerCommit)) {
      const next = waiting.shift();
      if (!next) break;
      group.push(next);
      lines += next.batch.lines.length;
    }
    try {
      const outcomes = keeper.append(
        group.map(({ batch }) => batch),
        now(),
      );
      for (const [at, outcome] of outcomes.entries()) settle(group[at], outcome);
      told(new Set(group.flatMap(({ batch }) => batch.lines.map(({ source }) => source))));
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
    if (waiting.length > 0) schedule();
    else tidyLater();
  }

  function tidyLater(): void {
    tidying ??= setTimeout(() => {
      tidying = undefined;
      if (waiting.length === 0 && keeper.tidy()) tidyLater();
    }, tidyEveryMs);
  }

  return {
    /** On disk when it resolves. @throws ToolError when the quota of its owner, or the disk, does not take it. */
    async store(batch: Batch): Promise<Outcome> {
      return new Promise((resolve, reject) => {
        waiting.push({ batch, resolve, reject });
        schedule();
      });
    },
    [Symbol.dispose](): void {
      clearTimeout(tidying);
      while (waiting.length > 0) writeSome();
      clearTimeout(tidying);
    },
  };
}

function settle(waiting: Waiting | undefined, outcome: Outcome | ToolError): void {
  if (outcome instanceof Error) waiting?.reject(outcome);
  else waiting?.resolve(outcome);
}
