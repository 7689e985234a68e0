/** A worker of the orchestrator: claims tasks, does several at a time, and settles each of them once. */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import type { Log } from '#runtime/account/log.ts';

import { outcomeOf, type Doer, type Settled } from './doing.ts';
import { TaskFailure } from './failure.ts';
import { CallFailure, type Gateway } from './gateway.ts';
import { holdLease, LeaseLost } from './lease.ts';
import { claimWaitSeconds, giveBackMs, mostAnswerBytes, mostClaimedBytes, refusedMs } from './limits.ts';
import { wordsOf } from './steps.ts';
import { taskSchema, type Task } from './task.ts';

export interface Counts {
  completed: number;
  failed: number;
  asked: number;
  lost: number;
}

export interface Work extends AsyncDisposable {
  /** Ids of tasks. */
  readonly held: () => readonly string[];
  /** Why it claims nothing now; `undefined` while it does. */
  readonly trouble: () => string | undefined;
}

export interface WorkerParts extends Doer {
  readonly description: string;
  readonly mostTasks: number;
  readonly counts: Counts;
}

const claimedSchema = z.object({ tasks: z.array(taskSchema) });
const leftSchema = z.object({
  tasks: z.array(
    z.object({
      task_id: z.string(),
      status: z.string(),
      lease: z.object({ fence: z.number() }).optional(),
    }),
  ),
});

class Stopping extends Error {}

export function startWork(parts: WorkerParts): Work {
  const { agent, gateway, log } = parts;
  const stop = new AbortController();
  const held = new Map<string, Promise<void>>();
  let trouble: string | undefined = 'it is not registered at the orchestrator yet';

  /** @returns nothing where it was more than is read: then the same tasks are to be claimed one by one, and one that is too much alone has failed. */
  async function claim(most: number): Promise<readonly Task[] | undefined> {
    try {
      const answer = await gateway.call(
        'claim_tasks',
        {
          worker: agent,
          most,
          wait_seconds: claimWaitSeconds,
          max_bytes: Math.floor(mostClaimedBytes / most),
        },
        stop.signal,
      );
      return claimedSchema.parse(answer).tasks;
    } catch (error) {
      if (!(error instanceof CallFailure) || error.code !== 'too_large') throw error;
      await giveUpLeftOver(parts, held, stop.signal, most === 1 ? tooMuch : undefined);
      return undefined;
    }
  }

  async function claimOn(): Promise<void> {
    await gateway.call(
      'register_worker',
      {
        worker: agent,
        capabilities: parts.capabilities,
        most_tasks: parts.mostTasks,
        description: parts.description,
      },
      stop.signal,
    );
    await giveUpLeftOver(parts, held, stop.signal);
    trouble = undefined;
    for (let wasTooMuch = false; ;) {
      if (held.size >= parts.mostTasks) {
        await Promise.race(held.values());
        continue;
      }
      const most = wasTooMuch ? 1 : parts.mostTasks - held.size;
      const tasks = await claim(most);
      wasTooMuch = tasks === undefined;
      for (const task of tasks ?? []) {
        const work = take(task, parts, stop.signal).finally(() => held.delete(task.task_id));
        held.set(task.task_id, work);
      }
    }
  }

  /** Whatever happens to the gateway, the orchestrator or the worker's name, it is tried again. */
  async function live(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await claimOn();
      } catch (error) {
        if (stop.signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        if (trouble !== reason) log.warn('claims_nothing', { reason });
        trouble = reason;
        const isPassing = error instanceof CallFailure && (error.isPassing || error.code === 'not_found');
        await sleep(isPassing ? 1_000 : refusedMs, undefined, { signal: stop.signal }).catch(() => {});
      }
    }
  }
  const living = live();

  return {
    held: () => [...held.keys()],
    trouble: () => trouble,
    async [Symbol.asyncDispose]() {
      stop.abort(new Stopping());
      await living;
      await Promise.all(held.values());
      // A claim that was on its way may have got what was just given back.
      if (trouble === undefined)
        await giveUpLeftOver(parts, held, AbortSignal.timeout(giveBackMs)).catch((error: unknown) =>
          log.warn('left_over', { reason: (error as Error).message }),
        );
    },
  };
}

