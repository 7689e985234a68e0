/** Calls that a person has to agree to, of the fleet and of others, in both eras. */
import type { ServerResponse } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import type { Admitted } from '#runtime/wire/gate.ts';

import memory from '../services/memory/service.ts';
import { messagesIn, type Rpc } from '../scripts/bench/message.ts';
import { serveBehind, type Fronted } from '../tests/support/fronted.ts';
import { callTool, codeOf, rpc, send } from '../tests/support/rpc.ts';
import type { Served } from '../tests/support/serve.ts';
import { Confirming, type Waiting } from './confirming.ts';

let fronted: Fronted;
let gateway: Served;
const tokens: Record<'free' | 'strict' | 'reads', string> = { free: '', strict: '', reads: '' };

const fixture = fileURLToPath(new URL('foreign/server.fixture.ts', import.meta.url));
const meta = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: {} } };
const yes = { confirm: { action: 'accept', content: { confirm: true } } };

beforeAll(async () => {
  fronted = await serveBehind([memory], { settings: { FLOTILLA_GATEWAY_CONFIRM: 'destructive' } });
  ({ gateway } = fronted);
  const make = async (name: string, scope: string[], confirm?: 'off' | 'writes') =>
    createToken(gateway.dataRoot, { name, scope, expiresAt: null, confirm });
  tokens.free = await make('free', ['*'], 'off');
  tokens.strict = await make('strict', ['*'], 'writes');
  tokens.reads = await make('reads', ['memory:read']);
  const behaviour = join(gateway.dataRoot, 'behaviour.json');
  writeFileSync(
    behaviour,
    JSON.stringify({ tools: [{ name: 'wipe', description: 'Wipes.', inputSchema: { type: 'object' } }] }),
  );
  const upstreams = { foreign: { command: process.execPath, args: [fixture, behaviour] } };
  writeFileSync(join(gateway.dataRoot, 'upstreams.json'), JSON.stringify({ upstreams }));
  await vi.waitUntil(
    async () => {
      const all = [gateway.token, ...Object.values(tokens)];
      const lists = all.map(async (token) => rpc(gateway, 'tools/list', {}, { token }));
      const [listed, ...rest] = await Promise.all(lists);
      return rest.every(({ result }) => result) && JSON.stringify(listed).includes('"foreign_wipe"');
    },
    { timeout: 30_000 },
  );
});
afterAll(async () => fronted[Symbol.asyncDispose]());

async function trail(): Promise<string> {
  const headers = { authorization: `Bearer ${gateway.token}` };
  return (await fetch(`${gateway.url}/admin/audit`, { headers })).text();
}

async function create(name: string): Promise<{ readonly entityNames: readonly string[] }> {
  await callTool(gateway, 'create_entities', { entities: [{ name, entityType: 'test', observations: [] }] });
  return { entityNames: [name] };
}

async function isThere({ entityNames }: { readonly entityNames: readonly string[] }): Promise<boolean> {
  const { result } = await callTool(gateway, 'open_nodes', { names: entityNames });
  const found = result?.['structuredContent'] as { entities: object[] } | undefined;
  return (found?.entities.length ?? 0) > 0;
}

