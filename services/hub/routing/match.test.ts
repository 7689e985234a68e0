import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { filterField, matcherOf, type Filter } from './match.ts';

describe('A filter', () => {
  const body = {
    n: 5,
    text: 'b',
    no: null,
    yes: true,
    list: [{ x: 1 }, 'two'],
    deep: { er: { value: 'v' } },
    'a.b': 1,
    when: '2026-11-29T17:00:00Z',
  };

  test.each<[Filter, boolean]>([
    [{ n: 5 }, true],
    [{ n: '5' }, false],
    [{ n: 5, text: 'c' }, false],
    [{ no: null }, true],
    [{ missing: null }, false],
    [{ yes: true }, true],
    [{ yes: 1 }, false],
    [{ 'deep.er.value': 'v' }, true],
    [{ 'deep.er': 'v' }, false],
    [{ 'deep.er.value.length': 1 }, false],
    [{ 'list.0.x': 1 }, true],
    [{ 'list.1': 'two' }, true],
    [{ 'list.length': 2 }, false],
    [{ 'list.2': { exists: false } }, true],
    [{ 'a.b': 1 }, false],
    [{ constructor: { exists: true } }, false],
    [{ 'deep.__proto__': { exists: true } }, false],
    [{ n: { gt: 4, lt: 6 } }, true],
    [{ n: { gt: 5 } }, false],
    [{ n: { gte: 5, lte: 5 } }, true],
    [{ n: { lt: 5 } }, false],
    [{ n: { gt: '4' } }, false],
    [{ text: { gt: 'a', lte: 'b' } }, true],
    [{ yes: { gte: 0 } }, false],
    [{ no: { gte: 0 } }, false],
    [{ missing: { lt: 1 } }, false],
    [{ when: { gte: '2026-11-29', lt: '2026-11-30' } }, true],
    [{ n: { ne: 5 } }, false],
    [{ n: { ne: 6 } }, true],
    [{ missing: { ne: 6 } }, true],
    [{ missing: { ne: 6, exists: true } }, false],
    [{ n: { in: [1, 5, 'x'] } }, true],
    [{ n: { in: ['5'] } }, false],
    [{ missing: { in: [null] } }, false],
    [{ no: { in: [null] } }, true],
    [{ no: { exists: true } }, true],
    [{ missing: { exists: false } }, true],
    [{ missing: { exists: true } }, false],
  ])('%j: %j', (filter, fits) => {
    expect(filterField.parse(filter)).toEqual(filter);
    expect(matcherOf(filter)(body)).toBe(fits);
  });

  test.each([undefined, null, 5, 'text', [], {}])('wants something of %j that is not there', (odd) => {
    expect(matcherOf({ a: { exists: true } })(odd)).toBe(false);
    expect(matcherOf({ a: { exists: false } })(odd)).toBe(true);
  });

  test.each<[unknown, RegExp]>([
    [{}, /must have a path/],
    [undefined, /expected record/],
    [null, /expected record/],
    ['x', /expected record/],
    [[1], /expected record/],
    [JSON.parse('{"__proto__": 1, "a": 2}'), /__proto__/],
    [{ a: {} }, /must be a text, a number/],
    [{ a: [1] }, /must be a text, a number/],
    [{ a: { like: 'x' } }, /gt, gte, lt, lte/],
    [{ a: { gt: true } }, /gt, gte, lt, lte/],
    [{ a: { in: [] } }, /array to have >=1 items/],
    [{ a: { in: Array(101).fill(1) } }, /must be a text/],
    [{ a: { in: [{}] } }, /must be a text/],
    [{ a: { exists: 'yes' } }, /must be a text/],
    [{ a: 'x'.repeat(1_001) }, /<=1000 characters/],
    [{ a: NaN }, /must be a text/],
    [{ '': 1 }, /keys with dots/],
    [{ 'a..b': 1 }, /keys with dots/],
    [{ [Array(17).fill('a').join('.')]: 1 }, /at most 16 keys/],
    [{ ['a'.repeat(201)]: 1 }, /200/],
    [Object.fromEntries(Array.from({ length: 21 }, (_, at) => [`k${at}`, 1])), /at most 20 paths/],
  ])('%#: %j is refused in plain words', (filter, words) => {
    const { error } = filterField.safeParse(filter);

    expect(JSON.stringify(error?.issues)).toMatch(words);
  });

  test('tells a client what a path must be', () => {
    const { error } = filterField.safeParse({ 'a..b': 1 });
    expect(error?.issues[0]?.message).toMatch(/keys with dots between them/);
  });

  test('finds every value of a body at its path', () => {
    const key = fc.stringMatching(/^[a-z]{1,3}$/);
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(
          fc.string(),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
          fc.constant(null),
        ),
        fc.dictionary(key, tie('tree'), { maxKeys: 3 }),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }));
    function* leaves(value: unknown, path: readonly string[] = []): Generator<[string, Filter[string]]> {
      if (typeof value === 'object' && value !== null)
        for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...path, name]);
      else yield [path.join('.'), value as Filter[string]];
    }
    fc.assert(
      fc.property(fc.dictionary(key, tree), (body) => {
        const all = [...leaves(body)];
        for (const [path, value] of all) {
          expect(matcherOf({ [path]: value })(body)).toBe(true);
          expect(matcherOf({ [path]: { ne: value } as Filter[string] })(body)).toBe(false);
        }
        expect(matcherOf(Object.fromEntries(all))(body)).toBe(true);
      }),
    );
  });
});
