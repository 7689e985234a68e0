import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';

import { seenAtOnce } from '../at-once.ts';
import { openFileAt } from '../beneath.ts';
import {
  pathField,
  countField,
  maxBytesField,
  cursorField,
  etagField,
  contentOutput,
  pagedOutput,
  contentText,
} from '../fields.ts';
import { fileTool, inWords } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { answerBytes, maxFilesPerRead } from '../limits.ts';
import {
  asReadable,
  asText,
  endOfLines,
  etagOf,
  pageBefore,
  pageFrom,
  readAll,
  sourceOf,
  withoutLastEnd,
} from '../text.ts';
import { beginWork, stepsPerFile } from '../work.ts';

/** A byte of the text in UTF-8, of which file, and how many lines are still to come. */
const position = z.tuple([z.int().min(0), z.string(), z.int().min(0)]);
const allLines = Number.MAX_SAFE_INTEGER;

/** What was written to its end meanwhile does no harm; another file in its place does. */
function requireSame(path: string, before: string, now: string): void {
  if (before === '' || before === now) return;
  throw new ToolError('conflict', `The file was replaced meanwhile: ${path}`, {
    hint: 'Leave cursor out to read it from the start.',
  });
}

const lineCount = countField(1, 10_000_000);

const input = z.object({
  path: pathField('The file.'),
  tail: lineCount.optional().describe('Only the last lines.'),
  head: lineCount.optional().describe('Only the first lines.'),
  max_bytes: maxBytesField,
  cursor: cursorField,
});
const encoding = z.enum(['utf-16le', 'utf-16be']).optional().describe('Unless UTF-8.');
const output = pagedOutput.extend({ etag: etagField.optional(), encoding });

function readText(args: z.output<typeof input>, files: Files) {
  const { path, head, tail, cursor, max_bytes: maxBytes } = args;
  const isWhole = head === undefined && tail === undefined && cursor === undefined;
  const seen = isWhole ? seenAtOnce(files, path, maxBytes) : undefined;
  return (seen?.contents && wholeText(seen.contents, seen.path, maxBytes)) ?? readPage(args, files);
}

/** All of a file, if that is not too much for an answer. */
function wholeText(contents: Buffer, path: string, maxBytes: number) {
  const { text, encoding } = asReadable(contents, path);
  if (Buffer.byteLength(text) > maxBytes) return undefined;
  return { content: text, etag: etagOf(contents), encoding };
}

async function readPage({ cursor, ...args }: z.output<typeof input>, files: Files) {
  const { path, head, tail, max_bytes: maxBytes } = args;
  if (head !== undefined && tail !== undefined) {
    throw new ToolError('invalid_input', 'Cannot specify both head and tail parameters simultaneously', {
      hint: 'Pass one; read_file_lines reads from the middle.',
    });
  }
  const [from, id, left] = decodeCursor('read_text_file', args, cursor, position, [0, '', 0]);
  const count = head ?? tail;
  await using file = await openFileAt(files, path);
  const stat = await file.stat();
  if (count === undefined && cursor === undefined && stat.size <= maxBytes) {
    const whole = wholeText(await readAll(file, maxBytes, stat), file.path, maxBytes);
    if (whole) return whole;
  }
  const inode = String(stat.ino);
  requireSame(file.path, id, inode);
  const source = await sourceOf(file);
  const lines = cursor === undefined ? (count ?? allLines) : left;
  const page =
    tail === undefined
      ? await pageFrom(source, from, lines, maxBytes)
      : await pageBefore(source, cursor === undefined ? source.size : from, lines, maxBytes);
  const { contents, rest } = page;
  const isLast = tail === undefined ? rest === undefined : cursor === undefined;
  const shown = count !== undefined && isLast ? withoutLastEnd(contents) : contents;
  return {
    content: asText(shown, file.path),
    encoding: source.encoding,
    ...(rest && {
      truncated: true as const,
      next_cursor: encodeCursor('read_text_file', args, [rest.position, inode, rest.lines]),
    }),
  };
}

const shared = { effect: 'read', untrusted: 'as-is', hints: reading } as const;

export const readFile = fileTool({
  ...shared,
  name: 'read_file',
  title: 'Read File (Deprecated)',
  description: 'DEPRECATED: Use read_text_file instead.',
  input: input.pick({ path: true, tail: true, head: true }),
  output: pagedOutput,
  text: ({ content, next_cursor: cursor }) =>
    cursor === undefined ? content : `${content}\n\n[truncated: call read_text_file with cursor ${cursor}]`,
  handler: (args, files) => readText({ ...args, max_bytes: answerBytes }, files),
});

