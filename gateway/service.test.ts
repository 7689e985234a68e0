import { readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';
import { verifyAudit } from '#runtime/account/audit-proof.ts';

import context from '../services/context/service.ts';
import memory from '../services/memory/service.ts';
import thinking from '../services/sequential-thinking/service.ts';
import { messagesIn, type Rpc } from '../scripts/bench/message.ts';
import { conformanceService } from '../tests/support/conformance-service.ts';
import { callTool, codeOf, rpc, send } from '../tests/support/rpc.ts';
import type { Served } from '../tests/support/serve.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';

let fronted: Fronted;
let gateway: Served;
beforeAll(async () => {
  fronted = await serveBehind([memory, context, thinking]);
  ({ gateway } = fronted);
});
afterAll(async () => fronted[Symbol.asyncDispose]());

const eras = ['modern', 'legacy'] as const;
const namesIn = (answer: Awaited<ReturnType<typeof rpc>>, list = 'tools'): string[] =>
  answer.result?.[list].map(({ name }: { name: string }) => name);

/** The tools that a client is shown which asks for them in its URL. */
async function listedWith(query: string, token = gateway.token): Promise<Awaited<ReturnType<typeof rpc>>> {
  const response = await fetch(`${gateway.url}/mcp?${query}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
  });
  return (await response.json()) as Awaited<ReturnType<typeof rpc>>;
}

async function tokenWith(name: string, ...scope: string[]): Promise<string> {
  const token = await createToken(gateway.dataRoot, { name, scope, expiresAt: null });
  await vi.waitFor(async () =>
    expect((await rpc(gateway, 'tools/list', {}, { token })).result).toBeDefined(),
  );
  return token;
}

describe.concurrent.each(eras)('In %s, the gateway', (era) => {
  test('lists what the services list, in one order, and answers as they do', async () => {
    const own = await Promise.all(
      Object.values(fronted.direct).map(async (one) => namesIn(await rpc(one, 'tools/list', {}, { era }))),
    );
    const listed = await rpc(gateway, 'tools/list', {}, { era });

    expect(namesIn(listed)).toEqual(own.flat().toSorted());
    for (const list of ['resources', 'prompts']) {
      const all = await rpc(gateway, `${list}/list`, {}, { era });
      const direct = await rpc(fronted.direct['memory'] as Served, `${list}/list`, {}, { era });
      expect(namesIn(all, list)).toEqual(expect.arrayContaining(direct.error ? [] : namesIn(direct, list)));
    }
    const args = { text: 'one two three' };
    const [through, beside] = await Promise.all(
      [gateway, fronted.direct['context'] as Served].map(async (target) =>
        callTool(target, 'count_tokens', args, { era }),
      ),
    );
    expect(through).toEqual(beside);
  });

  test('reads documents and prompts by the service they belong to', async () => {
    await callTool(gateway, 'create_entities', {
      entities: [{ name: `Read ${era}`, entityType: 'test', observations: [] }],
    });
    const read = await rpc(
      gateway,
      'resources/read',
      { uri: `memory://entity/Read%20${era}` },
      { era, headers: era === 'modern' ? { 'mcp-name': `memory://entity/Read%20${era}` } : {} },
    );
    expect(JSON.stringify(read)).toContain(`Read ${era}`);

    const none = await rpc(gateway, 'resources/read', { uri: 'nobody://x' }, { era });
    expect(none.error?.code).toBe(era === 'modern' ? -32_602 : -32_002);
  });

  test('lists only the core where a client asks for it', async () => {
    const all = namesIn(await rpc(gateway, 'tools/list', {}, { era }));
    const core = namesIn(await listedWith('tools=core'));

    expect(core.length).toBeGreaterThan(10);
    expect(core.length).toBeLessThan(all.length / 1.5);
    expect(all).toEqual(expect.arrayContaining(core));
  });

  test.each(['memroy', '', 'find_tools'])(
    'says so where a client asks for ?tools=%s, which nobody has',
    async (word) => {
      const { error } = await listedWith(`tools=${word}`);

      expect(error?.code).toBe(-32_602);
      expect(error?.message).toContain(`"${word}", which names no tool here`);
    },
  );

  test('lists two tools to a client that searches, which find all others and call them by the same rules', async () => {
    const { result } = await listedWith('tools=search');
    expect(result?.['tools'].map(({ name }: { name: string }) => name)).toEqual(['find_tools', 'call_tool']);
    expect(result?.['tools'][0].description).toContain('- memory: ');

    const find = async (question: string, token?: string) => {
      const answer = await callTool(gateway, 'find_tools', { question }, { era, ...(token && { token }) });
      const found = answer.result?.['structuredContent'] as { tools: { name: string }[] };
      return found.tools.map(({ name }) => name);
    };
    const call = async (name: string, args: unknown, token?: string) =>
      callTool(gateway, 'call_tool', { name, arguments: args }, { era, ...(token && { token }) });
    expect(await find('how many tokens is this text')).toContain('count_tokens');
    expect((await call('count_tokens', { text: 'one two' })).result?.['structuredContent']).toEqual(
      (await callTool(gateway, 'count_tokens', { text: 'one two' }, { era })).result?.['structuredContent'],
    );

    const token = await tokenWith(`searching-${era}`, 'memory:read');
    expect(await find('create entities in the graph')).toContain('create_entities');
    expect(await find('create entities in the graph', token)).not.toContain('create_entities');
    expect(codeOf(await call('create_entities', { entities: [] }, token))).toBe('forbidden');
    expect((await call('no_such_tool', {})).error).toMatchObject({ code: -32_602 });
    for (const args of [{}, { name: 'call_tool' }, { name: 'count_tokens', arguments: 3 }])
      expect(codeOf(await callTool(gateway, 'call_tool', args, { era })), JSON.stringify(args)).toBe(
        'invalid_input',
      );
    expect(codeOf(await callTool(gateway, 'find_tools', { query: 'x' }, { era }))).toBe('invalid_input');
  });

  test('names what is not there', async () => {
    const tool = await callTool(gateway, 'no_such_tool', {}, { era });
    expect(tool.error).toMatchObject({ code: -32_602, message: 'Tool no_such_tool not found' });
    const prompt = await rpc(gateway, 'prompts/get', { name: 'no_such' }, { era });
    expect(prompt.error).toMatchObject({ code: -32_602, message: 'Prompt no_such not found' });
  });

  test('shows and lets do only what the token may', async () => {
    const token = await tokenWith(`narrow-${era}`, 'memory:read', 'context');
    const listed = namesIn(await rpc(gateway, 'tools/list', {}, { era, token }));

    expect(listed).toContain('open_nodes');
    expect(listed).toContain('count_tokens');
    expect(listed).not.toContain('create_entities');
    expect(listed).not.toContain('sequentialthinking');
    const refused = await callTool(gateway, 'create_entities', { entities: [] }, { era, token });
    expect(codeOf(refused)).toBe('forbidden');
    expect(JSON.stringify(refused)).toContain('memory:write');
    expect(codeOf(await callTool(gateway, 'sequentialthinking', {}, { era, token }))).toBe('forbidden');

    await revokeToken(gateway.dataRoot, `narrow-${era}`);
    await vi.waitFor(async () =>
      expect((await send(gateway, 'tools/list', {}, { era, token })).status).toBe(401),
    );
  });
});

