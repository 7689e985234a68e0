import { getPriority } from 'node:os';

import { expect, test } from 'vitest';

import { runGit, type Run } from './run-git.ts';

const run: Run = {
  cwd: '/',
  env: { PATH: process.env['PATH'] ?? '' },
  signal: new AbortController().signal,
  confinement: { isSandboxed: false, memoryBytes: 1_000_000_000 },
  takeBytes: 100,
};

test('a git of a token that has more of them leaves the processors to others before it has worked for long', async () => {
  const waits = 'alias.said=!until [ $(nice) = 19 ]; do sleep 0.02; done; nice';

  const { output } = await runGit(['-c', waits, 'said'], { ...run, easesOffSoon: true });

  expect(getPriority()).toBeLessThan(19);
  expect(output.toString()).toBe('19\n');
});

test('a git of a call that is given up while it starts is ended', async () => {
  const controller = new AbortController();
  const running = runGit(['-c', 'alias.on=!while :; do sleep 1; done', 'on'], {
    ...run,
    signal: controller.signal,
  });

  controller.abort(new Error('enough'));

  await expect(running).rejects.toThrow('enough');
});
