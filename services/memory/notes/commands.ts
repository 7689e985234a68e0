/** What the commands of the memory tool do with notes, and say of it. */
import { ToolError } from '#runtime/errors.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Change } from '../journal.ts';
import type { NoteStore } from './note-store.ts';
import { canonical, foldersOf, root } from './path.ts';
import { editView, folderView, linesOf, noteView, type NoteView } from './view.ts';

const linesAroundEdit = 4;
/** That the view of a folder adds up. */
const mostNotesInView = 10_000;

interface View {
  readonly path: string;
  readonly view_range?: readonly number[] | undefined;
}

interface Edits {
  create: { readonly path: string; readonly file_text: string };
  str_replace: { readonly path: string; readonly old_str: string; readonly new_str: string };
  insert: { readonly path: string; readonly insert_line: number; readonly insert_text: string };
  delete: { readonly path: string };
  rename: { readonly old_path: string; readonly new_path: string };
}
type EditOf<Name extends keyof Edits> = { readonly command: Name } & Edits[Name];
export type NoteEdit = { [Name in keyof Edits]: EditOf<Name> }[keyof Edits];

const edits: {
  readonly [Name in keyof Edits]: (notes: NoteStore, change: Change, command: Edits[Name]) => string;
} = { create, str_replace: replace, insert, delete: remove, rename };

/** @returns what was done, in words. @throws ToolError not_found, conflict, invalid_input, too_large. */
export function editNote(notes: NoteStore, change: Change, command: NoteEdit): string {
  const edit = edits[command.command] as (notes: NoteStore, change: Change, command: NoteEdit) => string;
  return edit(notes, change, command);
}

/** @throws ToolError not_found, invalid_input. */
export function* viewNotes(notes: NoteStore, { path: raw, view_range: range }: View): Steps<NoteView> {
  const place = canonical(raw);
  const note = notes.read(place);
  if (!note) {
    if (place !== root && !notes.exists(place)) throw missing(place, ' Please provide a valid path.', '');
    if (range) throw new ToolError('invalid_input', `${place} is a folder: leave view_range out.`);
    const entries = yield* notes.entries(place, mostNotesInView + 1);
    return folderView(place, entries.slice(0, mostNotesInView), entries.length <= mostNotesInView);
  }
  const lines = linesOf(note.text);
  const [first = 1, last = -1] = range ?? [];
  if (first < 1 || first > Math.max(lines.length, 1) || (last !== -1 && last < first)) {
    throw new ToolError('invalid_input', `Invalid view_range: the file has ${lines.length} lines.`);
  }
  return noteView(place, lines.slice(first - 1, last === -1 ? undefined : last), first, range !== undefined);
}

function create(notes: NoteStore, change: Change, { path: raw, file_text: text }: Edits['create']): string {
  const place = canonical(raw);
  if (place === root || notes.exists(place)) throw taken(`File ${place}`);
  requireFolder(notes, place);
  notes.create(change, place, text);
  return `File created successfully at: ${place}`;
}

function replace(notes: NoteStore, change: Change, command: Edits['str_replace']): string {
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

function insert(notes: NoteStore, change: Change, command: Edits['insert']): string {
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

function remove(notes: NoteStore, change: Change, { path: raw }: Edits['delete']): string {
  const place = canonical(raw);
  requireBelowRoot(place);
  if (notes.remove(change, place) === 0) throw missing(place);
  return `Successfully deleted ${place}`;
}

function rename(notes: NoteStore, change: Change, command: Edits['rename']): string {
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