test('a token lists and calls what it was made for, at the gateway and at the service', async () => {
  const token = await createToken(gateway.dataRoot, {
    name: 'chosen',
    scope: ['*'],
    expiresAt: null,
    tools: ['memory:core', 'count_tokens'],
  });
  const direct = fronted.direct['context'] as Served;
  for (const target of [gateway, direct]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await vi.waitFor(async () => {
      const names = namesIn(await rpc(target, 'tools/list', {}, { token }));
      expect(names).toContain('count_tokens');
      expect(names).not.toContain('truncate_to_budget');
    });
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const allowed = await callTool(target, 'count_tokens', { text: 'x' }, { token });
    expect(allowed.result?.['isError']).toBeUndefined();
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const other = await callTool(target, 'list_outputs', {}, { token });
    expect(codeOf(other)).toBe('forbidden');
  }
  const names = namesIn(await rpc(gateway, 'tools/list', {}, { token }));
  expect(names).toContain('create_entities');
  expect(names).not.toContain('merge_entities');
  expect(names).not.toContain('sequentialthinking');
});

test('a token that searches is shown two tools and calls all that its scope has; its client may ask for others', async () => {
  const token = await createToken(gateway.dataRoot, {
    name: 'searches',
    scope: ['memory', 'context'],
    expiresAt: null,
    tools: ['search', 'count_tokens'],
  });
  await vi.waitFor(async () =>
    expect(namesIn(await rpc(gateway, 'tools/list', {}, { token }))).toBeDefined(),
  );
  const namesWith = async (query: string) => namesIn(await listedWith(query, token));

  expect(await namesWith('')).toEqual(['find_tools', 'call_tool', 'count_tokens']);
  expect(await namesWith('tools=search')).toEqual(['find_tools', 'call_tool']);
  expect(await namesWith('tools=open_nodes')).toEqual(['open_nodes']);
  expect(await namesWith('tools=sequentialthinking')).toEqual([]);
  for (const [name, args] of [
    ['call_tool', { name: 'search_nodes', arguments: { query: 'x' } }],
    ['search_nodes', { query: 'x' }],
  ] as const)
    expect(codeOf(await callTool(gateway, name, args, { token }))).toBeUndefined(); // oxlint-disable-line no-await-in-loop -- one after the other
  const other = { name: 'sequentialthinking', arguments: {} };
  expect(codeOf(await callTool(gateway, 'call_tool', other, { token }))).toBe('forbidden');
});

