import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { reading } from '#runtime/hints.ts';

import { locate, openFolderAt } from '../beneath.ts';
import {
  pathField,
  patternField,
  excludeField,
  gitignoreField,
  countField,
  limitField,
  mostOf,
  cursorField,
  walkedOutput,
  contentText,
} from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { fitsAny, parseGlobs } from '../glob.ts';
import { maxAskedBytes, maxDepth } from '../limits.ts';
import { remainder, walk } from '../walk.ts';

/** Names from the start of the walk: the last that was given, or looked at. */
const position = z.array(z.string()).max(maxDepth);

const shared = {
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  output: walkedOutput,
  text: contentText,
} as const;

interface Node {
  readonly name: string;
  readonly type: 'directory' | 'file';
  readonly children?: Node[];
}

export const directoryTree = fileTool({
  ...shared,
  name: 'directory_tree',
  isLong: true,
  title: 'Directory Tree',
  description: 'A folder and all below it as JSON: name, type (file or directory), children of directories.',
  input: z.object({
    path: pathField('The folder.'),
    excludePatterns: excludeField,
    maxDepth: countField(1, maxDepth).default(maxDepth).describe('Folders deeper are not looked into.'),
    maxEntries: limitField,
    respectGitignore: gitignoreField,
    cursor: cursorField,
  }),

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('directory_tree', args, cursor, position, []);
    const excludes = parseGlobs(
      args.excludePatterns.flatMap((pattern) =>
        pattern.includes('*') ? [pattern] : [pattern, `**/${pattern}`, `**/${pattern}/**`],
      ),
    );
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const tree: Node[] = [];
    const folders = new Map([['', tree]]);
    let bytes = 0;
    let printedBytes = 0;
    const add = (names: readonly string[], node: Node) => {
      within(names.slice(0, -1)).push(node);
      bytes += bytesOf(node, names.length);
      printedBytes += printedBytesOf(node, names.length);
    };
    /** What is in a folder; those above it are shown again on every page. */
    const within = (names: readonly string[]): Node[] => {
      const key = names.join('/');
      const known = folders.get(key);
      if (known) return known;
      const children: Node[] = [];
      add(names, { name: names.at(-1) ?? '', type: 'directory', children });
      folders.set(key, children);
      return children;
    };
    const { maxDepth: depth, respectGitignore } = args;
    const walked = walk(files, place, folder, { after, depth, respectGitignore, excludes }, call);
    const most = mostOf(args.maxEntries);
    let count = 0;
    let isFull = false;
    for await (const { names, name, type } of walked.entries) {
      isFull = count >= most.entries || bytes >= most.bytes;
      if (isFull) break;
      count += 1;
      if (type !== 'directory') add(names, { name, type: 'file' });
      else if (names.length >= depth) add(names, { name, type });
      else within(names);
    }
    return {
      content: JSON.stringify(
        tree,
        null,
        printedBytes > Math.min(mostPrinted * most.bytes, maxAskedBytes) ? 0 : 2,
      ),
      ...remainder('directory_tree', args, walked, isFull),
    };
  },
});

/** Of an entry in JSON, whose indentation comes cheap: a line of it is some tokens, however deep. */
const bytesOf = ({ name, children }: Node, depth: number) =>
  Buffer.byteLength(name) + (children ? 60 : 40) + 2 * depth;

/** The same with all of its blanks. */
const printedBytesOf = ({ name, children }: Node, depth: number) =>
  Buffer.byteLength(name) + (children ? 60 : 40) + (children ? 6 : 4) * 4 * depth;

/** Where a tree is so deep that indentation makes an answer so many times as long as it may be, it has none. */
const mostPrinted = 3;

export const searchFiles = fileTool({
  ...shared,
  name: 'search_files',
  isLong: true,
  title: 'Search Files',
  description:
    'Find files and folders by a glob: *.md in the folder, **/*.md at any depth. To search in files use search_file_contents.',
  input: z.object({
    path: pathField('The folder.'),
    pattern: patternField.describe('*, **, ?, [a-z], {a,b}'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField,
    limit: limitField,
    cursor: cursorField,
  }),

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('search_files', args, cursor, position, []);
    const wanted = parseGlobs([args.pattern]);
    const excludes = parseGlobs(args.excludePatterns);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const { respectGitignore } = args;
    const walked = walk(files, place, folder, { after, respectGitignore, excludes }, call);
    const found: string[] = [];
    const most = mostOf(args.limit);
    let length = 0;
    let isFull = false;
    for await (const { names, letters } of walked.entries) {
      if (!(await fitsAny(wanted, letters, walked.work))) continue;
      const path = join(place.path, ...names);
      length += Buffer.byteLength(path) + 1;
      if (found.length >= most.entries || (length > most.bytes && found.length > 0)) {
        isFull = true;
        break;
      }
      found.push(path);
    }
    return {
      content: found.length > 0 ? found.join('\n') : 'No matches found',
      ...remainder('search_files', args, walked, isFull),
    };
  },
});
