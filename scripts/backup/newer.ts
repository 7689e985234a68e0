/** Whether a process has written anything since a backup: by what is there, for looking alone changes times. */
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { entryOf, isService } from '#config/catalogue.ts';
import { filesBelow, isDatabase, isOfTrail } from '#runtime/data/snapshot.ts';
import { copyDatabase } from '#runtime/database.ts';
import { DamagedDataError } from '#runtime/errors.ts';

import { loadService } from '../load.ts';
import { hashOf } from './archive.ts';
import type { Manifest } from './manifest.ts';

/**
 * Of a service whose folder this is, what it keeps; the records of its calls, and what health polls, are newer than any
 * backup. `scratch` is a folder that may be made for a moment.
 */
export async function isNewerThan(
  manifest: Manifest,
  name: string,
  folder: string,
  scratch: string,
): Promise<boolean> {
  const entry = entryOf(name);
  if (!entry || !isService(entry) || !existsSync(folder)) return false;
  const { secretFiles = [] } = await loadService(name);
  const archived = new Map(manifest.files.map(({ path, sha256 }) => [path, sha256]));
  const createdAtMs = Date.parse(manifest.createdAt);
  const isTouched = (file: string) =>
    [file, `${file}-wal`].some(
      (path) => (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > createdAtMs,
    );
  for (const path of (await filesBelow(folder, secretFiles)).filter((one) => !isOfTrail(one))) {
    const file = join(folder, path);
    if (statSync(file).size === 0 || !isTouched(file)) continue;
    if ((await contentHash(file, scratch)) !== archived.get(`${name}/${path}`)) return true;
  }
  return false;
}

/** Of a database, of a copy made as a backup makes it: two copies of one state are the same. */
async function contentHash(file: string, scratch: string): Promise<string | undefined> {
  if (!(await isDatabase(file))) return hashOf(file);
  const copy = join(scratch, 'compared');
  mkdirSync(scratch, { recursive: true, mode: 0o700 });
  try {
    await copyDatabase(file, copy, { signal: new AbortController().signal, told() {} });
    return await hashOf(copy);
  } catch (error) {
    if (error instanceof DamagedDataError) return undefined;
    throw error;
  } finally {
    rmSync(copy, { force: true });
  }
}
