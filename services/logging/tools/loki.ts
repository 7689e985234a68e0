import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, cutAt, fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import { iso, logqlField, rangeFields, rangeOf, searchedOut } from '../loki/fields.ts';
import {
  isOfStream,
  keyOf,
  labelNamesOf,
  labelOfLine,
  streamLabels,
  streamOf,
  type Entry,
} from '../loki/labels.ts';
import { Evaluation, maxTimes, type Series } from '../loki/metric.ts';
import { parseLogQuery, parseQuery } from '../loki/parse.ts';
import { narrowingOf, pipelineOf, type Cut } from '../loki/pipeline.ts';
import { leavesOf, type LogQuery, type Metric } from '../loki/query.ts';
import { joined, read, type Analysed, type Range } from '../loki/reading.ts';
import { shownCharacters } from '../limits.ts';
import type { Line } from '../store/line.ts';

/** Of a range query that does not say how far apart its times are. */
const usualTimes = 60;
/** Of labels in an answer. */
const shownValue = 200;

const labelsOut = z.record(z.string(), z.string());
const timeOut = z.string().describe('UTC.');
const entryOut = z.object({
  timestamp: timeOut.optional(),
  line: z.string().optional().describe('As the pipeline leaves it.'),
  value: z.number().optional().describe('Of a metric at one time.'),
  values: z
    .array(z.object({ timestamp: z.string(), value: z.number() }))
    .optional()
    .describe('Of a metric over time.'),
  labels: labelsOut.describe('Of the stream, or of the row.'),
  structuredMetadata: labelsOut.optional(),
  parsed: labelsOut.optional(),
});
const streamOut = z.object({
  labels: labelsOut.describe('Of the stream.'),
  lines: z.array(z.object({ timestamp: z.string(), line: z.string() })).describe('With their times.'),
});
type StreamOut = z.output<typeof streamOut>;
const metadataOut = z.object({
  linesReturned: z.int().describe('Lines or rows.'),
  maxLinesAllowed: z.int(),
  resultsTruncated: z.boolean(),
  totalLinesScanned: z.int(),
  startTime: z.string(),
  endTime: z.string(),
});
const hintsOut = z.object({
  summary: z.string().describe('What to know of the answer.'),
  suggestedActions: z.array(z.string()),
});
type EntryOut = z.output<typeof entryOut>;

const queryArgs = z.object({
  ...rangeFields,
  logql: logqlField(
    'Such as {service="memory", level=~"error|fatal"} |= "timeout" | json | status >= 500, or sum by (service) (count_over_time({level="error"}[5m])).',
  ),
  limit: limitField(100, 10),
  direction: z.enum(['backward', 'forward']).default('backward').describe('backward: newest first.'),
  queryType: z
    .enum(['range', 'instant'])
    .default('range')
    .describe('instant: a metric at the end time alone.'),
  stepSeconds: z
    .int()
    .min(1)
    .max(31_536_000)
    .optional()
    .describe('Between the times of a metric; a sixtieth of the range unless given.'),
  format: z
    .enum(['full', 'compact'])
    .default('full')
    .describe('compact: lines grouped by stream, without their fields.'),
  cursor: cursorField,
});
type QueryArgs = Omit<z.output<typeof queryArgs>, 'cursor'>;

/** The line or row that was shown last, and the range that was meant by the first call: relative times move on. */
const position: z.ZodType<Position> = z.tuple([z.int().min(-1), z.number(), z.number()]);
type Position = [number, number, number];

export const queryLokiLogs = defineTool({
  name: 'query_loki_logs',
  title: 'Query Logs With LogQL',
  description:
    'Lines or metrics by a LogQL query over the store of this host. Labels are service, level, source, trace_id and the fields of a line; list_loki_label_names has them.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: queryArgs,
  output: z.object({
    data: z
      .array(toldBriefly(entryOut, 'timestamp', 'line', 'labels', 'value'))
      .describe('Lines, or rows of a metric.'),
    streams: z
      .array(toldBriefly(streamOut, 'labels'))
      .optional()
      .describe('With format compact, in place of data.'),
    hints: toldBriefly(hintsOut, 'summary').optional().describe('When something is amiss.'),
    metadata: toldBriefly(metadataOut, 'linesReturned').describe('Of the answer.'),
    searched_to: searchedOut,
    ...continuation,
  }),

  handler({ cursor, ...args }, { store }: Analysed, call) {
    const query = parseQuery(args.logql);
    const { sinceMs, untilMs } = rangeOf(args, call.nowMs);
    const at: Position = decodeCursor('query_loki_logs', args, cursor, position, [-1, sinceMs, untilMs]);
    return query.kind === 'log' ? lines(query, args, at, store, call) : metric(query, args, at, store, call);
  },
});

