import { generateKeyPairSync } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, test, vi } from 'vitest';

import { Assertions } from '#runtime/access/assertions.ts';
import { createLog } from '#runtime/account/log.ts';

import { Upstream } from './upstream.ts';

const acknowledged = 'data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}\n\n';

/** What lists one tool, and listens as the test wants; and the gateway's side of it. */
async function behind(listen: (response: ServerResponse, count: number) => void) {
  let count = 0;
  const open = new Set<ServerResponse>();
  const server = createServer((request, response) => {
    request.resume();
    if (request.headers['mcp-method'] === 'subscriptions/listen') {
      open.add(response);
      response.once('close', () => open.delete(response));
      count += 1;
      listen(response, count);
      return;
    }
    const result = { capabilities: {}, tools: [{ name: 'a', inputSchema: { type: 'object' } }] };
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }));
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const logged: string[] = [];
  const upstream = new Upstream(
    { name: 'standin', description: 'Stands in.', origin: `http://127.0.0.1:${port}` },
    {
      assertions: new Assertions('gateway', generateKeyPairSync('ed25519').privateKey),
      log: createLog('gateway', 'info', (line) => void logged.push(line)),
      now: Date.now,
      hearing: { changed() {}, resourceUpdated() {} },
    },
  );
  return {
    upstream,
    logged,
    open,
    count: () => count,
    async [Symbol.asyncDispose]() {
      await upstream[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise((done) => void server.close(done));
    },
  };
}

function begin(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
}

const hear = (response: ServerResponse) => {
  begin(response);
  response.write(acknowledged);
};

test('a stop does not wait for a service that never says that it listens', async () => {
  const listening = Promise.withResolvers<void>();
  await using mute = await behind((response) => {
    begin(response);
    listening.resolve();
  });
  await listening.promise;

  await mute.upstream[Symbol.asyncDispose]();

  expect(mute.upstream.surface?.tools.destroy).toHaveLength(1);
});

test.concurrent('a service that never says that it listens does not count as up', async () => {
  await using mute = await behind(begin);

  await vi.waitFor(
    () => expect(mute.logged.join('')).toMatch(/upstream_down.*has not answered subscriptions\/listen/),
    { timeout: 30_000 },
  );
  await vi.waitFor(() => expect(mute.count()).toBeGreaterThan(1));
  await vi.waitFor(() => expect(mute.open.size).toBeLessThan(2));
});

test.concurrent('each time that a service is lost, the stream of what it tells is closed', async () => {
  await using there = await behind(hear);
  for (let times = 1; times <= 5; times += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await vi.waitFor(() => expect([there.upstream.isUpNow, there.count()]).toEqual([true, times]));
    there.upstream.lost();
  }

  await vi.waitFor(() => expect([there.upstream.isUpNow, there.count()]).toEqual([true, 6]));
  await vi.waitFor(() => expect(there.open.size).toBe(1));
});

test.concurrent.each([
  ['that is refused', (response: ServerResponse) => response.writeHead(503).flushHeaders()],
  [
    'that says what nobody can read',
    (response: ServerResponse) => begin(response) ?? response.write('data: {\n\n'),
  ],
])('a stream %s for a further document is closed, and another one is opened', async (_, refuse) => {
  await using there = await behind((response, count) => (count === 2 ? refuse(response) : hear(response)));
  await vi.waitFor(() => expect([there.upstream.isUpNow, there.open.size]).toEqual([true, 1]));

  await there.upstream.watch(['a://b']).catch(() => {});

  await vi.waitFor(() => expect([there.upstream.isUpNow, there.count()]).toEqual([true, 3]));
  await vi.waitFor(() => expect(there.open.size).toBe(1));
});
