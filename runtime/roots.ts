/** The folders of the user's files: which services may use them at all, and nothing beside them. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { codeFolders } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';

import { backupFolder } from './data/backup-state.ts';
import { ConfigError } from './errors.ts';

/** Where deleted files wait, in each root: nobody but the service for files works in it. */
export const trashName = '.flotilla-trash';

/**
 * Whether a name is, on some file system, the name that is meant, which is given in small letters of ASCII: there are
 * those that take small letters for large ones, one form of Unicode for another, and no notice of what is invisible.
 */
export function isNamed(name: string, meant: string): boolean {
  // oxlint-disable-next-line no-control-regex -- all of ASCII has one spelling
  if (/^[\0-\x7f]*$/.test(name)) return name.length === meant.length && name.toLowerCase() === meant;
  return plainName(name) === meant;
}

/** A name without what some file systems do not see. */
export const plainName = (name: string): string =>
  name
    .normalize('NFKC')
    .replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '')
    .toUpperCase()
    .toLowerCase();

const home = fileURLToPath(new URL('..', import.meta.url));
/** Not the whole checkout: in the foreground a folder beside these is the usual root. */
const code = ['.git', 'node_modules', ...codeFolders];

/**
 * The roots of a service: those of its own setting, or the host's. Real paths without duplicates, none within another;
 * empty when no setting names any.
 *
 * @param own the service's own setting, folders with colons between; `undefined` where it has none.
 * @throws ConfigError for a folder that is not there, and for one that holds, or lies in, what no client may reach: the
 * fleet's data, its code, its credentials.
 */
export function openRoots(own: string | undefined, host: HostSettings): readonly string[] {
  const roots = [...new Set(namedRoots(own, host).map(realFolder))];
  for (const root of roots) refuseOurs(root, host);
  return roots.filter((root) => !roots.some((other) => other !== root && contains(other, root)));
}

/** The names that the operator gave to roots through links, with the real path of each: clients know them by these too. */
export function linkedRoots(own: string | undefined, host: HostSettings): ReadonlyMap<string, string> {
  const named = namedRoots(own, host).map((path) => [resolve(path), realFolder(path)] as const);
  return new Map(named.filter(([name, real]) => name !== real));
}

function namedRoots(own: string | undefined, { FLOTILLA_ROOTS }: HostSettings): readonly string[] {
  return (own ?? FLOTILLA_ROOTS ?? '').split(delimiter).filter((path) => path !== '');
}

/** Whether a path lies in a folder, or is it. Both are real paths: nothing is resolved here. */
export function contains(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith('../') && !isAbsolute(way));
}

function realFolder(path: string): string {
  if (path.startsWith('~')) throw new ConfigError(`The root ${path} begins with ~: write the path in full.`);
  const folder = resolve(path);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new ConfigError(
      `The root ${folder} is no folder: make it, or name another (FLOTILLA_ROOTS, or --root of start and install).`,
    );
  }
  return realpathSync(folder);
}

function refuseOurs(root: string, host: HostSettings): void {
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
        `The root ${root} and ${what} (${place}) overlap: clients could reach it. Name another folder.`,
      );
    }
  }
}
