import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { completing, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  handleField,
  keepFields,
  levelField,
  nameField,
  sessionField,
  textField,
  ttlField,
  tokensOut,
  listPosition,
  listStart,
} from '../fields.ts';
import {
  levelNames,
  maxItemsPerCall,
  maxPageLength,
  maxTextLength,
  pageLength,
  requireAtMost,
} from '../limits.ts';
import { lineStart } from '../lines.ts';
import { pageOf } from '../page.ts';
import type { Store } from '../store/store.ts';

const outputOut = {
  handle: z.string().describe('Handle for read_output and grep_output.'),
  level: z.enum(levelNames).describe('Level.'),
  session_id: z.string().optional().describe('Session.'),
  label: z.string().optional().describe('Label.'),
  characters: z.int().describe('Length.'),
  lines: z.int().describe('Lines.'),
  created_by: z.string().describe('Name of the token that stored it.'),
  created_at: z.string().describe('When (UTC).'),
  expires_at: z.string().describe('Until when it is kept; longer while a snapshot or handoff names it.'),
};

type Listed = ReturnType<Store['listOutputs']>['found'][number];

const outputOf = (row: Listed) => ({
  handle: row.id,
  level: row.level,
  ...(row.session_id !== null && { session_id: row.session_id }),
  ...(row.label !== null && { label: row.label }),
  characters: row.length,
  lines: row.lines,
  created_by: row.created_by,
  created_at: row.created_at,
  expires_at: row.expires_at,
});

export const storeOutput = defineTool({
  name: 'store_output',
  title: 'Store Output',
  description:
    'Put a long text aside and get a short handle for it, to read parts of it later with read_output or grep_output. The same text again has the same handle.',
  effect: 'write',
  hints: completing,
  input: z.object({
    content: textField('The text.'),
    label: nameField('What it is, for list_outputs.').optional(),
    ...keepFields,
    ttl_seconds: ttlField,
  }),
  output: z.object({ ...outputOut, tokens: tokensOut('Its tokens in o200k_base.') }),

  async handler({ content, ...keep }, store: Store, call) {
    requireAtMost(content.length, maxTextLength, 'Characters of content');
    const tokenizer = await store.tokenizer('o200k_base');
    const tokens = await store.inTurns(call, tokenizer.count(content));
    const [handle = ''] = store.keep([content], keep, call);
    return { ...outputOf(store.output(handle, call)), tokens };
  },
});

