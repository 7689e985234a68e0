import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, toldBriefly } from '#runtime/fields.ts';
import { adding } from '#runtime/hints.ts';
import { continued, pageBytes } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import { freshened, type Comparing } from '../comparing.ts';
import { exportPage } from '../exchange/export.ts';
import {
  judgedByField,
  kindField,
  marginField,
  modelsField,
  nameField,
  placesOf,
  seedField,
  sourceField,
  taskTypeField,
} from '../fields.ts';
import { reportFormats, type ReportFormat } from '../report/report.ts';
import { reportUri } from '../resources.ts';

const formats = [...reportFormats, 'battles_csv', 'battles_jsonl'] as const;
/** The state that is exported, and the last battle that was. */
const place = z.union([z.tuple([z.int().min(0), z.int().min(0)]), z.tuple([])]);

export const generateReport = defineTool({
  name: 'generate_report',
  title: 'Generate Comparison Report',
  description:
    'Ranking, comparisons of each two, strengths and judges in one report: JSON, Markdown, or one HTML page with charts. It is kept; a long one is read at its uri. Or the battles themselves, page by page, for other programs.',
  effect: 'write',
  untrusted: 'bounded',
  task: 'optional',
  timeoutMs: 120_000,
  hints: adding,
  input: z.object({
    format: z
      .enum(formats)
      .default('markdown')
      .describe('battles_csv and battles_jsonl export, with the columns of record_battles.'),
    title: nameField('Heading.', 200).default('Model comparison'),
    kind: kindField,
    models: modelsField,
    task_type: taskTypeField,
    source: sourceField,
    judged_by: judgedByField,
    margin: marginField,
    seed: seedField,
    cursor: cursorField,
  }),
  output: toldBriefly(
    z.object({
      format: z.enum(formats).describe('As asked.'),
      uri: z.string().optional().describe('Where the whole report is read.'),
      size_bytes: z.int().describe('Of the content.'),
      summary: z.array(z.string()).describe('What it says.'),
      content: z.string().optional().describe('The report, if it is short; a page of battles.'),
      as_of: z.string().optional().describe('When it was made.'),
      snapshot_id: z.string().describe('The state of the data.'),
      warnings: z.array(z.string()).describe('What to know.'),
      ...continuation,
    }),
    'uri',
    'summary',
    'content',
    'warnings',
    'next_cursor',
  ),
  text: ({ summary, uri, content, size_bytes: size, next_cursor: cursor }) =>
    [
      [
        ...summary,
        ...(uri === undefined ? [] : [`The report, ${size} bytes: ${uri}`]),
        ...(cursor === undefined ? [] : [`Truncated: call again with cursor ${cursor}`]),
      ].join('\n'),
      content ?? '',
    ].filter((text) => text !== ''),
  async handler({ cursor, ...args }, deps: Comparing, call) {
    const { format, kind } = args;
    const { store } = deps;
    if (format === 'battles_csv' || format === 'battles_jsonl') {
      const name = 'generate_report';
      const [state, after = 0] = decodeCursor(name, args, cursor, place, []);
      const request = { format, kind, taskType: args.task_type, state, after, bytes: pageBytes };
      const page = await inTurns(
        (read) => store.reading.atOnce(read),
        call,
        exportPage(store.reading, request),
      );
      if (after === 0 && page.battles === 0)
        throw new ToolError('not_found', 'There is no battle to export.');
      return {
        format,
        size_bytes: Buffer.byteLength(page.content),
        summary: [`${page.battles} battles.`],
        content: page.content,
        snapshot_id: `battle:${page.state},change:0`,
        warnings: [],
        ...continued(name, args, page.isLast ? undefined : [page.state, page.last]),
      };
    }
    if (cursor !== undefined) throw new ToolError('invalid_input', 'cursor belongs to an export of battles.');
    const warnings = await freshened(deps, args.source, call);
    const { body, ...made } = await store.analyse('report', requestOf({ ...args, format }, call.nowMs), call);
    const id = await store.write('keepReport', { owner: call.caller, format, body, atMs: call.nowMs }, call);
    const size = Buffer.byteLength(body);
    return {
      format,
      uri: reportUri(format, id),
      size_bytes: size,
      ...made,
      ...(size <= pageBytes && { content: body }),
      warnings,
    };
  },
});

function requestOf(
  args: {
    readonly format: ReportFormat;
    readonly title: string;
    readonly kind: 'model' | 'client';
    readonly models?: string[] | undefined;
    readonly task_type?: string | undefined;
    readonly source?: 'battles' | 'decisions' | undefined;
    readonly judged_by?: Parameters<typeof placesOf>[0];
    readonly margin?: number | undefined;
    readonly seed: number;
  },
  nowMs: number,
) {
  const { format, title, kind, models, task_type: taskType, source: from, margin, seed } = args;
  return {
    format,
    title,
    kind,
    models,
    taskType,
    from,
    sources: placesOf(args.judged_by),
    margin,
    seed,
    nowMs,
  };
}
