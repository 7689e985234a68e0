import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import {
  deletedOut,
  handleField,
  keepFields,
  levelField,
  listPosition,
  listStart,
  placeAfter,
  nameField,
  notDeletedOut,
  pageField,
  sessionField,
  startPosition,
  textField,
  tokensOut,
  ttlField,
} from '../fields.ts';
import { levelNames, maxItemsPerCall, maxTextLength, requireAtMost } from '../limits.ts';
import { continued, fitting, pageOf, withCursor } from '#runtime/page.ts';
import type { Listed, OutputRow } from '../store/shelf.ts';
import { linesIn } from '../lines.ts';
import type { Keep, KeptOutput, Store } from '../store/store.ts';

export const storeOutput = defineTool({
  name: 'store_output',
  title: 'Store Output',
  description:
    'Put a long text aside and get a short handle, by which read_output and grep_output read parts of it.',
  effect: 'write',
  hints: completing,
  input: z.object({
    content: textField('The text.'),
    label: nameField('What it is.').optional(),
    ...keepFields,
    level: levelField.default('session').describe('How long it is kept; ephemeral: an hour, in memory only.'),
    ttl_seconds: ttlField,
    private: z.boolean().default(false).describe('Only your token may read it.'),
  }),
  output: z.object({
    handle: z.string().describe('The same for the same text.'),
    tokens: tokensOut('In o200k_base.'),
    characters: z.int().describe('Length.'),
    lines: z.int().describe('Lines.'),
    expires_at: z.string().describe('Kept until then.'),
  }),

  handler({ content, ...keep }, store: Store, call) {
    requireAtMost(content.length, maxTextLength, 'Characters of content');
    const tokens = store.count('o200k_base', content, call);
    if (typeof tokens !== 'number') return storeLater(content, keep, tokens, store, call);
    // A short text is counted and kept at once, so that it shares a commit with others.
    const kept = store.keep([content], keep, call);
    return Array.isArray(kept)
      ? storedOut(content, tokens, kept)
      : kept.then((all) => storedOut(content, tokens, all));
  },
});

const storedOut = (content: string, tokens: number, [kept]: readonly KeptOutput[]) => ({
  handle: kept?.handle ?? '',
  tokens,
  characters: content.length,
  lines: linesIn(content),
  expires_at: kept?.expires_at ?? '',
});

async function storeLater(content: string, keep: Keep, tokens: Promise<number>, store: Store, call: Call) {
  return storedOut(content, await tokens, await store.keep([content], keep, call));
}

export const readOutput = defineTool({
  name: 'read_output',
  title: 'Read Output',
  description: 'Read a stored text by its handle, all or some lines, page by page.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    handle: handleField,
    startLine: z.int().min(1).default(1).describe('First line, from 1.'),
    endLine: z.int().min(1).optional().describe('Last line.'),
    limit: pageField,
    cursor: cursorField,
  }),
  output: z.object({
    text: z.string().describe('The lines.'),
    totalLines: z.int().describe('Of the whole text.'),
    totalCharacters: z.int().describe('Of the whole text.'),
    ...continuation,
  }),
  text: ({ text, next_cursor: cursor }) => withCursor(text, cursor),

  handler({ cursor, ...args }, store: Store, call) {
    const { handle, startLine, endLine = Infinity, limit } = args;
    if (endLine < startLine)
      throw new ToolError('invalid_input', `endLine ${endLine} is before startLine ${startLine}.`);
    const output = store.output(handle, call);
    const { lines: totalLines, length } = output.row;
    if (startLine > totalLines) {
      throw new ToolError('invalid_input', `There is no line ${startLine}: the text has ${totalLines}.`, {
        hint: `Ask for lines from 1 to ${totalLines}.`,
      });
    }
    const first = output.lineStart(startLine - 1) ?? 0;
    const next = endLine >= totalLines ? undefined : output.lineStart(endLine);
    const end = next === undefined ? length : next - 1;
    const [start] = decodeCursor('read_output', args, cursor, startPosition, [first]);
    const page = pageOf(output.between(start, Math.min(end, start + limit + 1)), 0, limit);
    const goesOn = start + page.text.length < end;
    return {
      text: page.text,
      totalLines,
      totalCharacters: length,
      ...continued('read_output', args, goesOn ? [start + page.text.length] : undefined),
    };
  },
});

const contextField = (description: string) => z.int().min(0).max(100).describe(description);

