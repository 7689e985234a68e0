/** What is written: battles, the copy of decisions, and what was answered. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';

import {
  openAnswers,
  type NewComparison,
  type NewRecommendation,
  type NewReport,
  type NewRun,
} from './answers.ts';
import { openBattles, type Recording } from './battles.ts';
import { openCopied, type CopyPage } from './copied.ts';
import { openNames } from './names.ts';

export interface Keeping {
  readonly quota: Quota;
  /** Decisions of each token of model-profile that the copy holds at most; its oldest go. */
  readonly decisions: number;
}

const quotaRemedy = 'Reports make room when newer ones replace them; battles stay.';

/** Creates and migrates the database where needed. @throws as `openDatabase`. */
export function openKeeper(file: string, { quota, decisions }: Keeping) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const { write, probe } = transactionsOf(database);
  const quotas = openQuotas(database, quota, quotaRemedy);
  const requireWithin = (owner: string) => quotas.requireWithin(owner);
  const names = openNames(database);
  const copied = openCopied(database, names, decisions);
  const answers = openAnswers(database, requireWithin);

  /** One transaction; what is in memory goes with what is on disk. */
  function writing<Value>(work: () => Value): Value {
    try {
      const value = write(work);
      names.committed();
      return value;
    } catch (error) {
      for (const part of [names, copied, answers]) part.undone();
      throw error;
    }
  }

  const battles = openBattles(database, names, writing, requireWithin);

  return {
    record: (recording: Recording) => battles.record(recording),
    tidy: () => battles.tidy(),
    hasToTidy: () => battles.hasToTidy(),
    copy: (page: CopyPage) => writing(() => copied.copy(page)),
    forgetCopy: () => writing(() => copied.forget()),
    keepRun: (run: NewRun) => writing(() => answers.keepRun(run)),
    keepComparison: (row: NewComparison) => writing(() => answers.keepComparison(row)),
    keepRecommendation: (row: NewRecommendation) => writing(() => answers.keepRecommendation(row)),
    keepReport: (report: NewReport) => writing(() => answers.keepReport(report)),
    kept: () => quotas.kept(),
    probe,
    [Symbol.dispose](): void {
      database.close();
    },
  };
}
