import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { errorCodes } from '#runtime/errors.ts';

import { classify, type Facts } from './classify.ts';
import { hostileParts } from './failures.fixture.ts';
import { categories, rules, severities } from './rules.ts';

const shortly = (facts: Facts) => {
  const { name, category, severity } = classify(facts);
  return `${name} ${category} ${severity}`;
};

test.each<[string, Facts]>([
  // What Node says.
  ['refused connection high', { code: 'ECONNREFUSED' }],
  ['refused connection high', { errno: -111 }],
  ['refused connection high', { errno: 111 }],
  ['refused connection high', { errno: 'ECONNREFUSED' }],
  ['refused connection high', { code: -111 }],
  ['cut_off connection medium', { code: 'ECONNRESET', name: 'Error' }],
  ['cut_off connection medium', { code: 'EPIPE' }],
  ['unknown_host connection high', { code: 'ENOTFOUND', message: 'getaddrinfo ENOTFOUND nowhere.invalid' }],
  ['unreachable connection high', { code: 'EHOSTUNREACH' }],
  ['timeout timeout medium', { code: 'ETIMEDOUT' }],
  ['timeout timeout medium', { code: 'UND_ERR_HEADERS_TIMEOUT' }],
  [
    'timeout timeout medium',
    { name: 'TimeoutError', code: 23, message: 'The operation was aborted due to timeout' },
  ],
  ['aborted timeout low', { name: 'AbortError' }],
  ['aborted timeout low', { name: 'AbortError', code: 'ABORT_ERR' }],
  ['none_left resource high', { code: 'EMFILE' }],
  ['disk_full resource critical', { code: 'ENOSPC' }],
  ['disk_broken system critical', { code: 'EIO' }],
  ['read_only system high', { code: 'EROFS' }],
  ['not_allowed authentication medium', { code: 'EACCES' }],
  ['not_there validation low', { code: 'ENOENT' }],
  ['address_taken resource high', { code: 'EADDRINUSE' }],
  ['certificate authentication high', { code: 'CERT_HAS_EXPIRED' }],
  ['certificate authentication high', { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }],
  ['not_understood protocol medium', { code: 'HPE_INVALID_HEADER_TOKEN' }],
  ['not_understood protocol medium', { name: 'SyntaxError', message: 'Unexpected token < in JSON' }],
  ['bug system high', { name: 'TypeError', message: 'x.map is not a function' }],
  ['away connection medium', { name: 'TypeError', message: 'fetch failed' }],
  // HTTP.
  ['bad_input validation low', { http_status: 400 }],
  ['not_authenticated authentication high', { http_status: 401 }],
  ['not_allowed authentication medium', { http_status: 403 }],
  ['not_there validation low', { http_status: 404 }],
  ['timeout timeout medium', { http_status: 408 }],
  ['conflict validation low', { http_status: 409 }],
  ['too_large resource medium', { http_status: 413 }],
  ['bad_input validation low', { http_status: 418 }],
  ['slow_down resource medium', { http_status: 429 }],
  ['internal system high', { http_status: 500 }],
  ['not_offered protocol medium', { http_status: 501 }],
  ['away connection medium', { http_status: 503 }],
  ['timeout timeout medium', { http_status: 504 }],
  ['disk_full resource critical', { http_status: 507 }],
  ['internal system high', { http_status: 599 }],
  ['away connection medium', { code: 503 }],
  ['away connection medium', { code: '503' }],
  ['not_authenticated authentication high', { code: 'ERR_BAD_REQUEST', http_status: 401 }],
  // AMQP, by its names and by its numbers, which are HTTP's where nothing speaks of AMQP.
  ['not_authenticated authentication high', { code: 'ACCESS_REFUSED', name: 'AMQPConnectionError' }],
  [
    'not_there validation low',
    { code: 404, message: 'Channel closed by server: 404 (NOT-FOUND) no exchange' },
  ],
  ['conflict validation low', { code: 'PRECONDITION-FAILED', name: 'AMQPChannelError' }],
  ['away connection medium', { code: 320, name: 'AMQPConnectionError' }],
  ['not_understood protocol medium', { code: 503, name: 'AMQPError' }],
  ['out_of_order protocol medium', { code: 504, name: 'AMQPError' }],
  ['none_left resource high', { code: 506, name: 'AMQPError' }],
  // States of SQL, of a class where the state itself is not known, and codes of SQLite.
  ['cut_off connection medium', { code: '08006' }],
  ['not_understood protocol medium', { code: '08P01' }],
  ['not_authenticated authentication high', { code: '28P01' }],
  ['constraint validation low', { code: '23505' }],
  ['bad_input validation low', { code: '22P02' }],
  ['bad_input validation low', { code: '42601' }],
  ['not_there validation low', { code: '42P01' }],
  ['not_allowed authentication medium', { code: '42501' }],
  ['busy resource medium', { code: '40P01' }],
  ['busy resource medium', { code: 40_001 }],
  ['none_left resource high', { code: '53300' }],
  ['disk_full resource critical', { code: '53100' }],
  ['timeout timeout medium', { code: '57014' }],
  ['away connection medium', { code: '57P01' }],
  ['damaged_data system critical', { code: 'XX001' }],
  ['internal system high', { code: 'XX000' }],
  ['busy resource medium', { code: 'SQLITE_BUSY_SNAPSHOT' }],
  ['disk_full resource critical', { code: 'SQLITE_FULL' }],
  ['disk_broken system critical', { code: 'SQLITE_IOERR_WRITE' }],
  ['damaged_data system critical', { code: 'SQLITE_CORRUPT_VTAB' }],
  ['constraint validation low', { code: 'SQLITE_CONSTRAINT_UNIQUE' }],
  ['busy resource medium', { code: 'ER_LOCK_DEADLOCK' }],
  // gRPC and JSON-RPC.
  ['timeout timeout medium', { code: 'DEADLINE_EXCEEDED' }],
  ['slow_down resource medium', { code: 'RESOURCE_EXHAUSTED' }],
  ['not_authenticated authentication high', { code: 'UNAUTHENTICATED' }],
  ['not_understood protocol medium', { code: -32_700 }],
  ['not_understood protocol medium', { code: -32_600 }],
  ['not_offered protocol medium', { code: -32_601 }],
  ['bad_input validation low', { code: '-32602' }],
  ['internal system high', { code: -32_603 }],
  ['timeout timeout medium', { code: -32_001 }],
  ['internal system high', { code: -32_077 }],
  // Redis.
  [
    'not_authenticated authentication high',
    { name: 'ReplyError', message: 'NOAUTH Authentication required.' },
  ],
  [
    'away connection medium',
    { name: 'ReplyError', message: 'LOADING Redis is loading the dataset in memory' },
  ],
  ['out_of_memory resource critical', { message: "OOM command not allowed when used memory > 'maxmemory'." }],
  // Where the message is all there is.
  ['refused connection high', { message: 'connect ECONNREFUSED 127.0.0.1:6379' }],
  ['cut_off connection medium', { message: 'socket hang up' }],
  ['timeout timeout medium', { message: 'Request timed out after 30 s' }],
  ['slow_down resource medium', { message: 'HTTP 429: slow down, please' }],
  ['away connection medium', { message: 'Request failed with status code 503' }],
  ['busy resource medium', { message: 'SQLSTATE[40001]: Serialization failure' }],
  ['not_authenticated authentication high', { message: 'Invalid API key provided' }],
  ['not_there validation low', { message: 'no such table: users' }],
  // What says little gives way to what says more.
  [
    'disk_full resource critical',
    { code: 'internal', message: 'write failed: ENOSPC: no space left on device' },
  ],
  ['refused connection high', { http_status: 500, message: 'upstream: connection refused' }],
  ['internal system high', { http_status: 500, message: 'oops' }],
  // Nothing to go by.
  ['unknown unknown medium', {}],
  ['unknown unknown medium', { message: 'It did not work.', code: 'E_OURS', name: 'OurError' }],
  ['unknown unknown medium', { code: 12, errno: 0 }],
  ['unknown unknown medium', { code: '' }],
])('is %s for %j', (expected, facts) => {
  expect(shortly(facts)).toBe(expected);
});

