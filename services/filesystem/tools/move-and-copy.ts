import { dirname, join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, reshaping } from '#runtime/hints.ts';
import { contains } from '#runtime/roots.ts';

import { hold, locate, temporaryName, type Place } from '../beneath.ts';
import { pathField, createParentsField, contentOutput, contentText } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { locateTarget } from '../repository.ts';
import {
  copyTo,
  ensureFolder,
  inFolderOf,
  moveTo,
  removeFolders,
  removeTree,
  requireFree,
} from '../write.ts';

const input = z.object({
  source: pathField('From.'),
  destination: pathField('To, where nothing may be.'),
  createParents: createParentsField,
});

/** Of a link, not of what it leads to. */
const itself = { follow: false };

export const moveFile = fileTool({
  name: 'move_file',
  title: 'Move File',
  description: 'Move or rename a file, folder or link.',
  effect: 'write',
  hints: reshaping,
  input,
  output: contentOutput.extend({ moved: z.boolean().describe('false for the same place.') }),
  text: ({ content, moved }) => (moved ? content : `${content}\n\n[both are the same place: nothing moved]`),

  handler: async ({ source, destination, createParents }, files, call) =>
    files.change(
      call,
      [
        [source, itself],
        [destination, itself],
      ],
      async () => {
        await using from = await locateTarget(files, source, itself);
        await (await hold(from)).close();
        if (from.name === '.') throw fixed(from.path);
        return await inFolderOf(files, destination, createParents, async () => {
          await using to = await locateTarget(files, destination, itself);
          const moved = from.path !== to.path;
          if (moved) {
            requireSeparate(from, to);
            await moveTo(from, to);
          }
          return { content: `Successfully moved ${source} to ${destination}`, moved };
        });
      },
    ),
});

const fixed = (root: string) =>
  new ToolError('forbidden', `Access denied - an allowed directory stays where it is: ${root}`, {
    hint: 'Name what is in it.',
  });

function requireSeparate(from: Place, to: Place): void {
  if (!contains(from.path, to.path)) return;
  throw new ToolError('invalid_input', `A folder cannot go into itself: ${to.path}`, {
    hint: 'Choose a destination outside of it.',
  });
}

export const copyFile = fileTool({
  name: 'copy_file',
  title: 'Copy File',
  description: 'Copy a file, or a folder with all in it.',
  effect: 'write',
  hints: adding,
  task: 'optional',
  timeoutMs: 600_000,
  input,
  output: contentOutput.extend({
    files: z.int().describe('How many.'),
    bytes: z.int().describe('Their sizes.'),
  }),
  text: contentText,

  async handler({ source, destination, createParents }, files, call) {
    await using from = await locate(files, source);
    await (await hold(from)).close();
    // A copy can take long: others wait for it only where it begins and ends.
    const touched = [[destination, itself]] as const;
    const { made, to } = await files.change(call, touched, async () => {
      const made = createParents ? await ensureFolder(files, dirname(destination)) : [];
      try {
        await using opened = new AsyncDisposableStack();
        const to = opened.use(await locateTarget(files, destination, itself));
        if (from.path !== to.path) requireSeparate(from, to);
        await requireFree(to);
        opened.move();
        return { made, to };
      } catch (error) {
        await removeFolders(files, made);
        throw error;
      }
    });
    await using place = to;
    const name = temporaryName();
    const temporary = { ...place, name, path: join(place.path, '..', name) };
    try {
      const count = await files.takeLong(call, async () => copyTo(files, from, temporary, call));
      await files.change(call, touched, async () => {
        await using to = await locateTarget(files, destination, itself);
        await moveTo(temporary, to);
      });
      return { content: `Successfully copied ${source} to ${destination}`, ...count };
    } catch (error) {
      await removeTree(place.folder, Buffer.from(name));
      await removeFolders(files, made);
      throw error;
    }
  },
});
