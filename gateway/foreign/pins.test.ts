import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { DamagedDataError } from '#runtime/errors.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import type { Definition } from './findings.ts';
import { differenceOf, hashOf, judged, readPins, writePins, type Pins } from './pins.ts';

const tool = (name: string, description = 'Sunny.'): Definition => ({
  kind: 'tool',
  name,
  value: { description, inputSchema: { type: 'object', properties: { a: { type: 'string' } } } },
});
const now = '2026-11-20T12:00:00.000Z';
const seen = (
  before: Pins | undefined,
  definitions: readonly Definition[],
  approved: readonly string[] = [],
) => judged(before, definitions, { approved: new Set(approved), now });
const names = (pins: readonly { readonly name: string }[]) => pins.map(({ name }) => name);

test('the first sight pins everything; later, what is new or changed is held, and what is gone stays pinned', () => {
  const first = seen(undefined, [tool('a'), tool('b')]);
  const later = seen(first, [tool('a', 'Rainy.'), tool('c')]);

  expect([names(first.pinned), names(first.held)]).toEqual([['a', 'b'], []]);
  expect([names(later.pinned), names(later.held)]).toEqual([
    ['a', 'b'],
    ['a', 'c'],
  ]);
  expect(seen(later, [tool('a'), tool('b')]).held).toEqual([]);
  expect(names(seen(later, []).pinned)).toEqual(['a', 'b']);
});

test('what is approved takes the place of what was pinned, by its hash alone', () => {
  const changed = tool('a', 'Rainy.');
  const first = seen(undefined, [tool('a')]);

  expect(seen(first, [changed], [hashOf(changed)])).toMatchObject({
    held: [],
    pinned: [{ hash: hashOf(changed) }],
  });
  expect(names(seen(first, [tool('a', 'Stormy.')], [hashOf(changed)]).held)).toEqual(['a']);
});

test('a hash is of what is said, however the fields are ordered', () => {
  const { value } = tool('a');
  const turned = Object.fromEntries(Object.entries(value).toReversed());

  expect(hashOf({ kind: 'tool', name: 'a', value: turned })).toBe(hashOf(tool('a')));
  expect(hashOf({ kind: 'prompt', name: 'a', value })).not.toBe(hashOf(tool('a')));
});

test('they are kept in a file; a server that has nothing yet was not seen; a damaged file is no first sight', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'upstreams', 'a.json');
  writePins(file, undefined, seen(undefined, []));
  expect(readPins(file)).toBeUndefined();

  const pins = seen(undefined, [tool('a')]);
  writePins(file, undefined, pins);
  expect(readPins(file)).toEqual(pins);

  writeFileSync(file, '{"pinned":');
  expect(() => readPins(file)).toThrow(DamagedDataError);
});

test('people read what a held definition changes, and see what is hidden in it', () => {
  const first = seen(undefined, [tool('a', 'Sunny.\nFor a week.')]);
  const later = seen(first, [tool('a', 'Sunny.\u200b\nFor a month.'), tool('new')]);
  const [changed = '', added = ''] = later.held.map((held) => differenceOf(later, held));

  expect(changed).toBe(`--- tool a, pinned ${now}
+++ tool a, seen ${now}
@@ -1,5 +1,5 @@
 description:
-  | Sunny.
-  | For a week.
+  | Sunny.\\u{200b}
+  | For a month.
 inputSchema:
   properties:
`);
  expect(added).toContain('--- nothing\n+++ tool new');
});
