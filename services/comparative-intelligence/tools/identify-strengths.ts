import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { freshened, type Comparing } from '../comparing.ts';
import {
  figureBriefly,
  figureOut,
  judgedByField,
  lineOf,
  marginField,
  modelField,
  placesOf,
  sourceField,
} from '../fields.ts';

/** Kinds of tasks without a finding that one answer names. */
const mostOthers = 30;

const taskShape = figureOut.extend({
  task_type: z.string().describe('Kind of task.'),
  p_value: z.number().describe('Of this one alone.'),
  p_adjusted: z.number().describe('By Benjamini-Hochberg, over all kinds.'),
});
const taskOut = toldBriefly(taskShape, 'task_type', 'value', 'ci95', 'n', 'p_adjusted');
const taskBriefly = toldBriefly(taskShape, 'task_type');

export const identifyStrengths = defineTool({
  name: 'identify_strengths',
  title: 'Identify Strengths and Weaknesses',
  description:
    'At which kinds of tasks a model is better or worse than the others, after adjusting for how many were tested, and whether its confidence is right as often as it says.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    model: modelField('Key of a model, or client:NAME.'),
    source: sourceField,
    judged_by: judgedByField,
    alpha: z.number().min(1e-6).max(0.5).default(0.05).describe('Expected share of false findings.'),
    margin: marginField,
  }),
  output: z.object({
    model: z.string().describe('Its key.'),
    overall: toldBriefly(figureOut, 'value', 'ci95', 'warnings').describe('All kinds of tasks together.'),
    strengths: z.array(taskOut).describe('Better, largest difference first.'),
    weaknesses: z.array(taskBriefly).describe('Worse, likewise.'),
    others: z.array(taskBriefly).describe('Equivalent or inconclusive, with needed_n.'),
    not_shown: z.int().optional().describe('Of others.'),
    confidence_gap: figureBriefly('Mean confidence less success: above 0 is over-confident.').optional(),
  }),
  text: (answer) => [
    `${lineOf(answer.overall, 'Overall')} Better at: ${answer.strengths.map(({ task_type: type }) => type).join(', ') || 'nothing shown'}. Worse at: ${answer.weaknesses.map(({ task_type: type }) => type).join(', ') || 'nothing shown'}.`,
    JSON.stringify(answer),
  ],
  async handler({ model, source, judged_by: judgedBy, alpha, margin }, deps: Comparing, call) {
    const warnings = await freshened(deps, source, call);
    const {
      key,
      overall,
      strengths,
      weaknesses,
      others,
      confidence_gap: gap,
    } = await deps.store.analyse(
      'strengths',
      { model, from: source, sources: placesOf(judgedBy), alpha, margin, nowMs: call.nowMs },
      call,
    );
    return {
      model: key,
      overall: { ...overall, warnings: [...warnings, ...overall.warnings] },
      strengths: strengths.slice(0, mostOthers),
      weaknesses: weaknesses.slice(0, mostOthers),
      others: others.slice(0, mostOthers),
      ...(others.length > mostOthers && { not_shown: others.length - mostOthers }),
      ...(gap && { confidence_gap: gap }),
    };
  },
});
