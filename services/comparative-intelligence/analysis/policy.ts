/** What another way to choose models would have earned, from decisions whose propensity was logged. */
import { ToolError } from '#runtime/errors.ts';
import {
  doublyRobust,
  inversePropensity,
  selfNormalised,
  type Logged,
  type PolicyValue,
} from '#statistics/off-policy.ts';
import { meanDifference } from '#statistics/paired.ts';

import { figure, verdictOf, type Figure, type Snapshot } from '../figure.ts';
import { minItems } from '../limits.ts';
import { chosenSources, type Reading } from '../store/reading.ts';
import { fullKey, kindOf, type Kind } from '../subject.ts';

export interface LogRow {
  readonly model: string;
  readonly propensity: number;
  readonly reward: number;
  readonly task_type?: string | undefined;
}

export interface Share {
  readonly model: string;
  readonly probability: number;
  /** For this kind of task alone. */
  readonly task_type?: string | undefined;
}

export interface PolicyRequest {
  readonly kind: Kind;
  readonly policy: readonly Share[];
  readonly taskType: string | undefined;
  readonly sources: readonly number[] | undefined;
  readonly margin: number | undefined;
  /** In place of decisions. */
  readonly log: readonly LogRow[] | undefined;
  readonly nowMs: number;
}

export interface PolicyEvaluation {
  /** Doubly robust. */
  readonly value: Figure;
  readonly self_normalised: Figure;
  readonly inverse_propensity: Figure;
  /** What the logging policy earned. */
  readonly logged: Figure;
  /** The new policy less the logging one; with the verdict. */
  readonly difference: Figure;
  readonly effective_n: number;
}

export function evaluatePolicy(reading: Reading, request: PolicyRequest): PolicyEvaluation {
  const { kind, policy, nowMs, margin } = request;
  const snapshot = reading.snapshot(nowMs);
  requireKind(kind, [...policy, ...(request.log ?? [])]);
  const chanceOf = chances(policy);
  const { rows, mix, warnings } = request.log
    ? {
        rows: request.log.map((row) => ({
          ...row,
          model: fullKey(row.model),
          taskType: row.task_type ?? '',
        })),
        mix: {},
        warnings: [],
      }
    : decisionsOf(reading, request);
  if (rows.length === 0) {
    throw new ToolError('not_found', 'There is no decision with a propensity and an outcome.', {
      hint: 'Record propensity with decisions in model-profile: recommend_model says it of every choice. Or give log.',
    });
  }
  const expected = expectations(rows);
  const log = rows.map(({ model, taskType, propensity, reward }, index): Logged => {
    const target = chanceOf(taskType);
    let expectedTarget = 0;
    for (const [name, probability] of target) expectedTarget += probability * expected(name, taskType, index);
    return {
      propensity,
      reward,
      target: target.get(model) ?? 0,
      expectedLogged: expected(model, taskType, index),
      expectedTarget,
    };
  });
  const [robust, normalised, inverse] = [doublyRobust(log), selfNormalised(log), inversePropensity(log)];
  const missing = unseen(policy, rows);
  // What was hardly ever tried cannot be told: neither its value's spread, nor whether it is better.
  const isTold = robust.effectiveN >= minItems && missing.length === 0;
  const said = (of: PolicyValue, method: string, more: readonly string[] = []): Figure =>
    figure(snapshot, {
      value: of.value,
      interval: isTold ? of.interval : undefined,
      n: of.n,
      method,
      mix,
      warnings: more,
    });
  const robustWarnings = [
    ...warnings,
    ...(robust.effectiveN < 100
      ? [
          `The log tells as much as ${robust.effectiveN.toFixed(0)} decisions of the new policy would: that is little.`,
        ]
      : []),
    ...missing,
    ...(isTold
      ? []
      : ['Neither an interval nor a verdict can be given: try the new policy more often first.']),
  ];
  const logged = meanDifference(rows.map(({ reward }) => reward));
  return {
    value: said(
      robust,
      'doubly robust; rewards expected by model and kind of task, without the decision itself',
      robustWarnings,
    ),
    self_normalised: said(normalised, 'self-normalised inverse propensity'),
    inverse_propensity: said(inverse, 'inverse propensity'),
    logged: figure(snapshot, {
      value: logged.mean,
      interval: logged.interval,
      n: rows.length,
      method: 'mean reward, t interval',
      mix,
    }),
    difference: differenceOf(log, snapshot, mix, margin, isTold),
    effective_n: Number(robust.effectiveN.toFixed(1)),
  };
}

/** @throws ToolError invalid_input for one of the other kind. */
function requireKind(kind: Kind, named: readonly { readonly model: string }[]): void {
  const foreign = named.map(({ model }) => fullKey(model)).find((model) => kindOf(model) !== kind);
  if (foreign === undefined) return;
  throw new ToolError(
    'invalid_input',
    `${foreign.slice(0, 200)} is no ${kind}: kinds are never judged together.`,
    { hint: 'Give kind, and name subjects of that kind alone.' },
  );
}

