import { createHash, hash } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import type { Call } from '#runtime/tool.ts';

import { at, isDenied, locate, openFileAt, openFolderAt } from '../beneath.ts';
import { pathField, excludeField, gitignoreField, countField, unseenOutput } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { parseGlobs } from '../glob.ts';
import { statOf } from '../handle.ts';
import { answerBytes, maxHashedBytes, smallFileBytes } from '../limits.ts';
import { piecesOf, readAll } from '../text.ts';
import { leaveOut, unseen, walk, type Found, type Walk } from '../walk.ts';
import { beginWork, stepsPerFile, teller } from '../work.ts';

/** What Linux counts blocks in, whatever the file system's own are. */
const bytesPerBlock = 512;

// Some file systems have sizes beyond what an integer of JSON takes exactly.
const usage = {
  bytes: z.number().describe('Sizes of files.'),
  disk_bytes: z.number().describe('On the disk.'),
  files: z.int().describe('How many.'),
};

/** What is gone by now is not counted; what may not be looked at neither, but named. */
async function lookAt(walked: Walk, { folder, name, names }: Found) {
  try {
    return await statOf(folder, at(folder, name));
  } catch (error) {
    if (!isDenied(error)) throw error;
    leaveOut(walked, names.join('/'), 'may not be read');
    return undefined;
  }
}

const truncated = z.literal(true).optional().describe('Not all was looked at.');

export const getFolderSize = fileTool({
  name: 'get_folder_size',
  isLong: true,
  title: 'Get Folder Size',
  description: 'What a folder takes, by what is in it, and how much room is left.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('The folder.'),
    limit: countField(1, 1_000).default(20).describe('Most entries.'),
  }),
  output: z.object({
    ...usage,
    largest: z
      .array(z.object({ path: z.string().describe('Where.'), ...usage }))
      .describe('What is in it, largest first.'),
    free_bytes: z.number().describe('Room left.'),
    more_entries: z.int().describe('Not shown.'),
    truncated,
    ...unseenOutput,
  }),
  task: 'optional',
  timeoutMs: 60_000,

  async handler({ path, limit }, files, call) {
    await using place = await locate(files, path);
    await using folder = await openFolderAt(place);
    const entries = new Map<string, { bytes: number; disk_bytes: number; files: number }>();
    const total = { bytes: 0, disk_bytes: 0, files: 0 };
    const seen = new Set<string>();
    const walked = walk(files, place, folder, {}, call);
    for await (const found of walked.entries) {
      const stat = await lookAt(walked, found);
      if (!stat) continue;
      const [top = ''] = found.names;
      const entry = entries.get(top) ?? { bytes: 0, disk_bytes: 0, files: 0 };
      entries.set(top, entry);
      if (stat.nlink > 1 && !stat.isDirectory()) {
        const key = `${stat.dev}:${stat.ino}`;
        if (seen.has(key)) continue;
        seen.add(key);
      }
      for (const sum of [entry, total]) {
        sum.disk_bytes += stat.blocks * bytesPerBlock;
        if (stat.isDirectory()) continue;
        sum.bytes += stat.size;
        sum.files += 1;
      }
    }
    const { bavail, bsize } = await statfs(at(folder, '.'));
    const largest = largestOf(entries, limit, ([, entry]) => entry.disk_bytes).map(([name, entry]) => ({
      path: join(place.path, name),
      ...entry,
    }));
    const shown = fitting(largest, ({ path }) => Buffer.byteLength(path) + 80);
    return {
      ...total,
      largest: shown,
      free_bytes: bavail * bsize,
      more_entries: entries.size - shown.length,
      ...unseen(walked),
    };
  },
});

