/** What a call asks for, as tasks whose dependencies are known: checked whole before anything is made. Pure. */
import { ToolError } from '#runtime/errors.ts';
import { isDeeper } from '#runtime/depth.ts';
import { hasEndlessNumber } from '#runtime/numbers.ts';
import type { Steps } from '#runtime/turns.ts';

import type { TaskSpec, Work } from './fields.ts';
import { circleIn } from './graph.ts';
import { deepest, isStorableJson } from './json-text.ts';
import { mostDependents, mostWorkBytes } from './limits.ts';

export interface PlannedTask {
  readonly spec: TaskSpec;
  /** Sorted, each once. */
  readonly requires: readonly string[];
  /** JSON; empty when there is nothing to tell beside the title. */
  readonly work: string;
  /** Places in the call of the tasks that it needs. */
  readonly needs: readonly number[];
  /** Ids of tasks that are there already. */
  readonly needsIds: readonly string[];
}

const plannedAtOnce = 50;

const isTaskId = /^t[1-9]\d{0,14}-[a-z0-9]{4}$/;

const refused = (message: string, hint: string) => new ToolError('invalid_input', message, { hint });

/** How a task is named to its sender. */
const nameOf = ({ key, title }: TaskSpec, place: number) =>
  key === undefined ? `tasks[${place}] (${title.slice(0, 60)})` : `"${key}"`;

/** @throws ToolError invalid_input for keys, dependencies or circles; too_large for what is too long. */
export function* planned(specs: readonly TaskSpec[]): Steps<readonly PlannedTask[]> {
  const placeOf = new Map<string, number>();
  for (const [place, { key }] of specs.entries()) {
    if (key === undefined) continue;
    if (placeOf.has(key))
      throw refused(`Two tasks have the key "${key}".`, 'Give each task of a call a key of its own.');
    placeOf.set(key, place);
  }
  const tasks: PlannedTask[] = [];
  for (const [place, spec] of specs.entries()) {
    if (place % plannedAtOnce === 0) yield;
    tasks.push(plannedTask(spec, place, placeOf));
  }
  requireFewDependents(tasks);
  const circle = circleIn(tasks.map(({ needs }) => needs));
  if (circle)
    throw refused(
      `These tasks wait for each other: ${roundOf(circle, specs)}.`,
      'Take one of these dependencies out.',
    );
  return tasks;
}

function plannedTask(spec: TaskSpec, place: number, placeOf: ReadonlyMap<string, number>): PlannedTask {
  const needs = new Set<number>();
  const needsIds = new Set<string>();
  for (const need of spec.depends_on) {
    const at = placeOf.get(need);
    if (at !== undefined) needs.add(at);
    else if (isTaskId.test(need)) needsIds.add(need);
    else
      throw refused(
        `${nameOf(spec, place)} depends on "${need}", which is neither a key of this call nor the id of a task.`,
        'Use the key of another task of the same call, or an id such as t12-x7k2 that list_tasks tells.',
      );
  }
  if (spec.steps?.some((step) => hasEndlessNumber(step.arguments)))
    throw refused(
      `The steps of ${nameOf(spec, place)} have a number that is too large to be one, such as 1e999.`,
      'Send numbers below 1.8e308, or send it as a text.',
    );
  if (spec.steps?.some((step) => isDeeper(step.arguments, deepest)))
    throw refused(
      `The steps of ${nameOf(spec, place)} have arguments of more than ${deepest} levels.`,
      'Put what is deeper into a text, or a file.',
    );
  const work = workOf(spec);
  if (work.length > mostWorkBytes || Buffer.byteLength(work) > mostWorkBytes)
    throw new ToolError(
      'too_large',
      `${nameOf(spec, place)} has ${Buffer.byteLength(work)} bytes of description, steps and goal; a task may have ${mostWorkBytes}.`,
      { hint: 'Put long texts where the worker finds them, such as a file, and name the place.' },
    );
  // The rest was looked at with its fields; steps may have any arguments.
  if (spec.steps !== undefined && !isStorableJson(work))
    throw refused(
      `The steps of ${nameOf(spec, place)} must be well-formed Unicode without NUL.`,
      'Encode bytes as base64.',
    );
  return {
    spec,
    requires: [...new Set(spec.requires)].toSorted(),
    work,
    needs: [...needs],
    needsIds: [...needsIds],
  };
}

function workOf({ description, steps, goal, repository, refs }: TaskSpec): string {
  const work: Work = { description, steps, goal, repository, refs };
  const text = JSON.stringify(work);
  return text === '{}' ? '' : text;
}

function requireFewDependents(tasks: readonly PlannedTask[]): void {
  const dependents = tasks.map(() => 0);
  for (const { needs } of tasks) for (const need of needs) dependents[need] = (dependents[need] ?? 0) + 1;
  const place = dependents.findIndex((count) => count > mostDependents);
  const task = tasks[place];
  if (task) throw tooManyDependents(nameOf(task.spec, place));
}

export const tooManyDependents = (name: string): ToolError =>
  new ToolError('too_large', `More than ${mostDependents} tasks would need ${name}.`, {
    hint: 'Put tasks in between: some that need it, and others that need those.',
  });

const mostShown = 8;

function roundOf(circle: readonly number[], specs: readonly TaskSpec[]): string {
  const names = circle.slice(0, mostShown).map((place) => {
    const spec = specs[place];
    return spec ? nameOf(spec, place) : '';
  });
  const last = circle.length > mostShown ? `… (${circle.length} in all)` : (names[0] ?? '');
  return [...names, last].join(' needs ');
}
