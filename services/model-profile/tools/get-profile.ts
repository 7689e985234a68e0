/** How good a model is, by kind of task, by day, or all models of a kind beside each other. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';
import { figure, type Figure, type State } from '#statistics/figure.ts';

import {
  kindField,
  modelField,
  sourceField,
  taskTypeField,
  windowFields,
  windowOf,
  type Window,
} from '../fields.ts';
import {
  figureOut,
  intervalNames,
  meanFigure,
  mixOf,
  quantileFigure,
  snapshotOf,
  strongest,
  successRate,
  type IntervalName,
  type SourceChoice,
} from '../figure.ts';
import { emptyCell, mergeCell, type Cell } from '../store/cell.ts';
import { dateOf } from '../store/day.ts';
import type { ModelRow, Reading } from '../store/reading.ts';
import type { Store } from '../store/store.ts';
import type { Kind } from '../subject.ts';
import { errorKinds } from '../vocabulary.ts';

const groupings = ['all', 'task_type', 'day'] as const;
const aspects = ['success', 'latency', 'cost', 'tokens', 'errors'] as const;
type Aspect = (typeof aspects)[number];

const rowOut = toldBriefly(
  z.object({
    key: z.string().describe('Model, task type or day.'),
    decisions: z.int().describe('All, with and without outcome.'),
    success: figureOut.optional().describe('Mean outcome.'),
    other_sources: z.array(figureOut).optional().describe('The same from sources that are weaker.'),
    latency_ms: z.record(z.string(), figureOut).optional().describe('mean, p50, p90, p99.'),
    cost_usd: z.record(z.string(), figureOut).optional().describe('mean, p50, p90, p99.'),
    total_cost_usd: z.number().optional().describe('Of those that say it.'),
    tokens: z.record(z.string(), z.number()).optional().describe('Sums of those that say it.'),
    errors: z.record(z.string(), z.int()).optional().describe('Failures by kind.'),
  }),
  'key',
  'decisions',
  'success',
);
type Row = z.output<typeof rowOut>;

interface Wish {
  readonly source: SourceChoice | undefined;
  readonly interval: IntervalName;
  readonly aspects: readonly Aspect[];
}

const shares = { p50: 0.5, p90: 0.9, p99: 0.99 } as const;

function rowOf(key: string, cell: Cell, { source, interval, aspects: wanted }: Wish, snapshot: State): Row {
  const has = (aspect: Aspect) => wanted.includes(aspect);
  const main = source ?? strongest(cell.judged);
  const others = source === undefined ? Object.keys(mixOf(cell.judged)).filter((name) => name !== main) : [];
  const rate = (choice: SourceChoice) => successRate(snapshot, cell.judged, choice, interval, cell.clustered);
  const spread = (of: Cell['latency'], units: number): Record<string, Figure> => ({
    mean: meanFigure(snapshot, of, units),
    ...Object.fromEntries(
      Object.entries(shares).map(([name, share]) => [name, quantileFigure(snapshot, of, share, units)]),
    ),
  });
  return {
    key,
    decisions: cell.n,
    ...(has('success') && {
      success: main
        ? rate(main)
        : figure(snapshot, {
            value: undefined,
            n: 0,
            method: 'mean outcome',
            warnings: ['No outcome is known yet.'],
          }),
      ...(others.length > 0 && { other_sources: others.map((name) => rate(name as SourceChoice)) }),
    }),
    ...(has('latency') && cell.latency.n > 0 && { latency_ms: spread(cell.latency, 1e3) }),
    ...(has('cost') &&
      cell.cost.n > 0 && { cost_usd: spread(cell.cost, 1e9), total_cost_usd: cell.cost.sum / 1e9 }),
    ...(has('tokens') && cell.tokens.told > 0 && { tokens: { ...cell.tokens } }),
    ...(has('errors') && {
      errors: Object.fromEntries(
        errorKinds.flatMap((kind, at) => (cell.errors[at] ? [[kind, cell.errors[at]]] : [])),
      ),
    }),
  };
}

/** All of a model in a window; a group for each task type or day where asked. */
function* sumsOf(
  reader: Reading,
  model: number,
  window: Window,
  taskType: number | undefined,
  groupOf: (day: number, taskType: number) => number = () => 0,
): Steps<Map<number, Cell>> {
  const groups = new Map<number, Cell>();
  yield* reader.cells({ model, ...window, taskType }, (cell, day, type) => {
    const key = groupOf(day, type);
    const there = groups.get(key);
    if (there) mergeCell(there, cell);
    else groups.set(key, cell);
  });
  return groups;
}

