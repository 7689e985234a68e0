/** Walks over folders beneath a root, in an order that can be taken up again. */
import { join, relative } from 'node:path';

import { encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import {
  codeOf,
  isDenied,
  locate,
  namesIn,
  openFile,
  openFolder,
  type Entry,
  type Folder,
  type Place,
  type Territory,
} from './beneath.ts';
import { isIgnored, parseIgnore, type IgnoreFile } from './gitignore.ts';
import { fitsAny, nameLetters, type Glob, type Letters } from './glob.ts';
import {
  maxDepth,
  maxLeftOutBytes,
  maxNamesPerFolder,
  maxPathLength,
  maxVisited,
  maxWalkSteps,
} from './limits.ts';
import { beginWork, stepsPerEntry, teller, type Work } from './work.ts';

export interface Found extends Entry {
  /** From where the walk began. */
  readonly names: readonly string[];
  readonly letters: Letters;
  /** What it lies in; open until the walk goes on. */
  readonly folder: Folder;
}

export interface WalkOptions {
  /** Left out, with all that is in it. */
  readonly excludes?: readonly Glob[];
  readonly respectGitignore?: boolean;
  /** Goes on behind this one. */
  readonly after?: readonly string[];
  readonly depth?: number;
}

export interface Walk {
  /** Each folder before what is in it, names in order. Links are named and not followed. */
  readonly entries: AsyncGenerator<Found, void>;
  /** Of the walk, and of whoever compares what it finds. */
  readonly work: Work;
  /** Where to go on: behind what was looked at last, and is done with. */
  position: readonly string[];
  /** It ended before all was looked at, because it was enough for one call. */
  isCut: boolean;
  isTooDeep: boolean;
  /** What could not be looked at and why, as much of it as an answer names. */
  readonly leftOut: string[];
  /** All of it. */
  leftOutCount: number;
  leftOutBytes: number;
}

const stepsPerParsedByte = 10;
const maxIgnoreBytes = 256 * 1024;

export function walk(
  territory: Territory,
  { root, path }: Pick<Place, 'root' | 'path'>,
  start: Folder,
  options: WalkOptions,
  call: Pick<Call, 'signal' | 'progress'>,
): Walk {
  const { excludes = [], respectGitignore = false, after = [], depth = maxDepth } = options;
  const prefix = relative(root, path).split('/').filter(Boolean);
  const prefixLetters = prefix.map(nameLetters);
  const work = beginWork(call);
  const state: Walk = {
    entries: entries(),
    work,
    position: after,
    isCut: false,
    isTooDeep: false,
    leftOut: [],
    leftOutCount: 0,
    leftOutBytes: 0,
  };
  const tell = teller(call);
  let visited = 0;
  return state;

  async function* entries(): AsyncGenerator<Found, void> {
    const files = respectGitignore ? await filesAbove(territory, root, prefix, work) : [];
    yield* within(start, await namesIn(start), [], [], files, after);
  }

  async function* within(
    folder: Folder,
    listed: readonly Entry[],
    above: readonly string[],
    aboveLetters: Letters,
    files: readonly IgnoreFile[],
    [resume, ...deeper]: readonly string[],
  ): AsyncGenerator<Found, void> {
    const rules = respectGitignore
      ? [...files, ...(await ignoreFile(territory, folder, prefix.length + above.length, work))]
      : files;
    for (const entry of listed) {
      if (resume !== undefined && entry.name < resume) continue;
      if (visited >= maxVisited || work.steps >= maxWalkSteps) {
        state.isCut = true;
        return;
      }
      visited += 1;
      tell(visited, undefined, 'entries looked at');
      work.steps += stepsPerEntry;
      if (work.isDue()) await work.pause();
      call.signal.throwIfAborted();
      const names = [...above, entry.name];
      const letters = [...aboveLetters, nameLetters(entry.name)];
      const isFolder = entry.type === 'directory';
      const isHidden =
        (respectGitignore &&
          (entry.name === '.git' ||
            (await isIgnored(rules, [...prefixLetters, ...letters], isFolder, work)))) ||
        (await fitsAny(excludes, letters, work));
      if (!isHidden && entry.name !== resume) yield { ...entry, names, letters, folder };
      if (entry.name !== resume) state.position = names;
      if (isHidden || !isFolder || (names.length >= depth && depth < maxDepth)) continue;
      const isTooDeep = names.length >= maxDepth;
      // A longer path could be named in no call, nor fit into a cursor.
      if (isTooDeep || join(path, ...names).length > maxPathLength) {
        state.isTooDeep = true;
        leaveOut(state, names.join('/'), isTooDeep ? 'too deep: ask for it alone' : 'its path is too long');
        continue;
      }
      const below = await enter(folder, entry.name);
      if ('reason' in below) {
        if (below.reason !== undefined) leaveOut(state, names.join('/'), below.reason);
        continue;
      }
      try {
        yield* within(below.folder, below.listed, names, letters, rules, entry.name === resume ? deeper : []);
      } finally {
        await below.folder.close();
      }
    }
  }
}

export function leaveOut(walked: Walk, path: string, reason: string): void {
  walked.leftOutCount += 1;
  walked.leftOutBytes += Buffer.byteLength(path) + reason.length;
  if (walked.leftOutBytes <= maxLeftOutBytes) walked.leftOut.push(`${path} (${reason})`);
}

/** What an answer says of what is not in it. */
export function unseen({ isCut, isTooDeep, leftOut, leftOutCount }: Walk) {
  const more = leftOutCount - leftOut.length;
  return {
    ...((isCut || isTooDeep) && { truncated: true as const }),
    ...(leftOutCount > 0 && { left_out: more > 0 ? [...leftOut, `and ${more} more`] : leftOut }),
  };
}

/** The same, and how to go on. */
export const remainder = (tool: string, args: object, walked: Walk, isFull: boolean) => ({
  ...unseen(walked),
  ...((isFull || walked.isCut) && {
    truncated: true as const,
    next_cursor: encodeCursor(tool, args, walked.position),
  }),
});

/** A folder with what is in it, or why not; no reason when it is gone, or no folder any more. */
async function enter(folder: Folder, name: string) {
  try {
    await using opened = new AsyncDisposableStack();
    const below = opened.use(await openFolder(folder, name));
    const listed = await namesIn(below);
    opened.move();
    return { folder: below, listed };
  } catch (error) {
    if (isDenied(error)) return { reason: 'may not be read' };
    if (error instanceof ToolError) return { reason: `more than ${maxNamesPerFolder} entries` };
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return { reason: undefined };
    throw error;
  }
}

/** The rules of the folders above the walk's, from the root on. */
async function filesAbove(
  territory: Territory,
  root: string,
  prefix: readonly string[],
  work: Work,
): Promise<IgnoreFile[]> {
  const found: IgnoreFile[] = [];
  for (const depth of prefix.keys()) {
    await using place = await locate(territory, join(root, ...prefix.slice(0, depth), '.gitignore'), {
      follow: false,
    });
    found.push(...(await ignoreFile(territory, place.folder, depth, work)));
  }
  return found;
}

/** None, where the folder has none that may be read. */
async function ignoreFile(
  territory: Territory,
  folder: Folder,
  depth: number,
  work: Work,
): Promise<IgnoreFile[]> {
  try {
    await using file = await openFile(territory, {
      folder,
      name: '.gitignore',
      path: join(folder.path, '.gitignore'),
    });
    const buffer = Buffer.allocUnsafe(maxIgnoreBytes);
    const read = await file.read(buffer, 0);
    work.steps += read * stepsPerParsedByte;
    if (work.isDue()) await work.pause();
    return [parseIgnore(buffer.toString('utf8', 0, read), depth)];
  } catch (error) {
    if (error instanceof ToolError || isDenied(error)) return [];
    throw error;
  }
}
