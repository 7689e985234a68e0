import fc from 'fast-check';
import {
  CL100K_TOKEN_SPLIT_REGEX,
  O200K_TOKEN_SPLIT_REGEX,
  R50K_TOKEN_SPLIT_REGEX,
} from 'gpt-tokenizer/encodingParams/constants';
import { expect, test } from 'vitest';

import { splits } from './split.ts';

const expressions = {
  o200k: O200K_TOKEN_SPLIT_REGEX,
  cl100k: CL100K_TOKEN_SPLIT_REGEX,
  r50k: R50K_TOKEN_SPLIT_REGEX,
};
const names = Object.keys(expressions) as (keyof typeof expressions)[];

/** Some of every kind that the expressions tell apart, with and without case, in one unit and in two. */
const characters = fc.constantFrom(
  ...Array.from('abslASLéßǄǅ中ʰก𝐀𝐚𠀀1٣½𝟏 \t\u00a0\u3000\u2028\ufeff\n\r!/’🎉\0ſK\u0301\u0e34𝅥'),
  "'",
  "'s",
  "'LL",
  "'Ve",
  "'ſ",
  '\ud800',
  '\udc00',
);
const text = fc.oneof(
  fc.array(characters, { maxLength: 12 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc
    .array(fc.constantFrom(' ', '\n', '\t', 'a', 'A', '中', '\u0301'), { maxLength: 10 })
    .map((parts) => parts.join('')),
);

test.each(names)('%s splits a text where the expression of its vocabulary does', (name) => {
  fc.assert(
    fc.property(text, (sample) => {
      const pieces: string[] = [];
      for (let start = 0; start < sample.length;) {
        const end = splits[name](sample, start);
        pieces.push(sample.slice(start, end));
        start = end;
      }

      expect(pieces).toEqual(sample.match(expressions[name]) ?? []);
    }),
    { numRuns: 3_000 },
  );
});
