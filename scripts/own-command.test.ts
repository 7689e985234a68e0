import { chmodSync, globSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { run } from '../tests/support/fleet.ts';
import { temporaryFolder } from '../tests/support/serve.ts';
import { launcherText, ownCommand } from './own-command.ts';

const script = fileURLToPath(new URL('flotilla', import.meta.url));
const home = fileURLToPath(new URL('..', import.meta.url));

describe('The command to type', () => {
  test('is the path of the script, short where it can be', () => {
    expect(ownCommand('', home)).toBe('scripts/flotilla');
    expect(ownCommand('', '/')).toBe(script.slice(1));
    expect(ownCommand('', '/usr/lib')).toBe(script);
  });

  test('is the name where a launcher of this checkout is on the PATH, and not where it is of another', () => {
    using folder = temporaryFolder();
    const launcher = join(folder.path, 'flotilla');
    const other = join(folder.path, 'other');
    writeFileSync(other, '');

    writeFileSync(launcher, launcherText(script, '/data'));
    expect(ownCommand(`/nowhere:${folder.path}`, '/usr')).toBe('flotilla');
    writeFileSync(launcher, launcherText(other, '/data'));
    expect(ownCommand(folder.path, '/usr')).toBe(script);
    writeFileSync(launcher, '#!/bin/sh\n');
    expect(ownCommand(folder.path, '/usr')).toBe(script);
  });
});

test('No document and no message says a way to call it that asks the public registry', () => {
  const paths = globSync(
    ['*.md', '{config,dashboard,docs,health,runtime,scripts,services,tests}/**/*.{md,ts,json}'],
    {
      cwd: home,
    },
  );
  const found = paths.filter(
    (path) => path !== 'CHANGELOG.md' && /npx (-\S+ )*flotilla/.test(readFileSync(join(home, path), 'utf8')),
  );

  expect(paths).toContain('README.md');
  expect(paths).toContain('scripts/own-command.ts');
  expect(found).toEqual([]);
});

test.each(['/plain', '/with space', '/with "quotes" and $HOME and `id` and \\'])(
  'A launcher of %s finds its script and its data, and leaves arguments as they are',
  (name) => {
    using folder = temporaryFolder();
    const place = join(folder.path, name);
    mkdirSync(place);
    const program = join(place, 'print');
    writeFileSync(program, '#!/bin/sh\nprintf "%s\\n" "$FLOTILLA_DATA" "$@"\n');
    chmodSync(program, 0o755);
    const launcher = join(folder.path, 'flotilla');
    writeFileSync(launcher, launcherText(program, place));

    const printed = (env: NodeJS.ProcessEnv) =>
      spawnSync('sh', [launcher, 'a b', '$c'], { env, encoding: 'utf8' }).stdout;

    expect(printed({})).toBe(`${place}\na b\n$c\n`);
    expect(printed({ FLOTILLA_DATA: 'mine' })).toBe('mine\na b\n$c\n');
  },
);

describe('flotilla install-cli', () => {
  test('puts a launcher there that works from any folder, on the data and the .env of this one', () => {
    using folder = temporaryFolder();
    const settings = { FLOTILLA_DATA: join(folder.path, 'data') };
    writeFileSync(join(folder.path, '.env'), 'FLOTILLA_PORT_OFFSET=11000\n');

    const { code, stdout } = run(['install-cli', '--to', join(folder.path, 'bin')], settings);
    const elsewhere = spawnSync(join(folder.path, 'bin/flotilla'), ['status'], {
      cwd: '/',
      encoding: 'utf8',
    });

    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/is not on your PATH: echo/) });
    expect(elsewhere.stdout).toContain('15321');
    expect(run(['install-cli', '--to', join(folder.path, 'bin')], settings).code).toBe(0);
  });

  test('fails at once where nothing can be made', () => {
    using folder = temporaryFolder();

    const { code, stderr } = run(['install-cli', '--to', '/proc/none/bin'], { FLOTILLA_DATA: folder.path });

    expect({ code, stderr }).toEqual({
      code: 78,
      stderr:
        'flotilla: /proc/none/bin/flotilla cannot be written (ENOENT). Name another folder with --to.\n',
    });
  });

  test('leaves a program of somebody else alone', () => {
    using folder = temporaryFolder();
    symlinkSync('/bin/true', join(folder.path, 'flotilla'));

    const { code, stderr } = run(['install-cli', '--to', folder.path], { FLOTILLA_DATA: folder.path });

    expect({ code, stderr }).toEqual({ code: 78, stderr: expect.stringContaining('is another program') });
  });
});