describe('In the newest revision', () => {
  const ask = async (name: string, args: object, more: object = {}, token = gateway.token) =>
    rpc(gateway, 'tools/call', { name, arguments: args, ...more }, { meta, token });
  const stateIn = ({ result }: Rpc) => result?.['requestState'] as string;

  test('a call that destroys is done when a person has agreed to it, and once', async () => {
    const args = await create('Agreed');
    const asked = await ask('delete_entities', args);
    expect(asked.result).toMatchObject({
      resultType: 'input_required',
      inputRequests: {
        confirm: {
          method: 'elicitation/create',
          params: { mode: 'form', requestedSchema: { type: 'object', required: ['confirm'] } },
        },
      },
    });
    const question = JSON.stringify(asked.result?.['inputRequests']);
    expect(question).toContain('delete_entities of memory');
    expect(question).toContain('Agreed');
    expect(await isThere(args)).toBe(true);

    const agreed = { requestState: stateIn(asked), inputResponses: yes };
    const done = await ask('delete_entities', args, agreed);
    expect(done.result).toMatchObject({ resultType: 'complete' });
    expect(codeOf(done)).toBeUndefined();
    expect(await isThere(args)).toBe(false);

    expect(codeOf(await ask('delete_entities', args, agreed))).toBe('forbidden');
  });

  test.each([
    ['declined', { confirm: { action: 'decline' } }],
    ['cancelled', { confirm: { action: 'cancel' } }],
    ['accepted with no', { confirm: { action: 'accept', content: { confirm: false } } }],
    ['accepted without a word', { confirm: { action: 'accept' } }],
    ['given under another name', { other: yes.confirm }],
    ['left out', undefined],
    ['no answer at all', 'yes'],
  ])('an answer that is %s does nothing', async (how, inputResponses) => {
    const args = await create(`Not ${how}`);
    const requestState = stateIn(await ask('delete_entities', args));
    const answer = await ask('delete_entities', args, { requestState, inputResponses });

    expect(codeOf(answer) ?? answer.error?.code).toBe('cancelled');
    expect(await isThere(args)).toBe(true);
    expect(codeOf(await ask('delete_entities', args, { requestState, inputResponses: yes }))).toBe(
      'forbidden',
    );
  });

  test('an answer counts for one call of one token alone', async () => {
    const [args, others] = [await create('One'), await create('Another')];
    const open = async () => stateIn(await ask('delete_entities', args));
    const agreed = async (name: string, to: object, requestState: string, token?: string) =>
      codeOf(await ask(name, to, { requestState, inputResponses: yes }, token));

    expect(await agreed('delete_entities', others, await open())).toBe('forbidden');
    expect(await agreed('undo', {}, await open())).toBe('forbidden');
    expect(await agreed('delete_entities', args, await open(), tokens.strict)).toBe('forbidden');
    expect(await agreed('delete_entities', args, `confirm-${'x'.repeat(32)}`)).toBe('forbidden');
    // What is no state of ours is no answer: the question is asked.
    const other = await ask('delete_entities', args, { requestState: 'somebody else', inputResponses: yes });
    expect(other.result?.['resultType']).toBe('input_required');
    expect([await isThere(args), await isThere(others)]).toEqual([true, true]);
  });

  test('reading and writing ask nobody, a token may say otherwise, and what is forbidden is not asked', async () => {
    expect(codeOf(await ask('open_nodes', { names: [] }))).toBeUndefined();
    const write = { entities: [{ name: 'Written', entityType: 'test', observations: [] }] };
    expect((await ask('create_entities', write)).result?.['resultType']).toBe('complete');
    expect((await ask('create_entities', write, {}, tokens.strict)).result?.['resultType']).toBe(
      'input_required',
    );
    expect((await ask('open_nodes', { names: [] }, {}, tokens.strict)).result?.['resultType']).toBe(
      'complete',
    );
    const args = await create('Free');
    expect(codeOf(await callTool(gateway, 'delete_entities', args, { token: tokens.free }))).toBeUndefined();
    expect(await isThere(args)).toBe(false);
    const forbidden = await ask('delete_entities', args, {}, tokens.reads);
    expect(codeOf(forbidden)).toBe('forbidden');
    expect(JSON.stringify(forbidden)).toContain('scope memory:destroy');
  });

  test('what call_tool calls, and tools of others, ask likewise', async () => {
    const args = await create('Found');
    const found = { name: 'delete_entities', arguments: args };
    const asked = await ask('call_tool', found);
    expect(JSON.stringify(asked.result?.['inputRequests'])).toContain('delete_entities of memory');
    const done = await ask('call_tool', found, { requestState: stateIn(asked), inputResponses: yes });
    expect(codeOf(done)).toBeUndefined();
    expect(await isThere(args)).toBe(false);

    const foreign = await ask('foreign_wipe', { all: true });
    expect(JSON.stringify(foreign.result?.['inputRequests'])).toContain('foreign_wipe of foreign');
    const wiped = await ask(
      'foreign_wipe',
      { all: true },
      { requestState: stateIn(foreign), inputResponses: yes },
    );
    expect(JSON.stringify(wiped.result)).toContain('wipe');
    expect(JSON.stringify(wiped.result)).not.toContain('requestState');
  });

  test('a client that cannot ask is refused, with a remedy', async () => {
    const args = await create('Unasked');
    for (const capabilities of [{}, { elicitation: { url: {} } }, { elicitation: 'form' }]) {
      const own = { 'io.modelcontextprotocol/clientCapabilities': capabilities };
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const answer = await callTool(gateway, 'delete_entities', args, { meta: own });
      expect(codeOf(answer)).toBe('forbidden');
      expect(JSON.stringify(answer)).toContain('--confirm off');
    }
    expect(await isThere(args)).toBe(true);
  });
});

