/** `flotilla verify`: proves backups again, and takes the mark from one that has gone bad. */
import { existsSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { DamagedDataError, exitCodes, exitOf, UnavailableError, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { readIdentities } from '../backup/archive.ts';
import {
  listBackups,
  recordState,
  takeBackupFolder,
  writeNote,
  type Backup,
  type BackupNote,
} from '../backup/folder.ts';
import { bytesText, secondsText, showProgress } from '../backup/progress.ts';
import { prove } from '../backup/prove.ts';
import { ownKey } from '../backup/signature.ts';
import { ownCommand } from '../own-command.ts';
import { isThere } from '../reach.ts';
import { endCleanly } from './backup.ts';

interface VerifyOptions {
  readonly all?: boolean;
  readonly from?: string;
  readonly json?: boolean;
}

export async function verify(
  given: string | undefined,
  options: VerifyOptions,
  environment: Environment,
): Promise<void> {
  if (given !== undefined && options.all) throw new UsageError('Name an archive or give --all, not both.');
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const identities = host.FLOTILLA_BACKUP_IDENTITY ? readIdentities(host.FLOTILLA_BACKUP_IDENTITY) : [];
  const own = ownKey(host);
  const archives = options.all
    ? listBackups(folder).map(({ archive }) => archive)
    : [archiveFor(given, folder)];
  if (archives.length === 0) throw new UnavailableError(`There is no backup in ${folder}.`);
  endCleanly();
  using work = takeBackupFolder(folder);
  using progress = showProgress();
  const results = [];
  for (const archive of archives) {
    const startedAt = performance.now();
    const backup = listBackups(dirname(archive)).find((one) => one.archive === archive);
    try {
      const { manifest, signer, warnings } = await prove(
        archive,
        work.scratch,
        identities,
        environment,
        progress,
        backup?.note?.sha256,
      );
      const signed =
        signer === undefined ? 'not signed' : signer === own ? 'signed here' : `signed by ${signer}`;
      const durationMs = Math.round(performance.now() - startedAt);
      mark(backup, { verifiedAt: new Date().toISOString(), restoreMs: durationMs });
      results.push({ archive, good: true, services: manifest.services, signer, warnings, durationMs });
      const size = bytesText(manifest.files.reduce((sum, { bytes }) => sum + bytes, 0));
      progress[Symbol.dispose]();
      if (!options.json) {
        process.stdout.write(
          `✓ ${basename(archive)}: ${manifest.services.join(', ')}; ${manifest.files.length} files, ${size}; ${signed}; restored and opened in ${secondsText(durationMs)}\n`,
        );
      }
      for (const warning of warnings) process.stderr.write(`flotilla: ${warning}\n`);
    } catch (error) {
      const known = exitOf(error);
      if (!known) throw error;
      // That no identity is at hand says nothing about the archive.
      if (error instanceof DamagedDataError) mark(backup, { verifiedAt: null });
      results.push({ archive, good: false, reason: known.line });
      progress[Symbol.dispose]();
      if (!options.json) process.stdout.write(`✗ ${basename(archive)}: ${known.line}\n`);
      if (process.exitCode !== exitCodes.damaged) process.exitCode = known.code;
    }
  }
  if (existsSync(folder)) recordState(folder);
  if (options.json) process.stdout.write(`${JSON.stringify({ archives: results }, null, 2)}\n`);
}

function mark(
  backup: Backup | undefined,
  proof: Pick<BackupNote, 'verifiedAt'> & Partial<Pick<BackupNote, 'restoreMs'>>,
): void {
  if (!backup?.note) return;
  try {
    writeNote(backup.archive, { ...backup.note, ...proof });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['EROFS', 'EACCES', 'EPERM'].includes(code)) throw error;
    process.stderr.write(`flotilla: the result is not noted beside ${backup.archive}: ${code}\n`);
  }
}

/** The archive of this path, or of this name in the folder; the newest where none is given. @throws UnavailableError or UsageError. */
export function archiveFor(given: string | undefined, folder: string): string {
  if (given === undefined) {
    const [newest] = listBackups(folder);
    if (!newest)
      throw new UnavailableError(`There is no backup in ${folder}. Make one: ${ownCommand()} backup`);
    return newest.archive;
  }
  const found = [resolve(given), resolve(folder, given)].find((path) => isThere(path));
  if (found === undefined) throw new UsageError(`There is no archive ${given}, here or in ${folder}.`);
  return found;
}
