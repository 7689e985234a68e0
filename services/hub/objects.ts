/** JSON objects as clients give them. */
import { z } from 'zod';

import { hasEndlessNumber } from '#runtime/numbers.ts';

/** What is no object, or would lose a key on its way. */
export const wholeObject = z
  .unknown()
  .meta({ type: 'object' })
  // A record loses this key in silence.
  .refine((given) => typeof given !== 'object' || given === null || !Object.hasOwn(given, '__proto__'), {
    error: 'must have no key __proto__',
    abort: true,
  });

export const objectField = wholeObject
  .refine((given) => !hasEndlessNumber(given), {
    error: 'must have no number that is too large to be one, such as 1e999',
    abort: true,
  })
  .pipe(z.record(z.string(), z.unknown()));
