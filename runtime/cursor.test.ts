import { expect, test } from 'vitest';
import { z } from 'zod';

import { decodeCursor, encodeCursor } from './cursor.ts';

const args = { limit: 2 };
const shape = z.tuple([z.int(), z.string()]);
const cursor = encodeCursor('read_graph', args, [7, 'x']);

test('a cursor gives its position back to the call that it was made for', () => {
  expect(decodeCursor('read_graph', args, cursor, shape, [0, ''])).toEqual([7, 'x']);
});

test('no cursor is the start', () => {
  expect(decodeCursor('read_graph', args, undefined, shape, [0, ''])).toEqual([0, '']);
});

const tampered = Buffer.from(Buffer.from(cursor, 'base64url').toString().replace('7', '8')).toString(
  'base64url',
);

test.each([
  ['of another tool', 'search_nodes', args, cursor],
  ['of other arguments', 'read_graph', { limit: 3 }, cursor],
  ['with an altered position', 'read_graph', args, tampered],
  ['with a position of another shape', 'read_graph', args, encodeCursor('read_graph', args, ['x', 7])],
  ['that is no cursor', 'read_graph', args, 'hello'],
  ['that is empty', 'read_graph', args, ''],
  ['that is another JSON', 'read_graph', args, Buffer.from('{"at":1}').toString('base64url')],
])('a cursor %s is refused', (_, tool, itsArgs, text) => {
  expect(() => decodeCursor(tool, itsArgs, text, shape, [0, ''])).toThrow(
    expect.objectContaining({ code: 'invalid_input', hint: expect.stringContaining('next_cursor') }),
  );
});
