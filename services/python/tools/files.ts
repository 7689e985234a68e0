import { isUtf8 } from 'node:buffer';

import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading, replacing } from '#runtime/hints.ts';
import { continued, fitting, pageBytes } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { sessionId } from '../fields.ts';
import { maxListed, maxReadBytes, maxWriteLength } from '../limits.ts';
import { filePath } from '../paths.ts';
import { fileUri, type Python } from '../python.ts';

const encoding = z.enum(['text', 'base64']).default('text').describe('base64 for what is no text.');

export const writePythonFile = defineTool({
  name: 'write_python_file',
  title: 'Write Python file',
  description:
    "Writes a file into a session's folder, where code of its next run finds it. An older one is replaced.",
  effect: 'write',
  hints: replacing,
  input: z.object({
    session_id: sessionId,
    path: filePath,
    content: z.string().max(maxWriteLength).describe('All of it.'),
    encoding,
  }),
  output: z.object({
    bytes: z.int().describe('Written.'),
    uri: z.string().describe('Its resource.'),
  }),
  handler({ session_id: handle, path, content, encoding: form }, python: Python, call) {
    const session = python.store.get(handle, call);
    if (form === 'text' && !content.isWellFormed()) {
      throw new ToolError('invalid_input', 'The content is no well-formed Unicode.', {
        hint: 'Send it with encoding base64.',
      });
    }
    const bytes = form === 'text' ? Buffer.from(content) : fromBase64(content);
    const written = { bytes: bytes.length, uri: fileUri(handle, path) };
    const writing = python.writeFile(session, path, bytes, call);
    return writing ? writing.then(() => written) : written;
  },
});

/** @throws ToolError `invalid_input` for what Node would pass over. */
function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64').replaceAll('=', '') === text.replaceAll(/[=\s]/g, '')) return bytes;
  throw new ToolError('invalid_input', 'The content is no base64.');
}

export const readPythonFile = defineTool({
  name: 'read_python_file',
  title: 'Read Python file',
  description: "Reads a file of a session's folder, as it was when the last run ended or it was written.",
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({
    session_id: sessionId,
    path: filePath,
    offset: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe('First byte.'),
    limit: z.int().min(1).max(maxReadBytes).default(pageBytes).describe('Most bytes.'),
    encoding,
  }),
  output: z.object({
    content: z.string().describe('In the encoding that was asked for.'),
    size: z.int().describe('Bytes of the whole file.'),
    truncated: z.literal(true).optional().describe('There is more.'),
    next_offset: z.int().optional().describe('Pass as offset to go on.'),
  }),
  text: ({ content, next_offset: next }) =>
    next === undefined ? content : `${content}\n[truncated: call again with offset ${next}]`,
  handler({ session_id: handle, path, offset, limit, encoding: form }, python: Python, call) {
    const session = python.store.get(handle, call);
    const file = python.store.file(session.id, path);
    if (!file) {
      throw new ToolError('not_found', 'There is no such file in the session.', {
        hint: 'list_python_files shows those that are there.',
      });
    }
    if (offset > file.bytes) {
      throw new ToolError('invalid_input', `offset: the file has ${file.bytes} bytes.`);
    }
    const bytes = python.store.read(file, offset, form === 'text' ? limit : Math.ceil(limit / 3) * 3);
    const shown = form === 'text' ? textIn(bytes, offset + bytes.length < file.bytes) : bytes;
    const end = offset + shown.length;
    return {
      content: shown.toString(form === 'text' ? 'utf8' : 'base64'),
      size: file.bytes,
      ...(end < file.bytes && { truncated: true as const, next_offset: end }),
    };
  },
});

/** Whole characters. @throws ToolError `invalid_input` where it is no UTF-8. */
function textIn(bytes: Buffer, hasMore: boolean): Buffer {
  // Of a character that is cut at the end, at most three bytes are there.
  for (let cut = 0; cut <= (hasMore ? 3 : 0) && (cut < bytes.length || cut === 0); cut += 1) {
    const whole = bytes.subarray(0, bytes.length - cut);
    if (isUtf8(whole)) return whole;
  }
  throw new ToolError('invalid_input', 'encoding: this part of the file is no text in UTF-8.', {
    hint: 'Read it with encoding base64, or in smaller parts from another offset.',
  });
}

export const listPythonFiles = defineTool({
  name: 'list_python_files',
  title: 'List Python files',
  description: "Files of a session's folder and its subfolders, as they were when the last run ended.",
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({ session_id: sessionId, limit: limitField(maxListed, 200), cursor: cursorField }),
  output: z.object({
    files: z
      .array(
        z.object({
          path: z.string().describe('Relative to the folder.'),
          bytes: z.int().describe('Its size.'),
          changed_at: z.string().describe('ISO time.'),
        }),
      )
      .describe('By path.'),
    ...continuation,
  }),
  handler(args, python: Python, call) {
    const { session_id: handle, cursor } = args;
    const session = python.store.get(handle, call);
    const [after] = decodeCursor('list_python_files', { handle }, cursor, z.tuple([z.string()]), ['']);
    const found = python.store.files(session.id, after, args.limit + 1);
    const shown = fitting(
      found.slice(0, args.limit).map(({ path, bytes, changed_at }) => ({ path, bytes, changed_at })),
    );
    const last = found.length > shown.length ? shown.at(-1) : undefined;
    return { files: shown, ...continued('list_python_files', { handle }, last && [last.path]) };
  },
});
