/** How the backups stand: written by whoever makes them, read by whoever watches. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { writeFileAtomic } from '../files.ts';

const instant = z.iso.datetime().nullable();

const stateSchema = z.object({
  lastAttemptAt: z.iso.datetime(),
  /** When the newest backup was made that holds everything. */
  lastSuccessAt: instant,
  /** When the newest of these was made that was proven. */
  lastVerifiedAt: instant,
  /** Of the newest backup. */
  archive: z.string().nullable(),
  sizeBytes: z.number(),
  files: z.number(),
  durationMs: z.number(),
  /** Attempts that failed, ever, and why the last attempt did; `null` when it went well. */
  failures: z.number().int(),
  lastError: z.string().nullable(),
  /** How long the newest proof took to restore everything and open it: what a restore takes. */
  restoreMs: z.number().nullable().default(null),
  /** What was told of last that is not well yet. */
  alert: z.enum(['failure', 'late']).nullable().default(null),
  /** Why the hook could not be run or reached the last time; `null` when it could. */
  hookError: z.string().nullable().default(null),
});

export type BackupState = z.output<typeof stateSchema>;

/** A backup is due every day; two hours are for the job itself. */
export const lateAfterMs = 26 * 3_600_000;

/** A schedule tries twice, an hour apart: on a day without the first hour, or after a failure, the second try counts. */
const doneForMs = 3 * 3_600_000;

/** Whether a try on the schedule has anything to do. `newestAt` is of the newest proven backup. */
export function isDue(newestAt: string | null | undefined, nowMs: number, afterMs = doneForMs): boolean {
  return !newestAt || isOfFuture(newestAt, nowMs) || nowMs - Date.parse(newestAt) > afterMs;
}

/** Clocks of two hosts differ a little. */
const clocksDifferMs = 3_600_000;

/** Made by a clock that was fast: its time says nothing about what is newest or late. */
export function isOfFuture(at: string, nowMs: number): boolean {
  return Date.parse(at) > nowMs + clocksDifferMs;
}

const stateFile = (folder: string) => join(folder, 'state.json');

/** @returns `undefined` where no backup was ever tried. @throws Error when the file cannot be read or understood. */
export function readBackupState(folder: string): BackupState | undefined {
  let text: string;
  try {
    text = readFileSync(stateFile(folder), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return stateSchema.parse(JSON.parse(text));
}

/** Health may be another user: everybody may read the file, which names nothing that is secret. */
export function writeBackupState(folder: string, state: BackupState): void {
  writeFileAtomic(stateFile(folder), `${JSON.stringify(state, null, 2)}\n`, 0o644);
}

/** What a person should look at; empty when all is well. */
export function backupTroubles(state: BackupState | undefined, nowMs: number): readonly string[] {
  if (!state) return ['no backup was made yet'];
  const { lastError, lastVerifiedAt, hookError } = state;
  const troubles = lastError === null ? [] : [`the last backup failed: ${lastError}`];
  if (hookError !== null) troubles.push(`nobody was told of the last backup: ${hookError}`);
  if (lastVerifiedAt === null) troubles.push('no backup is proven yet');
  else if (isOfFuture(lastVerifiedAt, nowMs))
    troubles.push(`the newest proven backup is of ${lastVerifiedAt}, which is yet to come: check the clock`);
  else if (nowMs - Date.parse(lastVerifiedAt) > lateAfterMs)
    troubles.push(`the newest proven backup is of ${lastVerifiedAt}`);
  return troubles;
}
