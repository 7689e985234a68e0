/**
 * What lies in a repository is not trusted to be what it seems: a file may be a pipe that nobody writes to, a link to the
 * user's keys, or without end; a name may be made so that it reads like another one. All that is read here of a
 * repository without git goes through this file.
 */
import { lstatSync, type BigIntStats, type Dirent } from 'node:fs';
import { constants, lstat, open, opendir, readdir, realpath } from 'node:fs/promises';
import { isAbsolute } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { contains } from '#runtime/roots.ts';

import {
  maxFolderAtOnceBytes,
  maxFoldersAtOnce,
  maxFolderBytes,
  maxGitEntries,
  maxKnownFolders,
  maxLinks,
  maxSmallFileBytes,
  settledAfterMs,
} from './limits.ts';

export type Roots = readonly string[];

export const isWithin = (roots: Roots, path: string): boolean => roots.some((root) => contains(root, path));

export const refusal = (what: string, why: string) =>
  new ToolError('forbidden', `The repository is refused: ${what} ${why}.`, {
    hint: 'It would lead git outside the roots, or elsewhere than it seems. Its owner corrects it, or names another root.',
  });

/** As the kernel reads it: "link/.." is the parent of what the link leads to, so nothing is shortened. */
export const beside = (folder: string, path: string): string =>
  isAbsolute(path) ? path : `${folder}/${path}`;

/** The real path. @throws ToolError `forbidden` outside the roots, and for what leads nowhere. */
export async function insideOf(roots: Roots, path: string | Buffer, what: string): Promise<string> {
  const real = await realpath(path, 'buffer').catch(() => undefined);
  if (real === undefined) throw refusal(what, 'leads nowhere');
  const text = decoded(real, what);
  if (!isWithin(roots, text)) throw refusal(what, 'leads outside the roots');
  return text;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Never with U+FFFD for bytes: git would go by the bytes, we by another name. */
export function decoded(bytes: Buffer, what: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw refusal(what, 'is not UTF-8');
  }
}

/**
 * All of a small file, wherever below the roots links lead to it; `undefined` where nothing is.
 *
 * @throws ToolError `forbidden` for what is no file or lies outside; `too_large`.
 */
export async function readSmall(roots: Roots, path: string, what: string): Promise<Buffer | undefined> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw refusal(what, 'cannot be read');
  });
  if (!found) return undefined;
  const real = await insideOf(roots, path, what);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  await using file = await open(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => {
    throw refusal(what, 'cannot be read');
  });
  const stat = await file.stat();
  if (!stat.isFile()) throw refusal(what, 'is no file');
  const { size } = stat;
  if (size > maxSmallFileBytes) {
    throw new ToolError('too_large', `${what} has more than ${maxSmallFileBytes} bytes.`);
  }
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(size), position: 0 });
  return buffer.subarray(0, bytesRead);
}

/**
 * Looks at every entry below folders that git reads and writes: git writes through links, so a planted `logs/HEAD` could be
 * any file of the user; it reads through them, so a pack could be that of another repository; and it waits for pipes.
 *
 * @param elsewhere folders right below these that are left out.
 * @returns the links that it found, by their own paths.
 */
