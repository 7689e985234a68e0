/** `flotilla backups ARCHIVE`: what is in it, as it says itself; `verify` proves it. */
import { resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { peekArchive, readIdentities } from '../backup/archive.ts';
import { ownerOf, type ManifestFile } from '../backup/manifest.ts';
import { bytesText } from '../backup/progress.ts';
import { ownKey } from '../backup/signature.ts';
import { table } from '../table.ts';
import { archiveFor } from './verify.ts';

interface ContentsOptions {
  readonly from?: string;
  readonly files?: boolean;
  readonly json?: boolean;
}

export async function contents(
  given: string,
  options: ContentsOptions,
  environment: Environment,
): Promise<void> {
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const archive = archiveFor(given, folder);
  const identities = host.FLOTILLA_BACKUP_IDENTITY ? readIdentities(host.FLOTILLA_BACKUP_IDENTITY) : [];
  const { manifest, signer } = await peekArchive(archive, identities);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ archive, signer, ...manifest }, null, 2)}\n`);
    return;
  }
  const own = signer !== undefined && signer === ownKey(host);
  const { createdAt, version, services, missing, files } = manifest;
  const of = Map.groupBy(files, ownerOf);
  const rows = services.map((name) => {
    const those = of.get(name) ?? [];
    return [name, String(those.length), bytesText(sizeOf(those)), rowsText(those)];
  });
  const fleet = (of.get(undefined) ?? []).map((file) => [file.path, '1', bytesText(file.bytes), '']);
  const lines = [
    archive,
    `made ${createdAt} by Flotilla ${version}, ${own ? 'signed here' : `signed by ${signer ?? 'nobody'}`}`,
    table(['holds', 'files', 'size', 'rows'], [...rows, ...fleet]).trimEnd(),
    ...missing.map(({ name, reason }) => `without ${name}: ${reason}`),
    ...(options.files
      ? files.map(
          ({ path, bytes, apart }) =>
            `${path}  ${bytesText(bytes)}${apart ? `  in segments/${apart.name}` : ''}`,
        )
      : []),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

const sizeOf = (files: readonly ManifestFile[]) => files.reduce((sum, { bytes }) => sum + bytes, 0);

/** Of the tables that have any, without those behind an index for searching. */
function rowsText(files: readonly ManifestFile[]): string {
  return files
    .flatMap(({ database }) => Object.entries(database?.rows ?? {}))
    .filter(([name, count]) => count > 0 && !/^sqlite_|_(?:data|idx|docsize|config|content)$/.test(name))
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}
