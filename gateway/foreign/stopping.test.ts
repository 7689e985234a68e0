/** One that is stopped, or let go, while it connects. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { createLog } from '#runtime/account/log.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { connectTo } from './client.ts';
import { ConnectError } from './foreign-error.ts';
import { ProcessTransport } from './process.ts';
import { openReferences } from './references.ts';
import { ForeignServer } from './server.ts';

/** Takes every step of the handshake but the last word of the client, which it hears and does not acknowledge. */
async function mute() {
  const greeted = Promise.withResolvers<ServerResponse>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { id, method } = JSON.parse(Buffer.concat(chunks).toString() || '{}') as {
        readonly id?: number;
        readonly method?: string;
      };
      const answer = (said: object) =>
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id, ...said }));
      const serverInfo = { name: 'mute', version: '1' };
      if (method === 'notifications/initialized') greeted.resolve(response);
      else if (method === 'initialize')
        answer({ result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo } });
      else if (method === 'tools/list') answer({ result: { tools: [] } });
      else if (id === undefined) response.writeHead(405).end();
      else answer({ error: { code: -32_601, message: 'Method not found' } });
    });
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    greeted: greeted.promise,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => void server.close(done));
    },
  };
}

const hooks = { onListChanged() {}, onResourceUpdated() {} };

test.each(['never', 'at last'])('a stop waits for none that acknowledges the greeting %s', async (when) => {
  await using remote = await mute();
  using folder = temporaryFolder();
  const server = new ForeignServer({
    upstream: {
      name: 'mute',
      prefix: 'mute_',
      enabled: true,
      timeoutMs: 60_000,
      approved: [],
      type: 'http',
      url: remote.url,
      headers: {},
    },
    references: openReferences(join(folder.path, 'upstreams.env'), {}),
    pinsFile: join(folder.path, 'pins.json'),
    log: createLog('gateway', 'error', () => {}),
    now: Date.now,
    told() {},
  });
  const greeting = await remote.greeted;

  const stopped = server[Symbol.asyncDispose]();
  if (when === 'at last') greeting.writeHead(202).end();

  await stopped;
  expect(server.state.status).toBe('starting');
});

test('one that does not acknowledge the greeting in time is not connected', async () => {
  await using remote = await mute();
  const { signal } = new AbortController();
  const target = { type: 'http', url: remote.url, headers: {} } as const;
  const connecting = connectTo(target, hooks, { timeoutMs: 2_000, asksOlder: true, signal });

  await expect(connecting).rejects.toThrow(
    new ConnectError('it has not answered within 2 s', false, undefined),
  );
});

test('a program that was let go before it has begun does not begin', async () => {
  const launch = { command: process.execPath, args: [], env: {}, cwd: undefined, read: [], write: [] };
  const transport = new ProcessTransport({ ...launch, sandbox: 'none' }, () => {});
  await transport.close();

  await expect(transport.start()).rejects.toThrow('it was stopped');
  expect(transport.pid).toBeUndefined();
});
