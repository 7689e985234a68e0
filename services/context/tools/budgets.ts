import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  deletedOut,
  encodingField,
  nameField,
  notFoundOut,
  textField,
  tokenField,
  tokensOut,
} from '../fields.ts';
import { maxItemsPerCall, maxTextLength, maxTokens, requireAtMost } from '../limits.ts';
import { continued, fitting } from '#runtime/page.ts';
import type { Store } from '../store/store.ts';

const budgetId = nameField('Name of the budget; clients with the same token share it.');

const budgetOut = {
  limit: tokensOut('Tokens in all.'),
  consumed: tokensOut('Gone.'),
  remaining: tokensOut('Left.'),
  uses: z.int().describe('How often.'),
};

const budgetOf = (row: ReturnType<Store['budgets']['get']>) => ({
  limit: row.token_limit,
  consumed: row.consumed,
  remaining: row.token_limit - row.consumed,
  uses: row.uses,
});

export const setBudget = defineTool({
  name: 'set_budget',
  title: 'Set Token Budget',
  description:
    'Create a token budget, or change its limit; what was consumed stays unless reset. Forgotten 30 days after its last use.',
  effect: 'write',
  hints: replacing,
  input: z.object({
    budget_id: budgetId,
    limit: tokenField('Tokens that may be consumed in all.'),
    reset: z.boolean().default(false).describe('Begin again with nothing consumed.'),
  }),
  output: z.object(budgetOut),

  handler: ({ budget_id: id, limit, reset }, store: Store, call) =>
    budgetOf(store.budgets.set(id, limit, reset, call)),
});

const amount = {
  tokens: z.int().min(0).max(maxTokens).optional().describe('How many tokens.'),
  text: textField('Instead of tokens: a text to count.').optional(),
  encoding: encodingField,
};

export const checkBudget = defineTool({
  name: 'check_budget',
  title: 'Check Token Budget',
  description: 'See what is left of a budget, and whether tokens or a text would fit. Consumes nothing.',
  effect: 'read',
  hints: reading,
  input: z.object({ budget_id: budgetId, ...amount }),
  output: z.object({
    ...budgetOut,
    asked: tokensOut('Tokens asked about.'),
    fits: z.boolean().describe('Whether those fit.'),
  }),

  async handler(args, store: Store, call) {
    const asked = await tokensOf(args, store, call);
    const budget = budgetOf(store.budgets.get(args.budget_id, call));
    return { ...budget, asked, fits: asked <= budget.remaining };
  },
});

export const consumeBudget = defineTool({
  name: 'consume_budget',
  title: 'Consume Token Budget',
  description: 'Take tokens, or those of a text, from a budget. Refused as a whole when they do not fit.',
  effect: 'write',
  hints: adding,
  input: z.object({ budget_id: budgetId, ...amount }),
  output: z.object({ ...budgetOut, asked: tokensOut('Tokens consumed now.') }),

  async handler(args, store: Store, call) {
    if (args.tokens === undefined && args.text === undefined) {
      throw new ToolError('invalid_input', 'Give either tokens or text.');
    }
    const asked = await tokensOf(args, store, call);
    return { ...budgetOf(store.budgets.consume(args.budget_id, asked, call)), asked };
  },
});

export const listBudgets = defineTool({
  name: 'list_budgets',
  title: 'List Token Budgets',
  description: 'List your budgets by name.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField(500, 50), cursor: cursorField }),
  output: z.object({
    budgets: z
      .array(toldBriefly(z.object({ budget_id: z.string().describe('Name.'), ...budgetOut }), 'budget_id'))
      .describe('With limit, consumed, remaining and uses.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store, call) {
    const [after] = decodeCursor('list_budgets', args, cursor, z.tuple([z.string()]), ['']);
    const rows = store.budgets.list(after, args.limit + 1, call);
    const budgets = fitting(
      rows.slice(0, args.limit).map((row) => ({ budget_id: row.name, ...budgetOf(row) })),
    );
    const last = budgets.length < rows.length ? budgets.at(-1) : undefined;
    return { budgets, ...continued('list_budgets', args, last && [last.budget_id]) };
  },
});

export const deleteBudgets = defineTool({
  name: 'delete_budgets',
  title: 'Delete Token Budgets',
  description: 'Delete budgets for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    budget_ids: z.array(nameField('Name.')).min(1).max(maxItemsPerCall).describe('Their names.'),
  }),
  output: z.object({ deleted: deletedOut, not_found: notFoundOut }),

  handler({ budget_ids: ids }, store: Store, call) {
    const asked = [...new Set(ids)];
    const deleted = new Set(store.budgets.delete(asked, call));
    return { deleted: deleted.size, not_found: asked.filter((id) => !deleted.has(id)) };
  },
});

async function tokensOf(
  { tokens, text, encoding }: z.output<z.ZodObject<typeof amount>>,
  store: Store,
  call: Parameters<Store['count']>[2],
): Promise<number> {
  if (text === undefined) return tokens ?? 0;
  if (tokens !== undefined) throw new ToolError('invalid_input', 'Give either tokens or text.');
  requireAtMost(text.length, maxTextLength, 'Characters to count');
  return store.count(encoding, text, call);
}
