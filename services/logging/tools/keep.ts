import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading, replacing } from '#runtime/hints.ts';
import { continued, pageBytes, withCursor } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { filterOf, queryField, regexField, whichFields } from '../fields.ts';
import { maxExportedLines } from '../limits.ts';
import type { Logging } from '../logging.ts';
import type { Line } from '../store/line.ts';
import { termsOf } from '../store/words.ts';

const lastLine = z.tuple([z.int().min(-1), z.number(), z.number()]);
const endOfTime = 4e12;
/** So many of the shortest lines fill a page: of CSV, 63 bytes each. */
const mostPerPage = 510;

const csvNames = ['time', 'observed', 'level', 'service', 'source', 'message', 'trace_id', 'fields'] as const;

const recordOf = ({ atMs, observedMs, level, service, source, message, traceId, fields }: Line) => ({
  time: new Date(atMs).toISOString(),
  observed: new Date(observedMs).toISOString(),
  level,
  service,
  source,
  message,
  ...(traceId !== undefined && { trace_id: traceId }),
  ...(Object.keys(fields).length > 0 && { fields }),
});

/** RFC 4180. A program for tables must not take a text for a formula. */
function cell(value: string): string {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function written(line: Line, format: 'jsonl' | 'csv'): string {
  const record: Readonly<Record<string, unknown>> = recordOf(line);
  if (format === 'jsonl') return `${JSON.stringify(record)}\n`;
  const cells = csvNames.map((name) => {
    const value = record[name] ?? '';
    return cell(typeof value === 'string' ? value : JSON.stringify(value));
  });
  return `${cells.join(',')}\r\n`;
}

export const exportLogs = defineTool({
  name: 'export_logs',
  title: 'Export Logs',
  description: 'Lines as JSONL or CSV, the oldest first, whole, page by page: join the pages to one file.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    format: z.enum(['jsonl', 'csv']).default('jsonl').describe('Form of the text.'),
    query: queryField.default(''),
    ...whichFields,
    regex: regexField.optional(),
    limit: limitField(maxExportedLines, maxExportedLines),
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('The lines; of CSV, the first page has the names.'),
    lines: z.int().describe('In this page.'),
    ...continuation,
  }),
  text: ({ content, next_cursor: cursor }) => withCursor(content, cursor),

  async handler({ cursor, ...args }, { store }: Logging, call) {
    const [last, sinceMs, untilMs] = decodeCursor('export_logs', args, cursor, lastLine, [-2, 0, 0]);
    const isFirst = last === -2;
    const filter = filterOf(args, call.nowMs);
    const since = isFirst ? (filter.sinceMs ?? 0) : sinceMs;
    const until = isFirst ? (filter.untilMs ?? endOfTime) : untilMs;
    const found = await store.find(
      { ...filter, sinceMs: since, untilMs: until },
      { order: 'oldest', after: last < 0 ? undefined : last, limit: Math.min(args.limit, mostPerPage) },
      call,
    );
    let content = isFirst && args.format === 'csv' ? `${csvNames.join(',')}\r\n` : '';
    let bytes = content.length;
    let count = 0;
    let next = found.next;
    for (const line of found.lines) {
      const text = written(line, args.format);
      bytes += Buffer.byteLength(text);
      if (count > 0 && bytes > pageBytes) {
        next = found.lines[count - 1]?.id;
        break;
      }
      content += text;
      count += 1;
    }
    return {
      content,
      lines: count,
      ...continued('export_logs', args, next === undefined ? undefined : [next, since, until]),
    };
  },
});

export const purgeLogs = defineTool({
  name: 'purge_logs',
  title: 'Purge Logs',
  description:
    'Delete log lines for good, from every source. Without confirm it deletes nothing and counts what it would delete.',
  effect: 'destroy',
  hints: replacing,
  task: 'optional',
  timeoutMs: 600_000,
  input: z.object({
    query: queryField.default(''),
    ...whichFields,
    confirm: z.boolean().default(false).describe('true deletes.'),
  }),
  output: z.object({
    deleted: z.int().describe('Lines that are gone.'),
    would_delete: z.int().optional().describe('What confirm would delete.'),
    by_source: z.record(z.string(), z.int()).describe('The same, by source.'),
    left_on_disk: z
      .literal(true)
      .optional()
      .describe('Nobody finds the lines any more, but the disk had no room to overwrite them.'),
  }),

  async handler({ confirm, ...which }, { store }: Logging, call) {
    const filter = filterOf(which, call.nowMs);
    const narrows =
      termsOf(which.query).length > 0 ||
      Object.entries(which).some(([name, value]) => name !== 'query' && value !== undefined);
    if (!narrows) {
      throw new ToolError(
        'invalid_input',
        'Say which lines: at least one of query, level, service, source, since and until.',
        {
          hint: 'until: "now" means all of them.',
        },
      );
    }
    if (confirm) {
      const { lines, bySource, isScrubbed } = await store.purge(filter, call);
      return { deleted: lines, by_source: bySource, ...(!isScrubbed && { left_on_disk: true as const }) };
    }
    const bySource: Record<string, number> = {};
    let lines = 0;
    for await (const piece of store.scan(filter, { order: 'oldest' }, call)) {
      for (const { source } of piece.lines) bySource[source] = (bySource[source] ?? 0) + 1;
      lines += piece.lines.length;
      call.progress(lines);
    }
    return { deleted: 0, would_delete: lines, by_source: bySource };
  },
});
