import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, storable, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, cutAt, fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { iso, logqlField, rangeFields, rangeOf, searchedOut } from '../loki/fields.ts';
import { labelOfLine } from '../loki/labels.ts';
import { parseLogQuery } from '../loki/parse.ts';
import { narrowingOf, pipelineOf } from '../loki/pipeline.ts';
import { read, type Analysed } from '../loki/reading.ts';
import { durationMs } from '../loki/units.ts';
import { Clusters, type Cluster } from '../patterns/clusters.ts';
import { readable } from '../patterns/mask.ts';
import { ErrorComparison, type FoundError } from '../patterns/new-errors.ts';
import type { Line } from '../store/line.ts';

const shownExample = 500;
const shownPattern = 500;
/** Times of one pattern. */
const mostTimes = 500;

const short = (text: string, most: number) =>
  text.length > most ? `${text.slice(0, cutAt(text, most))}…` : text;

const patternFields = {
  pattern: z.string().describe('What is filled in stands between < and >.'),
  service: z.string(),
  level: z.string(),
  first: z.string(),
  last: z.string(),
  example: z.string().describe('One of the lines.'),
};
const patternOut = z.object({
  ...patternFields,
  totalCount: z.int().describe('Lines.'),
  samples: z.array(z.object({ time: z.string(), lines: z.int() })).optional(),
});
const errorOut = z.object({
  ...patternFields,
  verdict: z
    .enum(['new', 'risen', 'unconfirmed'])
    .describe('unconfirmed: not seen before, but that may be chance.'),
  lines: z.int().describe('In the window.'),
  baseline_lines: z.int(),
  expected_by_chance: z.number().describe('How many such findings a window has in which nothing is new.'),
});

const shown = (cluster: Cluster) => ({
  pattern: short(readable(cluster), shownPattern),
  service: cluster.service,
  level: cluster.level,
  first: iso(cluster.firstMs),
  last: iso(cluster.lastMs),
  example: short(cluster.example.message, shownExample),
});

const stepField = z
  .string()
  .max(32)
  .refine((text) => (durationMs(text) ?? 0) >= 1_000, 'must be a duration such as 30s, 5m or 1h')
  .optional()
  .describe('Counts for each such stretch of time too: 5m, 1h.');

export const queryLokiPatterns = defineTool({
  name: 'query_loki_patterns',
  title: 'Query Log Patterns',
  description:
    'The kinds of lines that a query matches, the most frequent first: lines that differ in numbers, ids, names and the like are one kind.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    ...rangeFields,
    logql: logqlField('A selector and filters, such as {service="memory", level="error"}.'),
    step: stepField,
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({
    patterns: z
      .array(toldBriefly(patternOut, 'pattern', 'totalCount', 'example'))
      .describe('With service, level, first and last time.'),
    lines: z.int().describe('In all of them.'),
    unplaced: z.int().optional().describe('Lines beyond the most patterns that are kept.'),
    searched_to: searchedOut,
    ...continuation,
  }),

  async handler({ cursor, ...args }, { store }: Analysed, call) {
    const query = parseLogQuery(args.logql);
    const { sinceMs, untilMs } = rangeOf(args, call.nowMs);
    const [after, since, until] = decodeCursor('query_loki_patterns', args, cursor, position, [
      0,
      sinceMs,
      untilMs,
    ]);
    const stepMs = args.step === undefined ? undefined : durationMs(args.step);
    if (stepMs !== undefined && (until - since) / stepMs > mostTimes) {
      throw new ToolError('too_large', `The range has more than ${mostTimes} steps of ${args.step}.`, {
        hint: 'Give a longer step or a shorter range.',
      });
    }
    const pipeline = pipelineOf(query, { lines: 0 });
    const clusters = new Clusters();
    let lines = 0;
    const { last } = await read(
      store,
      { range: { sinceMs: since, untilMs: until }, narrowing: narrowingOf(query), order: 'newest' },
      call,
      (line) => {
        const entry = pipeline(line);
        if (!entry) return;
        lines += 1;
        const of = entry.text === line.message ? line : { ...line, message: entry.text };
        clusters.add(of, stepMs === undefined ? undefined : Math.floor((line.atMs - since) / stepMs));
      },
    );
    const all = clusters.all();
    const rows = fitting(
      all.slice(after, after + args.limit).map((cluster) => ({
        ...shown(cluster),
        totalCount: cluster.count,
        ...(stepMs !== undefined && { samples: samplesOf(cluster, since, stepMs) }),
      })),
    );
    const end = after + rows.length;
    return {
      patterns: rows,
      lines,
      ...(clusters.unplaced > 0 && { unplaced: clusters.unplaced }),
      ...(last && { searched_to: iso(last.atMs) }),
      ...continued('query_loki_patterns', args, end < all.length ? [end, since, until] : undefined),
    };
  },
});

/** Patterns that were shown, and the range that was meant by the first call. */
const position: z.ZodType<[number, number, number]> = z.tuple([z.int().min(0), z.number(), z.number()]);

