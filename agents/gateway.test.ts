import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { expect, test } from 'vitest';

import { openGateway } from './gateway.ts';

test('the secret is asked for once by all who call at once, and anew when it is refused', async () => {
  const refused = new Set<string>();
  const server = createServer((request, response) => {
    const isRefused = refused.has(request.headers.authorization ?? '');
    response.writeHead(isRefused ? 401 : 200).end('{"data":{}}');
  });
  await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done));
  let asked = 0;
  const gateway = openGateway((server.address() as AddressInfo).port, async () => {
    asked += 1;
    return `secret-${asked}`;
  });
  const { signal } = new AbortController();
  const both = async () => Promise.all(['one', 'two'].map(async (tool) => gateway.call(tool, {}, signal)));

  await both();
  expect(asked).toBe(1);
  refused.add('Bearer secret-1');
  await both();

  expect(asked).toBe(2);
  gateway.close();
  server.close();
});