const position = z.tuple([z.string()]);

export const getProfile = defineTool({
  name: 'get_profile',
  title: 'Get Profile',
  description:
    'How often a model succeeds, with intervals, and what it takes: as a whole, by task_type or by day. Without a model: all registered ones of one kind. Outcomes of different sources are told apart.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    model: modelField.optional(),
    kind: kindField.default('model'),
    by: z.enum(groupings).default('all').describe('One row for each.'),
    task_type: taskTypeField,
    ...windowFields,
    source: sourceField,
    interval: z.enum(intervalNames).default('wilson').describe('Interval of the rate.'),
    aspects: z
      .array(z.enum(aspects))
      .max(5)
      .optional()
      .describe('What to tell; of several rows only success unless given.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({
    model: z.string().optional().describe('Its key.'),
    note: z.string().optional().describe('What was noted of it.'),
    rows: z.array(rowOut).describe('Of tasks those with the most decisions first; of days the newest.'),
    ...continuation,
  }),
  async handler({ cursor, ...args }, { reading: reader }: Store, call) {
    const [after] = decodeCursor('get_profile', args, cursor, position, ['']);
    const window = windowOf(args, call.nowMs);
    const snapshot = snapshotOf(reader.change(), call.nowMs);
    const isOne = args.model !== undefined && args.by === 'all';
    const wish = {
      source: args.source,
      interval: args.interval,
      aspects: args.aspects ?? (isOne ? aspects : (['success'] as const)),
    };
    const taskType = args.task_type === undefined ? undefined : reader.taskType(args.task_type);
    const about = { reader, window, taskType, wish, snapshot };
    const model = args.model === undefined ? undefined : reader.model(args.model);
    const rows = await inTurns(
      reader.read,
      call,
      model
        ? rowsOfOne(about, model, args.by, after, args.limit + 1)
        : rowsOfAll(about, args.kind, after, args.limit + 1),
    );
    const shown = fitting(rows.slice(0, args.limit));
    const last = shown.at(-1)?.key;
    const isMore = shown.length < rows.length;
    return {
      ...(model && { model: model.key, ...(model.note !== null && { note: model.note }) }),
      rows: shown,
      ...continued('get_profile', args, isMore && last !== undefined ? [last] : undefined),
    };
  },
});

interface About {
  readonly reader: Reading;
  readonly window: Window;
  readonly taskType: number | undefined;
  readonly wish: Wish;
  readonly snapshot: State;
}

function* rowsOfOne(
  { reader, window, taskType, wish, snapshot }: About,
  model: ModelRow,
  by: (typeof groupings)[number],
  after: string,
  limit: number,
): Steps<Row[]> {
  const groupOf = { all: () => 0, task_type: (_: number, type: number) => type, day: (day: number) => day }[
    by
  ];
  const groups = yield* sumsOf(reader, model.id, window, taskType, groupOf);
  if (by === 'all') return [rowOf(model.key, groups.get(0) ?? emptyCell(), wish, snapshot)];
  const names = by === 'task_type' ? reader.taskTypeNames() : undefined;
  const nameOf = (key: number) => names?.get(key) ?? dateOf(key);
  const ordered = [...groups].toSorted(([a, one], [b, other]) => (names ? other.n - one.n || a - b : b - a));
  const from = after === '' ? 0 : ordered.findIndex(([key]) => nameOf(key) === after) + 1;
  const rows: Row[] = [];
  for (const [key, cell] of ordered.slice(from, from + limit)) {
    rows.push(rowOf(nameOf(key), cell, wish, snapshot));
    yield;
  }
  return rows;
}

function* rowsOfAll(
  { reader, window, taskType, wish, snapshot }: About,
  kind: Kind,
  after: string,
  limit: number,
): Steps<Row[]> {
  const rows: Row[] = [];
  for (const model of reader.models(kind, after, limit)) {
    const groups = yield* sumsOf(reader, model.id, window, taskType);
    rows.push(rowOf(model.key, groups.get(0) ?? emptyCell(), wish, snapshot));
    yield;
  }
  return rows;
}