test('a service records who called, and not the gateway; the gateway records what it refused, too', async () => {
  const token = await tokenWith('owner', 'memory', 'context');
  await callTool(gateway, 'add_memory', { text: 'Mine.' }, { token });
  await callTool(gateway, 'sequentialthinking', {}, { token });

  const recorded = async (served: Served) =>
    (
      await fetch(`${served.url}/admin/audit`, { headers: { authorization: `Bearer ${served.token}` } })
    ).text();
  await vi.waitFor(async () => {
    const [there, here] = await Promise.all([
      recorded(fronted.direct['memory'] as Served),
      recorded(gateway),
    ]);
    const own = there.split('\n').filter((line) => line.includes('add_memory'));
    expect(own.at(-1)).toContain('"caller":"owner"');
    expect(there).not.toMatch(/"caller":"gateway"[^}]*tools\/call/);
    expect(here).toMatch(/"caller":"owner"[^}]*"sequentialthinking"[^}]*"forbidden"/);
  });
  expect((await verifyAudit(`${gateway.dataRoot}/gateway/audit`)).faults).toEqual([]);
});

test('records tell the bytes of an answer that is put together here, and not its characters', async () => {
  const wide = '語'.repeat(1_000);
  await callTool(gateway, 'create_entities', {
    entities: [{ name: 'Wide', entityType: 'test', observations: [wide] }],
  });
  const read = { name: 'open_nodes', arguments: { names: ['Wide'] } };
  const token = await tokenWith('wide', 'memory');
  const found = await callTool(gateway, 'call_tool', read, { token, era: 'legacy' });
  expect(JSON.stringify(found.result)).toContain(wide);
  const own = await callTool(gateway, 'find_tools', { [wide]: 1 }, { token, era: 'legacy' });
  expect(JSON.stringify(own.result)).toContain('語語語');

  const recordOf = async (target: string) => {
    const trail = await fetch(`${gateway.url}/admin/audit`, {
      headers: { authorization: `Bearer ${gateway.token}` },
    });
    const records = (await trail.text()).split('\n').flatMap((line) => {
      const record = JSON.parse(line || '{}') as { caller?: string; target?: string; responseBytes?: number };
      return record.caller === 'wide' && record.target === target ? [record] : [];
    });
    return records[0]?.responseBytes;
  };
  // As text and as data.
  await vi.waitFor(async () => expect(await recordOf('open_nodes')).toBeGreaterThan(6_000));
  expect(await recordOf('find_tools')).toBe(Buffer.byteLength(JSON.stringify(own.result)));
});

