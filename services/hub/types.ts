/** The types of messages. */
import { z } from 'zod';

import { priorities } from './message.ts';
import { longestName } from './routing/glob.ts';

export const typeNameField = z
  .string()
  .max(longestName)
  .regex(
    /^[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*$/,
    'must be in lower case, with dots between its parts, like build.finished',
  );

/** Of an entry whose key is the name of the type. */
export const typeValue = z.object({
  description: z.string().max(500).optional(),
  schema: z.record(z.string(), z.unknown()),
  expects_answer: z.boolean().default(false),
  priority: z.enum(priorities).default('normal'),
  ttl_seconds: z.int().min(1).max(604_800).default(3_600),
});
export type TypeValue = z.infer<typeof typeValue>;
