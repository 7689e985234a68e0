import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { encodingField, startPosition, tokenField, tokensOut } from '../fields.ts';
import { maxItemsPerCall, maxTextLength, requireAtMost } from '../limits.ts';
import { continued, fitting } from '#runtime/page.ts';
import { shallow } from '../tokens/messages.ts';
import type { Store } from '../store/store.ts';
import type { Tokenizer } from '../tokens/tokenizer.ts';

const tool = z.looseObject({
  name: z.string().max(1_000).describe('Its name.'),
  description: z.string().optional().describe('Its description.'),
});

const json = (value: unknown) => (value === undefined ? '' : JSON.stringify(value));

const measuredOut = z.object({
  name: z.string().describe('Name.'),
  tokens: z.int(),
  description_tokens: z.int(),
  input_schema_tokens: z.int(),
  output_schema_tokens: z.int(),
});

export const measureTools = defineTool({
  name: 'measure_tools',
  title: 'Measure Tools',
  description:
    'Count what a list of tools costs in tokens before a word is said. An estimate: clients write them for models in their own ways.',
  effect: 'read',
  hints: reading,
  input: z.object({
    tools: shallow(z.array(tool).max(maxItemsPerCall)).describe('Tools as tools/list gives them.'),
    context_window: tokenField('Tokens of the window, to see the share of it.').optional(),
    encoding: encodingField,
    limit: limitField(maxItemsPerCall, 50),
    cursor: cursorField,
  }),
  output: z.object({
    tokens: tokensOut('Tokens of all tools.'),
    share: z.number().optional().describe('Part of context_window.'),
    tools: z
      .array(toldBriefly(measuredOut, 'name'))
      .describe(
        'The most expensive first, with tokens, of these description_tokens and input_schema_tokens, and beside them output_schema_tokens, as few clients show those to models.',
      ),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const size = json(args.tools).length;
    requireAtMost(size, maxTextLength, 'Characters of tools as JSON');
    const [start] = decodeCursor('measure_tools', args, cursor, startPosition, [0]);
    const tokenizer = await store.tokenizer(args.encoding);
    const measured = await store.inTurns(call, size, measure(tokenizer, args.tools));
    const tokens = measured.reduce((sum, each) => sum + each.tokens, 0);
    const shown = fitting(
      measured
        .toSorted((a, b) => b.tokens - a.tokens)
        .slice(start, start + args.limit)
        .map((each) => ({ ...each, name: each.name.slice(0, nameShown).toWellFormed() })),
    );
    const end = start + shown.length;
    return {
      tokens,
      ...(args.context_window !== undefined && { share: tokens / args.context_window }),
      tools: shown,
      ...continued('measure_tools', args, end < measured.length ? [end] : undefined),
    };
  },
});

const nameShown = 100;

function* measure(tokenizer: Tokenizer, tools: readonly z.output<typeof tool>[]) {
  const found = [];
  for (const { name, description, ...rest } of tools) {
    const schema = rest['inputSchema'] ?? rest['input_schema'] ?? rest['parameters'];
    found.push({
      name,
      tokens: yield* tokenizer.count(json({ name, description, input_schema: schema })),
      description_tokens: yield* tokenizer.count(description ?? ''),
      input_schema_tokens: yield* tokenizer.count(json(schema)),
      output_schema_tokens: yield* tokenizer.count(json(rest['outputSchema'])),
    });
    yield;
  }
  return found;
}
