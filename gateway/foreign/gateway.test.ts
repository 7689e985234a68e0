/** Servers of others behind the gateway itself. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { DescField } from '@bufbuild/protobuf';
import { status, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { readProtos, serviceIn } from '#runtime/wire/grpc/protos.ts';

import memory from '../../services/memory/service.ts';
import { serveBehind, type Fronted } from '../../tests/support/fronted.ts';
import { messagesIn } from '../../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from '../../tests/support/rpc.ts';
import { conformanceService } from '../../tests/support/conformance-service.ts';
import { ask } from '../../tests/support/conformance/asking-tools.ts';
import { fixtureTool } from '../../tests/support/conformance/fixture.ts';
import { grpcClient, type GrpcClient, type Message } from '../../tests/support/grpc-client.ts';
import { differences } from '../../tests/support/proto-differences.ts';
import type { Told } from '../../tests/support/rest.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { integrationFace } from '../integration-face.ts';
import { callIntegration, listIntegrations } from '../rest/integrations.ts';

const fixture = fileURLToPath(new URL('server.fixture.ts', import.meta.url));
let fronted: Fronted;
let gateway: Served;

const tool = (name: string, annotations?: object) => ({
  name,
  description: `Is ${name}.`,
  inputSchema: { type: 'object', properties: { n: { type: 'integer' } } },
  ...(annotations && { annotations }),
});

/** Whole at once: it may be read at any time. */
function behave(behaviour: object): void {
  const file = join(gateway.dataRoot, 'behaviour.json');
  writeFileSync(`${file}.new`, JSON.stringify(behaviour));
  renameSync(`${file}.new`, file);
}

const toolsIn = async (options = {}): Promise<string[]> =>
  (await rpc(gateway, 'tools/list', {}, options)).result?.['tools'].map(({ name }: { name: string }) => name);

const first = {
  tools: [
    tool('echo', { readOnlyHint: true }),
    tool('read_graph'),
    tool('write'),
    tool('find_tools'),
    tool('call_tool'),
    tool('run_program'),
  ],
  prompts: [{ name: 'ask', description: 'Asks.' }],
  resources: [{ uri: 'fix://a', name: 'a' }],
};

beforeAll(async () => {
  fronted = await serveBehind([memory]);
  ({ gateway } = fronted);
  behave(first);
  const args = [fixture, join(gateway.dataRoot, 'behaviour.json')];
  const upstreams = {
    // Without a prefix: its own read_graph is in the way of memory's.
    plain: { command: process.execPath, args, prefix: '' },
    prefixed: { command: process.execPath, args },
  };
  writeFileSync(join(gateway.dataRoot, 'upstreams.json'), JSON.stringify({ upstreams }));
  await vi.waitUntil(
    async () => (await toolsIn()).includes('prefixed_echo') && (await toolsIn()).includes('echo'),
    {
      timeout: 30_000,
    },
  );
});

afterAll(async () => fronted[Symbol.asyncDispose]());

describe.each(['modern', 'legacy'] as const)('In %s', (era) => {
  test('their tools, prompts and documents are listed beside those of the fleet, and asked for', async () => {
    expect(await toolsIn({ era })).toEqual(
      expect.arrayContaining([
        'echo',
        'write',
        'read_graph',
        'prefixed_echo',
        'prefixed_read_graph',
        'search_nodes',
      ]),
    );
    const answer = await callTool(gateway, 'prefixed_echo', { n: '3' }, { era });
    expect(JSON.parse(answer.result?.['content'][0].text)).toMatchObject({
      name: 'echo',
      arguments: { n: 3 },
      _meta: { traceparent: expect.stringMatching(/^00-/) },
    });
    expect(answer.result?.['_meta']).toMatchObject({
      'dev.flotilla/upstream': 'prefixed',
      'dev.flotilla/untrusted': true,
    });
    expect(
      (await rpc(gateway, 'prompts/get', { name: 'prefixed_ask' }, { era })).result?.['description'],
    ).toBe('ask');
    const listed = await rpc(gateway, 'resources/list', {}, { era });
    expect(listed.result?.['resources'].map(({ uri }: { uri: string }) => uri)).toContain('fix://a');
  });

  test('a name of the fleet is answered by the fleet', async () => {
    const answer = await callTool(gateway, 'read_graph', {}, { era });

    expect(answer.result?.['structuredContent']).toHaveProperty('entities');
    expect(answer.result?.['_meta']?.['dev.flotilla/upstream']).toBeUndefined();
  });

  test.each(['find_tools', 'call_tool', 'run_program'])('%s is the gateway’s own', async (name) => {
    const answer = await callTool(gateway, name, {}, { era });

    expect(codeOf(answer)).toMatch(/^(?:invalid_input|unavailable)$/);
    expect(answer.result?.['_meta']?.['dev.flotilla/upstream']).toBeUndefined();
    expect(await toolsIn({ era })).not.toContain(name);
    expect(await toolsIn({ era })).toContain(`prefixed_${name}`);
  });

  test('arguments that do not fit, and errors of its own, are answered as such', async () => {
    expect(codeOf(await callTool(gateway, 'prefixed_echo', { n: ['x'] }, { era }))).toBe('invalid_input');
    expect((await rpc(gateway, 'resources/read', { uri: 'fix://a' }, { era })).error?.code).toBe(-32_601);
    const notFound = { modern: -32_602, legacy: -32_002 };
    expect((await rpc(gateway, 'resources/read', { uri: 'fix://b' }, { era })).error?.code).toBe(
      notFound[era],
    );
  });
});

