import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../tests/support/serve.ts';
import { obstacleTo } from './data-folder.ts';
import { exitCodes, exitOf } from './errors.ts';

test('a folder stands in nobody’s way while there is room', async () => {
  using folder = temporaryFolder();

  expect(await obstacleTo(folder.path, 1)).toBeUndefined();
  expect(await obstacleTo(folder.path, Infinity)).toBe('the disk of the data folder is full');
  expect(await obstacleTo(join(folder.path, 'gone'), 1)).toBe('the data folder cannot be written: ENOENT');
});

test('a full disk ends a start with one line, and may have room later', () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, mkdir '/data/memory'"), {
    code: 'ENOSPC',
  });

  expect(exitOf(full)).toEqual({
    code: exitCodes.unavailable,
    line: expect.stringMatching(/^The disk is full: free space on it\. .*\/data\/memory/),
  });
});
