/** `flotilla backups`: which there are, and whether there is one to rely on. */
import { basename, resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { backupTroubles, isDue, isOfFuture, readBackupState } from '#runtime/data/backup-state.ts';
import { exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { announce, listBackups, newestGood, newestGoodOf } from '../backup/folder.ts';
import { bytesText } from '../backup/progress.ts';
import { ownKey } from '../backup/signature.ts';
import { ownCommand } from '../own-command.ts';
import { table } from '../table.ts';

interface BackupsOptions {
  readonly from?: string;
  readonly json?: boolean;
  readonly fresh?: boolean;
  readonly alert?: boolean;
}

export async function backups(options: BackupsOptions, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const nowMs = Date.now();
  if (options.fresh) {
    const newest = newestGoodOf(listBackups(folder));
    const isFresh = !isDue(newest?.createdAt, nowMs);
    process.stdout.write(isFresh ? `${newest?.archive} is fresh\n` : 'A backup is due\n');
    if (!isFresh) process.exitCode = exitCodes.failed;
    return;
  }
  const found = listBackups(folder);
  const own = ownKey(host);
  const troubles = troublesOf(folder, nowMs);
  if (troubles.length > 0) process.exitCode = exitCodes.failed;
  if (options.alert && troubles.length > 0) {
    const told = { folder, archive: newestGood(folder)?.archive ?? null, reason: troubles.join('; ') };
    await announce(folder, 'late', told, host, environment);
  }
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ folder, signer: own, troubles, backups: found }, null, 2)}\n`);
    return;
  }
  const rows = found.map(({ archive, createdAt, note }) => [
    basename(archive),
    `${createdAt.slice(0, 16).replace('T', ' ')}Z`,
    note ? bytesText(note.sizeBytes) : '?',
    note?.verifiedAt ? `proven ${note.verifiedAt.slice(0, 16).replace('T', ' ')}Z` : 'not proven',
    note?.isEncrypted ? 'encrypted' : 'plain',
    note?.signer === undefined ? 'no' : note.signer === own ? 'here' : note.signer,
    note
      ? `${note.services.join(', ')}${note.missing.length > 0 ? `; without ${note.missing.join(', ')}` : ''}`
      : '?',
  ]);
  process.stdout.write(
    rows.length === 0
      ? `There are no backups in ${folder}. Make one: ${ownCommand()} backup\n`
      : `${folder}\n${table(['archive', 'made', 'size', 'proof', 'kept', 'signed', 'holds'], rows)}${own === undefined ? '' : `This host signs as ${own}\n`}`,
  );
  for (const trouble of troubles) process.stderr.write(`flotilla: ${trouble}\n`);
  for (const { archive, createdAt } of found) {
    if (isOfFuture(createdAt, nowMs))
      process.stderr.write(
        `flotilla: ${basename(archive)} was made by a clock that was fast: nobody relies on it\n`,
      );
  }
}

/** What lies there counts, not what the state remembers. */
function troublesOf(folder: string, nowMs: number): readonly string[] {
  try {
    const state = readBackupState(folder);
    const lastVerifiedAt = newestGood(folder)?.createdAt ?? null;
    return backupTroubles(state && { ...state, lastVerifiedAt }, nowMs);
  } catch {
    return [`the state of the backups in ${folder} cannot be read: make a backup, which writes it anew`];
  }
}
