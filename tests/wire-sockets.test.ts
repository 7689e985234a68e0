/** WebSocket beside MCP: when a connection ends, what may wait on it, and what a stop leaves to those who call there. */
import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';

import { createToken, revokeToken } from '#runtime/access/tokens.ts';
import { defineTool } from '#runtime/tool.ts';

import { headersOf, messageOf } from '../scripts/bench/message.ts';
import { grpcService } from './support/grpc-service.ts';
import { callTool } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import type { Moments } from './support/wire-service.ts';

let served: Served;
let moments: Moments;

beforeAll(async () => {
  const made = grpcService();
  ({ moments } = made);
  served = await serve(made.service);
});
afterAll(async () => served[Symbol.asyncDispose]());

const opcodes = { text: 0x81, close: 0x88 };

/** A frame as clients send it: masked, with zeros. */
function frameOf(text: string): Buffer {
  const bytes = Buffer.from(text);
  const long = Buffer.from([bytes.length >> 8, bytes.length & 255]);
  const length =
    bytes.length < 126 ? Buffer.from([0x80 | bytes.length]) : Buffer.concat([Buffer.of(0xfe), long]);
  return Buffer.concat([Buffer.of(opcodes.text), length, Buffer.alloc(4), bytes]);
}

const callFrame = (id: number | string, name: string, args: object) =>
  frameOf(JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } }));

/** A client that sends what the test says and nothing else: no library would go on after the server has said goodbye. */
async function rudeClient({ url }: Pick<Served, 'url'>, token: string) {
  const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1');
  let heard = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes]);
  });
  socket.on('error', () => {}); // a reset is one of the ways to be cut off
  await once(socket, 'connect');
  const key = randomBytes(16).toString('base64');
  socket.write(
    `GET /socket HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
  await vi.waitFor(() => expect(heard.toString('latin1')).toMatch(/^HTTP\/1.1 101 [^]*\r\n\r\n/));
  return {
    socket,
    call: (id: number | string, name: string, args: object) => socket.write(callFrame(id, name, args)),
    heard: () => heard.toString('latin1'),
    hearsGoodbye: async (reason: string) =>
      vi.waitFor(() => expect(heard.toString('latin1')).toContain(reason)),
    async isCutOff() {
      if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    },
    [Symbol.dispose]: () => socket.destroy(),
  };
}

async function newToken(name: string): Promise<string> {
  const secret = await createToken(served.dataRoot, { name, scope: ['wire'], expiresAt: null });
  await vi.waitFor(async () =>
    expect(await callTool({ ...served, token: secret }, 'echo', { nonce: 'x' })).toHaveProperty('result'),
  );
  return secret;
}

describe('A token that ends', () => {
  test('stops what runs and changes nothing more, also where its client does not say goodbye', async () => {
    using client = await rudeClient(served, await newToken('revoked'));
    client.call(1, 'wait_for_signal', { id: 'running' });
    await moments.seen('running started');

    await revokeToken(served.dataRoot, 'revoked');
    await client.hearsGoodbye('the token has ended');
    client.call(2, 'hold', { id: 'late' });
    await moments.seen('running aborted');
    await client.isCutOff();

    expect(moments.hasHappened('late started')).toBe(false);
  });
});

describe('Frames', () => {
  test('that come more quickly than they are worked off are not read ahead without end', async () => {
    let worked = 0;
    const work = defineTool({
      name: 'work_off',
      title: 'Work',
      description: 'Counts what was worked off.',
      effect: 'read',
      hints: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
      input: z.object({ text: z.string().describe('Makes it long.') }),
      output: z.object({}),
      handler: () => {
        const endMs = performance.now() + 0.3;
        while (performance.now() < endMs);
        worked += 1;
        return {};
      },
    });
    let theirs: Socket | undefined;
    const opened = (message: unknown) => {
      theirs = (message as { socket: Socket }).socket;
    };
    subscribe('net.server.socket', opened);
    await using busy = await serve(grpcService({ tools: [work] }).service);
    using client = await rudeClient(busy, busy.token);
    unsubscribe('net.server.socket', opened);
    const text = 'x'.repeat(10_000);
    const frame = callFrame(1, 'work_off', { text });
    const frames = 1_000;

    // As often as one is worked off, and in between.
    let mostUnworkedBytes = 0;
    const looking = setInterval(() => {
      const unworkedBytes = (theirs?.bytesRead ?? 0) - worked * frame.length;
      mostUnworkedBytes = Math.max(mostUnworkedBytes, unworkedBytes);
    }, 0);
    for (let sent = 0; sent < frames; sent += 1)
      client.socket.write(callFrame(sent + 100_000, 'work_off', { text }));
    await vi.waitFor(() => expect(worked).toBe(frames));
    clearInterval(looking);

    expect(mostUnworkedBytes).toBeGreaterThan(0);
    expect(mostUnworkedBytes).toBeLessThan(4 * 1024 * 1024);
  });
});

describe('A frame', () => {
  test('whose id is very long is refused, and says why', async () => {
    using client = await rudeClient(served, served.token);

    client.call('x'.repeat(1_001), 'echo', { nonce: 'too long' });
    await vi.waitFor(() => expect(client.heard()).toContain('The id is longer than 1,000 characters'));
    client.call('y'.repeat(1_000), 'echo', { nonce: 'just right' });

    await vi.waitFor(() => expect(client.heard()).toContain('just right'));
  });
});

describe('A request that would rather speak', () => {
  test.each(['h2c', 'TLS/1.2'])('%s is answered as any other', async (protocol) => {
    const message = messageOf('tools/call', { name: 'echo', arguments: { nonce: 'x' } });
    const headers = { ...headersOf(served, message), connection: 'Upgrade', upgrade: protocol };
    const outgoing = request(`${served.url}/mcp`, { method: 'POST', headers });
    outgoing.end(JSON.stringify(message));
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];

    expect(incoming.statusCode).toBe(200);
    expect((await incoming.toArray()).join('')).toContain('"nonce":"x"');
  });
});

describe('A service that stops', () => {
  test('gives the calls on a connection their answers, takes no more, and says goodbye then', async () => {
    const made = grpcService();
    await using stopping = await serve(made.service);
    using client = await rudeClient(stopping, stopping.token);
    using idle = await rudeClient(stopping, stopping.token);
    client.call(1, 'hold', { id: 'a' });
    await made.moments.seen('a started');

    const stopped = stopping.stop();
    await idle.hearsGoodbye('the service stops');
    expect(client.heard()).not.toContain('the service stops');
    client.call(2, 'hold', { id: 'late' });
    await vi.waitFor(() => expect(client.heard()).toContain('"code":"unavailable"'));
    made.moments.happen('a released');
    await client.hearsGoodbye('the service stops');
    await stopped;

    expect(client.heard()).toMatch(/"id":1,"result":[^]*the service stops/);
    expect(made.moments.hasHappened('late started')).toBe(false);
  });

  test('stops a call on a connection when its time is up', async () => {
    const made = grpcService();
    await using stopping = await serve(made.service, {}, 0, { limits: { drainMs: 200 } });
    using client = await rudeClient(stopping, stopping.token);
    client.call(1, 'wait_for_signal', { id: 'b' });
    await made.moments.seen('b started');

    await stopping.stop();

    await made.moments.seen('b aborted');
    expect(client.heard()).toContain('the service stops');
  });
});
