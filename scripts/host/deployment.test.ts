import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { originOf, places, unitFiles } from '../generate/units.ts';
import { unitsThere } from './deployment.ts';
import { dropInOrigin, dropIns } from './drop-ins.ts';

test('Units count as ours by what is in them, and not by their names', () => {
  using folder = temporaryFolder();
  const put = (path: string, text: string) => {
    const file = join(folder.path, places.units, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const units = unitFiles(catalogue);
  const choices = { user: null, roots: [], egress: [], addresses: {} };
  const ours = new Map([
    ...units,
    ...dropIns(catalogue, choices, { processors: 2, nameServers: [], addresses: [], backups: undefined }),
    ['flotilla@retired.service', `${originOf('flotilla@retired.service')}[Unit]\n`],
    ['flotilla@retired.service.d/50-install.conf', dropInOrigin],
  ]);
  for (const [path, text] of ours) put(path, text);
  put('flotilla-offsite.service', '[Service]\nExecStart=/usr/local/bin/offsite\n');
  put('flotilla-copied.service', units.get('flotilla-backup.service') ?? '');
  put('flotilla-offsite.service.d/50-install.conf', '[Service]\n');
  put('flotilla@memory.service.d/override.conf', '[Service]\n');
  mkdirSync(join(folder.path, places.units, 'flotilla.target.wants'));

  expect(unitsThere(folder.path).toSorted()).toEqual(
    [...ours.keys()].map((path) => join(places.units, path)).toSorted(),
  );
});
