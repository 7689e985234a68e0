import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { cutAt } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { chainId } from '../fields.ts';
import { detailIn, typeNumber, types } from '../steps/step.ts';
import type { ChainRow, StoredStep } from '../store/reads.ts';
import type { Store } from '../store/store.ts';

/** Decisions that are compared: with more, the rest of a chain is not looked at for them. */
const mostDecisions = 10_000;
const mostTold = 50;
const shownLength = 500;

const side = z.object({
  model: z.string().describe('Of the chain.'),
  steps: z.int().describe('How many.'),
  share: z.looseObject({}).describe('Of each type, from 0 to 1.'),
  mean_confidence: z.number().optional().describe('As stated; says nothing of being right.'),
  stated_confidences: z.int().describe('Steps that state one.'),
});

const brief = z.object({
  type: z.string().describe('Of the step.'),
  content: z.string().describe('What was said.'),
});

const output = toldBriefly(
  z.object({
    a: side.describe('The first.'),
    b: side.describe('The second.'),
    same_steps: z.int().describe('From the start on, in type and content.'),
    divergence: z
      .object({
        position: z.int().describe('Of the first step that differs, from 1.'),
        a: brief.optional().describe('Not given where the chain has ended.'),
        b: brief.optional().describe('Likewise.'),
      })
      .optional()
      .describe('Not given for chains that are the same.'),
    decisions_shared: z.int().describe('Questions that both decided.'),
    decisions_changed: z
      .array(
        z.object({
          question: z.string().describe('The same in both, but for case and spaces.'),
          a: z.string().describe('Chosen there.'),
          b: z.string().describe('Chosen here.'),
        }),
      )
      .describe('The first of those that came out differently.'),
    decisions_changed_count: z.int().describe('All of them.'),
    decisions_left_out: z.int().optional().describe('Too many to compare.'),
  }),
  'same_steps',
  'decisions_shared',
  'decisions_changed_count',
);

export const compareChains = defineTool({
  name: 'compare_chains',
  title: 'Compare Chains',
  description:
    'Where two chains part, their mix of types, and which decisions on the same question came out differently. Counts, without a judgement which is better.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ a: chainId.describe('A chain.'), b: chainId.describe('Another.') }),
  output,
  handler: ({ a, b }, store: Store, call) =>
    store.inTurns(
      call,
      (function* () {
        const [one, other] = [store.reads.chain(call.caller, a), store.reads.chain(call.caller, b)];
        return yield* compared(store, one, other);
      })(),
    ),
});

interface Side {
  confidences: number;
  sum: number;
  leftOut: number;
  readonly decisions: Map<string, { readonly question: string; readonly chosen: string }>;
}

const decision = typeNumber('decision');

function look(into: Side, step: StoredStep): void {
  if (step.confidence !== null) {
    into.confidences += 1;
    into.sum += step.confidence;
  }
  if (step.type !== decision) return;
  const { chosen } = detailIn(step.detail);
  if (chosen === undefined) return;
  const key = step.content.replaceAll(/\s+/g, ' ').trim().toLowerCase();
  // Of a question that was decided again, the last word counts.
  if (into.decisions.has(key) || into.decisions.size < mostDecisions)
    into.decisions.set(key, { question: shown(step.content), chosen: shown(chosen) });
  else into.leftOut += 1;
}

const shown = (text: string) => {
  const end = cutAt(text, shownLength);
  return end < text.length ? `${text.slice(0, end)}…` : text;
};

function* compared(store: Store, a: ChainRow, b: ChainRow): Steps<z.input<typeof output>> {
  const sides = [a, b].map((): Side => ({ confidences: 0, sum: 0, leftOut: 0, decisions: new Map() })) as [
    Side,
    Side,
  ];
  const pages = [store.reads.steps(a), store.reads.steps(b)] as const;
  let same = 0;
  let divergence: { position: number; a?: StoredStep | undefined; b?: StoredStep | undefined } | undefined;
  for (;;) {
    const [some, others] = pages.map((page) => page.next().value ?? []) as [
      readonly StoredStep[],
      readonly StoredStep[],
    ];
    if (some.length === 0 && others.length === 0) break;
    for (let at = 0; at < Math.max(some.length, others.length); at += 1) {
      const [left, right] = [some[at], others[at]];
      if (left) look(sides[0], left);
      if (right) look(sides[1], right);
      if (divergence) continue;
      if (left && right && left.type === right.type && left.content === right.content) same += 1;
      else divergence = { position: same + 1, a: left, b: right };
    }
    yield;
  }
  const changed: { question: string; a: string; b: string }[] = [];
  let [shared, changes] = [0, 0];
  for (const [key, { question, chosen }] of sides[0].decisions) {
    const there = sides[1].decisions.get(key);
    if (!there) continue;
    shared += 1;
    if (there.chosen === chosen) continue;
    changes += 1;
    if (changed.length < mostTold) changed.push({ question, a: chosen, b: there.chosen });
  }
  const leftOut = sides[0].leftOut + sides[1].leftOut;
  return {
    a: told(a, sides[0]),
    b: told(b, sides[1]),
    same_steps: same,
    ...(divergence && {
      divergence: {
        position: divergence.position,
        ...(divergence.a && { a: briefly(divergence.a) }),
        ...(divergence.b && { b: briefly(divergence.b) }),
      },
    }),
    decisions_shared: shared,
    decisions_changed: changed,
    decisions_changed_count: changes,
    ...(leftOut > 0 && { decisions_left_out: leftOut }),
  };
}

const briefly = ({ type, content }: StoredStep) => ({ type: types[type] ?? '', content: shown(content) });

function told(chain: ChainRow, { confidences, sum }: Side) {
  const counts = [chain.n_analysis, chain.n_decision, chain.n_inference, chain.n_reflection];
  const shareOf = (count: number) =>
    chain.n_steps === 0 ? 0 : Math.round((count / chain.n_steps) * 1_000) / 1_000;
  return {
    model: chain.model,
    steps: chain.n_steps,
    share: Object.fromEntries(types.map((name, at) => [name, shareOf(counts[at] ?? 0)])),
    ...(confidences > 0 && { mean_confidence: sum / confidences }),
    stated_confidences: confidences,
  };
}