export const readOutput = defineTool({
  name: 'read_output',
  title: 'Read Output',
  description: 'Read a stored text by its handle, all of it or some lines, page by page.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    handle: handleField,
    startLine: z.int().min(1).default(1).describe('First line, from 1.'),
    endLine: z.int().min(1).optional().describe('Last line; the end unless given.'),
    limit: z.int().min(100).max(maxPageLength).default(pageLength).describe('Most characters to return.'),
    cursor: cursorField,
  }),
  output: z.object({
    text: z.string().describe('The lines.'),
    totalLines: z.int().describe('Lines of the whole text.'),
    totalCharacters: z.int().describe('Length of the whole text.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store, call) {
    const { handle, startLine, endLine = Infinity, limit } = args;
    if (endLine < startLine)
      throw new ToolError('invalid_input', `endLine ${endLine} is before startLine ${startLine}.`);
    const { text, lines: totalLines } = store.output(handle, call);
    if (startLine > totalLines) {
      throw new ToolError('invalid_input', `There is no line ${startLine}: the text has ${totalLines}.`, {
        hint: `Ask for lines from 1 to ${totalLines}.`,
      });
    }
    const part = linesBetween(text, startLine, endLine);
    const [start] = decodeCursor('read_output', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const page = pageOf(part, start, limit);
    return {
      text: page.text,
      totalLines,
      totalCharacters: text.length,
      ...(page.next !== undefined && {
        truncated: true as const,
        next_cursor: encodeCursor('read_output', args, [page.next]),
      }),
    };
  },
});

function linesBetween(text: string, first: number, last: number): string {
  if (first === 1 && last === Infinity) return text;
  const start = lineStart(text, 0, first - 1) ?? text.length;
  const next = last === Infinity ? undefined : lineStart(text, start, last - first + 1);
  return text.slice(start, next === undefined ? undefined : next - 1);
}

const contextField = (description: string) => z.int().min(0).max(100).describe(description);

export const grepOutput = defineTool({
  name: 'grep_output',
  title: 'Search Output',
  description: 'Find the lines of a stored text that match a regular expression, with the lines around them.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    handle: handleField,
    pattern: z.string().min(1).max(1_000).describe('JavaScript regular expression, matched line by line.'),
    contextLines: contextField('Lines to show on both sides.').default(0),
    beforeLines: contextField('Lines before, instead of contextLines.').optional(),
    afterLines: contextField('Lines after, instead of contextLines.').optional(),
    ignoreCase: z.boolean().default(false).describe('Whether case does not matter.'),
    limit: limitField(1_000, 50),
    cursor: cursorField,
  }),
  output: z.object({
    matches: z
      .array(
        z.object({
          line: z.int().describe('Number of the line, from 1.'),
          text: z.string().describe('The line; a longer one is cut at 2,000 characters.'),
          before: z.array(z.string()).optional().describe('Lines before it.'),
          after: z.array(z.string()).optional().describe('Lines after it.'),
        }),
      )
      .describe('In order.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { handle, pattern, ignoreCase, limit, contextLines } = args;
    const { beforeLines = contextLines, afterLines = contextLines } = args;
    const [fromLine] = decodeCursor('grep_output', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const { text } = store.output(handle, call);
    const job = { text, pattern, flags: flagsFor(pattern, ignoreCase), fromLine, limit };
    const found = await store.grep(job, call);
    const lines = text.split('\n');
    const shown = (from: number, to: number) => lines.slice(Math.max(0, from), to).map(shortLine);
    const matches = [];
    let length = 0;
    for (const line of found.lines) {
      const before = shown(line - beforeLines, line);
      const after = shown(line + 1, line + 1 + afterLines);
      const match = {
        line: line + 1,
        text: shortLine(lines[line] ?? ''),
        ...(beforeLines > 0 && { before }),
        ...(afterLines > 0 && { after }),
      };
      length += [match.text, ...before, ...after].reduce((sum, each) => sum + each.length, 0);
      if (length > maxPageLength && matches.length > 0) break;
      matches.push(match);
    }
    const last = found.lines[matches.length - 1];
    const isCut = found.hasMore || matches.length < found.lines.length;
    return {
      matches,
      ...(isCut &&
        last !== undefined && {
          truncated: true as const,
          next_cursor: encodeCursor('grep_output', args, [last + 1]),
        }),
    };
  },
});

const longestLine = 2_000;
const shortLine = (line: string) =>
  line.length > longestLine ? `${line.slice(0, longestLine).toWellFormed()}…` : line;

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
  output: z.object({ outputs: z.array(z.object(outputOut)).describe('Newest first.'), ...continuation }),

  handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_outputs', args, cursor, listPosition, listStart);
    const { found, next } = store.listOutputs(args, below, args.limit, call);
    return {
      outputs: found.map(outputOf),
      ...(next && { truncated: true as const, next_cursor: encodeCursor('list_outputs', args, next) }),
    };
  },
});

export const deleteOutputs = defineTool({
  name: 'delete_outputs',
  title: 'Delete Outputs',
  description: 'Delete stored texts for good. Unknown handles are listed, not an error.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    handles: z.array(handleField).min(1).max(maxItemsPerCall).describe('Handles to delete.'),
  }),
  output: z.object({
    deleted: z.array(z.string()).describe('Deleted now.'),
    unknown: z.array(z.string()).describe('Not there.'),
  }),

  handler({ handles }, store: Store, call) {
    const deleted = store.deleteOutputs([...new Set(handles)], call);
    const gone = new Set(deleted);
    return { deleted, unknown: handles.filter((handle) => !gone.has(handle)) };
  },
});
