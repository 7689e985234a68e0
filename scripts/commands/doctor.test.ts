import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { checkSecrets } from './doctor.ts';

test.each([
  ['token', 0o600, undefined],
  ['token', 0o640, 'read'],
  ['tokens.json', 0o640, undefined],
  ['tokens.json', 0o644, 'read'],
  ['upstreams.json', 0o640, undefined],
  ['upstreams.json', 0o644, 'read'],
  ['upstreams.json', 0o660, 'change'],
  ['upstreams.json', 0o602, 'change'],
  ['upstreams.env', 0o600, undefined],
  ['upstreams.env', 0o640, 'read'],
  ['upstreams.env', 0o620, 'change'],
])('%s with mode %o: what others can do is %s', (name, mode, can) => {
  using folder = temporaryFolder();
  const file = join(folder.path, name);
  writeFileSync(file, name === 'tokens.json' ? '{"tokens":[]}' : '');
  chmodSync(file, mode);

  const finding = checkSecrets(folder.path).find(({ subject }) => subject === file);
  expect(finding?.trouble).toBe(can && `others on this host can ${can} it`);
  expect(finding?.remedy?.replace(/^chmod [^ ]+ /, '')).toBe(can && file);
});
