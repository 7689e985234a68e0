import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { temporaryFolder } from '../support/serve.ts';

const script = fileURLToPath(new URL('../../examples/three-agents/run.ts', import.meta.url));

test('three agents share a repository, one is killed, and all work is done', async () => {
  using folder = temporaryFolder();
  const temporary = join(folder.path, 'tmp');
  mkdirSync(temporary);
  const child = spawn(process.execPath, [script], {
    cwd: folder.path,
    env: { ...isolatedEnvironment({ FLOTILLA_DATA: join(folder.path, 'data') }), TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said, words, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  const wholly = `${said}\n${words}`;

  expect(code, wholly).toBe(0);
  for (const part of [
    'How to begin → ada',
    / is killed in the middle of guide\.md/,
    /cannot have guide\.md: (ada|ben) has reserved it/,
    /lead {2}hears from the hub that (ada|ben) is gone/,
    /puts guide\.md back as it was/,
    /\(4 of 4\)/,
    'sees 5 commits, and nothing half-written',
    '0 requests without an answer',
    'has 4 messages of the conversation replayed',
    'nothing lost',
  ])
    expect(said).toMatch(part);
  expect(readdirSync(temporary)).toEqual([]);
});
