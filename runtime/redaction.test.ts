import { expect, test } from 'vitest';

import { redacted, redactedMark, redactedWords, withoutSecrets } from './redaction.ts';

const secret = 'hunter2-Hunter2';

test.each([
  `password=${secret}`,
  `DB_PASSWORD="${secret}"`,
  `--password ${secret}`,
  `--db-password=${secret}`,
  `api_key: ${secret}`,
  `{"client_secret": "${secret}", "a": 1}`,
  String.raw`{\"token\":\"${secret}\"}`,
  `postgres://app:${secret}@db.example/app`,
  `https://user:p@${secret}@host/`,
  `Authorization: Bearer ${secret}`,
  `Authorization: Basic ${secret}`,
  `curl -H 'X-Api-Key: ${secret}'`,
  `Cookie: sid=${secret}`,
  `sh -c "PGPASSWORD=${secret} psql"`,
  `Authorization: token ${secret}`,
  `ada : PWD=/srv ; USER=root ; COMMAND=/usr/bin/mysql -uroot -p${secret} app`,
  `(root) CMD (curl -su ada:${secret} https://x)`,
  `{"Authorization": "ApiKey ${secret}"}`,
  `AccountName=a;AccountKey=${secret}==;EndpointSuffix=b`,
  `--master-key=${secret}`,
  `--encryption-key ${secret}`,
  `https://${secret}-${secret}@git.example/x`,
  `https://store.example/blob?se=2026&sig=${secret}`,
  `https://hooks.slack.com/services/T0/B0/${secret}`,
])('the secret goes from %s', (text) => {
  expect(redacted(text)).toContain(redactedMark);
  expect(redacted(text)).not.toContain(secret);
});

test.each([
  `the password is ${secret}`,
  `Your new passphrase was set to ${secret}, keep it`,
  'password is "correct horse battery"',
  'password is swordfish',
  'password is swordfish.',
  `access token is: ${secret}`,
  'the api key was q7Zp2',
])('a sentence that tells one does not: %s', (text) => {
  expect(withoutSecrets(text)).toMatch(/(?:is:?|was|to) \[redacted\]/);
});

test.each([
  'password is required',
  'the password is not valid for user root2',
  'token is expired',
  'access token was revoked at 10:15',
  'password is incorrect',
  'the token is used by worker 7',
  'a pin is missing.',
])('a sentence that tells of one stays as it is: %s', (text) => {
  expect(withoutSecrets(text)).toBe(text);
});

test.each([
  'AKIAABCDEFGHIJKLMNOP',
  `ghp_${'a1B2'.repeat(9)}`,
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
  '-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----',
  '-----BEGIN PRIVATE KEY-----\nMIIE cut off',
  'x7Kp2mQv9RtY4wZs8LnB3cHd6FgJ1aEuT5oViXyC0kM',
])('a token goes by its form: %s', (token) => {
  const text = redacted(`before ${token} after`);

  expect(text).toMatch(/^before \[redacted\]( after)?$/);
});

test.each([
  '/usr/lib/systemd/systemd-journald',
  'node scripts/serve.ts memory',
  'git commit 9432937f3b1f4a0f0d2a5c6e7b8d9e0f1a2b3c4d',
  'nginx: worker process',
  'postgres: walwriter',
  'compass --zoom 3',
  'Failed password for root from 192.0.2.1 port 22 ssh2',
  'Accepted connection (mysql) from "an unclosed quote',
  'a sentence about passengers and tokenizers, with nothing to hide.',
])('what holds no secret stays as it is: %s', (text) => {
  expect(redacted(text)).toBe(text);
});

