import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { counted, countedBy, encodingField, tokenField, tokensOut } from '../fields.ts';
import { maxItemsPerCall, maxTextLength, requireAtMost } from '../limits.ts';
import { shallow } from '../tokens/messages.ts';
import type { Store } from '../store/store.ts';

const tool = z.looseObject({
  name: z.string().max(1_000).describe('Its name.'),
  description: z.string().optional().describe('Its description.'),
});

const json = (value: unknown) => (value === undefined ? '' : JSON.stringify(value));

export const measureTools = defineTool({
  name: 'measure_tools',
  title: 'Measure Tools',
  description:
    'Count what a list of tools costs in tokens before a word is said: name, description and input schema as models get them. Pass the tools of a tools/list answer; no address is called.',
  effect: 'read',
  hints: reading,
  input: z.object({
    tools: shallow(z.array(tool).max(maxItemsPerCall)).describe('Tools as tools/list gives them.'),
    context_window: tokenField('Tokens of the window that the share is of.').optional(),
    encoding: encodingField,
    limit: limitField(maxItemsPerCall, 50),
    cursor: cursorField,
  }),
  output: z.object({
    tokens: tokensOut('Tokens of all tools.'),
    share: z.number().optional().describe('Of context_window.'),
    tools: z
      .array(
        z.object({
          name: z.string().describe('Name.'),
          tokens: tokensOut('Tokens of name, description and input schema.'),
          description_tokens: tokensOut('Of its description.'),
          input_schema_tokens: tokensOut('Of its input schema.'),
          output_schema_tokens: tokensOut(
            'Of its output schema, which most clients keep from the model; not in tokens.',
          ),
        }),
      )
      .describe('The most expensive first.'),
    ...counted,
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    requireAtMost(json(args.tools).length, maxTextLength, 'Characters of tools as JSON');
    const [start] = decodeCursor('measure_tools', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const tokenizer = await store.tokenizer(args.encoding);
    const measured = await store.inTurns(
      call,
      (function* () {
        const found = [];
        for (const { name, description, ...rest } of args.tools) {
          const schema = rest['inputSchema'] ?? rest['input_schema'] ?? rest['parameters'];
          found.push({
            name,
            tokens: yield* tokenizer.count(json({ name, description, input_schema: schema })),
            description_tokens: yield* tokenizer.count(description ?? ''),
            input_schema_tokens: yield* tokenizer.count(json(schema)),
            output_schema_tokens: yield* tokenizer.count(json(rest['outputSchema'])),
          });
        }
        return found;
      })(),
    );
    const tokens = measured.reduce((sum, each) => sum + each.tokens, 0);
    const end = start + args.limit;
    return {
      tokens,
      ...(args.context_window !== undefined && { share: tokens / args.context_window }),
      tools: measured.toSorted((a, b) => b.tokens - a.tokens).slice(start, end),
      // How a client writes tools for its model is its own.
      encoding: countedBy(tokenizer).encoding,
      exact: false,
      ...(end < measured.length && {
        truncated: true as const,
        next_cursor: encodeCursor('measure_tools', args, [end]),
      }),
    };
  },
});