async function lines(
  query: LogQuery,
  args: QueryArgs,
  [after, sinceMs, untilMs]: Position,
  store: Analysed['store'],
  call: Call,
) {
  if (args.queryType === 'instant') {
    throw new ToolError('invalid_input', 'An instant query needs a metric, and this one reads lines.', {
      hint: 'Leave out queryType, or count the lines: sum(count_over_time({…}[1h])).',
    });
  }
  const cut: Cut = { lines: 0 };
  const pipeline = pipelineOf(query, cut);
  const found: Entry[] = [];
  const range = { sinceMs, untilMs };
  const { looked, last, isOutOfTime } = await read(
    store,
    {
      range,
      narrowing: narrowingOf(query),
      order: args.direction === 'backward' ? 'newest' : 'oldest',
      after: after < 0 ? undefined : after,
    },
    call,
    (line) => {
      const entry = pipeline(line);
      if (entry) found.push(entry);
      return found.length > args.limit;
    },
  );
  const page = found.slice(0, args.limit);
  const data = fitting(page.map(shownEntry));
  const isMore = data.length < found.length;
  const next = isMore ? page[data.length - 1]?.line.id : isOutOfTime ? last?.id : undefined;
  return {
    ...(args.format === 'compact'
      ? { data: [], streams: streamsIn(page.slice(0, data.length), data) }
      : { data }),
    ...hintsOf([
      data.length === 0 && !isOutOfTime ? nothingFound(query, store) : undefined,
      cutHint(cut),
      errorHint(Map.groupBy(page, ({ error }) => error)),
    ]),
    metadata: {
      linesReturned: data.length,
      maxLinesAllowed: args.limit,
      resultsTruncated: next !== undefined,
      totalLinesScanned: looked,
      startTime: iso(sinceMs),
      endTime: iso(untilMs),
    },
    ...(isOutOfTime && last && { searched_to: iso(last.atMs) }),
    ...continued('query_loki_logs', args, next === undefined ? undefined : [next, sinceMs, untilMs]),
  };
}

function shownEntry({ line, text, parsed, error }: Entry): EntryOut {
  const structuredMetadata = shortened({
    ...(line.traceId !== undefined && { trace_id: line.traceId }),
    ...line.fields,
  });
  const taken = shortened({ ...Object.fromEntries(parsed ?? []), ...(error !== '' && { __error__: error }) });
  for (const name of Object.keys(taken))
    if (structuredMetadata[name] === taken[name]) delete structuredMetadata[name];
  return {
    timestamp: iso(line.atMs),
    line: text.length > shownCharacters ? `${text.slice(0, cutAt(text, shownCharacters))}…` : text,
    labels: streamOf(line),
    ...(Object.keys(structuredMetadata).length > 0 && { structuredMetadata }),
    ...(Object.keys(taken).length > 0 && { parsed: taken }),
  };
}

function shortened(labels: Readonly<Record<string, string>>): Record<string, string> {
  const all = Object.entries(labels).slice(0, 64);
  return Object.fromEntries(
    all.map(([name, value]) => [
      name,
      value.length > shownValue ? `${value.slice(0, cutAt(value, shownValue))}…` : value,
    ]),
  );
}

function streamsIn(page: readonly Entry[], shown: readonly EntryOut[]) {
  const streams = new Map<string, StreamOut>();
  for (const [at, { line }] of page.entries()) {
    const labels = streamOf(line);
    const key = keyOf(labels);
    const stream: StreamOut = streams.get(key) ?? { labels, lines: [] };
    streams.set(key, stream);
    stream.lines.push({ timestamp: shown[at]?.timestamp ?? '', line: shown[at]?.line ?? '' });
  }
  return [...streams.values()];
}

