import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';

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
  assertions = new Assertions('gateway', signingKey(join(folder.path, 'gateway')));
  reader = new AssertionReader(folder.path, 'memory', tokens);
});
afterEach(() => {
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
  const own = reader.verify(assertions.ofSelf('read', 'memory', nowMs), nowMs) as Caller;

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

function signed(claims: unknown, key = generateKeyPairSync('ed25519').privateKey, signer?: string): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const parts = [payload, sign(null, Buffer.from(payload), key).toString('base64url')];
  return `fla_${[...parts, ...(signer === undefined ? [] : [signer])].join('.')}`;
}

/** The keys of a process of the fleet, which others know it by. */
const keyOf = (signer: string) => createPrivateKey(makeSigningKey(folder.path, signer));
const at = (service: string) => new AssertionReader(folder.path, service, tokens);
const until = { untilMs: nowMs + 1_000 };

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
  const pem = makeSigningKey(folder.path, 'gateway');
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
  const own = reader.verify(assertions.ofSelf('read', 'memory', nowMs), nowMs) as Caller;
  const next = new Assertions('gateway', createPrivateKey(makeSigningKey(folder.path, 'gateway')));

  expect(reader.verify(next.ofToken(caller.hash, 'memory', nowMs), nowMs)).toBe(caller);
  expect(reader.verify(before, nowMs)).toBeUndefined();
  expect(reader.isCurrent(own, nowMs)).toBe(false);

  rmSync(publicKeyFile(folder.path, 'gateway'));
  expect(reader.verify(next.ofToken(caller.hash, 'git', nowMs), nowMs)).toBeUndefined();
});

test('the key stays the same at the next start, and is for its owner alone', () => {
  const gateway = join(folder.path, 'gateway');
  const again = new Assertions('gateway', signingKey(gateway));

  expect(reader.verify(again.ofToken(caller.hash, 'memory', nowMs), nowMs)).toBe(caller);
  expect(statSync(join(gateway, 'signing-key.pem')).mode & 0o077).toBe(0);
});

test("one of an older version, which does not say whose it is, is the gateway's", () => {
  const text = assertions.ofToken(caller.hash, 'memory', nowMs);

  expect(text.endsWith('.gateway')).toBe(true);
  expect(reader.verify(text.slice(0, -'.gateway'.length), nowMs)).toBe(caller);
});

test('health in its own name reads everywhere, and may only look', () => {
  const health = new Assertions('health', keyOf('health'));
  const expected = { name: 'health', scope: ['*:read'], hash: '', only: 'canary' };

  expect(reader.verify(health.ofSelf('read', 'memory', nowMs), nowMs)).toEqual(expected);
  expect(at('gateway').verify(health.ofSelf('read', 'gateway', nowMs), nowMs)).toEqual(expected);
});

test('dashboard in its own name reads one document of health, one of who tells standings, and is believed nowhere else', () => {
  const dashboard = new Assertions('dashboard', keyOf('dashboard'));

  expect(at('health').verify(dashboard.ofSelf('read', 'health', nowMs), nowMs)).toEqual({
    name: 'dashboard',
    scope: ['health:read'],
    hash: '',
    only: ['/overview'],
  });
  const believed = catalogue.flatMap(({ name }: CatalogueEntry) => {
    const one = at(name).verify(dashboard.ofSelf('read', name, nowMs), nowMs);
    return one ? [[name, one.only] as const] : [];
  });
  const telling = catalogue.filter(({ standings }: CatalogueEntry) => standings);
  expect(telling).not.toEqual([]);
  expect(Object.fromEntries(believed)).toEqual({
    health: ['/overview'],
    ...Object.fromEntries(telling.map(({ name }) => [name, ['/standings']])),
  });
  expect(reader.verify(dashboard.ofSelf('read', 'memory', nowMs), nowMs)).toBeUndefined();
  expect(at('gateway').verify(dashboard.ofSelf('read', 'gateway', nowMs), nowMs)).toBeUndefined();
});

/** Whoever has taken over a signer can sign anything with its key, and no more is believed. */
test.each<[string, string, () => unknown]>([
  ['health names a token', 'health', () => ({ for: 'memory', ...until, token: caller.hash })],
  ['health would write', 'health', () => ({ for: 'memory', ...until, own: 'write' })],
  ['health would destroy', 'health', () => ({ for: 'memory', ...until, own: 'destroy' })],
  [
    'health names a token and itself',
    'health',
    () => ({ for: 'memory', ...until, own: 'write', token: caller.hash }),
  ],
  ['health says nothing of whom', 'health', () => ({ for: 'memory', ...until })],
  ['health says what is no claim', 'health', () => ['memory']],
  ['health says nothing', 'health', () => null],
  ['dashboard names a token', 'dashboard', () => ({ for: 'health', ...until, token: caller.hash })],
  ['dashboard would write', 'dashboard', () => ({ for: 'health', ...until, own: 'write' })],
  ['dashboard asks elsewhere', 'dashboard', () => ({ for: 'memory', ...until, own: 'read' })],
  ['memory signs', 'memory', () => ({ for: 'memory', ...until, own: 'read' })],
])('where %s, nobody is let in', (_title, signer, claims) => {
  const text = signed(claims(), keyOf(signer), signer);

  for (const service of ['memory', 'health', 'gateway'])
    expect(at(service).verify(text, nowMs)).toBeUndefined();
});

test("what one signed is not another's, whatever it says", () => {
  const key = keyOf('health');
  keyOf('dashboard');
  const claims = { for: 'memory', ...until, own: 'destroy' };

  for (const signer of ['gateway', 'dashboard', 'nobody', '../health', '__proto__', ''])
    expect(reader.verify(signed(claims, key, signer), nowMs)).toBeUndefined();
  expect(reader.verify(signed({ ...claims, token: caller.hash }, key), nowMs)).toBeUndefined();
  expect(reader.verify(signed({ ...claims, own: 'read' }, key, 'health'), nowMs)).toBeDefined();
});

test('a new key of one signer leaves the others as they are', () => {
  const health = new Assertions('health', keyOf('health'));
  const own = reader.verify(health.ofSelf('read', 'memory', nowMs), nowMs) as Caller;
  keyOf('dashboard');
  assertions.ofToken(caller.hash, 'memory', nowMs);

  expect(reader.verify(health.ofSelf('read', 'memory', nowMs), nowMs)).toBe(own);
  keyOf('health');
  const next = new Assertions('health', createPrivateKey(makeSigningKey(folder.path, 'health')));
  expect(reader.verify(next.ofSelf('read', 'memory', nowMs), nowMs)).not.toBe(own);
  expect(reader.isCurrent(own, nowMs)).toBe(false);
});
