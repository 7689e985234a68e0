import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { reading } from '#runtime/hints.ts';

import { at, isDenied, locate, namesIn, openFolderAt, type Entry, type Folder } from '../beneath.ts';
import {
  pathField,
  limitField,
  mostOf,
  cursorField,
  contentOutput,
  pagedOutput,
  contentText,
} from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { statOf } from '../handle.ts';
import { beginWork, sorted, stepsPerEntry, teller } from '../work.ts';

const shared = {
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  output: pagedOutput,
  text: contentText,
} as const;

const pageFields = {
  limit: limitField,
  cursor: cursorField,
};

const label = ({ type }: Pick<Entry, 'type'>) => (type === 'directory' ? '[DIR]' : '[FILE]');

export const listDirectory = fileTool({
  ...shared,
  name: 'list_directory',
  title: 'List Directory',
  description: 'What is in a folder, as [DIR] and [FILE] lines.',
  input: z.object({ path: pathField('The folder.'), ...pageFields }),

  async handler({ cursor, ...args }, files) {
    const [after] = decodeCursor('list_directory', args, cursor, z.tuple([z.string()]), ['']);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const rest = (await namesIn(folder)).filter(({ name }) => name > after);
    const page = linesOf(rest, mostOf(args.limit), (entry) => `${label(entry)} ${entry.name}`);
    const last = rest[page.length - 1];
    return {
      content: page.join('\n'),
      ...(last &&
        page.length < rest.length && {
          truncated: true as const,
          next_cursor: encodeCursor('list_directory', args, [last.name]),
        }),
    };
  },
});

/** The first entries as lines, as many as an answer takes. */
function linesOf<Listed extends Entry>(
  entries: readonly Listed[],
  most: { readonly entries: number; readonly bytes: number },
  lineOf: (entry: Listed) => string,
): string[] {
  const lines: string[] = [];
  let length = 0;
  for (const entry of entries) {
    const line = lineOf(entry);
    length += Buffer.byteLength(line) + 1;
    if (lines.length >= most.entries || (length > most.bytes && lines.length > 0)) break;
    lines.push(line);
  }
  return lines;
}

const collator = new Intl.Collator('en');
const statsAtOnce = 32;

export const listDirectoryWithSizes = fileTool({
  ...shared,
  name: 'list_directory_with_sizes',
  isLong: true,
  title: 'List Directory with Sizes',
  description: 'What is in a folder with sizes, and their sum.',
  input: z.object({
    path: pathField('The folder.'),
    sortBy: z.enum(['name', 'size']).default('name').describe('Order.'),
    ...pageFields,
  }),

  async handler({ cursor, ...args }, files, call) {
    const [offset] = decodeCursor('list_directory_with_sizes', args, cursor, z.tuple([z.int().min(0)]), [0]);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const names = await namesIn(folder);
    const entries: Sized[] = [];
    const tell = teller(call);
    const work = beginWork(call);
    for (let index = 0; index < names.length; index += statsAtOnce) {
      const some = names.slice(index, index + statsAtOnce);
      entries.push(...(await Promise.all(some.map(async (entry) => sized(folder, entry)))));
      tell(entries.length, names.length, 'entries looked at');
      work.steps += some.length * stepsPerEntry;
      if (work.isDue()) await work.pause();
    }
    const inOrder = await sorted(entries, (one, other) =>
      args.sortBy === 'size' ? other.size - one.size : collator.compare(one.name, other.name),
    );
    const lines = linesOf(
      inOrder.slice(offset),
      mostOf(args.limit),
      (entry) =>
        `${label(entry)} ${entry.name.padEnd(30)} ${entry.type === 'directory' ? '' : formatSize(entry.size).padStart(10)}`,
    );
    const folders = entries.filter(({ type }) => type === 'directory').length;
    const total = entries.reduce((sum, { type, size }) => sum + (type === 'directory' ? 0 : size), 0);
    const next = offset + lines.length;
    return {
      content: [
        ...lines,
        '',
        `Total: ${entries.length - folders} files, ${folders} directories`,
        `Combined size: ${formatSize(total)}`,
      ].join('\n'),
      ...(next < inOrder.length && {
        truncated: true as const,
        next_cursor: encodeCursor('list_directory_with_sizes', args, [next]),
      }),
    };
  },
});

interface Sized extends Entry {
  readonly size: number;
}

/** What was removed since has no size, nor what may not be looked at. */
async function sized(folder: Folder, entry: Entry): Promise<Sized> {
  try {
    return { ...entry, size: (await statOf(folder, at(folder, entry.name)))?.size ?? 0 };
  } catch (error) {
    if (isDenied(error)) return { ...entry, size: 0 };
    throw error;
  }
}

function formatSize(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  const power = bytes <= 0 ? 0 : Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), units.length - 1);
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(2)} ${units[power]}`;
}

export const listAllowedDirectories = fileTool({
  ...shared,
  name: 'list_allowed_directories',
  title: 'List Allowed Directories',
  description: 'The folders that this service may use, with all below them.',
  input: z.object({}),
  output: contentOutput,

  async handler(_args, { roots }) {
    const none = 'none: the operator names folders in FLOTILLA_ROOTS or FLOTILLA_FILESYSTEM_ROOTS';
    return { content: `Allowed directories:\n${roots.length > 0 ? roots.join('\n') : none}` };
  },
});
