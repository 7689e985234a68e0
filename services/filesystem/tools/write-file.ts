import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, completing, replacing } from '#runtime/hints.ts';

import { again, openFile, type Place } from '../beneath.ts';
import {
  pathField,
  wellFormed,
  createParentsField,
  ifMatchField,
  etagField,
  contentOutput,
  contentText,
} from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import type { Files } from '../files.ts';
import { bufferBytes } from '../limits.ts';
import { locateTarget } from '../repository.ts';
import { etagOf, readAll, requireUtf8 } from '../text.ts';
import {
  ensureFolder,
  inFolderOf,
  replace,
  requireMatch,
  snapshotOf,
  versionOf,
  type Version,
} from '../write.ts';

export const writeFile = fileTool({
  name: 'write_file',
  title: 'Write File',
  description: 'Make a text file, or replace all that is in it. To change a part use edit_file.',
  effect: 'write',
  hints: replacing,
  input: z.object({
    path: pathField('The file.'),
    content: wellFormed.describe('All of it.'),
    createParents: createParentsField,
    ifMatch: ifMatchField,
  }),
  output: contentOutput.extend({ etag: etagField }),
  text: contentText,

  handler: async ({ path, content, createParents, ifMatch }, files, call) =>
    files.change(call, [[path]], async () =>
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
  description: 'Add text, and no line end, to the end of a file; makes it if missing.',
  effect: 'write',
  hints: adding,
  input: z.object({
    path: pathField('The file.'),
    content: wellFormed.describe('What to add.'),
    createParents: createParentsField,
  }),
  output: contentOutput.extend({
    size: z.number().describe('Of the file.'),
    etag: etagField.optional(),
  }),
  text: contentText,

  handler: async ({ path, content, createParents }, files, call) =>
    files.change(call, [[path]], async () =>
      inFolderOf(files, path, createParents, async () => {
        await using place = await locateTarget(files, path);
        if (await versionAt(files, place)) await addTo(files, place, content);
        else await replace(place, Buffer.from(content), undefined, call);
        await using file = await openFile(files, place);
        const { size } = await file.stat();
        const etag = size <= bufferBytes ? etagOf(await readAll(file)) : undefined;
        return { content: `Successfully appended to ${path}`, size, ...(etag !== undefined && { etag }) };
      }),
    ),
});

async function addTo(files: Files, place: Place, content: string): Promise<void> {
  await using held = await openFile(files, place);
  await requireUtf8(held);
  await using file = await open(again(held), constants.O_WRONLY | constants.O_APPEND);
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
  description: 'Make a folder, and those above it that are missing.',
  effect: 'write',
  hints: completing,
  input: z.object({ path: pathField('The file.') }),
  output: contentOutput.extend({ created: z.array(z.string()).describe('What was made.') }),
  text: ({ content, created }) => (created.length > 0 ? content : `${content}\n\n[it was there already]`),

  handler: async ({ path }, files, call) =>
    files.change(call, [[path]], async () => {
      const created = await ensureFolder(files, path);
      return { content: `Successfully created directory ${path}`, created };
    }),
});
