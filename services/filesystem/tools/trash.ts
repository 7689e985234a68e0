import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { adding, reading, reshaping } from '#runtime/hints.ts';

import { hold, namesIn, openFolderAt } from '../beneath.ts';
import { pathField, countField, cursorField, contentOutput, continuation, contentText } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { answerBytes } from '../limits.ts';
import { locateTarget } from '../repository.ts';
import {
  expireTrash,
  originOf,
  putInTrash,
  restoreFrom,
  trashed,
  trashedSchema,
  type Trashed,
} from '../trash.ts';
import { beginWork, stepsPerFile } from '../work.ts';
import { inFolderOf, moveTo } from '../write.ts';

export const deleteFile = fileTool({
  name: 'delete_file',
  title: 'Delete File',
  description: 'Move a file, link or folder to the trash; restore_file brings it back.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({
    path: pathField('What.'),
    recursive: z.boolean().default(false).describe('Also a folder that is not empty.'),
  }),
  output: contentOutput.extend({
    trash_id: z.string().describe('For restore_file.'),
    not_expired: z
      .int()
      .optional()
      .describe('What could not be removed from the trash when its time was over.'),
  }),
  text: ({ content, trash_id: id, not_expired: failed }) =>
    [
      content,
      `restore_file brings it back with trash_id ${id}.`,
      ...(failed === undefined
        ? []
        : [`${failed} things whose time is over could not be removed from the trash.`]),
    ].join('\n'),

  handler: async ({ path, recursive }, files, call) =>
    files.change(call, [[path, itself]], async () => {
      await using place = await locateTarget(files, path, itself);
      if (place.name === '.') {
        throw new ToolError('forbidden', `Access denied - an allowed directory stays where it is: ${path}`, {
          hint: 'Name what is in it.',
        });
      }
      await using held = await hold(place);
      if (!recursive && (await held.stat()).isDirectory()) {
        await using folder = await openFolderAt(place);
        if ((await namesIn(folder)).length > 0) {
          throw new ToolError('conflict', `The folder is not empty: ${place.path}`, {
            hint: 'Pass recursive to delete it with all that is in it.',
          });
        }
      }
      const id = await putInTrash(place, call);
      const failed = files.notExpired.get(place.root) ?? 0;
      expireTrash(files, place.root, call);
      return {
        content: `Successfully deleted ${path}`,
        trash_id: id,
        ...(failed > 0 && { not_expired: failed }),
      };
    }),
});

/** Of a link, not of what it leads to. */
const itself = { follow: false };

const position = z.tuple([z.int().min(0), z.string()]);
const bytesBesidePath = 250;

export const listTrash = fileTool({
  name: 'list_trash',
  title: 'List Trash',
  description: 'What restore_file can bring back, the latest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: countField(1, 500).default(50).describe('Most entries.'), cursor: cursorField }),
  output: z.object({
    trashed: z.array(trashedSchema).describe('By allowed directory.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, files, call) {
    const [first, below] = decodeCursor('list_trash', args, cursor, position, [0, '~']);
    const found: Trashed[] = [];
    let bytes = 0;
    const work = beginWork(call);
    for (const [index, root] of files.roots.entries()) {
      if (index < first) continue;
      let last = index === first ? below : '~';
      for await (const one of trashed(files, root, last)) {
        work.steps += stepsPerFile;
        if (work.isDue()) await work.pause();
        call.signal.throwIfAborted();
        bytes += Buffer.byteLength(one.path) + bytesBesidePath;
        if (found.length === args.limit || (bytes > answerBytes && found.length > 0)) {
          const next_cursor = encodeCursor('list_trash', args, [index, last]);
          return { trashed: found, truncated: true as const, next_cursor };
        }
        found.push(one);
        last = one.id;
      }
    }
    return { trashed: found };
  },
});

export const restoreFile = fileTool({
  name: 'restore_file',
  title: 'Restore File',
  description: 'Bring back what delete_file took away.',
  effect: 'write',
  hints: adding,
  input: z.object({
    trash_id: z.string().max(100).describe('Of delete_file.'),
    destination: pathField('Instead of where it was.').optional(),
  }),
  output: contentOutput.extend({ path: z.string().describe('Where it is now.') }),
  text: contentText,

  async handler({ trash_id: id, destination }, files, call) {
    const target = destination ?? (await originOf(files, id));
    const restore = async () =>
      restoreFrom(files, id, async (item) =>
        inFolderOf(files, target, true, async () => {
          await using to = await locateTarget(files, target, itself);
          await moveTo(item, to);
          return { content: `Successfully restored ${to.path}`, path: to.path };
        }),
      );
    return files.change(call, [[target, itself]], restore, [id]);
  },
});
