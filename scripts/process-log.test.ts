import { execFileSync } from 'node:child_process';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../tests/support/serve.ts';
import { ProcessLog, troubleIn } from './process-log.ts';

const line = JSON.stringify({
  time: '2026-11-20T12:00:00.000Z',
  level: 'info',
  event: 'x',
  text: 'y'.repeat(900),
});

test('A disk that is too slow for its process loses lines by count, and holds no more than its share of memory', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'slow.log');
  // Nobody reads it yet: writing waits, as for a disk that hangs.
  execFileSync('mkfifo', [file]);
  const log = new ProcessLog(file, () => {});

  const sent = 9_000;
  for (let index = 0; index < sent; index++) log.append(line);
  const read = text(createReadStream(file));
  while (log.isBehind) await new Promise((done) => setImmediate(done));
  log.append(line);
  await log[Symbol.asyncDispose]();

  const lines = (await read).trimEnd().split('\n');
  const lost = lines.flatMap((one) => /"log_lines_lost","lost":(\d+)/.exec(one)?.[1] ?? []).map(Number);
  expect(lost).toHaveLength(1);
  expect(lines.length - 1 + (lost[0] ?? 0)).toBe(sent + 1);
  expect(lines.length * line.length).toBeLessThan(5 * 1024 * 1024);
});

test('Lines are in the file in their order when the log is closed', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'logs', 'x.log');
  const log = new ProcessLog(file, () => {});

  for (const word of ['one', 'two', 'three']) log.append(word);
  await log[Symbol.asyncDispose]();

  expect(readFileSync(file, 'utf8')).toBe('one\ntwo\nthree\n');
});

test.each([
  [{ level: 'warn', event: 'hook_failed', reason: 'no such host' }, 'warn: hook_failed (no such host)'],
  [{ level: 'error', event: 'bug', error: { message: 'x is not y' } }, 'error: bug (x is not y)'],
  [{ level: 'warn', event: 'x', reason: 'a\u001b[31m b\u0007\n✓ c' }, 'warn: x (a b ✓ c)'],
  [
    { level: 'warn', event: 'upstream_down', upstream: 'memory', reason: 'it went away' },
    'warn: upstream_down memory (it went away)',
  ],
  [{ level: 'info', event: 'call' }, undefined],
  [{ level: 'warn', event: 'loop_held', lateMs: 80 }, undefined],
])('of %j the terminal shows what a person can do something about', (record, words) => {
  expect(troubleIn(JSON.stringify({ time: '2026-11-20T12:00:00.000Z', service: 'x', ...record }))).toBe(
    words,
  );
});
