/** What this user may not reach is there all the same: it is never told as missing, but with whose it is. */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { ConfigError } from '#runtime/errors.ts';

/** As `existsSync`, which says "no" to whoever may not look. @throws the system's error, for `whyUnreachable`. */
export function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** For commands that work on what an earlier start has made. @throws ConfigError where there is none, or the system's error. */
export function requireData(dataRoot: string): void {
  if (!isThere(dataRoot)) {
    throw new ConfigError(`There is no data folder ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`);
  }
  accessSync(dataRoot, constants.R_OK | constants.X_OK);
}

/** One line with the remedy, for what the system refused (EACCES, EPERM, ENOTDIR); `undefined` for anything else. */
export function whyUnreachable(error: unknown): string | undefined {
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  if (code === 'EPERM' && syscall === 'kill') {
    return 'The fleet is of another user: run this as that user, or as root.';
  }
  if (path === undefined || !['EACCES', 'EPERM', 'ENOTDIR'].includes(code ?? '')) return undefined;
  const obstacle = obstacleTo(resolve(path));
  return code === 'ENOTDIR'
    ? `${obstacle} is no folder: name another place (for the data: FLOTILLA_DATA).`
    : denied(obstacle);
}

/** That this user has no right to a place, and who has. */
function denied(place: string): string {
  const me = nameOf(process.getuid?.() ?? 0);
  const owner = nameOf(statSync(place).uid);
  return owner === me
    ? `This user (${me}) may not use ${place}, though it is the owner: look at its mode (ls -ld ${place}).`
    : `This user (${me}) may not use ${place}, which belongs to ${owner}: run this as ${owner}, or name a place of your own (for the data: FLOTILLA_DATA).`;
}

/** The innermost part of a path that can be looked at: the next one is not there, or hidden by this. */
function obstacleTo(path: string): string {
  try {
    statSync(path);
    return path;
  } catch {
    return path === '/' ? path : obstacleTo(dirname(path));
  }
}

function nameOf(uid: number): string {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.split(':')[2] === String(uid));
  return line?.split(':')[0] ?? `user ${uid}`;
}
