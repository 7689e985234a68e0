import { getPriority } from 'node:os';

import { expect, test } from 'vitest';

import { runGit } from './run-git.ts';

test('a git of a token that has more of them leaves the processors to others before it has worked for long', async () => {
  const { output } = await runGit(['-c', 'alias.said=!until [ $(nice) = 19 ]; do sleep 0.02; done; nice', 'said'], {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '' },
    signal: new AbortController().signal,
    confinement: { isSandboxed: false, memoryBytes: 1_000_000_000 },
    takeBytes: 100,
    easesOffSoon: true,
  });

  expect(getPriority()).toBeLessThan(19);
  expect(output.toString()).toBe('19\n');
});
