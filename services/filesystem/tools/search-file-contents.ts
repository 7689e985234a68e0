import { join } from 'node:path';
import { Readable } from 'node:stream';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import type { Call } from '#runtime/tool.ts';

import { hold, isDenied, locate, openFile, openFolderAt, type Place, type Spot } from '../beneath.ts';
import {
  pathField,
  patternField,
  excludeField,
  gitignoreField,
  countField,
  maxBytesField,
  cursorField,
  continuation,
  unseenOutput,
  remarks,
} from '../fields.ts';
import { fileTool, goneReason } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { fitsAny, parseGlobs, type Glob } from '../glob.ts';
import type { Handle } from '../handle.ts';
import { filesPerRipgrep, maxDepth, maxSearchedBytes, maxSearchedFiles } from '../limits.ts';
import { bytesOf, searchIn, type Line, type Rest } from '../ripgrep.ts';
import { encodingOf, piecesOf, type Encoding } from '../text.ts';
import { leaveOut, unseen, walk, type Walk } from '../walk.ts';
import { stepsPerFile } from '../work.ts';

const maxResults = 1_000;
/** Where a NUL makes a file binary, as git sees it. */
const binaryCheckBytes = 8_000;
/** How many lines of a file are done with, 0 for all of it; then the names of the file. */
const position = z.tuple([z.int().min(0)], z.string()).refine(({ length }) => length <= maxDepth + 1);

const lineSchema = z.object({
  line: z.int().describe('Its number.'),
  text: z.string().describe('Cut when it is long.'),
  is_match: z.boolean().describe('false for one around a match.'),
});
const fileSchema = z.object({
  path: z.string().describe('Where.'),
  lines: z.array(lineSchema).describe('Matches, with lines around.'),
});
type Hits = z.output<typeof fileSchema>;

interface Candidate {
  readonly names: readonly string[];
  readonly path: string;
  readonly file: Handle;
  /** Only of the first, where the answer before ended within it. */
  readonly rest?: Rest | undefined;
}

/** Files that were searched, and those that were not by why. */
interface Counts {
  searched: number;
  readonly skipped: Map<string, number>;
}