async function metric(
  query: Metric,
  args: QueryArgs,
  [after, sinceMs, untilMs]: Position,
  store: Analysed['store'],
  call: Call,
) {
  const times = timesOf(args, { sinceMs, untilMs });
  const evaluation = new Evaluation(query, times);
  const window = evaluation.window;
  // Times lie in milliseconds: after one is from the next on.
  const range = { sinceMs: Math.max(0, window.afterMs + 1), untilMs: window.untilMs + 1 };
  const narrowing = joined(leavesOf(query).map(({ log }) => narrowingOf(log)));
  const { looked, last, isOutOfTime } = await read(
    store,
    { range, narrowing, order: 'newest' },
    call,
    (line) => evaluation.add(line),
  );
  const series = await inTurns((piece) => piece(), call, evaluation.series());
  const all = series
    .map((one) => rowOf(one, times, args.queryType === 'instant'))
    .toSorted((a, b) => b.size - a.size);
  const first = Math.max(0, after);
  const data = fitting(all.slice(first, first + args.limit).map(({ row }) => row));
  const next = first + data.length < all.length ? first + data.length : undefined;
  return {
    data,
    ...hintsOf([
      all.length === 0 && !isOutOfTime
        ? 'No line matched, so there is no row: a count of 0 has none.'
        : undefined,
      isOutOfTime
        ? 'The numbers before searched_to are too small, as not all lines were counted.'
        : undefined,
      cutHint(evaluation.cut),
      errorHint(new Map([...evaluation.errors].map(([error, count]) => [error, { length: count }]))),
    ]),
    metadata: {
      linesReturned: data.length,
      maxLinesAllowed: args.limit,
      resultsTruncated: next !== undefined,
      totalLinesScanned: looked,
      startTime: iso(times.startMs),
      endTime: iso(times.startMs + times.stepMs * (times.count - 1)),
    },
    ...(isOutOfTime && last && { searched_to: iso(last.atMs) }),
    ...continued('query_loki_logs', args, next === undefined ? undefined : [next, sinceMs, untilMs]),
  };
}

function timesOf({ queryType, stepSeconds, endRfc3339 }: QueryArgs, { sinceMs, untilMs }: Range) {
  // A metric counts what is up to its time, which is now where no end is given.
  const endMs = endRfc3339 === undefined ? untilMs - 1 : untilMs;
  if (queryType === 'instant') return { startMs: endMs, stepMs: 1_000, count: 1 };
  const seconds = (endMs - sinceMs) / 1_000;
  const step = stepSeconds ?? Math.max(1, Math.ceil(seconds / usualTimes));
  const count = Math.floor(seconds / step) + 1;
  if (count <= maxTimes) return { startMs: sinceMs, stepMs: step * 1_000, count };
  throw new ToolError('too_large', `The range has ${count} times, at most ${maxTimes} are calculated.`, {
    hint: `Give a stepSeconds of at least ${Math.ceil(seconds / (maxTimes - 1))}, or a shorter range.`,
  });
}

function rowOf(
  { labels, values }: Series,
  { startMs, stepMs }: ReturnType<typeof timesOf>,
  isInstant: boolean,
) {
  const points = [...values].flatMap((value, at) =>
    Number.isFinite(value)
      ? [{ timestamp: iso(startMs + at * stepMs), value: Number(value.toPrecision(12)) }]
      : [],
  );
  const [only] = points;
  const row: EntryOut =
    isInstant && only
      ? { timestamp: only.timestamp, value: only.value, labels: shortened(labels) }
      : { values: points, labels: shortened(labels) };
  return { row, size: points.reduce((sum, { value }) => sum + value, 0) };
}

function hintsOf(all: readonly (string | undefined)[]) {
  const [summary, ...others] = all.filter((one) => one !== undefined);
  return summary === undefined ? {} : { hints: { summary, suggestedActions: others } };
}

function nothingFound({ selector }: LogQuery, store: Analysed['store']): string {
  const wrong = selector.find(
    ({ label, test }) => label === 'service' && !store.sources().some(({ service }) => test(service)),
  );
  if (!wrong)
    return 'No line matched. Widen the time with startRfc3339, which is an hour ago unless given, or leave out a filter.';
  const services = [...new Set(store.sources().map(({ service }) => service))].slice(0, 20);
  return `No service matches ${wrong.label}${wrong.operator}${JSON.stringify(wrong.value)}. There are: ${services.join(', ') || 'none yet'}.`;
}

const cutHint = ({ lines: count }: Cut) =>
  count === 0
    ? undefined
    : `Of ${count} long lines the regular expression saw the beginning only. Use |= for a plain text.`;

function errorHint(errors: ReadonlyMap<string, { readonly length: number }>): string | undefined {
  const all = [...errors]
    .filter(([error]) => error !== '')
    .map(([error, { length }]) => `${error} ${length}`);
  return all.length === 0
    ? undefined
    : `Lines that could not be read as asked: ${all.join(', ')}. They count; | __error__="" leaves them out.`;
}

