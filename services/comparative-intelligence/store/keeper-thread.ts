/** The thread that writes, one thing after the other; nobody is answered before it is on disk. */
import { workerData } from 'node:worker_threads';

import { serveLink } from '#runtime/link.ts';

import {
  openKeeper,
  type CopyPage,
  type Keeping,
  type NewComparison,
  type NewRecommendation,
  type NewRun,
  type Recording,
} from './keeper.ts';

export interface KeeperSettings {
  readonly file: string;
  readonly keeping: Keeping;
}

const { file, keeping } = workerData as KeeperSettings;
const keeper = openKeeper(file, keeping);

const handlers = {
  record: (recording: Recording) => keeper.record(recording),
  copy: (page: CopyPage) => keeper.copy(page),
  forgetCopy: () => keeper.forgetCopy(),
  keepRun: (run: NewRun) => keeper.keepRun(run),
  keepComparison: (row: NewComparison) => keeper.keepComparison(row),
  keepRecommendation: (row: NewRecommendation) => keeper.keepRecommendation(row),
  keepReport: (report: Parameters<typeof keeper.keepReport>[0]) => keeper.keepReport(report),
  probe: () => keeper.probe(),
};
export type KeeperHandlers = typeof handlers;

serveLink(handlers, () => keeper[Symbol.dispose]());
