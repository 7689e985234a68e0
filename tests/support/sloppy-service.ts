/** A service with one fault of each kind that the contract suite is to find, and what it says of them. */
import { z } from 'zod';

import type { Contract } from '#runtime/testing.ts';
import type { AnyService } from '#runtime/service.ts';
import { defineTool, type AnyTool } from '#runtime/tool.ts';

interface Notes {
  readonly all: Map<string, string>;
}

const hints = { readOnly: true, destructive: false, idempotent: true, openWorld: false };
const base = { description: 'A note.', effect: 'read' as const, hints };

const add = defineTool({
  ...base,
  effect: 'write',
  name: 'add_sloppy_note',
  title: 'Add',
  input: z.object({ id: z.string().describe('Of the note.'), text: z.string() }),
  output: z.object({}),
  handler({ id, text }, { all }: Notes) {
    // As a database says it of a key that is taken.
    if (all.has(id)) throw new Error('UNIQUE constraint failed');
    all.set(id, Buffer.from(text).toString());
    return {};
  },
});

const read = defineTool({
  ...base,
  name: 'read_sloppy_note',
  title: 'Read',
  input: z.object({ id: z.string().describe('Of the note.') }),
  output: z.object({ note: z.object({ text: z.string() }).describe('The note.') }),
  handler: ({ id }, { all }: Notes) => ({ note: { text: (all.get(id) ?? '').repeat(20_000) } }),
});

const count = defineTool({
  ...base,
  name: 'count_sloppy_words',
  title: 'Count',
  input: z.object({ ms: z.int().min(0).max(1_000).describe('How long it takes.') }),
  output: z.object({}),
  handler({ ms }) {
    const startedAt = process.threadCpuUsage();
    for (;;) {
      const { user, system } = process.threadCpuUsage(startedAt);
      if (user + system > ms * 1_000) return {};
    }
  },
});

export function sloppyService(): { service: AnyService; contract: Contract } {
  return {
    service: {
      name: 'sloppy',
      settings: z.object({}),
      tools: [add, read, count] as readonly AnyTool<never>[],
      open: () => ({ all: new Map() }),
    },
    contract: {
      listTokens: 10,
      async prepare({ foreign, call }) {
        await call('add_sloppy_note', { id: 'a', text: foreign });
        return {
          add_sloppy_note: { id: 'b', text: 'x' },
          read_sloppy_note: { id: 'a' },
          count_sloppy_words: { ms: 1 },
        };
      },
      largest: () => ({ count_sloppy_words: { ms: 1_000 } }),
    },
  };
}

export const sloppyComplaints: readonly string[] = [
  'tokens, and may cost 10',
  'it has no check',
  'it has no canary that reads',
  'add_sloppy_note: its hints do not agree with its effect, write',
  'add_sloppy_note: the argument text is not described',
  'read_sloppy_note: the output note.text is not described',
  'count_sloppy_words: holds the event loop',
  'add_sloppy_note: id of half a character is answered with ok',
  'add_sloppy_note: text of half a character is answered with ok',
  'add_sloppy_note: the first call is answered with internal',
  'add_sloppy_note: the second call is answered with internal',
  'read_sloppy_note: its answer has',
  'read_sloppy_note: gives back text of others',
  'read_sloppy_note: its answer has',
  'read_sloppy_note: gives back text of others',
];
