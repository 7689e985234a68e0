import { expect, test } from 'vitest';

import { verdict } from './fair.ts';

test('a row with failed calls meets no goal, however fast they failed', () => {
  expect([verdict(3, 0), verdict(300, 0), verdict(3, 1)]).toEqual(['met', 'missed', 'failed']);
});
