import { z } from 'zod';

import { reshaping } from '#runtime/hints.ts';

import { locate, openFolderAt } from '../beneath.ts';
import { pathField, wellFormed, contentOutput, contentText } from '../fields.ts';
import { fileTool } from '../file-tool.ts';
import { actions, carryOut, isStillFit, planPatch, touchedBy } from '../patch.ts';

export const applyPatch = fileTool({
  name: 'apply_patch',
  title: 'Apply Patch',
  description:
    'Apply a unified diff, as of git diff, to one or many files: all of it or nothing. Deleted files go to the trash.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({
    path: pathField('The folder in which its names begin.'),
    patch: wellFormed.max(4_000_000).describe('Its context must fit; line numbers may be off.'),
    dryRun: z.boolean().default(false).describe('Only say whether it fits.'),
  }),
  output: contentOutput.extend({
    files: z
      .array(
        z.object({
          path: z.string().describe('Its new name.'),
          action: z.enum(actions).describe('What was done.'),
        }),
      )
      .describe('By file.'),
  }),
  text: contentText,

  async handler({ path, patch, dryRun }, files, call) {
    await using base = await locate(files, path);
    await (await openFolderAt(base)).close();
    // Planned beside the queue of changes, so that others go on; again, when something was changed meanwhile.
    for (;;) {
      const steps = await planPatch(files, base.path, patch, call);
      const isDone =
        dryRun ||
        (await files.change(call, touchedBy(steps), async () => {
          if (!(await isStillFit(files, steps))) return false;
          await carryOut(files, steps, call);
          return true;
        }));
      if (!isDone) continue;
      const done = steps.map(({ action, path, newPath }) => ({ path: newPath ?? path, action }));
      const verb = dryRun ? 'would be ' : '';
      return { content: done.map((file) => `${verb}${file.action} ${file.path}`).join('\n'), files: done };
    }
  },
});
