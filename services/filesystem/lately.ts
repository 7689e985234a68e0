/**
 * Folders that calls went to lately, held open: who reads a file mostly reads others beside it. Where such a folder is, the
 * kernel is asked each time: one that was moved, deleted or replaced, or has another path for any reason, is not used any more.
 * So is none after a second, because the kernel does not tell of rights that were taken away on the way, nor of a file system
 * that was mounted over it.
 */
import { readlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';

import { again, at } from './beneath.ts';
import { asFolder, openAtOnce, type Handle } from './handle.ts';

const heldMs = 1_000;
const mostHeld = 256;

const held = new Map<string, Handle>();
let letting: NodeJS.Timeout | undefined;

/**
 * The folder of a path beneath a root, if it is on a disk of this host and no link leads to it. For use at once: it is not the
 * caller's to close.
 */
export function folderLately(root: string, path: string): Handle | undefined {
  const known = held.get(path);
  if (known && isAt(known, path)) return known;
  if (known) letGo(path, known);
  const above = path === root ? undefined : folderLately(root, dirname(path));
  if (path !== root && !above) return undefined;
  const opened = openAtOnce(above ? at(above, basename(path)) : root, asFolder, path, above);
  if (opened) hold(path, opened);
  return opened;
}

function isAt(folder: Handle, path: string): boolean {
  try {
    return readlinkSync(again(folder)) === path;
  } catch {
    // Its path is longer than one may be.
    return false;
  }
}

function hold(path: string, folder: Handle): void {
  if (held.size >= mostHeld) letAllGo();
  held.set(path, folder);
  letting ??= setTimeout(letAllGo, heldMs).unref();
}

function letAllGo(): void {
  clearTimeout(letting);
  letting = undefined;
  for (const [path, folder] of held) letGo(path, folder);
}

function letGo(path: string, folder: Handle): void {
  held.delete(path);
  folder[Symbol.dispose]();
}
