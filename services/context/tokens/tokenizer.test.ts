import fc from 'fast-check';
import * as cl100k from 'gpt-tokenizer/encoding/cl100k_base';
import * as o200k from 'gpt-tokenizer/encoding/o200k_base';
import * as p50k from 'gpt-tokenizer/encoding/p50k_base';
import * as r50k from 'gpt-tokenizer/encoding/r50k_base';
import { beforeAll, describe, expect, test } from 'vitest';

import { bytesPerTurn } from '../limits.ts';
import { atOnce } from '../pace.ts';
import { encodingNames, openTokenizers, type EncodingName, type Tokenizer } from './tokenizer.ts';

const open = openTokenizers();
const tokenizers = new Map<EncodingName, Tokenizer>();
beforeAll(async () => {
  for (const name of encodingNames) tokenizers.set(name, await open(name));
});
function tokenizerOf(name: EncodingName): Tokenizer {
  const found = tokenizers.get(name);
  if (!found) throw new TypeError(name);
  return found;
}
const count = (text: string, name: EncodingName = 'o200k_base') => atOnce(tokenizerOf(name).count(text));

/** Special tokens are plain text to ours, and have to be to the library's. */
const asPlainText = { disallowedSpecial: new Set<string>() };
const theirs = {
  o200k_base: o200k.countTokens,
  cl100k_base: cl100k.countTokens,
  p50k_base: p50k.countTokens,
  r50k_base: r50k.countTokens,
};
const exactNames = Object.keys(theirs) as (keyof typeof theirs)[];

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 100 }),
  fc
    .array(
      fc.constantFrom(
        'the ',
        'Straße',
        '東京',
        ' \n',
        "I'll",
        'été',
        '🎉👨‍👩‍👧',
        '12345',
        '<|endoftext|>',
        '\t\t',
        '_aB',
        '\0',
        '\ud800',
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join('')),
  fc
    .tuple(fc.constantFrom('a', 'A', ' ', '\n', 'é', '中', '!', '\u0301'), fc.nat(300))
    .map(([unit, n]) => unit.repeat(n)),
);

test.each(exactNames)('%s counts as the library does, whatever the text', (name) => {
  fc.assert(
    fc.property(text, (sample) => {
      expect(count(sample, name)).toBe(theirs[name](sample, asPlainText));
    }),
    { numRuns: 300 },
  );
});

test('special tokens are plain text', () => {
  expect(count('<|endoftext|>')).toBe(7);
  expect(count('<|im_start|>system')).toBeGreaterThan(3);
});

test('a count for Claude is an estimate from above, and says so', () => {
  const claude = tokenizerOf('claude');

  expect(claude.exact).toBe(false);
  expect(tokenizerOf('o200k_base').exact).toBe(true);
  expect(count('The quick brown fox.', 'claude')).toBe(Math.ceil(1.8 * count('The quick brown fox.')));
});

describe.each(encodingNames)('%s', (name) => {
  test('the head and the tail of a text take no more than asked, and no character is split', () => {
    const tokenizer = tokenizerOf(name);
    fc.assert(
      fc.property(text, fc.nat(80), (sample, most) => {
        const head = sample.slice(0, atOnce(tokenizer.head(sample, most)));
        const tail = sample.slice(atOnce(tokenizer.tail(sample, most)));

        expect(count(head, name)).toBeLessThanOrEqual(most);
        expect(count(tail, name)).toBeLessThanOrEqual(most);
        expect(!sample.isWellFormed() || (head.isWellFormed() && tail.isWellFormed())).toBe(true);
        expect(count(sample, name) > most || (head === sample && tail === sample)).toBe(true);
      }),
      {
        numRuns: 200,
        examples: [
          // A beginning of eight letters that takes more tokens than all of them.
          ['aaaaaaaa', 3],
          // A piece that ends otherwise where what follows is not seen.
          ["I'll", 1],
          ["\0the I'll", 4],
        ],
      },
    );
  });
});

test('the head is the longest: one more token would be too many', () => {
  const sample = 'The quick brown fox jumps over the lazy dog. '.repeat(50);
  const tokenizer = tokenizerOf('o200k_base');

  expect([atOnce(tokenizer.head(sample, 0)), atOnce(tokenizer.tail(sample, 0))]).toEqual([0, sample.length]);
  for (const most of [1, 2, 10, 99]) {
    expect(count(sample.slice(0, atOnce(tokenizer.head(sample, most))))).toBe(most);
    expect(count(sample.slice(atOnce(tokenizer.tail(sample, most))))).toBe(most);
  }
  const run = 'a'.repeat(8_000);
  expect(count(run.slice(0, atOnce(tokenizer.head(run, 100))))).toBe(100);
  expect(count(run.slice(atOnce(tokenizer.tail(run, 100))))).toBe(100);
});

/** How many turns the count of a text takes, each of which does a bounded number of steps. */
function turnsOf(sample: string) {
  const steps = tokenizerOf('o200k_base').count(sample);
  let turns = 1;
  while (!steps.next().done) turns += 1;
  return turns;
}

test.each(['a', 'A', ' ', '\n', 'é', '中', '🎉', '1', '!', 'aB', ' \n', '\u0301', '\\"'])(
  'a run of %j takes work that grows with its length, not its square',
  (unit) => {
    const [short, long] = [20_000, 160_000].map((length) => turnsOf(unit.repeat(length / unit.length)));

    expect(long).toBeLessThan(10 * (short ?? 0));
  },
);

test('a long text is counted in turns, in which others are served', () => {
  const runs = ['a', '中', ' ', 'word ', '!?'].map((unit) =>
    turnsOf(unit.repeat(Math.ceil((8 * bytesPerTurn) / unit.length))),
  );

  expect(Math.min(...runs)).toBeGreaterThanOrEqual(4);
});

test('a vocabulary is loaded once, however many ask for it at once', async () => {
  const fresh = openTokenizers();

  const loaded = await Promise.all([fresh('o200k_base'), fresh('o200k_base'), fresh('claude')]);

  expect(loaded[0]).toBe(loaded[1]);
  expect(loaded[2]?.encoding).toBe('claude');
});
