/** How a service ends: nothing that was promised is dropped, and nobody is kept waiting. */
import { once } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';

import { expect, test } from 'vitest';

import { eras, headersOf, messageOf, messagesIn, type Era, type Rpc } from '../scripts/bench/message.ts';
import { callTool, codeOf, send } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

/** Far less than any of the waits that would show: 10 s for calls, 75 s for idle connections. */
const promptMs = 2_000;

async function msOf(work: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work;
  return performance.now() - startedAt;
}

/** A call on a connection that the client keeps open, as browsers and SDKs do. */
async function callOnKeptConnection(
  served: Served,
  agent: Agent,
  name: string,
  args: object,
  era: Era,
): Promise<string> {
  const message = messageOf('tools/call', { name, arguments: args }, { era });
  const { hostname, port } = new URL(served.url);
  const outgoing = request({
    agent,
    hostname,
    port,
    path: '/mcp',
    method: 'POST',
    headers: headersOf(served, message, { era }),
  });
  outgoing.end(JSON.stringify(message));
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return (await incoming.toArray()).join('');
}

test.each(eras)('A call that runs when the service stops gets its answer (%s)', async (era) => {
  const { service, moments } = wireService();
  await using served = await serve(service);
  using agent = { pool: new Agent({ keepAlive: true }), [Symbol.dispose]: () => agent.pool.destroy() };
  const held = callOnKeptConnection(served, agent.pool, 'hold', { id: 'a' }, era);
  await moments.seen('a started');

  const stopped = served.stop();
  const socket = connect(Number(new URL(served.url).port), '127.0.0.1');
  const [refused] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  moments.happen('a released');

  expect(await held).toContain('"structuredContent":{}');
  expect(refused.code).toBe('ECONNREFUSED');
  expect(await msOf(stopped)).toBeLessThan(promptMs);
});

test.each(eras.flatMap((era) => [true, false].map((hotPath) => ({ era, hotPath }))))(
  'A call on a kept connection is answered while the service stops, and told that it is the last there (%o)',
  async ({ era, hotPath }) => {
    const { service, moments } = wireService();
    await using served = await serve(service, {}, 0, { hotPath });
    using agent = {
      pool: new Agent({ keepAlive: true, maxSockets: 1 }),
      [Symbol.dispose]: () => agent.pool.destroy(),
    };
    const ask = async (name: string, args: object) => {
      const message = messageOf('tools/call', { name, arguments: args }, { era });
      const headers = headersOf(served, message, { era });
      const outgoing = request(`${served.url}/mcp`, { agent: agent.pool, method: 'POST', headers });
      outgoing.end(JSON.stringify(message));
      const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
      await incoming.toArray();
      return { isReused: outgoing.reusedSocket, connection: incoming.headers.connection };
    };
    const held = callTool(served, 'hold', { id: 'a' });
    await moments.seen('a started');
    expect(await ask('echo', { text: 'x' })).toEqual({ isReused: false, connection: 'keep-alive' });

    const stopped = served.stop();
    const last = await ask('echo', { text: 'x' });
    moments.happen('a released');
    await Promise.all([held, stopped]);

    expect(last).toEqual({ isReused: true, connection: 'close' });
  },
);

test('A call that does not end is cut off when its time is up, and its work is stopped', async () => {
  const { service, moments } = wireService();
  await using served = await serve(service, {}, 0, { limits: { drainMs: 200 } });
  const held = callTool(served, 'wait_for_signal', { id: 'a' }).catch((error: Error) => error.name);
  await moments.seen('a started');

  const tookMs = await msOf(served.stop());

  expect(tookMs).toBeLessThan(promptMs);
  await moments.seen('a aborted');
  expect(await held).toBe('TypeError'); // what fetch says of a connection that ended
});

test('Connections that are open and idle do not delay the stop', async () => {
  await using served = await serve(wireService().service);
  using agent = { pool: new Agent({ keepAlive: true }), [Symbol.dispose]: () => agent.pool.destroy() };
  await callOnKeptConnection(served, agent.pool, 'echo', { nonce: 'x' }, 'modern');
  const silent = connect(Number(new URL(served.url).port), '127.0.0.1');
  await once(silent, 'connect');

  expect(await msOf(served.stop())).toBeLessThan(promptMs);

  silent.destroy();
});

test('Who had connected in the last moment, and asks in the next, is answered', async () => {
  await using served = await serve(wireService().service);
  const late = connect(Number(new URL(served.url).port), '127.0.0.1');
  await once(late, 'connect');

  const stopped = served.stop();
  late.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [answer] = (await once(late, 'data')) as [Buffer];

  expect(answer.toString()).toMatch(/^HTTP\/1.1 200 /);
  await stopped;
});

test('Those who only listen are told the last word of the protocol, and at once', async () => {
  await using served = await serve(wireService().service);
  const stream = await send(
    served,
    'subscriptions/listen',
    { notifications: { toolsListChanged: true } },
    { id: 'mine' },
  );
  const messages = messagesIn(stream);
  await messages.next();

  const tookMs = await msOf(served.stop());
  const rest = await Array.fromAsync(messages as AsyncIterable<Rpc>);

  expect(rest.at(-1)).toMatchObject({ id: 'mine', result: { resultType: 'complete' } });
  expect(tookMs).toBeLessThan(promptMs);
});

test('Listeners hear what happens while they listen, tagged as theirs', async () => {
  await using served = await serve(wireService().service);
  const stream = await send(
    served,
    'subscriptions/listen',
    { notifications: { resourceSubscriptions: ['wire://document'] } },
    { id: 'mine' },
  );
  const messages = messagesIn(stream);
  await messages.next();

  await callTool(served, 'touch_document');
  const { value: heard } = await messages.next();

  expect(heard).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri: 'wire://document' },
  });
  await messages.return(undefined);
});

test('Streams of older clients in a session end with the service too', async () => {
  await using served = await serve(wireService({ sessions: { idleMs: 60_000, cap: 10 } }).service);
  const opened = await send(
    served,
    'initialize',
    { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    { era: 'legacy' },
  );
  await opened.text();
  const stream = await fetch(`${served.url}/mcp`, {
    headers: {
      authorization: `Bearer ${served.token}`,
      accept: 'text/event-stream',
      'mcp-session-id': opened.headers.get('mcp-session-id') ?? '',
    },
  });
  expect(stream.status).toBe(200);

  expect(await msOf(served.stop())).toBeLessThan(promptMs);

  await stream.text();
});

test('A service that is stopping says that it is not ready', async () => {
  const { service, moments } = wireService();
  await using served = await serve(service);
  const { hostname, port } = new URL(served.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write('GET /ready HTTP/1.1\r\nhost: localhost\r\n'); // begun, so that it is not idle
  const held = callTool(served, 'hold', { id: 'a' });
  await moments.seen('a started');

  const stopped = served.stop();
  socket.end('\r\n');
  const said = (await socket.toArray()).join('');
  moments.happen('a released');

  expect(said).toMatch(/^HTTP\/1\.1 503 /);
  expect(said).toContain('stopping');
  expect(codeOf(await held)).toBeUndefined();
  await stopped;
});
