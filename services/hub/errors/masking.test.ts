import fc from 'fast-check';
import { expect, test } from 'vitest';

import { classify, type Facts } from './classify.ts';
import { hostileParts } from './failures.fixture.ts';
import { cleaned, fingerprintOf, masked, mostMessageLength, signOf } from './masking.ts';

test.each([
  ['connect ECONNREFUSED 127.0.0.1:6379', 'connect ECONNREFUSED <n>'],
  ['Timed out after 30000 ms, attempt 3 of 5', 'Timed out after <n> ms, attempt <n> of <n>'],
  ['No agent worker-17', 'No agent worker-<n>'],
  ['task 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed', 'task <id> failed'],
  ['commit 9fceb02d0ae598e95dc970b74767f19372d61af8 is gone', 'commit <id> is gone'],
  ['handle msg_01HZX4T9QYB6J8K2 is unknown', 'handle <id> is unknown'],
  ["ENOENT: no such file, open '/srv/data/a b.txt'", "ENOENT: no such file, open '<path> b.txt'"],
  ['cannot read src/app/main.ts and C:\\Users\\ann\\x.ini', 'cannot read <path> and <path>'],
  ['GET https://host.example:8443/v1/items?id=7 gave nothing', 'GET <url> gave nothing'],
  ['mail to ann.lee@example.org bounced', 'mail to <address> bounced'],
  ['The disk is full.', 'The disk is full.'],
])('%j is of the pattern %j', (message, pattern) => {
  expect(masked(message)).toBe(pattern);
});

test('failures of one kind have one fingerprint, others have others', () => {
  const of = (facts: Facts) => fingerprintOf(classify(facts), facts, masked(cleaned(facts.message ?? '')));
  const one = of({ code: 'ETIMEDOUT', message: 'no answer from 10.0.0.1:80 after 5000 ms' });

  expect(one).toMatch(/^[0-9a-f]{16}$/);
  expect(of({ code: 'ETIMEDOUT', message: 'no answer from 10.0.0.9:443 after 7000 ms' })).toBe(one);
  expect(of({ code: 'ECONNRESET', message: 'no answer from 10.0.0.1:80 after 5000 ms' })).not.toBe(one);
  expect(of({ code: 'ETIMEDOUT', message: 'no word from 10.0.0.1:80 after 5000 ms' })).not.toBe(one);
});

test('a message is kept as one line without secrets, controls and half characters, and of bounded length', () => {
  const secret = `ghp_${'a1B2'.repeat(9)}`;

  expect(
    cleaned(`login failed: password=hunter2 and ${secret}\n\u001B[31mred\u0000\u202E \uD800`),
  ).not.toMatch(/hunter2|ghp_|[\p{Cc}\u202E\uD800]/u);
  expect(cleaned('x'.repeat(50_000))).toHaveLength(mostMessageLength);
  // Cut through where reading ends, nothing would know it any more; and what stands before it leaves room for it.
  for (let length = 9_890; length < 9_950; length += 3) {
    const key = `-----BEGIN PRIVATE KEY-----${'A'.repeat(length)}-----END PRIVATE KEY-----`;
    expect(cleaned(`${key} ${secret} ${'y'.repeat(500)}`)).toMatch(/^\[redacted\]( \[redacted\]| y*)*$/);
  }
  expect(signOf({ code: secret })).toBe('[redacted]');
});

test('no message makes it slow or fails', () => {
  const hostile = [
    '/a'.repeat(5_000),
    'a@'.repeat(5_000),
    'f'.repeat(10_000),
    '0x'.repeat(5_000),
    'a.'.repeat(5_000),
    '\\'.repeat(10_000),
  ];
  for (const message of hostile) {
    const startedAt = process.threadCpuUsage();
    masked(cleaned(message));
    const { user, system } = process.threadCpuUsage(startedAt);
    // Seconds would be squares of the length; this has two orders of magnitude of room.
    expect(user + system).toBeLessThan(1_000_000);
  }
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...hostileParts), { maxLength: 120 }), (parts) => {
      const pattern = masked(cleaned(parts.join('')));
      expect(pattern.isWellFormed()).toBe(true);
      expect(pattern).not.toMatch(/\d\d/);
    }),
  );
});
