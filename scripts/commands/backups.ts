/** `flotilla backups`: which there are, and whether there is one to rely on. */
import { basename, resolve } from 'node:path';

import { backupFolder, backupTroubles, readBackupState } from '#runtime/backup-state.ts';
import { exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/settings.ts';

import { listBackups } from '../backup/folder.ts';
import { bytesText } from '../backup/progress.ts';
import { table } from '../table.ts';

export function backups(
  options: { readonly from?: string; readonly json?: boolean },
  environment: Environment,
): void {
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const troubles = backupTroubles(readBackupState(folder), Date.now());
  const found = listBackups(folder);
  if (troubles.length > 0) process.exitCode = exitCodes.failed;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ folder, troubles, backups: found }, null, 2)}\n`);
    return;
  }
  const rows = found.map(({ archive, createdAt, note }) => [
    basename(archive),
    `${createdAt.slice(0, 16).replace('T', ' ')}Z`,
    note ? bytesText(note.sizeBytes) : '?',
    note?.verifiedAt ? `proven ${note.verifiedAt.slice(0, 16).replace('T', ' ')}Z` : 'not proven',
    note?.isEncrypted ? 'encrypted' : 'plain',
    note
      ? `${note.services.join(', ')}${note.missing.length > 0 ? `; without ${note.missing.join(', ')}` : ''}`
      : '?',
  ]);
  process.stdout.write(
    rows.length === 0
      ? `There are no backups in ${folder}. Make one: flotilla backup\n`
      : `${folder}\n${table(['archive', 'made', 'size', 'proof', 'kept', 'holds'], rows)}`,
  );
  for (const trouble of troubles) process.stderr.write(`flotilla: ${trouble}\n`);
}
