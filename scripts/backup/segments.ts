/**
 * Closed files of the records of calls, which never change any more. Each lies once in a folder beside the archives, packed
 * like these, for all archives that hold it: a backup copies only what is new.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { DamagedDataError } from '#runtime/errors.ts';
import { syncFolder } from '#runtime/files.ts';

import { hashOf, packFile, unpackFile } from './archive.ts';
import { giveToOwner, listBackups, newestGood } from './folder.ts';
import { isSegment, ownerOf, type ManifestFile } from './manifest.ts';

const folderName = 'segments';

export const segmentFile = (archive: string, { apart }: ManifestFile): string =>
  join(dirname(archive), folderName, apart?.name ?? '');

/**
 * What the newest good backup holds there whole, packed for the same recipient, by the paths of archives. What is damaged is
 * copied anew, and so mended for older archives too.
 */
export async function storedSegments(
  folder: string,
  recipient: string | undefined,
): Promise<ReadonlyMap<string, ManifestFile>> {
  const newest = newestGood(folder);
  const whole = new Map<string, ManifestFile>();
  if (!newest?.note || newest.note.recipient !== recipient) return whole;
  for (const file of newest.note.segments ?? []) {
    const stored = segmentFile(newest.archive, file);
    const isThere = statSync(stored, { throwIfNoEntry: false })?.size === file.apart?.bytes;
    if (isThere && (await hashOf(stored)) === file.apart?.sha256) whole.set(file.path, file);
  }
  return whole;
}

/** Takes the closed ones among the collected files out of what goes into the archive. @returns all files, as the manifest has them. */
export async function setApart(
  files: readonly ManifestFile[],
  collected: string,
  folder: string,
  recipients: readonly string[],
): Promise<readonly ManifestFile[]> {
  const store = join(folder, folderName);
  const open = new Set(
    [...Map.groupBy(files.filter(isSegment), ownerOf).values()].map((those) => those.at(-1)?.path),
  );
  const result: ManifestFile[] = [];
  for (const file of files) {
    if (file.apart || !isSegment(file) || open.has(file.path)) {
      result.push(file);
      continue;
    }
    mkdirSync(store, { recursive: true, mode: 0o711 });
    giveToOwner(store);
    const packed = join(collected, 'packed');
    const { sizeBytes: bytes, sha256 } = await packFile(join(collected, file.path), packed, recipients);
    // Packed for another recipient it is another file, and older archives need theirs.
    const name = `${file.sha256}.${sha256.slice(0, 16)}.zst${recipients.length > 0 ? '.age' : ''}`;
    renameSync(packed, join(store, name));
    giveToOwner(join(store, name));
    rmSync(join(collected, file.path));
    result.push({ ...file, apart: { name, bytes, sha256 } });
  }
  if (existsSync(store)) syncFolder(store);
  return result;
}

export type Opened = 'opened' | 'sealed' | 'gone';

/**
 * Puts a file of the archive that lies apart where it is wanted. `sealed`: no identity opens it, but it is the file that was
 * stored.
 *
 * @throws DamagedDataError when it is another.
 */
export async function openSegment(
  archive: string,
  file: ManifestFile,
  identities: readonly string[],
  target: string,
): Promise<Opened> {
  const stored = segmentFile(archive, file);
  if (!existsSync(stored)) return 'gone';
  if ((await hashOf(stored)) !== file.apart?.sha256)
    throw new DamagedDataError(`${stored} is not the file that ${archive} names.`);
  return (await unpackFile(stored, file, identities, target)) ? 'opened' : 'sealed';
}

/** Removes what no archive of the folder holds any more; nothing while one of them does not say what it holds. */
export function pruneSegments(folder: string): void {
  const store = join(folder, folderName);
  const backups = listBackups(folder);
  if (!existsSync(store) || backups.some(({ note }) => !note)) return;
  const held = new Set(backups.flatMap(({ note }) => note?.segments ?? []).map(({ apart }) => apart?.name));
  const old = readdirSync(store).filter((name) => !held.has(name));
  for (const name of old) rmSync(join(store, name));
  if (old.length > 0) syncFolder(store);
}