test('words of a client become no figure and no record', async () => {
  const token = await tokenWith('wordy', 'memory:read');
  const taskId = 'memory.none';
  const long = `tasks/${'x'.repeat(100_000)}`;
  for (const method of ['tasks/of-my-own', long])
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect((await rpc(gateway, method, { taskId }, { token, era: 'legacy' })).error?.code).toBe(-32_601);
  for (const name of ['search_nodes', 'create_entities']) {
    const headers = { 'mcp-protocol-version': `my-own-${name}` };
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await callTool(gateway, name, { query: 'x' }, { token, era: 'legacy', headers });
  }
  for (const era of eras)
    // oxlint-disable-next-line no-await-in-loop -- likewise
    expect((await rpc(gateway, 'tasks/get', { taskId }, { token, era })).error).toBeDefined();

  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  expect(metrics).not.toMatch(/my-own|of-my-own|xxx/);
  expect(metrics).toMatch(/mcp_method_name="tasks\/get"/);
  expect(metrics).toMatch(/gen_ai_tool_name="search_nodes"[^}]*mcp_protocol_version="other"/);
  expect(metrics).toMatch(/mcp_protocol_version="2026-07-28"/);
  expect(metrics).toMatch(/mcp_protocol_version="2025-11-25"/);
  const trail = `${gateway.dataRoot}/gateway/audit`;
  await vi.waitFor(() =>
    expect(readFileSync(`${trail}/audit-000001.jsonl`, 'utf8')).toMatch(/"wordy"[^}]*"create_entities"/),
  );
  expect(readFileSync(`${trail}/audit-000001.jsonl`, 'utf8')).not.toMatch(/of-my-own|xxx/);
  expect((await verifyAudit(trail)).faults).toEqual([]);
});

test('a header and a body that disagree are refused by the service', async () => {
  const response = await send(
    gateway,
    'tools/call',
    { name: 'count_tokens', arguments: { text: 'x' } },
    { headers: { 'mcp-name': 'open_nodes' } },
  );

  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: { code: -32_020 } });
});

test('a subscription through the gateway hears of a change made beside it', async () => {
  const uri = 'memory://entity/Watched';
  await callTool(gateway, 'create_entities', {
    entities: [{ name: 'Watched', entityType: 'test', observations: [] }],
  });
  const stream = await send(gateway, 'subscriptions/listen', {
    notifications: { resourceSubscriptions: [uri] },
  });
  const messages = messagesIn(stream);
  expect((await messages.next()).value).toMatchObject({ method: 'notifications/subscriptions/acknowledged' });

  await callTool(fronted.direct['memory'] as Served, 'add_observations', {
    observations: [{ entityName: 'Watched', contents: ['changed'] }],
  });

  expect((await messages.next()).value).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri },
  });
  await messages.return(undefined);
});

test('what call_tool calls tells how far it is', async () => {
  const { sessions: _, ...stateless } = conformanceService;
  await using alone = await serveBehind([stateless]);
  for (const era of eras) {
    const params = { name: 'call_tool', arguments: { name: 'test_tool_with_progress' } };
    const meta = { progressToken: 'p' };
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const stream = messagesIn(await send(alone.gateway, 'tools/call', params, { era, meta }));
    const told: Rpc[] = [];
    // oxlint-disable-next-line no-await-in-loop -- likewise
    for await (const message of stream) told.push(message);
    const steps = told.filter(({ method }) => method === 'notifications/progress');
    expect(steps.map(({ params: step }) => step)).toEqual(
      [0, 50, 100].map((progress) => expect.objectContaining({ progressToken: 'p', progress, total: 100 })),
    );
    expect(told.at(-1)?.result?.['isError']).toBeUndefined();
  }
});

