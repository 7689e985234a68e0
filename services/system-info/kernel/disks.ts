/** File systems and block devices. */
import {
  Absent,
  later,
  linesOf,
  optional,
  percentOf,
  readLink,
  readNames,
  readNumber,
  readText,
  type Gaps,
  type Host,
} from '../host.ts';
import { readMounts, type Mount } from './mounts.ts';

export interface FileSystem {
  readonly source: string;
  readonly fstype: string;
  readonly target: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly availableBytes: number;
  readonly usedPercent: number | undefined;
  readonly inodes: number | undefined;
  readonly inodesUsedPercent: number | undefined;
}

/** Kinds that hold no files of anybody. */
const pseudo = new Set(
  'autofs bdev binder binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs pipefs proc pstore ramfs rpc_pipefs securityfs selinuxfs sockfs sysfs tracefs'.split(
    ' ',
  ),
);
/** Asking these can take for ever, where the other side is gone. */
const remote = /^(?:nfs4?|cifs|smb3|smbfs|ceph|glusterfs|9p|afs|lustre|beegfs|davfs|fuse\..*|fuse)$/;
/** Numbered by file system and not by mount, so that they cannot be compared. */
const numberedOtherwise = new Set(['btrfs', 'overlay', 'zfs', 'bcachefs']);

/** A file system each, however often it is mounted, as `df` does. @throws Absent. */
export function fileSystemMounts(host: Host, gaps: Gaps): Mount[] {
  const mounts = readMounts(host);
  const kept = new Map<string, Mount>();
  for (const [index, mount] of mounts.entries()) {
    const { target, fstype, device } = mount;
    if (pseudo.has(fstype) || isMask(mount)) continue;
    const cover = mounts.slice(index + 1).find((later) => later.target === target);
    if (cover && isMask(cover)) {
      gaps.add(target, 'the unit of this service hides what is mounted there', 'Ask on the host itself.');
      continue;
    }
    if (cover) continue;
    const known = kept.get(device);
    if (!known || target.length < known.target.length) kept.set(device, mount);
  }
  return [...kept.values()];
}

/** What systemd puts over a place that a unit may not see. */
const isMask = ({ root, source, fstype }: Mount) =>
  root.includes('systemd/inaccessible') ||
  source.includes('systemd/inaccessible') ||
  (fstype === 'tmpfs' && source === 'ro-tmpfs');

/** @throws Absent where it cannot be asked, or is another one than is mounted. */
export async function fileSystemOf(
  host: Host,
  mount: Mount,
  deadlineMs = statDeadlineMs,
): Promise<FileSystem | undefined> {
  const { source, fstype, target, device } = mount;
  if (remote.test(fstype)) throw new Absent(`${fstype} is not asked, for its server may never answer`);
  const found = await Promise.race([look(host, mount), later(deadlineMs)]);
  if (found === undefined) throw new Absent(`the file system gave no answer within ${deadlineMs} ms`);
  if (found.device !== device && !numberedOtherwise.has(fstype)) {
    throw new Absent('something else covers it in the view of this service', 'Ask on the host itself.');
  }
  const { bsize, blocks, bfree, bavail, files, ffree } = found.room;
  // No room at all: nothing is stored there, as `df` has it.
  if (blocks === 0) return undefined;
  const usedBytes = (blocks - bfree) * bsize;
  const availableBytes = bavail * bsize;
  const usedPercent = percentOf(usedBytes, usedBytes + availableBytes);
  return {
    source,
    fstype,
    target,
    sizeBytes: blocks * bsize,
    usedBytes,
    availableBytes,
    usedPercent,
    // Some kinds have no table of them.
    inodes: files === 0 ? undefined : files,
    inodesUsedPercent: percentOf(files - ffree, files),
  };
}

const statDeadlineMs = 2_000;

async function look(host: Host, { target }: Mount) {
  try {
    return { device: host.deviceOf(target), room: await host.statfs(target) };
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new Absent(`this service may not look there (${code})`);
  }
}

