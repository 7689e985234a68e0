/** A worker on one stream of gRPC: what it says are calls of tools, and the tasks that it is given are claimed for it as it reads. */
import type { ErrorCode } from '#runtime/errors.ts';
import { ToolError } from '#runtime/errors.ts';
import { valueOf, type Conversation, type Outcome, type Talk } from '#runtime/service.ts';
import type { AnyTool } from '#runtime/tool.ts';

import { longestWaitMs } from './limits.ts';
import type { Orchestrator } from './orchestrator.ts';
import {
  askQuestion,
  claimTasks,
  completeTask,
  failTask,
  releaseTask,
  renewLease,
  startTask,
} from './tools/work.ts';
import { registerWorker } from './tools/workers.ts';

type Said = Readonly<Record<string, unknown>>;

/** What a worker may say of its tasks, by the names in the .proto file. */
const acts: Readonly<Record<string, AnyTool<Orchestrator>>> = {
  start: startTask,
  renew: renewLease,
  complete: completeTask,
  fail: failTask,
  release: releaseTask,
  ask: askQuestion,
};

/** Tasks come one by one: the next is claimed when this one is on its way. */
const claimWish = { most: 1, wait_seconds: longestWaitMs / 1_000 };

export const workStream: Conversation<Orchestrator> = {
  async *converse(heard, _deps, talk) {
    const messages = heard[Symbol.asyncIterator]();
    const first = await messages.next();
    if (first.done) return;
    const registered = valueOf(await talk.call(registerWorker, registration(first.value)));
    yield { registered: registered['worker'] };
    yield* working(messages, (registered['worker'] as { readonly worker: string }).worker, talk);
  },
};

/** @throws ToolError invalid_input. */
function registration({ register }: Said): Said {
  if (register !== undefined) return register as Said;
  throw new ToolError('invalid_input', 'A stream begins with register.', {
    hint: 'Send it before anything else: {register: {worker, capabilities}}.',
  });
}

/** Tells what comes first: an answer to what the worker said, or a task. Neither is begun before the last one has been taken. */
async function* working(
  messages: AsyncIterator<Said>,
  worker: string,
  { call, signal }: Talk<Orchestrator>,
): AsyncGenerator<object> {
  const end = new AbortController();
  const hear = async () => ({ said: await messages.next() });
  const claim = async () => ({
    claimed: await call(claimTasks, { worker, ...claimWish }, { signal: end.signal }),
  });
  let hearing = hear();
  let claiming = claim();
  let undelivered = true;
  try {
    while (!signal.aborted) {
      const next = await Promise.race([hearing, claiming]);
      if ('claimed' in next) {
        undelivered = false;
        for (const assigned of tasksIn(next.claimed)) yield { assigned };
        claiming = claim();
        undelivered = true;
      } else {
        if (next.said.done) return;
        yield await settled(next.said.value, call);
        hearing = hear();
      }
    }
  } finally {
    hearing.catch(() => {});
    end.abort();
    // What was claimed in the last moment is for others.
    const { claimed } = await claiming;
    if (undelivered && 'value' in claimed) await giveBack(tasksIn(claimed), call);
  }
}

interface Assigned {
  readonly task_id: string;
  readonly lease: { readonly fence: number };
}

const tasksIn = (claimed: Outcome) => valueOf(claimed)['tasks'] as readonly Assigned[];

async function giveBack(tasks: readonly Assigned[], call: Talk<Orchestrator>['call']): Promise<void> {
  for (const { task_id, lease } of tasks) await call(releaseTask, { task_id, fence: lease.fence });
}

/** What came of what a worker said of a task. */
async function settled(said: Said, call: Talk<Orchestrator>['call']): Promise<object> {
  const [act = '', args] = Object.entries(said)[0] ?? [];
  const tool = acts[act];
  if (!tool) return { refused: { act, code: 'invalid_input' satisfies ErrorCode, message: saysNothing } };
  const outcome = await call(tool, args as Said);
  if ('value' in outcome) return { settled: { act, task: outcome.value['task'] } };
  const { task_id, fence } = args as { readonly task_id?: string; readonly fence?: number };
  return { refused: { act, task_id, fence, ...outcome.failure } };
}

const saysNothing = 'Only the first message registers; later ones say how a task goes.';
