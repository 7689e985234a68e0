import { expect, test } from 'vitest';

import { lineText } from './fields.ts';

const line = {
  time: '2026-11-29T05:00:00.000Z',
  level: 'info',
  service: 'memory',
  source: 'fleet:memory',
  message: 'ready',
} as const;

test('the own line of a service is told from what others write in its name', () => {
  expect(lineText(line)).toBe('2026-11-29T05:00:00.000Z INFO  memory: ready');
  expect(lineText({ ...line, source: 'ingest:ann', fields: { source: 'fleet:memory' } })).toBe(
    '2026-11-29T05:00:00.000Z INFO  memory (ingest:ann): ready source=fleet:memory',
  );
});

test.each([
  ['the message', { message: 'a\n2026-11-29T05:00:00.000Z FATAL memory: gone' }],
  ['a separator of Unicode', { message: 'a\u2028FATAL memory: gone\u2029b' }],
  ['the service', { service: 'x\nFATAL memory: gone' }],
  ['the name of a field', { fields: { 'a\nFATAL memory: gone': 'b' } }],
  ['a trace', { trace_id: 'a\nFATAL memory: gone' }],
])('no line stands within another, by %s', (_, given) => {
  const [, ...rest] = lineText({ ...line, source: 'ingest:ann', ...given }).split(/[\n\u2028\u2029]/);
  expect(rest.every((one) => one.startsWith('  | '))).toBe(true);
});

test('a service cannot bring along what stands behind its name', () => {
  expect(lineText({ ...line, service: 'memory: gone', source: 'otlp:ann' })).toContain(
    ' "memory: gone" (otlp:ann): ready',
  );
});
