import { expect, test } from 'vitest';

import { outwardNames } from './naming.ts';

test.each([
  ['fits', 'a_', ['read', 'Read-2'], ['a_read', 'a_Read-2']],
  ['has no prefix', '', ['read'], ['read']],
  [
    'has signs that do not fit',
    'a_',
    ['notes.search', 'x/y z', 'größe'],
    ['a_notes_search', 'a_x_y_z', 'a_gr_e'],
  ],
  [
    'would then be another one',
    'a_',
    ['n.s', 'n_s', 'n/s'],
    [expect.stringMatching(/^a_n_s_[0-9a-f]{6}$/), 'a_n_s', expect.stringMatching(/^a_n_s_[0-9a-f]{6}$/)],
  ],
  [
    'is too long',
    'a_',
    ['x'.repeat(60), `${'x'.repeat(60)}y`],
    [expect.stringMatching(/^a_x{40}_[0-9a-f]{6}$/), expect.stringMatching(/^a_x{40}_[0-9a-f]{6}$/)],
  ],
  ['is empty', '', [''], [expect.stringMatching(/^_[0-9a-f]{6}$/)]],
])('a name that %s', (_what, prefix, names, expected) => {
  const outward = [...outwardNames(prefix, names).values()];

  expect(outward).toEqual(expected);
  expect(new Set(outward).size).toBe(names.length);
  expect(outward.filter((name) => !/^[a-zA-Z0-9_-]{1,49}$/.test(name))).toEqual([]);
});

test('a name is the same whatever stands beside it, unless the two would be one', () => {
  expect(outwardNames('a_', ['n.s', 'other']).get('n.s')).toBe(outwardNames('a_', ['n.s']).get('n.s'));
});
