import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { obstacleTo } from './data-folder.ts';

test('a folder stands in nobody’s way while there is room', async () => {
  using folder = temporaryFolder();

  expect(await obstacleTo(folder.path, 1)).toBeUndefined();
  expect(await obstacleTo(folder.path, Infinity)).toBe('the disk of the data folder is full');
  expect(await obstacleTo(join(folder.path, 'gone'), 1)).toBe('the data folder cannot be written: ENOENT');
});
