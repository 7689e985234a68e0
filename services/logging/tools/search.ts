import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting, pageBytes, withCursor } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import {
  filterOf,
  lineOut,
  linesOut,
  lineText,
  nameField,
  nameText,
  queryField,
  regexField,
  shown,
  whichFields,
  type LineOut,
} from '../fields.ts';
import { defaultLines, maxContext, maxLines } from '../limits.ts';
import type { Logging } from '../logging.ts';
import { momentOf, type Line } from '../store/line.ts';
import type { Filter, Order } from '../store/reader.ts';
import type { Store } from '../store/store.ts';

/** The last line, and the times that were meant by the first call: relative ones move on. */
const position = z.tuple([z.int().min(0), z.number(), z.number()]);
type Position = z.output<typeof position>;
const start: Position = [-1, 0, 0];
const endOfTime = 4e12;
/** In the counts of get_errors. */
const mostServices = 100;

const found = toldBriefly(
  lineOut.extend({ before: linesOut.optional(), after: linesOut.optional() }),
  'time',
  'level',
  'service',
  'message',
);

const searched = z
  .string()
  .optional()
  .describe('The search took long and came to this time; go on with the cursor.');

interface Page {
  readonly lines: readonly Line[];
  /** The last line that was looked at, where there may be more. */
  readonly next: number | undefined;
  /** From when to when. */
  readonly range: readonly [sinceMs: number, untilMs: number];
  readonly searchedTo: string | undefined;
}

/** A page of lines that goes on where the cursor says. */
async function pageOf(
  store: Store,
  { filter, order, limit }: { readonly filter: Filter; readonly order: Order; readonly limit: number },
  [last, sinceMs, untilMs]: Position,
  call: Call,
): Promise<Page> {
  const isFirst = last === -1;
  const since = isFirst ? (filter.sinceMs ?? 0) : sinceMs;
  const until = isFirst ? (filter.untilMs ?? endOfTime) : untilMs;
  const { lines, next, isOutOfTime } = await store.find(
    { ...filter, sinceMs: since, untilMs: until },
    { order, after: isFirst ? undefined : last, limit },
    call,
  );
  const isUnfinished = isOutOfTime && next !== undefined;
  const searchedTo = isUnfinished ? new Date(momentOf(next)).toISOString() : undefined;
  return { lines, next, range: [since, until], searchedTo };
}

/** Where the answer goes on that shows so many lines of the page. */
function behind({ lines, next, range }: Page, count: number): Position | undefined {
  const last = count < lines.length ? lines[count - 1]?.id : next;
  return last === undefined ? undefined : [last, ...range];
}

/** As many as an answer holds. */
function answerOf(tool: string, args: object, page: Page) {
  const lines = fitting(page.lines.map(shown));
  return { lines, ...restOf(tool, args, page, lines.length) };
}

const restOf = (tool: string, args: object, page: Page, count: number) => ({
  ...(page.searchedTo !== undefined && { searched_to: page.searchedTo }),
  ...continued(tool, args, behind(page, count)),
});

const nothing = 'No lines were found.';

function textOf(
  lines: readonly LineOut[],
  cursor: string | undefined,
  searchedTo: string | undefined,
): string {
  const body = lines.length === 0 ? nothing : lines.map(lineText).join('\n');
  const so = searchedTo === undefined ? '' : `\n[searched to ${searchedTo} so far]`;
  return withCursor(body + so, cursor);
}

export const searchLogs = defineTool({
  name: 'search_logs',
  title: 'Search Logs',
  description:
    'Find log lines by words, level, service, time or regular expression, the newest first. context shows the lines of the same source around each.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    query: queryField.default(''),
    ...whichFields,
    regex: regexField.optional(),
    context: z.int().min(0).max(maxContext).default(0).describe('Lines before and after each.'),
    order: z.enum(['newest', 'oldest']).default('newest').describe('Which come first.'),
    limit: limitField(maxLines, defaultLines),
    cursor: cursorField,
  }),
  output: z.object({
    lines: z.array(found).describe('The lines, each with what stands before and after it.'),
    searched_to: searched,
    ...continuation,
  }),
  text: ({ lines, searched_to: searchedTo, next_cursor: cursor }) =>
    textOf(
      lines.flatMap(({ before, after, ...line }) => [...(before ?? []), line, ...(after ?? [])]),
      cursor,
      searchedTo,
    ),
  timeoutMs: 30_000,

  async handler({ cursor, ...args }, { store }: Logging, call) {
    const at = decodeCursor('search_logs', args, cursor, position, start);
    const filter = filterOf(args, call.nowMs);
    const page = await pageOf(store, { filter, order: args.order, limit: args.limit }, at, call);
    const rows = [];
    let bytes = 0;
    for (const line of page.lines) {
      // More would not fit into the answer.
      if (bytes > pageBytes) break;
      const around = args.context === 0 ? {} : await contextOf(store, line, args.context, call);
      const row = { ...shown(line), ...around };
      rows.push(row);
      bytes += JSON.stringify(row).length;
    }
    const lines = fitting(rows);
    return { lines, ...restOf('search_logs', args, page, lines.length) };
  },
});

/** What the same source wrote before and after a line. */
async function contextOf(store: Store, { id, service, source }: Line, count: number, call: Call) {
  const filter = { services: [service], sources: [source] };
  const { lines: before } = await store.find(filter, { order: 'newest', after: id, limit: count }, call);
  const { lines: after } = await store.find(filter, { order: 'oldest', after: id, limit: count }, call);
  return { before: before.toReversed().map(shown), after: after.map(shown) };
}

