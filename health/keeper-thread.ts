/** The thread that writes: rounds of polls into the history, and heads of audit trails beside them. */
import { workerData } from 'node:worker_threads';

import { readBreaks } from '#runtime/account/audit-breaks.ts';
import { serveLink } from '#runtime/link.ts';

import { Anchors, type Seen } from './anchors.ts';
import { History, type Change, type Sample, type Uptime } from './history.ts';

export interface KeeperSettings {
  readonly historyFile: string;
  readonly dataDir: string;
  readonly dataRoot: string;
  readonly self: string;
  readonly pollsPerMinute: number;
}

/** What one round of polls brought. */
export interface Round {
  readonly atMs: number;
  readonly samples: readonly Sample[];
  readonly heads: readonly Seen[];
  readonly changes: readonly Change[];
  readonly sincePreviousMs: number | undefined;
}

export interface Kept {
  /** What a person should look at in the audit trails. */
  readonly troubles: readonly string[];
  /** Now and then: summing them up takes longer than a round. */
  readonly uptimes: ReadonlyMap<string, Uptime> | undefined;
}

/** Uptimes are summed up anew after so many rounds, and after each of the first ones. */
const roundsPerUptime = 10;

const { historyFile, dataDir, dataRoot, self, pollsPerMinute } = workerData as KeeperSettings;
const history = new History(historyFile, { self, pollsPerMinute, isOpen: true });
const anchors = new Anchors(dataDir, () => readBreaks(dataRoot));
let rounds = 0;

/** What is in the history already must not be counted again, so that this fails by itself. */
function anchored(atMs: number, heads: readonly Seen[]): readonly string[] {
  try {
    anchors.record(atMs, heads);
    return anchors.troubles;
  } catch (error) {
    return [`what audit trails are like cannot be written: ${String(error)}`];
  }
}

const handlers = {
  keep({ round }: { readonly round: Round }): Kept {
    const { atMs, samples, heads, changes, sincePreviousMs } = round;
    history.record(atMs, samples, { changes, sincePreviousMs });
    const troubles = anchored(atMs, heads);
    const isDue = rounds < roundsPerUptime || rounds % roundsPerUptime === 0;
    rounds += 1;
    return { troubles, uptimes: isDue ? history.uptimes(atMs) : undefined };
  },
};
export type KeeperHandlers = typeof handlers;

serveLink(handlers, () => {
  history[Symbol.dispose]();
  anchors[Symbol.dispose]();
});
