import { describe, expect, test, vi } from 'vitest';

import { parseRate } from '#runtime/access/rate.ts';
import { createToken, readTokens, TokenRegistry } from '#runtime/access/tokens.ts';

import memory from '../services/memory/service.ts';
import { serveBehind } from '../tests/support/fronted.ts';
import { eras } from '../scripts/bench/message.ts';
import { callTool, codeOf, rpc, send } from '../tests/support/rpc.ts';
import { temporaryFolder } from '../tests/support/serve.ts';
import { Bucket, Rates } from './rate.ts';

test.each([
  ['10/s', { calls: 10, perMs: 1_000 }],
  ['600/min', { calls: 600, perMs: 60_000 }],
  ['1/h', { calls: 1, perMs: 3_600_000 }],
])('%s is a rate', (text, rate) => expect(parseRate(text)).toEqual(rate));

test.each(['', '0/s', '-1/s', '1.5/s', '10', '10/day', '10 /s', '99999999/s', '1/s '])('%j is none', (text) =>
  expect(() => parseRate(text)).toThrow(/is no rate/),
);

describe('A bucket', () => {
  test('gives what it holds at once, and then each in its time', () => {
    const bucket = new Bucket(parseRate('3/s'), 0);

    expect([0, 0, 0].map((now) => bucket.take(now))).toEqual([0, 0, 0]);
    expect(bucket.take(0)).toBe(334);
    expect(bucket.take(333)).toBe(1);
    expect(bucket.take(334)).toBe(0);
    expect(bucket.take(334)).toBe(333);
  });

  test('never holds more than its rate, and never gives for a clock that went back', () => {
    const bucket = new Bucket(parseRate('2/s'), 0);
    const given = [1e9, 1e9, 1e9, 0, 0].map((now) => bucket.take(now));

    expect(given.map((waitMs) => waitMs > 0)).toEqual([false, false, true, true, true]);
  });

  test('gives no more than its rate and what it held, whenever it is asked', () => {
    const bucket = new Bucket(parseRate('60/min'), 0);
    let given = 0;
    for (let now = 0; now < 120_000; now += 7) given += bucket.take(now) === 0 ? 1 : 0;

    expect(given).toBe(60 + 119);
  });
});

test('each token has its own, and one without a limit has none', () => {
  const rates = new Rates();
  const [a, b] = ['a', 'b'].map((hash) => ({ hash, rate: '1/h' }));

  expect(rates.take(a ?? { hash: '' }, 0)).toBe(0);
  expect(rates.take(a ?? { hash: '' }, 0)).toBe(3_600_000);
  expect(rates.take(b ?? { hash: '' }, 0)).toBe(0);
  expect(
    Array.from({ length: 1_000 }, () => rates.take({ hash: 'c' }, 0)).every((waitMs) => waitMs === 0),
  ).toBe(true);
});

test('the list of tokens keeps it, and lists without it are read as before', async () => {
  using folder = temporaryFolder();
  await createToken(folder.path, { name: 'free', scope: ['*'], expiresAt: null });
  const secret = await createToken(folder.path, {
    name: 'slow',
    scope: ['*'],
    expiresAt: null,
    rate: '5/min',
  });
  const registry = new TokenRegistry(folder.path);

  expect(readTokens(folder.path).map(({ name, rate }) => [name, rate])).toEqual([
    ['free', undefined],
    ['slow', '5/min'],
  ]);
  expect(registry.verify(secret, Date.now())).toMatchObject({ rate: '5/min' });
});

test('calls above the rate are told when to come again, are counted, and cost no other token anything', async () => {
  await using fronted = await serveBehind([memory]);
  const { gateway } = fronted;
  const make = async (name: string, rate?: string) =>
    createToken(gateway.dataRoot, { name, scope: ['memory'], expiresAt: null, rate });
  for (const era of eras) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const token = await make(`slow-${era}`, '2/h');
    const look = async () => callTool(gateway, 'search_nodes', { query: 'x' }, { era, token });
    // Lists do not count: the token is known when one comes.
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await vi.waitFor(async () => {
      const listed = await rpc(gateway, 'tools/list', {}, { era, token });
      expect(listed.result).toBeDefined();
    });
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const codes = [codeOf(await look()), codeOf(await look()), codeOf(await look())];
    expect(codes).toEqual([undefined, undefined, 'unavailable']);
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const refused = await send(
      gateway,
      'tools/call',
      { name: 'search_nodes', arguments: {} },
      { era, token },
    );
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(1_000);
    // oxlint-disable-next-line no-await-in-loop -- likewise
    const { result } = (await refused.json()) as {
      result: { _meta: Record<string, { retryAfterMs: number }> };
    };
    expect(result._meta['dev.flotilla/error']?.retryAfterMs).toBeGreaterThan(1_000_000);
  }
  expect(codeOf(await callTool(gateway, 'search_nodes', { query: 'x' }))).toBeUndefined();
  const metrics = await (
    await fetch(`${gateway.url}/metrics`, { headers: { authorization: `Bearer ${gateway.token}` } })
  ).text();
  expect(metrics).toMatch(/flotilla_requests_refused_total\{[^}]*reason="rate"[^}]*\} 4/);
});
