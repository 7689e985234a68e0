import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSocketServer, type AddressInfo, type Server } from 'node:net';

import { expect, test } from 'vitest';

import { probe } from './probe.ts';

const never = new AbortController().signal;
const look = async (port: number, deadlineMs = 2_000, stop = never) =>
  probe({ name: 'memory', port }, deadlineMs, stop);

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      if ('closeAllConnections' in server) (server as ReturnType<typeof createServer>).closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answering(answers: Record<string, { status?: number; body: string } | 'nothing'>) {
  const listener: RequestListener = (request, response) => {
    const answer = answers[request.url ?? ''];
    if (answer === 'nothing' || answer === undefined) return;
    response.writeHead(answer.status ?? 200).end(answer.body);
  };
  return listening(createServer(listener));
}

const healthy = { body: '{"name":"memory","status":"pass"}' };
const ready = { body: '{"name":"memory","ready":true,"reasons":[]}' };

test('a process that answers as itself and is ready is up', async () => {
  await using server = await answering({ '/health': healthy, '/ready': ready });

  const seen = await look(server.port);

  expect(seen).toEqual({ result: 'up', latencyMs: expect.any(Number) as number, reason: null });
});

test('the reasons of a process that is not ready are passed on', async () => {
  await using server = await answering({
    '/health': healthy,
    '/ready': { status: 503, body: '{"ready":false,"reasons":["disk full","no upstream"]}' },
  });

  expect(await look(server.port)).toMatchObject({ result: 'not_ready', reason: 'disk full; no upstream' });
});

test('what another program says on the port commands no terminal, and shows no secret', async () => {
  const hostile = `\u001b]0;owned\u0007\u001b[31mdisk\nfull\u202e flt_${'a'.repeat(43)} ${'x'.repeat(5_000)}`;
  await using server = await answering({
    '/health': {
      body: JSON.stringify({
        name: 'memory',
        kept: { bytes: 1, fullest: { owner: `a\u001b[2J${'b'.repeat(500)}`, share: 1 } },
      }),
    },
    '/ready': { status: 503, body: JSON.stringify({ ready: false, reasons: [hostile] }) },
  });

  const { reason, kept } = await look(server.port);

  expect(reason).toMatch(/^disk full \[redacted\] x+…$/);
  expect(reason).toHaveLength(200);
  expect(kept?.fullest?.owner).toMatch(/^ab+…$/);
});

test('a process whose readiness hangs still answers', async () => {
  await using server = await answering({ '/health': healthy, '/ready': 'nothing' });

  expect(await look(server.port, 300)).toMatchObject({
    result: 'not_ready',
    reason: '/ready: no answer within 300 ms',
  });
});

test.each([
  ['another service of the fleet', { body: '{"name":"git"}' }],
  ['a program that knows no JSON', { body: '<h1>It works!</h1>' }],
  ['a program that knows no /health', { status: 404, body: '{"error":"not found"}' }],
])('%s on the port is not the process', async (_who, answer) => {
  await using server = await answering({ '/health': answer, '/ready': ready });

  expect(await look(server.port)).toEqual({
    result: 'down',
    latencyMs: null,
    reason: `another program answers on port ${server.port}`,
  });
});

test('a process that answers its own health with an error is down', async () => {
  await using server = await answering({ '/health': { ...healthy, status: 500 }, '/ready': ready });

  expect(await look(server.port)).toMatchObject({ result: 'down', reason: '/health answers 500' });
});

test('a process that hangs is down when the deadline has passed', async () => {
  await using server = await answering({});

  expect(await look(server.port, 100)).toMatchObject({
    result: 'down',
    reason: 'no answer within 100 ms',
  });
});

test('a port that nobody listens on is refused', async () => {
  const server = await answering({});
  await server[Symbol.asyncDispose]();

  expect(await look(server.port)).toMatchObject({ result: 'down', reason: 'connection refused' });
});

test('what speaks no HTTP is down', async () => {
  await using server = await listening(
    createSocketServer((socket) => socket.resume().end('SSH-2.0-OpenSSH\r\n')),
  );

  expect(await look(server.port)).toMatchObject({
    result: 'down',
    reason: expect.stringMatching(/^no proper answer/) as string,
  });
});

test('an answer without end is cut off', async () => {
  await using server = await listening(
    createServer((_request, response) => {
      const pour = () => {
        while (response.writable && response.write('x'.repeat(65_536)));
      };
      response.on('drain', pour);
      pour();
    }),
  );

  expect(await look(server.port)).toMatchObject({
    result: 'down',
    reason: 'no proper answer (too long an answer)',
  });
});
