import { expect, test, vi } from 'vitest';

import { collectWhenQuiet } from './garbage.ts';

/** In a function of its own, so that nothing here holds what it refers to. */
const unused = () => new WeakRef({ large: Array.from({ length: 1_000 }, () => ({})) });

test('what is not used any more is collected once it is quiet, and again after the next work', async () => {
  const worked = collectWhenQuiet(5);
  for (const _ of ['first', 'second']) {
    const held = unused();
    worked();
    worked();
    await vi.waitFor(() => {
      expect(held.deref() === undefined).toBe(true);
    });
  }
});
