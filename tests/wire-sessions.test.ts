/** Sessions of clients of 2025-11-25 and older, which every service has. */
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test, vi } from 'vitest';

import { createToken } from '#runtime/access/tokens.ts';
import { startService } from '#runtime/process/run.ts';

import { messagesIn, type Rpc } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send, type Options } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

async function initialize(
  served: Served,
  options: Options = {},
): Promise<{ id: string; result: Rpc['result'] }> {
  const response = await send(
    served,
    'initialize',
    { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    { ...options, era: 'legacy' },
  );
  let result: Rpc['result'];
  for await (const message of messagesIn(response)) result = message.result;
  return { id: response.headers.get('mcp-session-id') ?? '', result };
}

const inSession = (id: string, options: Options = {}): Options => ({
  ...options,
  era: 'legacy',
  headers: { 'mcp-session-id': id },
});

async function statusIn(served: Served, id: string, options: Options = {}): Promise<number> {
  const response = await send(served, 'tools/list', {}, inSession(id, options));
  await response.text();
  return response.status;
}

const bare = async (served: Served, method: string, id: string) =>
  fetch(`${served.url}/mcp`, {
    method,
    headers: {
      authorization: `Bearer ${served.token}`,
      accept: 'text/event-stream',
      'mcp-session-id': id,
    },
  });

async function notify(served: Served, id: string, method: string, params: object): Promise<number> {
  const response = await fetch(`${served.url}/mcp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${served.token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
      'mcp-session-id': id,
    },
    body: JSON.stringify({ jsonrpc: '2.0', method, params }),
  });
  await response.text();
  return response.status;
}

describe('A session', () => {
  test('is begun by initialize, and goes on from request to request, on the short way too', async () => {
    await using served = await serve(wireService().service);
    const { id } = await initialize(served);

    const answer = await callTool(served, 'echo', { nonce: 'x' }, inSession(id));

    expect(id).toMatch(/^[\x21-\x7e]+$/);
    expect(answer.result?.['structuredContent']).toEqual({ nonce: 'x' });
    expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(
      /flotilla_plain_calls_total\{[^}]*way="short"[^}]*\} 1/,
    );
  });

  test('is not needed: a client that keeps none is answered', async () => {
    await using served = await serve(wireService().service);

    expect(await rpc(served, 'tools/list', {}, { era: 'legacy' })).toHaveProperty('result');
  });

  test('outlives the process', async () => {
    await using first = await serve(wireService().service);
    const { id } = await initialize(first);
    await first.stop();
    const again = await startService(wireService().service, 0, {
      FLOTILLA_DATA: first.dataRoot,
      FLOTILLA_LOG_LEVEL: 'error',
    });
    await using _again = { [Symbol.asyncDispose]: async () => again.stop() };
    const served = { ...first, url: `http://127.0.0.1:${again.port}` };

    expect(await statusIn(served, id)).toBe(200);
    // What it listened for is forgotten, and that is said.
    expect((await bare(served, 'GET', id)).status).toBe(404);
  });

  test.each(['made-up', '', 'a.b', 'm0-xxxxxxxxxxxxxxxxxxxxxx.xxxxxxxxxxxxxxxxxxxxxx', 'é'.repeat(3)])(
    'that was never begun is not found: %j',
    async (id) => {
      await using served = await serve(wireService().service);
      const header = encodeURIComponent(id);

      expect(await statusIn(served, header)).toBe(404);
      expect((await bare(served, 'GET', header)).status).toBe(404);
      expect((await bare(served, 'DELETE', header)).status).toBe(404);
    },
  );

  test('belongs to the token that began it', async () => {
    await using served = await serve(wireService().service);
    const token = await createToken(served.dataRoot, { name: 'other', scope: ['*'], expiresAt: null });
    const { id } = await initialize(served);

    await vi.waitFor(async () => expect(await statusIn(served, id, { token })).toBe(404));
    expect(await statusIn(served, id)).toBe(200);
  });

  test('that its client has ended is not found', async () => {
    await using served = await serve(wireService().service);
    const { id } = await initialize(served);
    const other = await initialize(served);
    expect(await statusIn(served, id)).toBe(200);

    expect((await bare(served, 'DELETE', id)).status).toBe(204);

    expect(await statusIn(served, id)).toBe(404);
    expect(await statusIn(served, other.id)).toBe(200);
  });
});

