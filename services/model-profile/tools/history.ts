/** Decisions one by one: the newest, or every change in order, so that a reader can follow. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, maxPageBytes, pageBytes } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { kindField, modelField, taskTypeField } from '../fields.ts';
import { recordOf, recordOut, type DecisionRecord } from '../record-out.ts';
import type { ModelRow, Reading } from '../store/reading.ts';
import type { Store } from '../store/store.ts';
import type { Kind } from '../subject.ts';

const states = ['any', 'open', 'failed', 'succeeded'] as const;
/** The next decision; of a model, the next of each token. */
const place = z.array(z.int().min(0));
const defaultLimit = 50;
const changesPerStep = 64;
/** A reader that finds nothing for so long is told how far it came. */
const mostChangesRead = 50_000;

const rowOut = toldBriefly(recordOut, 'change', 'kind', 'uid', 'model', 'time', 'outcome', 'source');

const answerOut = z.object({
  decisions: z.array(rowOut).describe('With their fields, as of now.'),
  last_change: z.int().describe('Give as after_change to go on.'),
  complete: z.boolean().describe('Of changes: false means that there are more now.'),
  missed_before: z.int().optional().describe('Some changes before this one were let go, unread by you.'),
  ...continuation,
});

export const getDecisionHistory = defineTool({
  name: 'get_decision_history',
  title: 'Get Decision History',
  description:
    'Decisions one by one with all that was recorded, newest first. To follow what happens, give after_change (0 to begin) and go on with last_change: each decision comes once, and again with every later or revised outcome, in the order of storing.',
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({
    model: modelField.optional(),
    kind: kindField.default('model'),
    task_type: taskTypeField,
    state: z
      .enum(states)
      .default('any')
      .describe('open: without an outcome. failed and succeeded: outcome 0 and 1.'),
    after_change: z.int().min(0).optional().describe('Changes after this number, oldest first.'),
    limit: limitField(2_000, defaultLimit),
    cursor: cursorField,
  }),
  output: answerOut,
  async handler({ cursor, ...args }, { reading: reader }: Store, call) {
    const model = args.model === undefined ? undefined : reader.model(args.model);
    const taskType = args.task_type === undefined ? undefined : reader.taskType(args.task_type);
    const filter: Filter = { model, kind: args.kind, taskType, state: args.state, limit: args.limit };
    if (args.after_change !== undefined) {
      if (cursor !== undefined)
        throw new ToolError(
          'invalid_input',
          'cursor is for the newest first; changes go on with after_change.',
        );
      return inTurns(reader.read, call, changeSteps(reader, filter, args.after_change));
    }
    const newest = model ? reader.newestOf(model) : [reader.change()];
    const from = decodeCursor('get_decision_history', args, cursor, place, [...newest]);
    const { rows, next, last } = await inTurns(reader.read, call, newestSteps(reader, filter, from));
    return {
      decisions: rows,
      last_change: last,
      complete: next.length === 0,
      ...continued('get_decision_history', args, next.length > 0 ? next : undefined),
    };
  },
});

interface Filter {
  readonly model: ModelRow | undefined;
  readonly kind: Kind;
  readonly taskType: number | undefined;
  readonly state: (typeof states)[number];
  readonly limit: number;
}

const stateOf = (outcome: number | null) =>
  outcome === null ? 'open' : outcome === 0 ? 'failed' : outcome === 1 ? 'succeeded' : 'between';

/** Rows that fit into one answer: more where more are asked for. */
function collecting(reader: Reading, { model, kind, taskType, state, limit }: Filter) {
  const taskTypes = reader.taskTypeNames();
  const models = new Map<number, ModelRow | undefined>();
  const modelOf = (id: number) => {
    if (!models.has(id)) models.set(id, reader.modelById(id));
    return models.get(id);
  };
  const names = { taskTypes, modelKey: (id: number) => modelOf(id)?.key ?? '' };
  const mostBytes = limit > defaultLimit ? maxPageBytes : pageBytes;
  const rows: DecisionRecord[] = [];
  let bytes = 0;
  return {
    rows,
    /** @returns false when the row has no place any more: it is the first of the next answer. */
    offer(row: Parameters<typeof recordOf>[0]): boolean {
      const fits =
        (model ? row.model === model.id : modelOf(row.model)?.kind === kind) &&
        (taskType === undefined || row.task_type === taskType) &&
        (state === 'any' || stateOf(row.outcome) === state);
      if (!fits) return true;
      if (rows.length >= limit) return false;
      const record = recordOf(row, names);
      bytes += Buffer.byteLength(JSON.stringify(record));
      if (rows.length > 0 && bytes > mostBytes) return false;
      rows.push(record);
      return true;
    },
  };
}

function* changeSteps(reader: Reading, filter: Filter, after: number): Steps<z.input<typeof answerOut>> {
  const collected = collecting(reader, filter);
  const lastGone = reader.lastGone();
  const missed = after < lastGone ? { missed_before: lastGone + 1 } : {};
  let last = after;
  for (let read = 0; ;) {
    const changes = reader.changes(last, changesPerStep);
    for (const change of changes) {
      if (!collected.offer(change))
        return { decisions: collected.rows, last_change: last, complete: false, ...missed };
      last = change.change;
    }
    if (changes.length < changesPerStep)
      return { decisions: collected.rows, last_change: last, complete: true, ...missed };
    read += changes.length;
    if (read >= mostChangesRead)
      return { decisions: collected.rows, last_change: last, complete: false, ...missed };
    yield;
  }
}

/** Those of all models by counting down. */
function* newestSteps(
  reader: Reading,
  filter: Filter,
  newest: readonly number[],
): Steps<{ rows: DecisionRecord[]; next: number[]; last: number }> {
  const collected = collecting(reader, filter);
  const last = reader.change();
  let read = 0;
  const take = (row: Parameters<typeof recordOf>[0]) => {
    read += 1;
    return read <= mostChangesRead && collected.offer(row);
  };
  const next = yield* filter.model ? reader.decisions(newest, take) : reader.newest(newest, take);
  return { rows: collected.rows, next, last };
}