export const searchFileContents = fileTool({
  name: 'search_file_contents',
  title: 'Search File Contents',
  description:
    'Find lines with a text, or that match a regular expression, in a file or below a folder. In text that is neither UTF-8 nor UTF-16, only ASCII is found.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  isLong: true,
  task: 'optional',
  timeoutMs: 60_000,
  input: z.object({
    path: pathField('The file or folder.'),
    pattern: patternField
      .refine((pattern) => !/[\r\n]/.test(pattern), 'must be one line: lines are searched one by one')
      .describe('What to find.'),
    regex: z.boolean().default(false).describe('A regular expression, as in Rust.'),
    ignore_case: z.boolean().default(false).describe('Capitals do not matter.'),
    glob: patternField.optional().describe('Only these files, such as **/*.ts.'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField,
    context_lines: countField(0, 20).default(0).describe('Around each match.'),
    max_results: countField(1, maxResults).default(100).describe('Most matches.'),
    max_bytes: maxBytesField,
    cursor: cursorField,
  }),
  output: z.object({
    files: z.array(fileSchema).describe('With matches.'),
    matches: z.int().describe('In this answer.'),
    searched_files: z.int().describe('For this answer.'),
    not_searched: z.string().optional().describe('How many files, and why.'),
    ...unseenOutput,
    ...continuation,
  }),
  text: ({ files, matches, not_searched: skipped, ...rest }) =>
    [
      ...files.map(({ path, lines }) =>
        [path, ...lines.map(({ line, text, is_match: hit }) => `${line}${hit ? ':' : '-'}${text}`)].join(
          '\n',
        ),
      ),
      matches === 0 ? 'No matches found' : `${matches} matches`,
      ...(skipped === undefined ? [] : [`[not searched: ${skipped}]`]),
      ...remarks(rest),
    ].join('\n\n'),

  async handler({ cursor, ...args }, files, call) {
    const [line, ...names] = decodeCursor('search_file_contents', args, cursor, position, [0]);
    const globs = parseGlobs(args.glob === undefined ? [] : [args.glob]);
    const excludes = parseGlobs(args.excludePatterns);
    const counts: Counts = { searched: 0, skipped: new Map() };
    const hits: Hits[] = [];
    let matches = 0;
    let left = args.max_bytes;
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
      const query = {
        pattern: args.pattern,
        isRegex: args.regex,
        ignoresCase: args.ignore_case,
        contextLines: args.context_lines,
        maxMatches: args.max_results - matches,
        maxBytes: left,
      };
      const opened = batch.map(({ file }) => file);
      const { lines, isCut } = await searchIn(opened, query, call, batch[0]?.rest);
      const byFile = Map.groupBy(lines, ({ file }) => file);
      const cutFile = isCut ? (lines.at(-1)?.file ?? 0) : batch.length;
      for (const [index, { names, path }] of batch.entries()) {
        const found = byFile.get(index) ?? [];
        const most = { matches: args.max_results - matches, bytes: left - Buffer.byteLength(path) };
        const kept = firstOf(found, most, hits.length === 0);
        const last = kept.at(-1);
        if (last) {
          hits.push({
            path,
            lines: kept.map(({ line, text, isMatch }) => ({ line, text, is_match: isMatch })),
          });
          matches += kept.filter(({ isMatch }) => isMatch).length;
          left -= Buffer.byteLength(path) + kept.reduce((sum, line) => sum + bytesOf(line), 0);
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
      ...skippedOf(counts),
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
  },
});

/** Lines up to a number of matches, and not more than an answer holds; one match at least where nothing else is in it. */
function firstOf(
  lines: readonly Line[],
  most: { readonly matches: number; readonly bytes: number },
  mustHaveOne: boolean,
): readonly Line[] {
  let matches = 0;
  let bytes = 0;
  const end = lines.findIndex((line) => {
    bytes += bytesOf(line);
    if (bytes > most.bytes && (matches > 0 || !mustHaveOne)) return true;
    matches += line.isMatch ? 1 : 0;
    return matches > most.matches;
  });
  const kept = end < 0 ? lines : lines.slice(0, end);
  return kept.some(({ isMatch }) => isMatch) ? kept : [];
}

function skippedOf({ skipped }: Counts) {
  if (skipped.size === 0) return {};
  return { not_searched: [...skipped].map(([reason, count]) => `${count} ${reason}`).join(', ') };
}

/** Open text files, some at a time; they are closed when the next are asked for. */
async function* candidates(
  files: Files,
  place: Place,
  from: { readonly line: number; readonly names: readonly string[] },
  walked: Walk | undefined,
  globs: readonly Glob[],
  { skipped }: Counts,
  call: Call,
): AsyncGenerator<readonly Candidate[], void> {
  if (!walked || from.line > 0) {
    const path = join(place.path, ...from.names);
    await using opened = new AsyncDisposableStack();
    try {
      const { file, encoding } = await openAgain(files, path);
      opened.use(file);
      const text = Readable.from(behindLines(file, from.line, encoding, call));
      yield [{ names: from.names, path, file, rest: from.line > 0 ? { lines: from.line, text } : undefined }];
    } catch (error) {
      // What was there when the answer before was given may be gone.
      if (!walked || !isSkipped(error)) throw error;
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
      walked.work.steps += stepsPerFile;
      try {
        const { file } = await openText(files, { folder: parent, name, path });
        batch.push({ names, path, file });
      } catch (error) {
        if (!isSkipped(error)) throw error;
        const reason = reasonOf(error, name);
        skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
        if (reason === notReadable) leaveOut(walked, names.join('/'), notReadable);
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

const notReadable = 'may not be read';

function reasonOf(error: unknown, name: string): string {
  if (!(error instanceof ToolError)) return notReadable;
  const reasons: Partial<Record<string, string>> = {
    too_large: `larger than ${maxSearchedBytes / 1024 ** 2} MiB`,
    invalid_input: 'binary',
    not_found: goneReason(name),
  };
  return reasons[error.code] ?? 'with several names';
}

interface OpenText {
  readonly file: Handle;
  readonly encoding: Encoding | undefined;
}

async function openAgain(files: Files, path: string): Promise<OpenText> {
  await using place = await locate(files, path, { follow: false });
  return await openText(files, place);
}

/** @throws ToolError for what cannot be searched. */
async function openText(files: Files, place: Spot): Promise<OpenText> {
  await using opened = new AsyncDisposableStack();
  const file = opened.use(await openFile(files, place));
  if ((await file.stat()).size > maxSearchedBytes) {
    throw new ToolError(
      'too_large',
      `At most ${maxSearchedBytes} bytes of a file are searched: ${place.path}`,
      { hint: 'read_file_lines and read_text_file with tail read parts of any file.' },
    );
  }
  const buffer = Buffer.allocUnsafe(binaryCheckBytes);
  const start = buffer.subarray(0, await file.read(buffer, 0));
  // ripgrep goes by the mark at the start too.
  const encoding = encodingOf(start);
  if (!encoding && start.includes(0)) {
    throw new ToolError('invalid_input', `This is no text: ${place.path}`, {
      hint: 'read_media_file returns any file as it is.',
    });
  }
  opened.move();
  return { file, encoding };
}

/** The text behind so many lines, in UTF-8. */
async function* behindLines(
  file: Handle,
  lines: number,
  encoding: Encoding | undefined,
  call: Call,
): AsyncGenerator<Buffer, void> {
  const decoder = encoding && new TextDecoder(encoding);
  let left = lines;
  for await (const piece of piecesOf(file, call)) {
    const text = decoder ? Buffer.from(decoder.decode(piece, { stream: true })) : piece;
    let from = 0;
    while (left > 0 && from >= 0) {
      from = text.indexOf('\n', from) + 1 || -1;
      left -= from > 0 ? 1 : 0;
    }
    if (from >= 0) yield Buffer.from(text.subarray(from));
  }
}
