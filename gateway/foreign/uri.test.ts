import { expect, test } from 'vitest';

import { matchesTemplate } from './uri.ts';

test.each([
  ['a://x/{id}', 'a://x/1', true],
  ['a://x/{id}', 'a://y/1', false],
  ['a://x/{id}/end', 'a://x/1/end', true],
  ['a://x/{id}/end', 'a://x/end', false],
  ['a://{+path}', 'a://b/c', true],
  ['a://{x}/m/{y}/z', 'a://1/m/2/z', true],
  ['a://{x}/m/{y}/z', 'a://1/n/2/z', false],
  ['a://fixed', 'a://fixed', true],
  ['{+any}', 'a://x', false],
])('%s and %s: %s', (template, uri, does) => {
  expect(matchesTemplate(template, uri)).toBe(does);
});
