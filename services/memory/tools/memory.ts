import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import { reshaping } from '#runtime/hints.ts';
import { storedText } from '#runtime/fields.ts';
import { maxFileLength } from '../limits.ts';
import { viewNotes } from '../notes/commands.ts';
import { pathField } from '../notes/path.ts';
import type { Store } from '../store.ts';

const fields = {
  path: pathField.describe('Path under /memories; all but rename.'),
  view_range: z
    .array(z.int().min(-1))
    .length(2)
    .describe('view: first and last line of a file; -1 for its end.'),
  file_text: storedText(maxFileLength, 'create: the content.'),
  old_str: z.string().min(1).max(maxFileLength).describe('str_replace: text that occurs once.'),
  new_str: storedText(maxFileLength, 'str_replace: its replacement; nothing if left out.'),
  insert_line: z.int().min(0).describe('insert: the line to insert after; 0 for the beginning.'),
  insert_text: storedText(maxFileLength, 'insert: the text.'),
  old_path: pathField.describe('rename: present path.'),
  new_path: pathField.describe('rename: new path.'),
};

/** Which arguments each command takes. */
const commands = z.discriminatedUnion('command', [
  z.strictObject({ command: z.literal('view'), path: fields.path, view_range: fields.view_range.optional() }),
  z.strictObject({ command: z.literal('create'), path: fields.path, file_text: fields.file_text }),
  z.strictObject({
    command: z.literal('str_replace'),
    path: fields.path,
    old_str: fields.old_str,
    new_str: fields.new_str.default(''),
  }),
  z.strictObject({
    command: z.literal('insert'),
    path: fields.path,
    insert_line: fields.insert_line,
    insert_text: fields.insert_text,
  }),
  z.strictObject({ command: z.literal('delete'), path: fields.path }),
  z.strictObject({ command: z.literal('rename'), old_path: fields.old_path, new_path: fields.new_path }),
]);
export const memory = defineTool({
  name: 'memory',
  title: 'Memory',
  description:
    'Keep notes as text files under /memories: view a file or folder, create, str_replace, insert, delete, rename. Each command takes only its own arguments. Nothing touches the disk of the host.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({
    command: z.enum(['view', 'create', 'str_replace', 'insert', 'delete', 'rename']).describe('What to do.'),
    ...z.object(fields).partial().shape,
  }),
  output: z.object({
    content: z.string().describe('What was seen or done.'),
    truncated: z.literal(true).optional().describe('There is more: pass view_range, or view a folder below.'),
  }),
  text: ({ content }) => content,

  handler(args, store: Store, call) {
    const parsed = commands.safeParse(args);
    if (!parsed.success) {
      const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`.trim());
      throw new ToolError('invalid_input', `Wrong arguments for ${args.command}: ${issues.join('; ')}.`, {
        hint: "See the tool's input schema: each field names its command.",
      });
    }
    const command = parsed.data;
    return command.command === 'view'
      ? store.inTurns(call, viewNotes(store.notes, command))
      : store.change('memory', command, call);
  },
});
