/** What is published of the bridge: held to the schemas of those who read it, and run as they run it. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { McpbManifestSchema } from '@anthropic-ai/mcpb/schemas/0.3';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { unzipSync } from 'fflate';
import { expect, test } from 'vitest';
import { z } from 'zod';

import { serve, temporaryFolder } from '../tests/support/serve.ts';
import { wireService } from '../tests/support/wire-service.ts';
import { bundle, bundleName } from './bundle.ts';
import { serverJson, type Package } from './generate/server-json.ts';

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'));

/** Facts of the schema of 2025-12-11, as far as an entry of ours can offend against them. */
const variable = z.strictObject({
  name: z.string(),
  description: z.string().optional(),
  default: z.string().optional(),
  isRequired: z.boolean().optional(),
  isSecret: z.boolean().optional(),
});
const exactVersion = z
  .string()
  .regex(/^\d+\.\d+\.\d+(-[\w.]+)?$/)
  .max(255);
const entrySchema = z.strictObject({
  $schema: z.literal('https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json'),
  name: z
    .string()
    .min(3)
    .max(200)
    .regex(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/),
  title: z.string().min(1).max(100),
  description: z.string().min(1).max(100),
  version: exactVersion,
  repository: z.strictObject({ url: z.url({ protocol: /^https$/ }), source: z.literal('github') }).optional(),
  packages: z
    .tuple([
      z.strictObject({
        registryType: z.literal('mcpb'),
        identifier: z.url({ protocol: /^https$/ }).endsWith(`/${bundleName}`),
        fileSha256: z.string().regex(/^[a-f0-9]{64}$/),
        transport: z.strictObject({ type: z.literal('stdio') }),
        environmentVariables: z.array(variable),
      }),
    ])
    .optional(),
});

test('server.json fits the schema, and names the package, and addresses only where the package has them', () => {
  const entry = entrySchema.parse(read('server.json'));
  const own = read('package.json') as Package;

  expect(entry.name).toBe(own.mcpName);
  expect(entry.packages === undefined).toBe(own.repository === undefined);
  const mcpName = 'io.github.someone/fleet';
  for (const repository of [
    'https://github.com/someone/fleet',
    { url: 'git+https://github.com/someone/fleet.git' },
    { url: 'git@github.com:someone/fleet.git' },
  ]) {
    const published = entrySchema.parse(JSON.parse(serverJson({ mcpName, repository })));
    expect(published.repository?.url).toBe('https://github.com/someone/fleet');
    expect(published.packages?.[0].identifier).toMatch(/^https:\/\/github\.com\/someone\/fleet\/releases\//);
    expect(published.packages?.[0].fileSha256).toBe(createHash('sha256').update(bundle()).digest('hex'));
  }
  expect(JSON.parse(serverJson({ mcpName }))).not.toHaveProperty('packages');
  expect(() => serverJson({ mcpName, repository: 'https://example.com/fleet' })).toThrow('none at GitHub');
  expect(() => entrySchema.parse({ ...entry, description: 'x'.repeat(101) })).toThrow('description');
  expect(() => entrySchema.parse({ ...entry, name: 'flotilla' })).toThrow('name');
});

test('the bundle has a manifest that clients take, and the bridge in it runs on its own', async () => {
  const { service } = wireService();
  await using served = await serve(service);
  using folder = temporaryFolder();
  const files = unzipSync(bundle());
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, path)), { recursive: true });
    writeFileSync(join(folder.path, path), bytes);
  }
  const manifest = McpbManifestSchema.parse(
    JSON.parse(readFileSync(join(folder.path, 'manifest.json'), 'utf8')),
  );
  const { command, args = [], env = {} } = manifest.server.mcp_config;
  const tokenFile = join(folder.path, 'token');
  writeFileSync(tokenFile, `${served.token}\n`);
  const chosen: Readonly<Record<string, string>> = {
    __dirname: folder.path,
    'user_config.url': `${served.url}/mcp`,
    'user_config.token': tokenFile,
  };
  const filled = (text: string) =>
    text.replaceAll(/\$\{([^}]+)\}/g, (_all, name: string) => chosen[name] ?? '');

  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const transport = new StdioClientTransport({
    command: command === 'node' ? process.execPath : command,
    args: args.map(filled),
    env: Object.fromEntries(Object.entries(env).map(([name, text]) => [name, filled(text)])),
    stderr: 'pipe',
  });
  await client.connect(transport);
  const answer = await client.callTool({ name: 'echo', arguments: { nonce: 'n' } });
  await client.close();

  expect(Object.keys(manifest.user_config ?? {})).toEqual(['url', 'token']);
  expect(answer.structuredContent).toEqual({ nonce: 'n' });
});
