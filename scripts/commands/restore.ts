/** `flotilla restore`: one command from an archive to data in place. */
import { secretsName } from '../../gateway/foreign/upstreams-file.ts';
import { resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { isOfFuture } from '#runtime/data/backup-state.ts';
import { openDataRoot } from '#runtime/data/data-folder.ts';
import { UnavailableError, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { readIdentities } from '../backup/archive.ts';
import { listBackups, newestGoodOf, noteOf } from '../backup/folder.ts';
import { secondsText, showProgress } from '../backup/progress.ts';
import { restoreArchive, unsigned, type Restored } from '../backup/restore.ts';
import { ownKey, publicKeySchema } from '../backup/signature.ts';
import { entriesNamed } from '../environment.ts';
import { commandTo } from '../host/systemctl.ts';
import { ownCommand } from '../own-command.ts';
import { archiveFor } from './verify.ts';

interface RestoreCommandOptions {
  readonly only?: readonly string[];
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly from?: string;
  readonly trust?: string;
  readonly json?: boolean;
}

export async function restore(
  given: string | undefined,
  options: RestoreCommandOptions,
  environment: Environment,
): Promise<void> {
  const startedAt = performance.now();
  const { trust } = options;
  if (trust !== undefined && trust !== unsigned && !publicKeySchema.safeParse(trust).success) {
    throw new UsageError(
      `--trust takes a public key as "${ownCommand()} backups" shows it (ed25519:...), or ${unsigned}.`,
    );
  }
  const host = parseHostSettings(environment);
  const folder = options.from === undefined ? backupFolder(host) : resolve(options.from);
  const archive = given === undefined ? chosenArchive(folder) : archiveFor(given, folder);
  const own = ownKey(host);
  using progress = showProgress();
  const restored = await restoreArchive(
    {
      archive,
      identities: host.FLOTILLA_BACKUP_IDENTITY ? readIdentities(host.FLOTILLA_BACKUP_IDENTITY) : [],
      dataRoot: openDataRoot(host),
      only: options.only && entriesNamed(options.only).map(({ name }) => name),
      force: options.force ?? false,
      dryRun: options.dryRun ?? false,
      noted: noteOf(archive)?.sha256,
      trusted: [own, trust].filter((key) => key !== undefined),
      isChosen: given === undefined,
    },
    progress,
  );
  progress[Symbol.dispose]();
  const durationMs = Math.round(performance.now() - startedAt);
  if (options.json) {
    const { manifest, ...rest } = restored;
    process.stdout.write(
      `${JSON.stringify({ archive, createdAt: manifest.createdAt, missing: manifest.missing, ...rest, durationMs }, null, 2)}\n`,
    );
  } else {
    const start = commandTo(
      'start',
      restored.services.map(({ name }) => name),
      resolve(host.FLOTILLA_DATA),
    );
    process.stdout.write(told(archive, restored, options.dryRun ?? false, durationMs, start));
  }
}

/** @throws UnavailableError when there is none to rely on: an unproven one must be named. */
function chosenArchive(folder: string): string {
  const newest = newestGoodOf(listBackups(folder));
  if (newest && !isOfFuture(newest.createdAt, Date.now())) return newest.archive;
  throw new UnavailableError(
    newest
      ? `By the clock of this host, every good backup in ${folder} is yet to come: check the clock, or name an archive and give --force.`
      : `There is no backup in ${folder} that holds everything and is proven. Name an archive; see: ${ownCommand()} backups`,
  );
}

function told(
  archive: string,
  restored: Restored,
  isDryRun: boolean,
  durationMs: number,
  start: string,
): string {
  const { manifest, services, unknown, tokens, upstreams, signer, isTrusted, withoutOlderRecords } = restored;
  const lines = [
    `${isDryRun ? 'Would restore' : 'Restored'} ${archive}, made ${manifest.createdAt}`,
    ...services.map(({ name, lastWrittenAt, isNewer, replaced }) => {
      if (replaced !== null) return `  ${name}: what was there is in ${replaced}`;
      if (!isDryRun || lastWrittenAt === null) return `  ${name}: there was nothing before`;
      return `  ${name}: replaces data of ${lastWrittenAt}${isNewer ? ', which is newer: needs --force' : ''}`;
    }),
    ...manifest.missing.map(({ name }) => `  ${name} is not in this backup and stays as it is`),
    ...unknown.map((name) => `  ${name} is in the archive, but not in this version's catalogue: left out`),
  ];
  for (const name of withoutOlderRecords)
    lines.push(`  ${name}: older records of calls are not there, for "segments" is not beside the archive`);
  if (!isTrusted)
    lines.push(`  nothing shows who made it: signed by ${signer}, which this host does not know`);
  if (tokens === 'withheld') {
    lines.push(
      `  tokens: left out, so that nobody brings in his own; the next start makes a first one, and clients need new ones.`,
      `    If that is the key of the host that made it, take its tokens too: --trust ${signer}`,
    );
  }
  if (tokens === 'restored') {
    lines.push(
      `  tokens: clients' tokens work as before; the command line needs one: ${ownCommand()} token create NAME --allow '*'`,
    );
  }
  if (tokens === 'kept') lines.push('  tokens: those that are there now stay');
  const ofUpstreams = {
    kept: 'those that are there now stay',
    restored: `put back; their secrets (${secretsName}) are in no backup: look with ${ownCommand()} upstream list`,
    withheld: 'left out, as they would start programs; take them too with the same --trust',
    'not asked for': undefined,
    none: undefined,
  }[upstreams];
  if (ofUpstreams !== undefined) lines.push(`  servers of others: ${ofUpstreams}`);
  lines.push(
    isDryRun
      ? 'The archive is whole. Nothing was changed.'
      : `In ${secondsText(durationMs)}. Start again: ${start}`,
  );
  return `${lines.join('\n')}\n`;
}
