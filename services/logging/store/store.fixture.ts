/** A store in a folder of its own, and calls to go with it. */
import { mkdirSync } from 'node:fs';

import { createLog } from '#runtime/account/log.ts';
import { testCall } from '#runtime/testing.ts';

import type { Keeping } from './keeper.ts';
import type { NewLine } from './line.ts';
import { openStore } from './store.ts';

export const quota = { items: 1_000_000, bytes: 1_000_000_000 };

export const keeping: Keeping = { days: 3_650, bytes: 1_000_000_000, quota, linesPerSegment: 1_000 };

export async function storeIn(
  dataDir: string,
  overrides: Partial<Keeping> = {},
  files?: readonly string[],
  fleetLogs = '/nowhere',
) {
  mkdirSync(dataDir, { recursive: true });
  const feeds = files && { fleetLogs, files };
  const settings = { dataDir, keeping: { ...keeping, ...overrides }, feeds, readsJournal: false };
  return openStore(
    settings,
    quota,
    createLog('logging', 'error', () => {}),
  );
}

export const call = testCall();

/** A line as the keeper takes it. */
export const newLine = (atMs: number, message: string, more: Partial<NewLine> = {}): NewLine => ({
  atMs,
  level: 'info',
  service: 'web',
  source: 'ingest:test',
  message,
  fields: {},
  ...more,
});
