/** What every service of the catalogue owes its clients, in both protocol eras. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, afterAll, describe, expect, test } from 'vitest';

import { catalogue, entryOf, isService } from '#config/catalogue.ts';
import { resourcesOf, toolsOf, type AnyService } from '#runtime/service.ts';
import type { Contract } from '#runtime/testing.ts';
import { listSurface } from '#runtime/wire/mcp-surface.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';

import { surfaceOf } from '../scripts/generate/surface.ts';
import { loadService } from '../scripts/load.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { legacyClient, modernClient } from './support/clients.ts';
import { eras } from '../scripts/bench/message.ts';
import { codeOf, rpc } from './support/rpc.ts';
import { RunningFleet } from './support/fleet.ts';
import { serve, temporaryFolder, type Served } from './support/serve.ts';
import {
  complaintsOfDefinitions,
  complaintsOfLargest,
  complaintsOfQuota,
  complaintsOfTools,
} from './support/contract.ts';
import { isNameTooLong, refusedIn } from './support/refused-schema.ts';
import { sloppyComplaints, sloppyService } from './support/sloppy-service.ts';
import { undescribedFields } from './support/undescribed.ts';

interface ListedTool {
  readonly name: string;
  readonly title?: string;
  readonly description?: string;
  readonly inputSchema: unknown;
  readonly outputSchema?: unknown;
  readonly annotations?: Readonly<Record<string, unknown>>;
}

const names = catalogue.filter(isService).map(({ name }) => name);

type Target = Pick<Served, 'url' | 'token'> & AsyncDisposable;

async function onItsOwn(name: string): Promise<Target> {
  return serve(await loadService(name));
}

/** All services in one process, started once for all of them. */
async function singleProcess() {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const offset = await freePortOffset();
  const settings = { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(offset) };
  const fleet = new RunningFleet(['--single-process'], settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  return {
    of: (name: string): Target => ({
      url: `http://127.0.0.1:${(entryOf(name)?.port ?? 0) + offset}`,
      token: readFileSync(firstTokenFile(dataRoot), 'utf8').trim(),
      async [Symbol.asyncDispose]() {},
    }),
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

let together: Awaited<ReturnType<typeof singleProcess>>;
beforeAll(async () => {
  together = await singleProcess();
});
afterAll(async () => {
  await together[Symbol.asyncDispose]();
});

const hostings = names.flatMap((name) => [
  { name, where: 'on its own', host: onItsOwn },
  {
    name,
    where: 'in a single process with all others',
    host: async (which: string): Promise<Target> => together.of(which),
  },
]);

describe.each(hostings)('$name $where', ({ name, host }) => {
  let service: AnyService;
  let served: Target;
  beforeAll(async () => {
    service = await loadService(name);
    served = await host(name);
  });
  afterAll(async () => {
    await served[Symbol.asyncDispose]();
  });

  const listed = async (era: (typeof eras)[number] = 'modern') => {
    const { result } = await rpc(served, 'tools/list', {}, { era });
    return result?.['tools'] as readonly ListedTool[];
  };

  test('lets the client of 2026-07-28 in and lists its tools', async () => {
    await using client = await modernClient(served);

    const { tools } = await client.listTools();

    expect(client.getServerVersion()?.name).toBe(name);
    expect(tools.map((tool) => tool.name)).toEqual((await listed()).map((tool) => tool.name));
  });

  test('lets the client of 2025-11-25 in and lists its tools', async () => {
    await using client = await legacyClient(served);

    const { tools } = await client.listTools();

    expect(client.getServerVersion()?.name).toBe(name);
    expect(tools.map((tool) => tool.name)).toEqual((await listed()).map((tool) => tool.name));
  });

  test('says which revision it speaks and what it is for', async () => {
    const { result } = await rpc(served, 'server/discover');

    expect(result?.['supportedVersions']).toContain('2026-07-28');
    expect(result?.['instructions'] ?? '').toBe(service.instructions ?? '');
  });

  test('lists its tools sorted, and the same again in either era', async () => {
    const first = await listed();

    expect(first.length).toBeGreaterThan(0);
    expect(first.map((tool) => tool.name)).toEqual(first.map((tool) => tool.name).toSorted());
    expect(await listed()).toEqual(first);
    expect(await listed('legacy')).toEqual(first);
  });

  test('names, titles and describes each tool as clients can take it', async () => {
    for (const tool of await listed()) {
      // Capitals only where an established server has them: sqlToRest, postgrestRequest.
      expect(tool.name).toMatch(/^[a-z][a-zA-Z0-9_]{0,63}$/);
      expect(tool.title, tool.name).toBeTruthy();
      expect(tool.description, tool.name).toBeTruthy();
      expect(tool.description?.length, tool.name).toBeLessThan(2048);
    }
  });

  test('declares all four hints for each tool, and does not contradict itself', async () => {
    for (const { name: tool, annotations } of await listed()) {
      for (const hint of ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint']) {
        expect(annotations?.[hint], `${tool} ${hint}`).toBeTypeOf('boolean');
      }
      expect(annotations?.['readOnlyHint'] && annotations['destructiveHint'], tool).toBe(false);
    }
  });

  test('offers only schemas and names that every client takes', async () => {
    for (const tool of await listed()) {
      expect(refusedIn(tool.inputSchema, 'input'), tool.name).toEqual([]);
      expect(refusedIn(tool.outputSchema, 'output'), tool.name).toEqual([]);
      expect(isNameTooLong(name, tool.name), tool.name).toBe(false);
    }
  });

  test('says how long its lists keep, and for whom', async () => {
    const methods = [
      'tools/list',
      ...(resourcesOf(service).length > 0 ? ['resources/list', 'resources/templates/list'] : []),
      ...(service.prompts ? ['prompts/list'] : []),
    ];

    for (const method of methods) {
      const { result } = await rpc(served, method);
      expect(result, method).toMatchObject({ cacheScope: 'private', ttlMs: expect.any(Number) as number });
      expect(result?.['ttlMs'], method).toBeGreaterThan(0);
    }
  });

  test.each([
    { era: '2026-07-28', connect: modernClient },
    { era: '2025-11-25', connect: legacyClient },
  ])('answers a misspelt argument so that a client of $era can read it', async ({ connect }) => {
    await using client = await connect(served);
    const { tools } = await client.listTools();

    for (const tool of tools) {
      const answer = await client.callTool({ name: tool.name, arguments: { a_misspelt_argument: 1 } });

      expect(answer, tool.name).toMatchObject({
        isError: true,
        content: [{ type: 'text', text: expect.stringContaining('a_misspelt_argument') as string }],
        _meta: { 'flotilla/error': { code: 'invalid_input' } },
      });
      expect(answer, tool.name).not.toHaveProperty('structuredContent');
    }
  });

  test.each(eras)('answers an unknown tool as the protocol asks (%s)', async (era) => {
    const answer = await rpc(served, 'tools/call', { name: 'no_such_tool', arguments: {} }, { era });

    expect(answer.error?.code).toBe(-32_602);
    expect(codeOf(answer)).toBeUndefined();
  });

  test('offers what tests/surface says, and nothing else', () => {
    const committed = readFileSync(new URL(`surface/${name}.json`, import.meta.url), 'utf8');

    expect(surfaceOf(service), 'run: npm run generate').toBe(committed);
  });

  test('shows clients the surface that tests/surface says', async () => {
    const { tools } = JSON.parse(surfaceOf(service)) as { tools: unknown };

    expect(await listed()).toEqual(tools);
  });
});

describe.each(names)('%s', (name) => {
  let service: AnyService;
  let contract: Contract;
  beforeAll(async () => {
    service = await loadService(name);
    ({ contract } = (await import(`../services/${name}/contract.fixture.ts`)) as { contract: Contract });
  });

  test('is described to its fields, within its budget, with a check and a canary', () => {
    const { tools } = JSON.parse(surfaceOf(service)) as { tools: unknown };

    expect(complaintsOfDefinitions(service, contract, tools)).toEqual([]);
  });

  test('answers every tool as its clients can live with', async () => {
    expect(await complaintsOfTools(service, contract)).toEqual([]);
  });

  test('tells a token that it keeps all that it may, and leaves what others keep', async () => {
    expect(await complaintsOfQuota(service, contract)).toEqual([]);
  });

  test('does not hold the event loop with its largest calls', async () => {
    expect(await complaintsOfLargest(service, contract)).toEqual([]);
  });
});

test('A sloppy service passes none of it', async () => {
  const { service, contract } = sloppyService();

  const complaints = [
    ...complaintsOfDefinitions(service, contract, listSurface(service, toolsOf(service, {})).tools),
    ...(await complaintsOfLargest(service, contract)),
    ...(await complaintsOfTools(service, contract)),
  ];

  expect(complaints).toEqual(sloppyComplaints.map((part) => expect.stringContaining(part) as string));
});

/** What established servers for SQLite and for Supabase both call so: clients know these names, and put the server's before them. */
const namesOfSeveral = ['execute_sql', 'explain_sql', 'list_tables'];

test('No two services of the fleet offer a tool or a resource of one name, but for those that are known so', async () => {
  const surfaces = await Promise.all(
    names.map(
      async (name) =>
        JSON.parse(surfaceOf(await loadService(name))) as Record<
          string,
          { name: string; uri?: string; uriTemplate?: string }[]
        >,
    ),
  );
  const tools = surfaces.flatMap((surface) => surface['tools']?.map(({ name }) => name) ?? []);
  const schemes = surfaces.map(
    (surface) =>
      new Set(
        [...(surface['resources'] ?? []), ...(surface['resourceTemplates'] ?? [])].map(
          // Skills are of one scheme, and say whose they are behind it.
          ({ uri = '', uriTemplate = uri }) => /^skill:\/\/[^/]+|^[^:]+/.exec(uriTemplate)?.[0],
        ),
      ),
  );

  expect(tools.length).toBeGreaterThan(0);
  expect(tools.filter((name, at) => tools.indexOf(name) !== at).toSorted()).toEqual(namesOfSeveral);
  expect(schemes.flatMap((set) => [...set])).toEqual([...new Set(schemes.flatMap((set) => [...set]))]);
});

test('What a client refuses in a schema is found at every depth', () => {
  const schema = {
    type: 'object',
    $schema: 'x',
    properties: {
      good: { type: 'string', maxLength: 100 },
      long: { type: 'string', maxLength: 65_000 },
      list: { type: 'array', items: { type: ['string', 'null'] } },
      choice: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      map: { type: 'object', additionalProperties: { type: 'string' } },
      deep: { type: 'object', properties: { word: { type: 'string', pattern: '\\p{L}' } } },
      any: true,
    },
  };

  expect(refusedIn(schema, 'input')).toEqual([
    ': $schema',
    'long: maxLength 65000',
    'list[]: type ["string","null"]',
    'choice: anyOf',
    'choice: no type',
    'map: additionalProperties',
    'deep.word: pattern',
    'any: true for a schema',
  ]);
  expect(isNameTooLong('sequential-thinking', 'a_tool_of_very_many_words_and_more')).toBe(true);
});

test('A field without a description is found at every depth', () => {
  const described = { type: 'string', description: 'x' };
  const schema = {
    properties: {
      good: described,
      bad: { type: 'string' },
      list: {
        type: 'array',
        description: 'x',
        items: { type: 'object', properties: { inner: { type: 'number' } } },
      },
      choice: { description: 'x', anyOf: [{ type: 'object', properties: { deep: {} } }, { type: 'null' }] },
      map: { description: 'x', additionalProperties: { type: 'object', properties: { value: {} } } },
    },
  };

  expect(undescribedFields(schema)).toEqual(['bad', 'list[].inner', 'choice.deep', 'map.*.value']);
});
