import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { expect, test } from 'vitest';

import { tokensIn } from './tokens-in.ts';

test.each([
  ['English', 'The staging database moved to port 5433, so what depends on it has to change. '],
  ['code', 'const tail = sample.slice(atOnce(tokenizer.tail(sample, most)));\n  if (!tail) return;\n'],
  ['Japanese', '思考する象は森の中を歩いている。今日は天気がいいですね。'],
  ['Russian', 'Съешь же ещё этих мягких французских булок, да выпей чаю. '],
  ['hexadecimal', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 '],
  ['Base64', 'q1Zt8KxJw3mPfR7uYd0LhN5vBgT2sXeC9oAiQkWrzEjMlUyDnFbVpHcGSaO4I6== '],
  ['emoji', '🦆🧊🪁🛸🪐🦉🧿🪬'],
  ['figures', '3.14159265358979, 2.71828182845905, 1.41421356237310, '],
  ['quotation marks', 'he said "yes" and \\"no\\" \n'],
])('an estimate of %s is at most a third too low, and less than thrice the tokens', (_, text) => {
  const sample = text.repeat(20);
  const tokens = countTokens(JSON.stringify(sample));

  expect(tokensIn(sample)).toBeGreaterThan(tokens / 1.35);
  expect(tokensIn(sample)).toBeLessThan(tokens * 3);
});
