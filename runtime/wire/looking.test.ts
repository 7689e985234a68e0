import { createPrivateKey } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';

import { callTool, rpc, send } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { Assertions, makeSigningKey } from '../access/assertions.ts';
import { adding, reading } from '../hints.ts';
import { defineService } from '../service.ts';
import { defineTool } from '../tool.ts';
import { digestOf, isOnlyLooking } from './looking.ts';

const canary = { tool: 'peek', arguments: { at: { depth: 1 } } };
const call = (name: unknown, args?: unknown) => ({ method: 'tools/call', params: { name, arguments: args } });

test.each<[string, unknown, boolean]>([
  ['a list', { method: 'tools/list' }, true],
  ['discovery', { method: 'server/discover', params: {} }, true],
  ['the canary', call('peek', { at: { depth: 1 } }), true],
  ['the canary with other arguments', call('peek', { at: { depth: 2 } }), false],
  ['the canary with more arguments', call('peek', { at: { depth: 1 }, more: 1 }), false],
  ['the canary without arguments', call('peek'), false],
  ['the canary with its arguments as text', call('peek', '{"at":{"depth":1}}'), false],
  ['another tool', call('secret', { at: { depth: 1 } }), false],
  ['a tool without a name', call(undefined, { at: { depth: 1 } }), false],
  ['a call without parameters', { method: 'tools/call' }, false],
  ['a document', { method: 'resources/read', params: { uri: 'memory://all' } }, false],
  ['a prompt', { method: 'prompts/get', params: { name: 'recall' } }, false],
  ['a stream', { method: 'subscriptions/listen', params: {} }, false],
  ['a task', { method: 'tasks/get', params: { taskId: 'memory.1' } }, false],
  ['a session', { method: 'initialize', params: {} }, false],
  ['what every object has', { method: 'constructor' }, false],
  ['a batch of lists', [{ method: 'tools/list' }], false],
  ['nothing', null, false],
])('who may only look may ask for %s: %#', (_what, message, isAllowed) => {
  expect(isOnlyLooking(message, canary)).toBe(isAllowed);
});

test('without a canary nothing may be called', () => {
  expect(isOnlyLooking(call('peek', { at: { depth: 1 } }), undefined)).toBe(false);
});

/** A tool of each kind, a document, a prompt and routes. */
const tool = (name: string, effect: 'read' | 'write') =>
  defineTool({
    name,
    title: name,
    description: `Fixture: ${name}.`,
    effect,
    hints: effect === 'read' ? reading : adding,
    input: z.object({ at: z.object({ depth: z.int() }).optional().describe('Where.') }),
    output: z.object({ said: z.string() }),
    handler: () => ({ said: name }),
  });
const service = defineService({
  name: 'health',
  settings: z.object({}),
  open: () => ({}),
  tools: [tool('peek', 'read'), tool('secret', 'read'), tool('note', 'write')],
  canary,
  resources: [
    {
      uri: 'health://all',
      name: 'all',
      title: 'All',
      description: 'All.',
      mimeType: 'text/plain',
      read: () => ({ text: 'all' }),
    },
  ],
  routes: [
    { path: '/overview', access: 'token', handle: (_request, _deps, caller) => new Response(caller) },
    { path: '/overview', method: 'POST', access: 'token', handle: () => new Response('changed') },
    { path: '/history', access: 'token', handle: (_request, _deps, caller) => new Response(caller) },
    { path: '/intake', access: 'token', effect: 'write', handle: () => new Response('in') },
    { path: '/settings', access: 'admin', handle: () => new Response('set') },
  ],
});