export const findDuplicates = fileTool({
  name: 'find_duplicates',
  isLong: true,
  title: 'Find Duplicates',
  description: 'Find files with the same contents below a folder.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('The folder.'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField,
    min_bytes: countField(1, Number.MAX_SAFE_INTEGER).default(1).describe('Only files so large.'),
    limit: countField(1, 500).default(50).describe('Most groups.'),
  }),
  output: z.object({
    groups: z
      .array(
        z.object({
          bytes: z.int().describe('Of each.'),
          sha256: z.string().describe('Of each.'),
          paths: z.array(z.string()).describe('Some of them.'),
          count: z.int().describe('All of them.'),
        }),
      )
      .describe('What wastes most first.'),
    more_groups: z.int().describe('Not shown.'),
    skipped_files: z.int().describe('Could not be read.'),
    truncated,
    ...unseenOutput,
  }),
  task: 'optional',
  timeoutMs: 120_000,

  async handler({ path, excludePatterns, respectGitignore, min_bytes: least, limit }, files, call) {
    const excludes = parseGlobs(excludePatterns);
    await using place = await locate(files, path);
    await using folder = await openFolderAt(place);
    const walked = walk(files, place, folder, { respectGitignore, excludes }, call);
    const bySize = new Map<number, string[]>();
    let looked = 0;
    for await (const found of walked.entries) {
      const size = found.type === 'file' ? ((await lookAt(walked, found))?.size ?? 0) : 0;
      looked += 1;
      if (size < least) continue;
      const same = bySize.get(size);
      const path = join(place.path, ...found.names);
      if (same) same.push(path);
      else bySize.set(size, [path]);
    }
    const hashed = await hashSameSizes(files, bySize, looked, call);
    const repeated = hashed.groups.filter(({ paths }) => paths.length > 1);
    const most = largestOf(repeated, limit, ({ bytes, paths }) => bytes * (paths.length - 1));
    const groups = most.map((group) => ({
      ...group,
      paths: fitting(group.paths.slice(0, maxPathsPerGroup), (path) => Buffer.byteLength(path)),
      count: group.paths.length,
    }));
    const shown = fitting(groups, ({ paths }) => Buffer.byteLength(paths.join('\n')) + 150);
    return {
      groups: shown,
      more_groups: repeated.length - shown.length,
      skipped_files: hashed.skipped,
      ...unseen(walked),
      ...(hashed.isCut && { truncated: true as const }),
    };
  },
});

const maxPathsPerGroup = 100;

/** Those with the largest measure, the largest first, without an order of all. */
function largestOf<Item>(items: Iterable<Item>, count: number, measure: (item: Item) => number): Item[] {
  const most: { readonly item: Item; readonly size: number }[] = [];
  for (const item of items) {
    const size = measure(item);
    if (most.length === count && size <= (most.at(-1)?.size ?? 0)) continue;
    const place = most.findIndex((other) => other.size < size);
    most.splice(place < 0 ? most.length : place, 0, { item, size });
    if (most.length > count) most.pop();
  }
  return most.map(({ item }) => item);
}

/** As many of the first as an answer holds. */
function fitting<Item>(items: readonly Item[], bytesOf: (item: Item) => number): Item[] {
  let bytes = 0;
  const end = items.findIndex((item) => (bytes += bytesOf(item)) > answerBytes);
  return items.slice(0, end < 0 ? items.length : Math.max(1, end));
}

interface Group {
  readonly bytes: number;
  readonly sha256: string;
  readonly paths: string[];
}

async function hashSameSizes(
  files: Files,
  bySize: ReadonlyMap<number, readonly string[]>,
  looked: number,
  call: Call,
): Promise<{ groups: Group[]; skipped: number; isCut: boolean }> {
  const chosen: (readonly [number, readonly string[]])[] = [];
  let total = 0;
  let isCut = false;
  for (const [bytes, paths] of bySize) {
    if (paths.length < 2) continue;
    if (total + bytes * paths.length > maxHashedBytes) isCut = true;
    else {
      total += bytes * paths.length;
      chosen.push([bytes, paths]);
    }
  }
  const groups = new Map<string, Group>();
  const tell = teller(call);
  const work = beginWork(call);
  let skipped = 0;
  let hashed = 0;
  for (const [bytes, paths] of chosen) {
    for (const path of paths) {
      // The entries that were looked at before count as well: what is done only grows.
      const sha256 = await hashAt(files, path, call, (done) =>
        tell(looked + hashed + done, looked + total, 'bytes compared'),
      );
      hashed += bytes;
      work.steps += stepsPerFile + bytes;
      if (work.isDue()) await work.pause();
      if (sha256 === undefined) {
        skipped += 1;
        continue;
      }
      const group = groups.get(sha256) ?? { bytes, sha256, paths: [] };
      groups.set(sha256, group);
      group.paths.push(path);
    }
  }
  return { groups: [...groups.values()], skipped, isCut };
}

/** `undefined` for what may not be read, or is gone. */
async function hashAt(
  files: Files,
  path: string,
  call: Call,
  tell: (bytes: number) => void,
): Promise<string | undefined> {
  try {
    await using file = await openFileAt(files, path);
    const { size } = await file.stat();
    if (size <= smallFileBytes) {
      tell(size);
      return hash('sha256', await readAll(file, smallFileBytes));
    }
    const whole = createHash('sha256');
    let done = 0;
    for await (const piece of piecesOf(file, call)) {
      whole.update(piece);
      done += piece.length;
      tell(done);
    }
    return whole.digest('hex');
  } catch (error) {
    if (error instanceof ToolError || isDenied(error)) {
      call.signal.throwIfAborted();
      return undefined;
    }
    throw error;
  }
}
