/** What HTTP lets through to the protocol, and what it cuts off. */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';

import { describe, expect, test } from 'vitest';

import { eras, headersOf, messageOf } from '../scripts/bench/message.ts';
import { callTool, rpc, send } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Like `send`, but with headers that `fetch` sets itself. */
async function sendRaw(
  served: Served,
  headers: Readonly<Record<string, string | undefined>>,
  message: object,
): Promise<Answer & { readonly type: string | undefined }> {
  const { hostname, port } = new URL(served.url);
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  const outgoing = request({ hostname, port, path: '/mcp', method: 'POST', headers: given });
  outgoing.end(JSON.stringify(message));
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = (await incoming.toArray()).join('');
  return { status: incoming.statusCode ?? 0, body, type: incoming.headers['content-type'] };
}

/** As it is sent to list the tools, with other headers. */
async function sendAs(
  served: Served,
  headers: Readonly<Record<string, string | undefined>>,
  path = '/mcp',
): Promise<Answer> {
  const message = messageOf('tools/list', {});
  const { hostname, port } = new URL(served.url);
  const outgoing = request({
    hostname,
    port,
    path,
    method: 'POST',
    headers: { ...headersOf(served, message), ...headers },
  });
  outgoing.end(JSON.stringify(message));
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: incoming.statusCode ?? 0, body: (await incoming.toArray()).join('') };
}

function portOf(served: Served): number {
  return Number(new URL(served.url).port);
}

async function openSocket(served: Served): Promise<Socket & AsyncDisposable> {
  const socket = connect(portOf(served), '127.0.0.1');
  socket.on('error', () => {}); // a reset is one of the ways to be cut off
  await once(socket, 'connect');
  return Object.assign(socket, {
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed(socket);
    },
  });
}

/** Unlike `once`, it does not reject when the end was a reset. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

/** All that the server says until it closes the connection. */
async function untilClosed(socket: Socket): Promise<string> {
  let said = '';
  socket.on('data', (bytes) => {
    said += bytes.toString();
  });
  await closed(socket);
  return said;
}

describe('A request', () => {
  test.each([
    { host: 'evil.example' },
    { host: 'evil.example:4321' },
    { host: '127.0.0.1.evil.example' },
    { host: 'localhost.evil.example' },
    { host: '192.168.1.1' },
    { origin: 'https://evil.example' },
    { origin: 'http://localhost.evil.example' },
    { origin: 'null' },
    { origin: 'file://' },
  ])('from another site is refused although its token is good: %o', async (headers) => {
    await using served = await serve(wireService().service);

    const { status, body } = await sendAs(served, headers);

    expect(status).toBe(403);
    expect(body).not.toContain('echo');
  });

  test.each(['user@evil.example', '127.0.0.1@evil.example', 'localhost/../evil'])(
    'with a Host that none can have is refused: %s',
    async (host) => {
      await using served = await serve(wireService().service);

      expect(await sendAs(served, { host })).toMatchObject({ status: 400 });
    },
  );

  test.each(['/health', '/ready', '/metrics'])('from another site is refused at %s too', async (path) => {
    await using served = await serve(wireService().service);

    expect(await sendAs(served, { host: 'evil.example' }, path)).toMatchObject({ status: 403 });
  });

  test.each([
    { host: 'localhost' },
    { host: 'localhost:1' },
    { host: '127.0.0.1:4321' },
    { host: '[::1]:4321' },
    { host: 'LOCALHOST' },
    { origin: 'http://localhost:6274' },
    { origin: 'http://127.0.0.1' },
    { origin: 'http://[::1]:80' },
  ])('from this host is let in: %o', async (headers) => {
    await using served = await serve(wireService().service);

    expect(await sendAs(served, headers)).toMatchObject({ status: 200 });
  });

  test('cannot reach the service at any other address of this host', async () => {
    await using served = await serve(wireService().service);
    const others = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4')
      .map(({ address }) => address);

    for (const address of [...others, '127.0.0.2']) {
      const socket = connect(portOf(served), address);
      const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
      expect(error.code, address).toBe('ECONNREFUSED');
    }
  });

  test.each(['/nowhere', '/mcp/', '/mcp/x', '/.well-known/oauth-protected-resource', '/admin/restore'])(
    'to %s finds nothing',
    async (path) => {
      await using served = await serve(wireService().service);

      expect(await sendAs(served, {}, path)).toMatchObject({ status: 404 });
    },
  );

  test.each(['GET', 'DELETE', 'PUT', 'PATCH', 'OPTIONS'])(
    'with the method %s is answered 405',
    async (method) => {
      await using served = await serve(wireService().service);

      const response = await fetch(`${served.url}/mcp`, {
        method,
        headers: { authorization: `Bearer ${served.token}` },
      });

      expect(response.status).toBe(405);
      expect(await response.text()).not.toMatch(/-320[01]\d/);
    },
  );

  test('for a method that the protocol does not have is answered 404 and -32601, under its id', async () => {
    await using served = await serve(wireService().service);

    const response = await send(served, 'no/such', {}, { id: 'mine' });

    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ id: 'mine', error: { code: -32_601 } });
  });
});

