/** Imports run one way. The tables here are those of docs/architecture.md. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

const home = fileURLToPath(new URL('..', import.meta.url));

/** What the files of a folder may import of ours. `self` is the folder below it: a service knows itself alone. */
const folders: Readonly<Record<string, readonly string[]>> = {
  config: ['config'],
  runtime: ['config', 'runtime'],
  services: ['config', 'runtime', 'self'],
  health: ['config', 'runtime', 'health'],
  dashboard: ['config', 'runtime', 'dashboard'],
  scripts: ['config', 'runtime', 'services', 'health', 'dashboard', 'scripts'],
};

/** From the ground up: a file of `runtime/` imports only files of layers below its own. */
const runtimeLayers = [
  ['errors', 'files', 'log', 'mcp-sessions', 'metrics', 'plain-request', 'tool', 'trace', 'uri-template', 'version'],
  ['audit', 'database', 'execute', 'scope', 'settings'],
  ['testing', 'tokens'],
  ['calls', 'service'],
  ['mcp-surface'],
  ['mcp'],
  ['http'],
  ['hot-path', 'server'],
  ['run'],
] as const;

/** Where each runtime dependency may be imported; what breaks without it stands in docs/architecture.md. */
const packageHomes: Readonly<Record<string, readonly string[]>> = {
  '@hono/node-server': ['runtime/run.ts'],
  '@modelcontextprotocol/client': ['scripts/commands/call.ts'],
  '@modelcontextprotocol/server': ['runtime/mcp'],
  'better-sqlite3': ['runtime/database.ts'],
  commander: ['scripts/flotilla.ts'],
  hono: ['runtime/http.ts', 'dashboard/'],
  'prom-client': ['runtime/metrics.ts'],
  zod: [''],
};

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
  return runtimeLayers.findIndex((layer) => (layer as readonly string[]).includes(name));
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
      if (folder === 'runtime' && targetFolder === 'runtime' && layerOf(target) >= layerOf(source.path)) {
        found.push(`${arrow}: not a layer below`);
      }
    }
  }
  return found;
}

const sources: readonly Source[] = globSync('{config,runtime,services,health,dashboard,scripts}/**/*.ts', {
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
    ['runtime/tool.ts', "import { x } from './run.ts';", 'not a layer below'],
    ['runtime/http.ts', "import Sqlite from 'better-sqlite3';", 'its home is runtime/database.ts'],
    ['config/bad.ts', "export { x } from '#runtime/log.ts';", 'config/ may not import runtime/'],
    ['health/bad.ts', "const x = await import('left-pad');", 'not a runtime dependency'],
  ])('finds a planted violation in %s', (path, text, complaint) => {
    expect(violations([{ path, text }])).toEqual([expect.stringContaining(complaint)]);
  });
});

test('every runtime dependency has a home, and every home is of a dependency', () => {
  const { dependencies } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };

  expect(Object.keys(packageHomes).toSorted()).toEqual(Object.keys(dependencies).toSorted());
});

test('every runtime dependency has its sentence in docs/architecture.md', () => {
  const text = readFileSync(join(home, 'docs/architecture.md'), 'utf8');

  for (const name of Object.keys(packageHomes)) expect(text).toContain(`\`${name}\``);
});