const samplesOf = ({ counts }: Cluster, sinceMs: number, stepMs: number) =>
  [...counts]
    .toSorted(([a], [b]) => a - b)
    .map(([slot, count]) => ({ time: iso(sinceMs + slot * stepMs), lines: count }));

const dayMs = 86_400_000;
/** Errors of one call: a week of them, as a rule. */
const mostErrors = 300_000;

export const findErrorPatternLogs = defineTool({
  name: 'find_error_pattern_logs',
  title: 'Find New Errors',
  description:
    'Errors of a window that the days before did not have, or far more rarely: compares patterns, and tells what is new from chance.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    name: z.string().max(200).optional().describe('Of the investigation; returned.'),
    labels: z
      .record(z.string().max(200), storable(z.string().max(1_000)))
      .default({})
      .describe('Only lines with these labels, such as {"service": "memory"}.'),
    start: rangeFields.startRfc3339.describe(
      'Of the window: RFC 3339, or like now-1h, today. An hour ago unless given.',
    ),
    end: rangeFields.endRfc3339.describe('Of the window. Now unless given.'),
    baselineDays: z.int().min(1).max(90).default(7).describe('Days before the window to compare with.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({
    name: z.string().optional().describe('As it was given.'),
    errors: z
      .array(toldBriefly(errorOut, 'pattern', 'verdict', 'lines', 'expected_by_chance', 'example'))
      .describe('New ones first, with service, level, first and last time.'),
    error_lines: z.int().describe('Errors in the window, known ones too.'),
    baseline_error_lines: z.int().describe('Errors in the baseline.'),
    window_start: z.string().describe('UTC.'),
    window_end: z.string().describe('UTC.'),
    baseline_start: z.string().describe('Where lines begin, if that is later than was asked for.'),
    searched_to: searchedOut,
    ...continuation,
  }),
  timeoutMs: 30_000,

  async handler({ cursor, ...args }, { store }: Analysed, call) {
    const { labels, start, end, name, baselineDays } = args;
    const range = rangeOf({ startRfc3339: start, endRfc3339: end }, call.nowMs);
    const [after, startMs, endMs] = decodeCursor('find_error_pattern_logs', args, cursor, position, [
      0,
      range.sinceMs,
      range.untilMs,
    ]);
    if (endMs - startMs > baselineDays * dayMs) {
      throw new ToolError('invalid_input', 'The window is longer than what it is compared with.', {
        hint: 'Give a later start, or more baselineDays.',
      });
    }
    const wanted = Object.entries(labels);
    const isWanted = (line: Line) => wanted.every(([label, value]) => labelOfLine(line, label) === value);
    const baselineStartMs = Math.max(0, startMs - baselineDays * dayMs);
    const comparison = new ErrorComparison({ baselineStartMs, startMs, endMs });
    let inWindow = 0;
    let inBaseline = 0;
    const { service, source } = labels;
    const { last } = await read(
      store,
      {
        range: { sinceMs: baselineStartMs, untilMs: endMs },
        narrowing: {
          levels: ['error', 'fatal'],
          ...(service !== undefined && { services: [service] }),
          ...(source !== undefined && { sources: [source] }),
          texts: [],
        },
        order: 'newest',
        most: mostErrors,
      },
      call,
      (line) => {
        if (!isWanted(line)) return;
        comparison.add(line);
        if (line.atMs < startMs) inBaseline += 1;
        else inWindow += 1;
      },
    );
    // What is not known cannot be compared with: the store may be younger than the baseline, or the reading stopped before.
    const firstMs = last?.atMs ?? (await oldestMs(store, baselineStartMs, startMs, call));
    comparison.baselineStartMs = Math.max(baselineStartMs, firstMs);
    const found = comparison.found();
    const rows = fitting(found.slice(after, after + args.limit).map(row));
    const shownCount = after + rows.length;
    return {
      ...(name !== undefined && { name }),
      errors: rows,
      error_lines: inWindow,
      baseline_error_lines: inBaseline,
      window_start: iso(startMs),
      window_end: iso(endMs),
      baseline_start: iso(comparison.baselineStartMs),
      ...(last && { searched_to: iso(last.atMs) }),
      ...continued(
        'find_error_pattern_logs',
        args,
        shownCount < found.length ? [shownCount, startMs, endMs] : undefined,
      ),
    };
  },
});

/** The time of the oldest line between two times; the later of them where there is no line. */
async function oldestMs(
  store: Analysed['store'],
  sinceMs: number,
  untilMs: number,
  call: Call,
): Promise<number> {
  let atMs = untilMs;
  const range = { sinceMs, untilMs };
  await read(store, { range, narrowing: { texts: [] }, order: 'oldest' }, call, (line) => {
    ({ atMs } = line);
    return true;
  });
  return atMs;
}

const row = ({ cluster, verdict, lines, baselineLines, expected }: FoundError) => ({
  ...shown(cluster),
  verdict,
  lines,
  baseline_lines: baselineLines,
  expected_by_chance: Number(expected.toPrecision(2)),
});
