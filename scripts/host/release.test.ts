import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { codeFiles } from './release.ts';

test('A release has what runs, and nothing that lies beside it', () => {
  using folder = temporaryFolder();
  const code = ['package.json', 'scripts/host/release.ts', 'services/memory/migrations/1.sql'];
  const beside = ['data-backups/all.zst', 'data/token', 'notes/secret', 'scripts/.env', 'scripts/a.test.ts'];
  for (const path of [...code, ...beside]) {
    mkdirSync(dirname(join(folder.path, path)), { recursive: true });
    writeFileSync(join(folder.path, path), '');
  }

  expect(codeFiles(folder.path)).toEqual(code);
});

test('This release has the command line and every kind of process', () => {
  expect(codeFiles()).toEqual(
    expect.arrayContaining([
      'config/catalogue.ts',
      'dashboard/service.ts',
      'health/service.ts',
      'scripts/flotilla',
    ]),
  );
});
