import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import type { Call } from '#runtime/tool.ts';

import { hold, isDenied, locate, openFolderAt, openWithStat, type Place, type Spot } from '../beneath.ts';
import { excludeField, fileTool, gitignoreField, pathField, patternField, remarks } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { fitsAny, parseGlobs, type Glob } from '../glob.ts';
import { filesPerRipgrep, maxDepth, maxSearchedBytes, maxSearchedFiles } from '../limits.ts';
import { searchIn, type Line, type Query, type Start } from '../ripgrep.ts';
import { endOfLines } from '../text.ts';
import { leftOutSchema, unseen, walk, type Walk } from '../walk.ts';

const maxResults = 1_000;
const maxAnswerLength = 500_000;
/** Where a NUL makes a file binary, as git sees it. */
const binaryCheckBytes = 8_000;
/** How many lines of a file are done with, 0 for all of it; then the names of the file. */
const position = z.tuple([z.int().min(0)], z.string()).refine(({ length }) => length <= maxDepth + 1);

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
  /** Only of the first, where the answer before ended within it. */
  readonly start?: Start | undefined;
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
    left_out: leftOutSchema.optional(),
    ...continuation,
  }),
  text: ({ files, matches, ...rest }) =>
    [
      ...files.map(({ path, lines }) =>
        [path, ...lines.map(({ line, text, is_match: hit }) => `${line}${hit ? ':' : '-'}${text}`)].join(
          '\n',
        ),
      ),
      matches === 0 ? 'No matches found' : `${matches} matches`,
      ...remarks(rest),
    ].join('\n\n'),

  handler: async ({ cursor, ...args }, files, call) =>
    files.search(call, async () => {
      const [line, ...names] = decodeCursor('search_file_contents', args, cursor, position, [0]);
      const query: Query = {
        pattern: args.pattern,
        isRegex: args.regex,
        ignoresCase: args.ignore_case,
        contextLines: args.context_lines,
        maxMatches: args.max_results + 1,
      };
      const globs = parseGlobs(args.glob === undefined ? [] : [args.glob]);
      const excludes = parseGlobs(args.excludePatterns);
      const counts = { searched: 0, skipped: 0 };
      const hits: Hits[] = [];
      let matches = 0;
      let length = 0;
      let next: z.output<typeof position> = [line, ...names];
      let isFull = false;

      await using place = await locate(files, args.path);
      await using held = await hold(place);
      const isFolder = (await held.stat()).isDirectory();
      await using folder = isFolder ? await openFolderAt(place) : undefined;
      const { respectGitignore } = args;
      const walked = folder && walk(files, place, folder, { after: names, respectGitignore, excludes }, call);
      const batches = candidates(files, place, { line, names }, walked, globs, counts, call);
      for await (const batch of batches) {
        const { lines, isCut } = await searchIn(
          batch.map(({ file }) => file),
          query,
          call,
          batch[0]?.start,
        );
        const byFile = Map.groupBy(lines, ({ file }) => file);
        const cutFile = isCut ? (lines.at(-1)?.file ?? 0) : batch.length;
        for (const [index, { names, path }] of batch.entries()) {
          const found = byFile.get(index) ?? [];
          const kept = firstOf(found, args.max_results - matches, maxAnswerLength - length - path.length);
          const last = kept.at(-1);
          if (last) {
            hits.push({
              path,
              lines: kept.map(({ line, text, isMatch }) => ({ line, text, is_match: isMatch })),
            });
            matches += kept.filter(({ isMatch }) => isMatch).length;
            length += path.length + lengthOf(kept);
          }
          isFull = kept.length < found.length || index >= cutFile;
          if (last || !isFull) {
            counts.searched += 1;
            next = [isFull && last ? last.line : 0, ...names];
          }
          if (isFull) break;
        }
        isFull ||= counts.searched >= maxSearchedFiles;
        if (isFull) break;
      }
      const hasMore = isFull || walked?.isCut === true;
      return {
        files: hits,
        matches,
        searched_files: counts.searched,
        skipped_files: counts.skipped,
        ...(walked && unseen(walked)),
        ...(hasMore && {
          truncated: true as const,
          next_cursor: encodeCursor(
            'search_file_contents',
            args,
            isFull ? next : [0, ...(walked?.position ?? [])],
          ),
        }),
      };
    }),
});

