import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, reshaping } from '#runtime/hints.ts';
import { contains } from '#runtime/roots.ts';

import { hold, locate, type Place } from '../beneath.ts';
import { contentOutput, contentText, fileTool, pathField } from '../file-tool.ts';
import { locateTarget } from '../repository.ts';
import { copyTo, inFolderOf, moveTo } from '../write.ts';

const input = z.object({
  source: pathField('What is there.'),
  destination: pathField('Its new path; nothing may be there yet.'),
  createParents: z.boolean().default(false).describe('Make missing folders on the way.'),
});

/** Of a link, not of what it leads to. */
const itself = { follow: false };

export const moveFile = fileTool({
  name: 'move_file',
  title: 'Move File',
  description:
    'Move or rename a file, folder or link. Fails when the destination exists; onto itself it does nothing.',
  effect: 'write',
  hints: reshaping,
  input,
  output: contentOutput.extend({ moved: z.boolean().describe('false when both are the same place.') }),
  text: ({ content, moved }) => (moved ? content : `${content}\n\n[both are the same place: nothing moved]`),

  handler: async ({ source, destination, createParents }, files, call) =>
    files.change(call, async () => {
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
    }),
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
  description: 'Copy a file, or a folder with all that is in it. Fails when the destination exists.',
  effect: 'write',
  hints: adding,
  input,
  output: contentOutput.extend({
    files: z.int().describe('Files that were copied.'),
    bytes: z.int().describe('Their size.'),
  }),
  text: contentText,

  async handler({ source, destination, createParents }, files, call) {
    await using from = await locate(files, source);
    await (await hold(from)).close();
    return await inFolderOf(files, destination, createParents, async () => {
      await using to = await locateTarget(files, destination, itself);
      if (from.path !== to.path) requireSeparate(from, to);
      const count = await copyTo(files, from, to, call);
      return { content: `Successfully copied ${source} to ${destination}`, ...count };
    });
  },
});
