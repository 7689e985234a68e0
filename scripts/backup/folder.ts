/** The folder of the backups: archives, beside each what is known of it, and which of them may go. */
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

import type { HostSettings } from '#config/settings.ts';
import { headSchema } from '#runtime/account/audit-chain.ts';
import {
  isOfFuture,
  readBackupState,
  writeBackupState,
  type BackupState,
} from '#runtime/data/backup-state.ts';
import { lockFolder } from '#runtime/database.ts';
import { ConfigError, exitOf, UnavailableError } from '#runtime/errors.ts';
import { makeFolder, removeHalfWritten, syncFolder, writeFileAtomic } from '#runtime/files.ts';

import type { Environment } from '#runtime/process/settings.ts';

import { isThere, whyUnreachable } from '../reach.ts';
import { tellOf, type BackupEvent, type Told } from './hooks.ts';
import { fileSchema } from './manifest.ts';

/** What lies beside an archive, so that nobody has to open it to see what it is. */
const noteSchema = z.object({
  createdAt: z.iso.datetime(),
  sizeBytes: z.number(),
  /** Of the archive as it lies there. */
  sha256: z.string(),
  /** Of what is in it. */
  dataBytes: z.number(),
  files: z.number(),
  services: z.array(z.string()),
  missing: z.array(z.string()),
  isEncrypted: z.boolean(),
  /** The age recipient that it is encrypted to. */
  recipient: z.string().optional(),
  /** Files of it that lie beside the archives: see segments.ts. */
  segments: z.array(fileSchema).optional(),
  /** The public key that signed it; none of older versions. */
  signer: z.string().optional(),
  /** When it was last restored to a scratch folder and found good; `null` when never, or when it was found bad since. */
  verifiedAt: z.iso.datetime().nullable(),
  /** How long the last proof took to restore everything and open it. */
  restoreMs: z.number().optional(),
  /** How far the audit trail of each process had come: "audit verify" holds the trails against it. */
  heads: z.record(z.string(), headSchema).optional(),
});

export type BackupNote = z.output<typeof noteSchema>;

export interface Backup {
  /** Its full path. */
  readonly archive: string;
  readonly createdAt: string;
  /** `undefined` where the note is gone. */
  readonly note: BackupNote | undefined;
}

const archivePattern = /^flotilla-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3}Z)\.tar\.zst(?:\.age)?$/;

const scratchName = '.scratch';
const folderMode = 0o711;
const dayMs = 24 * 3_600_000;
/** Good ones that stay, whatever the settings say. */
const keptGood = 3;

export function archiveName(createdAt: string, isEncrypted: boolean): string {
  return `flotilla-${createdAt.replaceAll(':', '-')}.tar.zst${isEncrypted ? '.age' : ''}`;
}

const noteFile = (archive: string) => `${archive}.json`;

export function writeNote(archive: string, note: BackupNote): void {
  writeFileAtomic(noteFile(archive), `${JSON.stringify(note, null, 2)}\n`);
  giveToOwner(noteFile(archive));
}

/** What root makes belongs to whoever has the folder: the nightly backup may be of another user. */
export function giveToOwner(path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(dirname(path));
  lchownSync(path, uid, gid);
}

/** What lies beside an archive; `undefined` where there is nothing. */
export function noteOf(archive: string): BackupNote | undefined {
  try {
    return noteSchema.safeParse(JSON.parse(readFileSync(noteFile(archive), 'utf8'))).data;
  } catch {
    return undefined; // gone or damaged: the archive itself says the same when it is verified
  }
}

