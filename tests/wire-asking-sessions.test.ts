/** Sessions of clients of 2025-11-25 and older, which only a service that asks back in mid-call has. */
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';

import { messagesIn } from '../scripts/bench/message.ts';
import { callTool, send, type Options } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

async function serveSessions(sessions = { idleMs: 60_000, cap: 10 }): Promise<Served> {
  return serve(wireService({ sessions }).service);
}

async function initialize(
  served: Served,
  options: Options = {},
): Promise<{ status: number; session: string }> {
  const response = await send(
    served,
    'initialize',
    { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    { ...options, era: 'legacy' },
  );
  await response.text();
  return { status: response.status, session: response.headers.get('mcp-session-id') ?? '' };
}

function inSession(session: string, options: Options = {}): Options {
  return { ...options, era: 'legacy', headers: { 'mcp-session-id': session } };
}

async function statusIn(served: Served, session: string, options: Options = {}): Promise<number> {
  const response = await send(served, 'tools/list', {}, inSession(session, options));
  await response.text();
  return response.status;
}

test('A session goes on from request to request', async () => {
  await using served = await serveSessions();
  const { session } = await initialize(served);

  const answer = await callTool(served, 'echo', { nonce: 'x' }, inSession(session));

  expect(answer.result?.['structuredContent']).toEqual({ nonce: 'x' });
});

test('A session that nobody has opened is not found, and a request without one is told to open it', async () => {
  await using served = await serveSessions();

  expect(await statusIn(served, 'made-up')).toBe(404);
  expect((await send(served, 'tools/list', {}, { era: 'legacy' })).status).toBe(400);
});

test('Sessions beyond the cap are refused, and one that ended makes room', async () => {
  await using served = await serveSessions({ idleMs: 60_000, cap: 1 });
  const { session } = await initialize(served);
  expect((await initialize(served)).status).toBe(503);

  await fetch(`${served.url}/mcp`, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${served.token}`, 'mcp-session-id': session },
  });

  expect((await initialize(served)).status).toBe(200);
});

test('Sessions that are asked for at once do not pass the cap', async () => {
  await using served = await serveSessions({ idleMs: 60_000, cap: 2 });

  const opened = await Promise.all(Array.from({ length: 10 }, async () => initialize(served)));

  expect(opened.filter(({ status }) => status === 200).length).toBe(2);
});

test('A session that nobody uses ends', async () => {
  await using served = await serveSessions({ idleMs: 100, cap: 1 });
  const { session } = await initialize(served);

  while ((await initialize(served)).status !== 200) await sleep(20);

  expect(await statusIn(served, session)).toBe(404);
});

test('A session belongs to the token that opened it, not to a later one of the same name', async () => {
  await using served = await serveSessions();
  const make = async () => {
    const token = await createToken(served.dataRoot, { name: 'twin', scope: ['*'], expiresAt: null });
    while ((await send(served, 'tools/list', {}, { token })).status !== 200) await sleep(20);
    return token;
  };
  const first = await make();
  const { session } = await initialize(served, { token: first });
  expect(await statusIn(served, session, { token: first })).toBe(200);

  await revokeToken(served.dataRoot, 'twin');
  const second = await make();

  expect(await statusIn(served, session, { token: second })).toBe(404);
});

test('A subscriber in a session hears of the resource it asked for', async () => {
  await using served = await serveSessions();
  const { session } = await initialize(served);
  await (await send(served, 'resources/subscribe', { uri: 'wire://document' }, inSession(session))).text();
  const stream = await fetch(`${served.url}/mcp`, {
    headers: {
      authorization: `Bearer ${served.token}`,
      accept: 'text/event-stream',
      'mcp-session-id': session,
    },
  });
  const messages = messagesIn(stream);

  await callTool(served, 'touch_document');
  const { value: heard } = await messages.next();

  expect(heard).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri: 'wire://document' },
  });
  await messages.return(undefined);
});
