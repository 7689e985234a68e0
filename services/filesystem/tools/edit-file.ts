import { z } from 'zod';

import { reshaping } from '#runtime/hints.ts';

import { missing } from '../beneath.ts';
import { showDiff } from '../diff.ts';
import { applyEdits, tooLong } from '../edit.ts';
import { contentOutput, etagField, fileTool, ifMatchField, pathField, wellFormed } from '../file-tool.ts';
import { maxEdits, maxSearchedText, maxTextBytes } from '../limits.ts';
import { locateTarget } from '../repository.ts';
import { asText, etagOf } from '../text.ts';
import { isUnchanged, replace, requireMatch, snapshotOf } from '../write.ts';

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
          oldText: wellFormed.min(1).max(maxSearchedText).describe('Text to search for - must match exactly'),
          newText: wellFormed.describe('Text to replace with'),
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
    changed: z.boolean().describe('Whether the file is another now; with dryRun, would be.'),
    etag: etagField.describe('Of the file as it is now; with dryRun as it would be.'),
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
      const text = asText(before.contents, place.path);
      const edited = await applyEdits(text, edits, rules, call);
      const contents = Buffer.from(edited);
      if (contents.length > maxTextBytes) throw tooLong();
      const isDone =
        dryRun ||
        edited === text ||
        (await files.change(call, [[path]], async () => {
          if (!(await isUnchanged(place, before.version))) return false;
          await replace(place, contents, before.version, call);
          return true;
        }));
      if (!isDone) continue;
      return {
        content: showDiff(place.path, text, edited),
        changed: edited !== text,
        etag: etagOf(contents),
      };
    }
  },
});
