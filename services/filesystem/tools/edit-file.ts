import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reshaping } from '#runtime/hints.ts';

import { locate, missing } from '../beneath.ts';
import { showDiff } from '../diff.ts';
import { applyEdits } from '../edit.ts';
import { contentOutput, contentText, etagField, fileTool, ifMatchField, pathField } from '../file-tool.ts';
import { maxEdits, maxSearchedText, maxTextBytes } from '../limits.ts';
import { asText, etagOf } from '../text.ts';
import { replace, requireMatch, snapshotOf } from '../write.ts';

export const editFile = fileTool({
  name: 'edit_file',
  title: 'Edit File',
  description:
    'Replace parts of a text file. Each oldText has to occur exactly once, unless replaceAll or expectedOccurrences says otherwise; all edits are made or none. Returns a diff.',
  effect: 'write',
  untrusted: 'as-is',
  hints: reshaping,
  input: z.object({
    path: pathField('Absolute, or relative to the first allowed directory.'),
    edits: z
      .array(
        z.strictObject({
          oldText: z.string().min(1).max(maxSearchedText).describe('Text to search for - must match exactly'),
          newText: z
            .string()
            .refine((text) => text.isWellFormed(), 'must be well-formed Unicode')
            .describe('Text to replace with'),
        }),
      )
      .max(maxEdits)
      .describe('Made one after the other.'),
    dryRun: z.boolean().default(false).describe('Preview changes using git-style diff format'),
    replaceAll: z.boolean().default(false).describe('Replace every occurrence of each oldText.'),
    expectedOccurrences: z
      .int()
      .min(1)
      .max(100_000)
      .default(1)
      .describe('How often each oldText has to occur; all are replaced.'),
    ifMatch: ifMatchField,
  }),
  output: contentOutput.extend({
    etag: etagField.describe('Of the file as it is now; with dryRun as it would be.'),
  }),
  text: contentText,

  handler: async ({ path, edits, dryRun, ifMatch, ...rules }, files, call) =>
    files.change(call, async () => {
      await using place = await locate(files, path);
      const before = await snapshotOf(files, place);
      if (!before) throw missing(place.path);
      requireMatch(place.path, before.contents, ifMatch);
      const text = asText(before.contents, place.path);
      const edited = await applyEdits(text, edits, rules, call);
      const contents = Buffer.from(edited);
      if (contents.length > maxTextBytes) {
        throw new ToolError(
          'too_large',
          `The file would have ${contents.length} bytes; at most ${maxTextBytes}.`,
          {
            hint: 'Write less, or into several files.',
          },
        );
      }
      if (!dryRun && edited !== text) await replace(place, contents, before.version, call);
      return { content: showDiff(place.path, text, edited), etag: etagOf(contents) };
    }),
});
