/** The bridge as a bundle (MCPB) that desktop clients install with a click. The only importer of fflate. Made alike from the same code. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';

import { strToU8, zipSync } from 'fflate';

import { entryOf } from '#config/catalogue.ts';
import { version } from '#runtime/process/version.ts';

import { gatewayName } from './front-door.ts';

export const bundleName = `flotilla-${version}.mcpb`;
export const summary =
  'The MCP servers of a Flotilla on this host: memory, files, git, Python, databases, logs.';
/** Where the fleet answers unless the user says otherwise. */
export const usualUrl = `http://127.0.0.1:${entryOf(gatewayName)?.port}/mcp`;

const sources = ['bridge', 'lines', 'main', 'message', 'wire'] as const;
/** ZIP knows no earlier day. */
const noTime = new Date(1980, 0, 1);

/** As `manifest.json` of MCPB 0.3 has it. */
export const manifest = {
  manifest_version: '0.3',
  name: 'flotilla',
  display_name: 'Flotilla',
  version,
  description: summary,
  author: { name: 'Flotilla' },
  license: 'MIT',
  server: {
    type: 'node',
    entry_point: 'server/main.mjs',
    mcp_config: {
      command: 'node',
      args: ['${__dirname}/server/main.mjs'],
      env: { FLOTILLA_URL: '${user_config.url}', FLOTILLA_TOKEN: '${user_config.token}' },
    },
  },
  tools_generated: true,
  prompts_generated: true,
  compatibility: { platforms: ['linux', 'darwin', 'win32'], runtimes: { node: '>=20.3.0' } },
  user_config: {
    url: {
      type: 'string',
      title: 'Address',
      description: 'Where the fleet answers; a single service has an address of its own.',
      default: usualUrl,
      required: true,
    },
    token: {
      type: 'string',
      title: 'Token',
      description:
        'What "flotilla token create desktop --allow \'*\'" prints, or the path of a file that holds it.',
      sensitive: true,
      required: true,
    },
  },
} as const;

/** Node warns that this may change: the tests of the bundle would show it. */
function withoutTypes(source: string): string {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** What lies in the bundle, by path. */
function bundleFiles(): ReadonlyMap<string, string> {
  const files = new Map([['manifest.json', `${JSON.stringify(manifest, null, 2)}\n`]]);
  for (const name of sources) {
    const source = readFileSync(new URL(`stdio/${name}.ts`, import.meta.url), 'utf8');
    const plain = withoutTypes(source).replaceAll(/(from '\.\/\w+)\.ts'/g, "$1.mjs'");
    files.set(`server/${name}.mjs`, plain);
  }
  files.set('LICENSE', readFileSync(new URL('../LICENSE', import.meta.url), 'utf8'));
  return files;
}

export function bundle(): Uint8Array {
  const entries = [...bundleFiles()].map(([path, text]) => [path, strToU8(text)] as const);
  return zipSync(Object.fromEntries(entries), { mtime: noTime, level: 9 });
}