/** The difference per decision, so that what both share cancels. */
function differenceOf(
  log: readonly Logged[],
  snapshot: Snapshot,
  mix: Record<string, number>,
  margin: number | undefined,
  isTold: boolean,
): Figure {
  const differences = log.map(
    ({ propensity, target, reward, expectedLogged = 0, expectedTarget = 0 }) =>
      expectedTarget + (target / propensity) * (reward - expectedLogged) - reward,
  );
  const { mean, interval } = meanDifference(differences);
  return figure(snapshot, {
    value: mean,
    interval: isTold ? interval : undefined,
    n: log.length,
    method: 'doubly robust value less the logged reward, t interval',
    mix,
    verdict: isTold ? verdictOf(interval, log.length, { margin }) : 'inconclusive',
  });
}

/** The new policy's chances for a kind of task: those for it, or else those for all. @throws ToolError unless they sum to 1. */
function chances(policy: readonly Share[]): (taskType: string) => ReadonlyMap<string, number> {
  const tables = new Map<string, Map<string, number>>();
  for (const { model, probability, task_type: type = '' } of policy) {
    const table = tables.get(type) ?? new Map<string, number>();
    const key = fullKey(model);
    if (table.has(key))
      throw new ToolError('invalid_input', `${key} stands twice in policy for one kind of task.`);
    table.set(key, probability);
    tables.set(type, table);
  }
  for (const [type, table] of tables) {
    const sum = [...table.values()].reduce((total, probability) => total + probability, 0);
    if (Math.abs(sum - 1) > 1e-6) {
      throw new ToolError(
        'invalid_input',
        `The probabilities of policy${type && ` for ${type}`} sum to ${sum.toPrecision(6)}, not to 1.`,
        {
          hint: 'Name every model that it can choose, with its probability.',
        },
      );
    }
  }
  return (taskType) => {
    const table = tables.get(taskType) ?? tables.get('');
    if (!table) {
      throw new ToolError(
        'invalid_input',
        `policy says nothing of the task type ${JSON.stringify(taskType.slice(0, 100))}.`,
        {
          hint: 'Give entries without task_type, which hold for all others.',
        },
      );
    }
    return table;
  };
}

interface Row {
  readonly model: string;
  readonly taskType: string;
  readonly propensity: number;
  readonly reward: number;
}

function decisionsOf(reading: Reading, { kind, taskType, sources: asked }: PolicyRequest) {
  const names = reading.taskTypes();
  const keys = new Map(reading.subjects(kind).map(({ id, key }) => [id, key]));
  const usable = reading.loggedDecisions({ kind, taskType: reading.taskType(taskType) });
  const counts = new Map<number, number>();
  for (const { source } of usable) counts.set(source ?? -1, (counts.get(source ?? -1) ?? 0) + 1);
  const { places, mix, warnings } = chosenSources(
    [...counts].map(([source, n]) => ({ source, n })),
    asked,
  );
  const rows = usable
    .filter(({ source }) => places.includes(source ?? -1))
    .map(({ subject, task_type: type, propensity, outcome }): Row => ({
      model: keys.get(subject) ?? '',
      taskType: names.get(type) ?? '',
      propensity: propensity ?? 1,
      reward: outcome ?? 0,
    }));
  return { rows, mix, warnings };
}

const key = (model: string, taskType: string) => JSON.stringify([model, taskType]);

/** Mean rewards by model and kind of task, of all other decisions; what was never seen is expected to earn the overall mean. */
function expectations(rows: readonly Row[]): (model: string, taskType: string, index: number) => number {
  const sums = new Map<string, { sum: number; n: number }>();
  let total = 0;
  for (const { model, taskType, reward } of rows) {
    const entry = sums.get(key(model, taskType)) ?? { sum: 0, n: 0 };
    entry.sum += reward;
    entry.n += 1;
    sums.set(key(model, taskType), entry);
    total += reward;
  }
  const overall = total / rows.length;
  return (model, taskType, index) => {
    const entry = sums.get(key(model, taskType));
    const row = rows[index];
    const isOwn = row?.model === model && row.taskType === taskType;
    const n = (entry?.n ?? 0) - (isOwn ? 1 : 0);
    return n > 0 ? ((entry?.sum ?? 0) - (isOwn ? (row?.reward ?? 0) : 0)) / n : overall;
  };
}

/** Nothing can be known of what was never tried. */
function unseen(policy: readonly Share[], rows: readonly Row[]): string[] {
  const seen = new Set(rows.map(({ model }) => model));
  const missing = policy.filter(({ model, probability }) => probability > 0 && !seen.has(fullKey(model)));
  return missing.length === 0
    ? []
    : [
        `Never tried in the log: ${missing
          .slice(0, 5)
          .map(({ model }) => model)
          .join(', ')}. What it would have earned is a guess.`,
      ];
}
