import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { badLinesShown, exportLines, exportPosition, exportStart } from '../graph/jsonl.ts';
import { completing, reading } from '#runtime/hints.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { bytesPerToken, maxImportLength, tokenBudgetField } from '../limits.ts';
import type { Store } from '../store.ts';

const exportInput = z.object({
  limit: limitField(10_000, 10_000),
  cursor: cursorField,
  token_budget: tokenBudgetField,
});
const exportOutput = z.object({
  jsonl: z.string().describe('Lines; join those of all answers by newlines.'),
  lines: z.int().describe('How many.'),
  ...continuation,
});

export const exportGraph = defineTool({
  name: 'export_graph',
  title: 'Export Graph',
  description:
    "Write the knowledge graph as JSONL, the official memory server's file format, to keep or move. To read it use search_nodes.",
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: exportInput,
  output: exportOutput,

  handler: (args, store: Store, call) => store.inTurns(call, exported(args, store)),
});

function* exported(
  { cursor, ...args }: z.output<typeof exportInput>,
  { graph }: Store,
): Steps<z.input<typeof exportOutput>> {
  const position = decodeCursor('export_graph', args, cursor, exportPosition, exportStart);
  const { lines, next } = yield* exportLines(graph, position, args.limit, args.token_budget * bytesPerToken);
  return {
    jsonl: lines.join('\n'),
    lines: lines.length,
    ...(next && { truncated: true as const, next_cursor: encodeCursor('export_graph', args, next) }),
  };
}

export const importGraph = defineTool({
  name: 'import_graph',
  title: 'Import Graph',
  description:
    "Add JSONL of export_graph or the official memory server to the knowledge graph. What exists stays; pass the file's content, not its path.",
  effect: 'write',
  hints: completing,
  input: z.object({
    jsonl: z
      .string()
      .max(maxImportLength)
      .describe(
        'Lines with type entity or relation; split larger files, about 1,000 lines at once, entities first.',
      ),
    on_bad_line: z
      .enum(['refuse', 'skip'])
      .default('refuse')
      .describe('refuse: import nothing if any line is bad; skip: import the others.'),
  }),
  output: z.object({
    entities: z.int().describe('New entities.'),
    observations: z.int().describe('New observations.'),
    relations: z.int().describe('New relations.'),
    skipped: z.int().describe('Bad lines.'),
    refused: z
      .array(z.object({ line: z.int().describe('Number from 1.'), reason: z.string().describe('Why.') }))
      .describe(`The first ${badLinesShown} bad lines.`),
  }),

  handler: ({ jsonl, on_bad_line: onBadLine }, store: Store, call) =>
    store.change('import_graph', { jsonl, onBadLine }, call),
});
