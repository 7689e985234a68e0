/** One decision as it comes: checked by hand, since thousands come at once, with the same fields that the schema tells. */
import { isDay } from '#runtime/time.ts';

import { maxAgeMs, maxAheadMs, maxNameLength, maxTextLength, mostOf } from './limits.ts';
import type { Volume } from './store/cell.ts';
import { errorKinds, sources } from './vocabulary.ts';

export interface NewDecision extends Volume {
  readonly uid: string;
  readonly model: string;
  readonly taskType: string;
  /** `undefined`: when it came. */
  readonly atMs: number | undefined;
  readonly confidence: number | null;
  readonly outcome: number | null;
  readonly source: number | null;
  readonly errorKind: number | null;
  readonly item: string | null;
  readonly more: string | null;
}

type Told = Readonly<Record<string, unknown>>;

const text = (description: string, maxLength = maxNameLength) =>
  ({ type: 'string', description, maxLength, minLength: 1 }) as const;
const amount = (description: string, maximum: number, type = 'number') =>
  ({ type, description, minimum: 0, maximum }) as const;

/** As clients are told; `decisionOf` enforces it. */
export const decisionProperties = {
  uid: text('Your own id of it.'),
  model: text('Key of the model, from register_model.'),
  task_type: { ...text('Kind of task.'), default: 'general' },
  time: { type: 'string', description: 'ISO 8601 with offset; now if left out.' },
  chosen: text('What was decided.', maxTextLength),
  confidence: amount('Chance of success that it stated.', 1),
  outcome: amount('0 failed, 1 succeeded, or between.', 1),
  source: { type: 'string', enum: sources, description: 'Who judged the outcome.' },
  evaluator: text('Name of the judge or check.'),
  error_kind: { type: 'string', enum: errorKinds, description: 'What went wrong.' },
  cost_usd: amount('Its price.', mostOf.cost_usd),
  latency_ms: amount('Time it took.', mostOf.latency_ms),
  input_tokens: amount('Tokens read.', mostOf.tokens, 'integer'),
  output_tokens: amount('Tokens written.', mostOf.tokens, 'integer'),
  reasoning_tokens: amount('Tokens of thinking.', mostOf.tokens, 'integer'),
  request_bytes: amount('Bytes sent.', mostOf.bytes, 'integer'),
  response_bytes: amount('Bytes received.', mostOf.bytes, 'integer'),
  item_id: text('What it was about: shared items are compared in pairs.'),
  cluster_id: text('Group of dependent items.'),
  chain_id: text('Its chain of reasoning.'),
  step: amount('Step of that chain.', mostOf.tokens, 'integer'),
  policy: text('What chose this model.'),
  propensity: amount('Chance with which that chose it.', 1),
} as const satisfies Readonly<Record<string, Told>>;

type Field = keyof typeof decisionProperties;
type Fields = Readonly<Partial<Record<Field, unknown>>>;
const known = new Set<string>(Object.keys(decisionProperties));
const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/;

/** What is wrong with a decision, in words for whoever sent it. */
export class Fault extends Error {}

