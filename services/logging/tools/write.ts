import { z } from 'zod';

import { storable } from '#runtime/fields.ts';
import { adding, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import { instantField } from '#runtime/time.ts';

import { nameField } from '../fields.ts';
import { maxBatchNameLength, maxLineLength, maxLinesPerCall } from '../limits.ts';
import type { Logging } from '../logging.ts';
import type { GivenLine } from '../store/keeper-thread.ts';
import { levels } from '../store/line.ts';

const messageField = z
  .string()
  .min(1)
  .max(maxLineLength)
  .refine((text) => text.isWellFormed(), 'must be well-formed Unicode');

const lineField = z.strictObject({
  message: messageField.describe('The message.'),
  time: instantField('ISO 8601; now unless given.').optional(),
  level: z.enum(levels).default('info').describe('Level.'),
  service: nameField('What wrote it.').optional(),
  trace_id: nameField('Of the operation it belongs to.').optional(),
  fields: z.record(z.string().max(200), z.unknown()).optional().describe('Whatever else it says.'),
});

const refusedOut = z
  .record(z.string(), z.int())
  .describe('Lines that were not stored, by reason: below_level, too_old, too_many_services.');

export const writeLog = defineTool({
  name: 'write_log',
  title: 'Write Log',
  description: 'Store one log line. Secrets in it are redacted. For many lines use ingest_logs.',
  effect: 'write',
  hints: adding,
  input: z.object({
    message: lineField.shape.message,
    level: lineField.shape.level,
    service: nameField('What wrote it.').default('client'),
    trace_id: lineField.shape.trace_id,
    fields: lineField.shape.fields,
  }),
  output: z.object({ stored: z.boolean().describe('It is on disk.'), refused: refusedOut }),
  async handler({ service, ...line }, { store }: Logging, { caller }) {
    const { accepted, refused } = await store.ingest({ owner: caller, service, lines: [line] });
    return { stored: accepted === 1, refused };
  },
});

export const ingestLogs = defineTool({
  name: 'ingest_logs',
  title: 'Ingest Logs',
  description: `Store many log lines at once, at most ${maxLinesPerCall}. Plain lines are read as JSON, logfmt, syslog, or time and level in front. Secrets are redacted.`,
  effect: 'write',
  hints: adding,
  input: z.object({
    lines: z
      .array(z.union([messageField, lineField]))
      .min(1)
      .refine((lines) => lines.length <= maxLinesPerCall, `must be at most ${maxLinesPerCall}`)
      .describe('Lines as they stand in a log.'),
    service: nameField('What wrote those that do not say it.').default('client'),
    batch_id: storable(z.string().min(1).max(maxBatchNameLength))
      .optional()
      .describe('The same id again, within a week, stores nothing and answers the same: for trying again.'),
  }),
  output: z.object({
    accepted: z.int().describe('Lines that are on disk.'),
    refused: refusedOut,
    repeated: z.boolean().describe('The batch was there already.'),
  }),
  async handler({ lines, service, batch_id: batch }, { store }: Logging, { caller }) {
    const given: readonly (string | GivenLine)[] = lines;
    const { accepted, refused, isRepeated } = await store.ingest({
      owner: caller,
      batch,
      service,
      lines: given,
    });
    return { accepted, refused, repeated: isRepeated };
  },
});

export const setLogLevel = defineTool({
  name: 'set_log_level',
  title: 'Set Log Level',
  description:
    'Set from which level on this store takes lines of a service; less serious ones are counted and not stored. The service itself logs as before.',
  // Whoever may only add lines must not keep out those of others.
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    service: nameField('Name of the service, or * for all without a level of their own.'),
    level: z.enum([...levels, 'default']).describe('default: as for all.'),
  }),
  output: z.object({
    levels: z.record(z.string(), z.enum(levels)).describe('All that are set, by service.'),
  }),
  async handler({ service, level }, { store }: Logging) {
    await store.setThreshold(service, level === 'default' ? undefined : level);
    return { levels: Object.fromEntries(store.thresholds().map((one) => [one.service, one.level])) };
  },
});
