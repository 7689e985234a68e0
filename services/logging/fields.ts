/** Fields of the tools, and lines as answers show them. */
import { z } from 'zod';

import { storable, toldBriefly } from '#runtime/fields.ts';
import { cutAt } from '#runtime/page.ts';

import { maxNameLength, maxQueryLength, shownCharacters } from './limits.ts';
import { levels, type Level, type Line } from './store/line.ts';
import type { Filter } from './store/reader.ts';
import { momentIn, whenField, whenForm } from './when.ts';

export const nameField = (description: string) =>
  storable(z.string().min(1).max(maxNameLength)).describe(description);

export const levelField = z
  .enum(levels)
  .optional()
  .describe('Lines of this level and the more serious ones.');

/** Which lines, as most tools ask for them. */
export const whichFields = {
  level: levelField,
  service: nameField('Only of this service.').optional(),
  source: nameField('Only from this source (list_log_sources); may end with *.').optional(),
  since: whenField(`From then on: ${whenForm}.`),
  until: whenField('Before then.'),
};

export const queryField = storable(z.string().max(maxQueryLength)).describe(
  'Words that must all be there; "in this order", begin*, -without. Case does not matter.',
);

export const regexField = storable(z.string().min(1).max(maxQueryLength)).describe(
  'Regular expression of RE2 over the message; (?i) ignores case.',
);

interface Which {
  readonly level?: Level | undefined;
  readonly service?: string | undefined;
  readonly source?: string | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly query?: string | undefined;
  readonly regex?: string | undefined;
}

export function filterOf(
  { level, service, source, since, until, query, regex }: Which,
  nowMs: number,
): Filter {
  return {
    levels: level === undefined || level === 'trace' ? undefined : levels.slice(levels.indexOf(level)),
    services: service === undefined ? undefined : [service],
    sources: source === undefined ? undefined : [source],
    sinceMs: since === undefined ? undefined : momentIn(since, nowMs),
    untilMs: until === undefined ? undefined : momentIn(until, nowMs),
    query,
    regex,
  };
}

export const lineOut = z.object({
  time: z.string().describe('UTC.'),
  level: z.enum(levels).describe('Level.'),
  service: z.string().describe('What wrote it.'),
  source: z.string().describe('How it came here.'),
  message: z.string().describe('Message.'),
  trace_id: z.string().optional().describe('Trace.'),
  fields: z.record(z.string(), z.string()).optional().describe('Whatever else it said.'),
  cut_characters: z.int().optional().describe('The message has so many; export_logs has all of it.'),
});
export const linesOut = z
  .array(toldBriefly(lineOut, 'time', 'level', 'service', 'message'))
  .describe('The lines.');
export type LineOut = z.output<typeof lineOut>;

/** What a line shows of its fields. */
const shownFields = 2_000;

export function shown({ atMs, level, service, source, message, traceId, fields }: Line): LineOut {
  const isLong = message.length > shownCharacters;
  const some: Record<string, string> = {};
  let room = shownFields;
  for (const [name, value] of Object.entries(fields)) {
    room -= name.length + value.length;
    if (room < 0) some[name] = `${value.slice(0, cutAt(value, 100))}…`;
    else some[name] = value;
  }
  return {
    time: new Date(atMs).toISOString(),
    level,
    service,
    source,
    message: isLong ? `${message.slice(0, cutAt(message, shownCharacters))}…` : message,
    ...(traceId !== undefined && { trace_id: traceId }),
    ...(Object.keys(some).length > 0 && { fields: some }),
    ...(isLong && { cut_characters: message.length }),
  };
}

/**
 * A line as people read it. Whoever may write here must not write as another, or two lines in one: where it came from stands
 * there unless it is the service's own log, names are quoted where they could be something else, and what follows a line end
 * stands under the line it belongs to.
 */
export function lineText({
  time,
  level,
  service,
  source,
  message,
  trace_id: trace,
  fields = {},
}: LineOut): string {
  const rest = Object.entries(fields).map(([name, value]) => ` ${word(name)}=${word(value)}`);
  const from = source === `fleet:${service}` ? '' : ` (${source})`;
  const end = trace === undefined ? '' : ` trace_id=${word(trace)}`;
  const head = `${time} ${level.toUpperCase().padEnd(5)} ${nameText(service)}${from}`;
  return `${head}: ${message}${rest.join('')}${end}`.replaceAll(lineEnds, under);
}

/** A name that could be read as more than one is quoted. */
export const nameText = (name: string) => (/^[\p{L}\p{N}_.@/*-]+$/u.test(name) ? name : JSON.stringify(name));
const word = (text: string) => (/[\s"=]/.test(text) ? JSON.stringify(text) : text);
const lineEnds = /\n|\u2028|\u2029/g;
const under = '\n  | ';
