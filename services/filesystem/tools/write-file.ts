import { constants } from 'node:fs';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, completing, replacing } from '#runtime/hints.ts';

import { openFile, type Place } from '../beneath.ts';
import {
  contentOutput,
  contentText,
  etagField,
  fileTool,
  ifMatchField,
  pathField,
  wellFormed,
} from '../file-tool.ts';
import type { Files } from '../files.ts';
import { maxTextBytes } from '../limits.ts';
import { locateTarget } from '../repository.ts';
import { etagOf, readAll } from '../text.ts';
import {
  ensureFolder,
  inFolderOf,
  replace,
  requireMatch,
  snapshotOf,
  versionOf,
  type Version,
} from '../write.ts';

const createParents = z.boolean().default(false).describe('Make missing folders on the way.');

export const writeFile = fileTool({
  name: 'write_file',
  title: 'Write File',
  description:
    'Make a text file, or replace all that is in it: the old contents are gone. To change a part use edit_file.',
  effect: 'write',
  hints: replacing,
  input: z.object({
    path: pathField('Absolute, or relative to the first allowed directory.'),
    content: wellFormed.describe('All that is to be in the file.'),
    createParents,
    ifMatch: ifMatchField,
  }),
  output: contentOutput.extend({ etag: etagField }),
  text: contentText,

  handler: async ({ path, content, createParents, ifMatch }, files, call) =>
    files.change(call, async () =>
      inFolderOf(files, path, createParents, async () => {
        await using place = await locateTarget(files, path);
        const before =
          ifMatch === undefined ? await versionAt(files, place) : await matching(files, place, ifMatch);
        const contents = Buffer.from(content);
        await replace(place, contents, before, call);
        return { content: `Successfully wrote to ${path}`, etag: etagOf(contents) };
      }),
    ),
});

async function matching(files: Files, place: Place, ifMatch: string): Promise<Version | undefined> {
  const before = await snapshotOf(files, place);
  requireMatch(place.path, before?.contents, ifMatch);
  return before?.version;
}

/** `undefined` when there is no file. A file of any size may be replaced. */
async function versionAt(files: Files, place: Place): Promise<Version | undefined> {
  try {
    await using file = await openFile(files, place);
    return await versionOf(file);
  } catch (error) {
    if (error instanceof ToolError && error.code === 'not_found') return undefined;
    throw error;
  }
}

export const appendFile = fileTool({
  name: 'append_file',
  title: 'Append to File',
  description: 'Add text to the end of a file, which is made if it is missing. Adds no line end of its own.',
  effect: 'write',
  hints: adding,
  input: z.object({
    path: pathField('Absolute, or relative to the first allowed directory.'),
    content: wellFormed.describe('What to add.'),
    createParents,
  }),
  output: contentOutput.extend({
    size: z.number().describe('Bytes in the file now.'),
    etag: etagField.optional().describe('Of the file as it is now, if it can be read at once.'),
  }),
  text: contentText,

  handler: async ({ path, content, createParents }, files, call) =>
    files.change(call, async () =>
      inFolderOf(files, path, createParents, async () => {
        await using place = await locateTarget(files, path);
        if (await versionAt(files, place)) await addTo(files, place, content);
        else await replace(place, content, undefined, call);
        await using file = await openFile(files, place);
        const { size } = await file.stat();
        const etag = size <= maxTextBytes ? etagOf(await readAll(file, place.path)) : undefined;
        return { content: `Successfully appended to ${path}`, size, ...(etag !== undefined && { etag }) };
      }),
    ),
});

async function addTo(files: Files, place: Place, content: string): Promise<void> {
  await using file = await openFile(files, place, constants.O_WRONLY | constants.O_APPEND);
  const { size } = await file.stat();
  try {
    await file.writeFile(content);
  } catch (error) {
    // All or nothing, as far as nobody else appends at the same time.
    await file.truncate(size);
    throw error;
  }
  await file.sync();
}

export const createDirectory = fileTool({
  name: 'create_directory',
  title: 'Create Directory',
  description: 'Make a folder, and those above it that are missing. One that exists is left as it is.',
  effect: 'write',
  hints: completing,
  input: z.object({ path: pathField('Absolute, or relative to the first allowed directory.') }),
  output: contentOutput,
  text: contentText,

  handler: async ({ path }, files, call) =>
    files.change(call, async () => {
      await ensureFolder(files, path);
      return { content: `Successfully created directory ${path}` };
    }),
});