describe('A call in a session', () => {
  test('goes on when its client is cut off', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    const { id } = await initialize(served);
    const cut = new AbortController();
    const call = callTool(served, 'hold', { id: 'a' }, { ...inSession(id), signal: cut.signal }).catch(
      () => 'cut',
    );
    await moments.seen('a started');

    cut.abort();
    expect(await call).toBe('cut');
    await sleep(50);
    moments.happen('a released');

    await vi.waitFor(async () =>
      expect(await (await fetch(`${served.url}/metrics`)).text()).toMatch(
        /operation_duration_seconds_count\{[^}]*gen_ai_tool_name="hold"[^}]*error_type=""[^}]*\} 1/,
      ),
    );
  });

  test.each(['short', 'long'])('is stopped at its client’s word, on the %s way', async (way) => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    const { id } = await initialize(served);
    const options = { ...inSession(id), id: 'call-7', ...(way === 'long' && { meta: { progressToken: 1 } }) };
    const call = callTool(served, 'wait_for_signal', { id: 'b' }, options);
    await moments.seen('b started');

    expect(await notify(served, id, 'notifications/cancelled', { requestId: 'another' })).toBe(202);
    expect(await notify(served, id, 'notifications/cancelled', { requestId: 'call-7' })).toBe(202);
    await moments.seen('b aborted');

    expect(codeOf(await call)).toBe('cancelled');
  });

  test('is not stopped by another session of the same token that uses the same id', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    const [mine, other] = [await initialize(served), await initialize(served)];
    const call = callTool(served, 'hold', { id: 'c' }, { ...inSession(mine.id), id: 1 });
    await moments.seen('c started');

    await notify(served, other.id, 'notifications/cancelled', { requestId: 1 });
    moments.happen('c released');

    expect(codeOf(await call)).toBeUndefined();
  });

  test('is stopped when the session is ended', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service);
    const { id } = await initialize(served);
    const call = callTool(served, 'wait_for_signal', { id: 'd' }, inSession(id));
    await moments.seen('d started');

    await bare(served, 'DELETE', id);

    expect(codeOf(await call)).toBe('cancelled');
  });
});

describe('A subscription in a session', () => {
  const subscribe = async (served: Served, id: string, uri = 'wire://document') =>
    rpc(served, 'resources/subscribe', { uri }, inSession(id));

  test('is offered, and tells of what changes, until it is taken back', async () => {
    await using served = await serve(wireService().service);
    const { id, result } = await initialize(served);
    expect(result?.['capabilities']).toMatchObject({ resources: { subscribe: true } });
    expect(await subscribe(served, id)).toHaveProperty('result');
    const stream = await bare(served, 'GET', id);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    const messages = messagesIn(stream);

    await callTool(served, 'touch_document');
    expect((await messages.next()).value).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/resources/updated',
      params: { uri: 'wire://document' },
    });

    await rpc(served, 'resources/unsubscribe', { uri: 'wire://document' }, inSession(id));
    await callTool(served, 'touch_document');
    await subscribe(served, id);
    await callTool(served, 'touch_document');
    await served.stop();
    const rest: unknown[] = [];
    for await (const message of messages) rest.push(message.method);
    expect(rest).toEqual(['notifications/resources/updated']);
  });

  test('tells nobody else', async () => {
    await using served = await serve(wireService().service);
    const [mine, other] = [await initialize(served), await initialize(served)];
    await subscribe(served, mine.id);
    const stream = await bare(served, 'GET', other.id);

    await callTool(served, 'touch_document');
    await served.stop();

    expect(await stream.text()).not.toContain('wire://document');
  });

  test('without a session is refused, and says what to do', async () => {
    await using served = await serve(wireService().service);

    const { error } = await rpc(served, 'resources/subscribe', { uri: 'wire://document' }, { era: 'legacy' });

    expect(error).toMatchObject({ code: -32_600, message: expect.stringContaining('initialize') as string });
  });

  test('of too many resources is refused, and the others stay', async () => {
    await using served = await serve(wireService().service);
    const { id } = await initialize(served);
    for (let number = 0; number < 1_000; number += 1) await subscribe(served, id, `wire://page/${number}`);

    const beyond = await subscribe(served, id);
    const again = await subscribe(served, id, 'wire://page/1');

    expect(beyond.error).toMatchObject({ message: expect.stringContaining('unsubscribe') as string });
    expect(again).toHaveProperty('result');
  });
});
