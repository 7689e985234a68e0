import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';

import { locate, openFolderAt } from '../beneath.ts';
import {
  pagedOutput,
  contentText,
  excludeField,
  fileTool,
  gitignoreField,
  pathField,
  patternField,
} from '../file-tool.ts';
import { globMatcher } from '../glob.ts';
import { maxDepth, maxEntriesPerAnswer, maxVisited } from '../limits.ts';
import { walk } from '../walk.ts';

/** Names from the start of the walk: the last that was given, or looked at. */
const position = z.array(z.string()).max(maxDepth);
/** Of all that an answer says: names can be long. */
const maxAnswerLength = 1_000_000;

const shared = {
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  output: pagedOutput,
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
  title: 'Directory Tree',
  description:
    'Show a folder and all below it as JSON: name, type (file or directory), and children of directories.',
  input: z.object({
    path: pathField('The folder; . is the first allowed directory.'),
    excludePatterns: excludeField,
    maxDepth: z.int().min(1).max(maxDepth).default(maxDepth).describe('Folders within folders to show.'),
    maxEntries: limitField(maxEntriesPerAnswer, 5_000).describe('Most entries to return.'),
    respectGitignore: gitignoreField,
    cursor: cursorField,
  }),

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('directory_tree', args, cursor, position, []);
    const excludes = args.excludePatterns.flatMap((pattern) =>
      (pattern.includes('*') ? [pattern] : [pattern, `**/${pattern}`, `**/${pattern}/**`]).map(globMatcher),
    );
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const tree: Node[] = [];
    const folders = new Map([['', tree]]);
    /** What is in a folder; those above it are shown again on every page. */
    const within = (names: readonly string[]): Node[] => {
      const key = names.join('/');
      const known = folders.get(key);
      if (known) return known;
      const children: Node[] = [];
      within(names.slice(0, -1)).push({ name: names.at(-1) ?? '', type: 'directory', children });
      folders.set(key, children);
      return children;
    };
    const options = {
      after,
      depth: args.maxDepth,
      respectGitignore: args.respectGitignore,
      skip: (path: string) => excludes.some((matches) => matches(path)),
    };
    let count = 0;
    let length = 0;
    let last: readonly string[] = [];
    let isCut = false;
    for await (const { names, name, type } of walk(files, place, folder, options, call)) {
      length += name.length + 40 + 4 * names.length;
      if (count >= args.maxEntries || length > maxAnswerLength) {
        isCut = true;
        break;
      }
      count += 1;
      last = names;
      if (type === 'directory') within(names);
      else within(names.slice(0, -1)).push({ name, type: 'file' });
    }
    return {
      content: JSON.stringify(tree, null, 2),
      ...(isCut && {
        truncated: true as const,
        next_cursor: encodeCursor('directory_tree', args, last),
      }),
    };
  },
});

export const searchFiles = fileTool({
  ...shared,
  name: 'search_files',
  title: 'Search Files',
  description:
    'Find files and folders by a glob pattern of their path below the given folder: *.md there, **/*.md at any depth. Returns full paths. To search in files use search_file_contents.',
  input: z.object({
    path: pathField('Where to search; . is the first allowed directory.'),
    pattern: patternField.describe('With *, **, ?, [a-z] and {a,b}.'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField,
    limit: limitField(maxEntriesPerAnswer, 5_000),
    cursor: cursorField,
  }),

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('search_files', args, cursor, position, []);
    const matches = globMatcher(args.pattern);
    const excludes = args.excludePatterns.map(globMatcher);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const options = {
      after,
      respectGitignore: args.respectGitignore,
      skip: (path: string) => excludes.some((excludes) => excludes(path)),
    };
    const found: string[] = [];
    let visited = 0;
    let length = 0;
    let last: readonly string[] = [];
    let isCut = false;
    for await (const { names } of walk(files, place, folder, options, call)) {
      if (found.length >= args.limit || visited >= maxVisited || length > maxAnswerLength) {
        isCut = true;
        break;
      }
      visited += 1;
      last = names;
      const path = names.join('/');
      if (!matches(path)) continue;
      found.push(join(place.path, path));
      length += place.path.length + path.length;
    }
    return {
      content: found.length > 0 ? found.join('\n') : 'No matches found',
      ...(isCut && {
        truncated: true as const,
        next_cursor: encodeCursor('search_files', args, last),
      }),
    };
  },
});