const lengthOf = (lines: readonly Line[]) => lines.reduce((sum, { text }) => sum + text.length + 40, 0);

/** Lines up to a number of matches, and not more than an answer holds. */
function firstOf(lines: readonly Line[], most: number, maxLength: number): readonly Line[] {
  let matches = 0;
  let length = 0;
  const end = lines.findIndex(({ isMatch, text }) => {
    matches += isMatch ? 1 : 0;
    length += text.length + 40;
    return matches > most || length > maxLength;
  });
  const kept = end < 0 ? lines : lines.slice(0, end);
  return kept.some(({ isMatch }) => isMatch) ? kept : [];
}

/** Open text files, some at a time; they are closed when the next are asked for. */
async function* candidates(
  files: Files,
  place: Place,
  from: { readonly line: number; readonly names: readonly string[] },
  walked: Walk | undefined,
  globs: readonly Glob[],
  counts: { skipped: number },
  call: Call,
): AsyncGenerator<readonly Candidate[], void> {
  if (!walked || from.line > 0) {
    const path = join(place.path, ...from.names);
    await using file = await openAgain(files, path).catch((error: unknown) => {
      // What was there when the answer before was given may be gone.
      if (walked && isSkipped(error)) return undefined;
      throw error;
    });
    const bytes = file && (await endOfLines(file, from.line, call));
    if (file && bytes !== undefined) {
      const start = from.line > 0 ? { lines: from.line, bytes } : undefined;
      yield [{ names: from.names, path, file, start }];
    }
  }
  if (!walked) return;
  let batch: Candidate[] = [];
  const close = async () => {
    const files = batch;
    batch = [];
    await Promise.all(files.map(async ({ file }) => file.close()));
  };
  try {
    for await (const { names, letters, name, type, folder: parent } of walked.entries) {
      if (type !== 'file') continue;
      if (globs.length > 0 && !(await fitsAny(globs, letters, walked.work))) continue;
      const path = join(place.path, ...names);
      try {
        batch.push({ names, path, file: await openText(files, { folder: parent, name, path }) });
      } catch (error) {
        if (!isSkipped(error)) throw error;
        counts.skipped += 1;
      }
      if (batch.length < filesPerRipgrep) continue;
      yield batch;
      await close();
    }
    if (batch.length > 0) yield batch;
  } finally {
    await close();
  }
}

const isSkipped = (error: unknown) => error instanceof ToolError || isDenied(error);

async function openAgain(files: Files, path: string): Promise<FileHandle> {
  await using place = await locate(files, path, { follow: false });
  return await openText(files, place);
}

/** @throws ToolError for what cannot be searched. */
async function openText(files: Files, place: Spot): Promise<FileHandle> {
  await using opened = new AsyncDisposableStack();
  const { file, stat } = await openWithStat(files, place);
  opened.use(file);
  if (stat.size > maxSearchedBytes) {
    throw new ToolError(
      'too_large',
      `At most ${maxSearchedBytes} bytes of a file are searched: ${place.path}`,
      {
        hint: 'read_file_lines and read_text_file with tail read parts of any file.',
      },
    );
  }
  const start = Buffer.allocUnsafe(binaryCheckBytes);
  const { bytesRead } = await file.read(start, 0, start.length, 0);
  if (start.subarray(0, bytesRead).includes(0)) {
    throw new ToolError('invalid_input', `This is no text: ${place.path}`, {
      hint: 'read_media_file returns any file as it is.',
    });
  }
  opened.move();
  return file;
}