export const grepOutput = defineTool({
  name: 'grep_output',
  title: 'Search Output',
  description: 'Find the lines of a stored text that match a regular expression.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    handle: handleField,
    pattern: z.string().min(1).max(1_000).describe('JavaScript regular expression.'),
    contextLines: contextField('Lines around each match.').default(0),
    beforeLines: contextField('Lines before, instead of contextLines.').optional(),
    afterLines: contextField('Lines after, instead of contextLines.').optional(),
    ignoreCase: z.boolean().default(false).describe('Case does not matter.'),
    limit: limitField(1_000, 50),
    cursor: cursorField,
  }),
  output: z.object({
    matches: z
      .array(
        z.object({
          line: z.int().describe('From 1.'),
          text: z.string().describe('The line, cut if long.'),
          before: z.array(z.string()).optional().describe('Lines.'),
          after: z.array(z.string()).optional().describe('Lines.'),
        }),
      )
      .describe('In order.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { handle, pattern, ignoreCase, limit, contextLines } = args;
    const { beforeLines: before = contextLines, afterLines: after = contextLines } = args;
    const [fromLine] = decodeCursor('grep_output', args, cursor, startPosition, [0]);
    const flags = flagsFor(pattern, ignoreCase);
    const text = await store.output(handle, call).all();
    const found = await store.grep({ text, pattern, flags, fromLine, limit, before, after }, call);
    const last = found.matches.at(-1);
    return {
      matches: found.matches.map((match) => ({
        line: match.line + 1,
        text: match.text,
        ...(before > 0 && { before: [...match.before] }),
        ...(after > 0 && { after: [...match.after] }),
      })),
      ...continued('grep_output', args, found.hasMore && last ? [last.line + 1] : undefined),
    };
  },
});

/** With Unicode where the pattern allows it; `\-` and the like are only allowed without. */
function flagsFor(pattern: string, ignoreCase: boolean): string {
  const flags = ignoreCase ? ['iu', 'i'] : ['u', ''];
  const fit = flags.find((each) => compiles(pattern, each));
  if (fit === undefined) {
    throw new ToolError('invalid_input', 'The pattern is no regular expression.', {
      hint: String.raw`Escape characters that are meant as they are, like \( or \[.`,
    });
  }
  return fit;
}

function compiles(pattern: string, flags: string): boolean {
  try {
    return new RegExp(pattern, flags) instanceof RegExp;
  } catch {
    return false;
  }
}

const viewOf = (row: Listed<OutputRow>) => ({
  handle: row.handle,
  level: row.level,
  ...(row.session_id !== null && { session_id: row.session_id }),
  ...(row.label !== null && { label: row.label }),
  characters: row.length,
  lines: row.lines,
  created_by: row.created_by,
  created_at: row.created_at,
  expires_at: row.expires_at,
});

const listedOut = z.object({
  handle: z.string().describe('Handle.'),
  level: z.enum(levelNames),
  session_id: z.string().optional(),
  label: z.string().optional(),
  characters: z.int(),
  lines: z.int(),
  created_by: z.string(),
  created_at: z.string(),
  expires_at: z.string(),
});

export const listOutputs = defineTool({
  name: 'list_outputs',
  title: 'List Outputs',
  description: 'List stored texts with their handles, newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    level: levelField.optional().describe('Only of this level.'),
    session_id: sessionField.describe('Only of this session.'),
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({
    outputs: z
      .array(toldBriefly(listedOut, 'handle'))
      .describe(
        'Newest first, with label, level, session_id, characters, lines, created_by, created_at and expires_at, after which a snapshot or handoff that names it may keep it.',
      ),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_outputs', args, cursor, listPosition, listStart);
    const rows = await store.listOutputs(args, below, args.limit, call);
    const outputs = fitting(rows.slice(0, args.limit).map(viewOf));
    return { outputs, ...continued('list_outputs', args, placeAfter(rows, outputs.length)) };
  },
});

export const deleteOutputs = defineTool({
  name: 'delete_outputs',
  title: 'Delete Outputs',
  description: 'Delete texts that you stored for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    handles: z.array(handleField).min(1).max(maxItemsPerCall).describe('Their handles.'),
  }),
  output: z.object({
    deleted: deletedOut,
    not_found: notDeletedOut,
  }),

  async handler({ handles }, store: Store, call) {
    const asked = [...new Set(handles)];
    const deleted = new Set(await store.deleteOutputs(asked, call));
    return { deleted: deleted.size, not_found: asked.filter((handle) => !deleted.has(handle)) };
  },
});
