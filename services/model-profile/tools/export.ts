/** A model's profile as a file: decisions as JSONL or CSV, page by page, or all figures as Markdown. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, maxPageBytes, pageBytes, pageOf, withCursor } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { modelField } from '../fields.ts';
import { profileMarkdown } from '../profile-markdown.ts';
import { recordNames, recordOf } from '../record-out.ts';
import type { ModelRow, Reading } from '../store/reading.ts';
import type { Store } from '../store/store.ts';

export const exportSchema = 'flotilla.model-profile/1';
/** The next decision of each token, or how far a text was told; nothing on the first page. */
const place = z.array(z.int().min(0));

/** RFC 4180. A program for tables must not take a text for a formula. */
function cell(value: unknown): string {
  const text =
    value === undefined
      ? ''
      : typeof value === 'string'
        ? value.replace(/^(?=[=+\-@\t\r])/, "'")
        : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const exportProfile = defineTool({
  name: 'export_profile',
  title: 'Export Profile',
  description:
    'A model as text: jsonl (a header, then one decision in each line) or csv, newest first, or markdown (all figures). Page by page: join the pages to one file.',
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({
    model: modelField,
    format: z.enum(['jsonl', 'csv', 'markdown']).default('jsonl').describe('Form of the text.'),
    page_bytes: z.int().min(1_000).max(maxPageBytes).default(pageBytes).describe('Most bytes of one page.'),
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('This page.'),
    decisions: z.int().describe('In this page.'),
    ...continuation,
  }),
  text: ({ content, next_cursor: cursor }) => withCursor(content, cursor),
  async handler({ cursor, ...args }, { reading: reader }: Store, call) {
    const from = decodeCursor('export_profile', args, cursor, place, []);
    const model = reader.model(args.model);
    const { content, decisions, next } = await inTurns(
      reader.read,
      call,
      args.format === 'markdown'
        ? markdownSteps(reader, model, from[0] ?? 0, args.page_bytes, call.nowMs)
        : rowSteps(reader, model, from, { format: args.format, bytes: args.page_bytes, nowMs: call.nowMs }),
    );
    return {
      content,
      decisions,
      ...continued('export_profile', args, next),
    };
  },
});

interface Page {
  readonly content: string;
  readonly decisions: number;
  readonly next: readonly number[] | undefined;
}

function* markdownSteps(
  reader: Reading,
  model: ModelRow,
  start: number,
  bytes: number,
  nowMs: number,
): Steps<Page> {
  const { text, next } = pageOf(yield* profileMarkdown(reader, model, nowMs), start, bytes);
  return { content: text, decisions: 0, next: next === undefined ? undefined : [next] };
}

function* rowSteps(
  reader: Reading,
  model: ModelRow,
  from: readonly number[],
  {
    format,
    bytes,
    nowMs,
  }: { readonly format: 'jsonl' | 'csv'; readonly bytes: number; readonly nowMs: number },
): Steps<Page> {
  const names = { taskTypes: reader.taskTypeNames(), modelKey: () => model.key };
  const { key, kind, name, version, effort, prompt_hash: prompt, decisions } = model;
  const header = {
    schema: exportSchema,
    model: { key, kind, name, version, effort, prompt_hash: prompt },
    decisions,
    as_of: new Date(nowMs).toISOString(),
    snapshot_id: `change:${reader.change()}`,
  };
  const parts: string[] = [];
  const isFirst = from.length === 0;
  if (isFirst)
    parts.push(format === 'jsonl' ? `${JSON.stringify(header)}\n` : `${recordNames.join(',')}\r\n`);
  let [length, count] = [parts.join('').length, 0];
  const next = yield* reader.decisions(isFirst ? reader.newestOf(model) : from, (row) => {
    const record = recordOf(row, names);
    const line =
      format === 'jsonl'
        ? `${JSON.stringify(record)}\n`
        : `${recordNames.map((column) => cell(record[column])).join(',')}\r\n`;
    const size = Buffer.byteLength(line);
    if (count > 0 && length + size > bytes) return false;
    length += size;
    count += 1;
    parts.push(line);
    return true;
  });
  return { content: parts.join(''), decisions: count, next: next.length > 0 ? next : undefined };
}