describe('In a session of an older revision', () => {
  const session = async (capabilities: object): Promise<Record<string, string>> => {
    const begun = await send(
      gateway,
      'initialize',
      { protocolVersion: '2025-11-25', capabilities, clientInfo: { name: 'test', version: '1' } },
      { era: 'legacy' },
    );
    return { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' };
  };
  const say = async (headers: Record<string, string>, message: object) =>
    fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${gateway.token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-11-25',
        ...headers,
      },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    });
  const begin = async (headers: Record<string, string>, name: string, args: object, id = 5) => {
    const stream = messagesIn(
      await send(gateway, 'tools/call', { name, arguments: args }, { era: 'legacy', headers, id }),
    );
    return { stream, question: (await stream.next()).value as Rpc };
  };

  test.each([
    ['agrees', { result: yes.confirm }, undefined],
    ['declines', { result: { action: 'decline' } }, 'cancelled'],
    ['cannot answer', { error: { code: -32_601, message: 'no' } }, 'cancelled'],
  ])('the client asks in mid-call, and its person %s', async (how, answer, code) => {
    const headers = await session({ elicitation: {} });
    const args = await create(`Legacy ${how}`);
    const { stream, question } = await begin(headers, 'delete_entities', args);
    expect(question).toMatchObject({ method: 'elicitation/create', params: { mode: 'form' } });
    expect(await isThere(args)).toBe(true);

    // Another session cannot answer for it.
    await say(await session({ elicitation: {} }), { id: question.id, result: yes.confirm });
    expect(await isThere(args)).toBe(true);
    expect((await say(headers, { id: question.id, ...answer })).status).toBe(202);

    const done = (await stream.next()).value as Rpc;
    expect(done.id).toBe(5);
    expect(codeOf(done)).toBe(code);
    expect(await isThere(args)).toBe(code !== undefined);
  });

  test('a client that is cut off while it asks has done nothing, whatever it says afterwards', async () => {
    const headers = await session({ elicitation: {} });
    await create('Cut off');
    const observations = [{ entityName: 'Cut off', contents: ['stays'] }];
    await callTool(gateway, 'add_observations', { observations });
    const deletions = [{ entityName: 'Cut off', observations: ['stays'] }];
    const leaving = new AbortController();
    const params = { name: 'delete_observations', arguments: { deletions } };
    const options = { era: 'legacy', headers, id: 11, signal: leaving.signal } as const;
    const stream = messagesIn(await send(gateway, 'tools/call', params, options));
    const { id } = (await stream.next()).value as Rpc;

    leaving.abort();
    await expect(stream.next()).rejects.toThrow('aborted');
    await vi.waitFor(async () =>
      expect(await trail()).toContain('"delete_observations","outcome":"cancelled"'),
    );
    await say(headers, { id, result: yes.confirm });

    expect(JSON.stringify(await callTool(gateway, 'open_nodes', { names: ['Cut off'] }))).toContain('stays');
  });

  test('a call that is taken back while it waits does nothing', async () => {
    const headers = await session({ elicitation: { form: {} } });
    const args = await create('Taken back');
    const { stream, question } = await begin(headers, 'delete_entities', args, 9);
    await say(headers, { method: 'notifications/cancelled', params: { requestId: 9 } });

    expect(codeOf((await stream.next()).value as Rpc)).toBe('cancelled');
    await say(headers, { id: question.id, result: yes.confirm });
    expect(await isThere(args)).toBe(true);
  });

  test('tools of others, and what call_tool calls, ask likewise', async () => {
    const headers = await session({ elicitation: {} });
    for (const [name, args] of [
      ['foreign_wipe', { all: true }],
      ['call_tool', { name: 'foreign_wipe', arguments: { all: true } }],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { stream, question } = await begin(headers, name, args);
      expect(JSON.stringify(question)).toContain('foreign_wipe of foreign');
      // oxlint-disable-next-line no-await-in-loop -- likewise
      await say(headers, { id: question.id, result: yes.confirm });
      // oxlint-disable-next-line no-await-in-loop -- likewise
      expect(JSON.stringify((await stream.next()).value)).toContain('\\"name\\":\\"wipe\\"');
    }
  });

  test('without a session, in a batch, or with a client that shows no forms, nobody can be asked', async () => {
    const args = await create('Alone');
    const call = { name: 'delete_entities', arguments: args };
    const none = await rpc(gateway, 'tools/call', call, { era: 'legacy' });
    const dumb = await rpc(gateway, 'tools/call', call, { era: 'legacy', headers: await session({}) });
    expect([codeOf(none), codeOf(dumb)]).toEqual(['forbidden', 'forbidden']);
    const batch = await fetch(`${gateway.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${gateway.token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2025-03-26',
        ...(await session({ elicitation: {} })),
      },
      body: JSON.stringify([1, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: call }))),
    });
    const text = await batch.text();
    expect(text).toMatch(/forbidden|Batch/i);
    expect(await isThere(args)).toBe(true);
  });
});

test('questions and answers are in the audit trail', async () => {
  await vi.waitFor(async () => {
    const told = await trail();
    expect(told).toMatch(/"elicitation\/create"[^}]*"delete_entities"[^}]*"ok"/);
    expect(told).toMatch(/"tools\/call"[^}]*"delete_entities"[^}]*"cancelled"/);
    expect(told).toMatch(/"tools\/call"[^}]*"delete_entities"[^}]*"forbidden"/);
  });
});

describe('A question', () => {
  const caller = { name: 'a', hash: 'a', scope: ['*'] };
  const waitingOf = ({
    exchange,
    response,
    version = '2026-07-28',
    params = {},
  }: {
    readonly exchange: object;
    readonly response: object;
    readonly version?: string;
    readonly params?: object;
  }): Waiting => ({
    asked: { method: 'tools/call', params: { name: 't', arguments: {}, ...params }, version, id: 1 },
    admitted: { exchange, message: {}, body: Buffer.alloc(0) } as unknown as Admitted,
    response: response as ServerResponse,
    tool: 't',
    service: 's',
    arguments: { hidden: 'a\u202eb' },
    errand: {
      method: 'tools/call',
      effect: 'destroy',
      id: 1,
      protocolVersion: '',
      origin: undefined,
      whenGone: () => () => {},
    },
    capabilities: { elicitation: {} },
    go: () => {},
    answer: async () => ({}),
    recordQuestion: () => {},
    recordRefusal: () => {},
  });
  /** One round: what is asked, or whether it went on or why not. */
  const round = (confirming: Confirming, params: object) => {
    let outcome: unknown;
    const response = {
      writeHead: () => response,
      end: (text: string) => void (outcome ??= JSON.parse(text)),
    };
    const exchange = { caller, takesEvents: true, query: '', trace: { traceparent: '', traceId: '' } };
    confirming.ask({
      ...waitingOf({ exchange, response, params }),
      go: () => (outcome = 'went on'),
      recordRefusal: ({ code }) => (outcome = code),
    });
    return outcome as { result: { requestState: string; inputRequests: object } };
  };

  test('is answered within five minutes; a token has a hundred open, and the oldest gives way', () => {
    let nowMs = 0;
    const confirming = new Confirming('destructive', () => nowMs);
    const open = () => round(confirming, {}).result.requestState;
    const answer = (requestState: string) => round(confirming, { requestState, inputResponses: yes });
    const [late, inTime] = [open(), open()];
    nowMs = 5 * 60_000 - 1;
    expect(answer(inTime)).toBe('went on');
    nowMs += 1;
    expect(answer(late)).toBe('forbidden');
    const states = Array.from({ length: 101 }, open);
    expect(answer(states[0] ?? '')).toBe('forbidden');
    expect(answer(states[1] ?? '')).toBe('went on');
    expect(answer(states[100] ?? '')).toBe('went on');
  });

  test('in a session is left after five minutes, and kept alive until then', async () => {
    vi.useFakeTimers();
    const written: string[] = [];
    const ended = Promise.withResolvers<void>();
    let outcome: string | undefined;
    const response = {
      writeHead: () => response,
      write: (text: string) => void written.push(text),
      once: () => response,
      end: () => ended.resolve(),
    };
    const session = 'session';
    const exchange = {
      caller,
      session,
      takesEvents: true,
      query: '',
      trace: { traceparent: '', traceId: '' },
    };
    new Confirming('destructive', () => 0).ask({
      ...waitingOf({ exchange, response, version: '2025-11-25' }),
      recordRefusal: ({ code }) => (outcome = code),
    });
    await vi.advanceTimersByTimeAsync(5 * 60_000 - 1);
    expect([outcome, written.filter((text) => text.startsWith(': ')).length]).toEqual([undefined, 19]);
    await vi.advanceTimersByTimeAsync(1);
    vi.useRealTimers();
    await ended.promise;

    expect(outcome).toBe('cancelled');
    expect(written.at(-1)).toContain('Nobody agreed to t');
  });

  test('shows characters that would hide or turn round what a person reads', () => {
    const asked = round(new Confirming('writes', () => 0), {});
    expect(JSON.stringify(asked)).toContain(String.raw`a\\u{202e}b`);
  });
});
