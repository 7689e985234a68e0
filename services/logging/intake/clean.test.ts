import { expect, test } from 'vitest';

import { textOf } from '#runtime/readable.ts';

import { isSecretName, withoutEscapes, withoutKeyLines } from './clean.ts';

test.each([
  ['colours', '\u001b[1;31mred\u001b[0m', 'red'],
  ['the title of a window', 'a\u001b]0;owned\u0007b', 'ab'],
  ['a link', '\u001b]8;;http://evil.example\u001b\\text\u001b]8;;\u001b\\', 'text'],
  ['a device string', 'a\u001bPq#0;2;0;0;0\u001b\\b', 'ab'],
  ['the one-byte forms', 'a\u009b31mb\u009d0;x\u009cc', 'abc'],
  ['a string that does not end', 'a\u001b]52;c;aGVsbG8=', 'a'],
  ['a sequence that does not end', 'a\u001b[31', 'a'],
  ['a lone escape', 'a\u001b', 'a'],
  ['moving and erasing', 'safe\u001b[2K\u001b[1Gevil', 'safeevil'],
  ['other control characters', 'a\0b\bc\u007f', String.raw`a\x00b\x08c\x7f`],
  ['a carriage return, which would overwrite the line', 'real\rfake', String.raw`real\x0dfake`],
])('takes out %s', (_, text, clean) => {
  expect(withoutEscapes(text)).toBe(clean);
});

test('leaves tabs, line ends and every other character', () => {
  const text = 'ä\t思\n🙂 [31m 100% {x}';
  expect(withoutEscapes(text)).toBe(text);
});

test('bytes that are no UTF-8 are shown, and the rest is text', () => {
  expect(textOf(Buffer.from('ä思🙂'))).toEqual({ text: 'ä思🙂', isBinary: false });
  expect(textOf(Buffer.from([0x61, 0xff, 0xc3, 0xa4, 0xc3]))).toEqual({
    text: String.raw`a\xffä\xc3`,
    isBinary: true,
  });
  // Overlong, a surrogate, and beyond Unicode.
  expect(textOf(Buffer.from([0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xf4, 0x90, 0x80, 0x80])).text).toBe(
    String.raw`\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80`,
  );
  const random = Buffer.from(Array.from({ length: 5_000 }, (_, at) => (at * 7_919) % 256));
  expect(textOf(random).text).not.toContain('\u{fffd}');
});

test('a key over several lines is redacted in each, and what comes between stays', () => {
  const body = 'MIIEpAIBAAKCAQEAZq7wLmT9pX2vKd4R7wLmT9pX2vKd4R7wLmT9pX2vKd4R2222';
  const clean = withoutKeyLines();
  const given = [
    'cannot read -----BEGIN RSA PRIVATE KEY-----: no start line',
    '2026-11-29T05:24:00Z ERROR disk failing, number 7',
    'Proc-Type: 4,ENCRYPTED',
    body,
    `INFO key ${body}`,
    'INFO key Qm9i',
    'the disk is full',
    'Qm9i=',
    '-----END RSA PRIVATE KEY-----',
    body,
  ];
  const kept = new Set([0, 1, 2, 6, 9]);
  expect(given.map(clean)).toEqual(given.map((line, at) => (kept.has(at) ? line : '[redacted]')));
});

test.each([
  'password',
  'db.password',
  'password.value',
  'passwords',
  'clientSecret',
  'accessToken',
  'http.request.header.x-api-key',
  'req.headers.cookie',
  'awsSecretAccessKey',
  'privateKey.pem',
])('%s is the name of a secret', (name) => {
  expect(isSecretName(name)).toBe(true);
});

test.each(['tokens', 'max_tokens', 'token.count', 'passed', 'secretary', 'cookie_count', 'user', 'compass'])(
  '%s is none',
  (name) => {
    expect(isSecretName(name)).toBe(false);
  },
);
