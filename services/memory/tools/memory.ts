import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import { reshaping } from '#runtime/hints.ts';
import { storedText } from '#runtime/fields.ts';
import type { Change } from '../journal.ts';
import { maxFileLength, maxRowsPerTurn } from '../limits.ts';
import type { NoteStore } from '../notes/note-store.ts';
import { canonical, foldersOf, pathField, root } from '../notes/path.ts';
import { editView, folderView, linesOf, noteView } from '../notes/view.ts';
import type { Store } from '../store.ts';

const linesAroundEdit = 4;

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
type Command = z.output<typeof commands>;
type CommandOf<Name extends Command['command']> = Extract<Command, { command: Name }>;

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
    if (command.command === 'view') return store.snapshot(() => view(store.notes, command));
    return {
      content: store.change('memory', call, (change) => edit(store.notes, change, command.command, command)),
    };
  },
});

type Edits = { readonly [Name in Exclude<Command['command'], 'view'>]: CommandOf<Name> };
const edits: {
  readonly [Name in keyof Edits]: (notes: NoteStore, change: Change, command: Edits[Name]) => string;
} = { create, str_replace: replace, insert, delete: remove, rename };

const edit = <Name extends keyof Edits>(notes: NoteStore, change: Change, name: Name, command: Edits[Name]) =>
  edits[name](notes, change, command);

function view(notes: NoteStore, { path: raw, view_range: range }: CommandOf<'view'>) {
  const place = canonical(raw);
  const note = notes.read(place);
  if (!note) {
    if (place !== root && !notes.exists(place)) throw missing(place, ' Please provide a valid path.', '');
    if (range) throw new ToolError('invalid_input', `${place} is a folder: leave view_range out.`);
    const entries = notes.entries(place, maxRowsPerTurn + 1);
    return folderView(place, entries.slice(0, maxRowsPerTurn), entries.length <= maxRowsPerTurn);
  }
  const lines = linesOf(note.text);
  const [first = 1, last = -1] = range ?? [];
  if (first < 1 || first > Math.max(lines.length, 1) || (last !== -1 && last < first)) {
    throw new ToolError('invalid_input', `Invalid view_range: the file has ${lines.length} lines.`);
  }
  return noteView(place, lines.slice(first - 1, last === -1 ? undefined : last), first, range !== undefined);
}

function create(
  notes: NoteStore,
  change: Change,
  { path: raw, file_text: text }: CommandOf<'create'>,
): string {
  const place = canonical(raw);
  if (place === root || notes.exists(place)) throw taken(`File ${place}`);
  requireFolder(notes, place);
  notes.create(change, place, text);
  return `File created successfully at: ${place}`;
}

function replace(notes: NoteStore, change: Change, command: CommandOf<'str_replace'>): string {
  const { old_str: old, new_str: fresh } = command;
  const place = canonical(command.path);
  const note = notes.read(place);
  if (!note) throw missing(place, ' Please provide a valid path.');
  const [before, ...rest] = note.text.split(old);
  if (before === undefined || rest.length === 0) {
    throw new ToolError(
      'not_found',
      `No replacement was performed, old_str \`${quote(old)}\` did not appear verbatim in ${place}.`,
      { hint: 'View the file and copy the text exactly.' },
    );
  }
  const line = linesOf(before).length || 1;
  if (rest.length > 1) {
    throw new ToolError(
      'conflict',
      `No replacement was performed. Multiple occurrences of old_str \`${quote(old)}\` in lines: ${occurrences(note.text, old)}. Please ensure it is unique`,
      { hint: 'Give more of the text around it.' },
    );
  }
  const text = before + fresh + rest.join('');
  notes.write(change, note, text);
  const first = Math.max(1, line - linesAroundEdit);
  const last = line + fresh.split('\n').length - 1 + linesAroundEdit;
  return editView(linesOf(text).slice(first - 1, last), first);
}

function insert(notes: NoteStore, change: Change, command: CommandOf<'insert'>): string {
  const place = canonical(command.path);
  const note = notes.read(place);
  if (!note) throw missing(place);
  const lines = linesOf(note.text);
  if (command.insert_line > lines.length) {
    throw new ToolError(
      'invalid_input',
      `Error: Invalid \`insert_line\` parameter: ${command.insert_line}. It should be within the range of lines of the file: [0, ${lines.length}]`,
    );
  }
  const inserted = linesOf(command.insert_text);
  const all = [...lines.slice(0, command.insert_line), ...inserted, ...lines.slice(command.insert_line)];
  notes.write(change, note, `${all.join('\n')}\n`);
  return `The file ${place} has been edited.`;
}

function remove(notes: NoteStore, change: Change, { path: raw }: CommandOf<'delete'>): string {
  const place = canonical(raw);
  requireBelowRoot(place);
  if (notes.remove(change, place) === 0) throw missing(place);
  return `Successfully deleted ${place}`;
}

function rename(notes: NoteStore, change: Change, command: CommandOf<'rename'>): string {
  const [from, to] = [canonical(command.old_path), canonical(command.new_path)];
  requireBelowRoot(from);
  if (!notes.exists(from)) throw missing(from);
  if (to === root || notes.exists(to)) throw taken(`The destination ${to}`);
  if (to.startsWith(`${from}/`)) throw new ToolError('conflict', `${to} lies inside ${from}.`);
  requireFolder(notes, to);
  notes.move(change, from, to);
  return `Successfully renamed ${from} to ${to}`;
}

// The phrases are those that models are trained on.
const missing = (place: string, more = '', error = 'Error: ') =>
  new ToolError('not_found', `${error}The path ${place} does not exist${more ? `.${more}` : ''}`, {
    hint: `View ${root} to see what there is.`,
  });
const taken = (what: string) =>
  new ToolError('conflict', `Error: ${what} already exists`, {
    hint: 'Choose another path, or str_replace.',
  });

function requireBelowRoot(place: string): void {
  if (place === root) throw new ToolError('invalid_input', `${root} itself cannot be deleted or renamed.`);
}

/** A file cannot also be a folder. */
function requireFolder(notes: NoteStore, place: string): void {
  for (const folder of foldersOf(place)) {
    if (notes.read(folder)) throw new ToolError('conflict', `${folder} is a file, not a folder.`);
  }
}

const quote = (text: string) => (text.length > 200 ? `${text.slice(0, 200)}…` : text);

function occurrences(text: string, part: string): string {
  const lines: number[] = [];
  for (let at = text.indexOf(part); at >= 0 && lines.length < 20; at = text.indexOf(part, at + part.length)) {
    lines.push(text.slice(0, at).split('\n').length);
  }
  return lines.join(', ');
}
