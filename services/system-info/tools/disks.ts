import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { figure, gaps, here, maybe, maybeText, rowsOf, text } from '../fields.ts';
import { Gaps, type Host } from '../host.ts';
import { blockDevices, fileSystemMounts, fileSystemOf, type FileSystem } from '../kernel/disks.ts';
import { mostListed } from '../limits.ts';
import type { Watch } from '../watch.ts';

/** As df shows it: whole, and never less than it is. */
const wholePercent = ({ usedBytes, availableBytes }: FileSystem) =>
  usedBytes + availableBytes === 0 ? undefined : Math.ceil((100 * usedBytes) / (usedBytes + availableBytes));

/** Each file system that can be asked. */
export async function fileSystems(host: Host, missing: Gaps): Promise<FileSystem[]> {
  const mounts = missing.of('filesystems', () => fileSystemMounts(host, missing)) ?? [];
  const all = await Promise.all(
    mounts.map(async (mount) => missing.later(mount.target, async () => fileSystemOf(host, mount))),
  );
  return all.filter((one) => one !== undefined);
}

export const getDiskUsage = defineTool({
  name: 'get_disk_usage',
  title: 'Disk Usage',
  description: 'How full each file system is, counted as df does, in bytes and inodes.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 100), cursor: cursorField }),
  output: z.object({
    filesystems: rowsOf(
      z.object({
        source: text,
        fstype: text,
        size: figure,
        used: figure,
        avail: figure,
        'use%': maybe,
        target: text,
        sizeBytes: figure,
        usedBytes: figure,
        availableBytes: figure,
        usedPercent: maybe,
        inodes: maybe,
        inodesUsedPercent: maybe,
      }),
      'source, fstype, size, used, avail, use%, target; also sizeBytes, usedBytes, availableBytes, usedPercent, inodes, inodesUsedPercent.',
    ),
    ...continuation,
    ...gaps,
  }),
  async handler({ cursor, ...args }, { host }: Watch) {
    const missing = new Gaps();
    const all = await fileSystems(host, missing);
    const [start] = decodeCursor('get_disk_usage', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const page = fitting(all.slice(start, start + args.limit));
    const end = start + page.length;
    return {
      filesystems: page.map((one) => ({
        ...one,
        size: one.sizeBytes,
        used: one.usedBytes,
        avail: one.availableBytes,
        'use%': wholePercent(one),
      })),
      ...continued('get_disk_usage', args, end < all.length ? [end] : undefined),
      ...missing.said,
    };
  },
});

export const listBlockDevices = defineTool({
  name: 'list_block_devices',
  title: 'Block Devices',
  description: 'Disks and their partitions, with size, model, and where they are mounted.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ ...here, limit: limitField(mostListed, 100), cursor: cursorField }),
  output: z.object({
    devices: rowsOf(
      z.object({
        name: text,
        type: text,
        sizeBytes: figure,
        parent: maybeText,
        model: maybeText,
        vendor: maybeText,
        rotational: z.boolean().optional(),
        removable: z.boolean().optional(),
        readOnly: z.boolean().optional(),
        fstype: maybeText,
        mountpoints: z.array(text),
      }),
      'With name, type, sizeBytes, parent, model, rotational, removable, readOnly, fstype and mountpoints.',
    ).optional(),
    ...continuation,
    ...gaps,
  }),
  handler({ cursor, ...args }, { host }: Watch) {
    const missing = new Gaps();
    const all = missing.of('devices', () => blockDevices(host));
    if (!all) return missing.said;
    const [start] = decodeCursor('list_block_devices', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const devices = fitting(all.slice(start, start + args.limit));
    const end = start + devices.length;
    return {
      devices: devices.map((device) => ({ ...device, mountpoints: [...device.mountpoints] })),
      ...continued('list_block_devices', args, end < all.length ? [end] : undefined),
      ...missing.said,
    };
  },
});
