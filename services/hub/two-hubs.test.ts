/** Two hubs over one Redis, as their clients see them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { callTool, codeOf } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { surround } from '../../tests/support/surround.ts';
import type { Listener } from './engine/engine.ts';
import { noRedis, startRedis, type RedisServer } from './engine/redis-server.fixture.ts';
import { openRedis } from './engine/redis.ts';
import { openTrial } from './hub.fixture.ts';
import hub from './service.ts';

const password = 'not-to-be-shown';
let server: RedisServer | undefined;
surround(noRedis, async () => {
  const user = ['--user', 'hub', 'on', `>${password}`, '~{flotilla:hub}*', '&{flotilla:hub}*', '+@all'];
  server = await startRedis(['--appendfsync', 'always', ...user]);
  return server;
});

const serveHub = async () =>
  serve(hub, {
    REDIS_URL: `redis://hub:${password}@127.0.0.1:${server?.port}`,
    FLOTILLA_HUB_REDIS_PREFIX: 'flotilla:hub',
  });

async function call(at: Served, tool: string, args: Readonly<Record<string, unknown>>) {
  const answer = await callTool(at, tool, args);
  expect(codeOf(answer), JSON.stringify(answer)).toBeUndefined();
  return answer.result?.['structuredContent'] as Readonly<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any -- what tools answer is looked at field by field
}

test('what is sent at one hub is received at the other, also when the first has gone or Redis was away', async () => {
  await using second = await serveHub();
  const first = await serveHub();
  try {
    await call(first, 'register_agent', { name: 'asker' });
    await call(second, 'register_agent', { name: 'worker', capabilities: ['review'] });
    expect((await call(first, 'list_agents', {}))['agents']).toMatchObject([
      { name: 'asker' },
      { name: 'worker' },
    ]);

    const waiting = call(second, 'receive_messages', { agent: 'worker', wait_seconds: 50 });
    const sent = { from: 'asker', capability: 'review', body: { data: 'look at this' } };
    await call(first, 'send_message', sent);
    const { messages } = await waiting;
    expect(messages).toMatchObject([{ from: 'asker', body: { data: 'look at this' } }]);
    await call(second, 'acknowledge_messages', { agent: 'worker', receipts: [messages[0].receipt] });
    await call(first, 'send_message', { ...sent, body: { data: 'and at this' } });
  } finally {
    await first[Symbol.asyncDispose]();
  }
  await server?.kill();
  const away = await callTool(second, 'receive_messages', { agent: 'worker' });
  expect(codeOf(away)).toBe('unavailable');
  await server?.start();
  const { messages } = await vi.waitFor(
    async () => call(second, 'receive_messages', { agent: 'worker', wait_seconds: 5 }),
    { timeout: 60_000 },
  );
  expect(messages).toMatchObject([{ body: { data: 'and at this' } }]);
  expect(JSON.stringify([away, await (await fetch(`${second.url}/metrics`)).text()])).not.toContain(password);
  const files = globSync('**', { cwd: second.dataRoot, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  expect(files.length).toBeGreaterThan(0);
  for (const { parentPath, name } of files)
    expect(readFileSync(join(parentPath, name)).includes(password), name).toBe(false);
});

test('a name that is registered at one hub while its agent still leaves at the other keeps what it gets', async () => {
  const settings = { url: `redis://hub:${password}@127.0.0.1:${server?.port}`, isCluster: false };
  const quota = { items: 1_000, bytes: 1_000_000 };
  const prefix = 'flotilla:hub';
  const { promise: left, resolve: tell } = Promise.withResolvers<void>();
  const { promise: registered, resolve: go } = Promise.withResolvers<void>();
  const openEngine = async (listener: Listener) =>
    openRedis({ ...settings, prefix }, quota, { debug() {}, info() {}, warn() {}, error() {} }, listener);
  await using first = await openTrial({
    async openEngine(listener) {
      const engine = await openEngine(listener);
      return {
        ...engine,
        // The hub is slow just when the name is free.
        async remove(kind, key, owner) {
          const wasThere = await engine.remove(kind, key, owner);
          if (kind === 'agent') {
            tell();
            await registered;
          }
          return wasThere;
        },
      };
    },
  });
  await using second = await openTrial({ openEngine });
  await first.call('old', 'register_agent', { name: 'sender' });
  await first.call('old', 'register_agent', { name: 'leaver', capabilities: ['work'] });
  await first.call('old', 'register_agent', { name: 'other', capabilities: ['work'] });
  await first.call('old', 'subscribe_topic', { agent: 'leaver', topic: 't' });
  const say = { from: 'sender', to: ['leaver'], body: { data: 'old' } };
  await first.call('old', 'send_message', say);

  const leaving = first.call('old', 'unregister_agent', { name: 'leaver' });
  await left;
  expect(
    await second.call('old', 'register_agent', { name: 'leaver', capabilities: ['work'] }),
  ).toMatchObject({
    new: true,
  });
  await second.call('old', 'reserve_names', { agent: 'leaver', names: ['file:x'] });
  await second.call('old', 'subscribe_topic', { agent: 'leaver', topic: 't' });
  await second.call('old', 'send_message', { ...say, body: { data: 'new' } });
  go();
  expect(await leaving).toMatchObject({ dead_letters: 0, released: 0, handed_over: 0 });

  expect((await second.call('old', 'receive_messages', { agent: 'leaver' }))['messages']).toMatchObject([
    { body: { data: 'new' } },
  ]);
  expect((await second.call('old', 'list_reservations', { agent: 'leaver' }))['reservations']).toHaveLength(
    1,
  );
  expect((await second.call('old', 'list_subscriptions', { agent: 'leaver' }))['subscriptions']).toHaveLength(
    1,
  );
});
