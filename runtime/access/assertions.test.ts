import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import {
  AssertionReader,
  assertionMs,
  Assertions,
  makeSigningKey,
  publicKeyFile,
  signingKey,
} from './assertions.ts';
import { createToken, revokeToken, TokenRegistry, type Caller } from './tokens.ts';

let folder: ReturnType<typeof temporaryFolder>;
let tokens: TokenRegistry;
let caller: Caller;
let assertions: Assertions;
let reader: AssertionReader;
const nowMs = Date.now();

beforeEach(async () => {
  folder = temporaryFolder();
  const secret = await createToken(folder.path, { name: 'ada', scope: ['memory:read'], expiresAt: null });
  tokens = new TokenRegistry(folder.path);
  caller = tokens.verify(secret, nowMs) as Caller;
  mkdirSync(join(folder.path, 'gateway'));
  assertions = new Assertions(signingKey(join(folder.path, 'gateway')));
  reader = new AssertionReader(folder.path, 'memory', tokens);
});
afterEach(() => {
  tokens[Symbol.dispose]();
  folder[Symbol.dispose]();
});

test('a statement of the gateway is the caller whose token it names, the same as by the token itself', () => {
  const text = assertions.ofToken(caller.hash, 'memory', nowMs);

  expect(AssertionReader.isOne(text)).toBe(true);
  expect(reader.verify(text, nowMs)).toBe(caller);
  expect(reader.verify(text, nowMs)).toBe(caller);
  expect(reader.isCurrent(caller, nowMs)).toBe(true);
  expect(text).not.toContain(caller.hash);
});

test('for itself, the gateway is a caller of its own, as far as it says', () => {
  const own = reader.verify(assertions.ofGateway('read', 'memory', nowMs), nowMs) as Caller;

  expect(own).toMatchObject({ name: 'gateway', scope: ['memory:read'] });
  expect(reader.isCurrent(own, nowMs + 10 * assertionMs)).toBe(true);
});

test('one is used until half of its time is over, and then made anew', () => {
  const first = assertions.ofToken(caller.hash, 'memory', nowMs);

  expect(assertions.ofToken(caller.hash, 'memory', nowMs + assertionMs / 2 - 1)).toBe(first);
  expect(assertions.ofToken(caller.hash, 'memory', nowMs + assertionMs / 2)).not.toBe(first);
  expect(assertions.ofToken(caller.hash, 'git', nowMs)).not.toBe(first);
  // The clock was set back: what was made in the future is not used up first.
  expect(assertions.ofToken(caller.hash, 'memory', nowMs - 10 * assertionMs)).not.toBe(first);
});

function signed(claims: object, key = generateKeyPairSync('ed25519').privateKey): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `fla_${payload}.${sign(null, Buffer.from(payload), key).toString('base64url')}`;
}

test.each<[string, () => string, number?]>([
  ['is for another service', () => assertions.ofToken(caller.hash, 'git', nowMs)],
  ['is too old', () => assertions.ofToken(caller.hash, 'memory', nowMs), nowMs + assertionMs],
  ['names no token', () => assertions.ofToken('0'.repeat(64), 'memory', nowMs)],
  ['is signed with another key', () => signed({ for: 'memory', untilMs: nowMs + 1_000, token: caller.hash })],
  ['was changed', () => assertions.ofToken(caller.hash, 'memory', nowMs).replace('fla_e', 'fla_f')],
  ['has no signature', () => assertions.ofToken(caller.hash, 'memory', nowMs).split('.')[0] ?? ''],
  ['is empty', () => 'fla_'],
  ['is no base64', () => 'fla_\u0000.\u0000'],
])('a statement that %s lets nobody in', (_title, text, atMs = nowMs) => {
  expect(reader.verify(text(), atMs)).toBeUndefined();
});

test('no statement is good for longer than two of its times, whatever it says', () => {
  const pem = makeSigningKey(folder.path);
  const text = signed(
    { for: 'memory', untilMs: nowMs + 3 * assertionMs, token: caller.hash },
    createPrivateKey(pem),
  );

  expect(reader.verify(text, nowMs)).toBeUndefined();
});

test('a revoked token is out, also by a statement that was good', async () => {
  const text = assertions.ofToken(caller.hash, 'memory', nowMs);
  expect(reader.verify(text, nowMs)).toBe(caller);

  await revokeToken(folder.path, 'ada');
  await expect.poll(() => reader.verify(text, nowMs)).toBeUndefined();
  expect(reader.isCurrent(caller, nowMs)).toBe(false);
});

test('a new key ends what the old one signed, and no key ends everything', () => {
  const before = assertions.ofToken(caller.hash, 'memory', nowMs);
  const own = reader.verify(assertions.ofGateway('read', 'memory', nowMs), nowMs) as Caller;
  const next = new Assertions(createPrivateKey(makeSigningKey(folder.path)));

  expect(reader.verify(next.ofToken(caller.hash, 'memory', nowMs), nowMs)).toBe(caller);
  expect(reader.verify(before, nowMs)).toBeUndefined();
  expect(reader.isCurrent(own, nowMs)).toBe(false);

  rmSync(publicKeyFile(folder.path));
  expect(reader.verify(next.ofToken(caller.hash, 'git', nowMs), nowMs)).toBeUndefined();
});

test('the key stays the same at the next start, and is for its owner alone', () => {
  const gateway = join(folder.path, 'gateway');
  const again = new Assertions(signingKey(gateway));

  expect(reader.verify(again.ofToken(caller.hash, 'memory', nowMs), nowMs)).toBe(caller);
  expect(statSync(join(gateway, 'signing-key.pem')).mode & 0o077).toBe(0);
});
