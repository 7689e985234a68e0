/** Imports run one way, as docs/architecture.md says: its tables are read here. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { codeFolders } from '#config/catalogue.ts';

const home = fileURLToPath(new URL('..', import.meta.url));

/** What the files of a folder may import of ours. `self` is the folder below it: a service knows itself alone. */
const folders: Readonly<Record<string, readonly string[]>> = {
  // The platform's programs, each for itself.
  ...Object.fromEntries(codeFolders.map((folder) => [folder, ['config', 'runtime', folder]])),
  config: ['config'],
  runtime: ['config', 'runtime'],
  services: ['config', 'runtime', 'statistics', 'self'],
  scripts: codeFolders.filter((folder) => folder !== 'examples'),
  // They start what people start, and connect as people do.
  examples: ['agents', 'config', 'runtime', 'scripts', 'examples'],
  statistics: ['statistics'],
};

const page = readFileSync(join(home, 'docs/architecture.md'), 'utf8');

/** The cells of the first table after a text of the page, without its header. */
function tableAfter(text: string): string[][] {
  const lines = page.slice(page.indexOf(text)).split('\n');
  const from = lines.findIndex((line) => line.startsWith('|---'));
  const to = lines.findIndex((line, index) => index > from && !line.startsWith('|'));
  return lines.slice(from + 1, to).map((line) => line.split('|').slice(1, -1));
}

const namesIn = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

/** From the ground up: a file of `runtime/` imports from its own layer and those below. */
const runtimeLayers = tableAfter('from the ground up').map(([, files]) => namesIn(files));

/** Where each dependency may be imported: a file, a folder, or files that begin alike. */
const packageHomes = Object.fromEntries(
  tableAfter('## Dependencies').map(([name, places]) => [
    namesIn(name)[0] ?? '',
    places?.includes('everywhere') ? [''] : namesIn(places).map((place) => place.replace('*.ts', '')),
  ]),
);

interface Source {
  readonly path: string;
  readonly text: string;
}

const imports =
  /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s*['"]([^'"]+)['"]/g;

function importsOf({ text }: Source): string[] {
  return [...text.matchAll(imports)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

/** The path of an import of ours, from the project's root; `undefined` for a package. */
function ownPath(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  return undefined;
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function layerOf(path: string): number {
  const name = path.slice('runtime/'.length, -'.ts'.length);
  return runtimeLayers.findIndex((layer) => layer.includes(name));
}

function violations(sources: readonly Source[]): string[] {
  const found: string[] = [];
  for (const source of sources) {
    const [folder = '', below = ''] = source.path.split('/');
    for (const specifier of importsOf(source)) {
      const arrow = `${source.path} -> ${specifier}`;
      const target = ownPath(source.path, specifier);
      if (target === undefined) {
        if (specifier.startsWith('node:')) continue;
        const homes = packageHomes[packageOf(specifier)];
        if (!homes) found.push(`${arrow}: not a runtime dependency`);
        else if (!homes.some((place) => source.path.startsWith(place)))
          found.push(`${arrow}: its home is ${homes.join(', ')}`);
        continue;
      }
      const [targetFolder = '', targetBelow = ''] = target.split('/');
      const allowed = folders[folder] ?? [];
      const isSelf = allowed.includes('self') && targetFolder === folder && targetBelow === below;
      if (!isSelf && !allowed.includes(targetFolder))
        found.push(`${arrow}: ${folder}/ may not import ${targetFolder}/`);
      if (folder === 'runtime' && targetFolder === 'runtime' && layerOf(target) > layerOf(source.path)) {
        found.push(`${arrow}: a layer above`);
      }
    }
  }
  return found;
}

const sources: readonly Source[] = globSync(`{${codeFolders.join(',')}}/**/*.ts`, {
  cwd: home,
})
  .filter((path) => !path.endsWith('.test.ts'))
  .map((path) => ({ path, text: readFileSync(join(home, path), 'utf8') }));

describe('the layer rule', () => {
  test('holds for every source file', () => {
    expect(sources.length).toBeGreaterThan(30);
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(100);

    expect(violations(sources)).toEqual([]);
  });

  test('knows the layer of every file of runtime/', () => {
    const unplaced = sources.filter(({ path }) => path.startsWith('runtime/') && layerOf(path) < 0);

    expect(unplaced.map(({ path }) => path)).toEqual([]);
  });

  test.each([
    [
      'runtime/bad.ts',
      "import { x } from '../services/memory/service.ts';",
      'runtime/ may not import services/',
    ],
    ['services/memory/bad.ts', "import { x } from '../git/store.ts';", 'services/ may not import services/'],
    ['runtime/tool.ts', "import { x } from './process/run.ts';", 'a layer above'],
    ['runtime/wire/http.ts', "import Sqlite from 'better-sqlite3';", 'its home is runtime/database.ts'],
    ['statistics/bad.ts', "import { x } from '#config/catalogue.ts';", 'statistics/ may not import config/'],
    ['config/bad.ts', "export { x } from '#runtime/account/log.ts';", 'config/ may not import runtime/'],
    [
      'scripts/bad.ts',
      "const x = await import('autocannon');",
      'its home is scripts/bench/traffic-process.ts',
    ],
    ['health/bad.ts', "const x = await import('left-pad');", 'not a runtime dependency'],
  ])('finds a planted violation in %s', (path, text, complaint) => {
    expect(violations([{ path, text }])).toEqual([expect.stringContaining(complaint)]);
  });
});

test('the tables are there, and every runtime dependency stands in its own', () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(home, 'package.json'), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies', Record<string, string>>;
  const known = Object.keys({ ...dependencies, ...devDependencies });

  expect(runtimeLayers).toHaveLength(4);
  expect(Object.keys(packageHomes)).toEqual(expect.arrayContaining(Object.keys(dependencies)));
  expect(known).toEqual(expect.arrayContaining(Object.keys(packageHomes)));
});
