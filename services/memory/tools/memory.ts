import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import type { FileStore } from '../file-store.ts';
import type { Change } from '../journal.ts';
import { maxFileLength, storedText } from '../limits.ts';
import type { Store } from '../store.ts';

const root = '/memories';
const shownLength = 16_000;
const shownEntries = 1_000;
const linesAroundEdit = 4;

const path = z
  .string()
  .max(512)
  .regex(/^\/memories(?:\/|$)/, 'must begin with /memories')
  .refine(isPlain, 'must not contain "..", ".", "//", "\\", "%", control characters or half characters');
const fields = {
  path: path.describe('Path under /memories; all but rename.'),
  view_range: z
    .array(z.int().min(-1))
    .length(2)
    .describe('view: first and last line of a file; -1 for its end.'),
  file_text: storedText(maxFileLength, 'create: the content.'),
  old_str: z.string().min(1).max(maxFileLength).describe('str_replace: text that occurs once.'),
  new_str: storedText(maxFileLength, 'str_replace: its replacement; nothing if left out.'),
  insert_line: z.int().min(0).describe('insert: the line to insert after; 0 for the beginning.'),
  insert_text: storedText(maxFileLength, 'insert: the text.'),
  old_path: path.describe('rename: present path.'),
  new_path: path.describe('rename: new path.'),
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
  hints: { readOnly: false, destructive: true, idempotent: false, openWorld: false },
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
    if (command.command === 'view') return store.snapshot(() => view(store.files, command));
    return {
      content: store.change('memory', call, (change) => edit(store.files, change, command)),
    };
  },
});

function edit(files: FileStore, change: Change, command: Exclude<Command, { command: 'view' }>): string {
  switch (command.command) {
    case 'create':
      return create(files, change, command);
    case 'str_replace':
      return replace(files, change, command);
    case 'insert':
      return insert(files, change, command);
    case 'delete':
      return remove(files, change, command);
    case 'rename':
    default:
      return rename(files, change, command);
  }
}

function view(files: FileStore, { path: raw, view_range: range }: CommandOf<'view'>) {
  const place = canonical(raw);
  const file = files.read(place);
  if (!file) {
    if (place !== root && !files.exists(place)) throw missing(place, ' Please provide a valid path.', '');
    if (range) throw new ToolError('invalid_input', `${place} is a folder: leave view_range out.`);
    return folder(files, place);
  }
  const lines = linesOf(file.text);
  const [first = 1, last = -1] = range ?? [];
  if (first < 1 || first > Math.max(lines.length, 1) || (last !== -1 && last < first)) {
    throw new ToolError('invalid_input', `Invalid view_range: the file has ${lines.length} lines.`);
  }
  const shown = numbered(lines.slice(first - 1, last === -1 ? undefined : last), first);
  const isCut = range === undefined && shown.length > shownLength;
  const lineEnd = shown.lastIndexOf('\n', shownLength);
  const body = isCut ? shown.slice(0, lineEnd > 0 ? lineEnd : shownLength).toWellFormed() : shown;
  return {
    content: `Here's the content of ${place} with line numbers:\n${body}${isCut ? '\n[cut: pass view_range]' : ''}`,
    ...(isCut && { truncated: true as const }),
  };
}

/** Two levels deep; what lies deeper, and folders, show as the size of all that is in them. */
function folder(files: FileStore, place: string) {
  const sizes = new Map<string, number>();
  let total = 0;
  for (const entry of files.entries(place)) {
    total += entry.size;
    const names = entry.path.slice(place.length + 1).split('/');
    for (const depth of [1, 2]) {
      const shown = names.slice(0, depth);
      if (names.length < depth || shown.some((name) => name.startsWith('.') || name === 'node_modules'))
        break;
      const key = `${place}/${shown.join('/')}${names.length > depth ? '/' : ''}`;
      sizes.set(key, (sizes.get(key) ?? 0) + entry.size);
    }
  }
  const entries = [...sizes].slice(0, shownEntries).map(([entry, size]) => `${humanSize(size)}\t${entry}`);
  const header = `Here're the files and directories up to 2 levels deep in ${place}, excluding hidden items and node_modules:`;
  return {
    content: [header, `${humanSize(total)}\t${place}`, ...entries].join('\n'),
    ...(sizes.size > shownEntries && { truncated: true as const }),
  };
}

