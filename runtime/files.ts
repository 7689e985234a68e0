/** Files that are whole at every moment, also after a power cut. */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';

/**
 * Writes to a temporary name, syncs, renames, syncs the folder. Readers see the old contents or the new, never a part; a
 * file that was there before keeps its owner, its group and, unless `mode` is given, its mode: so its readers.
 */
export function writeFileAtomic(file: string, contents: string | Uint8Array, mode?: number): void {
  const folder = dirname(file);
  makeFolder(folder);
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const before = statSync(file, { throwIfNoEntry: false });
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      const { uid, gid } = fstatSync(descriptor);
      const owner = before ?? { uid, gid };
      // Not even asked for where it changes nothing: a sandbox refuses the question.
      if (owner.uid !== uid || owner.gid !== gid) fchownSync(descriptor, owner.uid, owner.gid);
      fchmodSync(descriptor, mode ?? (before?.isFile() ? before.mode & 0o777 : 0o600)); // whatever the umask says
      writeFileSync(descriptor, contents);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(folder);
}

/** What a kill leaves of such a write, and of a database that was being made. */
const halfWritten = /^(.+)\.[0-9a-f]{12}\.tmp(?:-wal|-shm|-journal)?$/;

/** Takes away what a kill left half written in a folder, of files that nobody else writes now. */
export function removeHalfWritten(folder: string, isOurs: (name: string) => boolean = () => true): void {
  for (const name of readdirSync(folder)) {
    const target = halfWritten.exec(name)?.[1];
    if (target !== undefined && isOurs(target)) rmSync(join(folder, name), { force: true });
  }
}

/**
 * Makes a folder, and those around it that are missing. Node's own way tries for ever where nothing can be made, as below
 * /proc.
 *
 * @returns whether it was missing.
 */
export function makeFolder(folder: string, mode = 0o700): boolean {
  try {
    mkdirSync(folder, { mode });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return false;
    // Where the folder around it is there, it is of a kind in which nothing can be made.
    if (code !== 'ENOENT' || existsSync(dirname(folder))) throw error;
  }
  makeFolder(dirname(folder), mode);
  return makeFolder(folder, mode);
}

/** Makes names in the folder durable: a new or renamed file is found again after a power cut. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