test.each([
  ['sshpass', '-p', secret, 'ssh', 'host'],
  ['/usr/bin/mysql', `-p${secret}`, 'app'],
  ['redis-cli', '-a', secret],
  ['curl', '-u', `ada:${secret}`, 'https://x'],
  ['curl', `-uada:${secret}`],
  ['curl', `--user=ada:${secret}`],
  ['openssl', 'enc', '-k', secret],
  ['app', '--token', secret, '--port', '80'],
  ['sh', '-c', `mysql --password=${secret}`],
  ['sh', '-c', `mysql -uroot -p${secret} app`],
  ['bash', '-lc', `cd /srv && A=1 /usr/bin/mysqldump -p'${secret} x' app | gzip`],
  ['sh', '-c', `curl -s -u "ada:${secret} x" https://x; redis-cli -a ${secret}`],
  ['sudo', '-u', 'ada', 'mysql', `-p${secret}`],
  ['nohup', 'timeout', '5', 'redis-cli', '-a', secret],
  ['docker', 'exec', '-it', 'db', 'curl', '-u', `ada:${secret}`],
  ['curl', 'mysql.example', '-u', `ada:${secret}`],
  ['curl', '-fsSLu', `ada:${secret}`, 'https://x'],
  ['openssl', 'enc', '-pass', secret],
  ['sudo', 'docker', 'run', 'openssl', 'enc', '-pass', secret],
  ['sqlcmd', '-U', 'sa', '-P', secret],
  ['nmcli', 'device', 'wifi', 'connect', 'home', 'password', secret],
  ['aws', 'configure', 'set', 'aws_secret_access_key', secret],
])('the secret goes from the command line %s %s', (...words) => {
  const line = redactedWords(words.filter((word) => word !== undefined)).join(' ');

  expect(line).toContain(redactedMark);
  expect(line).not.toContain(secret);
  expect(line.split(' ')[0]).toBe(words[0]);
});

test.each(['token=', 'password: ', 'api_key='])(
  'a secret that two forms find leaves one mark: %s',
  (name) => {
    const token = `flt_${'a'.repeat(43)}`;

    expect(redacted(`${name}${token} x`)).toBe(`${name}${redactedMark} x`);
    expect(redacted(`${name}${token}/${secret} x`)).toBe(`${name}${redactedMark} x`);
  },
);

test('an option of one program is another thing in another', () => {
  expect(redactedWords(['ssh', '-p', '2222', 'host'])).toEqual(['ssh', '-p', '2222', 'host']);
  expect(redactedWords(['app', '--token', '--verbose'])).toEqual(['app', '--token', '--verbose']);
  const script = ['sh', '-c', 'cd /srv && exec ssh -p 2222 "a host" ; echo \'x\' | tee -a log'];
  expect(redactedWords(script)).toEqual(script);
});

test('a hostile text takes no longer than its length is worth', () => {
  const cpuMs = (length: number) => {
    const texts = [
      'a'.repeat(length),
      'password'.repeat(length / 8),
      '-'.repeat(length),
      'x://'.repeat(length / 4),
      'eyJ-'.repeat(length / 4),
      '-pass '.repeat(length / 6),
      `token${' '.repeat(length)}`,
      '"\\'.repeat(length / 2),
      "' ".repeat(length / 2),
    ];
    // The best of some: what else the thread had to do in a round is none of its work.
    const rounds = Array.from({ length: 3 }, () => {
      const { user } = process.threadCpuUsage();
      for (const text of texts) redactedWords(['app', text]);
      return (process.threadCpuUsage().user - user) / 1_000;
    });
    return Math.min(...rounds);
  };
  cpuMs(1_000);

  // Eight times the length, not the square of it. The floor keeps the clock's own grain out.
  expect(cpuMs(32_000)).toBeLessThan(24 * Math.max(cpuMs(4_000), 2));
});

