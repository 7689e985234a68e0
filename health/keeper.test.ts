import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { createLog } from '#runtime/account/log.ts';
import { openAgain } from '#runtime/database.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { History } from './history.ts';
import { Keeper } from './keeper.ts';
import type { Round } from './keeper-thread.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');
const change = { from: 'up', to: 'down', reason: 'gone', detectionMs: 3_000, heldMs: null } as const;

const round = (second: number, changes: Round['changes'] = []): Round => ({
  atMs: noon + second * 1_000,
  samples: [{ name: 'memory', result: 'up', latencyMs: 1, reason: null }],
  heads: [],
  changes,
  sincePreviousMs: second === 0 ? undefined : 1_000,
});

function place() {
  const folder = temporaryFolder();
  const historyFile = join(folder.path, 'history.db');
  const history = new History(historyFile);
  const logged: string[] = [];
  let elapsedMs = 0;
  const keeper = new Keeper(
    { historyFile, dataDir: folder.path, dataRoot: folder.path, self: 'health', pollsPerMinute: 60 },
    createLog('health', 'info', (line) => logged.push(line)),
    () => elapsedMs,
  );
  return {
    history,
    keeper,
    logged,
    other: openAgain(historyFile),
    pass: (ms: number) => (elapsedMs += ms),
    count: () => history.samples('memory', 0, 10_000).length,
    async [Symbol.asyncDispose]() {
      await keeper[Symbol.asyncDispose]();
      this.other.close();
      history[Symbol.dispose]();
      folder[Symbol.dispose]();
    },
  };
}

test('rounds are written by a thread, in order, and seen by who reads here', async () => {
  await using here = place();

  for (let second = 0; second < 20; second++) here.keeper.keep(round(second));

  await vi.waitFor(() => expect(here.count()).toBe(20));
  expect(here.keeper.trouble).toBeUndefined();
  expect(here.keeper.uptimes.get('memory')).toEqual({ hour: null, day: null });
  expect(here.keeper.waiting).toBe(0);
});

test('what cannot be written waits, is told, and is written when it can be; what is too much is counted', async () => {
  await using here = place();
  here.keeper.keep(round(0));
  await vi.waitFor(() => expect(here.count()).toBe(1));
  here.other.exec('ALTER TABLE samples RENAME TO away');

  here.keeper.keep(round(1, [{ ...change, name: 'memory', atMs: noon + 1_000 }]));
  await vi.waitFor(() => expect(here.keeper.trouble).toBe('the history cannot be written'));
  for (let second = 2; second < 700; second++) here.keeper.keep(round(second));
  expect(here.keeper.waiting).toBe(600);
  expect(here.keeper.dropped).toBe(99);
  here.other.exec('ALTER TABLE away RENAME TO samples');

  await vi.waitFor(() => expect(here.count()).toBe(601));
  await vi.waitFor(() => expect(here.keeper.trouble).toBeUndefined());
  // No change of status is dropped with its round.
  expect(here.history.transitions(0, 10)).toMatchObject([{ name: 'memory', to: 'down', reason: 'gone' }]);
  expect(here.logged.filter((line) => line.includes('history_not_written'))).toHaveLength(1);
  expect(here.logged.filter((line) => line.includes('history_dropped'))).toHaveLength(1);
});

test('a disk that does not answer is told, and holds up nobody', async () => {
  await using here = place();
  here.keeper.keep(round(0));
  await vi.waitFor(() => expect(here.count()).toBe(1));
  here.other.exec('BEGIN IMMEDIATE');

  here.keeper.keep(round(1));
  expect(here.keeper.trouble).toBeUndefined();
  here.pass(6_000);
  expect(here.keeper.trouble).toBe('the history is not written: the disk does not answer');

  here.other.exec('ROLLBACK');
  await vi.waitFor(() => expect(here.count()).toBe(2));
  await vi.waitFor(() => expect(here.keeper.trouble).toBeUndefined());
});
