/**
 * Long calls as tasks: the extension `io.modelcontextprotocol/tasks` (SEP-2663, specification/2026-07-28/tasks.md of ext-tasks).
 * A call that is not answered soon becomes one: its client gets a handle, may go, and asks for the result when it likes.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { ToolResult, Wire } from '../account/calls.ts';
import { taskTtlMs, type KeptTask, type TaskEnd, type TaskStore } from '../data/task-store.ts';
import { cancelled, ToolError, type ErrorCode } from '../errors.ts';
import { ProtocolResult } from '../tool.ts';

export const tasksExtension = 'io.modelcontextprotocol/tasks';

/** A call that ends within this time is answered directly. */
const soonMs = 500;
const pollIntervalMs = 1_000;
/** Tasks of one token that work side by side. They take no places of its calls, so that it can do something else meanwhile. */
const mostAtWork = 8;
/** A question that is not answered by then has failed. */
const answerMs = 600_000;
const internalError = -32_603;

type Answers = Readonly<Record<string, unknown>>;

/** What a task may be told of: the call behind it, run anew with the user's answers each time it asks. */
export interface TaskWork {
  run(wire: Wire): Promise<ToolResult | ProtocolResult>;
  /** What a handler that speaks MCP finds in `call.protocol` when it runs with these answers. */
  answered(answers: Answers, state: string | undefined): Promise<unknown>;
  /** What the account of the call says that came of it. */
  outcome(): 'ok' | ErrorCode | undefined;
}

/** A task as the protocol shows it. */
type Shown = Readonly<Record<string, unknown>> & { readonly taskId: string; readonly status: string };

/** A task of this process that has not ended, or whose end could not be stored. */
interface Live {
  readonly owner: string;
  readonly kept: KeptTask;
  readonly wire: TaskWire;
  status: 'working' | 'input_required' | TaskEnd;
  updatedMs: number;
  message: string | undefined;
  questions: ReadonlyMap<string, unknown>;
  readonly answers: Map<string, unknown>;
  resume: () => void;
  outcome: unknown;
}

export class Tasks implements AsyncDisposable {
  readonly #store: TaskStore;
  readonly #now: () => number;
  readonly #onUnstored: (error: unknown) => void;
  readonly #live = new Map<string, Live>();
  readonly #ends = new Set<Promise<void>>();
  #isClosing = false;

  constructor(store: TaskStore, now: () => number, onUnstored: (error: unknown) => void) {
    this.#store = store;
    this.#now = now;
    this.#onUnstored = onUnstored;
  }

  get working(): number {
    return this.#live.size;
  }

