import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { covariateNames, type RankRequest } from '../analysis/games.ts';
import type { Ranking } from '../analysis/rank.ts';
import { freshened, type Comparing } from '../comparing.ts';
import {
  figureBriefly,
  figureShape,
  judgedByField,
  kindField,
  modelsField,
  placesOf,
  seedField,
  taskTypeField,
} from '../fields.ts';
import { snapshotId } from '../figure.ts';
import { maxResamples } from '../limits.ts';
import { shortKey } from '../subject.ts';
import { verdicts } from '../vocabulary.ts';

const mostRemembered = 50;
/** Rows in one answer. */
const mostRows = 150;

const rowOut = toldBriefly(
  z.object({
    model: z.string().describe('Its key.'),
    rank: z.int().describe('1 + how many are better beyond doubt.'),
    worst_rank: z.int().describe('The worst that the intervals allow.'),
    rating: z.number().describe('Elo scale, mean 1000.'),
    ci95: z.array(z.number()).describe('95 % interval.'),
    n: z.int().describe('Games.'),
    wins: z.int().describe('Won.'),
    losses: z.int().describe('Lost.'),
    ties: z.int().describe('Tied.'),
    vs_next: z
      .object({
        difference: z.number().describe('Points above the next.'),
        ci95: z.array(z.number()).describe('95 % interval.'),
        p_adjusted: z.number().describe("Holm's, over all neighbours."),
        verdict: z.enum(verdicts).describe('Against the next.'),
      })
      .optional()
      .describe('Against the next one below.'),
  }),
  'model',
  'rank',
  'rating',
  'ci95',
  'n',
);

export const rankModels = defineTool({
  name: 'rank_models',
  title: 'Rank Models',
  description:
    'All of one kind, by Bradley-Terry ratings with intervals and the ranks these allow. From battles, or from decisions on shared items.',
  effect: 'read',
  untrusted: 'bounded',
  task: 'optional',
  timeoutMs: 120_000,
  hints: reading,
  input: z.object({
    source: z
      .enum(['battles', 'decisions'])
      .default('battles')
      .describe('battles, or decisions on shared items.'),
    kind: kindField,
    models: modelsField,
    task_type: taskTypeField,
    judged_by: judgedByField,
    ties: z
      .enum(['half', 'davidson', 'rao-kupper', 'drop'])
      .default('half')
      .describe('What a tie is; ratings of different ways are not comparable.'),
    covariates: z
      .array(z.enum(covariateNames))
      .max(covariateNames.length)
      .default([])
      .describe('Effects to take out of ratings: being shown first, being longer. Battles alone.'),
    ci: z.enum(['sandwich', 'bootstrap']).default('sandwich').describe('How intervals are made.'),
    resamples: z.int().min(50).max(maxResamples).default(200).describe('Samples of the bootstrap.'),
    seed: seedField,
    snapshot_id: z
      .string()
      .regex(/^battle:\d{1,15},change:\d{1,15}$/, 'must be the snapshot_id of an earlier answer')
      .optional()
      .describe('Repeats a ranking of battles as of then.'),
  }),
  output: toldBriefly(
    z.object({
      run_id: z.int().optional().describe('Under which it is kept, with method, seed and snapshot.'),
      rows: z.array(rowOut).describe('Highest rating first.'),
      not_shown: z.int().optional().describe(`Rows beyond the first ${mostRows}: name some in models.`),
      unranked: z
        .array(z.object({ model: z.string().describe('Its key.'), reason: z.string().describe('Why.') }))
        .describe('Those that no game connects with the others.'),
      effects: z.record(z.string(), figureBriefly('In rating points.')).describe('Of covariates.'),
      n: figureShape.n,
      method: figureShape.method,
      source_mix: figureShape.source_mix,
      as_of: figureShape.as_of,
      snapshot_id: figureShape.snapshot_id,
      warnings: figureShape.warnings,
    }),
    'rows',
    'unranked',
    'n',
    'snapshot_id',
    'warnings',
  ),
  text: (answer) => [
    `${answer.rows
      .slice(0, 10)
      .map(({ rank, model, rating, ci95 }) => `${rank}. ${shortKey(model)} ${rating} (${ci95.join(' to ')})`)
      .join('; ')}. ${answer.n} games.`,
    JSON.stringify(answer),
  ],
  async handler(args, deps: Comparing, call) {
    const { source, covariates, snapshot_id: asOf } = args;
    if (source === 'decisions' && covariates.length > 0) {
      throw new ToolError('invalid_input', 'covariates are of battles: decisions have none.');
    }
    const warnings = await freshened(deps, source, call);
    const request: RankRequest = {
      from: source,
      kind: args.kind,
      models: args.models,
      taskType: args.task_type,
      sources: placesOf(args.judged_by),
      ties: args.ties,
      covariates: [...new Set(covariates)],
      ci: args.ci,
      resamples: args.ci === 'bootstrap' ? args.resamples : 0,
      seed: args.seed,
      upTo: asOf === undefined ? undefined : Number(/^battle:(\d+),/.exec(asOf)?.[1]),
      nowMs: call.nowMs,
    };
    const { run, ranking } = await ranked(request, deps, call);
    const { rows } = ranking;
    return {
      ...(run !== undefined && { run_id: run }),
      ...ranking,
      as_of: new Date(call.nowMs).toISOString(),
      rows: rows.slice(0, mostRows),
      ...(rows.length > mostRows && { not_shown: rows.length - mostRows }),
      warnings: [...warnings, ...ranking.warnings],
    };
  },
});

/** From what is remembered of this state of the data, or computed and kept. */
async function ranked(request: RankRequest, deps: Comparing, call: Call) {
  const { store, rankings } = deps;
  const { nowMs, ...params } = request;
  const now = snapshotId(store.reading.snapshot(nowMs));
  const key = JSON.stringify([now, params]);
  const known = rankings.get(key);
  if (known) return known;
  const ranking = await store.analyse('rank', request, call);
  const run = await kept(ranking, request, deps, call);
  const entry = { run, ranking };
  if (ranking.snapshot_id === now || request.upTo !== undefined) {
    rankings.set(key, entry);
    for (const oldest of rankings.keys()) {
      if (rankings.size <= mostRemembered) break;
      rankings.delete(oldest);
    }
  }
  return entry;
}

/** A ranking is answered even where it cannot be kept, as on a full disk. */
async function kept(ranking: Ranking, { nowMs, ...params }: RankRequest, { store }: Comparing, call: Call) {
  try {
    return await store.write(
      'keepRun',
      {
        owner: call.caller,
        method: ranking.method,
        params: JSON.stringify(params),
        seed: params.seed,
        snapshot: ranking.snapshot_id,
        atMs: nowMs,
        ratings: ranking.rows.map(
          ({ model, rating, ci95: [lower = rating, upper = rating], rank, worst_rank: worst, n }) => ({
            subject: model,
            rating,
            lower,
            upper,
            rank,
            worstRank: worst,
            n,
          }),
        ),
      },
      call,
    );
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    return undefined;
  }
}
