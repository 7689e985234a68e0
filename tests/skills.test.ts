/** Skills: served as the protocol has them (SEP-2640), and true of the services that they are about. */
import { createHash } from 'node:crypto';

import { describe, expect, test, vi } from 'vitest';

import { catalogue, isService } from '#config/catalogue.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { createToken } from '#runtime/access/tokens.ts';
import { skillOf } from '#runtime/skill.ts';
import type { Contract } from '#runtime/testing.ts';

import { loadService } from '../scripts/load.ts';
import { forwardWithToken } from './support/conformance-forwarder.ts';
import { conformanceService } from './support/conformance-service.ts';
import { runSuite } from './support/conformance-suite.ts';
import { serveBehind } from './support/fronted.ts';
import { callTool, rpc } from './support/rpc.ts';
import { serve, temporaryFolder } from './support/serve.ts';

const mostWords = 500;

test.each([
  ['a service', async () => serve(conformanceService)],
  [
    'the gateway',
    async () => {
      const fronted = await serveBehind([conformanceService]);
      return { ...fronted.gateway, [Symbol.asyncDispose]: async () => fronted[Symbol.asyncDispose]() };
    },
  ],
])('the suite finds nothing amiss in how %s lists and serves skills', async (_what, start) => {
  await using served = await start();
  await using forwarder = await forwardWithToken(served);
  const scenarios = ['sep-2640-skills-enumeration', 'sep-2640-skills-manifest', 'sep-2640-skills-directory'];

  const verdicts = await Promise.all(
    scenarios.map(async (scenario) => runSuite(forwarder.url, '2026-07-28', scenario)),
  );

  expect(verdicts.flatMap(({ failedChecks }) => failedChecks)).toEqual([]);
  const passed = verdicts.map(({ total }) => Number(/Passed: (\d+)\//.exec(total)?.[1]));
  // The third is about folders of skills, which no skill of one file has: it sees to the wire alone.
  expect(passed).toEqual([32, 6, 1]);
});

test('the gateway shows the skills of those services whose tools a caller may use, and reads each from its own', async () => {
  const services = await Promise.all(
    ['memory', 'sequential-thinking'].map(async (name) => loadService(name)),
  );
  await using fronted = await serveBehind(services);
  const { gateway } = fronted;
  const scope = parseScope('memory:read');
  const secret = await createToken(gateway.dataRoot, { name: 'reader', scope, expiresAt: null });
  const urisOf = async (token: string) => {
    const { result } = await rpc({ ...gateway, token }, 'skills/list');
    return (result?.['skills'] as { uri: string }[] | undefined)?.map(({ uri }) => uri);
  };

  const all = ['skill://flotilla-memory/SKILL.md', 'skill://flotilla-sequential-thinking/SKILL.md'];
  expect(await urisOf(gateway.token)).toEqual(all);
  await vi.waitFor(async () => expect(await urisOf(secret)).toEqual(all.slice(0, 1)));
  for (const uri of all) {
    const { result } = await rpc(gateway, 'resources/read', { uri });
    expect(result?.['contents']).toMatchObject([
      { uri, text: expect.stringContaining('name: flotilla-') as string },
    ]);
  }
  const { error } = await rpc({ ...gateway, token: secret }, 'skills/get', { uri: all[1] });
  expect(error?.code).toBe(-32_602);
});

test.each([
  ['no beginning', '# Title\n'],
  ['no description', '---\nname: a\n---\n'],
  ['a name with capitals', '---\nname: A\ndescription: b\n---\n'],
  ['a description that YAML would read otherwise', '---\nname: a\ndescription: b: c\n---\n'],
])('a skill with %s is refused at start', (_what, text) => {
  expect(() => skillOf(text)).toThrow('SKILL.md begins with');
});

interface Example {
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Blocks of JSON that name a tool. */
const examplesIn = (text: string): readonly Example[] =>
  [...text.matchAll(/^```json (\w+)\n([^]*?)\n```$/gm)].map(([, tool = '', args = '']) => ({
    tool,
    args: JSON.parse(args) as Example['args'],
  }));

/** `<session_id>` stands for what an earlier answer had under this name. */
function filled(args: Example['args'], known: ReadonlyMap<string, unknown>): Example['args'] {
  return JSON.parse(JSON.stringify(args), (_key, value: unknown) => {
    const name = typeof value === 'string' ? /^<(\w+)>$/.exec(value)?.[1] : undefined;
    return name === undefined ? value : (known.get(name) ?? `unknown ${name}`);
  }) as Example['args'];
}

describe.each(catalogue.filter(isService).map(({ name }) => name))('The skill of %s', (name) => {
  test('is short, is served whole, and its examples work in the order in which they stand', async (context) => {
    const service = await loadService(name);
    const { contract } = (await import(`../services/${name}/contract.fixture.ts`)) as { contract: Contract };
    using folder = temporaryFolder();
    await using served = await serve(service, contract.settings?.(folder.path));
    const call = async (tool: string, args: Example['args']) => {
      const { result, error } = await callTool(served, tool, args);
      const value = result?.['structuredContent'];
      if (error || result?.['isError'])
        throw new Error(`${tool}: ${JSON.stringify(error ?? result?.['content'])}`);
      return value as Record<string, unknown>;
    };
    // Only a repository cannot be made by the tools that its skill shows.
    if (name === 'git') await contract.prepare({ folder: folder.path, foreign: 'else', call });

    const { result: list } = await rpc(served, 'skills/list');
    const [entry, ...more] = (list?.['skills'] ?? []) as {
      uri: string;
      frontmatter: object;
      resources: object[];
    }[];
    const uri = entry?.uri ?? '';
    const { result: one } = await rpc(served, 'skills/get', { uri });
    const { error } = await rpc(served, 'skills/get', { uri: `${uri}x` });
    const { result: read } = await rpc(served, 'resources/read', { uri });
    const [{ text } = { text: '' }] = (read?.['contents'] ?? []) as { text: string }[];

    expect(more).toEqual([]);
    expect(uri).toBe(`skill://flotilla-${name}/SKILL.md`);
    expect(entry?.frontmatter).toMatchObject({ name: `flotilla-${name}`, description: expect.any(String) });
    expect(entry?.resources).toEqual([
      {
        uri,
        size: Buffer.byteLength(text),
        digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
      },
    ]);
    expect(one?.['skill']).toEqual(entry);
    expect(error?.code).toBe(-32_602);
    expect(text.split(/\s+/).length).toBeLessThan(mostWords);

    const examples = examplesIn(text);
    expect(examples.length).toBeGreaterThanOrEqual(4);
    const offered = new Set(service.tools?.map((tool: { name: string }) => tool.name));
    const named = [...text.matchAll(/`([a-z]+_[a-z_]+)`/g)].map(([, word = '']) => word);
    const fields = JSON.stringify(await rpc(served, 'tools/list'));
    // Each word that looks like a tool or an argument is one.
    expect(named.filter((word) => !offered.has(word) && !fields.includes(`"${word}"`))).toEqual([]);
    if (name === 'supabase' && (await callTool(served, 'list_tables', {})).result?.['isError'])
      context.skip('there is no local Postgres: its examples were not tried');
    const known = new Map<string, unknown>();
    for (const { tool, args } of examples) {
      const value = await call(tool, filled(args, known));
      for (const [key, found] of Object.entries(value)) known.set(key, found);
    }
  });
});
