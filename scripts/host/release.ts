/** A release: a folder with the code, the packages it needs and the pinned Node, named after its version and contents. */
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  type Stats,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

import { codeFolders } from '#config/catalogue.ts';
import { makeFolder } from '#runtime/files.ts';
import { version } from '#runtime/process/version.ts';

import { places } from '../generate/units.ts';

const home = fileURLToPath(new URL('../../', import.meta.url));

/** Of the code in this folder: two that differ anywhere have different names. */
export function releaseName(): string {
  const digest = createHash('sha256');
  for (const path of codeFiles()) digest.update(`${path}\0`).update(readFileSync(join(home, path)));
  return `${version}-${digest.digest('hex').slice(0, 12)}`;
}

export function releaseFolder(name: string, prefix = ''): string {
  return join(prefix, places.code, 'releases', name);
}

/**
 * What runs, and nothing that merely lies beside it, such as data and backups: everybody on the host may read a release.
 * Tests are none of it, but the surfaces that `flotilla validate` compares with are.
 */
const released = [
  `{${codeFolders.join(',')}}/**`,
  'tests/surface/*',
  'package.json',
  'package-lock.json',
  'LICENSE',
];

export function codeFiles(folder = home): string[] {
  return globSync(released, { cwd: folder, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.') && !/\.(test\.ts|log)$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted();
}

const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ dev: z.boolean().optional(), link: z.boolean().optional() })),
});

/** The packages that are no development dependencies and are there: those for other machines are not, and a link leads to our own code. */
function packages(): string[] {
  const { packages } = lockSchema.parse(JSON.parse(readFileSync(join(home, 'package-lock.json'), 'utf8')));
  return Object.entries(packages)
    .filter(([path, { dev, link }]) => path !== '' && !dev && !link && existsSync(join(home, path)))
    .map(([path]) => path);
}

/** Copies what runs into its release folder, which appears whole or not at all. */
export function copyRelease(folder: string): void {
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  try {
    copyInto(partial);
    renameSync(partial, folder);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
}

function copyInto(partial: string): void {
  for (const path of codeFiles()) {
    makeFolder(dirname(join(partial, path)), 0o777);
    cpSync(join(home, path), join(partial, path));
  }
  for (const path of packages()) {
    cpSync(join(home, path), join(partial, path), {
      recursive: true,
      verbatimSymlinks: true,
      // Headers and manuals of Node are a third of it.
      filter: (source) => !/node-linux-[^/]+\/(include|share|lib)$/.test(source),
    });
  }
  // The same path on every machine, for the units.
  makeFolder(join(partial, 'node_modules/.bin'), 0o777);
  symlinkSync(`../node-linux-${process.arch}/bin/node`, join(partial, 'node_modules/.bin/node'));
  openToAll(partial);
}

/**
 * Every process has its own user, and all of them read the code. But programs can only be run: the kernel then keeps one
 * process out of the memory and the folders of another, even where both are of the same user.
 */
function openToAll(path: string): void {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) return;
  const mayRun = found.isDirectory() || (found.mode & 0o100) !== 0;
  chmodSync(path, mayRun ? (isProgram(path, found) ? 0o711 : 0o755) : 0o644);
  if (found.isDirectory()) for (const name of readdirSync(path)) openToAll(join(path, name));
}

function isProgram(path: string, found: Stats): boolean {
  return (
    found.isFile() &&
    basename(dirname(path)) === 'bin' &&
    readFileSync(path).subarray(1, 4).toString() === 'ELF'
  );
}

/** The release that runs; `undefined` on a host without one. */
export function currentRelease(prefix = ''): string | undefined {
  try {
    return basename(readlinkSync(join(prefix, places.current)));
  } catch {
    return undefined;
  }
}

/** From one moment to the next: nobody finds the link missing. */
export function switchRelease(name: string, prefix = ''): void {
  const link = join(prefix, places.current);
  rmSync(`${link}.new`, { force: true });
  symlinkSync(join('releases', name), `${link}.new`);
  renameSync(`${link}.new`, link);
}

/** Removes all releases but these. */
export function pruneReleases(kept: readonly (string | undefined)[]): void {
  const folder = releaseFolder('');
  for (const name of readdirSync(folder)) {
    if (!kept.includes(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** What a process that began in the current release began in; `undefined` for none. Its folder may be gone. */
export function releaseOfProcess(pid: number): string | undefined {
  try {
    const folder = readlinkSync(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '');
    return dirname(folder) === dirname(releaseFolder('x')) ? basename(folder) : undefined;
  } catch {
    return undefined; // there is no such process
  }
}