export interface BlockDevice {
  readonly name: string;
  readonly type: string;
  readonly sizeBytes: number;
  readonly parent?: string;
  readonly model?: string | undefined;
  readonly vendor?: string | undefined;
  readonly rotational?: boolean | undefined;
  readonly removable?: boolean | undefined;
  readonly readOnly?: boolean | undefined;
  readonly fstype?: string | undefined;
  readonly mountpoints: readonly string[];
}

/** Each device with its partitions after it. @throws Absent. */
export function blockDevices(host: Host): BlockDevice[] {
  const mounts = optional(() => readMounts(host)) ?? [];
  return readNames(host, '/sys/block').flatMap((name) => {
    const folder = `/sys/block/${name}`;
    const disk = deviceAt(host, folder, name, mounts);
    // Loop and RAM devices that hold nothing.
    if (!disk || (disk.sizeBytes === 0 && /^(?:loop|ram|zram|nbd)\d/.test(name))) return [];
    const parts = readNames(host, folder)
      .filter((part) => optional(() => readText(host, `${folder}/${part}/partition`)) !== undefined)
      .map((part) => deviceAt(host, `${folder}/${part}`, part, mounts, name))
      .filter((part) => part !== undefined);
    return [disk, ...parts];
  });
}

function deviceAt(
  host: Host,
  folder: string,
  name: string,
  mounts: readonly Mount[],
  parent?: string,
): BlockDevice | undefined {
  const text = (file: string) => {
    const value = optional(() => readText(host, `${folder}/${file}`).trim());
    return value === '' ? undefined : value;
  };
  const sectors = optional(() => readNumber(host, `${folder}/size`));
  if (sectors === undefined) return undefined;
  const flag = (file: string) => (text(file) === undefined ? undefined : text(file) === '1');
  const number = text('dev');
  const here = mounts.filter(({ device }) => device === number);
  return {
    name,
    type: parent === undefined ? kindOf(name, text('dm/uuid'), text('device/type')) : 'part',
    sizeBytes: sectors * sectorBytes,
    ...(parent !== undefined && { parent }),
    model: text('device/model'),
    vendor: text('device/vendor'),
    rotational: flag('queue/rotational'),
    removable: flag('removable'),
    readOnly: flag('ro'),
    fstype: here[0]?.fstype,
    mountpoints: [...new Set(here.map(({ target }) => target))].slice(0, mostMountpoints),
  };
}

/** The kernel counts in these, whatever the device does. */
export const sectorBytes = 512;
const mostMountpoints = 10;

function kindOf(name: string, mapped: string | undefined, scsi: string | undefined): string {
  if (mapped !== undefined)
    return mapped.startsWith('CRYPT') ? 'crypt' : mapped.startsWith('LVM') ? 'lvm' : 'dm';
  if (/^md\d/.test(name)) return 'raid';
  if (/^loop\d/.test(name)) return 'loop';
  return scsi === '5' || /^sr\d/.test(name) ? 'rom' : 'disk';
}

export interface DiskCounts {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly busyMs: number;
}

/** Of whole disks, since the host began: what lies on others (partitions, mapped devices) is counted there. @throws Absent. */
export function readDiskCounts(host: Host): ReadonlyMap<string, DiskCounts> {
  return new Map(
    linesOf(readText(host, '/proc/diskstats'))
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , name = '']) => wholeDisk.test(name))
      .map(([, , name = '', ...counts]) => {
        const at = (index: number) => Number(counts[index]);
        return [name, { readBytes: at(2) * sectorBytes, writtenBytes: at(6) * sectorBytes, busyMs: at(9) }];
      }),
  );
}

const wholeDisk = /^(?:[shv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+|dasd[a-z]+|pmem\d+)$/;

/** The driver that a device has. */
export const driverOf = (host: Host, folder: string): string | undefined =>
  optional(() => readLink(host, `${folder}/driver`).split('/').at(-1));