test('over REST they are platforms, whose operations are asked for by their own names', async () => {
  const ask = async (path: string, body?: object, token = gateway.token) => {
    const response = await fetch(`${gateway.url}/api/v1/integrations${path}`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
    const { data, errors } = (await response.json()) as Told['body'];
    return { http: response.status, data, error: errors[0] };
  };
  const reader = await createToken(gateway.dataRoot, {
    name: 'integrating',
    scope: ['*:read'],
    expiresAt: null,
  });
  await vi.waitFor(async () => expect(await toolsIn({ token: reader })).toBeDefined());

  const listed = await ask('');
  const echoed = await ask('/prefixed', { operation: 'echo', parameters: { n: 3 } });
  const ofService = await ask('/prefixed', { service: 'read', operation: 'graph' });

  expect(listed.data).toMatchObject([
    { platform: 'plain', status: 'healthy' },
    { platform: 'prefixed', status: 'healthy' },
  ]);
  expect(listed.data[1].operations).toContainEqual({
    operation: 'echo',
    tool: 'prefixed_echo',
    description: 'Is echo.',
  });
  expect(JSON.parse(echoed.data.content[0].text)).toMatchObject({ name: 'echo', arguments: { n: 3 } });
  expect(JSON.parse(ofService.data.content[0].text)).toMatchObject({ name: 'read_graph' });
  for (const [path, body, token, http, words] of [
    ['/slack', { operation: 'send_message' }, undefined, 404, /no integration "slack".*/],
    ['/memory', { operation: 'add_memory' }, undefined, 404, /no integration "memory"/],
    ['/prefixed', { operation: 'nothing' }, undefined, 404, /prefixed has no operation "nothing"/],
    ['/prefixed', { operation: 'write' }, reader, 404, /no operation "write" for this token/],
    ['/prefixed', { operation: 'echo', parameters: { n: ['x'] } }, undefined, 422, /prefixed_echo/],
    ['/prefixed', {}, undefined, 422, /operation/],
  ] as const) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const refused = await ask(path, body, token);
    expect({ path, http: refused.http }).toEqual({ path, http });
    expect(refused.error?.message).toMatch(words);
  }
  expect((await ask('/slack', { operation: 'x' })).error?.hint).toContain('flotilla upstream add');
});

test('over gRPC they are the same, for a stock client', async () => {
  const service = 'flotilla.v1.IntegrationService';
  const reader = await createToken(gateway.dataRoot, {
    name: 'integrating-by-grpc',
    scope: ['*:read'],
    expiresAt: null,
  });
  using client = grpcClient(gateway, service);
  using other = grpcClient({ ...gateway, token: reader }, service);
  using nobody = grpcClient({ url: gateway.url }, service);
  const call = async (as: GrpcClient, message: Message) => as.call('CallIntegration', message);
  const failed = async (as: GrpcClient, message: Message) =>
    call(as, message).catch(({ code, details }: ServiceError) => ({ code, details }));

  const { integrations } = await client.call('ListIntegrations', { active_only: true });
  const { result } = await call(client, {
    platform: 'prefixed',
    operation: 'echo',
    parameters: { fields: { n: { numberValue: 3 } } },
  });

  expect(integrations).toMatchObject([
    { platform: 'plain', status: 'INTEGRATION_STATUS_HEALTHY' },
    { platform: 'prefixed', status: 'INTEGRATION_STATUS_HEALTHY' },
  ]);
  expect(JSON.stringify(result)).toContain(String.raw`\"arguments\":{\"n\":3}`);
  expect(await failed(client, { platform: 'slack', operation: 'send_message' })).toMatchObject({
    code: status.NOT_FOUND,
    details: expect.stringContaining('flotilla upstream add') as string,
  });
  expect(await failed(client, { platform: 'prefixed' })).toMatchObject({ code: status.INVALID_ARGUMENT });
  expect(await failed(other, { platform: 'prefixed', operation: 'write' })).toMatchObject({
    code: status.NOT_FOUND,
  });
  expect(await failed(nobody, { platform: 'prefixed', operation: 'echo' })).toMatchObject({
    code: status.UNAUTHENTICATED,
  });
});