test.each<[keyof typeof errorCodes, string]>([
  ['invalid_input', 'bad_input'],
  ['not_found', 'not_there'],
  ['conflict', 'conflict'],
  ['forbidden', 'not_allowed'],
  ['too_large', 'too_large'],
  ['timeout', 'timeout'],
  ['cancelled', 'cancelled'],
  ['unavailable', 'away'],
  ['internal', 'internal'],
])('knows the code %s of the tools of the fleet', (code, name) => {
  expect(classify({ code }).name).toBe(name);
});

test('knows every code that a tool of the fleet fails with', () => {
  const unknown = Object.keys(errorCodes).filter((code) => classify({ code }).category === 'unknown');

  expect(unknown).toEqual([]);
});

test('says of each kind whether another try may help', () => {
  const passing = (facts: Facts) => classify(facts).isPassing;

  expect([{ code: 'ECONNRESET' }, { http_status: 429 }, { code: 'SQLITE_BUSY' }, {}].map(passing)).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(
    [{ http_status: 401 }, { code: 'not_found' }, { code: 'ENOSPC' }, { code: 'cancelled' }].map(passing),
  ).toEqual([false, false, false, false]);
});

describe('the rules', () => {
  test('have a name, signs and a sentence of their own each', () => {
    const signs = rules.flatMap((rule) => rule.signs);

    expect(rules.length).toBeGreaterThan(20);
    for (const all of [signs, rules.map(({ name }) => name), rules.map(({ says }) => says)])
      expect(new Set(all).size).toBe(all.length);
  });

  test('are each found by each of their signs', () => {
    for (const rule of rules) {
      for (const sign of rule.signs) {
        const [kind, number = ''] = sign.split(' ');
        const facts: Facts =
          number === ''
            ? { code: sign }
            : kind === 'http'
              ? { http_status: Number(number.replace('xx', '98')) }
              : kind === 'sql'
                ? { code: number.padEnd(5, '9') }
                : kind === 'amqp'
                  ? { code: Number(number), name: 'AMQPError' }
                  : { code: number === 'server' ? -32_099 : Number(number) };
        expect([sign, classify(facts).name]).toEqual([sign, rule.name]);
      }
    }
  });

  test('use each category and severity, but for unknown', () => {
    expect(new Set(rules.map(({ category }) => category)).size).toBe(categories.length - 1);
    expect(new Set(rules.map(({ severity }) => severity)).size).toBe(severities.length);
  });
});

test('answers the same for the same, whatever a failure holds, and changes nothing', () => {
  const hostile = fc
    .array(fc.constantFrom(...hostileParts), { maxLength: 120 })
    .map((parts) => parts.join(''));
  const text = fc.oneof(hostile, fc.constantFrom('E'.repeat(5_000), '_'.repeat(300), 'status:'.repeat(900)));
  const facts = fc.record(
    {
      code: fc.oneof(text, fc.integer(), fc.double()),
      message: text,
      http_status: fc.integer(),
      name: text,
      errno: fc.oneof(fc.integer(), text),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(facts, (one) => {
      const before = JSON.stringify(one);
      const rule = classify(one);
      expect(categories).toContain(rule.category);
      expect(classify(one)).toBe(rule);
      expect(JSON.stringify(one)).toBe(before);
    }),
    { numRuns: 300 },
  );
});
