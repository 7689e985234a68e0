import { performance } from 'node:perf_hooks';

import { expect, test, vi } from 'vitest';

import type { AuditEvent } from './audit-chain.ts';
import { AuditShares } from './audit-shares.ts';

const event = (more: Partial<AuditEvent> = {}): AuditEvent => ({
  time: '2026-11-20T12:00:00.000Z',
  caller: 'busy',
  method: 'tools/call',
  target: 'read_graph',
  outcome: 'ok',
  durationMs: 1.5,
  requestBytes: 2,
  responseBytes: 3,
  traceId: '0af7651916cd43dd8448eb211c80319c',
  ...more,
});

test('a token has so many records for itself, and others and its changes are not affected', () => {
  using clock = vi.spyOn(performance, 'now').mockReturnValue(0);
  const shares = new AuditShares();
  const taken = (count: number, isChange = false, more: Partial<AuditEvent> = {}) =>
    Array.from({ length: count }, () => shares.take(event(more), isChange)).filter(
      (one) => one === 'recorded',
    ).length;

  expect(taken(30_000)).toBe(20_000);
  expect(taken(100, false, { caller: 'other' })).toBe(100);
  expect(taken(120_000, true)).toBe(100_000);
  clock.mockReturnValue(10_000);
  expect(taken(100)).toBe(20);
  expect(taken(100, true)).toBe(50);
});

test('what is counted is told as sums, once, and that counting began', () => {
  using _clock = vi.spyOn(performance, 'now').mockReturnValue(0);
  const shares = new AuditShares();
  for (let call = 0; call < 20_000; call += 1) shares.take(event(), false);

  expect(shares.sums()).toEqual([]);
  expect(shares.take(event(), false)).toBe('first counted');
  expect(shares.take(event({ time: '2026-11-20T12:01:00.000Z' }), false)).toBe('counted');
  expect(shares.take(event({ outcome: 'not_found' }), false)).toBe('counted');

  const sum = { traceId: '', since: '2026-11-20T12:00:00.000Z' };
  expect(shares.sums()).toEqual([
    {
      ...event({ time: '2026-11-20T12:01:00.000Z', durationMs: 3, requestBytes: 4, responseBytes: 6 }),
      ...sum,
      calls: 2,
    },
    { ...event({ outcome: 'not_found' }), ...sum, calls: 1 },
  ]);
  expect(shares.sums()).toEqual([]);
  expect(shares.take(event(), false)).toBe('first counted');
});