export async function requirePlainEntries(
  roots: Roots,
  folders: readonly string[],
  elsewhere: readonly string[] = ['modules', 'lfs'],
): Promise<string[]> {
  const links: string[] = [];
  const waiting: Buffer[] = [];
  const seen = new Set<string>();
  const visit = (path: Buffer) => {
    const key = path.toString('latin1');
    if (!seen.has(key)) waiting.push(path);
    seen.add(key);
  };
  for (const folder of folders) visit(Buffer.from(folder));
  let left = maxGitEntries;

  /** What is known of a folder, if that still holds; else what it is now, to be looked into. */
  function lookAgain(
    folder: Buffer,
  ): { readonly lookedAtMs: number; readonly state: BigIntStats } | undefined {
    const lookedAtMs = Date.now();
    const state = lstatSync(folder, { bigint: true });
    if (state.size > maxFolderBytes) throw tooMany();
    const known = plainFolders.get(keyOf(state));
    if (!known) return { lookedAtMs, state };
    count(known.entries);
    for (const name of known.folders) lookInto(folder, name);
    return undefined;
  }

  async function look(folder: Buffer): Promise<void> {
    const unknown = lookAgain(folder);
    if (!unknown) return;
    const { lookedAtMs, state } = unknown;
    const key = keyOf(state);
    let entryCount = 0;
    let isPlain = state.isDirectory();
    const inside: Buffer[] = [];
    for await (const entries of piecesOf(folder, Number(state.size))) {
      count(entries.length);
      entryCount += entries.length;
      for (const entry of entries) {
        // A socket is that of git's own fsmonitor daemon, mostly; it cannot be opened, so nothing waits for it.
        if (entry.isFile() || entry.isSocket()) continue;
        if (entry.isDirectory()) inside.push(entry.name);
        else isPlain = false;
        await lookAt(folder, entry);
      }
    }
    // Not one that changed meanwhile, or that could change again without a sign of it.
    const isSettled = Math.abs(lookedAtMs - Number(state.ctimeMs)) > settledAfterMs;
    if (!isPlain || !isSettled || keyOf(await lstat(folder, { bigint: true })) !== key) return;
    if (plainFolders.size >= maxKnownFolders) plainFolders.clear();
    plainFolders.set(key, { entries: entryCount, folders: inside });
  }

  function count(entries: number): void {
    left -= entries;
    if (left < 0) throw tooMany();
  }

  async function lookAt(folder: Buffer, entry: Dirent<Buffer>): Promise<void> {
    if (entry.isDirectory()) {
      lookInto(folder, entry.name);
      return;
    }
    const path = within(folder, entry.name);
    const what = `${entry.name.toString()} in its .git`;
    if (!entry.isSymbolicLink()) throw refusal(what, 'is no file');
    const real = await insideOf(roots, path, `the link ${what}`);
    links.push(decoded(path, what));
    if (links.length > maxLinks) throw refusal('its .git', `has more than ${maxLinks} links`);
    const target = await lstat(real);
    if (target.isDirectory()) visit(Buffer.from(real));
    else if (!target.isFile()) throw refusal(what, 'is no file');
  }

  function lookInto(folder: Buffer, name: Buffer): void {
    if (!isElsewhere(folder, name)) visit(within(folder, name));
  }

  /** Git does not know `lfs`, and submodules are looked at when they are entered. */
  const isElsewhere = (folder: Buffer, name: Buffer) =>
    folders.includes(folder.toString()) && elsewhere.includes(name.toString());

  while (waiting.length > 0) {
    await Promise.all(
      waiting.splice(0, maxFoldersAtOnce).map(async (folder) =>
        look(folder).catch((error: NodeJS.ErrnoException) => {
          if (error instanceof ToolError) throw error;
          // Temporary folders of a git that is at work go away.
          if (error.code !== 'ENOENT') throw refusal(folder.toString(), 'cannot be read');
        }),
      ),
    );
  }
  return links;
}

/** Folders that were looked at, with nothing but files and folders in them: the kernel tells when one has changed. */
const plainFolders = new Map<string, { readonly entries: number; readonly folders: readonly Buffer[] }>();

const keyOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats) =>
  `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;

const within = (folder: Buffer, name: Buffer) => Buffer.concat([folder, Buffer.from('/'), name]);

/** A large folder comes piece by piece, so that it does not hold the process. */
async function* piecesOf(folder: Buffer, sizeBytes: number): AsyncGenerator<Dirent<Buffer>[]> {
  if (sizeBytes <= maxFolderAtOnceBytes) {
    yield await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
    return;
  }
  // Its type knows texts alone.
  const asBytes = { encoding: 'buffer' as BufferEncoding, bufferSize: 1_000 };
  let piece: Dirent<Buffer>[] = [];
  for await (const entry of await opendir(folder, asBytes)) {
    if (piece.push(entry as unknown as Dirent<Buffer>) < asBytes.bufferSize) continue;
    yield piece;
    piece = [];
  }
  yield piece;
}

const tooMany = () =>
  new ToolError('too_large', `Its .git folder has more than ${maxGitEntries} entries.`, {
    hint: 'Its owner runs git gc.',
  });
