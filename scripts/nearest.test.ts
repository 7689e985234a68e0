import { expect, test } from 'vitest';

import { didYouMean } from './nearest.ts';

const names = ['memory', 'sequential-thinking', 'git', 'search_memories', 'add_memory'];

test.each([
  ['memroy', ' Did you mean memory?'],
  ['Memory', ' Did you mean memory?'],
  ['search_memory', ' Did you mean search_memories?'],
  ['gti', ' Did you mean git?'],
  ['dashboard', ''],
  ['', ''],
])('%j: %j', (given, sentence) => {
  expect(didYouMean(given, names)).toBe(sentence);
});
