/** An agent's face of gRPC: `flotilla.v1.AgentService` of proto/. */
import type { ErrorCode } from '#runtime/errors.ts';
import { valueOf, type Conversation, type GrpcFace, type Outcome, type Talk } from '#runtime/service.ts';
import type { Call } from '#runtime/tool.ts';

import { Outbox } from './outbox.ts';
import { executeTask, getAgent, getStatus, type Agent } from './tools.ts';

type Said = Readonly<Record<string, unknown>>;

const mostIdLength = 200;

/** Tells how far the task is. */
const progressTo =
  (outbox: Outbox, about: { readonly id?: string }): Call['progress'] =>
  (percent, _all, note) =>
    outbox.tell({ ...about, progress: { percent, note } });

const execution: Conversation<Agent> = {
  async *converse(heard, _agent, { call }) {
    const { value: order = {} } = await heard[Symbol.asyncIterator]().next();
    const outbox = new Outbox();
    const work = async () => {
      outbox.tell(valueOf(await call(executeTask, order, { progress: progressTo(outbox, {}) })));
    };
    yield* outbox.until(work());
  },
};

const conversation: Conversation<Agent> = {
  async *converse(heard, _agent, talk) {
    const outbox = new Outbox();
    yield* outbox.until(executeAll(heard, talk, outbox));
  },
};

/** Ends when the client has said all, and all of its tasks are settled. */
async function executeAll(heard: AsyncIterable<Said>, { call }: Talk<Agent>, outbox: Outbox): Promise<void> {
  const stops = new Map<string, AbortController>();
  const work = new Set<Promise<void>>();

  async function execute(id: string, order: Said): Promise<void> {
    const stop = new AbortController();
    stops.set(id, stop);
    const outcome = await call(executeTask, order, {
      signal: stop.signal,
      progress: progressTo(outbox, { id }),
    });
    stops.delete(id);
    outbox.tell({ id, ...toldOf(outcome) });
  }

  function take({ id = '', execute: order, cancel }: Said): void {
    const about = String(id);
    const stop = stops.get(about);
    const refuse = (code: ErrorCode, message: string) =>
      outbox.tell({ id: about, ...toldOf({ failure: { code, message, hint: undefined } }) });
    if (about === '' || about.length > mostIdLength)
      refuse('invalid_input', `Give each task an id of up to ${mostIdLength} characters.`);
    else if (order !== undefined && stop)
      refuse('conflict', 'A task with this id is at work: give it another.');
    else if (order !== undefined) {
      const one = execute(about, order as Said);
      work.add(one);
      // What breaks stays, and is thrown at the end.
      one.then(
        () => work.delete(one),
        () => {},
      );
    } else if (cancel === undefined) refuse('invalid_input', 'Say execute or cancel.');
    else if (stop) stop.abort();
    else refuse('not_found', 'No task with this id is at work.');
  }

  try {
    for await (const said of heard) {
      take(said);
      // Who does not read is not listened to.
      await outbox.told();
    }
  } catch (error) {
    // It may take long until the client has read that the conversation is over.
    for (const stop of stops.values()) stop.abort();
    throw error;
  }
  await Promise.all(work);
}

/** What came of a task, or why it was not begun, in the words of the .proto file. */
function toldOf(outcome: Outcome): Said {
  if ('value' in outcome) return outcome.value;
  const { code, message, hint } = outcome.failure;
  const retryable = code === 'unavailable' || code === 'timeout';
  return { failure: { code, message: hint === undefined ? message : `${message} ${hint}`, retryable } };
}

export const agentFace: GrpcFace<Agent> = {
  service: 'flotilla.v1.AgentService',
  protos: new URL('../proto/flotilla.json', import.meta.url),
  methods: {
    GetAgent: getAgent,
    GetStatus: getStatus,
    ExecuteTask: execution,
    Converse: conversation,
  },
};