const longSecret = 'hunter2hunter2hunter2';
test.each([
  ['a key of AWS', 'key AKIAIOSFODNN7EXAMPLE used', 'AKIAIOSFODNN7EXAMPLE'],
  ['a JWT', 'got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl here', 'eyJzdWIiOiIxIn0'],
  [
    'a private key',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY----- after',
    'MIIEpAIB',
  ],
  ['a private key that is cut off', '-----BEGIN PRIVATE KEY-----\\nMIIEpAIB', 'MIIEpAIB'],
  ['a password', `password=${longSecret} next`, longSecret],
  ['a password in JSON', `{"password": "${longSecret}"}`, longSecret],
  ['a password with spaces, in quotes', `passwd='${longSecret} more' next`, `${longSecret} more`],
  ['a header', `Authorization: Bearer ${longSecret}`, longSecret],
  ['a header of another kind', `authorization: ${longSecret}`, longSecret],
  ['a bearer', `sent bearer ${longSecret}`, longSecret],
  ['a token of ours', `flt_${longSecret}abc`, longSecret],
  ['a token of GitHub', `ghp_${longSecret}`, longSecret],
  ['an address with a password', `postgres://user:${longSecret}@db/x`, longSecret],
  ['an API key', `X-Api-Key: ${longSecret}`, longSecret],
  ['a token in an address', `GET /?access_token=${longSecret}&a=1`, longSecret],
  ['a header in capitals', `X-API-Key: ${longSecret}`, longSecret],
  ['a cookie', `Cookie: theme=dark; session=${longSecret}; a=b`, longSecret],
  ['a cookie that is set', `Set-Cookie: sid=${longSecret}; HttpOnly`, longSecret],
  ['a digest', `Authorization: Digest username="ann", response="${longSecret}"`, longSecret],
  [
    'a signature of AWS',
    `Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=${longSecret}`,
    longSecret,
  ],
  ['a password with an @', `postgres://ann:p@${longSecret}@db/x`, longSecret],
  ['a token as the name in an address', `https://${longSecret}abc@github.com/x`, longSecret],
  ['a key of PGP', `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${longSecret}`, longSecret],
  ['a token of ours behind a sign that is written out', `a%3Dflt_${longSecret}abc`, longSecret],
  ['a hook of Slack', `https://hooks.slack.com/services/T0/B0/${longSecret}`, longSecret],
  ['a short-lived token of Google', `ya29.${longSecret}`, longSecret],
  ['a restricted key of Stripe', `rk_live_${longSecret}`, longSecret],
  ['a token of npm', `npm_${longSecret}abcdefghijkl`, longSecret],
  ['a key of Azure', `AccountName=x;AccountKey=${longSecret}==;EndpointSuffix=y`, longSecret],
  ['a signature of Azure', `https://x/c?sv=1&sig=${longSecret}%3D`, longSecret],
  ['an arrow', `"password" => "${longSecret}"`, longSecret],
  ['an assignment of Go', `password := ${longSecret}`, longSecret],
  ['a sign that is written out', `GET /?password%3D${longSecret}`, longSecret],
  ['JSON within JSON', `{\\"password\\": \\"${longSecret}\\"}`, longSecret],
  ['a password with a quote in it', `password='it\\'s ${longSecret}' next`, longSecret],
  ['a password in XML', `<ns:password>${longSecret}</ns:password>`, longSecret],
  ['a password as an argument', `run --password ${longSecret} --x`, longSecret],
  ['a base of keys', `SECRET_KEY_BASE=${longSecret}`, longSecret],
])('withoutSecrets redacts %s', (_, text, hidden) => {
  const clean = withoutSecrets(text);
  expect(clean).not.toContain(hidden);
  expect(clean).toContain('[redacted]');
});

test('withoutSecrets keeps what stands around a secret, and what only looks like one', () => {
  expect(withoutSecrets(`user=ann password=${longSecret} ip=10.0.0.1`)).toBe(
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

test('withoutSecrets is not slow for a text that is made to be', () => {
  const texts = [
    'password='.repeat(20_000),
    'eyJ'.repeat(50_000),
    'eyJ-'.repeat(30_000),
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
  for (const text of texts) withoutSecrets(text);
  const { user } = process.threadCpuUsage(used);
  // Quadratic work would be seconds of the processor.
  expect(user).toBeLessThan(2_000_000);
});
