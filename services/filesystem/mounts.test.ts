import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { isLocal, isLocalIn, parseMounts } from './mounts.ts';

const mounts = parseMounts(
  [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw',
    '30 27 0:30 / /home/u/remote rw - nfs4 server:/export rw',
    '31 30 0:31 / /home/u/remote/disk rw - xfs /dev/vdb rw',
    '32 27 0:32 / /home/u/with\\040blank rw - fuse.sshfs host: rw',
    '33 27 0:33 / /mnt rw - nfs server:/old rw',
    '34 33 0:34 / /mnt rw - tmpfs tmpfs rw',
    '',
  ].join('\n'),
);

test.each([
  ['/', true],
  ['/home/u', true],
  ['/home/u/remotely', true],
  ['/home/u/remote', false],
  ['/home/u/remote/a', false],
  ['/home/u/remote/disk/a', true],
  ['/home/u/with blank/a', false],
  ['/home/u/with', true],
  ['/proc/self', false],
  ['/mnt/a', true],
])('%s lies on a disk of this host: %s', (path, expected) => {
  expect(isLocalIn(mounts, path)).toBe(expected);
});

test('where nothing is known of a path, it may not answer', () => {
  expect(isLocalIn([], '/x')).toBe(false);
});

test('what lies in /proc is no disk, and this very machine is looked at', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-test-')));

  expect(isLocal('/proc/self')).toBe(false);
  expect(isLocal(folder)).toBe(isLocal(join(folder, 'x')));
  rmSync(folder, { recursive: true });
});
