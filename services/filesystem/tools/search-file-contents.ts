import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import type { Call } from '#runtime/tool.ts';

import {
  codeOf,
  hold,
  locate,
  openFile,
  openFolderAt,
  openWithStat,
  type Place,
  type Spot,
} from '../beneath.ts';
import { excludeField, fileTool, gitignoreField, pathField, patternField } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { globMatcher } from '../glob.ts';
import { filesPerRipgrep, maxDepth, maxSearchedBytes, maxSearchedFiles } from '../limits.ts';
import { searchIn, type Line, type Query } from '../ripgrep.ts';
import { walk } from '../walk.ts';

const maxResults = 1_000;
const maxAnswerLength = 500_000;
/** Where a NUL makes a file binary, as git sees it. */
const binaryCheckBytes = 8_000;
const position = z.array(z.string()).max(maxDepth);

const lineSchema = z.object({
  line: z.int().describe('Its number; the first line is 1.'),
  text: z.string().describe('The line, cut when it is long.'),
  is_match: z.boolean().describe('false for a line around a match.'),
});
const fileSchema = z.object({
  path: z.string().describe('The file.'),
  lines: z.array(lineSchema).describe('Matches, and the lines around them.'),
});
type Hits = z.output<typeof fileSchema>;

interface Candidate {
  readonly names: readonly string[];
  readonly path: string;
  readonly file: FileHandle;
}