/** A session, and how it takes a call back. */
async function sessionAt(target: Served) {
  const begun = await send(
    target,
    'initialize',
    { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    { era: 'legacy' },
  );
  const headers = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' };
  const cancel = async (requestId: number) =>
    fetch(`${target.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${target.token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        ...headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } }),
    });
  return { headers, cancel };
}

test.each([
  ['slow_tool', {}],
  ['call_tool', { name: 'slow_tool', arguments: {} }],
])('a session that takes its call of %s back ends the work at the service', async (name, args) => {
  const gone = Promise.withResolvers<void>();
  await using hanging = await standIn((response) => {
    response.once('close', () => gone.resolve());
  });
  await using alone = await serveBehind([], { others: [hanging.upstream] });
  const { headers, cancel } = await sessionAt(alone.gateway);
  const call = callTool(alone.gateway, name, args, { era: 'legacy', headers, id: 7 });
  await hanging.called;

  await cancel(7);

  await gone.promise;
  expect(codeOf(await call)).toBe('cancelled');
});

test('a session that takes a call back whose answer has begun hears so, and the answer ends', async () => {
  const progress = 'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n';
  const half = 'event: message\ndata: {"jso';
  const stream = { 'content-type': 'text/event-stream' };
  const begun: [headers: Record<string, string>, text: string][] = [
    [stream, ''],
    [stream, progress],
    [stream, progress + half],
    [{ ...stream, 'content-length': '500' }, progress],
    [{ 'content-type': 'application/json', 'content-length': '99' }, '{"jsonrpc":'],
  ];
  const ended: string[] = [];
  await using hanging = await standIn((response) => {
    const [headers, text] = begun[ended.length] as (typeof begun)[number];
    response.writeHead(200, headers).flushHeaders();
    response.write(text);
  });
  await using alone = await serveBehind([], { others: [hanging.upstream] });
  // Answers to it are not held until it is known how long they are.
  const any = { name: 'any', scope: ['*'], expiresAt: null, resultTokens: 0 };
  const token = await createToken(alone.gateway.dataRoot, any);
  await vi.waitFor(async () =>
    expect((await rpc(alone.gateway, 'tools/list', {}, { token })).error).toBeUndefined(),
  );
  const { headers, cancel } = await sessionAt({ ...alone.gateway, token });
  for (const [id, [, text]] of begun.entries()) {
    const params = { name: 'slow_tool', arguments: {} };
    const options = { era: 'legacy', headers, token, id } as const;
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { body } = await send(alone.gateway, 'tools/call', params, options);
    let heard = '';
    let cancelled = text === '' ? cancel(id) : undefined;
    try {
      // oxlint-disable-next-line no-await-in-loop -- likewise
      for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
        heard += Buffer.from(chunk).toString();
        if (heard.length >= text.length) cancelled ??= cancel(id);
      }
    } catch {
      heard += '!';
    }
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await cancelled;
    ended.push(heard);
  }

  const [last = ''] = ended;
  const [answer] = await Array.fromAsync(messagesIn(new Response(last, { headers: stream })));
  expect(answer).toMatchObject({ id: 0, result: { _meta: { 'dev.flotilla/outcome': 'cancelled' } } });
  expect(codeOf(answer as Rpc)).toBe('cancelled');
  expect(ended.slice(1)).toEqual([
    progress + last.replace('"id":0', '"id":1'),
    progress + half,
    `${progress}!`,
    '{"jsonrpc":!',
  ]);
  const metrics = await (await fetch(`${alone.gateway.url}/metrics`)).text();
  expect(metrics).toMatch(/duration_seconds_count\{[^}]*"slow_tool"[^}]*error_type="cancelled"[^}]*\} 5/);
});

test('a call that is taken back while its session begins at the service is not made', async () => {
  const beginning = Promise.withResolvers<ServerResponse>();
  let calls = 0;
  await using there = await standIn(
    (response) => {
      calls += 1;
      response.end(JSON.stringify({ jsonrpc: '2.0', id: 8, result: { content: [] } }));
    },
    { begin: beginning.resolve },
  );
  await using alone = await serveBehind([], { others: [{ ...there.upstream, keepsSessions: true }] });
  await vi.waitFor(async () =>
    expect(namesIn(await rpc(alone.gateway, 'tools/list'))).toContain('slow_tool'),
  );
  const { headers, cancel } = await sessionAt(alone.gateway);
  const call = callTool(alone.gateway, 'slow_tool', {}, { era: 'legacy', headers, id: 7 });
  const response = await beginning.promise;

  await cancel(7);

  expect(codeOf(await call)).toBe('cancelled');
  // It still waits for that.
  expect(response.closed).toBe(false);
  response.writeHead(200, { 'mcp-session-id': 'there' }).end('{}');
  await callTool(alone.gateway, 'slow_tool', {}, { era: 'legacy', headers, id: 8 });
  expect(calls).toBe(1);
});

test('nobody listens for what the token may not read, or for more than a service can be told', async () => {
  const token = await tokenWith('hears', 'context');
  const notifications = { resourceSubscriptions: ['memory://entity/Watched'] };
  const many = Array.from({ length: 1_001 }, (_, at) => `context://output/${at}`);

  const forbidden = await rpc(gateway, 'subscriptions/listen', { notifications }, { token });
  const tooMany = await rpc(gateway, 'subscriptions/listen', {
    notifications: { resourceSubscriptions: many },
  });
  const old = await rpc(
    gateway,
    'resources/subscribe',
    { uri: 'memory://entity/Watched' },
    { token, era: 'legacy' },
  );

  expect([forbidden, tooMany, old].map(codeOf)).toEqual(['forbidden', 'too_large', 'forbidden']);
});

test('the state of each service is a metric', async () => {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();

  expect(text).toContain('flotilla_upstream_up{upstream="memory"} 1');
  expect(text).toContain('flotilla_ready');
});

test('a client that goes ends the work at the service', async () => {
  const gone = Promise.withResolvers<void>();
  await using hanging = await standIn((response) => {
    response.once('close', () => gone.resolve());
  });
  await using alone = await serveBehind([], { others: [hanging.upstream] });
  const leaving = new AbortController();
  const call = callTool(alone.gateway, 'slow_tool', {}, { signal: leaving.signal });
  await hanging.called;

  leaving.abort();

  await expect(call).rejects.toThrow('aborted');
  await gone.promise;
});

test('restarts of a service cost no call of its clients', async () => {
  await using alone = await serveBehind([memory]);
  const over = new AbortController();
  const failures: unknown[] = [];
  let answered = 0;
  const client = async (at: number) => {
    for (let count = 0; !over.signal.aborted; count += 1) {
      const [name, args] =
        at % 2 === 0
          ? ['search_memories', { query: 'gateway' }]
          : ['add_memory', { text: `The gateway waits, ${at} ${count}.` }];
      // oxlint-disable-next-line no-await-in-loop -- one call after the other
      const answer = await callTool(alone.gateway, name, args);
      if (answer.error || answer.result?.['isError']) failures.push(answer);
      answered += 1;
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, async (_, at) => client(at)));

  for (let count = 0; count < 3; count += 1) {
    const before = answered;
    // oxlint-disable-next-line no-await-in-loop -- one restart after the other
    await alone.restart('memory');
    // oxlint-disable-next-line no-await-in-loop, no-loop-func -- likewise
    await vi.waitFor(() => expect(answered).toBeGreaterThan(before + 50));
  }
  over.abort();
  await clients;

  expect(failures).toEqual([]);
});

describe.concurrent('A service that', () => {
  test('is not there takes nothing else with it, and is said not to run', async () => {
    const absent = { name: 'absent', description: 'Is not there.', origin: 'http://127.0.0.1:9' };
    await using with2 = await serveBehind([context], { others: [absent] });

    expect(namesIn(await rpc(with2.gateway, 'tools/list'))).toContain('count_tokens');
    expect((await callTool(with2.gateway, 'count_tokens', { text: 'x' })).result).toBeDefined();
    const ready = await fetch(`${with2.gateway.url}/ready`);
    expect(ready.status).toBe(200);
  });

  test('lists no tools, or no list, is down with this as its reason', async () => {
    await using lying = await standIn(() => {}, { tools: [] });
    await using alone = await serveBehind([context], { others: [lying.upstream] });

    await vi.waitFor(
      async () =>
        expect(await stateOf(alone, lying.upstream.name)).toMatchObject({ reason: /lists no tools/ }),
      { timeout: 30_000, interval: 500 },
    );
  });

  test('hangs is found out, called no more, still listed, and comes back by itself', async () => {
    await using slow = await standIn((response) => response.end('{}'));
    await using alone = await serveBehind([context], { others: [slow.upstream] });
    expect(namesIn(await rpc(alone.gateway, 'tools/list'))).toContain('slow_tool');

    slow.hang(true);
    await vi.waitFor(
      async () =>
        expect(await stateOf(alone, 'standin')).toMatchObject({
          status: 'down',
          reason: 'it does not answer',
        }),
      { timeout: 30_000, interval: 200 },
    );

    const call = await callTool(alone.gateway, 'slow_tool');
    expect(codeOf(call)).toBe('unavailable');
    expect(JSON.stringify(call)).toContain('standin cannot be called now: it does not answer');
    expect((await callTool(alone.gateway, 'count_tokens', { text: 'x' })).result).toBeDefined();
    const listed = (await rpc(alone.gateway, 'tools/list')).result?.['tools'] as {
      name: string;
      description: string;
    }[];
    expect(listed.find(({ name }) => name === 'slow_tool')?.description).toContain('[Unavailable now:');

    slow.hang(false);
    await vi.waitFor(async () => expect(await stateOf(alone, 'standin')).toMatchObject({ status: 'up' }), {
      timeout: 30_000,
      interval: 200,
    });
  });
});

async function stateOf({ gateway: { url } }: Fronted, name: string): Promise<object | undefined> {
  const { upstreams } = (await (await fetch(`${url}/health`)).json()) as { upstreams: { name: string }[] };
  return upstreams.find((one) => one.name === name);
}

/** What speaks enough of the protocol to be listed, and then does as the test wants. */
async function standIn(
  onCall: (response: ServerResponse) => void,
  { tools = [slowTool], begin }: { tools?: object[]; begin?: (response: ServerResponse) => void } = {},
) {
  const called = Promise.withResolvers<void>();
  let hangs = false;
  const open = new Set<ServerResponse>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (hangs) return;
      const { method } = JSON.parse(Buffer.concat(chunks).toString() || '{}') as { method?: string };
      if (method === 'tools/call') {
        called.resolve();
        onCall(response);
        return;
      }
      if (method === 'initialize' && begin) {
        begin(response);
        return;
      }
      if (method === 'subscriptions/listen') {
        open.add(response);
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(`data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}\n\n`);
        return;
      }
      const result = { tools, capabilities: { tools: {} }, resultType: 'complete' };
      response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }));
    });
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  return {
    upstream: {
      name: 'standin',
      description: 'Stands in.',
      origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    },
    called: called.promise,
    hang: (does: boolean) => void (hangs = does),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => void server.close(done));
    },
  };
}

const slowTool = { name: 'slow_tool', description: 'Is slow.', inputSchema: { type: 'object' } };