test('the .proto file of platforms says what the tools say', () => {
  const protos = readProtos(integrationFace.protos);
  const { methods } = serviceIn(protos, integrationFace.service);
  const tools = { ListIntegrations: listIntegrations, CallIntegration: callIntegration };
  const found = methods.flatMap(({ name, input, output }) => {
    const { input: takes, output: tells } = tools[name as keyof typeof tools];
    const used = new Set<DescField>();
    return [...differences(input, takes, name, true, used), ...differences(output, tells, name, true, used)];
  });

  expect(methods.map(({ name }) => name)).toEqual(Object.keys(integrationFace.methods));
  expect(found).toEqual([]);
});

test('a token sees and calls what its scope allows, by what the server says of its tools', async () => {
  const scopes = { 'foreign-reader': ['*:read'], 'foreign-none': ['memory'] };
  const tokens: Record<string, string> = {};
  for (const [name, scope] of Object.entries(scopes))
    tokens[name] = await createToken(gateway.dataRoot, { name, scope, expiresAt: null }); // oxlint-disable-line no-await-in-loop -- one after the other is how the list is written
  const [reader = '', none = ''] = Object.values(tokens);
  await vi.waitFor(async () => expect(await toolsIn({ token: reader })).toBeDefined());
  await vi.waitFor(async () => expect(await toolsIn({ token: none })).toBeDefined());

  const seen = await toolsIn({ token: reader });
  expect(seen).toContain('prefixed_echo');
  expect(seen).not.toContain('prefixed_write');
  expect(codeOf(await callTool(gateway, 'prefixed_write', {}, { token: reader }))).toBe('forbidden');
  expect((await toolsIn({ token: none })).filter((name) => name.startsWith('prefixed_'))).toEqual([]);
  expect(codeOf(await callTool(gateway, 'prefixed_echo', {}, { token: none }))).toBe('forbidden');
});

test('a call of theirs is one of those that the rate of its token allows', async () => {
  const asks: [string, object][] = [
    ['tools/call', { name: 'prefixed_echo', arguments: {} }],
    ['prompts/get', { name: 'prefixed_ask' }],
    ['resources/read', { uri: 'fix://a' }],
    [
      'completion/complete',
      { ref: { type: 'ref/prompt', name: 'prefixed_ask' }, argument: { name: 'a', value: '' } },
    ],
  ];
  for (const era of ['modern', 'legacy'] as const) {
    const name = `six-${era}`;
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const token = await createToken(gateway.dataRoot, { name, scope: ['*'], expiresAt: null, rate: '6/h' });
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await vi.waitFor(async () => expect((await toolsIn({ token, era })).length).toBeGreaterThan(0));
    const codes: (string | undefined)[] = [];
    for (const [method, params] of [...asks, ...asks])
      // oxlint-disable-next-line no-await-in-loop -- likewise
      codes.push(codeOf(await rpc(gateway, method, { ...params }, { token, era })));
    expect(
      codes.map((code) => code ?? 'made'),
      era,
    ).toEqual([...Array(6).fill('made'), 'unavailable', 'unavailable']);
    const call = { name: 'prefixed_echo', arguments: {} };
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const refused = await send(gateway, 'tools/call', call, { token, era });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
  }
});

test('records tell the bytes of their answers, and not the characters', async () => {
  const token = await createToken(gateway.dataRoot, { name: 'wide', scope: ['*'], expiresAt: null });
  await vi.waitFor(async () => expect((await toolsIn({ token })).length).toBeGreaterThan(0));
  const text = '語'.repeat(1_000);
  const { result } = await callTool(gateway, 'prefixed_echo', { text }, { token, era: 'legacy' });
  expect(JSON.stringify(result)).toContain(text);

  await vi.waitFor(async () => {
    const headers = { authorization: `Bearer ${gateway.token}` };
    const trail = await (await fetch(`${gateway.url}/admin/audit`, { headers })).text();
    const record = trail.split('\n').find((line) => line.includes('"caller":"wide"'));
    expect(JSON.parse(record ?? '{}')).toMatchObject({
      target: 'prefixed_echo',
      responseBytes: Buffer.byteLength(JSON.stringify(result)),
    });
  });
});

