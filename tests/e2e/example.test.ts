import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { temporaryFolder } from '../support/serve.ts';

/** Runs an example where no fleet is. @returns what it said. */
async function played(example: string, folder: string): Promise<string> {
  const script = fileURLToPath(new URL(`../../examples/${example}/run.ts`, import.meta.url));
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const child = spawn(process.execPath, [script], {
    cwd: folder,
    env: { ...isolatedEnvironment({ FLOTILLA_DATA: join(folder, 'data') }), TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [said, words, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  const wholly = `${said}\n${words}`;
  expect(code, wholly).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
  return said;
}

test('three agents share a repository, one is killed, and all work is done', async () => {
  using folder = temporaryFolder();

  const said = await played('three-agents', folder.path);

  for (const part of [
    /How to begin → (ada|ben)/,
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
});

test('two coding agents share a list of tasks; a conflict is mended, and one takes over from the other', async () => {
  using folder = temporaryFolder();

  const said = await played('two-coding-agents', folder.path);

  for (const part of [
    /claims “Take cards”: a worktree of its own, on task\/t\d+-\w{4}-take-cards/,
    /cannot merge “(Take cards|Take coupons)”: conflicts in features\.txt/,
    /is told: “The branch \S+ could not be merged: it conflicts with main in features\.txt”/,
    'keeps what both meant: “features: cards, cart, coupons”',
    /(claude|codex) is killed in the middle of guide\.md/,
    'takes “Write the guide” over: what was committed is there',
    'merges “Write the release notes” as',
    /\(4 of 4\)/,
    'reads in features.txt: “features: cards, cart, coupons”',
    'nothing lost',
  ])
    expect(said).toMatch(part);
});
