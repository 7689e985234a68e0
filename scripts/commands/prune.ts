/** `flotilla prune`: removes the backups that are old enough, all at once. */
import { basename, resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { UnavailableError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { expired, keepOf, listBackups, recordState, remove, takeBackupFolder } from '../backup/folder.ts';
import { bytesText } from '../backup/progress.ts';
import { pruneSegments } from '../backup/segments.ts';

export function prune(
  options: { readonly from?: string; readonly dryRun?: boolean; readonly json?: boolean },
  environment: Environment,
): void {
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const backups = listBackups(folder);
  if (backups.length === 0) throw new UnavailableError(`There is no backup in ${folder}.`);
  using _work = options.dryRun ? undefined : takeBackupFolder(folder);
  const old = expired(backups, keepOf(host), Date.now());
  if (!options.dryRun) {
    remove(folder, old);
    pruneSegments(folder);
    recordState(folder);
  }
  const sizeBytes = old.reduce((sum, { note }) => sum + (note?.sizeBytes ?? 0), 0);
  if (options.json) {
    const names = old.map(({ archive }) => basename(archive));
    process.stdout.write(`${JSON.stringify({ folder, removed: names, sizeBytes }, null, 2)}\n`);
    return;
  }
  for (const { archive } of old) process.stdout.write(`${basename(archive)}\n`);
  const count = `${old.length} of ${backups.length}, ${bytesText(sizeBytes)}`;
  process.stdout.write(options.dryRun ? `${count} would go\n` : `${count} went\n`);
}
