/** A store in memory of the test, without threads: what the writing thread keeps, and what the others read. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openToRead } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Recording } from './store/battles.ts';
import type { CopiedDecision } from './store/copied.ts';
import { openKeeper } from './store/keeper.ts';
import { readingFrom } from './store/reading.ts';
import { fullKey } from './subject.ts';

export const nowMs = Date.parse('2026-11-20T12:00:00Z');

type Given = Partial<Recording> & Pick<Recording, 'battles' | 'csv' | 'jsonl'>;

function allOf<Value>(steps: Steps<Value>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

export function trialStore(quota = { items: 1_000_000, bytes: 1e9 }, decisions = 10_000) {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-compare-'));
  const file = join(folder, 'comparisons.db');
  let keeper = openKeeper(file, { quota, decisions });
  const database = openToRead(file);
  let change = 0;
  /** In pieces, each of which is a step. */
  const recording = (given: Given) =>
    keeper.record({
      owner: 'test',
      batch: undefined,
      defaults: { judge: '', source: 2, taskType: 'general', nowMs },
      ...given,
    });
  return {
    keeper: () => keeper,
    database,
    reading: readingFrom(database),
    recording,
    record: (given: Given) => allOf(recording(given)),
    tidy: () => allOf(keeper.tidy()),
    /** As after a kill: only what is on disk is known. */
    reopen(): void {
      keeper[Symbol.dispose]();
      keeper = openKeeper(file, { quota, decisions });
    },
    /** Decisions as model-profile would tell them; what is not given is unknown, and judged by a human. */
    decide(decisions: readonly (Partial<CopiedDecision> & { readonly subject: string })[]): void {
      keeper.copy({
        kind: 'model',
        decisions: decisions.map((given) => ({
          uid: `decision ${(change += 1)}`,
          token: 1,
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
