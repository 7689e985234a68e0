import { randomBytes } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { ConfigError } from '#runtime/errors.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { createSessions, readSessionKey, sessionSeconds } from './sessions.ts';

const hash = 'a'.repeat(64);
const otherHash = 'b'.repeat(64);
const noon = Date.parse('2026-11-20T12:00:00Z');

test('a cookie opens to the hash it was sealed with, until its end', () => {
  let nowMs = noon;
  const sessions = createSessions(randomBytes(32), () => nowMs);
  const cookie = sessions.seal(hash);

  nowMs += sessionSeconds * 1_000 - 1;
  const before = sessions.open(cookie);
  nowMs += 1;

  expect(before).toBe(hash);
  expect(sessions.open(cookie)).toBeUndefined();
});

test('a cookie that was changed, made up or sealed with another key opens to nothing', () => {
  const sessions = createSessions(randomBytes(32), () => noon);
  const cookie = sessions.seal(hash);
  const end = noon + sessionSeconds * 1_000;
  const forged = [
    '',
    'x',
    cookie.replace(hash, otherHash),
    cookie.replace(String(end), String(end + 1)),
    `${cookie}0`,
    cookie.slice(0, -1),
    `${hash}.${end}.${'0'.repeat(64)}`,
    createSessions(randomBytes(32), () => noon).seal(hash),
  ];

  expect(sessions.open(cookie)).toBe(hash);
  expect(forged.map((value) => sessions.open(value))).toEqual(forged.map(() => undefined));
});

test('the key is made once, for its owner alone', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'session-key');

  const key = readSessionKey(file);

  expect(key).toHaveLength(32);
  expect(readSessionKey(file)).toEqual(key);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('a file that holds no key stops the start', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'session-key');
  writeFileSync(file, 'short\n');

  expect(() => readSessionKey(file)).toThrow(ConfigError);
});
