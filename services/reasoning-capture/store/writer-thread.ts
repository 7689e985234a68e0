/** The thread that writes: groups as they come, and between them, when nothing comes, what is done behind the writing. */
import { workerData } from 'node:worker_threads';

import { openAgain } from '#runtime/database.ts';
import { serveLink } from '#runtime/link.ts';
import type { Quota } from '#runtime/quotas.ts';

import { openTending, type Administered } from './tending.ts';
import type { Result, Submission } from './submission.ts';
import { openWriter } from './writer.ts';

export interface WriterSettings {
  readonly file: string;
  readonly quota: Quota;
  readonly keepDays: number;
}

export type WriterEvent = {
  readonly level: 'info' | 'warn';
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
};

const idleMs = 20;
/** Under load, what is done behind the writing gets a piece of time so often, so that it does not stay behind for ever. */
const busyTendMs = 500;
const expireEveryMs = 60_000;
/** Pages of the log before they are moved into the database: larger pieces cost less. */
const checkpointPages = 16_000;

const { file, quota, keepDays } = workerData as WriterSettings;
const database = openAgain(file);
database.pragma(`wal_autocheckpoint = ${checkpointPages}`);
database.pragma('cache_size = -65536');
const writer = openWriter(database, quota);
const tending = openTending(database, keepDays);
const nowUs = () => Date.now() * 1_000;

let lastGroupMs = -Infinity;
let lastTendMs = -Infinity;
let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
let isExpiring = true;

const handlers = {
  group({ submissions }: { readonly submissions: readonly Submission[] }): Result[] {
    try {
      return writer.write(submissions);
    } finally {
      lastGroupMs = performance.now();
      plan();
    }
  },
  delete(given: Administered) {
    writer.forget();
    try {
      return tending.delete(given);
    } finally {
      plan();
    }
  },
  redact(given: Administered & { readonly seqs?: readonly number[] | undefined }) {
    try {
      return tending.redact(given);
    } finally {
      plan();
    }
  },
  /** Takes the write lock and gives it back. */
  probe() {
    database.exec('BEGIN IMMEDIATE; COMMIT');
  },
};
export type WriterHandlers = typeof handlers;

const say = serveLink(handlers, end, 0);

function plan(): void {
  timer ??= setTimeout(tendWhenIdle, idleMs);
}

function tendWhenIdle(): void {
  timer = undefined;
  const now = performance.now();
  if (now - lastGroupMs < idleMs && now - lastTendMs < busyTendMs) {
    plan();
    return;
  }
  try {
    lastTendMs = now;
    if (tending.tend(nowUs()) || tending.removeLeftovers() || expire() || tending.scrub())
      timer = setImmediate(tendWhenIdle);
  } catch (error) {
    say({
      level: 'warn',
      event: 'tending_failed',
      fields: { reason: (error as Error).message },
    } satisfies WriterEvent);
  }
}

function expire(): boolean {
  if (!isExpiring) return false;
  const chains = tending.expire(nowUs());
  isExpiring = chains > 0;
  if (chains > 0) {
    writer.forget();
    say({ level: 'info', event: 'chains_expired', fields: { chains } } satisfies WriterEvent);
  }
  return isExpiring;
}

const expiring = setInterval(() => {
  isExpiring = true;
  plan();
}, expireEveryMs);
plan();

function end(): void {
  clearInterval(expiring);
  clearTimeout(timer as NodeJS.Timeout);
  clearImmediate(timer as NodeJS.Immediate);
  database.close();
}
