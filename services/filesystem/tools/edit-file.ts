import { z } from 'zod';

import { reshaping } from '#runtime/hints.ts';

import { missing } from '../beneath.ts';
import {
  pathField,
  wellFormed,
  listField,
  countField,
  ifMatchField,
  etagField,
  contentOutput,
} from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { maxEdits, maxSearchedText } from '../limits.ts';
import { locateTarget } from '../repository.ts';
import { edited } from '../workshop.ts';
import { isUnchanged, replace, requireMatch, snapshotOf } from '../write.ts';

export const editFile = fileTool({
  name: 'edit_file',
  title: 'Edit File',
  description:
    'Replace parts of a text file, all or none. Each oldText must occur once, unless another argument says otherwise. Returns a diff.',
  effect: 'write',
  untrusted: 'as-is',
  hints: reshaping,
  input: z.object({
    path: pathField('The file.'),
    edits: listField(
      z.strictObject({
        oldText: wellFormed
          .max(maxSearchedText)
          .refine((text) => text !== '', 'must not be empty')
          .describe('As it stands in the file.'),
        newText: wellFormed.describe('In its place.'),
      }),
      maxEdits,
    ).describe('One after the other.'),
    dryRun: z.boolean().default(false).describe('Only show the diff.'),
    replaceAll: z.boolean().default(false).describe('Replace every oldText wherever it occurs.'),
    expectedOccurrences: countField(1, 100_000)
      .default(1)
      .describe('How often each must occur; all are replaced.'),
    ifMatch: ifMatchField,
  }),
  output: contentOutput.extend({
    changed: z.boolean().describe('false when all is as before.'),
    etag: etagField,
  }),
  text: ({ content, changed }) => (changed ? content : `${content}[nothing changed]`),

  async handler({ path, edits, dryRun, ifMatch, ...rules }, files, call) {
    await using place = await locateTarget(files, path);
    // Made beside the queue of changes, so that others go on; again, when the file was changed meanwhile.
    for (;;) {
      call.signal.throwIfAborted();
      const before = await snapshotOf(files, place);
      if (!before) throw missing(place.path);
      requireMatch(place.path, before.contents, ifMatch);
      const job = { kind: 'edit', path: place.path, contents: before.contents, edits, rules } as const;
      const { contents, diff, etag } = await edited(job, call);
      const isDone =
        dryRun ||
        contents === undefined ||
        (await files.change(call, [[path]], async () => {
          if (!(await isUnchanged(place, before.version))) return false;
          await replace(place, contents, before.version, call);
          return true;
        }));
      if (isDone) return { content: diff, changed: contents !== undefined, etag };
    }
  },
});
