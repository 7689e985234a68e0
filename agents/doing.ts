/** What an agent does with a task: its steps; what a person answered; a report of a project; steps that a model makes; or a question. */
import { z } from 'zod';

import type { Log } from '#runtime/account/log.ts';

import { TaskFailure } from './failure.ts';
import { CallFailure, type Value } from './gateway.ts';
import { planOf, type Model } from './model.ts';
import { requireStep, type Deputy } from './permission.ts';
import { openPlace } from './place.ts';
import { projectSchema, reportOf, workersSchema } from './planning.ts';
import type { Values } from './references.ts';
import { onRepository } from './repository.ts';
import { checkSteps, referencesOf, runSteps, stepsSchema, type Step } from './steps.ts';
import { taskSchema, type Task } from './task.ts';

/** Of a task, whoever hands it out. */
export type Work = Omit<Task, 'lease' | 'updated_at'>;

export interface Doer extends Deputy {
  readonly capabilities: readonly string[];
  readonly model: Model | undefined;
  readonly log: Log;
}

export interface Doing {
  readonly signal: AbortSignal;
  readonly progress: (percent: number, note: string) => void;
  /** Of who waits for it. */
  readonly traceparent?: string;
}

/** What comes of it: a result, or a question to a person. */
export type Outcome = { readonly result: Value } | { readonly question: string };

export type Settled = Outcome | { readonly failure: TaskFailure };

/** @throws whatever aborted the signal. */
export async function outcomeOf(task: Work, doer: Doer, doing: Doing): Promise<Settled> {
  try {
    return await doTask(task, doer, doing);
  } catch (error) {
    doing.signal.throwIfAborted();
    if (error instanceof TaskFailure) return { failure: error };
    if (error instanceof CallFailure)
      return { failure: new TaskFailure(error.code, error.message, { retryable: error.isPassing }) };
    // A bug of ours: its words are for the log.
    doer.log.error('task_broke', { task: task.task_id, error });
    return { failure: new TaskFailure('internal', 'The agent failed; its log has the reason.') };
  }
}

/** @throws TaskFailure; CallFailure where the orchestrator refuses; whatever aborted the signal. */
async function doTask(task: Work, doer: Doer, doing: Doing): Promise<Outcome> {
  if (task.work_bytes !== undefined)
    return doTask(await whole(task, task.work_bytes, doer, doing), doer, doing);
  const { agent, model } = doer;
  const [answer] = task.answers.slice(-1);
  const { conflict, guidance = '' } = onRepository(task)?.git ?? {};
  // The same steps again would conflict again.
  if (conflict && !(answer && answer.answered_at > conflict.reported_at))
    return { question: `“${task.title}” cannot be merged. ${guidance} ${howToMend}` };
  if (task.steps && task.steps.length > 0 && !conflict)
    return stepsDone(stepsOf(task.steps), task.owner, task, doer, doing);
  if (answer) return answered(answer, task, doer, doing);
  if (task.type === 'planning' && task.project_id !== null && doer.capabilities.includes('planning'))
    return { result: { by: agent, ...(await planned(task.project_id, doer, doing)) } };
  const goal = task.goal ?? task.description;
  if (model && goal !== undefined) {
    doing.progress(0, 'asks the model for steps');
    const tools = await doer.gateway.tools(doing.signal);
    const where = onRepository(task)
      ? '\n\nWrite files below {{place.path}} alone; what changed there is committed.'
      : '';
    const wish = { title: task.title, goal: `${goal}${where}`, tools };
    const steps = await planOf(model, wish, doing.signal);
    return stepsDone(steps, task.owner, task, doer, doing);
  }
  return { question: questionOf(task, model !== undefined) };
}

const toldSchema = z.object({ task: taskSchema });

/** A task whose work was too long to come with others. @throws TaskFailure where it is too long by itself; as doTask. */
async function whole(task: Work, bytes: number, { gateway }: Doer, { signal }: Doing): Promise<Work> {
  const answer = await gateway.callPatiently('get_task', { task_id: task.task_id, max_bytes: bytes }, signal);
  const { task: told } = toldSchema.parse(answer);
  if (told.work_bytes === undefined) return told;
  throw new TaskFailure(
    'too_large',
    `What the task says has ${told.work_bytes} bytes, more than an agent reads. Put it into files, and name them.`,
  );
}

const howToAnswer =
  'Do it, and answer with what came of it, which becomes the result; or answer with steps as a JSON list, [{"tool":…,"arguments":{…}}], and an agent does them.';

const howToMend =
  'Instead of complete_task, answer this with what you did when it is committed; or answer with steps as a JSON list, which begin on the branch as it is.';

function questionOf({ title, goal }: Work, hasModel: boolean): string {
  const why = hasModel
    ? 'neither steps nor a goal'
    : `${goal === undefined ? 'no steps' : 'a goal and no steps'}, and agents have no model to make steps of it (FLOTILLA_AGENT_MODEL_URL)`;
  return `“${title}” has ${why}. ${howToAnswer}`;
}

/** A person did it, or says how it is done; what is written in their name is done in their name. */
async function answered(
  { answer, answered_by: by }: Work['answers'][number],
  task: Work,
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
  try {
    return await stepsDone(steps, by, task, doer, doing);
  } catch (error) {
    if (!(error instanceof TaskFailure) || error.retryable) throw error;
    // The same answer would fail again, however often the task is tried.
    return { question: `What ${by} answered did not do it. ${error.message.slice(0, 5_000)} ${howToAnswer}` };
  }
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
  task: Work,
  doer: Doer,
  { signal, progress, traceparent }: Doing,
): Promise<Outcome> {
  const { agent, gateway } = doer;
  const references = referencesOf(steps);
  const needs = await neededBy(references, task, doer, signal);
  const onIt = onRepository(task);
  checkSteps(steps, references, { needs: Object.keys(needs), hasPlace: onIt !== undefined });
  const reading: boolean[] = [];
  for (const { tool } of steps)
    reading.push((await requireStep(tool, wantedBy, doer, signal)).effect === 'read');
  const place = onIt && (await openPlace(onIt, doer, signal));
  const { task_id: id, title, description = '', project_id: project } = task;
  const saved = await runSteps(steps, {
    gateway,
    signal,
    reading,
    values: {
      needs,
      task: { task_id: id, title, description, project_id: project },
      ...(place && { place: place.about }),
    },
    progress,
    traceparent,
  });
  const made = await place?.keep();
  return { result: { by: agent, steps: steps.length, ...made, saved } };
}

const neededSchema = z.object({ key: z.string().optional(), result: z.unknown().optional() });

/** Results of the tasks that this one needs, by key and by id, where a step refers to one. */
async function neededBy(
  references: ReturnType<typeof referencesOf>,
  task: Work,
  { gateway }: Doer,
  signal: AbortSignal,
): Promise<Values> {
  const wanted = new Set(
    references.flat().flatMap(([name, key]) => (name === 'needs' && key !== undefined ? [key] : [])),
  );
  const needs: Record<string, unknown> = {};
  if (wanted.size === 0) return needs;
  for (const id of task.depends_on) {
    const answer = await gateway.callPatiently('get_task', { task_id: id, max_bytes: 1_100_000 }, signal);
    const { key, result = {} } = neededSchema.parse(answer['task']);
    // Up to 256 of a megabyte: only those that are referred to are kept.
    for (const name of key === undefined ? [id] : [key, id]) needs[name] = wanted.has(name) ? result : {};
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
