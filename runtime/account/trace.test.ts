import { expect, test } from 'vitest';

import { continueTrace } from './trace.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';

test('A trace goes on under its id and flags, with a span of our own', () => {
  const { traceId: id, traceparent } = continueTrace(`00-${traceId}-b7ad6b7169203331-00`);

  expect(id).toBe(traceId);
  expect(traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  expect(traceparent).not.toContain('b7ad6b7169203331');
});

test.each([
  undefined,
  null,
  7,
  '',
  'nonsense',
  `01-${traceId}-b7ad6b7169203331-01`,
  `00-${traceId.toUpperCase()}-b7ad6b7169203331-01`,
  `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId}-b7ad6b7169203331-01-more`,
  `00-${traceId}-b7ad6b7169203331-01\n`,
])('A parent that is none begins a new trace: %j', (parent) => {
  const first = continueTrace(parent);
  const second = continueTrace(parent);

  expect(first.traceId).toMatch(/^[0-9a-f]{32}$/);
  expect(first.traceId).not.toBe(traceId);
  expect(first.traceId).not.toBe(second.traceId);
});
