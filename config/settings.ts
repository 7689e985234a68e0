/** Settings of the host as a whole, from the environment. Each service adds its own beside its code. */
import { z } from 'zod';

export const hostSettings = z.object({
  FLOTILLA_DATA: z.string().min(1).default('./data').describe('Folder that holds one folder per service.'),
  FLOTILLA_LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('The least severe event that is logged: debug, info, warn or error.'),
  FLOTILLA_PORT_OFFSET: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(0)
    .max(50_000)
    .default(0)
    .describe('Added to every port of the catalogue: lets a second fleet run beside the first.'),
  FLOTILLA_ROOTS: z
    .string()
    .optional()
    .describe(
      'Folders that the services for files may use, with colons between; in the foreground, a folder "workspace" beside the data folder unless set.',
    ),
  FLOTILLA_TOKEN: z
    .string()
    .regex(/^\S+$/, 'must not contain spaces or line ends')
    .optional()
    .describe(
      'The token that the command line calls with; otherwise the first token in the data folder is used.',
    ),
});

export type HostSettings = z.output<typeof hostSettings>;
