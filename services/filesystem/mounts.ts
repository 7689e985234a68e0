/** Which paths lie on a disk of this host: a server that is gone, or a program that plays file system, may never answer. */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** What is not known here is not trusted to answer. */
const localTypes = new Set(
  'bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs iso9660 jfs ntfs3 overlay ramfs squashfs tmpfs udf vfat xfs zfs'.split(
    ' ',
  ),
);
const keptMs = 2_000;

interface Mount {
  /** With a slash at its end. */
  readonly path: string;
  readonly isLocal: boolean;
}

let mounts: readonly Mount[] = [];
let mountPoints = new Set<string>();
let readAtMs = -Infinity;

/** @param above the folder that it lies in, where that is known: what is no mount point lies where its folder does. */
export function isLocal(path: string, above?: { readonly isLocal: boolean }): boolean {
  if (performance.now() - readAtMs > keptMs) {
    mounts = parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
    mountPoints = new Set(mounts.map((mount) => (mount.path === '/' ? '/' : mount.path.slice(0, -1))));
    readAtMs = performance.now();
  }
  return above && !mountPoints.has(path) ? above.isLocal : isLocalIn(mounts, path);
}

/** The deepest first; of those at one place the last, which is the one that is seen. */
export const parseMounts = (mountinfo: string): readonly Mount[] =>
  mountinfo
    .split('\n')
    .flatMap((line): Mount[] => {
      const [before = '', after] = line.split(' - ');
      if (after === undefined) return [];
      const path = unescaped(before.split(' ')[4] ?? '');
      return [{ path: path === '/' ? path : `${path}/`, isLocal: localTypes.has(after.split(' ')[0] ?? '') }];
    })
    .toReversed()
    .toSorted((one, other) => other.path.length - one.path.length);

export function isLocalIn(mounts: readonly Mount[], path: string): boolean {
  const folder = `${path}/`;
  return mounts.find((mount) => folder.startsWith(mount.path))?.isLocal ?? false;
}

/** The kernel writes blanks and backslashes as three digits. */
const unescaped = (path: string) =>
  path.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