function create(
  files: FileStore,
  change: Change,
  { path: raw, file_text: text }: CommandOf<'create'>,
): string {
  const place = canonical(raw);
  if (place === root || files.exists(place)) throw taken(`File ${place}`);
  requireFolder(files, place);
  files.create(change, place, text);
  return `File created successfully at: ${place}`;
}

function replace(files: FileStore, change: Change, command: CommandOf<'str_replace'>): string {
  const { old_str: old, new_str: fresh } = command;
  const place = canonical(command.path);
  const file = files.read(place);
  if (!file) throw missing(place, ' Please provide a valid path.');
  const [before, ...rest] = file.text.split(old);
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
      `No replacement was performed. Multiple occurrences of old_str \`${quote(old)}\` in lines: ${occurrences(file.text, old)}. Please ensure it is unique`,
      { hint: 'Give more of the text around it.' },
    );
  }
  const text = before + fresh + rest.join('');
  files.write(change, file, text);
  const first = Math.max(1, line - linesAroundEdit);
  const last = line + fresh.split('\n').length - 1 + linesAroundEdit;
  return `The memory file has been edited.\n${numbered(linesOf(text).slice(first - 1, last), first)}`;
}

function insert(files: FileStore, change: Change, command: CommandOf<'insert'>): string {
  const place = canonical(command.path);
  const file = files.read(place);
  if (!file) throw missing(place);
  const lines = linesOf(file.text);
  if (command.insert_line > lines.length) {
    throw new ToolError(
      'invalid_input',
      `Error: Invalid \`insert_line\` parameter: ${command.insert_line}. It should be within the range of lines of the file: [0, ${lines.length}]`,
    );
  }
  const inserted = linesOf(command.insert_text);
  const all = [...lines.slice(0, command.insert_line), ...inserted, ...lines.slice(command.insert_line)];
  files.write(change, file, `${all.join('\n')}\n`);
  return `The file ${place} has been edited.`;
}

function remove(files: FileStore, change: Change, { path: raw }: CommandOf<'delete'>): string {
  const place = canonical(raw);
  requireBelowRoot(place);
  if (files.remove(change, place) === 0) throw missing(place);
  return `Successfully deleted ${place}`;
}

function rename(files: FileStore, change: Change, command: CommandOf<'rename'>): string {
  const [from, to] = [canonical(command.old_path), canonical(command.new_path)];
  requireBelowRoot(from);
  if (!files.exists(from)) throw missing(from);
  if (to === root || files.exists(to)) throw taken(`The destination ${to}`);
  if (to.startsWith(`${from}/`)) throw new ToolError('conflict', `${to} lies inside ${from}.`);
  requireFolder(files, to);
  files.move(change, from, to);
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
function requireFolder(files: FileStore, place: string): void {
  for (let parent = parentOf(place); parent !== root; parent = parentOf(parent)) {
    if (files.read(parent)) throw new ToolError('conflict', `${parent} is a file, not a folder.`);
  }
}

const parentOf = (place: string) => place.slice(0, place.lastIndexOf('/'));
const canonical = (raw: string) => (raw.endsWith('/') ? raw.slice(0, -1) : raw);

/** No way of writing "up" or of writing one place in two ways; `%` because URL encoding could hide either. */
function isPlain(raw: string): boolean {
  const names = canonical(raw).split('/').slice(1);
  return (
    raw.isWellFormed() &&
    !/[\\%\p{Cc}]/u.test(raw) &&
    names.every((name) => name !== '' && name !== '.' && name !== '..')
  );
}

function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

const numbered = (lines: readonly string[], first: number) =>
  lines.map((line, index) => `${String(first + index).padStart(6)}\t${line}`).join('\n');

const quote = (text: string) => (text.length > 200 ? `${text.slice(0, 200)}…` : text);

function occurrences(text: string, part: string): string {
  const lines: number[] = [];
  for (let at = text.indexOf(part); at >= 0 && lines.length < 20; at = text.indexOf(part, at + part.length)) {
    lines.push(text.slice(0, at).split('\n').length);
  }
  return lines.join(', ');
}

function humanSize(bytes: number): string {
  const units = ['', 'K', 'M', 'G'];
  const power = bytes < 1_024 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  const size = bytes / 1_024 ** power;
  return `${power === 0 ? size : size.toFixed(1)}${units[power]}`;
}