test('a change of a document is told to whoever listens for it', async () => {
  const uri = 'fix://a';
  const stop = new AbortController();
  const stream = await send(
    gateway,
    'subscriptions/listen',
    { notifications: { resourceSubscriptions: [uri] } },
    { signal: stop.signal },
  );
  const messages = messagesIn(stream);
  expect((await messages.next()).value).toMatchObject({ method: 'notifications/subscriptions/acknowledged' });

  behave({ ...first });

  expect((await messages.next()).value).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri },
  });
  stop.abort();
});

test('a change of definitions is told once, for the list that has changed', async () => {
  const stop = new AbortController();
  const notifications = { toolsListChanged: true, resourcesListChanged: true, promptsListChanged: true };
  const messages = messagesIn(
    await send(gateway, 'subscriptions/listen', { notifications }, { signal: stop.signal }),
  );
  const next = async () => ((await messages.next()).value as { method?: string } | undefined)?.method;
  expect(await next()).toBe('notifications/subscriptions/acknowledged');
  const prompts = [...first.prompts, { name: 'more', description: 'Asks more.' }];
  const resources = [...first.resources, { uri: 'fix://more', name: 'more' }];

  // Of two servers that read the same, each tells it.
  behave({ ...first, prompts });
  expect([await next(), await next()]).toEqual(Array(2).fill('notifications/prompts/list_changed'));
  behave({ ...first, prompts, resources });
  expect([await next(), await next()]).toEqual(Array(2).fill('notifications/resources/list_changed'));
  behave({ ...first, prompts, resources, tools: [...first.tools, tool('more')] });
  expect([await next(), await next()]).toEqual(Array(2).fill('notifications/tools/list_changed'));
  stop.abort();
});

test('one that asks back is told that nobody answers here, and so is who called it', async () => {
  behave({ ...first, calls: 'ask' });
  const answer = await callTool(gateway, 'prefixed_write', {});
  expect(JSON.parse(answer.result?.['content'][0].text)).toMatchObject({ error: { code: -32_601 } });

  // Of the newest revision, one answers with a question.
  const tools = [fixtureTool('asks', () => ask({}, 'state'))];
  await using asking = await serve({ ...conformanceService, tools });
  const headers = { authorization: `Bearer ${asking.token}` };
  const file = join(gateway.dataRoot, 'upstreams.json');
  const before = readFileSync(file, 'utf8');
  const { upstreams } = JSON.parse(before) as { upstreams: object };
  const more = { ...upstreams, other: { url: `${asking.url}/mcp`, headers } };
  writeFileSync(file, JSON.stringify({ upstreams: more }));
  await vi.waitFor(async () => expect(await toolsIn()).toContain('other_asks'), { timeout: 20_000 });
  const asked = await callTool(gateway, 'other_asks', {});
  writeFileSync(file, before);

  expect(codeOf(asked)).toBe('unavailable');
  expect(JSON.stringify(asked)).toContain('asks back');
  await vi.waitFor(async () => expect(await toolsIn()).not.toContain('other_asks'));
});

test('health and readiness tell of them, and a changed definition is gone from the list', async () => {
  behave({ ...first, tools: [tool('echo'), tool('write')] });

  await vi.waitFor(async () => {
    const listed = await toolsIn();
    expect(listed).not.toContain('prefixed_echo');
    expect(listed).not.toContain('echo');
  });
  const health = (await (await fetch(`${gateway.url}/health`)).json()) as {
    readonly foreign: { readonly servers: readonly object[] };
  };
  expect(health.foreign.servers).toMatchObject([
    { name: 'plain', status: 'up', held: ['tool echo'] },
    { name: 'prefixed', status: 'up', held: ['tool echo'], tools: 1 },
  ]);
  const ready = await fetch(`${gateway.url}/ready`);
  expect([ready.status, await ready.text()]).toEqual([
    200,
    expect.stringContaining('prefixed: 1 definitions are held back'),
  ]);
});

test('one that dies is marked as unavailable, and takes nothing else with it', async () => {
  behave({ ...first, calls: 'die' });
  const answer = await callTool(gateway, 'prefixed_write', {});
  expect(codeOf(answer)).toBe('unavailable');

  expect((await callTool(gateway, 'read_graph', {})).result?.['isError']).toBeUndefined();
  expect(await toolsIn()).toContain('prefixed_write');
});

test('the last ones that are taken out of the file are gone from the lists, and are known to nobody', async () => {
  writeFileSync(join(gateway.dataRoot, 'upstreams.json'), JSON.stringify({ upstreams: {} }));

  await vi.waitFor(async () => expect(await toolsIn()).not.toContain('prefixed_write'));
  await vi.waitFor(async () =>
    expect((await callTool(gateway, 'prefixed_write', {})).error).toMatchObject({ code: -32_602 }),
  );
});
