import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';

import { isDenied, locate, openFile, openFolderAt, type Spot } from '../beneath.ts';
import {
  pathField,
  patternField,
  listField,
  excludeField,
  gitignoreField,
  maxBytesField,
  cursorField,
  walkedOutput,
  contentText,
} from '../fields.ts';
import { fileTool, goneReason } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { fitsAny, parseGlobs } from '../glob.ts';
import { maxDepth, maxEntriesPerAnswer, maxPackedFileBytes } from '../limits.ts';
import { asReadable, readAll } from '../text.ts';
import { leaveOut, remainder, walk } from '../walk.ts';
import { stepsPerFile } from '../work.ts';

const position = z.array(z.string()).max(maxDepth);
/** Rules of thumb: English and code have some four characters in a token, other scripts some one. */
const charactersPerToken = 4;

export const packDirectory = fileTool({
  name: 'pack_directory',
  isLong: true,
  title: 'Pack Directory',
  description:
    'The text files below a folder in one text: a list, then each with its path. To take in a whole project.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('The folder.'),
    include: listField(patternField, 100).default([]).describe('Globs of what to pack; all unless given.'),
    excludePatterns: excludeField,
    respectGitignore: gitignoreField.default(true),
    max_bytes: maxBytesField,
    cursor: cursorField,
  }),
  output: walkedOutput.extend({
    files: z.int().describe('How many are in it.'),
    estimated_tokens: z.int().describe('Roughly.'),
  }),
  text: contentText,

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('pack_directory', args, cursor, position, []);
    const includes = parseGlobs(args.include);
    const excludes = parseGlobs(args.excludePatterns);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const { respectGitignore } = args;
    const walked = walk(files, place, folder, { after, respectGitignore, excludes }, call);
    const list: string[] = [];
    const sections: string[] = [];
    let length = 0;
    let isFull = false;
    for await (const { names, letters, name, type, folder: parent } of walked.entries) {
      if (type !== 'file') continue;
      if (includes.length > 0 && !(await fitsAny(includes, letters, walked.work))) continue;
      const path = names.join('/');
      walked.work.steps += stepsPerFile;
      const section = await sectionOf(files, { folder: parent, name, path: join(place.path, path) }, path);
      if ('reason' in section) leaveOut(walked, path, section.reason);
      else if (section.bytes > args.max_bytes) leaveOut(walked, path, 'larger than max_bytes');
      else if (length + section.bytes > args.max_bytes || list.length >= maxEntriesPerAnswer) {
        isFull = true;
        break;
      } else {
        length += section.bytes;
        list.push(path);
        sections.push(section.text);
      }
    }
    const content = `Files of ${place.path}:\n${list.join('\n')}\n\n${sections.join('\n')}`;
    return {
      content,
      files: list.length,
      estimated_tokens: estimatedTokens(content),
      ...remainder('pack_directory', args, walked, isFull),
    };
  },
});

function estimatedTokens(text: string): number {
  // Most characters that are not ASCII take two or three bytes.
  const others = (Buffer.byteLength(text) - text.length) / 2;
  return Math.ceil((text.length - others) / charactersPerToken + others);
}

/** A file under its path, with its size, or why it is left out. */
async function sectionOf(
  files: Files,
  place: Spot,
  path: string,
): Promise<{ readonly text: string; readonly bytes: number } | { readonly reason: string }> {
  try {
    await using file = await openFile(files, place);
    const { text } = asReadable(await readAll(file, maxPackedFileBytes), place.path);
    const end = text === '' || text.endsWith('\n') ? '' : '\n';
    const section = `===== ${path} =====\n${text}${end}`;
    // Its line in the list too.
    return { text: section, bytes: Buffer.byteLength(section) + Buffer.byteLength(path) + 2 };
  } catch (error) {
    if (isDenied(error)) return { reason: 'may not be read' };
    if (!(error instanceof ToolError)) throw error;
    const reasons: Partial<Record<string, string>> = {
      too_large: `larger than ${maxPackedFileBytes} bytes`,
      invalid_input: 'no text',
      not_found: goneReason(path),
    };
    return { reason: reasons[error.code] ?? 'not a regular file with one name' };
  }
}
