import { join } from 'node:path';

import { z } from 'zod';

import { quotaField, quotaOf } from '#runtime/quotas.ts';
import { defineService } from '#runtime/service.ts';
import type { AnyTool } from '#runtime/tool.ts';
import { skillBeside } from '#runtime/skill.ts';

import { maxTextLength } from './limits.ts';
import { prompts } from './prompts.ts';
import { resources } from './resources.ts';
import { openStore, type Store } from './store/store.ts';
import { checkBudget, consumeBudget, deleteBudgets, listBudgets, setBudget } from './tools/budgets.ts';
import { compactMessages } from './tools/compact-messages.ts';
import { compressOutput } from './tools/compress-output.ts';
import { countTokens } from './tools/count-tokens.ts';
import { acceptHandoff, createHandoff, deleteHandoffs, listHandoffs, readHandoff } from './tools/handoffs.ts';
import { measureTools } from './tools/measure-tools.ts';
import { deleteOutputs, grepOutput, listOutputs, readOutput, storeOutput } from './tools/outputs.ts';
import { assembleContext, dedupe, rankPassages } from './tools/passages.ts';
import { chunkText, truncateToBudget } from './tools/shorten-text.ts';
import {
  deleteSnapshot,
  diffSnapshots,
  listSnapshots,
  restoreSnapshot,
  saveSnapshot,
} from './tools/snapshots.ts';

/** What a conversation needs to stay within its window and to be handed over. */
export const coreTools: readonly AnyTool<Store>[] = [
  countTokens,
  truncateToBudget,
  assembleContext,
  compactMessages,
  compressOutput,
  storeOutput,
  readOutput,
  grepOutput,
  createHandoff,
  readHandoff,
  acceptHandoff,
  listHandoffs,
];

export const allTools: readonly AnyTool<Store>[] = [
  ...coreTools,
  deleteHandoffs,
  setBudget,
  checkBudget,
  consumeBudget,
  listBudgets,
  deleteBudgets,
  chunkText,
  dedupe,
  rankPassages,
  listOutputs,
  deleteOutputs,
  saveSnapshot,
  listSnapshots,
  diffSnapshots,
  restoreSnapshot,
  deleteSnapshot,
  measureTools,
];

export default defineService({
  name: 'context',
  settings: z.object({
    FLOTILLA_CONTEXT_TOOLS: z
      .enum(['core', 'full'])
      .default('full')
      .describe('Which tools to offer: core (counting, shortening, outputs, handoffs) or full.'),
    FLOTILLA_CONTEXT_QUOTA_MB: quotaField(
      256,
      'Megabytes that each token may keep on disk, of the 1,024 for all together.',
    ),
    FLOTILLA_CONTEXT_QUOTA_ITEMS: quotaField(
      50_000,
      'Outputs, snapshots, handoffs and budgets that each token may keep, all together.',
    ),
  }),
  skill: skillBeside(import.meta.url),
  instructions:
    'Keeps conversations within their token budgets: counts, shortens and packs texts, puts long outputs aside under handles, saves snapshots and hands work over. What is left out of an answer can be read by its handle.',
  // The longest text that is taken, in the script and the spelling that take the most bytes, and what surrounds it.
  maxBodyBytes: 6 * maxTextLength + 1_048_576,
  tools: allTools,
  canary: { tool: 'count_tokens', arguments: { text: 'canary' } },
  core: coreTools,
  offers: (tool, { FLOTILLA_CONTEXT_TOOLS: choice }) => choice === 'full' || coreTools.includes(tool),
  resources,
  prompts,
  open: ({ dataDir, settings }) =>
    openStore(
      join(dataDir, 'context.db'),
      quotaOf(settings.FLOTILLA_CONTEXT_QUOTA_MB, settings.FLOTILLA_CONTEXT_QUOTA_ITEMS),
    ),
  check(store) {
    store.probe();
    return { ready: true, reasons: [] };
  },
  kept: (store) => store.kept(),
  describe: (store) => ({ holdings: store.holdings() }),
});
