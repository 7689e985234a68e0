import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

import { afterEach, expect, test, vi } from 'vitest';

import { hostSettings } from '#config/settings.ts';
import { backupFolder } from '#runtime/data/backup-folder.ts';

import { serve, temporaryFolder } from '../tests/support/serve.ts';
import dashboard from '../dashboard/service.ts';
import { keyFile } from './backup/signature.ts';
import { dashboardLine, findToken, withUnitSettings } from './environment.ts';
import { places } from './generate/units.ts';
import { ownCommand } from './own-command.ts';

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

test('On the data of a host, a command by hand has the settings of the unit that does the same, and its own before them', () => {
  using folder = temporaryFolder();
  const put = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
  put('fleet.env', '# For all\nFLOTILLA_BACKUP_RECIPIENT=age1all\nFLOTILLA_BACKUPS="/mnt/backups"\n');
  put('backup.env', 'FLOTILLA_BACKUP_RECIPIENT=age1backup\n');
  put('backup-key', 'key');
  const key = join(folder.path, 'backup-key');
  const data = { FLOTILLA_DATA: places.data };

  expect(withUnitSettings(data, 'backup', folder.path)).toEqual({
    ...data,
    FLOTILLA_BACKUP_RECIPIENT: 'age1backup',
    FLOTILLA_BACKUPS: '/mnt/backups',
    FLOTILLA_BACKUP_KEY: key,
  });
  expect(withUnitSettings(data, undefined, folder.path)).toMatchObject({
    FLOTILLA_BACKUP_RECIPIENT: 'age1all',
  });
  expect(
    withUnitSettings({ ...data, FLOTILLA_BACKUP_RECIPIENT: 'age1given' }, 'backup', folder.path),
  ).toMatchObject({ FLOTILLA_BACKUP_RECIPIENT: 'age1given' });
  const elsewhere = { FLOTILLA_DATA: '/srv/data' };
  expect(withUnitSettings(elsewhere, 'backup', folder.path)).toEqual(elsewhere);
  for (const name of ['fleet.env', 'backup.env', 'backup-key']) rmSync(join(folder.path, name));
  expect(withUnitSettings(data, 'backup', folder.path)).toEqual(data);
});

test('A terminal gets a link that opens the dashboard once; what may be a log gets an address', async () => {
  await using served = await serve(dashboard);
  const host = hostSettings.parse({ FLOTILLA_DATA: served.dataRoot });
  const entry = { port: Number(new URL(served.url).port) };

  const shown = await dashboardLine(host, entry, true);
  const logged = await dashboardLine(host, entry, false);

  const [link = ''] = /^http\S+/.exec(shown) ?? [];
  expect(shown).not.toContain(served.token);
  const open = async () => (await fetch(link, { redirect: 'manual' })).status;
  expect([await open(), await open()]).toEqual([303, 401]);
  expect(logged).toBe(`${served.url}/dashboard  (to sign in: ${ownCommand()} dashboard)`);
  // Without a good token, or a dashboard, there is no link to be had.
  expect(await dashboardLine({ ...host, FLOTILLA_TOKEN: 'flt_wrong' }, entry, true)).toBe(logged);
  await served.stop();
  expect(await dashboardLine(host, entry, true)).toBe(logged);
});

test('What a fleet makes in its checkout unless told otherwise, data, backups, key and settings, is not for git', () => {
  const host = hostSettings.parse({});
  const made = [
    join(host.FLOTILLA_DATA, 'token'),
    join(backupFolder(host), 'x'),
    keyFile(host),
    'workspace/x',
    '.env',
  ];
  using repository = temporaryFolder();
  copyFileSync(new URL('../.gitignore', import.meta.url), join(repository.path, '.gitignore'));
  const git = (...args: string[]) =>
    spawnSync('git', args, { cwd: repository.path, encoding: 'utf8' }).stdout;
  git('init');
  const paths = made.map((path) => relative(process.cwd(), path));

  expect(
    git('check-ignore', ...paths, 'package.json')
      .trim()
      .split('\n'),
  ).toEqual(paths);
});
