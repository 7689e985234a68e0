import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { Entity } from './graph-store.ts';
import { containing, entity, rankedBy, storeWith } from '../store.fixture.ts';

/** The official server's rule. */
const contains = ({ name, entityType, observations }: Entity, query: string) =>
  [name, entityType, ...observations].some((text) => text.toLowerCase().includes(query.toLowerCase()));

// Letters whose case folding is peculiar, quotes and operators of the query language, and a pair beyond 16 bits.
const letter = fc.constantFrom(...Array.from('aAbBİßΣς"*\'()-:^ \n😀é'), 'AND', 'NEAR');
const word = fc.array(letter, { maxLength: 6 }).map((letters) => letters.join(''));
const entities = fc.uniqueArray(
  fc.record({
    name: word.filter(Boolean),
    entityType: word,
    observations: fc.uniqueArray(word, { maxLength: 3 }),
  }),
  { selector: ({ name }) => name, maxLength: 6 },
);

test('substring mode finds what the official server finds, and ranked mode all of that', () => {
  fc.assert(
    fc.property(entities, word, (graph, query) => {
      using store = storeWith({ entities: graph });
      const official = graph.flatMap((one, index) => (contains(one, query) ? [index + 1] : []));

      expect(containing(store, query)).toEqual(official);
      const ranked = rankedBy(store, query);
      expect(new Set(ranked).isSupersetOf(new Set(official))).toBe(true);
      expect(new Set(ranked).size).toBe(ranked.length);
    }),
    { numRuns: 300 },
  );
});

test('letters that are one character or two find what the official server finds, and each other', () => {
  const marked = fc
    .array(fc.constantFrom('e', '\u0301', 'é', 'z', ' '), { maxLength: 6 })
    .map((all) => all.join(''));
  fc.assert(
    fc.property(fc.uniqueArray(marked, { maxLength: 6 }), marked, (texts, query) => {
      using store = storeWith({ entities: texts.map((text, index) => entity(`n${index}`, text)) });
      const having = (form: (text: string) => string) =>
        texts.flatMap((text, index) => (form(text).includes(form(query)) ? [index + 1] : []));

      const found = new Set(containing(store, query));

      expect(found.isSupersetOf(new Set(having((text) => text)))).toBe(true);
      expect(found.isSupersetOf(new Set(having((text) => text.normalize('NFC'))))).toBe(true);
    }),
  );
});

test('blanks at the end of a text and of a query count', () => {
  using store = storeWith({ entities: [entity('a', 'zz '), entity('b', ' zz'), entity('c', 'zz')] });

  expect(containing(store, 'zz ')).toEqual([1]);
  expect(containing(store, ' zz')).toEqual([2]);
});

test('any word of the query finds, in any form, and more of them rank higher', () => {
  using store = storeWith({
    entities: [entity('tea', 'drinks'), entity('coffee', 'is a drink', 'served in Berlin'), entity('water')],
  });

  expect(rankedBy(store, 'drinking coffee in berlin')).toEqual([2, 1]);
});

test('a name ranks above a mention, and the very name above all', () => {
  using store = storeWith({
    entities: [entity('x', 'Ada knows Ada and Ada'), entity('Ada Lovelace'), entity('Ada')],
  });

  expect(rankedBy(store, 'Ada', 3)).toEqual([3, 2, 1]);
});