/** Newest first. @throws the system's error where this user may not look. */
export function listBackups(folder: string): readonly Backup[] {
  if (!isThere(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => {
      const [, day, hour, minute, second] = archivePattern.exec(name) ?? [];
      if (day === undefined) return [];
      const archive = join(folder, name);
      return [{ archive, createdAt: `${day}T${hour}:${minute}:${second}`, note: noteOf(archive) }];
    })
    .toSorted((a, b) => b.createdAt.localeCompare(a.createdAt));
}

export const isComplete = ({ note }: Backup) => note?.missing.length === 0;
/** Everything is in it, and it was proven. */
export const isGood = (backup: Backup) => isComplete(backup) && backup.note?.verifiedAt != null;
const isPast = ({ createdAt }: Backup) => !isOfFuture(createdAt, Date.now());

/** The one to rely on. */
export function newestGoodOf(backups: readonly Backup[]): Backup | undefined {
  const good = backups.filter(isGood);
  return good.find(isPast) ?? good[0];
}

/** The same of a folder; `undefined` also where this user may not look. */
export function newestGood(folder: string): Backup | undefined {
  try {
    return newestGoodOf(listBackups(folder));
  } catch (error) {
    if (['EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** What stays, by age and by number. */
export interface Keep {
  readonly days: number;
  readonly weeks: number;
  readonly months: number;
}

export const keepOf = (host: HostSettings): Keep => ({
  days: host.FLOTILLA_BACKUP_KEEP_DAYS,
  weeks: host.FLOTILLA_BACKUP_KEEP_WEEKS,
  months: host.FLOTILLA_BACKUP_KEEP_MONTHS,
});

/** Weeks begin on Monday; 1970 began on a Thursday. */
const weekOf = (createdAt: string) => String(Math.floor((Date.parse(createdAt) / dayMs + 3) / 7));

/**
 * What may go, the oldest first. Only what is older than the days to keep, and never the newest three good ones, nor the
 * newest good one of the last days, weeks and months that have one: these are counted, so that no clock can make them old.
 */
export function expired(backups: readonly Backup[], keep: Keep, nowMs: number): readonly Backup[] {
  const good = backups.filter((backup) => isGood(backup) && !isOfFuture(backup.createdAt, nowMs));
  const staying = new Set(good.slice(0, keptGood));
  const keepNewest = (count: number, periodOf: (createdAt: string) => string) => {
    const periods = [...Map.groupBy(good, ({ createdAt }) => periodOf(createdAt)).values()];
    for (const [newest] of periods.slice(0, count)) if (newest) staying.add(newest);
  };
  keepNewest(keep.days, (createdAt) => createdAt.slice(0, 'YYYY-MM-DD'.length));
  keepNewest(keep.weeks, weekOf);
  keepNewest(keep.months, (createdAt) => createdAt.slice(0, 'YYYY-MM'.length));
  return backups
    .filter((backup) => !staying.has(backup) && Date.parse(backup.createdAt) < nowMs - keep.days * dayMs)
    .toReversed();
}

/** Removes these, the oldest first, `most` at a time. @returns their names. */
export function remove(folder: string, backups: readonly Backup[], most = backups.length): readonly string[] {
  const gone = backups.slice(0, most);
  for (const { archive } of gone) {
    rmSync(archive);
    rmSync(noteFile(archive), { force: true });
  }
  if (gone.length > 0) syncFolder(folder);
  return gone.map(({ archive }) => basename(archive));
}

/** The folder for one program at a time, and a scratch folder in it that is gone afterwards, however it ends. */
export interface WorkingFolder extends Disposable {
  readonly scratch: string;
}

/** @throws UnavailableError while another backup or proof is at work there; ConfigError when it cannot be used. */
export function takeBackupFolder(folder: string): WorkingFolder {
  let lock: Disposable | undefined;
  try {
    const isNew = makeFolder(folder, folderMode);
    // Health may be another user, and reads the state in it, whatever the umask says. A folder that was there is not ours.
    if (isNew) chmodSync(folder, folderMode);
    accessSync(folder, constants.W_OK | constants.X_OK);
    lock = lockFolder(folder);
  } catch (cause) {
    const denial = whyUnreachable(cause);
    if (denial !== undefined) throw new ConfigError(denial, { cause });
    const { code, message } = cause as NodeJS.ErrnoException;
    const remedy = code === 'EROFS' ? ' On a host, "flotilla install" lets its unit write there.' : '';
    throw new ConfigError(`The folder ${folder} cannot be used for backups: ${message}.${remedy}`, { cause });
  }
  if (!lock) throw new UnavailableError(`Another backup or proof is at work in ${folder}.`);
  giveToOwner(join(folder, '.lock'));
  removeHalfWritten(folder);
  const scratch = makeScratch(folder);
  const clear = () => rmSync(scratch, { recursive: true, force: true });
  process.once('exit', clear);
  return {
    scratch,
    [Symbol.dispose]() {
      process.off('exit', clear);
      clear();
      lock[Symbol.dispose]();
    },
  };
}

/** Takes away what a run left that was killed; where that is another user's, it stays and another name is taken. */
function makeScratch(folder: string): string {
  for (const name of readdirSync(folder).filter((entry) => entry.startsWith(scratchName))) {
    try {
      rmSync(join(folder, name), { recursive: true, force: true });
    } catch (error) {
      process.stderr.write(
        `flotilla: ${join(folder, name)} cannot be removed, remove it: ${String(error)}\n`,
      );
    }
  }
  const scratch = join(folder, scratchName);
  if (existsSync(scratch)) return mkdtempSync(`${scratch}-`);
  mkdirSync(scratch, { mode: 0o700 });
  return scratch;
}

const nothingYet: BackupState = {
  lastAttemptAt: new Date(0).toISOString(),
  lastSuccessAt: null,
  lastVerifiedAt: null,
  archive: null,
  sizeBytes: 0,
  files: 0,
  durationMs: 0,
  failures: 0,
  lastError: null,
  restoreMs: null,
  alert: null,
  hookError: null,
};

function stateOf(folder: string): BackupState {
  try {
    return readBackupState(folder) ?? nothingYet;
  } catch {
    return nothingYet; // damaged: it is written anew from what lies there
  }
}

/** Tells whoever the settings name, as far as there is news, and keeps in the state what was told. */
export async function announce(
  folder: string,
  event: 'success' | 'failure' | 'late',
  told: Told,
  host: HostSettings,
  environment: Environment,
): Promise<void> {
  const { alert } = stateOf(folder);
  const events: readonly BackupEvent[] =
    event === 'success' && alert !== null ? ['resolved', event] : [event];
  let hookError: string | null = null;
  for (const one of events) hookError = (await tellOf(one, host, told, environment)) ?? hookError;
  if (hookError !== null) process.stderr.write(`flotilla: ${hookError}\n`);
  try {
    writeState(folder, { ...stateOf(folder), alert: event === 'success' ? null : event, hookError });
  } catch {
    // The folder itself may be what is wrong: it was told of.
  }
}

/** Why a backup failed, for health. */
export function recordFailure(folder: string, error: unknown, at: string, durationMs: number): void {
  try {
    const reason = exitOf(error)?.line ?? String(error);
    recordState(folder, { at, durationMs, error: reason });
  } catch {
    // The folder itself may be what is wrong: the error that is thrown says so.
  }
}

/** What lies in the folder decides; `attempt` is of a backup that has just ended, well or not. */
export function recordState(
  folder: string,
  attempt?: { readonly at: string; readonly durationMs: number; readonly error: string | null },
): void {
  const backups = listBackups(folder);
  const past = backups.filter(isPast);
  const newestAt = (is: (backup: Backup) => boolean) =>
    (past.find(is) ?? backups.find(is))?.createdAt ?? null;
  const [newest] = past.length > 0 ? past : backups;
  const before = stateOf(folder);
  writeState(folder, {
    ...before,
    lastSuccessAt: newestAt(isComplete),
    lastVerifiedAt: newestAt(isGood),
    archive: newest ? basename(newest.archive) : null,
    sizeBytes: newest?.note?.sizeBytes ?? 0,
    files: newest?.note?.files ?? 0,
    restoreMs: past.find(isGood)?.note?.restoreMs ?? null,
    ...(attempt && {
      lastAttemptAt: attempt.at,
      durationMs: attempt.durationMs,
      failures: before.failures + (attempt.error === null ? 0 : 1),
      lastError: attempt.error,
    }),
  });
}

function writeState(folder: string, state: BackupState): void {
  const file = join(folder, 'state.json');
  const uid = process.getuid?.() ?? 0;
  // Of a run of root: it cannot be given back its owner, who is none of ours.
  if (uid !== 0 && (statSync(file, { throwIfNoEntry: false })?.uid ?? uid) !== uid) rmSync(file);
  writeBackupState(folder, state);
  giveToOwner(file);
}
