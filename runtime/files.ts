/** Files that are whole at every moment, also after a power cut. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';

/**
 * Writes to a temporary name, syncs, renames, syncs the folder. Readers see the old contents or the new, never a part; a
 * file that was there before keeps its owner, its group and, unless `mode` is given, its mode: so its readers.
 */
export function writeFileAtomic(file: string, contents: string, mode?: number): void {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
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

/** Makes names in the folder durable: a new or renamed file is found again after a power cut. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