describe('A client that says what it accepts', () => {
  const asks = ['*/*', 'application/json', 'application/*', undefined, 'text/html, */*;q=0.1'];
  const bothEras = eras.flatMap((era) => asks.map((accept) => ({ era, accept })));

  test.each(bothEras)('as $accept gets JSON, in $era', async ({ era, accept }) => {
    await using served = await serve(wireService().service);
    const call = messageOf('tools/call', { name: 'echo', arguments: { nonce: 'x' } }, { era });
    const messages = [
      call,
      messageOf('tools/list', {}, { era }),
      messageOf('resources/read', { uri: 'wire://page/1' }, { era }),
      // Carries what the short way does not take.
      { ...call, params: { ...call.params, _meta: { ...call.params['_meta'], progressToken: 1 } } },
    ];

    for (const message of messages) {
      const { status, body, type } = await sendRaw(
        served,
        { ...headersOf(served, message, { era }), accept },
        message,
      );
      expect([status, type], message.method).toEqual([200, 'application/json']);
      expect(JSON.parse(body), message.method).toHaveProperty('result');
    }
  });

  test('as a stream too gets what its revision sends', async () => {
    await using served = await serve(wireService().service);
    const message = messageOf('tools/list', {}, { era: 'legacy' });

    for (const accept of [
      'application/json, text/event-stream',
      'text/event-stream,application/json;q=0.9',
    ]) {
      const { type } = await sendRaw(
        served,
        { ...headersOf(served, message, { era: 'legacy' }), accept },
        message,
      );
      expect(type).toBe('text/event-stream');
    }
  });
});