describe('At a service', () => {
  let served: Served;
  let health: string;
  let dashboard: string;
  beforeAll(async () => {
    served = await serve(service);
    const own = (signer: string) => {
      const key = createPrivateKey(makeSigningKey(served.dataRoot, signer));
      return new Assertions(signer, key).ofSelf('read', 'health', Date.now());
    };
    [health, dashboard] = [own('health'), own('dashboard')];
  });
  afterAll(async () => served[Symbol.asyncDispose]());

  const statusOf = async (path: string, token: string, method = 'GET') => {
    const response = await fetch(`${served.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}` },
    });
    await response.body?.cancel();
    return response.status;
  };
  const posted = async (token: string, method: string, params = {}, era: 'modern' | 'legacy' = 'modern') => {
    const response = await send(served, method, params, { token, era });
    await response.body?.cancel();
    return response.status;
  };

  test('health sees what a token sees that reads, calls the canary, and is no use of the tool', async () => {
    const listed = await rpc(served, 'tools/list', {}, { token: health });
    const called = await callTool(served, 'peek', canary.arguments, { token: health });
    await callTool(served, 'peek', canary.arguments);

    const names = listed.result?.['tools'].map(({ name }: { name: string }) => name);
    expect(names).toEqual(['peek', 'secret']);
    expect(called.result?.['structuredContent']).toEqual({ said: 'peek' });
    const said = (await (await fetch(`${served.url}/health`)).json()) as { mcp: unknown };
    expect(said.mcp).toEqual({ tools: 2, digest: digestOf(['secret', 'peek']), canary });
    const metrics = await (await fetch(`${served.url}/metrics`)).text();
    expect(/^mcp_server_operation_duration_seconds_count.*"peek".* (\d+)$/m.exec(metrics)?.[1]).toBe('1');
  });

  test('health reads nothing else', async () => {
    expect(await posted(health, 'tools/call', { name: 'secret', arguments: {} })).toBe(403);
    expect(await posted(health, 'tools/call', { name: 'peek', arguments: { at: { depth: 2 } } })).toBe(403);
    expect(await posted(health, 'tools/call', { name: 'note', arguments: {} })).toBe(403);
    expect(await posted(health, 'resources/read', { uri: 'health://all' })).toBe(403);
    expect(await posted(health, 'subscriptions/listen', { notifications: {} })).toBe(403);
    expect(await posted(health, 'initialize', {}, 'legacy')).toBe(403);
    const paths = ['/overview', '/history', '/settings', '/mcp', '/admin/audit'];
    expect(await Promise.all(paths.map(async (path) => statusOf(path, health)))).toEqual([
      403, 403, 403, 403, 403,
    ]);
    expect(await statusOf('/admin/snapshot', health, 'POST')).toBe(403);
  });

  test('dashboard reads the document that the catalogue names, and nothing else', async () => {
    expect(await statusOf('/overview', dashboard)).toBe(200);
    expect(await statusOf('/overview', dashboard, 'POST')).toBe(403);
    expect(await posted(dashboard, 'tools/list')).toBe(403);
    expect(await posted(dashboard, 'tools/call', { name: 'peek', ...canary })).toBe(403);
    const paths = ['/history', '/intake', '/settings', '/mcp', '/admin/audit'];
    expect(await Promise.all(paths.map(async (path) => statusOf(path, dashboard)))).toEqual([
      403, 403, 403, 403, 403,
    ]);
    expect(await statusOf('/admin/snapshot', dashboard, 'POST')).toBe(403);
  });

  test('records name them', async () => {
    await vi.waitFor(async () => {
      const response = await fetch(`${served.url}/admin/audit`, {
        headers: { authorization: `Bearer ${served.token}` },
      });
      const records = (await response.text())
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { caller: string; target: string | null; outcome: string });
      const by = (name: string) => records.filter(({ caller }) => caller === name);
      expect(by('health')).toContainEqual(expect.objectContaining({ target: 'peek', outcome: 'ok' }));
      expect(by('health').filter(({ outcome }) => outcome === 'forbidden').length).toBeGreaterThan(5);
      expect(by('dashboard').filter(({ outcome }) => outcome === 'forbidden').length).toBeGreaterThan(3);
    });
  });
});

test('a service whose settings leave the canary out does not tell of it', async () => {
  await using served = await serve({ ...service, offers: ({ name }) => name !== 'peek' });

  expect(await (await fetch(`${served.url}/health`)).json()).toMatchObject({
    mcp: { tools: 1, digest: digestOf(['secret']) },
  });
});
