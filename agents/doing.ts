/** What an agent does with a task: its steps; what a person answered; a report of a project; steps that a model makes; or a question. */
import { z } from 'zod';

import type { TokenRecord } from '#runtime/access/tokens.ts';

import { TaskFailure } from './failure.ts';
import { CallFailure, type Gateway, type ToolInfo, type Value } from './gateway.ts';
import { knownToolMs } from './limits.ts';
import { planOf, type Model } from './model.ts';
import { notForAgent, requireMay } from './permission.ts';
import { projectSchema, reportOf, workersSchema } from './planning.ts';
import { referencesIn, type Values } from './references.ts';
import { checkSteps, handedOn, runSteps, stepsSchema, type Step } from './steps.ts';
import type { Task } from './task.ts';

export interface Doer {
  readonly agent: string;
  readonly capabilities: readonly string[];
  readonly gateway: Gateway;
  readonly model: Model | undefined;
  readonly tokens: () => readonly TokenRecord[];
  readonly now: () => number;
}

export interface Doing {
  readonly signal: AbortSignal;
  readonly progress: (percent: number, note: string) => void;
}

/** What comes of it: a result, or a question to a person. */
export type Outcome = { readonly result: Value } | { readonly question: string };

/** @throws TaskFailure; CallFailure where the orchestrator refuses; whatever aborted the signal. */
export async function doTask(task: Task, doer: Doer, doing: Doing): Promise<Outcome> {
  if (task.work_bytes !== undefined)
    throw new TaskFailure(
      'too_large',
      `What the task says has ${task.work_bytes} bytes, more than an agent reads. Put it into files, and name them.`,
    );
  const { agent, model } = doer;
  if (task.steps && task.steps.length > 0)
    return stepsDone(stepsOf(task.steps), task.owner, task, doer, doing);
  const [answer] = task.answers.slice(-1);
  if (answer) return answered(answer, task, doer, doing);
  if (task.type === 'planning' && task.project_id !== null && doer.capabilities.includes('planning'))
    return { result: { by: agent, ...(await planned(task.project_id, doer, doing)) } };
  const goal = task.goal ?? task.description;
  if (model && goal !== undefined) {
    doing.progress(0, 'asks the model for steps');
    const tools = await doer.gateway.tools(doing.signal);
    const steps = await planOf(model, { title: task.title, goal, tools }, doing.signal);
    return stepsDone(steps, task.owner, task, doer, doing);
  }
  return { question: questionOf(task, model !== undefined) };
}

const howToAnswer =
  'Do it, and answer with what came of it, which becomes the result; or answer with steps as a JSON list, [{"tool":…,"arguments":{…}}], and an agent does them.';

function questionOf({ title, goal }: Task, hasModel: boolean): string {
  const why = hasModel
    ? 'neither steps nor a goal'
    : `${goal === undefined ? 'no steps' : 'a goal and no steps'}, and agents have no model to make steps of it (FLOTILLA_AGENT_MODEL_URL)`;
  return `“${title}” has ${why}. ${howToAnswer}`;
}

/** A person did it, or says how it is done; what is written in their name is done in their name. */
async function answered(
  { answer, answered_by: by }: Task['answers'][number],
  task: Task,
  doer: Doer,
  doing: Doing,
): Promise<Outcome> {
  if (!answer.trimStart().startsWith('[')) return { result: { by, answer } };
  let steps: Step[];
  try {
    steps = stepsOf(JSON.parse(answer));
  } catch (error) {
    const { message } = error as Error;
    return {
      question: `The answer begins like a list of steps, and is none: ${message.slice(0, 1_000)} ${howToAnswer}`,
    };
  }
  return stepsDone(steps, by, task, doer, doing);
}

/** @throws TaskFailure */
function stepsOf(given: unknown): Step[] {
  const parsed = stepsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new TaskFailure(
    'invalid_steps',
    `The steps are none: ${z.prettifyError(parsed.error).slice(0, 1_000)}`,
  );
}

async function stepsDone(
  steps: readonly Step[],
  wantedBy: string,
  task: Task,
  doer: Doer,
  { signal, progress }: Doing,
): Promise<Outcome> {
  const { agent, gateway } = doer;
  const needs = await neededBy(steps, task, doer, signal);
  checkSteps(steps, Object.keys(needs));
  const tokens = doer.tokens();
  const { task_id: id, title, description = '', project_id: project } = task;
  // A task on a repository gets its branch and place here, before its first step, by tools that it may use (requireMay).
  const saved = await runSteps(steps, {
    gateway,
    signal,
    values: { needs, task: { task_id: id, title, description, project_id: project } },
    progress,
    async requireMay({ tool }) {
      const info = await knownTool(tool, doer, signal);
      requireMay(tool, info, wantedBy, tokens, doer.now());
      return { isReading: info.effect === 'read' };
    },
  });
  // Here are all steps done: what they changed in the repository of a task becomes a commit.
  return { result: { by: agent, steps: steps.length, saved: handedOn(saved) } };
}

/** What tools are, by their names; asked for again after a while, as services come and go. */
const knownTools = new WeakMap<Gateway, Map<string, { readonly info: ToolInfo; readonly atMs: number }>>();

async function knownTool(
  name: string,
  { agent, gateway, now }: Doer,
  signal: AbortSignal,
): Promise<ToolInfo> {
  const known = knownTools.getOrInsertComputed(gateway, () => new Map());
  const found = known.get(name);
  if (found && now() - found.atMs < knownToolMs) return found.info;
  try {
    const info = await gateway.tool(name, signal);
    known.set(name, { info, atMs: now() });
    return info;
  } catch (error) {
    if (error instanceof CallFailure) throw notForAgent(agent, name, error);
    throw error;
  }
}

const neededSchema = z.object({ key: z.string().optional(), result: z.unknown().optional() });

/** Results of the tasks that this one needs, by key and by id, where a step refers to one. */
async function neededBy(
  steps: readonly Step[],
  task: Task,
  { gateway }: Doer,
  signal: AbortSignal,
): Promise<Values> {
  const wanted = new Set(
    steps.flatMap(({ arguments: given }) =>
      referencesIn(given).flatMap(([name, key]) => (name === 'needs' && key !== undefined ? [key] : [])),
    ),
  );
  const needs: Record<string, unknown> = {};
  if (wanted.size === 0) return needs;
  for (const id of task.depends_on) {
    const answer = await gateway.callPatiently('get_task', { task_id: id, max_bytes: 1_100_000 }, signal);
    const { key, result = {} } = neededSchema.parse(answer['task']);
    if (key !== undefined) needs[key] = result;
    needs[id] = result;
  }
  return needs;
}

async function planned(projectId: string, { gateway }: Doer, { signal, progress }: Doing) {
  progress(10, 'reads the project');
  const { project } = await gateway.callPatiently('get_project', { project_id: projectId }, signal);
  const { workers } = await gateway.callPatiently('list_workers', { limit: 100 }, signal);
  progress(60, 'works out order and risks');
  return reportOf(projectSchema.parse(project), workersSchema.parse(workers));
}