describe('A page of an origin that may call', () => {
  const allowed = {
    FLOTILLA_ALLOWED_ORIGINS: 'https://app.example',
    FLOTILLA_ALLOWED_HOSTS: 'tools.example',
  };

  test.each([
    [{}, 'http://localhost:5173'],
    [allowed, 'https://app.example'],
  ])('is told so before it calls, and reads the answer (%o, %s)', async (settings, origin) => {
    await using served = await serve(wireService().service, settings);

    const asked = await fetch(`${served.url}/mcp`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    const answered = await send(served, 'tools/list', {}, { headers: { origin } });
    const refused = await send(
      served,
      'tools/list',
      {},
      { headers: { origin, 'content-type': 'text/plain' } },
    );

    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-headers')).toContain('authorization');
    for (const response of [asked, answered, refused])
      expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect([answered.status, refused.status]).toEqual([200, 415]);
  });

  test.each(['https://evil.example', 'https://app.example.evil.example', 'http://app.example'])(
    'is not: %s',
    async (origin) => {
      await using served = await serve(wireService().service, allowed);

      const asked = await fetch(`${served.url}/mcp`, { method: 'OPTIONS', headers: { origin } });

      expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([403, null]);
    },
  );

  test('under a host name that the operator allows is answered, under another is not', async () => {
    await using served = await serve(wireService().service, allowed);

    expect(await sendAs(served, { host: 'tools.example' })).toMatchObject({ status: 200 });
    expect(await sendAs(served, { host: 'evil.example' })).toMatchObject({ status: 403 });
  });
});

describe('A body', () => {
  const post = async (
    served: Served,
    body: string | Uint8Array<ArrayBuffer> | ReadableStream,
    headers: Readonly<Record<string, string>> = {},
  ) =>
    fetch(`${served.url}/mcp`, {
      method: 'POST',
      headers: { ...headersOf(served, messageOf('tools/list', {})), ...headers },
      body,
      ...(body instanceof ReadableStream && { duplex: 'half' }),
    });

  test.each(['{', '', 'undefined', '{"jsonrpc":"2.0"'])(
    'that is no JSON is answered 400: %j',
    async (body) => {
      await using served = await serve(wireService().service);

      const response = await post(served, body);

      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: -32_700 } });
    },
  );

  test.each(['null', '[]', '1', '"x"', '{}', '[1]', '{"jsonrpc":"1.0","id":1,"method":"ping"}'])(
    'that is no message is answered 400: %s',
    async (body) => {
      await using served = await serve(wireService().service);

      expect((await post(served, body)).status).toBe(400);
    },
  );

  test('of another type than JSON is answered 415', async () => {
    await using served = await serve(wireService().service);

    const answer = await post(served, '{}', { 'content-type': 'text/plain' });

    expect(answer.status).toBe(415);
    expect(await answer.text()).toContain('"code":-32600');
  });

  test('over the limit is answered 413, whether its length is declared or not, and heard to its end', async () => {
    await using served = await serve(wireService({ maxBodyBytes: 1_000 }).service);
    const long = new TextEncoder().encode(
      JSON.stringify({ ...messageOf('tools/list', {}), padding: 'x'.repeat(5_000) }),
    );

    const declared = await post(served, long);
    const chunked = await post(served, ReadableStream.from([long]));

    expect([declared.status, chunked.status]).toEqual([413, 413]);
    // Cut off in the middle of sending, a client would see a broken connection and never the answer.
    expect(declared.headers.get('connection')).toBe('keep-alive');
    expect(await declared.json()).toMatchObject({
      error: { message: expect.stringContaining('1000 bytes') as string },
    });
  });

  test('over the limit is heard to its end also where the connection is for this request alone', async () => {
    await using served = await serve(wireService({ maxBodyBytes: 1_000 }).service);
    await using socket = await openSocket(served);
    const body = 'x'.repeat(12 * 1024 * 1024);
    const said = untilClosed(socket);

    // As many clients do, it listens only when it has said everything.
    socket.pause();
    await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.write(
        `POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer ${served.token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        resolve,
      );
    });
    socket.resume();

    expect(await said).toMatch(/^HTTP\/1\.1 413 [^]*1000 bytes/);
  });

  test('that is announced as endless is answered 413 before it is sent', async () => {
    await using served = await serve(wireService({ maxBodyBytes: 1_000 }).service);
    await using socket = await openSocket(served);

    socket.write(
      `POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${served.token}\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n{`,
    );

    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('just under the limit is read', async () => {
    await using served = await serve(wireService().service);
    const padding = 'x'.repeat(4 * 1024 * 1024 - 1_000);

    const answer = await rpc(served, 'tools/call', { name: 'echo', arguments: { nonce: padding } });

    expect(answer.result?.['structuredContent']).toEqual({ nonce: padding });
  });

  const depth = 100_000;
  test.each([
    { what: 'nested arrays', value: '['.repeat(depth) + ']'.repeat(depth) },
    { what: 'nested objects', value: '{"a":'.repeat(depth) + '1' + '}'.repeat(depth) },
    { what: 'a long array', value: `[${'1,'.repeat(1_000_000)}1]` },
    {
      what: 'a polluting key',
      value: '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    },
    { what: 'a number that is none', value: '1e999999' },
  ])('of $what is answered, and the process goes on', async ({ value }) => {
    await using served = await serve(wireService().service);
    for (const where of ['params', 'arguments', 'id', 'meta']) {
      const message = JSON.stringify(
        messageOf(
          'tools/call',
          { name: 'echo', arguments: { nonce: '@arguments' }, extra: '@params' },
          { id: '@id', meta: { x: '@meta' } },
        ),
      );
      const headers = headersOf(served, messageOf('tools/call', { name: 'echo' }));

      const response = await fetch(`${served.url}/mcp`, {
        method: 'POST',
        headers,
        body: message.replace(`"@${where}"`, value),
      });
      await response.text();

      expect(response.status, where).toBeLessThan(500);
    }
    expect(await rpc(served, 'tools/call', { name: 'echo', arguments: { nonce: 'alive' } })).toMatchObject({
      result: { structuredContent: { nonce: 'alive' } },
    });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe('A slow client', () => {
  const impatient = { limits: { headersMs: 200, requestMs: 400, slowCheckMs: 50, idleMs: 600 } };
  const start = (served: Served) =>
    `POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${served.token}\r\ncontent-type: application/json\r\n`;

  test('that never ends its headers is cut off', async () => {
    await using served = await serve(wireService().service, {}, 0, impatient);
    await using socket = await openSocket(served);
    const dripping = setInterval(() => socket.write('x-slow: 1\r\n'), 20);
    using _stop = { [Symbol.dispose]: () => clearInterval(dripping) };

    socket.write(start(served));

    // Who still writes may get a reset before the answer.
    expect(await untilClosed(socket)).toMatch(/^$|^HTTP\/1\.1 408 /);
    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
  });

  test('that never ends its body is cut off', async () => {
    await using served = await serve(wireService().service, {}, 0, impatient);
    await using socket = await openSocket(served);
    const dripping = setInterval(() => socket.write(' '), 20);
    using _stop = { [Symbol.dispose]: () => clearInterval(dripping) };

    socket.write(`${start(served)}content-length: 1000\r\n\r\n`);

    await untilClosed(socket);
    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
  });

  test('that connects and says nothing is cut off', async () => {
    await using served = await serve(wireService().service, {}, 0, impatient);
    await using socket = await openSocket(served);

    await untilClosed(socket);

    expect(socket.closed).toBe(true);
  });

  test('is one that waits for its answer no longer than its call may take', async () => {
    const { service, moments } = wireService();
    await using served = await serve(service, {}, 0, { limits: { idleMs: 200 } });
    const answer = callTool(served, 'hold', { id: 'a' });
    await moments.seen('a started');
    // Each of them is silent for as long as a connection may be, one after the other.
    for (let time = 0; time < 2; time += 1) {
      await using silent = await openSocket(served);
      await untilClosed(silent);
    }

    moments.happen('a released');

    expect(await answer).toHaveProperty('result.structuredContent');
  });

  test('does not keep others from being served', async () => {
    await using served = await serve(wireService().service);
    await using slow = new AsyncDisposableStack();
    for (let i = 0; i < 200; i++) slow.use(await openSocket(served)).write(start(served));

    expect(await rpc(served, 'tools/list')).toHaveProperty('result');
  });
});