  /** The result of a call that ends soon, or else a task; where the token has as many tasks as it may, the result, late. */
  async begin(owner: string, base: Wire, work: TaskWork): Promise<ToolResult | ProtocolResult> {
    const wire = new TaskWire(base);
    const first = work.run(wire);
    const waited = new AbortController();
    const soon = await Promise.race([first, sleep(soonMs, undefined, { signal: waited.signal })]);
    waited.abort();
    if (soon !== undefined) return soon;
    const kept = this.#isClosing || wire.isGone ? undefined : this.#beginStored(owner);
    if (!kept) return first;

    const live: Live = {
      owner,
      kept,
      wire,
      status: 'working',
      updatedMs: kept.updatedMs,
      message: undefined,
      questions: new Map(),
      answers: new Map(),
      resume: () => {},
      outcome: undefined,
    };
    this.#live.set(kept.id, live);
    wire.detach((message) => this.#tell(live, message));
    const end = this.#follow(live, first, work);
    this.#ends.add(end);
    void end.finally(() => this.#ends.delete(end));
    return new ProtocolResult({ resultType: 'task', ...seed(kept) });
  }

  /** `undefined` where this token has no such task. */
  find(id: string, owner: string): Shown | undefined {
    const kept = this.#store.find(id, owner);
    const live = kept && this.#live.get(id);
    if (!live) return kept && { ...seed(kept), ...ended(kept.status, parsed(kept.outcome)) };
    const { status, message, questions, outcome, updatedMs } = live;
    return {
      ...seed({ ...kept, status, updatedMs }),
      ...(message !== undefined && { statusMessage: message }),
      ...(status === 'input_required' && { inputRequests: Object.fromEntries(questions) }),
      ...ended(status, outcome),
    };
  }

  /** Hands over the user's answers; what nobody asked for is passed over. @returns whether this token has such a task. */
  update(id: string, owner: string, answers: Answers): boolean {
    const kept = this.#store.find(id, owner);
    const live = this.#live.get(id);
    if (!kept || live?.status !== 'input_required') return kept !== undefined;
    const open = new Map(live.questions);
    for (const [key, answer] of Object.entries(answers)) if (open.delete(key)) live.answers.set(key, answer);
    live.questions = open;
    live.updatedMs = this.#now();
    if (open.size === 0) live.resume();
    return true;
  }

  /** Asks a task to stop, as long as it works. @returns whether this token has such a task. */
  cancel(id: string, owner: string): boolean {
    const kept = this.#store.find(id, owner);
    if (kept) this.#live.get(id)?.wire.stop();
    return kept !== undefined;
  }

  /** Stops what still works: the store says of it that it was interrupted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    for (const { wire } of this.#live.values()) wire.stop();
    await Promise.all(this.#ends);
    this.#store[Symbol.dispose]();
  }

  /** Where no row can be written, the call is answered directly, late. */
  #beginStored(owner: string): KeptTask | undefined {
    let atWork = 0;
    for (const live of this.#live.values()) if (live.owner === owner && !isEnd(live.status)) atWork += 1;
    if (atWork >= mostAtWork) return undefined;
    try {
      return this.#store.begin(owner);
    } catch (error) {
      this.#onUnstored(error);
      return undefined;
    }
  }

  #tell(live: Live, message: string): void {
    live.message = message;
    live.updatedMs = this.#now();
  }

  async #follow(live: Live, first: Promise<ToolResult | ProtocolResult>, work: TaskWork): Promise<void> {
    const { wire } = live;
    const asked = new Set<string>();
    try {
      let result = await first;
      while (result instanceof ProtocolResult) {
        // oxlint-disable-next-line no-await-in-loop -- each question waits for the answers to the one before
        result = await this.#askBack(live, result.result, asked, work);
      }
      const outcome = work.outcome();
      if (outcome === 'cancelled') this.#end(live, 'cancelled', undefined);
      else if (outcome === 'internal') this.#end(live, 'failed', brokenCall(result));
      else this.#end(live, 'completed', result);
    } catch (error) {
      if (wire.isGone) this.#end(live, 'cancelled', undefined);
      else this.#end(live, 'failed', { code: internalError, message: (error as Error).message });
    }
  }

  /** Waits until the user has answered everything, then runs the call anew. @throws when the task is stopped. */
  async #askBack(
    live: Live,
    { inputRequests = {}, requestState }: Readonly<Record<string, unknown>>,
    asked: Set<string>,
    work: TaskWork,
  ): Promise<ToolResult | ProtocolResult> {
    const { wire, answers } = live;
    const names = new Map<string, string>();
    for (const key of Object.keys(inputRequests as Answers)) {
      // No key may come again in the life of a task.
      let shown = key;
      for (let round = 2; asked.has(shown); round += 1) shown = `${key}-${round}`;
      asked.add(shown);
      names.set(shown, key);
    }
    live.questions = new Map([...names].map(([shown, key]) => [shown, (inputRequests as Answers)[key]]));
    if (names.size > 0) {
      live.status = 'input_required';
      live.updatedMs = this.#now();
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => {
          forget();
          reject(new ToolError('timeout', 'Nobody answered the question.'));
        }, answerMs);
        const forget = wire.whenGone(() => {
          clearTimeout(timer);
          reject(cancelled());
        });
        live.resume = () => {
          clearTimeout(timer);
          forget();
          resolve();
        };
      });
      live.status = 'working';
    }
    const given = Object.fromEntries([...names].map(([shown, key]) => [key, answers.get(shown)]));
    wire.protocol = await work.answered(given, requestState as string | undefined);
    return work.run(wire);
  }

  #end(live: Live, status: TaskEnd, outcome: unknown): void {
    live.status = status;
    live.outcome = outcome;
    live.updatedMs = this.#now();
    // What a stop of the process has ended is found to be interrupted when it starts again.
    if (this.#isClosing && status === 'cancelled') return;
    try {
      this.#store.end(live.kept.id, status, outcome);
      this.#live.delete(live.kept.id);
    } catch (error) {
      // It stays in memory: a restart before it is fetched loses it.
      this.#onUnstored(error);
    }
  }
}

