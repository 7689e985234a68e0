import { join } from 'node:path';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';

import { codeOf, locate, openFile, openFolderAt, type Spot } from '../beneath.ts';
import { excludeField, fileTool, pathField, patternField } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { globMatcher } from '../glob.ts';
import {
  maxDepth,
  maxEntriesPerAnswer,
  maxPackedCharacters,
  maxPackedFileBytes,
  maxVisited,
} from '../limits.ts';
import { asText, readAll } from '../text.ts';
import { walk } from '../walk.ts';

const position = z.array(z.string()).max(maxDepth);
/** A rule of thumb for English and code, off by a third at most; the context service counts exactly. */
const charactersPerToken = 4;

export const packDirectory = fileTool({
  name: 'pack_directory',
  title: 'Pack Directory',
  description:
    'Put the text files below a folder into one text: a list of all, then each with its path. To take a whole project in at once.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    path: pathField('The folder; . is the first allowed directory.'),
    include: z
      .array(patternField)
      .max(100)
      .default([])
      .describe('Glob patterns of the files to pack; all unless given.'),
    excludePatterns: excludeField,
    respectGitignore: z.boolean().default(true).describe('Leave out what .gitignore files name, and .git.'),
    max_characters: z
      .int()
      .min(1_000)
      .max(maxPackedCharacters)
      .default(200_000)
      .describe('Most characters of files to return.'),
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('The list and the files.'),
    files: z.int().describe('Files that are in it.'),
    left_out: z
      .array(z.object({ path: z.string().describe('A file.'), reason: z.string().describe('Why.') }))
      .describe('Files that are not, at most 200 of them.'),
    estimated_tokens: z.int().describe('An estimate: characters divided by four.'),
    ...continuation,
  }),
  text: ({ content, next_cursor: cursor }) =>
    cursor === undefined ? content : `${content}\n[truncated: call again with cursor ${cursor}]\n`,

  async handler({ cursor, ...args }, files, call) {
    const after = decodeCursor('pack_directory', args, cursor, position, []);
    const includes = args.include.map(globMatcher);
    const excludes = args.excludePatterns.map(globMatcher);
    await using place = await locate(files, args.path);
    await using folder = await openFolderAt(place);
    const leftOut: { path: string; reason: string }[] = [];
    const options = {
      after,
      respectGitignore: args.respectGitignore,
      skip: (path: string) => excludes.some((matches) => matches(path)),
      unreadable: (path: string) => leftOut.push({ path, reason: 'may not be read' }),
    };
    const list: string[] = [];
    const sections: string[] = [];
    let length = 0;
    let visited = 0;
    let last: readonly string[] = after;
    let isCut = false;
    for await (const { names, name, type, folder: parent } of walk(files, place, folder, options, call)) {
      visited += 1;
      if (visited > maxVisited || list.length >= maxEntriesPerAnswer) {
        isCut = true;
        break;
      }
      const path = names.join('/');
      const isWanted =
        type === 'file' && (includes.length === 0 || includes.some((matches) => matches(path)));
      if (isWanted) {
        const section = await sectionOf(files, { folder: parent, name, path: join(place.path, path) }, path);
        if (typeof section !== 'string') leftOut.push(section);
        else if (section.length > args.max_characters)
          leftOut.push({ path, reason: 'longer than max_characters' });
        else if (length + section.length > args.max_characters) {
          isCut = true;
          break;
        } else {
          length += section.length;
          list.push(path);
          sections.push(section);
        }
      }
      last = names;
    }
    const content = `Files of ${place.path}:\n${list.join('\n')}\n\n${sections.join('\n')}`;
    return {
      content,
      files: list.length,
      left_out: leftOut.slice(0, 200),
      estimated_tokens: Math.ceil(content.length / charactersPerToken),
      ...(isCut && {
        truncated: true as const,
        next_cursor: encodeCursor('pack_directory', args, last),
      }),
    };
  },
});

/** A file under its path, or why it is left out. */
async function sectionOf(
  files: Files,
  place: Spot,
  path: string,
): Promise<string | { path: string; reason: string }> {
  try {
    await using file = await openFile(files, place);
    const text = asText(await readAll(file, place.path, maxPackedFileBytes), place.path);
    return `===== ${path} =====\n${text}${text === '' || text.endsWith('\n') ? '' : '\n'}`;
  } catch (error) {
    if (codeOf(error) === 'EACCES') return { path, reason: 'may not be read' };
    if (!(error instanceof ToolError)) throw error;
    const reasons: Partial<Record<string, string>> = {
      too_large: `larger than ${maxPackedFileBytes} bytes`,
      invalid_input: 'no text',
      not_found: 'removed meanwhile',
    };
    return { path, reason: reasons[error.code] ?? 'not a regular file with one name' };
  }
}
