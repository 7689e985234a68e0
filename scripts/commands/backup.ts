/** `flotilla backup`: copies everything, proves the copy, and leaves word of how it went. */
import { performance } from 'node:perf_hooks';
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { ConfigError, exitCodes, exitOf, UnavailableError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import {
  announce,
  recordFailure,
  recordState,
  takeBackupFolder,
  type WorkingFolder,
} from '../backup/folder.ts';
import { isDiskFull } from '../backup/collect.ts';
import { copyOff } from '../backup/hooks.ts';
import { makeBackup } from '../backup/make.ts';
import { bytesText, secondsText, showProgress } from '../backup/progress.ts';
import { ownCommand } from '../own-command.ts';

export interface BackupOptions {
  readonly to?: string;
  readonly json?: boolean;
}

export async function backup(options: BackupOptions, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const folder = options.to === undefined ? backupFolder(host) : resolve(options.to);
  if (relative(realPath(resolve(host.FLOTILLA_DATA)), realPath(folder)).split('/')[0] !== '..') {
    throw new ConfigError(`The backups in ${folder} would be lost with the data: put them outside of it.`);
  }
  endCleanly();
  const at = new Date().toISOString();
  const startedAt = performance.now();
  const tookMs = () => Math.round(performance.now() - startedAt);
  const fail = async (error: unknown) => {
    recordFailure(folder, error, at, tookMs());
    const reason = exitOf(error)?.line ?? String(error);
    await announce(folder, 'failure', { folder, archive: null, reason }, host, environment);
  };
  let taken: WorkingFolder;
  try {
    taken = takeBackupFolder(folder);
  } catch (error) {
    // While another backup is at work, the state is that one's.
    if (!(error instanceof UnavailableError)) await fail(error);
    throw error;
  }
  using work = taken;
  using progress = showProgress();
  let made: Awaited<ReturnType<typeof makeBackup>>;
  try {
    made = await makeBackup(folder, work, environment, progress);
  } catch (thrown) {
    const error = isDiskFull(thrown)
      ? new UnavailableError(`There is no room in ${folder}: ${thrown.message}.`, { cause: thrown })
      : thrown;
    await fail(error);
    throw error;
  }
  const { archive, note, missing, warnings, removed, left, madeKey } = made;
  const lost = missing.map(({ name, reason }) => `${name} is missing: ${reason}`);
  if (host.FLOTILLA_BACKUP_COPY !== undefined) progress.tell('Copying it off this host');
  const notCopied = await copyOff(host, { folder, archive, reason: '' }, environment);
  if (notCopied !== null) lost.push(notCopied);
  const durationMs = tookMs();
  const reason = lost.join('; ');
  recordState(folder, { at, durationMs, error: reason || null });
  await announce(
    folder,
    reason === '' ? 'success' : 'failure',
    { folder, archive, reason },
    host,
    environment,
  );
  if (lost.length > 0) process.exitCode = exitCodes.failed;
  progress[Symbol.dispose]();
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ archive, ...note, missing, warnings, removed, left, durationMs }, null, 2)}\n`,
    );
  } else {
    process.stdout.write(
      `${archive}\n  ${note.services.join(', ')}: ${note.files} files, ${bytesText(note.dataBytes)} in ${bytesText(note.sizeBytes)}` +
        `${note.isEncrypted ? ', encrypted' : ''}; proven by a restore; ${secondsText(durationMs)}\n`,
    );
    if (madeKey) {
      process.stdout.write(
        `  signed by a key that was made now: write down ${note.signer}, by which another host knows what this one made\n`,
      );
    }
    for (const name of removed) process.stdout.write(`  ${name} was old enough to go\n`);
    if (left > 0) process.stdout.write(`  ${left} more may go: ${ownCommand()} prune\n`);
  }
  for (const line of [...lost, ...warnings]) process.stderr.write(`flotilla: ${line}\n`);
}

/** Where it is, also of a folder that is yet to be made. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : join(realPath(dirname(path)), basename(path));
}

/** Ends by a signal run what is due at the end: copies of everybody's data are not left lying about. */
export function endCleanly(): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
}
