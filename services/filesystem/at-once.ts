/**
 * The short way to what is asked for most: a small file, or a folder, on a disk of this host. It walks as beneath.ts does, name by
 * name and without following links, but without a promise, which costs more than the walk. Whatever leaves a doubt (a link, a
 * letter with two spellings, another disk, anything that fails) is left to the long way, which owns every answer to it.
 */
import { fstatSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';

import { isAscii } from '#runtime/roots.ts';

import { absolute, at, openHeld, rootOf, type Territory } from './beneath.ts';
import { asAnything, openAtOnce, type Handle } from './handle.ts';
import { folderLately } from './lately.ts';
import { smallFileBytes } from './limits.ts';

export interface Seen {
  /** Without links. */
  readonly path: string;
  readonly stat: Stats;
  /** Of a regular file that may be read, where these are all of it. */
  readonly contents: Buffer | undefined;
}

/** What a path leads to, with at most so many bytes of contents; nothing where that is the long way's to say. @throws ToolError `forbidden`. */
export function seenAtOnce(territory: Territory, given: string, mostBytes: number): Seen | undefined {
  using held = holdAtOnce(territory, given);
  if (!held) return undefined;
  const stat = fstatSync(held.fd);
  if (stat.isSymbolicLink()) return undefined;
  const isSmall = stat.isFile() && stat.size <= Math.min(mostBytes, smallFileBytes);
  return { path: held.path, stat, contents: isSmall ? contentsOf(territory, held, stat) : undefined };
}

function holdAtOnce(territory: Territory, given: string): Handle | undefined {
  const path = absolute(territory, given);
  const root = rootOf(territory, path, false);
  if (!isAscii(path.slice(root.length))) return undefined;
  const isRoot = path === root;
  const above = folderLately(root, isRoot ? root : dirname(path));
  return above && openAtOnce(at(above, isRoot ? '.' : basename(path)), asAnything, path, above);
}

function contentsOf(territory: Territory, held: Handle, stat: Stats): Buffer | undefined {
  try {
    using file = openHeld(territory, held, stat) as Handle;
    // It may have grown, and some files do not say how long they are.
    const buffer = Buffer.allocUnsafe(stat.size + 1);
    const read = file.read(buffer, 0);
    return typeof read === 'number' && read <= stat.size ? buffer.subarray(0, read) : undefined;
  } catch {
    return undefined;
  }
}