/** The wire of a call that may become a task: its client's until then, and afterwards the task's own. */
class TaskWire implements Wire {
  readonly protocolVersion: string;
  readonly mayStream: boolean;
  protocol: unknown;
  readonly resourceUpdated: Wire['resourceUpdated'];
  readonly #acts = new Set<() => void>();
  readonly #forget: () => void;
  #leave: (() => void) | undefined;
  #isDetached = false;
  #tell: Wire['progress'];
  #isStopped = false;

  constructor(base: Wire) {
    this.protocolVersion = base.protocolVersion;
    this.mayStream = base.mayStream;
    this.protocol = base.protocol;
    this.resourceUpdated = base.resourceUpdated;
    this.#tell = base.progress;
    this.#isStopped = base.isGone;
    this.#forget = base.whenGone(() => this.stop());
  }

  get isGone(): boolean {
    return this.#isStopped;
  }

  readonly progress: Wire['progress'] = (done, total, message) => this.#tell(done, total, message);

  whenGone(act: () => void): () => void {
    this.#acts.add(act);
    return () => this.#acts.delete(act);
  }

  placed(leave: () => void): void {
    this.#leave = leave;
    if (this.#isDetached) leave();
  }

  /** The client may go, and another call of its token take the place: the task stays. */
  detach(tell: (message: string) => void): void {
    this.#isDetached = true;
    this.#forget();
    this.#leave?.();
    this.#tell = (done, total, message) => {
      const far = total === undefined ? `${done}` : `${done} of ${total}`;
      tell(message === undefined ? far : `${far}: ${message}`);
    };
  }

  stop(): void {
    this.#isStopped = true;
    for (const act of this.#acts) act();
  }
}

function seed({
  id,
  status,
  createdMs,
  updatedMs,
}: Omit<KeptTask, 'status'> & { readonly status: string }): Shown {
  return {
    taskId: id,
    status,
    createdAt: new Date(createdMs).toISOString(),
    lastUpdatedAt: new Date(updatedMs).toISOString(),
    ttlMs: taskTtlMs,
    pollIntervalMs,
  };
}

const ends: ReadonlySet<string> = new Set<TaskEnd>(['completed', 'failed', 'cancelled']);

function isEnd(status: string): boolean {
  return ends.has(status);
}

function ended(status: string, outcome: unknown): Readonly<Record<string, unknown>> {
  if (status === 'completed') return { result: { ...(outcome as ToolResult), resultType: 'complete' } };
  if (status !== 'failed') return {};
  return { error: outcome, statusMessage: (outcome as { readonly message: string }).message };
}

function parsed(outcome: string | null): unknown {
  return outcome === null ? undefined : (JSON.parse(outcome) as unknown);
}

/** A bug of ours in the words that its caller would have read: they hold the reference, and nothing else. */
function brokenCall({ content }: ToolResult): unknown {
  const [block] = content;
  return {
    code: internalError,
    message: typeof block?.['text'] === 'string' ? block['text'] : 'Internal error.',
  };
}
