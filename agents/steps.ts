/** Steps: calls of tools, one after the other, each through the gateway. */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { isDeeper } from '#runtime/depth.ts';
import { storable } from '#runtime/fields.ts';

import { TaskFailure } from './failure.ts';
import { CallFailure, type Gateway, type Value } from './gateway.ts';
import {
  beginningLength,
  deepestArguments,
  deepestHandedOn,
  firstDelayMs,
  longestDelayMs,
  mostHandedOnBytes,
  mostReferences,
  mostResultBytes,
  mostResultValues,
  mostSavedBytes,
  mostSteps,
} from './limits.ts';
import { filled, referencesIn, type Shortened, type Values } from './references.ts';

/** As the orchestrator takes them; what a model or a person writes is held to the same. */
export const stepsSchema = z
  .array(
    z.strictObject({
      tool: storable(z.string().min(1).max(200)),
      arguments: z
        .record(z.string(), z.unknown())
        .refine((given) => !isDeeper(given, deepestArguments), `must have at most ${deepestArguments} levels`)
        .default({}),
      save_as: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be a word of a-z, 0-9 and _')
        .optional(),
    }),
  )
  .min(1)
  .max(mostSteps);
export type Step = z.output<typeof stepsSchema>[number];

/** Names that references have for other things. */
const reserved: readonly string[] = ['needs', 'task', 'place'];

/** Of each step, the paths that it refers to. @throws TaskFailure */
export function referencesOf(steps: readonly Step[]): readonly ReturnType<typeof referencesIn>[] {
  const room = { left: mostReferences };
  return steps.map((step) => referencesIn(step.arguments, room));
}

/** What is wrong with steps before any of them is done; needs and saved names included. @throws TaskFailure */
export function checkSteps(
  steps: readonly Step[],
  references: ReturnType<typeof referencesOf>,
  { needs, hasPlace }: { readonly needs: readonly string[]; readonly hasPlace: boolean },
): void {
  const saved = new Set<string>();
  for (const [place, step] of steps.entries()) {
    for (const path of references[place] ?? []) {
      const [name = '', key = ''] = path;
      const isThere =
        name === 'needs'
          ? needs.includes(key)
          : name === 'task'
            ? path.length > 1
            : name === 'place'
              ? hasPlace
              : saved.has(name);
      if (isThere) continue;
      const places = hasPlace ? ['place'] : [];
      const names = ['task', ...places, ...needs.map((one) => `needs.${one}`), ...saved].join(', ');
      throw new TaskFailure(
        'invalid_reference',
        `Step ${place + 1} (${step.tool}) refers to {{${path.join('.')}}}, which nothing before it saves. It may begin with ${names}. Nothing was done.`,
      );
    }
    const { save_as: name } = step;
    if (name === undefined) continue;
    if (reserved.includes(name) || saved.has(name))
      throw new TaskFailure(
        'invalid_steps',
        `Step ${place + 1} (${step.tool}) saves as "${name}", which ${saved.has(name) ? 'an earlier step saves as' : 'has a meaning of its own'}. Choose another name. Nothing was done.`,
      );
    saved.add(name);
  }
}

export interface Running {
  readonly gateway: Gateway;
  readonly signal: AbortSignal;
  /** What references may mean besides what is saved. */
  readonly values: Values;
  /** Of each step, whether it only reads. */
  readonly reading: readonly boolean[];
  readonly progress: (percent: number, note: string) => void;
  readonly traceparent?: string | undefined;
}

/** @returns what was saved, as it is handed on. @throws TaskFailure for the first step that does not succeed. */
export async function runSteps(steps: readonly Step[], running: Running): Promise<Values> {
  const saved: Record<string, unknown> = {};
  const handOn = handingOn();
  const result: Record<string, unknown> = {};
  let savedBytes = 0;
  for (const [place, step] of steps.entries()) {
    const where = `Step ${place + 1} of ${steps.length} (${step.tool})`;
    running.progress(Math.floor((place / steps.length) * 100), where);
    const args = filled(step.arguments, { ...running.values, ...saved });
    const value = await called(step.tool, args, where, running.reading[place] ?? false, running);
    const failure = failureIn(step.tool, value);
    if (failure !== undefined) throw new TaskFailure('step_failed', `${where}: ${failure}`);
    if (step.save_as === undefined) continue;
    const text = JSON.stringify(value);
    savedBytes += text.length;
    if (savedBytes > mostSavedBytes)
      throw new TaskFailure(
        'too_large',
        `${where}: the steps save more than ${mostSavedBytes} bytes. Save less, or write files.`,
      );
    saved[step.save_as] = value;
    result[step.save_as] = handOn(value, text);
  }
  return result;
}

/** Waits for a gateway that is away. @throws TaskFailure for what the tool did not do. */
export async function called(
  tool: string,
  args: Value,
  where: string,
  isReading: boolean,
  { gateway, signal, traceparent }: Pick<Running, 'gateway' | 'signal' | 'traceparent'>,
): Promise<Value> {
  for (let delayMs = firstDelayMs; ; delayMs = Math.min(delayMs * 2, longestDelayMs)) {
    try {
      return await gateway.call(tool, args, signal, traceparent);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      // What was not sent, or changes nothing, is said again when the gateway is there.
      if (error.code === 'away' && (error.neverSent || isReading)) {
        await sleep(delayMs, undefined, { signal });
        continue;
      }
      const doubt = error.code === 'away' ? ' It may be done or not.' : '';
      throw new TaskFailure(error.code, `${where}: ${wordsOf(error)}${doubt}`, {
        retryable: error.isPassing || error.code === 'conflict',
      });
    }
  }
}

export const wordsOf = ({ message, hint }: CallFailure) =>
  hint === undefined ? message : `${message} ${hint}`;

/** What a tool answers well, and means as a failure: code that raised. */
function failureIn(tool: string, value: Value): string | undefined {
  if (tool !== 'run_python_code' || value['status'] !== 'run-error') return undefined;
  const { error = '', output = [] } = value as { readonly error?: string; readonly output?: string[] };
  return `the code failed. ${error.slice(-4_000)}\n${output.join('\n').slice(-2_000)}`.trim();
}

/** Half a surrogate pair and NUL, as JSON is written: no result may hold them. */
const unfit = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;

/**
 * As much of what was saved as a result has room for, one after the other; the rest is told by its size and beginning. What is no
 * Unicode text there, as programs print it, becomes U+FFFD.
 */
function handingOn(): (value: unknown, text: string) => unknown {
  let room = mostResultBytes;
  let values = mostResultValues;
  return (value, text) => {
    const bytes = Buffer.byteLength(text);
    if (bytes <= mostHandedOnBytes && bytes <= room && !isDeeper(value, deepestHandedOn)) {
      const count = countOf(value);
      if (count <= values) {
        room -= bytes;
        values -= count;
        return JSON.parse(text.replaceAll(unfit, '$1\ufffd'));
      }
    }
    const beginning = text
      .slice(0, Math.min(beginningLength, room / 8))
      .toWellFormed()
      .replaceAll(unfit, '$1\ufffd');
    room -= Buffer.byteLength(beginning);
    return { shortened: true, bytes, beginning } satisfies Shortened;
  };
}

/** How many values are in it, itself included. */
const countOf = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? Object.values(value).reduce<number>((sum, one) => sum + countOf(one), 1)
    : 1;
