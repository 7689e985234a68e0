/** Files that are whole at every moment, also after a power cut. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
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
 * file that was there before keeps its owner, group and mode, and so its readers.
 */
export function writeFileAtomic(file: string, contents: string, mode = 0o600): void {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const descriptor = openSync(temporary, 'wx', mode);
    try {
      writeFileSync(descriptor, contents);
      const before = statSync(file, { throwIfNoEntry: false });
      if (before?.isFile()) {
        fchownSync(descriptor, before.uid, before.gid);
        fchmodSync(descriptor, before.mode & 0o777);
      }
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
