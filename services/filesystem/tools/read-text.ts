import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import type { Call } from '#runtime/tool.ts';

import { locate, openFile } from '../beneath.ts';
import { contentOutput, contentText, etagField, fileTool, inWords, pathField } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { maxFilesPerRead, maxTextBytes } from '../limits.ts';
import { asText, etagOf, headOf, linesFrom, readAll, tailOf } from '../text.ts';

const lineCount = z.int().min(1).max(10_000_000);

const input = z.object({
  path: pathField('Absolute, or relative to the first allowed directory.'),
  tail: lineCount.optional().describe('If provided, returns only the last N lines of the file'),
  head: lineCount.optional().describe('If provided, returns only the first N lines of the file'),
});
const output = contentOutput.extend({
  etag: etagField.optional(),
});

async function readText({ path, head, tail }: z.output<typeof input>, files: Files, call: Call) {
  if (head !== undefined && tail !== undefined) {
    throw new ToolError('invalid_input', 'Cannot specify both head and tail parameters simultaneously', {
      hint: 'Pass one; read_file_lines reads from the middle.',
    });
  }
  await using place = await locate(files, path);
  await using file = await openFile(files, place);
  if (head !== undefined) return { content: await headOf(file, place.path, head, call) };
  if (tail !== undefined) return { content: await tailOf(file, place.path, tail, call) };
  const contents = await readAll(file, place.path);
  return { content: asText(contents, place.path), etag: etagOf(contents) };
}

const shared = {
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input,
  output,
  text: contentText,
} as const;

export const readFile = fileTool({
  ...shared,
  name: 'read_file',
  title: 'Read File (Deprecated)',
  description: 'Read the complete contents of a file as text. DEPRECATED: Use read_text_file instead.',
  handler: readText,
});

export const readTextFile = fileTool({
  ...shared,
  name: 'read_text_file',
  title: 'Read Text File',
  description:
    'Read a text file: all of it (up to 5 MiB), its first lines (head) or its last (tail). For lines in the middle use read_file_lines, for anything but UTF-8 text read_media_file.',
  handler: readText,
});

export const readMultipleFiles = fileTool({
  name: 'read_multiple_files',
  title: 'Read Multiple Files',
  description:
    'Read several text files at once. One that cannot be read is named with the reason and does not stop the others.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    paths: z
      .array(pathField('Absolute, or relative to the first allowed directory.'))
      .min(1)
      .max(maxFilesPerRead)
      .describe('The files to read.'),
  }),
  output: z.object({ content: z.string().describe('What the text block says.') }),
  text: contentText,

  async handler({ paths }, files, call) {
    const parts: string[] = [];
    const budget = { bytes: maxTextBytes };
    for (const path of paths) {
      call.signal.throwIfAborted();
      parts.push(await readPart(files, path, budget));
    }
    return { content: parts.join('\n---\n') };
  },
});

/** A file, or why it cannot be read. */
async function readPart(files: Files, path: string, budget: { bytes: number }): Promise<string> {
  try {
    await using place = await locate(files, path);
    await using file = await openFile(files, place);
    const contents = await readAll(file, place.path, budget.bytes);
    budget.bytes -= contents.length;
    return `${path}:\n${asText(contents, place.path)}\n`;
  } catch (error) {
    const failure = inWords(error, path);
    if (!(failure instanceof ToolError)) throw error;
    return `${path}: Error - ${failure.message}`;
  }
}

export const readFileLines = fileTool({
  name: 'read_file_lines',
  title: 'Read File Lines',
  description: 'Read some lines of a text file by number, however large the file is.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('Absolute, or relative to the first allowed directory.'),
    start_line: z.int().min(1).describe('The first line to read; the first of the file is 1.'),
    end_line: z.int().min(1).describe('The last line to read.'),
  }),
  output: z.object({
    content: z.string().describe('The lines.'),
    lines: z.int().describe('How many there are.'),
    is_end: z.boolean().describe('Whether the file ends with them.'),
  }),
  text: ({ content, is_end: isEnd }) => (isEnd ? `${content}\n[end of file]` : content),

  async handler({ path, start_line: first, end_line: last }, files, call) {
    if (last < first) {
      throw new ToolError('invalid_input', `end_line (${last}) is before start_line (${first}).`, {
        hint: 'Pass the earlier line as start_line.',
      });
    }
    await using place = await locate(files, path);
    await using file = await openFile(files, place);
    const { contents, found, isEnd } = await linesFrom(file, place.path, first, last - first + 1, call);
    return { content: asText(contents, place.path), lines: found, is_end: isEnd };
  },
});
