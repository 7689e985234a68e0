import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { instantField, instantForm } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';

import { attrs, chainId, chainOutput, seqField, shortText } from '../fields.ts';
import { defaultSteps, maxGoalLength, maxSteps } from '../limits.ts';
import type { ChainRow } from '../store/reads.ts';
import type { Store } from '../store/store.ts';
import { chainView, evaluationView, shownStep } from '../steps/view.ts';

export const startChain = defineTool({
  name: 'start_chain',
  title: 'Start Chain',
  description:
    'Begin to keep what a model states while it works; the steps follow with the capture tools. Its chain_id can serve as trace id.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    model: shortText('Name of the model that reasons.'),
    provider: shortText('Who serves it.').optional(),
    version: shortText('Of the model.').optional(),
    effort: shortText('Of reasoning, as the model was told.').optional(),
    prompt_hash: shortText('Tells prompts apart.').optional(),
    agent: shortText('Name of the agent.').optional(),
    goal: storable(z.string().max(maxGoalLength)).optional().describe('What is to be reached.'),
    parent_chain: chainId.optional().describe('The chain that this one is a part of.'),
    chain_id: chainId.optional().describe('A trace id to use; a new one unless given.'),
    attrs,
  }),
  output: z.object({
    chain_id: z.string().describe('For the steps.'),
    durable: z.literal(true).describe('It is on disk.'),
  }),
  async handler({ parent_chain: parent, chain_id: uid, attrs: given, ...facts }, store: Store, call) {
    const told = { ...facts, session: call.session, attrs: given && JSON.stringify(given) };
    return { chain_id: await store.start(call, told, parent, uid), durable: true as const };
  },
});

export const endChain = defineTool({
  name: 'end_chain',
  title: 'End Chain',
  description: 'Close a chain: no step can be added any more.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    chain_id: chainId,
    status: z.enum(['completed', 'failed', 'abandoned']).default('completed').describe('How it ended.'),
    outcome: z
      .strictObject({
        name: shortText('What is judged.').default('outcome'),
        value: z.number().optional().describe('A score.'),
        label: shortText('A verdict in a word.').optional(),
        explanation: storable(z.string().max(maxGoalLength)).optional().describe('Why.'),
        source: shortText('Who judged: ground_truth, code, human, llm_judge.').optional(),
      })
      .optional()
      .describe('How good it was, if somebody judged.'),
  }),
  output: z.object({
    chain_id: z.string().describe('The chain.'),
    steps: z.int().describe('How many it has.'),
    durable: z.literal(true).describe('It is on disk.'),
  }),
  async handler({ chain_id: uid, status, outcome }, store: Store, call) {
    const { steps } = await store.end(call, uid, status, outcome);
    return { chain_id: uid, steps, durable: true as const };
  },
});

export const getReasoningChain = defineTool({
  name: 'get_reasoning_chain',
  title: 'Get Reasoning Chain',
  description:
    'Read a chain, a page of steps at a time. Steps are what the model said, which need not be what caused its answer.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    chain_id: chainId,
    from_seq: seqField.default(1).describe('First step.'),
    limit: limitField(maxSteps, defaultSteps).describe('Most steps.'),
  }),
  output: z.object({
    chain: chainOutput.describe('The chain.'),
    evaluations: z.array(z.looseObject({})).optional().describe('How it was judged.'),
    parts: z.array(z.string()).optional().describe('Chains that are parts of it.'),
    steps: z.array(z.looseObject({})).describe('In their order: seq, type, content, and what else there is.'),
    truncated: continuation.truncated,
    next_seq: z.int().optional().describe('Pass as from_seq to go on.'),
  }),
  handler: ({ chain_id: uid, from_seq: from, limit }, store: Store, { caller }) =>
    store.read(() => {
      const chain = store.reads.chain(caller, uid);
      const rows = store.reads.stepsAfter(chain.id, from - 1, limit);
      const steps = fitting(rows.map(shownStep));
      const next = steps.length < rows.length ? rows[steps.length]?.seq : nextAfter(chain, rows.at(-1)?.seq);
      const evaluations = from === 1 ? store.reads.evaluations(chain, 20).map(evaluationView) : [];
      const parts = from === 1 ? store.reads.parts(caller, chain, 20).map((part) => part.uid) : [];
      return {
        chain: chainView(chain),
        ...(evaluations.length > 0 && { evaluations }),
        ...(parts.length > 0 && { parts }),
        steps,
        ...(next !== undefined && { truncated: true as const, next_seq: next }),
      };
    }),
});

const nextAfter = ({ last_seq: last }: ChainRow, seq: number | undefined) =>
  seq !== undefined && seq < last ? seq + 1 : undefined;

export const listChains = defineTool({
  name: 'list_chains',
  title: 'List Chains',
  description: 'List the chains of your token, the newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    model: shortText('Only of this model.').optional(),
    agent: shortText('Only of this agent.').optional(),
    status: z.enum(['open', 'completed', 'failed', 'abandoned']).optional().describe('Only these.'),
    parent_chain: chainId.optional().describe('Only parts of this chain.'),
    since: instantField(`Begun at or after: ${instantForm}.`).optional(),
    until: instantField('Begun before.').optional(),
    limit: limitField(200, 20).describe('Most chains.'),
    cursor: cursorField,
  }),
  output: z.object({ chains: z.array(chainOutput).describe('Without their steps.'), ...continuation }),
  async handler({ cursor, ...args }, store: Store, call) {
    const [before] = decodeCursor('list_chains', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
    const { since, until, limit, ...filter } = args;
    const found = await store.inTurns(
      call,
      (function* () {
        const rows: ChainRow[] = [];
        const sinceUs = since === undefined ? undefined : Date.parse(since) * 1_000;
        const untilUs = until === undefined ? undefined : Date.parse(until) * 1_000;
        for (const some of store.reads.chains(call.caller, { ...filter, sinceUs, untilUs }, before)) {
          rows.push(...some);
          if (rows.length > limit) break;
          yield;
        }
        return rows;
      })(),
    );
    const chains = fitting(found.slice(0, limit).map(chainView));
    const last = found[chains.length - 1];
    const hasMore = last !== undefined && chains.length < found.length;
    return { chains, ...continued('list_chains', args, hasMore ? [last.id] : undefined) };
  },
});

const position = z.tuple([z.int().min(0)]);
