import { expect, test } from 'vitest';

import { offeredNames } from './offered-names.ts';

const all = [
  { name: 'read_note', effect: 'read' },
  { name: 'delete_note', effect: 'destroy' },
  { name: 'merge_notes', effect: 'write' },
  { name: 'note', effect: 'write' },
] as const;
const offered = all.filter(({ name }) => name !== 'merge_notes');

test.each([
  ['Call read_note first.', 'read', 'Call read_note first.'],
  ['Split it. Delete some with delete_note.', 'destroy', 'Split it. Delete some with delete_note.'],
  ['Split it. Delete some with delete_note.', 'read', 'Split it.'],
  ['Use merge_notes, or read_note.', 'destroy', ''],
  ['Shorten it; or use merge_notes; or ask.', 'destroy', 'Shorten it; or ask.'],
  ['Split it; or use merge_notes.', 'destroy', 'Split it.'],
  ['Use merge_notes; then ask: it helps.', 'destroy', 'Then ask: it helps.'],
  [
    'It needs the scope note:write. A note is kept.',
    'read',
    'It needs the scope note:write. A note is kept.',
  ],
  ['Change it with note. Call note first. The note tool: see it. Read.', 'read', 'See it. Read.'],
  ['Nothing of that name: my_merge_notes_too.', 'read', 'Nothing of that name: my_merge_notes_too.'],
] as const)('%s (%s)', (text, allowed, left) => {
  expect(offeredNames(all, offered)(text, allowed)).toBe(left);
});

test('where all is offered, nothing is left out', () => {
  const named = offeredNames(all, all);

  expect(named('merge_notes, delete_note.', 'destroy')).toBe('merge_notes, delete_note.');
  expect(named('', 'read')).toBe('');
});