export const queryLokiStats = defineTool({
  name: 'query_loki_stats',
  title: 'Query Log Statistics',
  description:
    'How much a selector matches, such as {service="memory"}: streams, entries and bytes. Counts by whole minutes.',
  effect: 'read',
  hints: reading,
  input: z.object({
    ...rangeFields,
    logql: logqlField('A selector of service, level and source; no filters.'),
  }),
  output: z.object({
    streams: z.int().describe('Services and sources that were heard of since the start.'),
    chunks: z.int().describe('Hours that have lines.'),
    entries: z.int().describe('Lines.'),
    bytes: z.int().describe('Of their text.'),
  }),

  async handler({ logql, ...args }, { store }: Analysed, call) {
    const query = parseLogQuery(logql);
    requireSelector(query, 'query_loki_stats');
    const other = query.selector.find(({ label }) => !isOfStream(label));
    if (other) {
      throw new ToolError(
        'invalid_input',
        `The label ${other.label} is a field of lines, which are not counted by it.`,
        {
          hint: `Use query_loki_logs with sum(count_over_time({${other.label}${other.operator}…}[1h])) and queryType instant.`,
        },
      );
    }
    const { sinceMs, untilMs } = rangeOf(args, call.nowMs);
    const matches = (label: string, value: string) =>
      query.selector.every((one) => one.label !== label || one.test(value));
    const streams = store
      .sources()
      .filter(({ service, source }) => matches('service', service) && matches('source', source));
    const { levels } = narrowingOf(query);
    const filter = {
      sinceMs,
      untilMs,
      levels,
      services: [...new Set(streams.map(({ service }) => service))],
      sources: [...new Set(streams.map(({ source }) => source))],
    };
    const counts = await store.counts({ filter, by: 'none', everyMinutes: 60 }, call);
    return {
      streams: streams.filter(({ lastMs }) => lastMs >= sinceMs).length,
      chunks: counts.length,
      entries: counts.reduce((sum, one) => sum + one.lines, 0),
      bytes: counts.reduce((sum, one) => sum + one.bytes, 0),
    };
  },
});

/** @throws ToolError invalid_input when there is more than a selector. */
function requireSelector({ stages }: LogQuery, tool: string): void {
  if (stages.length === 0) return;
  throw new ToolError('invalid_input', `${tool} takes a selector alone, and filters follow.`, {
    hint: 'Leave out what follows }, or use query_loki_logs, which takes filters and count_over_time.',
  });
}

/** The labels of so many lines, the newest, are looked at. */
const sampledLines = 50_000;
const everything = { narrowing: { texts: [] }, order: 'newest', most: sampledLines } as const;

const valuesOut = (description: string) => z.array(z.string()).describe(description);

export const listLokiLabelNames = defineTool({
  name: 'list_loki_label_names',
  title: 'List Label Names',
  description: 'The labels that lines have, for selectors and filters of query_loki_logs.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ ...rangeFields, cursor: cursorField }),
  output: z.object({ labels: valuesOut('Names.'), searched_to: searchedOut, ...continuation }),

  async handler({ cursor, ...args }, { store }: Analysed, call) {
    const [after, range] = listPosition('list_loki_label_names', args, cursor, call);
    const names = new Set<string>(streamLabels);
    const { last } = await read(store, { range, ...everything }, call, (line) => {
      for (const name of labelNamesOf(line)) if (names.size < mostValues) names.add(name);
    });
    return { ...pageOf('labels', 'list_loki_label_names', args, names, after, range), ...searchedTo(last) };
  },
});

export const listLokiLabelValues = defineTool({
  name: 'list_loki_label_values',
  title: 'List Label Values',
  description: 'The values that one label has, such as all services.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    ...rangeFields,
    labelName: z.string().min(1).max(200).describe('One of list_loki_label_names.'),
    cursor: cursorField,
  }),
  output: z.object({ values: valuesOut('Each once.'), searched_to: searchedOut, ...continuation }),

  async handler({ cursor, ...args }, { store }: Analysed, call) {
    const [after, range] = listPosition('list_loki_label_values', args, cursor, call);
    const { labelName: name } = args;
    if (name === 'service' || name === 'level' || name === 'source') {
      const counts = await store.counts({ filter: range, by: name, everyMinutes: undefined }, call);
      return pageOf(
        'values',
        'list_loki_label_values',
        args,
        counts.map(({ group }) => group),
        after,
        range,
      );
    }
    const values = new Set<string>();
    const { last } = await read(store, { range, ...everything }, call, (line) => {
      const value = labelOfLine(line, name);
      if (value !== undefined && value !== '' && values.size < mostValues)
        values.add(value.slice(0, cutAt(value, shownValue)));
    });
    if (values.size === 0 && last === undefined) {
      throw new ToolError('not_found', `No line of this time has the label ${name}.`, {
        hint: 'Ask list_loki_label_names, or give an earlier startRfc3339.',
      });
    }
    return { ...pageOf('values', 'list_loki_label_values', args, values, after, range), ...searchedTo(last) };
  },
});

