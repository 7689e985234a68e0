import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { contains, isNamed, openRoots } from './roots.ts';
import { parseHostSettings } from './process/settings.ts';

let place: string;
beforeEach(() => {
  place = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-roots-')));
  for (const folder of ['data', 'data-backups', 'work/deep', 'work-evil', 'other']) {
    mkdirSync(join(place, folder), { recursive: true });
  }
  symlinkSync(join(place, 'work'), join(place, 'link'));
  writeFileSync(join(place, 'file'), '');
});
afterEach(() => rmSync(place, { recursive: true }));

const at = (...names: string[]) => names.map((name) => join(place, name)).join(':');
const opened = (own: string | undefined, all?: string) =>
  openRoots(
    'FLOTILLA_GIT_ROOTS',
    own,
    parseHostSettings({ FLOTILLA_DATA: join(place, 'data'), FLOTILLA_ROOTS: all }),
  );
const roots = (own: string | undefined, all?: string) => opened(own, all).roots;

test('a service has the roots of the host, unless it has its own', () => {
  expect(roots(undefined, at('work', 'other'))).toEqual([join(place, 'work'), join(place, 'other')]);
  expect(roots(at('other'), at('work'))).toEqual([join(place, 'other')]);
  expect(roots(undefined)).toEqual([]);
});

test('a root is a real path, named once, and none lies within another', () => {
  expect(roots(at('link', 'work', 'work/deep', 'work-evil'))).toEqual([
    join(place, 'work'),
    join(place, 'work-evil'),
  ]);
});

test('a root that was named through a link is known by that name too', () => {
  expect([...opened(undefined, at('link', 'other')).linked]).toEqual([
    [join(place, 'link'), join(place, 'work')],
  ]);
});

test('one that is missing among others is left out with a warning, and the setting is named that was used', () => {
  expect(opened(at('nowhere', 'work'))).toMatchObject({
    roots: [join(place, 'work')],
    warnings: [
      `The root ${join(place, 'nowhere')} is no folder, and is left out. Make it, or take it out of FLOTILLA_GIT_ROOTS; then restart.`,
    ],
  });
  expect(opened(undefined, at('work', 'file')).warnings).toEqual([
    expect.stringMatching(
      /file is no folder.*out of FLOTILLA_ROOTS, or of the --root of start or install; then/,
    ),
  ]);
  expect(opened(undefined, at('work')).warnings).toEqual([]);
});

test.each([
  ['that is missing', () => at('nowhere'), /No root is a folder: \S*nowhere\. .*FLOTILLA_GIT_ROOTS/],
  ['that is a file', () => at('file'), /No root is a folder: \S*file\. /],
  ['that nobody expands', () => '~/work', /write the path in full/],
  ['that holds the data', () => place, /the data folder/],
  ['within the data', () => at('data'), /the data folder/],
  ['with the backups', () => at('data-backups'), /the backups/],
  ['that holds everything', () => '/', /overlap/],
  ['within the code', () => fileURLToPath(new URL('.', import.meta.url)), /own code/],
  ['that holds the code', () => fileURLToPath(new URL('..', import.meta.url)), /overlap/],
  ['that holds tokens', () => homedir(), /overlap/],
])('a root %s is refused', (_, setting, message) => {
  expect(() => roots(setting())).toThrow(
    expect.objectContaining({ message: expect.stringMatching(message) }),
  );
});

test('a folder of the checkout beside the code may be a root, as the workspace is', () => {
  const workspace = mkdtempSync(fileURLToPath(new URL('../workspace-', import.meta.url)));
  try {
    expect(roots(workspace)).toEqual([realpathSync(workspace)]);
  } finally {
    rmSync(workspace, { recursive: true });
  }
});

test('a folder whose name only begins alike is another folder', () => {
  expect(contains('/files', '/files-evil')).toBe(false);
  expect(contains('/files', '/files/..evil')).toBe(true);
  expect(contains('/files', '/files')).toBe(true);
  expect(contains('/files', '/')).toBe(false);
});

test.each(['.git', '.GIT', '.Git', '.g\u200cit', '.gi\u00adt\ufeff', '\uff0egit'])(
  'a name that some file system takes for another is that other: %j',
  (name) => {
    expect(isNamed(name, '.git')).toBe(true);
  },
);

test.each(['git', '.gitignore', '.g it', '.gít', ''])(
  'a name that only looks alike is another: %j',
  (name) => {
    expect(isNamed(name, '.git')).toBe(false);
  },
);
