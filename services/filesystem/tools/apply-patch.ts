import { z } from 'zod';

import { reshaping } from '#runtime/hints.ts';

import { locate, openFolderAt } from '../beneath.ts';
import { contentOutput, contentText, fileTool, pathField } from '../file-tool.ts';
import { actions, carryOut, planPatch, readPatch, touchedBy } from '../patch.ts';

export const applyPatch = fileTool({
  name: 'apply_patch',
  title: 'Apply Patch',
  description:
    'Apply a unified diff (as of git diff) to one or many files: change, create, delete, rename. Either all of it is applied or nothing. Deleted files go to the trash.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({
    path: pathField('The folder that the names in the patch begin in; . is the first allowed directory.'),
    patch: z
      .string()
      .min(1)
      .max(4_000_000)
      .refine((patch) => patch.isWellFormed(), 'must be well-formed Unicode')
      .describe('The diff. Context has to fit exactly; line numbers may be off.'),
    dryRun: z.boolean().default(false).describe('Only say whether it fits, and what it would do.'),
  }),
  output: contentOutput.extend({
    files: z
      .array(
        z.object({
          path: z.string().describe('The file, under its new name.'),
          action: z.enum(actions).describe('What was done.'),
        }),
      )
      .describe('In the order of the patch.'),
  }),
  text: contentText,

  async handler({ path, patch, dryRun }, files, call) {
    await using base = await locate(files, path);
    await (await openFolderAt(base)).close();
    const patches = readPatch(patch);
    const work = async () => {
      const steps = await planPatch(files, base.path, patches);
      if (!dryRun) await carryOut(files, steps, call);
      return steps;
    };
    const steps = await (dryRun ? work() : files.change(call, touchedBy(base.path, patches), work));
    const done = steps.map(({ action, path, newPath }) => ({ path: newPath ?? path, action }));
    const verb = dryRun ? 'would be ' : '';
    return { content: done.map((file) => `${verb}${file.action} ${file.path}`).join('\n'), files: done };
  },
});
