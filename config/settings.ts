/** Settings of the host as a whole, from the environment. Each service adds its own beside its code. */
import { z } from 'zod';

import { allProcesses } from './catalogue.ts';

/** Beyond it, a process would have no port. */
const mostOffset = 65_535 - Math.max(...allProcesses.map(({ port }) => port));

const listOf = (form: RegExp, example: string) =>
  z
    .string()
    .default('')
    .transform((text) => text.split(',').filter((part) => part !== ''))
    .refine(
      (parts) => parts.every((part) => form.test(part)),
      `must be like ${example}, with commas between`,
    );

export const hostSettings = z.object({
  FLOTILLA_AGENT_MODEL_KEY_FILE: z
    .string()
    .optional()
    .describe('File with the key that the model of the agents wants, if it wants one.'),
  FLOTILLA_AGENT_MODEL_NAME: z.string().optional().describe('Name of the model, as its server knows it.'),
  FLOTILLA_AGENT_MODEL_URL: z
    .url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:11434/v1' })
    .optional()
    .describe(
      'Where a model answers, in the manner of OpenAI, that makes steps of tasks which have a goal and no steps; without it, agents ask a person.',
    ),
  FLOTILLA_ALLOWED_HOSTS: listOf(/^[\w.-]+$/, 'tools.example').describe(
    'Host names, besides this host, under which clients may call: those of a proxy in front, with commas between.',
  ),
  FLOTILLA_ALLOWED_ORIGINS: listOf(/^https?:\/\/[\w.:[\]-]+$/, 'https://app.example').describe(
    'Origins of web pages, besides this host, that may call, with commas between.',
  ),
  FLOTILLA_AUDIT_KEEP_DAYS: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1)
    .max(36_500)
    .default(400)
    .describe('Records of calls older than this go, in files of 16 MB each.'),
  FLOTILLA_AUDIT_KEEP_MB: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(64)
    .max(1_000_000)
    .default(512)
    .describe('Room for the records of calls of each process, about 4,000 in one MB; the oldest go first.'),
  FLOTILLA_BACKUPS: z
    .string()
    .optional()
    .describe('Folder of the backups; the path of the data folder followed by "-backups" unless set.'),
  FLOTILLA_BACKUP_COPY: z
    .string()
    .optional()
    .describe(
      'A shell command that copies a proven backup off this host, such as: rsync -a "$BACKUP_FOLDER/" host:backups/',
    ),
  FLOTILLA_BACKUP_HOOK: z
    .string()
    .optional()
    .describe(
      'What hears how backups went: a shell command, which finds BACKUP_EVENT (success, failure, late, resolved) and BACKUP_REASON, or an address to ping.',
    ),
  FLOTILLA_BACKUP_IDENTITY: z
    .string()
    .optional()
    .describe('File with the age identity that opens encrypted backups; needed to verify and restore them.'),
  FLOTILLA_BACKUP_KEEP_DAYS: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(1)
    .max(3_650)
    .default(30)
    .describe(
      'Backups younger than this stay, and the newest proven one of each of so many days that have one.',
    ),
  FLOTILLA_BACKUP_KEY: z
    .string()
    .optional()
    .describe(
      'File with the key that signs backups, made when it is missing; the path of the data folder followed by "-backup-key" unless set.',
    ),
  FLOTILLA_BACKUP_KEEP_MONTHS: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(0)
    .max(1_200)
    .default(12)
    .describe('Of each of so many months, the newest proven backup stays.'),
  FLOTILLA_BACKUP_KEEP_WEEKS: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(0)
    .max(5_200)
    .default(8)
    .describe('Of each of so many weeks, the newest proven backup stays.'),
  FLOTILLA_BACKUP_RECIPIENT: z
    .string()
    .regex(/^age1[0-9a-z]+$/, 'must be an age recipient, which begins with age1')
    .optional()
    .describe('The age recipient that backups are encrypted to; they are not encrypted unless it is set.'),
  FLOTILLA_BACKUP_TIME: z
    .string()
    .regex(/^(?:off|(?:[01]\d|2[0-3]):[0-5]\d)$/, 'must be a time of day such as 03:15, or off')
    .default('03:15')
    .describe(
      'When the fleet in the foreground makes its daily backup, in the time zone of the host; off for never.',
    ),
  FLOTILLA_DATA: z.string().min(1).default('./data').describe('Folder that holds one folder per service.'),
  FLOTILLA_LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('The least severe event that is logged: debug, info, warn or error.'),
  FLOTILLA_PORT_OFFSET: z.coerce
    .number('must be a number')
    .int('must be a whole number')
    .min(0)
    .max(mostOffset)
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
