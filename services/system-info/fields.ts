/** Fields that several tools have in common. */
import { hostname } from 'node:os';

import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';

import { mostNameLength } from './limits.ts';
import { unitNamePattern } from './systemd/units.ts';

const ownNames = new Set(['', 'localhost', '127.0.0.1', '::1', hostname()]);

/** Of the established tools, which can ask other hosts by SSH. It names nothing here but this host. */
export const here = {
  host: z
    .string()
    .max(mostNameLength)
    .refine((name) => ownNames.has(name), 'must be left out: this service tells of its own host alone')
    .optional()
    .meta({ description: 'Leave out: this host alone.' }),
};

/** Ends every answer in which something is missing. */
export const gaps = {
  unavailable: z
    .array(toldBriefly(z.object({ field: z.string(), reason: z.string(), remedy: z.string().optional() })))
    .optional()
    .describe('What could not be had, as field and reason, with a remedy. It is absent, not 0.'),
};

export const serviceField = z
  .string()
  .max(mostNameLength)
  .regex(unitNamePattern, 'must be the name of a unit, such as sshd or sshd.service')
  .meta({ description: 'Unit, such as sshd.' });

/** Told by name only: what they hold is seen in the answer. */
export const rowsOf = <Row extends z.ZodObject>(row: Row, description: string) =>
  z.array(toldBriefly(row)).describe(description);

export const partOf = <Row extends z.ZodObject>(row: Row, description: string) =>
  toldBriefly(row).describe(description);

export const text = z.string();
export const figure = z.number();
export const maybe = z.number().optional();
export const maybeText = z.string().optional();