/** That are kept of one label. */
const mostValues = 10_000;

const searchedTo = (last: Line | undefined) => (last ? { searched_to: iso(last.atMs) } : {});

function listPosition(
  tool: string,
  args: Parameters<typeof rangeOf>[0],
  cursor: string | undefined,
  call: Call,
): [number, Range] {
  const { sinceMs, untilMs } = rangeOf(args, call.nowMs);
  const [after, since, until] = decodeCursor(tool, args, cursor, position, [0, sinceMs, untilMs]);
  return [after, { sinceMs: since, untilMs: until }];
}

function pageOf<Key extends string>(
  key: Key,
  tool: string,
  args: object,
  all: Iterable<string>,
  after: number,
  { sinceMs, untilMs }: Range,
) {
  const sorted = [...new Set(all)].toSorted();
  const page = fitting(sorted.slice(after, after + 1_000));
  const end = after + page.length;
  return {
    ...({ [key]: page } as Record<Key, string[]>),
    ...continued(tool, args, end < sorted.length ? [end, sinceMs, untilMs] : undefined),
  };
}

const labelOut = z.object({
  label: z.string().describe('Its name.'),
  lines: z.int().describe('That have it.'),
  values: z.int().describe('Different ones.'),
  more_values: z.literal(true).optional(),
  top: z.array(z.object({ value: z.string(), lines: z.int() })),
});

export const analyzeLokiLabels = defineTool({
  name: 'analyze_loki_labels',
  title: 'Analyze Labels',
  description:
    'What each label of the lines of a selector holds: how many lines have it, how many values, and the most frequent ones.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ ...rangeFields, logql: logqlField('A selector and filters.').default('{}') }),
  output: z.object({
    lines: z.int().describe('That were looked at.'),
    labels: z
      .array(toldBriefly(labelOut, 'label', 'lines', 'values'))
      .describe('Those that most lines have first.'),
    not_shown: z.int().optional().describe('Labels that fewer lines have.'),
    searched_to: searchedOut,
  }),

  async handler({ logql, ...args }, { store }: Analysed, call) {
    const query = parseLogQuery(logql);
    const pipeline = pipelineOf(query, { lines: 0 });
    const labels = new Map<
      string,
      { lines: number; readonly values: Map<string, number>; isFull: boolean }
    >();
    let kept = 0;
    const range = rangeOf(args, call.nowMs);
    const { last } = await read(
      store,
      { range, ...everything, narrowing: narrowingOf(query) },
      call,
      (line) => {
        const entry = pipeline(line);
        if (!entry) return;
        kept += 1;
        for (const name of new Set([...labelNamesOf(line), ...(entry.parsed?.keys() ?? [])])) {
          const label = labels.get(name) ?? { lines: 0, values: new Map<string, number>(), isFull: false };
          if (!labels.has(name) && labels.size >= mostLabels) continue;
          labels.set(name, label);
          label.lines += 1;
          const value = (entry.parsed?.get(name) ?? labelOfLine(line, name) ?? '').slice(0, 100);
          const count = label.values.get(value);
          if (count !== undefined || label.values.size < mostCounted)
            label.values.set(value, (count ?? 0) + 1);
          else label.isFull = true;
        }
      },
    );
    const rows = [...labels]
      .toSorted(([one, a], [other, b]) => b.lines - a.lines || (one < other ? -1 : 1))
      .map(([label, { lines: count, values, isFull }]) => ({
        label,
        lines: count,
        values: values.size,
        ...(isFull && { more_values: true as const }),
        top: topOf(values),
      }));
    const shown = fitting(rows);
    return {
      lines: kept,
      labels: shown,
      ...(shown.length < rows.length && { not_shown: rows.length - shown.length }),
      ...searchedTo(last),
    };
  },
});

const mostLabels = 500;
/** Values of one label that are counted. */
const mostCounted = 1_000;

const topOf = (values: ReadonlyMap<string, number>) =>
  [...values]
    .toSorted(([one, a], [other, b]) => b - a || (one < other ? -1 : 1))
    .slice(0, 5)
    .map(([value, count]) => ({ value: value.slice(0, cutAt(value, 100)), lines: count }));
