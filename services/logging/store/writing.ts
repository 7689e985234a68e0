/** The line before the keeper: what comes at the same time is stored together, and whoever fetches waits when it is long. */
import type { ToolError } from '#runtime/errors.ts';

import type { Batch, Keeper, Outcome, Staging } from './keeper.ts';

/** So many lines share one commit. A batch of more comes in pieces, between which others are served. */
const linesAtOnce = 1_000;
const linesPerPiece = 250;
/** Between two rounds of merging the index, those who come meanwhile are served. */
const tidyEveryMs = 20;

interface Waiting {
  readonly batch: Batch;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
  /** Of one that comes in pieces, from the first on. */
  staging?: Staging;
}

/** What was stored, for those who follow. */
export type Told = (sources: ReadonlySet<string>) => void;

export function writingTo(keeper: Keeper, now: () => number, told: Told) {
  /** Of each token or source in order; who was served last is at the end. */
  const lines = new Map<string, Waiting[]>();
  let isScheduled = false;
  let tidying: NodeJS.Timeout | undefined;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(writeSome);
  }

  /** Takes the first of a line, which goes behind the others. */
  function shift(key: string): void {
    const line = lines.get(key);
    line?.shift();
    lines.delete(key);
    if (line && line.length > 0) lines.set(key, line);
  }

  const tell = (group: readonly Waiting[]) =>
    told(new Set(group.flatMap(({ batch }) => batch.lines.map(({ source }) => source))));

  /** What is small goes first, of all in turn, and together. */
  function writeSmall(): void {
    const group: Waiting[] = [];
    let count = 0;
    // A line that goes behind the others comes again here.
    for (const [key, [first]] of lines) {
      if (!first || first.batch.lines.length > linesAtOnce) continue;
      if (group.length > 0 && count + first.batch.lines.length > linesAtOnce) continue;
      group.push(first);
      count += first.batch.lines.length;
      shift(key);
    }
    if (group.length === 0) return;
    try {
      const outcomes = keeper.append(
        group.map(({ batch }) => batch),
        now(),
      );
      for (const [at, outcome] of outcomes.entries()) settle(group[at], outcome);
      tell(group);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  /** A piece of one that is large, and of another one next. */
  function writePiece(): void {
    const found = lines.entries().find(([, [first]]) => (first?.batch.lines.length ?? 0) > linesAtOnce);
    const [key = '', [first] = []] = found ?? [];
    if (!first) return;
    try {
      if (!first.staging) {
        const begun = keeper.begin(first.batch, now());
        if ('number' in begun) first.staging = begun;
        else {
          settle(first, begun);
          shift(key);
          tell([first]);
          return;
        }
      }
      if (keeper.stage(first.staging, linesPerPiece)) {
        settle(first, keeper.finish(first.staging, now()));
        shift(key);
        tell([first]);
        return;
      }
      const line = lines.get(key) ?? [];
      lines.delete(key);
      lines.set(key, line);
    } catch (error) {
      first.reject(error);
      shift(key);
    }
  }

  function writeSome(): void {
    isScheduled = false;
    writeSmall();
    writePiece();
    if (lines.size > 0) schedule();
    else tidyLater();
  }

  function tidyLater(): void {
    tidying ??= setTimeout(() => {
      tidying = undefined;
      if (lines.size === 0 && keeper.tidy()) tidyLater();
    }, tidyEveryMs);
  }

  return {
    /** On disk when it resolves. @throws ToolError when the quota of its owner, or the disk, does not take it. */
    async store(batch: Batch): Promise<Outcome> {
      return new Promise((resolve, reject) => {
        const key = batch.owner ?? `source ${batch.position?.source ?? ''}`;
        const line = lines.get(key) ?? [];
        line.push({ batch, resolve, reject });
        lines.set(key, line);
        schedule();
      });
    },
    [Symbol.dispose](): void {
      clearTimeout(tidying);
      while (lines.size > 0) writeSome();
      clearTimeout(tidying);
    },
  };
}

function settle(waiting: Waiting | undefined, outcome: Outcome | ToolError): void {
  if (outcome instanceof Error) waiting?.reject(outcome);
  else waiting?.resolve(outcome);
}