/** @throws Fault. */
export function decisionOf(given: unknown, nowMs: number): NewDecision {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new Fault('A decision is an object.');
  const fields = given as Fields;
  for (const name in fields)
    if (!known.has(name)) throw new Fault(`There is no field ${JSON.stringify(name.slice(0, 50))}.`);
  const outcome = numberIn(fields.outcome, 'outcome', 1);
  const source = oneIn(fields.source, 'source', sources);
  const errorKind = oneIn(fields.error_kind, 'error_kind', errorKinds);
  if (outcome !== null && source === null) throw new Fault('source is missing: say who judged the outcome.');
  if (outcome === null && source !== null) throw new Fault('source is given, and no outcome that it judged.');
  if (outcome === 1 && errorKind !== null)
    throw new Fault('error_kind is given, and the outcome is a success.');
  const uid = textIn(fields.uid, 'uid');
  const model = textIn(fields.model, 'model');
  if (uid === null) throw new Fault('uid is missing.');
  if (model === null) throw new Fault('model is missing.');
  return {
    uid,
    model,
    taskType: textIn(fields.task_type, 'task_type')?.normalize('NFC') ?? 'general',
    atMs: timeIn(fields.time, nowMs),
    confidence: numberIn(fields.confidence, 'confidence', 1),
    outcome,
    source,
    errorKind,
    costUsd: numberIn(fields.cost_usd, 'cost_usd', mostOf.cost_usd),
    latencyMs: numberIn(fields.latency_ms, 'latency_ms', mostOf.latency_ms),
    inputTokens: wholeIn(fields.input_tokens, 'input_tokens'),
    outputTokens: wholeIn(fields.output_tokens, 'output_tokens'),
    reasoningTokens: wholeIn(fields.reasoning_tokens, 'reasoning_tokens'),
    item: textIn(fields.item_id, 'item_id'),
    cluster: textIn(fields.cluster_id, 'cluster_id'),
    more: moreIn(fields),
  };
}

/** What is only given back is stored as it came, in one order. */
function moreIn(fields: Fields): string | null {
  const { chosen, evaluator, chain_id: chain, step, policy, propensity } = fields;
  const { request_bytes: sent, response_bytes: received } = fields;
  const any = chosen ?? evaluator ?? chain ?? step ?? policy ?? propensity ?? sent ?? received;
  if ((any ?? undefined) === undefined) return null;
  const more = {
    chosen: textIn(chosen, 'chosen', maxTextLength) ?? undefined,
    evaluator: textIn(evaluator, 'evaluator') ?? undefined,
    chain_id: textIn(chain, 'chain_id') ?? undefined,
    step: wholeIn(step, 'step') ?? undefined,
    policy: textIn(policy, 'policy') ?? undefined,
    propensity: numberIn(propensity, 'propensity', 1) ?? undefined,
    request_bytes: wholeIn(sent, 'request_bytes', mostOf.bytes) ?? undefined,
    response_bytes: wholeIn(received, 'response_bytes', mostOf.bytes) ?? undefined,
  };
  return JSON.stringify(more);
}

function textIn(value: unknown, name: Field, maxLength = maxNameLength): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw new Fault(`${name} must be a text.`);
  if (value.length === 0 || value.length > maxLength)
    throw new Fault(`${name} must have 1 to ${maxLength} characters.`);
  if (!value.isWellFormed() || value.includes('\0'))
    throw new Fault(`${name} must be well-formed Unicode without NUL.`);
  return value;
}

function numberIn(value: unknown, name: Field, most: number): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number' || !(value >= 0 && value <= most))
    throw new Fault(`${name} must be a number from 0 to ${most}.`);
  // Not -0, which JSON would not give back.
  return value + 0;
}

function wholeIn(value: unknown, name: Field, most: number = mostOf.tokens): number | null {
  const whole = numberIn(value, name, most);
  if (whole !== null && !Number.isInteger(whole)) throw new Fault(`${name} must be a whole number.`);
  return whole;
}

function oneIn(value: unknown, name: Field, words: readonly string[]): number | null {
  if (value === undefined || value === null) return null;
  const at = typeof value === 'string' ? words.indexOf(value) : -1;
  if (at < 0) throw new Fault(`${name} must be one of ${words.join(', ')}.`);
  return at;
}

function timeIn(value: unknown, nowMs: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  const atMs =
    typeof value === 'string' && isTime.test(value) && isDay(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(atMs)) throw new Fault('time must be like 2026-11-20T12:00:00Z, with an offset or Z.');
  if (atMs > nowMs + maxAheadMs)
    throw new Fault('time lies more than ten minutes ahead of the clock of this host.');
  if (atMs < nowMs - maxAgeMs) throw new Fault('time lies more than ten years back.');
  return atMs;
}
