import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test, vi } from 'vitest';

import { runModule } from '../../tests/support/child.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import {
  createToken,
  ensureFirstToken,
  firstTokenFile,
  readTokens,
  revokeToken,
  TokenRegistry,
} from './tokens.ts';

const nowMs = Date.parse('2026-11-20T12:00:00Z');
const forEver = { scope: ['*'], expiresAt: null };

describe('A token', () => {
  test('is known by its secret, of which only the hash is kept', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, {
      name: 'helper',
      scope: ['memory:read'],
      expiresAt: null,
    });
    const registry = new TokenRegistry(folder.path);

    expect(registry.verify(secret, nowMs)).toMatchObject({ name: 'helper', scope: ['memory:read'] });
    expect(registry.verify(`${secret}x`, nowMs)).toBeUndefined();
    expect(registry.verify('', nowMs)).toBeUndefined();
    expect(readFileSync(join(folder.path, 'tokens.json'), 'utf8')).not.toContain(secret);
    expect(statSync(join(folder.path, 'tokens.json')).mode & 0o777).toBe(0o600);
  });

  test('is good until the moment at which it expires, for what stays open as well', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, {
      name: 'brief',
      scope: ['*'],
      expiresAt: new Date(nowMs),
    });
    const registry = new TokenRegistry(folder.path);

    const caller = registry.verify(secret, nowMs - 1);

    expect(caller).toBeDefined();
    expect(registry.verify(secret, nowMs)).toBeUndefined();
    expect(caller && registry.isAlive(caller.hash, nowMs - 1)).toBe(true);
    expect(caller && registry.isAlive(caller.hash, nowMs)).toBe(false);
    expect(caller && registry.isCurrent(caller, nowMs - 1)).toBe(true);
    expect(caller && registry.isCurrent(caller, nowMs)).toBe(false);
  });

  test('is told with all others as they are now, and is the same while it does not change', async () => {
    using folder = temporaryFolder();
    await createToken(folder.path, { name: 'helper', ...forEver });
    const registry = new TokenRegistry(folder.path);
    const [before] = registry.all();

    await createToken(folder.path, { name: 'other', ...forEver });
    await vi.waitFor(() => expect(registry.all().map(({ name }) => name)).toEqual(['helper', 'other']));

    expect(registry.all()[0]).toBe(before);
  });

  test('of a name that is taken is not made, nor one whose name is none', async () => {
    using folder = temporaryFolder();
    await createToken(folder.path, { name: 'helper', ...forEver });

    await expect(createToken(folder.path, { name: 'helper', ...forEver })).rejects.toThrow(/Revoke it first/);
    for (const name of ['', '-x', 'a b', '../x', 'x'.repeat(65)]) {
      await expect(createToken(folder.path, { name, ...forEver })).rejects.toThrow(/cannot name a token/);
    }
    // Records would not tell it from the process that signs in this name.
    for (const name of ['gateway', 'health', 'dashboard'])
      await expect(createToken(folder.path, { name, ...forEver })).rejects.toThrow(
        /is a process of the fleet/,
      );
  });

  test('that was revoked is unknown to a registry that was open before, and is not alive', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, { name: 'helper', ...forEver });
    const registry = new TokenRegistry(folder.path);
    const caller = registry.verify(secret, nowMs);

    await revokeToken(folder.path, 'helper');
    await vi.waitFor(() => expect(registry.verify(secret, nowMs)).toBeUndefined());
    expect(caller && registry.isAlive(caller.hash, nowMs)).toBe(false);
    expect(caller && registry.isCurrent(caller, nowMs)).toBe(false);
  });

  test('whose scope was narrowed is not what it was, while the others are', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, { name: 'helper', ...forEver });
    const otherSecret = await createToken(folder.path, { name: 'other', ...forEver });
    const registry = new TokenRegistry(folder.path);
    const before = registry.verify(secret, nowMs);
    const other = registry.verify(otherSecret, nowMs);
    const file = join(folder.path, 'tokens.json');
    const list = JSON.parse(readFileSync(file, 'utf8')) as { tokens: { name: string; scope: string[] }[] };
    for (const token of list.tokens) if (token.name === 'helper') token.scope = ['memory:read'];

    writeFileSync(file, JSON.stringify(list));
    await vi.waitFor(() => expect(before && registry.isCurrent(before, nowMs)).toBe(false));

    expect(registry.verify(secret, nowMs)).toMatchObject({ name: 'helper', scope: ['memory:read'] });
    expect(other && registry.isCurrent(other, nowMs)).toBe(true);
  });

  test('is not alive again when another of its name is made', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, { name: 'helper', ...forEver });
    const before = new TokenRegistry(folder.path);
    const caller = before.verify(secret, nowMs);

    await revokeToken(folder.path, 'helper');
    await createToken(folder.path, { name: 'helper', ...forEver });

    const after = new TokenRegistry(folder.path);
    expect(caller && after.isAlive(caller.hash, nowMs)).toBe(false);
  });

  test('that does not exist cannot be revoked', async () => {
    using folder = temporaryFolder();

    await expect(revokeToken(folder.path, 'nobody')).rejects.toThrow(/no token named nobody/);
  });
});

