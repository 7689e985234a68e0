/** Changes files and folders through open descriptors, whole or not at all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, type Stats } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  open,
  opendir,
  readlink,
  rename,
  rmdir,
  symlink,
  unlink,
  type FileHandle,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import {
  again,
  at,
  codeOf,
  hold,
  isDenied,
  locate,
  namesIn,
  openFile,
  openFolder,
  openFolderAt,
  pathIn,
  syncFolder,
  temporaryName,
  type Folder,
  type Place,
  type Spot,
  type Territory,
} from './beneath.ts';
import { locateTarget, requireNoNewRepository, type Target } from './repository.ts';
import { asFolder, makeFile, openHandle, preciseStatOf, type Handle } from './handle.ts';
import { maxCopiedBytes, maxCopiedEntries, maxDepth, smallFileBytes } from './limits.ts';
import { etagOf, piecesOf, readAll } from './text.ts';
import { teller } from './work.ts';

type Stop = Pick<Call, 'signal'>;
type Told = Pick<Call, 'signal' | 'progress'>;

const toCreate = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** What a file looks like that is about to be replaced. */
export interface Version {
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly mode: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
}

export const versionOf = async (file: Handle): Promise<Version> => file.preciseStat();

/** Contents on disk under a temporary name, beside the file that they are to replace. */
export interface Staged {
  /** @throws ToolError `conflict` when the file is no longer what it was. */
  commit(): Promise<void>;
  discard(): Promise<void>;
}

/** Writes contents beside a file. `before` is what the file was, and lends its mode and owner; none for a new file. */
export async function stage(
  place: Target,
  contents: Uint8Array,
  before: Version | undefined,
  mode = before ? Number(before.mode) : newFileMode,
): Promise<Staged> {
  const { folder, name } = place;
  const temporary = at(folder, temporaryName());
  const discard = async () => unlink(temporary).catch(unlessMissing);
  // As it is to be from the start, where its group, which may be another at first, has no more rights than all have.
  const first = ((mode >> 3) & 7) === (mode & 7) ? mode & 0o777 : 0o600;
  await using file = await makeFile(temporary, first, place.path, folder);
  try {
    await file.write(contents);
    if (before) await ownedAsBefore(file, await file.stat(), before);
    // Not the bits that give rights to whoever runs it: the contents are new.
    await setMode(file, mode);
    await file.sync();
  } catch (error) {
    await discard();
    throw error;
  }
  return {
    discard,
    async commit() {
      await requireUnchanged(place, before);
      if (!before) await requireNoNewRepository(place);
      await rename(temporary, at(folder, name));
      await syncFolder(folder);
    },
  };
}

const unlessMissing = (error: unknown) => {
  if (codeOf(error) !== 'ENOENT') throw error;
};

async function ownedAsBefore(file: Handle, own: Stats, { uid, gid }: Version): Promise<void> {
  if (own.uid === Number(uid) && own.gid === Number(gid)) return;
  // Only root may give files away; the file then is the service's, as if it had been written anew.
  await file.chown(Number(uid), Number(gid)).catch((error: unknown) => {
    if (codeOf(error) !== 'EPERM') throw error;
  });
}

/** Whether what is at a place is still what was seen, or still nothing. */
export async function isUnchanged({ folder, name }: Spot, before: Version | undefined): Promise<boolean> {
  const now = await preciseStatOf(folder, at(folder, name));
  if (!now || !before) return now === before;
  return (
    now.ino === before.ino &&
    now.size === before.size &&
    now.mtimeNs === before.mtimeNs &&
    now.ctimeNs === before.ctimeNs
  );
}

async function requireUnchanged(place: Spot, before: Version | undefined): Promise<void> {
  if (await isUnchanged(place, before)) return;
  throw new ToolError('conflict', `The file was changed by somebody else meanwhile: ${place.path}`, {
    hint: 'Read it again, and make the change on what is there now.',
  });
}

/** New files and folders are as the user's own: not as those that the fleet keeps for itself, whatever its umask is. */
const newFileMode = 0o644;
const newFolderMode = 0o755;

async function makeFolder(target: Target): Promise<void> {
  await requireNoNewRepository(target);
  const { folder, name } = target;
  await mkdir(at(folder, name), 0o700);
  await using made = await openFolder(folder, name);
  await setMode(made, newFolderMode);
}

/**
 * Whatever the umask is. A folder keeps the bit that gives its group to what is made in it; on a file system without
 * modes all stays as it is.
 */
async function setMode(handle: Pick<FileHandle | Handle, 'fd' | 'stat'>, mode: number): Promise<void> {
  const { mode: now } = await handle.stat();
  const wanted = (now & 0o2000) | (mode & 0o777);
  if ((now & 0o7777) === wanted) return;
  await chmod(again(handle), wanted).catch((error: unknown) => {
    if (!isDenied(error) && codeOf(error) !== 'EOPNOTSUPP') throw error;
  });
}

