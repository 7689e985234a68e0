import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, expect, test, vi } from 'vitest';

import { hostSettings } from '#config/settings.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { findToken } from './environment.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('A unit of systemd finds its token among its credentials, before that of the data folder', () => {
  using credentials = temporaryFolder();
  using data = temporaryFolder();
  writeFileSync(join(credentials.path, 'token'), 'of-the-unit\n');
  writeFileSync(join(data.path, 'token'), 'of-the-owner\n');
  const host = hostSettings.parse({ FLOTILLA_DATA: data.path });

  expect(findToken(host)).toBe('of-the-owner');
  vi.stubEnv('CREDENTIALS_DIRECTORY', credentials.path);

  expect(findToken(host)).toBe('of-the-unit');
  expect(findToken({ ...host, FLOTILLA_TOKEN: 'given' })).toBe('given');
});