export const readTextFile = fileTool({
  ...shared,
  input,
  output,
  text: contentText,
  handler: readText,
  name: 'read_text_file',
  title: 'Read Text File',
  description:
    'Read a text file: all, its first or its last lines; a long one in parts. For lines in the middle use read_file_lines, for no text read_media_file.',
});

export const readMultipleFiles = fileTool({
  name: 'read_multiple_files',
  title: 'Read Multiple Files',
  description: 'Read several text files. One that cannot be read does not stop the others.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    paths: z
      .array(pathField('A file.'))
      .refine(({ length }) => length > 0 && length <= maxFilesPerRead, `must be from 1 to ${maxFilesPerRead}`)
      .describe('The files.'),
    max_bytes: maxBytesField,
  }),
  output: contentOutput.extend({
    not_read: z.array(z.string()).optional().describe('Those that cannot be read.'),
    left_from: z.string().optional().describe('Call again from this file on.'),
  }),
  text: ({ content, left_from: leftFrom }) =>
    leftFrom === undefined
      ? content
      : `${content}\n\n[truncated: call again for the files from ${leftFrom} on]`,

  async handler({ paths, max_bytes: maxBytes }, files, call) {
    const parts: string[] = [];
    const notRead: string[] = [];
    let left = maxBytes;
    let leftFrom: string | undefined;
    const work = beginWork(call);
    for (const path of paths) {
      work.steps += stepsPerFile;
      if (work.isDue()) await work.pause();
      call.signal.throwIfAborted();
      const part = await readPart(files, path, left, maxBytes);
      if (part === undefined) {
        leftFrom = path;
        break;
      }
      if (!part.isRead) notRead.push(path);
      parts.push(part.text);
      left -= Buffer.byteLength(part.text);
    }
    return {
      content: parts.join('\n---\n'),
      ...(notRead.length > 0 && { not_read: notRead }),
      ...(leftFrom !== undefined && { left_from: leftFrom }),
    };
  },
});

/** A file, or why it cannot be read; nothing where there is only no room left for it. */
async function readPart(files: Files, path: string, left: number, maxBytes: number) {
  if (left <= 0) return undefined;
  try {
    await using file = await openFileAt(files, path);
    const stat = await file.stat();
    if (stat.size > left && stat.size <= maxBytes) return undefined;
    const contents = await readAll(file, left, stat);
    return { text: `${path}:\n${asReadable(contents, file.path).text}\n`, isRead: true };
  } catch (error) {
    const failure = inWords(error, path);
    if (!(failure instanceof ToolError)) throw error;
    const hint = failure.code === 'too_large' ? ` (${failure.hint})` : '';
    return { text: `${path}: Error - ${failure.message}${hint}`, isRead: false };
  }
}

const lineNumber = countField(1, Number.MAX_SAFE_INTEGER);

export const readFileLines = fileTool({
  name: 'read_file_lines',
  title: 'Read File Lines',
  description: 'Read lines of a text file of any size.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('The file.'),
    start_line: lineNumber.describe('The first; 1 is that of the file.'),
    end_line: lineNumber.describe('The last.'),
    max_bytes: maxBytesField,
    cursor: cursorField,
  }),
  output: pagedOutput.extend({
    is_end: z.boolean().describe('The file ends there.'),
    encoding,
  }),
  text: ({ is_end: isEnd, ...rest }) => `${contentText(rest)}${isEnd ? '\n[end of file]' : ''}`,

  async handler({ cursor, ...args }, files, call) {
    const { path, start_line: first, end_line: last, max_bytes: maxBytes } = args;
    if (last < first) {
      throw new ToolError('invalid_input', `end_line (${last}) is before start_line (${first}).`, {
        hint: 'Pass the earlier line as start_line.',
      });
    }
    const count = last - first + 1;
    const [offset, id, lines] = decodeCursor('read_file_lines', args, cursor, position, [0, '', count]);
    await using file = await openFileAt(files, path);
    const inode = String((await file.stat()).ino);
    requireSame(file.path, id, inode);
    const source = await sourceOf(file);
    const from = cursor === undefined ? await endOfLines(source, first - 1, call) : offset;
    const page = await pageFrom(source, from ?? source.size, lines, maxBytes);
    const { contents, rest, isEnd } = page;
    return {
      content: asText(rest ? contents : withoutLastEnd(contents), file.path),
      is_end: isEnd,
      encoding: source.encoding,
      ...(rest && {
        truncated: true as const,
        next_cursor: encodeCursor('read_file_lines', args, [rest.position, inode, rest.lines]),
      }),
    };
  },
});