/**
 * Makes a folder, and those above it that are missing; says which were made: all or none. What is there already stays as
 * it is.
 */
export async function ensureFolder(territory: Territory, path: string, depth = 0): Promise<string[]> {
  const made: string[] = [];
  try {
    await using place = await locateTarget(territory, path).catch(async (error: unknown) => {
      if (!(error instanceof ToolError) || error.code !== 'not_found' || depth >= maxDepth) throw error;
      made.push(...(await ensureFolder(territory, dirname(path), depth + 1)));
      return locateTarget(territory, path);
    });
    try {
      await makeFolder(place);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      await (await openFolderAt(place)).close();
      return made;
    }
    made.push(place.path);
    await syncFolder(place.folder);
    return made;
  } catch (error) {
    await removeFolders(territory, made);
    throw error;
  }
}

/** Takes back what was made, as far as nothing lies in it. */
export async function removeFolders(territory: Territory, made: readonly string[]): Promise<void> {
  for (const path of made.toReversed()) {
    try {
      await using place = await locate(territory, path, { follow: false });
      await rmdir(at(place.folder, place.name));
    } catch {
      // Somebody uses it by now, or has moved it.
      return;
    }
  }
}

/** Does work that needs the folder above a path; folders that were made for it go again when it fails. */
export async function inFolderOf<Value>(
  territory: Territory,
  path: string,
  createParents: boolean,
  work: () => Promise<Value>,
): Promise<Value> {
  const made = createParents ? await ensureFolder(territory, dirname(path)) : [];
  try {
    return await work();
  } catch (error) {
    await removeFolders(territory, made);
    throw error;
  }
}

/** What was read of a file that is about to be changed. */
export interface Snapshot {
  readonly contents: Buffer;
  readonly version: Version;
}

/** Reads a file and what it looks like; both are of one moment. `undefined` when there is none. */
export async function snapshotOf(territory: Territory, place: Place): Promise<Snapshot | undefined> {
  try {
    await using file = await openFile(territory, place);
    const version = await versionOf(file);
    return { version, contents: await readAll(file) };
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return undefined;
    throw error;
  }
}

/** @throws ToolError `conflict` when the contents are not those that the caller has seen. */
export function requireMatch(path: string, contents: Buffer | undefined, ifMatch: string | undefined): void {
  if (ifMatch === undefined) return;
  const etag = contents && etagOf(contents);
  if (etag === ifMatch) return;
  throw new ToolError(
    'conflict',
    contents ? `The file has changed: its etag is ${etag}: ${path}` : `The file is gone: ${path}`,
    { hint: 'Read it again, and make the change on what is there now.' },
  );
}

