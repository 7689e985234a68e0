/** The folders of the user's files: which services may use them at all, and nothing beside them. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { codeFolders } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';

import { backupFolder } from './data/backup-folder.ts';
import { ConfigError } from './errors.ts';

/** Where deleted files wait, in each root: nobody but the service for files works in it. */
export const trashName = '.flotilla-trash';

/**
 * Whether a name is, on some file system, the name that is meant, which is given in small letters of ASCII: there are
 * those that take small letters for large ones, one form of Unicode for another, and no notice of what is invisible.
 */
export function isNamed(name: string, meant: string): boolean {
  return (!isAscii(name) || name.length === meant.length) && plainName(name) === meant;
}

/** A name without what some file systems do not see. */
export const plainName = (name: string): string =>
  isAscii(name)
    ? name.toLowerCase()
    : name
        .normalize('NFKC')
        .replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '')
        .toUpperCase()
        .toLowerCase();

/** All of ASCII has one spelling. */
// oxlint-disable-next-line no-control-regex -- they are in it
export const isAscii = (name: string): boolean => /^[\0-\x7f]*$/.test(name);

const home = fileURLToPath(new URL('..', import.meta.url));
/** Not the whole checkout: in the foreground a folder beside these is the usual root. */
const code = ['.git', 'node_modules', ...codeFolders];

export interface Roots {
  /** Real paths without duplicates, none within another; empty when no setting names any. */
  readonly roots: readonly string[];
  /** The names that the operator gave to roots through links, with the real path of each: clients know them by these too. */
  readonly linked: ReadonlyMap<string, string>;
  /** Of each root that is not there, what to do about it. The others are served. */
  readonly warnings: readonly string[];
}

/**
 * The roots of a service: those of its own setting, or the host's.
 *
 * @param own the value of the service's own setting, folders with colons between; `undefined` where it is not set.
 * @throws ConfigError when none of those named is there, and for one that holds, or lies in, what no client may reach: the
 * fleet's data, its code, its credentials.
 */
export function openRoots(ownSetting: string, own: string | undefined, host: HostSettings): Roots {
  const setting = own === undefined ? 'FLOTILLA_ROOTS' : ownSetting;
  const named = (own ?? host.FLOTILLA_ROOTS ?? '').split(delimiter).filter((path) => path !== '');
  const linked = new Map<string, string>();
  const missing: string[] = [];
  const found = new Set<string>();
  for (const path of named) {
    if (path.startsWith('~')) {
      throw new ConfigError(`The root ${path} in ${setting} begins with ~: write the path in full.`);
    }
    const folder = resolve(path);
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      const real = realpathSync(folder);
      if (real !== folder) linked.set(folder, real);
      found.add(real);
    } else missing.push(folder);
  }
  if (found.size === 0 && missing.length > 0) {
    throw new ConfigError(
      `No root is a folder: ${missing.join(', ')}. Make it, or name another (${setting}, or --root of start and install).`,
    );
  }
  for (const root of found) refuseOurs(root, setting, host);
  return {
    roots: [...found].filter((root) => ![...found].some((other) => other !== root && contains(other, root))),
    linked,
    warnings: missing.map(
      (root) =>
        `The root ${root} is no folder, and is left out. Make it, or take it out of ${own === undefined ? 'FLOTILLA_ROOTS, or of the --root of start or install' : setting}; then restart.`,
    ),
  };
}

/** Whether a path lies in a folder, or is it. Both are real paths: nothing is resolved here. */
export function contains(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith('../') && !isAbsolute(way));
}

function refuseOurs(root: string, setting: string, host: HostSettings): void {
  const ours = [
    ['the data folder', resolve(host.FLOTILLA_DATA)],
    ['the backups', backupFolder(host)],
    ...code.map((folder) => ["Flotilla's own code", join(home, folder)] as const),
    ['its tokens', join(homedir(), '.config', 'flotilla')],
    ['its credentials', process.env['CREDENTIALS_DIRECTORY']],
  ] as const;
  for (const [what, path] of ours) {
    if (path === undefined) continue;
    const place = existsSync(path) ? realpathSync(path) : path;
    if (contains(root, place) || contains(place, root)) {
      throw new ConfigError(
        `The root ${root} in ${setting} and ${what} (${place}) overlap: clients could reach it. Name another folder.`,
      );
    }
  }
}
