/** Where a fleet and its processes keep what they keep. */
import { mkdirSync, statSync } from 'node:fs';
import { access, constants, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import type { HostSettings } from '#config/settings.ts';

import { lockFolder } from './database.ts';
import { ConfigError, isDiskFull, UnavailableError } from './errors.ts';

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
  if (isDiskFull(cause)) return cause;
  return new ConfigError(
    `The data folder ${folder} cannot be written: check FLOTILLA_DATA, its owner and permissions.`,
    { cause },
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