const tooMuch = {
  message: `What there is to be told of the task, with the answers of people, is more than an agent reads: ${mostAnswerBytes} bytes. Make it anew, and put long texts into files.`,
  code: 'too_large',
  retryable: false,
};

/**
 * Tasks that an earlier process of this name held, or whose claim was not understood: they need not wait for the end of their leases.
 *
 * @param error why those that have not begun fail; without one they go back.
 */
async function giveUpLeftOver(
  { agent, gateway, log }: WorkerParts,
  held: ReadonlyMap<string, unknown>,
  signal: AbortSignal,
  error?: typeof tooMuch,
): Promise<void> {
  const answer = await gateway.call(
    'list_tasks',
    { worker: agent, status: ['assigned', 'in_progress'], limit: 100 },
    signal,
  );
  for (const { task_id: id, status, lease } of leftSchema.parse(answer).tasks) {
    if (held.has(id) || !lease) continue;
    const { fence } = lease;
    log.warn('gives_up_left_over', { task: id, status });
    const ended = { message: 'The agent ended while it was at this task.', code: 'agent_ended' };
    const why = status === 'assigned' ? error : ended;
    await (
      why === undefined
        ? gateway.call('release_task', { task_id: id, fence }, signal)
        : gateway.call('fail_task', { task_id: id, fence, error: why }, signal)
    ).catch((refusal: unknown) => {
      // It was given to another meanwhile.
      if (!(refusal instanceof CallFailure) || refusal.code !== 'conflict') throw refusal;
    });
  }
}

async function take(task: Task, parts: WorkerParts, stopping: AbortSignal): Promise<void> {
  const { gateway, log, counts } = parts;
  const { task_id: id } = task;
  using lease = holdLease(task, gateway, stopping);
  log.info('task_begun', { task: id, type: task.type });
  try {
    const outcome = await outcomeOf(task, parts, lease);
    lease.keepNoMore();
    const settle = async (settled: Settled) => {
      const [tool, args, count] = settlementOf(settled);
      await gateway.callPatiently(tool, { task_id: id, fence: task.lease.fence, ...args }, stopping);
      return count;
    };
    const count = await settle(outcome).catch(async (error: unknown) => settle(notTaken(error)));
    counts[count] += 1;
    log.info('task_settled', { task: id, how: count });
  } catch (error) {
    if (stopping.aborted) await giveBack(task, gateway, log);
    else {
      counts.lost += 1;
      const reason = lease.signal.reason instanceof LeaseLost ? lease.signal.reason : error;
      log.warn('task_lost', { task: id, reason: (reason as Error).message });
    }
  }
}

/** The task is still the agent's, and would wait for the end of its lease. @throws what says that it is not. */
function notTaken(error: unknown): Settled {
  if (!(error instanceof CallFailure) || !['invalid_input', 'too_large'].includes(error.code)) throw error;
  return { failure: new TaskFailure(error.code, `What came of it was not taken. ${wordsOf(error)}`) };
}

/** As the orchestrator takes texts. */
const told = (words: string, mostLength: number) =>
  words.slice(0, mostLength).toWellFormed().replaceAll('\0', '');

function settlementOf(settled: Settled): readonly [string, object, keyof Counts] {
  if ('result' in settled) return ['complete_task', { result: settled.result }, 'completed'];
  if ('question' in settled) return ['ask_question', { question: told(settled.question, 10_000) }, 'asked'];
  const { message, code, retryable } = settled.failure;
  return ['fail_task', { error: { message: told(message, 10_000), code, retryable } }, 'failed'];
}

async function giveBack({ task_id: id, lease }: Task, gateway: Gateway, log: Log): Promise<void> {
  try {
    await gateway.call('release_task', { task_id: id, fence: lease.fence }, AbortSignal.timeout(giveBackMs));
  } catch (error) {
    // Its lease ends by itself, or the next process of this name gives it up.
    log.warn('task_not_given_back', { task: id, reason: (error as Error).message });
  }
}