test('A list that is taken away refuses everyone', async () => {
  using folder = temporaryFolder();
  const secret = await createToken(folder.path, { name: 'helper', ...forEver });
  const registry = new TokenRegistry(folder.path);

  rmSync(join(folder.path, 'tokens.json'));
  await vi.waitFor(() => expect(registry.verify(secret, nowMs)).toBeUndefined());
});

test('Tokens that two processes make at once are all kept', async () => {
  using folder = temporaryFolder();
  const code = (prefix: string) => `
    import { createToken } from '#runtime/access/tokens.ts';
    for (let i = 0; i < 20; i++) await createToken(process.argv[1], { name: '${prefix}' + i, scope: ['*'], expiresAt: null });
  `;
  await using one = runModule(code('a'), folder.path);
  await using other = runModule(code('b'), folder.path);

  expect([await one.exited(), await other.exited()]).toEqual([0, 0]);

  expect(readTokens(folder.path).length).toBe(40);
});

test('Of processes that start at once, one makes the first token, and its secret lies beside the list', async () => {
  using folder = temporaryFolder();
  const code = `
    import { ensureFirstToken } from '#runtime/access/tokens.ts';
    await ensureFirstToken(process.argv[1]);
  `;
  await using one = runModule(code, folder.path);
  await using other = runModule(code, folder.path);
  expect([await one.exited(), await other.exited()]).toEqual([0, 0]);

  const registry = new TokenRegistry(folder.path);

  const secret = readFileSync(firstTokenFile(folder.path), 'utf8').trim();
  expect(registry.verify(secret, nowMs)).toMatchObject({ name: 'first', scope: ['*'] });
  expect(readTokens(folder.path).length).toBe(1);
  expect(statSync(firstTokenFile(folder.path)).mode & 0o777).toBe(0o600);
});

test('Revoking the first token does not bring another one into being', async () => {
  using folder = temporaryFolder();
  await ensureFirstToken(folder.path);
  await revokeToken(folder.path, 'first');

  await ensureFirstToken(folder.path);

  expect(readTokens(folder.path)).toEqual([]);
});

describe('A list that cannot be read', () => {
  test.each(['', '{', '[]', '{"tokens":[{"name":"x"}]}', '{"tokens":[],"more":1}'])(
    'stops the start: %j',
    (contents) => {
      using folder = temporaryFolder();
      writeFileSync(join(folder.path, 'tokens.json'), contents);

      expect(() => new TokenRegistry(folder.path)).toThrow(/tokens\.json cannot be read/);
    },
  );

  test('later refuses everyone and says so, until it can be read again', async () => {
    using folder = temporaryFolder();
    const secret = await createToken(folder.path, { name: 'helper', ...forEver });
    const good = readFileSync(join(folder.path, 'tokens.json'), 'utf8');
    const registry = new TokenRegistry(folder.path);

    writeFileSync(join(folder.path, 'tokens.json'), good.slice(0, -10));
    await vi.waitFor(() => expect(registry.verify(secret, nowMs)).toBeUndefined());

    writeFileSync(join(folder.path, 'tokens.json'), good);
    await vi.waitFor(() => expect(registry.verify(secret, nowMs)).toBeDefined());
  });
});