/** Replaces a file, or makes it, in one step. */
export async function replace(
  place: Target,
  contents: Uint8Array,
  before: Version | undefined,
  { signal }: Stop,
): Promise<void> {
  const staged = await stage(place, contents, before);
  try {
    signal.throwIfAborted();
    await staged.commit();
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

/**
 * Gives something another name. The name is claimed first by an empty file or folder of our own, which alone is replaced:
 * whatever else is there, or comes in between, stays.
 *
 * @throws ToolError `conflict` when the destination exists, or lies on another file system.
 */
export async function moveTo(source: Spot, destination: Target): Promise<void> {
  await requireNoNewRepository(destination);
  await using held = await hold(source);
  const isFolder = (await held.stat()).isDirectory();
  const from = at(source.folder, source.name);
  const to = at(destination.folder, destination.name);
  try {
    if (isFolder) await mkdir(to);
    else await (await open(to, toCreate)).close();
  } catch (error) {
    throw codeOf(error) === 'EEXIST' ? exists(destination.path) : error;
  }
  try {
    await rename(from, to);
  } catch (error) {
    await (isFolder ? rmdir(to) : unlink(to));
    throw error;
  }
  await syncFolder(destination.folder);
  await syncFolder(source.folder);
}

const exists = (path: string) =>
  new ToolError('conflict', `Destination already exists: ${path}`, {
    hint: 'Choose another name, or delete_file what is there first.',
  });

/** @throws ToolError `conflict` when something is there. */
export async function requireFree(spot: Spot): Promise<void> {
  if (!(await isUnchanged(spot, undefined))) throw exists(spot.path);
}

/** Copies to where nothing is. Links are copied as links. What was made is left there when it fails. */
export async function copyTo(
  territory: Territory,
  source: Spot,
  destination: Spot,
  call: Told,
): Promise<{ files: number; bytes: number }> {
  const count = { entries: 0, files: 0, bytes: 0 };
  const tell = teller(call);
  await copyEntry(source, destination, 0);
  if (count.files > maxSyncedOneByOne) await syncAll(destination.folder);
  return { files: count.files, bytes: count.bytes };

  async function copyEntry(from: Spot, to: Spot, depth: number): Promise<void> {
    call.signal.throwIfAborted();
    count.entries += 1;
    if (count.entries > maxCopiedEntries || depth > maxDepth) throw tooMuch();
    await using held = await hold(from);
    const stat = await held.stat();
    if (stat.isSymbolicLink()) {
      await symlink(await readlink(at(from.folder, from.name)), at(to.folder, to.name));
    } else if (stat.isDirectory()) {
      await mkdir(at(to.folder, to.name), 0o700);
      await using folder = await openFolder(from.folder, from.name);
      await using copy = await openFolder(to.folder, to.name);
      for (const { name } of await namesIn(folder)) {
        await copyEntry(
          { folder, name, path: join(from.path, name) },
          { folder: copy, name, path: join(to.path, name) },
          depth + 1,
        ).catch(unlessGone);
      }
      if (count.files <= maxSyncedOneByOne) await syncFolder(copy);
      await setMode(copy, stat.mode);
    } else {
      await using file = await openFile(territory, from);
      const { size } = await file.stat();
      if (size <= smallFileBytes && (stat.mode & specialBits) === 0) {
        await copyFile(again(file), at(to.folder, to.name), constants.COPYFILE_EXCL);
        count.bytes += size;
        if (count.bytes > maxCopiedBytes) throw tooMuch();
        tell(count.entries + count.bytes, undefined, 'entries and bytes copied');
      } else await copyLarge(file, to, stat.mode);
      count.files += 1;
      if (count.files <= maxSyncedOneByOne) await syncFile(to);
    }
  }

  async function copyLarge(file: Handle, to: Spot, mode: number): Promise<void> {
    await using copy = await open(at(to.folder, to.name), toCreate, 0o600);
    for await (const piece of piecesOf(file, call)) {
      count.bytes += piece.length;
      if (count.bytes > maxCopiedBytes) throw tooMuch();
      await copy.writeFile(piece);
      tell(count.entries + count.bytes, undefined, 'entries and bytes copied');
    }
    await setMode(copy, mode);
  }
}

/** They give rights to whoever runs a file. */
const specialBits = 0o7000;

async function syncFile({ folder, name }: Spot): Promise<void> {
  await using file = await open(
    at(folder, name),
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  await file.sync();
}

/** Each waits for the disk: for more files, all that the file system has to write is written at once. */
const maxSyncedOneByOne = 100;

/** Node has no call for it. */
async function syncAll(folder: Folder): Promise<void> {
  const child = spawn('sync', ['-f', '/proc/self/fd/3'], { stdio: ['ignore', 'ignore', 'pipe', folder.fd] });
  let complaint = '';
  child.stderr?.on('data', (piece: Buffer) => (complaint += piece.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0) return;
  throw new ToolError(
    'unavailable',
    `The copy could not be written to the disk: ${complaint.slice(0, 300)}`,
    {
      hint: 'Nothing was copied: try again.',
    },
  );
}

/** What is removed while its folder is copied is no longer to be copied. */
const unlessGone = (error: unknown) => {
  if (!(error instanceof ToolError) || error.code !== 'not_found') throw error;
};

const tooMuch = () =>
  new ToolError(
    'too_large',
    `A copy takes at most ${maxCopiedEntries} entries, ${maxCopiedBytes} bytes and ${maxDepth} folders within folders.`,
    { hint: 'Nothing was copied: copy the parts one by one.' },
  );

/**
 * Removes for good, some at a time, until it is stopped. Links are removed, and not followed; names may be any bytes. Nothing
 * there is fine.
 */
export async function removeTree(folder: Folder, name: Buffer, signal?: AbortSignal): Promise<void> {
  const path = Buffer.concat([Buffer.from(at(folder, '')), name]);
  try {
    await unlink(path);
    return;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    if (codeOf(error) !== 'EISDIR') throw error;
  }
  {
    await using inside = await openHandle(path, asFolder, pathIn(folder, name.toString()), folder);
    // Its owner may have taken the right to change it from himself.
    await setMode(inside, 0o700);
    const listing = await opendir(again(inside), { encoding: bytes, bufferSize: 256 });
    for await (const { name } of listing) {
      signal?.throwIfAborted();
      await removeTree(inside, name as unknown as Buffer, signal);
    }
  }
  await rmdir(path);
}

/** Node gives names as bytes for it, which its types do not say. */
const bytes = 'buffer' as BufferEncoding;