export const getErrors = defineTool({
  name: 'get_errors',
  title: 'Get Errors',
  description:
    'The newest errors, and how many each service had. Of the last 24 hours unless since says otherwise.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    service: whichFields.service,
    source: whichFields.source,
    since: whichFields.since,
    until: whichFields.until,
    limit: limitField(maxLines, 20),
    cursor: cursorField,
  }),
  output: z.object({
    lines: linesOut,
    by_service: z.record(z.string(), z.int()).describe('Errors of each service, counted by whole minutes.'),
    searched_to: searched,
    ...continuation,
  }),
  text: ({ lines, by_service: counts, searched_to: searchedTo, next_cursor: cursor }) => {
    const sums = Object.entries(counts).map(([service, count]) => `${nameText(service)} ${count}`);
    const head = sums.length === 0 ? [] : [`Errors by service: ${sums.join(', ')}`];
    return [...head, textOf(lines, cursor, searchedTo)].join('\n');
  },

  async handler({ cursor, ...args }, { store }: Logging, call) {
    const at = decodeCursor('get_errors', args, cursor, position, start);
    const filter = filterOf({ level: 'error', since: '24h', ...args }, call.nowMs);
    const page = await pageOf(store, { filter, order: 'newest', limit: args.limit }, at, call);
    const counts = await store.counts({ filter, by: 'service', everyMinutes: undefined }, call);
    const most = counts.toSorted((one, other) => other.lines - one.lines).slice(0, mostServices);
    return {
      ...answerOf('get_errors', args, page),
      by_service: Object.fromEntries(most.map(({ group, lines }) => [group, lines])),
    };
  },
});

export const getTrace = defineTool({
  name: 'get_trace',
  title: 'Get Trace',
  description:
    'All lines that carry an id (trace id, request id, correlation id), the oldest first, from every service.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    correlation_id: nameField('The id.'),
    since: whichFields.since,
    until: whichFields.until,
    limit: limitField(maxLines, 100),
    cursor: cursorField,
  }),
  output: z.object({
    lines: linesOut,
    services: z.array(z.string()).describe('Of these lines.'),
    duration_ms: z.int().describe('From the first of these lines to the last.'),
    searched_to: searched,
    ...continuation,
  }),
  text: ({ lines, services, duration_ms: ms, searched_to: searchedTo, next_cursor: cursor }) => {
    const head =
      lines.length === 0 ? [] : [`${lines.length} lines of ${services.map(nameText).join(', ')} in ${ms} ms`];
    return [...head, textOf(lines, cursor, searchedTo)].join('\n');
  },

  async handler({ cursor, ...args }, { store }: Logging, call) {
    const at = decodeCursor('get_trace', args, cursor, position, start);
    const query = `"${args.correlation_id.replaceAll('"', ' ')}"`;
    const filter = filterOf({ ...args, query }, call.nowMs);
    const page = await pageOf(store, { filter, order: 'oldest', limit: args.limit }, at, call);
    const answer = answerOf('get_trace', args, page);
    const own = page.lines.slice(0, answer.lines.length);
    return {
      ...answer,
      services: [...new Set(own.map(({ service }) => service))],
      duration_ms: (own.at(-1)?.atMs ?? 0) - (own[0]?.atMs ?? 0),
    };
  },
});

/** The batch and the line that were read last. */
type Arrived = readonly [batch: number, id: number];
const arrived: z.ZodType<Arrived> = z.tuple([z.int().min(0), z.int().min(0)]);

export const tailLogs = defineTool({
  name: 'tail_logs',
  title: 'Tail Logs',
  description:
    'The newest lines, and with the cursor of the last answer what came in since then, in the order in which it came.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    level: whichFields.level,
    service: whichFields.service,
    source: whichFields.source,
    limit: limitField(maxLines, defaultLines),
    cursor: cursorField,
  }),
  output: z.object({
    lines: linesOut,
    truncated: continuation.truncated.describe('More has come in already.'),
    next_cursor: z.string().describe('Pass as cursor to see what comes in from here on.'),
    gap: z.literal(true).optional().describe('The cursor is old: lines between were missed.'),
  }),
  text: ({ lines, next_cursor: cursor, truncated }) => {
    const body = lines.length === 0 ? 'Nothing new.' : lines.map((line) => lineText(line)).join('\n');
    return `${body}\n[${truncated ? 'more is there' : 'for what comes next'}: call again with cursor ${cursor}]`;
  },

  async handler({ cursor, ...args }, { store }: Logging, call) {
    const filter = filterOf(args, call.nowMs);
    const encode = (at: Arrived) => encodeCursor('tail_logs', args, at);
    if (cursor === undefined) {
      const newest = await store.newestBatch(call);
      const { lines } = await store.find(
        { ...filter, upToBatch: newest },
        { order: 'newest', limit: args.limit },
        call,
      );
      const fit = fitting(lines.map(shown)).toReversed();
      return { lines: fit, next_cursor: encode([newest, Number.MAX_SAFE_INTEGER]) };
    }
    let at = decodeCursor('tail_logs', args, cursor, arrived, [0, 0]);
    const lines: Line[] = [];
    const ends: Arrived[] = [];
    for (;;) {
      const found = await store.arrivals(filter, at, args.limit - lines.length, call);
      lines.push(...found.lines);
      ends.push(...found.ends);
      at = found.next;
      const isEnough = lines.length >= args.limit;
      if (!found.isComplete && !isEnough) continue;
      const fit = fitting(lines.map(shown));
      const isCut = fit.length < lines.length;
      const isMore = isCut || !found.isComplete;
      return {
        lines: fit,
        ...(isMore && { truncated: true as const }),
        next_cursor: encode(isCut ? (ends[fit.length - 1] ?? at) : at),
        ...(found.hasGap && { gap: true as const }),
      };
    }
  },
});
