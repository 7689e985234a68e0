/** Who may call, and what: tokens and scopes as a client meets them. */
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { assertionMs, Assertions, makeSigningKey } from '#runtime/access/assertions.ts';
import { createToken, readTokens, revokeToken } from '#runtime/access/tokens.ts';

import { eras, headersOf, messageOf, messagesIn } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from './support/rpc.ts';
import { serve, type Served } from './support/serve.ts';
import { wireService } from './support/wire-service.ts';

/** The promise of the documents: a revoked token is dead within a second. */
const deadWithinMs = 1_000;

async function newToken(
  { dataRoot }: Served,
  name: string,
  scope: readonly string[],
  expiresAt: Date | null = null,
): Promise<string> {
  return createToken(dataRoot, { name, scope, expiresAt });
}

async function statusWith(served: Served, token: string): Promise<number> {
  const response = await send(served, 'tools/list', {}, { token });
  await response.body?.cancel();
  return response.status;
}

/** Asks again until the answer is that; the test's own deadline ends a vain wait. */
async function untilStatus(served: Served, token: string, status: number): Promise<number> {
  const startedAt = performance.now();
  while ((await statusWith(served, token)) !== status) await sleep(20);
  return performance.now() - startedAt;
}

describe('A token', () => {
  test('is asked for when it is missing', async () => {
    await using served = await serve(wireService().service);

    const response = await fetch(`${served.url}/mcp`, { method: 'POST', body: '{}' });

    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toEqual({ error: expect.stringContaining('missing') as string });
  });

  test.each(['flt_unknown', 'flt_unknown=', 'x'.repeat(10_000)])(
    'that nobody made is refused (%#)',
    async (token) => {
      await using served = await serve(wireService().service);

      const response = await send(served, 'tools/list', {}, { token });

      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    },
  );

  test('is not taken from the address, a cookie or another scheme', async () => {
    await using served = await serve(wireService().service);
    const { token } = served;

    const inAddress = await fetch(`${served.url}/mcp?token=${token}&access_token=${token}`, {
      method: 'POST',
    });
    const inCookie = await fetch(`${served.url}/mcp`, {
      method: 'POST',
      headers: { cookie: `token=${token}` },
    });
    const basic = await fetch(`${served.url}/mcp`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`x:${token}`)}` },
    });

    expect([inAddress.status, inCookie.status, basic.status]).toEqual([401, 401, 401]);
  });

  test('that has expired is refused', async () => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'brief', ['*'], new Date(Date.now() - 1));
    const other = await newToken(served, 'lasting', ['*'], new Date(Date.now() + 60_000));
    await untilStatus(served, other, 200);

    expect(await statusWith(served, token)).toBe(401);
  });

  test('works soon after it was made and is dead within a second of being revoked, without a restart', async () => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'helper', ['*']);
    await untilStatus(served, token, 200);

    await revokeToken(served.dataRoot, 'helper');
    const tookMs = await untilStatus(served, token, 401);

    expect(tookMs).toBeLessThan(deadWithinMs);
    expect(await statusWith(served, served.token)).toBe(200);
  });

  test('ends an open stream of notifications within a second of being revoked', async () => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'listener', ['*']);
    await untilStatus(served, token, 200);
    const stream = await send(
      served,
      'subscriptions/listen',
      { notifications: { toolsListChanged: true } },
      { token },
    );
    const messages = messagesIn(stream);
    expect((await messages.next()).value).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
    });

    const revokedAt = performance.now();
    await revokeToken(served.dataRoot, 'listener');
    // oxlint-disable-next-line no-empty -- the stream's end is what is waited for
    for await (const _message of messages) {
    }

    expect(performance.now() - revokedAt).toBeLessThan(deadWithinMs);
  });

  test('is refused along with every other while the list of tokens cannot be read', async () => {
    await using served = await serve(wireService().service, { FLOTILLA_LOG_LEVEL: 'error' }, 0, {
      writeLog: () => {},
    });

    writeFileSync(join(served.dataRoot, 'tokens.json'), '{"tokens":');
    await untilStatus(served, served.token, 401);

    expect(await statusWith(served, served.token)).toBe(401);
  });
});

describe.each(eras)('A scope (%s)', (era) => {
  test.each([
    { scope: ['wire:read'], allowed: ['echo'], refused: ['write_note', 'destroy_note'] },
    { scope: ['*:write'], allowed: ['echo', 'write_note'], refused: ['destroy_note'] },
    { scope: ['wire'], allowed: ['echo', 'write_note', 'destroy_note'], refused: [] },
  ])('of $scope lists $allowed and refuses $refused', async ({ scope, allowed, refused }) => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'scoped', scope);
    await untilStatus(served, token, 200);

    const { result } = await rpc(served, 'tools/list', {}, { era, token });
    const names = (result?.['tools'] as { name: string }[] | undefined)?.map(({ name }) => name);

    expect(names).toEqual(expect.arrayContaining(allowed));
    for (const tool of refused) {
      expect(names).not.toContain(tool);
      expect(codeOf(await callTool(served, tool, {}, { era, token }))).toBe('forbidden');
    }
    for (const tool of allowed) {
      expect(
        codeOf(await callTool(served, tool, tool === 'echo' ? { nonce: 'x' } : {}, { era, token })),
      ).toBeUndefined();
    }
  });

  test('that allows nothing here is refused with the scope that would, whatever is asked', async () => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'outsider', ['memory', 'other:read']);
    await untilStatus(served, token, 403);

    for (const method of ['tools/list', 'resources/list', 'prompts/list', 'initialize', 'no/such']) {
      const response = await send(served, method, {}, { era, token });
      expect([response.status, response.headers.get('www-authenticate')], method).toEqual([
        403,
        'Bearer error="insufficient_scope", scope="wire:read"',
      ]);
      expect(await response.json()).toMatchObject({
        error: { message: expect.stringContaining('"outsider" may not use wire') as string },
      });
    }
  });

  test('is named in the refusal, with the way to a wider one', async () => {
    await using served = await serve(wireService().service);
    const token = await newToken(served, 'reader', ['wire:read']);
    await untilStatus(served, token, 200);

    const { result } = await callTool(served, 'destroy_note', {}, { era, token });

    expect(result?.['content']).toEqual([
      {
        type: 'text',
        text: expect.stringMatching(/"reader" may not use destroy_note.*\n.*wire:destroy/) as string,
      },
    ]);
  });
});

test('A token that was narrowed does less at once, on connections that are open too', async () => {
  await using served = await serve(wireService().service);
  const token = await newToken(served, 'narrowed', ['wire']);
  await untilStatus(served, token, 200);
  const stream = await send(
    served,
    'subscriptions/listen',
    { notifications: { toolsListChanged: true } },
    { token },
  );
  expect(codeOf(await callTool(served, 'destroy_note', {}, { token }))).toBeUndefined();

  const file = join(served.dataRoot, 'tokens.json');
  const list = JSON.parse(readFileSync(file, 'utf8')) as { tokens: { name: string; scope: string[] }[] };
  for (const one of list.tokens) if (one.name === 'narrowed') one.scope = ['wire:read'];
  writeFileSync(file, JSON.stringify(list));
  await vi.waitFor(async () =>
    expect(codeOf(await callTool(served, 'destroy_note', {}, { token }))).toBe('forbidden'),
  );

  expect(codeOf(await callTool(served, 'echo', { nonce: 'x' }, { token }))).toBeUndefined();
  // A stream was opened with more: its client listens anew, with what is left.
  for await (const message of messagesIn(stream)) expect(message.method).toMatch(/acknowledged$/);
});

test('What the gateway signed is good for its time, and no longer on a connection that is open', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  await using served = await serve(wireService().service);
  using agent = {
    pool: new Agent({ keepAlive: true, maxSockets: 1 }),
    [Symbol.dispose]: () => agent.pool.destroy(),
  };
  const assertions = new Assertions('gateway', createPrivateKey(makeSigningKey(served.dataRoot, 'gateway')));
  const token = assertions.ofToken(readTokens(served.dataRoot)[0]?.hash ?? '', 'wire', Date.now());
  const ask = async () => {
    const message = messageOf('tools/call', { name: 'echo', arguments: { nonce: 'x' } });
    const headers = headersOf({ token }, message);
    const outgoing = request(`${served.url}/mcp`, { agent: agent.pool, method: 'POST', headers });
    outgoing.end(JSON.stringify(message));
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    await incoming.toArray();
    return { isReused: outgoing.reusedSocket, status: incoming.statusCode };
  };

  expect(await ask()).toEqual({ isReused: false, status: 200 });
  vi.setSystemTime(Date.now() + assertionMs - 5_000);
  expect(await ask()).toEqual({ isReused: true, status: 200 });
  vi.setSystemTime(Date.now() + 10_000);
  expect(await ask()).toEqual({ isReused: true, status: 401 });
});
