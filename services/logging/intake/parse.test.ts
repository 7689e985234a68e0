import { expect, test } from 'vitest';

import { parseLine } from './parse.ts';
import { prepared } from './prepare.ts';

const nowMs = Date.parse('2026-11-29T12:00:00Z');
const at = (iso: string) => Date.parse(iso);

test.each([
  [
    'a line of our own services',
    '{"time":"2026-11-29T04:00:00.123Z","level":"warn","service":"memory","event":"loop_held","ms":61}',
    {
      atMs: at('2026-11-29T04:00:00.123Z'),
      level: 'warn',
      service: 'memory',
      message: 'loop_held',
      fields: { ms: 61 },
    },
  ],
  [
    'pino',
    '{"level":50,"time":1795924800000,"pid":1,"msg":"broke"}',
    { atMs: 1_795_924_800_000, level: 'error', message: 'broke', fields: { pid: 1 } },
  ],
  [
    'JSON with a trace',
    '{"@timestamp":"2026-11-29T04:00:00+01:00","log.level":"ERROR","message":"x","trace.id":"4BF92F3577B34DA6A3CE929D0E0E4736"}',
    {
      atMs: at('2026-11-29T03:00:00Z'),
      level: 'error',
      message: 'x',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    },
  ],
  [
    'JSON without a message',
    '{"a":1,"level":"error"}',
    { level: 'error', message: '{"a":1,"level":"error"}' },
  ],
  ['what only looks like JSON', '{not json}', { message: '{not json}' }],
  [
    'logfmt',
    'time=2026-11-29T04:00:00Z level=error msg="it \\"broke\\"" trace_id=4bf92f3577b34da6 user=7',
    {
      atMs: at('2026-11-29T04:00:00Z'),
      level: 'error',
      message: 'it "broke"',
      traceId: '4bf92f3577b34da6',
      fields: { user: '7' },
    },
  ],
  ['one pair, which is no logfmt', 'x=1', { message: 'x=1' }],
  [
    'RFC 5424',
    '<165>1 2026-11-29T04:00:00.5Z host app 42 ID7 [x@1 a="b"] the message',
    {
      atMs: at('2026-11-29T04:00:00.500Z'),
      level: 'info',
      service: 'app',
      message: 'the message',
      fields: { host: 'host', pid: '42', a: 'b' },
    },
  ],
  ['a priority in front', '<3>disk failed', { level: 'error', message: 'disk failed' }],
  [
    'time and level in front',
    '2026-11-29 04:00:00,250Z [ERROR] it broke',
    { atMs: at('2026-11-29T04:00:00.250Z'), level: 'error', message: '[ERROR] it broke' },
  ],
  [
    'syslog with a full time',
    '2026-11-29T04:00:00+00:00 host sshd[99]: Failed password for root',
    {
      atMs: at('2026-11-29T04:00:00Z'),
      service: 'sshd',
      message: 'Failed password for root',
      fields: { host: 'host', pid: '99' },
    },
  ],
  [
    'an access log',
    '10.0.0.1 - - [29/Nov/2026:04:00:00 +0000] "GET / HTTP/1.1" 503 12',
    { atMs: at('2026-11-29T04:00:00Z'), level: 'error' },
  ],
  ['a level alone', 'ERROR: it broke', { level: 'error', message: 'ERROR: it broke' }],
  ['a word that is no level', 'no errors found, all is fine', { level: undefined }],
  ['a time that cannot be', '2026-13-45T99:99:99Z x', { atMs: expect.any(Number) as number }],
])('reads %s', (_, line, said) => {
  const found = parseLine(line, nowMs);
  // Date.UTC carries over what does not exist; it is a time all the same.
  expect(found).toMatchObject(said);
});

test('a time without a year is the last such day, in the time of this host', () => {
  const local = (year: number, month: number) => new Date(year, month, 5, 4, 0, 0).getTime();
  expect(parseLine('Nov  5 04:00:00 host cron[1]: ran', nowMs)).toMatchObject({
    atMs: local(2026, 10),
    service: 'cron',
    message: 'ran',
  });
  expect(parseLine('Dec  5 04:00:00 host cron[1]: ran', nowMs).atMs).toBe(local(2025, 11));
});

const origin = { source: 'file:/x', service: 'x', nowMs };

test('a clock that is ahead does not put a line into the future', () => {
  const line = prepared({ message: 'x', atMs: nowMs + 86_400_000 }, origin);
  expect(line.atMs).toBe(nowMs);
  expect(line.fields['flotilla.logged_at']).toBe('2026-11-30T12:00:00.000Z');
  expect(prepared({ message: 'x', atMs: nowMs + 1_000 }, origin).atMs).toBe(nowMs + 1_000);
  expect(prepared({ message: 'x', atMs: 1e300 }, origin).atMs).toBe(nowMs);
});

test('a line is kept within bounds, and says what was cut', () => {
  const line = prepared(
    {
      message: 'x'.repeat(10_000_000),
      fields: { many: 'y'.repeat(100_000), password: 'p', deep: { token: 't', a: { b: 1 } } },
    },
    origin,
  );
  expect(line.message).toHaveLength(65_536);
  expect(line.fields).toMatchObject({
    'flotilla.cut_characters': '10000000',
    password: '[redacted]',
    'deep.token': '[redacted]',
    'deep.a.b': '1',
  });
  expect(line.fields['many']).toHaveLength(8_192);
  const wide = prepared(
    { message: 'x', fields: Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`f${at}`, at])) },
    origin,
  );
  expect(wide.fields['flotilla.fields_left_out']).toBe('36');
});

test('half a character is written out', () => {
  expect(prepared({ message: 'a\ud800b' }, origin).message).toBe(String.raw`a\ud800b`);
});
