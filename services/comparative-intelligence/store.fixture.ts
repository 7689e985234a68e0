/** A store in memory of the test, without threads: what the writing thread keeps, and what the others read. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openToRead } from '#runtime/database.ts';

import { openKeeper, type CopiedDecision, type Recording } from './store/keeper.ts';
import { readingFrom } from './store/reading.ts';
import { fullKey } from './subject.ts';

export const nowMs = Date.parse('2026-11-20T12:00:00Z');

export function trialStore(quota = { items: 1_000_000, bytes: 1e9 }, decisions = 10_000) {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-compare-'));
  const file = join(folder, 'comparisons.db');
  const keeper = openKeeper(file, { quota, decisions });
  const database = openToRead(file);
  let change = 0;
  return {
    keeper,
    reading: readingFrom(database),
    record: (given: Partial<Recording> & Pick<Recording, 'battles' | 'csv' | 'jsonl'>) =>
      keeper.record({
        owner: 'test',
        batch: undefined,
        defaults: { judge: '', source: 2, taskType: 'general', nowMs },
        ...given,
      }),
    /** Decisions as model-profile would tell them; what is not given is unknown, and judged by a human. */
    decide(decisions: readonly (Partial<CopiedDecision> & { readonly subject: string })[]): void {
      keeper.copy({
        kind: 'model',
        decisions: decisions.map((given) => ({
          uid: `decision ${(change += 1)}`,
          taskType: 'general',
          item: null,
          cluster: null,
          outcome: null,
          source: given.outcome === undefined || given.outcome === null ? null : 2,
          confidence: null,
          costUsd: null,
          latencyMs: null,
          propensity: null,
          atMs: nowMs,
          ...given,
          subject: fullKey(given.subject),
        })),
        change,
        isComplete: true,
        atMs: nowMs,
      });
    },
    [Symbol.dispose]() {
      database[Symbol.dispose]();
      keeper[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}
