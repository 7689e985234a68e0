import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, test } from 'vitest';

import { Assertions } from '#runtime/access/assertions.ts';
import { createLog } from '#runtime/account/log.ts';

import { Upstream } from './upstream.ts';

test('a stop does not wait for a service that never says that it listens', async () => {
  const listening = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    if (request.headers['mcp-method'] === 'subscriptions/listen') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      listening.resolve();
      return;
    }
    const result = { capabilities: {}, tools: [{ name: 'a', inputSchema: { type: 'object' } }] };
    response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result }));
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const upstream = new Upstream(
    { name: 'mute', description: 'Says nothing.', origin: `http://127.0.0.1:${port}` },
    {
      assertions: new Assertions('gateway', generateKeyPairSync('ed25519').privateKey),
      log: createLog('gateway', 'error', () => {}),
      now: Date.now,
      hearing: { changed() {}, resourceUpdated() {} },
    },
  );
  await listening.promise;

  await upstream[Symbol.asyncDispose]();

  expect(upstream.surface?.tools.destroy).toHaveLength(1);
  server.closeAllConnections();
  await new Promise((done) => void server.close(done));
});
