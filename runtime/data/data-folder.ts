/** Where a fleet and its processes keep what they keep. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { access, constants, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import type { HostSettings } from '#config/settings.ts';

import { lockFolder } from '../database.ts';
import { ConfigError, DamagedDataError, UnavailableError } from '../errors.ts';

/**
 * The fleet's data folder, made when it is missing; the folder around it has to be there, so that a misspelt path is
 * found.
 *
 * @throws ConfigError when it cannot be made.
 */
export function openDataRoot({ FLOTILLA_DATA }: HostSettings): string {
  const dataRoot = resolve(FLOTILLA_DATA);
  try {
    mkdirSync(dataRoot, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new ConfigError(
        `The folder ${dirname(dataRoot)} does not exist: make it, or set FLOTILLA_DATA to another.`,
      );
    }
    if (code !== 'EEXIST') throw notWritable(dataRoot, error);
  }
  if (!statSync(dataRoot, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ConfigError(`${dataRoot} is no folder: set FLOTILLA_DATA to one.`);
  }
  return dataRoot;
}

function notWritable(folder: string, cause: unknown): Error {
  if ((cause as NodeJS.ErrnoException).code === 'ENOSPC') {
    return new UnavailableError(`The disk of ${folder} is full: free space on it.`, { cause });
  }
  return new ConfigError(
    `The data folder ${folder} cannot be written: check FLOTILLA_DATA, its owner and permissions.`,
    { cause },
  );
}

/** Whoever may look into the data folder may read this file in it: the processes of a host are of one group. */
export function giveToReaders(file: string, dataRoot: string): void {
  const { mode, uid, gid } = statSync(dataRoot);
  chmodSync(file, 0o600 | (mode & 0o040));
  if (process.getuid?.() === 0) chownSync(file, uid, gid);
}

/** Stands in the data folder while a process's own folder is being replaced: until then there may be none. */
export function restoreMarker(dataRoot: string, name: string): string {
  return join(dataRoot, `.restoring-${name}`);
}

/** @throws DamagedDataError while a restore of this process goes on, or was broken off: starting would make an empty store. */
export function refuseHalfRestored(dataRoot: string, name: string): void {
  const marker = restoreMarker(dataRoot, name);
  if (!existsSync(marker)) return;
  throw new DamagedDataError(
    `${name} is being restored. If that was broken off, run it again: flotilla restore ${readFileSync(marker, 'utf8').trim()}`,
  );
}

/** A folder for this process alone: its own, or the whole fleet's. @throws ConfigError or UnavailableError. */
export function takeFolder(dataDir: string): Disposable {
  let lock: Disposable | undefined;
  try {
    lock = lockFolder(dataDir);
  } catch (error) {
    throw notWritable(dataDir, error);
  }
  if (!lock)
    throw new UnavailableError(
      `Another process works on ${dataDir}. Stop it first, or set FLOTILLA_DATA to another folder.`,
    );
  return lock;
}

/** Why nothing more may fit into a folder: a call could bring this much. `undefined` where it can be written. */
export async function obstacleTo(folder: string, roomBytes: number): Promise<string | undefined> {
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    return `the data folder cannot be written: ${(error as NodeJS.ErrnoException).code}`;
  }
  const { blocks, bavail, bsize } = await statfs(folder);
  // Some network file systems do not know their size.
  return blocks > 0 && bavail * bsize < roomBytes ? 'the disk of the data folder is full' : undefined;
}
