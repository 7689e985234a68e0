import { expect, test } from 'vitest';

import { isSecretName, textOf, withoutEscapes, withoutKeyLines, withoutSecrets } from './clean.ts';

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

const secret = 'hunter2hunter2hunter2';
test.each([
  ['a key of AWS', 'key AKIAIOSFODNN7EXAMPLE used', 'AKIAIOSFODNN7EXAMPLE'],
  ['a JWT', 'got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here', 'eyJzdWIiOiIxIn0'],
  [
    'a private key',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY----- after',
    'MIIEpAIB',
  ],
  ['a private key that is cut off', '-----BEGIN PRIVATE KEY-----\\nMIIEpAIB', 'MIIEpAIB'],
  ['a password', `password=${secret} next`, secret],
  ['a password in JSON', `{"password": "${secret}"}`, secret],
  ['a password with spaces, in quotes', `passwd='${secret} more' next`, `${secret} more`],
  ['a header', `Authorization: Bearer ${secret}`, secret],
  ['a header of another kind', `authorization: ${secret}`, secret],
  ['a bearer', `sent bearer ${secret}`, secret],
  ['a token of ours', `flt_${secret}abc`, secret],
  ['a token of GitHub', `ghp_${secret}`, secret],
  ['an address with a password', `postgres://user:${secret}@db/x`, secret],
  ['an API key', `X-Api-Key: ${secret}`, secret],
  ['a token in an address', `GET /?access_token=${secret}&a=1`, secret],
  ['a header in capitals', `X-API-Key: ${secret}`, secret],
  ['a cookie', `Cookie: theme=dark; session=${secret}; a=b`, secret],
  ['a cookie that is set', `Set-Cookie: sid=${secret}; HttpOnly`, secret],
  ['a digest', `Authorization: Digest username="ann", response="${secret}"`, secret],
  ['a signature of AWS', `Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=${secret}`, secret],
  ['a password with an @', `postgres://ann:p@${secret}@db/x`, secret],
  ['a token as the name in an address', `https://${secret}abc@github.com/x`, secret],
  ['a key of PGP', `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${secret}`, secret],
  ['a token of ours behind a sign that is written out', `a%3Dflt_${secret}abc`, secret],
  ['a hook of Slack', `https://hooks.slack.com/services/T0/B0/${secret}`, secret],
  ['a short-lived token of Google', `ya29.${secret}`, secret],
  ['a token of npm', `npm_${secret}abcdefghijkl`, secret],
  ['a key of Azure', `AccountName=x;AccountKey=${secret}==;EndpointSuffix=y`, secret],
  ['a signature of Azure', `https://x/c?sv=1&sig=${secret}%3D`, secret],
  ['an arrow', `"password" => "${secret}"`, secret],
  ['an assignment of Go', `password := ${secret}`, secret],
  ['a sign that is written out', `GET /?password%3D${secret}`, secret],
  ['JSON within JSON', `{\\"password\\": \\"${secret}\\"}`, secret],
  ['a password with a quote in it', `password='it\\'s ${secret}' next`, secret],
  ['a password in XML', `<ns:password>${secret}</ns:password>`, secret],
  ['a password as an argument', `run --password ${secret} --x`, secret],
  ['a base of keys', `SECRET_KEY_BASE=${secret}`, secret],
])('redacts %s', (_, text, hidden) => {
  const clean = withoutSecrets(text);
  expect(clean).not.toContain(hidden);
  expect(clean).toContain('[redacted]');
});

test('keeps what stands around a secret, and what only looks like one', () => {
  expect(withoutSecrets(`user=ann password=${secret} ip=10.0.0.1`)).toBe(
    'user=ann password=[redacted] ip=10.0.0.1',
  );
  for (const text of [
    'the password was wrong',
    'token count 17',
    'https://host:8080/path',
    'passed 3 of 4',
    'secretary',
    'cookie: none was sent',
    'ssh://git@github.com/x',
    'https://host:8080/path@2',
    'run --token-file x',
    '<tokens>3</tokens>',
  ]) {
    expect(withoutSecrets(text)).toBe(text);
  }
});

test('is not slow for a text that is made to be', () => {
  const texts = [
    'password='.repeat(20_000),
    'eyJ'.repeat(50_000),
    '://a:'.repeat(20_000),
    '-----BEGIN PRIVATE KEY-----'.repeat(2_000),
    '"'.repeat(100_000),
    'authorization:'.repeat(10_000),
    'authorization: digest '.repeat(5_000),
    'cookie: a='.repeat(10_000),
    ' --token '.repeat(10_000),
    '<token>'.repeat(10_000),
    `://${'a'.repeat(100)}:`.repeat(1_000),
    'password\\\\"=>'.repeat(10_000),
  ];
  const used = process.threadCpuUsage();
  for (const text of texts) withoutSecrets(withoutEscapes(text));
  const { user } = process.threadCpuUsage(used);
  // Quadratic work would be seconds of the processor.
  expect(user).toBeLessThan(2_000_000);
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
