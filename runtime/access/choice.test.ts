import { expect, test } from 'vitest';

import { profiles } from '#config/profiles.ts';

import { UsageError } from '../errors.ts';
import { askedIn, choiceOf, isChosen, mayUse, parseChoice } from './choice.ts';

const listTables = { service: 'supabase', names: ['list_tables', 'supabase_list_tables'], isCore: true };
const others = { service: 'supabase', names: ['call_rpc'], isCore: false };

test.each([
  ['supabase', true, true],
  ['supabase:core', true, false],
  ['core', true, false],
  ['supabase_list_tables', true, false],
  ['list_tables', true, false],
  ['call_rpc', false, true],
  ['data', true, true],
  ['memory,git:core', false, false],
])('the choice %s has the core tool: %s, and the other: %s', (text, hasCore, hasOther) => {
  const choice = choiceOf(parseChoice(text));

  expect([isChosen(choice, listTables), isChosen(choice, others)]).toEqual([hasCore, hasOther]);
});

test.each(['', 'a b', 'memory:full', 'nobody:core', 'memory,,git', '../x', 'x'.repeat(101)])(
  'a choice of "%s" is refused, with what can be written',
  (text) => {
    expect(() => parseChoice(text)).toThrow(UsageError);
    expect(() => parseChoice(text)).toThrow(/SERVICE:core, core, or one of coding/);
  },
);

test('a profile is made of words that a choice can have', () => {
  for (const words of Object.values(profiles)) expect(parseChoice(words.join(','))).toEqual(words);
});

test.each([
  [undefined, true],
  [['code'], true],
  [['search', 'code'], true],
  [['code', 'memory'], true],
  [['memory'], false],
  [['supabase'], true],
  [[], false],
])('a token with the choice %j may use a tool of supabase: %s', (words, may) => {
  expect(mayUse({ tools: words }, others)).toBe(may);
});

test('a URL asks for a choice, for everything, or for nothing that there is', () => {
  expect(askedIn('')).toBeUndefined();
  expect(askedIn('x=1')).toBeUndefined();
  expect([...(askedIn('tools=core,memory') ?? [])]).toEqual(['core', 'memory']);
  expect([...(askedIn('tools=') ?? [])]).toEqual(['']);
  // A token that searches has said it, unless its client says something else.
  const searches = { tools: ['search', 'git'] };
  expect([...(askedIn('', searches) ?? [])]).toEqual(['search', 'git']);
  expect([...(askedIn('tools=memory', searches) ?? [])]).toEqual(['memory']);
  expect(askedIn('', { tools: ['git'] })).toBeUndefined();
  const tool = { service: 'memory', names: ['open_nodes'], isCore: true };
  expect([searches, { tools: ['git'] }, {}].map((caller) => mayUse(caller, tool))).toEqual([
    true,
    false,
    true,
  ]);
});