export const searchFileContents = fileTool({
  name: 'search_file_contents',
  title: 'Search File Contents',
  description:
    'Find lines that contain a text, or match a regular expression, in a file or in all text files below a folder.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  timeoutMs: 60_000,
  input: z.object({
    path: pathField('The file or folder to search; . is the first allowed directory.'),
    pattern: patternField
      .refine((pattern) => !/[\r\n]/.test(pattern), 'must be one line: lines are searched one by one')
      .describe('What to find.'),
    regex: z.boolean().default(false).describe('The pattern is a regular expression (of Rust).'),
    ignore_case: z.boolean().default(false).describe('Take small letters for large ones.'),
    glob: patternField.optional().describe('Only files whose path below the folder fits, such as **/*.ts.'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField,
    context_lines: z.int().min(0).max(20).default(0).describe('Lines to show around each match.'),
    max_results: z.int().min(1).max(maxResults).default(100).describe('Most matches to return.'),
    cursor: cursorField,
  }),
  output: z.object({
    files: z.array(fileSchema).describe('Files with matches, in order of their paths.'),
    matches: z.int().describe('Matching lines in this answer.'),
    searched_files: z.int().describe('Files that were searched for this answer.'),
    skipped_files: z.int().describe('Binary, too large, with several names, or not readable.'),
    ...continuation,
  }),
  text: ({ files, matches, truncated, next_cursor: cursor }) =>
    [
      ...files.map(({ path, lines }) =>
        [path, ...lines.map(({ line, text, is_match: hit }) => `${line}${hit ? ':' : '-'}${text}`)].join(
          '\n',
        ),
      ),
      matches === 0 ? 'No matches found' : `${matches} matches`,
      ...(truncated ? [`[truncated${cursor ? `: call again with cursor ${cursor}` : ''}]`] : []),
    ].join('\n\n'),

  handler: async ({ cursor, ...args }, files, call) =>
    files.search(call, async () => {
      const after = decodeCursor('search_file_contents', args, cursor, position, []);
      const query: Query = {
        pattern: args.pattern,
        isRegex: args.regex,
        ignoresCase: args.ignore_case,
        contextLines: args.context_lines,
        maxMatches: args.max_results + 1,
      };
      const fits = args.glob === undefined ? () => true : globMatcher(args.glob);
      const excludes = args.excludePatterns.map(globMatcher);
      const counts = { searched: 0, skipped: 0 };
      const hits: Hits[] = [];
      let matches = 0;
      let length = 0;
      let last: readonly string[] = after;
      let isCut = false;

      await using place = await locate(files, args.path);
      const batches = candidates(
        files,
        place,
        {
          after,
          respectGitignore: args.respectGitignore,
          skip: (path) => excludes.some((matches) => matches(path)),
          unreadable: () => (counts.skipped += 1),
        },
        fits,
        counts,
        call,
      );
      for await (const batch of batches) {
        const { lines, isCut: isOutputCut } = await searchIn(
          batch.map(({ file }) => file),
          query,
          call,
        );
        const byFile = Map.groupBy(lines, ({ file }) => file);
        const lastWhole = isOutputCut ? (lines.at(-1)?.file ?? 0) : batch.length;
        for (const [index, { names, path }] of batch.entries()) {
          const found = byFile.get(index) ?? [];
          const count = found.filter(({ isMatch }) => isMatch).length;
          const size = found.reduce((sum, { text }) => sum + text.length + 40, path.length);
          const isFull = matches + count > args.max_results || length + size > maxAnswerLength;
          const isPartial = isFull || index >= lastWhole;
          if (isPartial && hits.length > 0) {
            isCut = true;
            break;
          }
          counts.searched += 1;
          last = names;
          if (count === 0 && !isPartial) continue;
          // The only file of an answer may be cut itself: a cursor must not stand still.
          const kept = isPartial ? firstOf(found, args.max_results) : found;
          hits.push({
            path,
            lines: kept.map(({ line, text, isMatch }) => ({ line, text, is_match: isMatch })),
          });
          matches += kept.filter(({ isMatch }) => isMatch).length;
          length += size;
          isCut ||= isPartial;
        }
        isCut ||= counts.searched >= maxSearchedFiles;
        if (isCut) break;
      }
      return {
        files: hits,
        matches,
        searched_files: counts.searched,
        skipped_files: counts.skipped,
        ...(isCut && {
          truncated: true as const,
          next_cursor: encodeCursor('search_file_contents', args, last),
        }),
      };
    }),
});

/** Lines up to a number of matches, and not more than an answer holds. */
function firstOf(lines: readonly Line[], most: number): readonly Line[] {
  let matches = 0;
  let length = 0;
  const end = lines.findIndex(({ isMatch, text }) => {
    matches += isMatch ? 1 : 0;
    length += text.length + 40;
    return matches > most || length > maxAnswerLength;
  });
  return end < 0 ? lines : lines.slice(0, end);
}

/** Open text files, some at a time; they are closed when the next are asked for. */
async function* candidates(
  files: Files,
  place: Place,
  options: Parameters<typeof walk>[3],
  fits: (path: string) => boolean,
  counts: { skipped: number },
  call: Call,
): AsyncGenerator<readonly Candidate[], void> {
  await using held = await hold(place);
  if (!(await held.stat()).isDirectory()) {
    await using file = await openFile(files, place);
    yield [{ names: [], path: place.path, file }];
    return;
  }
  let batch: Candidate[] = [];
  const close = async () => {
    const files = batch;
    batch = [];
    await Promise.all(files.map(async ({ file }) => file.close()));
  };
  try {
    await using folder = await openFolderAt(place);
    for await (const { names, name, type, folder: parent } of walk(files, place, folder, options, call)) {
      const below = names.join('/');
      if (type !== 'file' || !fits(below)) continue;
      const path = join(place.path, below);
      const file = await openText(files, { folder: parent, name, path });
      if (!file) {
        counts.skipped += 1;
        continue;
      }
      batch.push({ names, path, file });
      if (batch.length < filesPerRipgrep) continue;
      yield batch;
      await close();
    }
    if (batch.length > 0) yield batch;
  } finally {
    await close();
  }
}

/** `undefined` for what cannot be searched. */
async function openText(files: Files, place: Spot): Promise<FileHandle | undefined> {
  try {
    await using opened = new AsyncDisposableStack();
    const { file, stat } = await openWithStat(files, place);
    opened.use(file);
    const start = Buffer.allocUnsafe(binaryCheckBytes);
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    if (stat.size > maxSearchedBytes || start.subarray(0, bytesRead).includes(0)) return undefined;
    opened.move();
    return file;
  } catch (error) {
    if (error instanceof ToolError || codeOf(error) === 'EACCES') return undefined;
    throw error;
  }
}
