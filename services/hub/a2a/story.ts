/** A task as the history tells it: the messages of one correlation, in order, and how the last request was delivered. */
import type { Delivery } from '../engine/engine.ts';
import { isoOf } from '../fields.ts';
import { hubName } from '../limits.ts';
import type { AgentName, Stored } from '../message.ts';
import {
  Message,
  Role,
  TaskState,
  type Artifact,
  type Part,
  type StreamResponse,
  type Task,
} from './protocol.ts';
import { isCancel, messageIn, partsOf, updateOf, type Update } from './said.ts';

const mostHistory = 100;
const mostArtifacts = 200;
/** After so many messages of its client a task takes no more. */
export const mostTurns = 200;

const terminal: ReadonlySet<TaskState> = new Set([
  TaskState.TASK_STATE_COMPLETED,
  TaskState.TASK_STATE_FAILED,
  TaskState.TASK_STATE_CANCELED,
  TaskState.TASK_STATE_REJECTED,
]);
const interrupted: ReadonlySet<TaskState> = new Set([
  TaskState.TASK_STATE_INPUT_REQUIRED,
  TaskState.TASK_STATE_AUTH_REQUIRED,
]);

interface Status {
  readonly state: TaskState;
  readonly message: Message | undefined;
  readonly atMs: number;
}

export class Story {
  readonly id: string;
  /** Who asked. Only what is said by it, and by those that its requests were delivered to, counts. */
  readonly guest: AgentName;
  readonly owner: string;
  /** The place in the history up to which it has been heard. */
  heardSeq = 0;
  /** Of its client's last message; 0 when there is none. */
  requestSeq = 0;
  turns = 0;
  /** The last message of an agent, for the next one to answer. */
  lastSaid: string | undefined;
  readonly receivers = new Set<AgentName>();
  /** The agents that the first message named. */
  to: readonly AgentName[] = [];
  #contextId = '';
  #status: Status = { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, atMs: 0 };
  readonly #artifacts = new Map<string, Artifact>();
  readonly #history: Message[] = [];

  constructor(id: string, guest: AgentName, owner: string) {
    this.id = id;
    this.guest = guest;
    this.owner = owner;
  }

  get contextId(): string {
    return this.#contextId;
  }

  get state(): TaskState {
    return this.#status.state;
  }

  get changedMs(): number {
    return this.#status.atMs;
  }

  get hasBegun(): boolean {
    return this.turns > 0;
  }

  get isOver(): boolean {
    return terminal.has(this.state);
  }

  /** Over, or waiting for its client. */
  get rests(): boolean {
    return this.isOver || interrupted.has(this.state);
  }

  /** Whether a message is for the client: an agent may talk with others under the same correlation, and others may use it. */
  concerns({ envelope: { source, to }, owner }: Stored): boolean {
    if (this.isOver) return false;
    if (source === this.guest) return owner === this.owner;
    return (
      this.hasBegun &&
      (source === hubName || this.receivers.has(source)) &&
      (to?.includes(this.guest) ?? false)
    );
  }

  /** @returns what that changes for those who follow the task. */
  hear({ seq, envelope }: Stored, body: unknown): StreamResponse[] {
    const { source, type, timeMs, id, to } = envelope;
    if (source === this.guest) {
      if (type === 'notification' && this.hasBegun && isCancel(body))
        return [this.#become(TaskState.TASK_STATE_CANCELED, undefined, timeMs)];
      const message = type === 'request' ? messageIn(body) : undefined;
      if (!message) return [];
      if (!this.hasBegun) {
        this.#contextId = message.contextId;
        this.to = to ?? [];
      }
      this.turns += 1;
      this.requestSeq = seq;
      this.#retire();
      this.#remember(message);
      const update = this.#become(TaskState.TASK_STATE_SUBMITTED, undefined, timeMs);
      return this.turns > 1 ? [update] : [];
    }
    if (source === hubName) return type === 'error' ? [this.#refused(body, id, timeMs)] : [];
    this.lastSaid = id;
    const update = updateOf(type, body);
    return update ? this.#updated(update, id, source, timeMs) : [];
  }

  reaches(deliveries: readonly Delivery[]): void {
    for (const { agent } of deliveries) if (agent !== '') this.receivers.add(agent);
  }

  /**
   * What only the mailbox knows: that somebody has taken the last request up, or that nobody will. After all has been heard that was
   * said: an answer counts more.
   */
  settle(deliveries: readonly Delivery[]): StreamResponse[] {
    this.reaches(deliveries);
    if (this.rests || deliveries.length === 0) return [];
    const atMs = Math.max(...deliveries.map((delivery) => delivery.atMs));
    const dead = deliveries.filter(({ state }) => state === 'dead');
    if (dead.length === deliveries.length) {
      const reasons = dead.map(
        ({ agent, reason }) => `${agent === '' ? 'Nobody' : agent}: ${reason ?? 'not delivered'}`,
      );
      const message = this.#message(
        `dead-${this.requestSeq}`,
        partsOf(`Not delivered. ${reasons.join('; ')}`),
        hubName,
      );
      return [this.#become(TaskState.TASK_STATE_FAILED, message, atMs)];
    }
    const isTaken = deliveries.some(({ state, attempts }) => state === 'acknowledged' || attempts > 0);
    if (!isTaken || this.state !== TaskState.TASK_STATE_SUBMITTED) return [];
    return [this.#become(TaskState.TASK_STATE_WORKING, undefined, atMs)];
  }

  /** @param historyLength how many of the last messages; all that are kept when it is not given. */
  task(historyLength: number | undefined, withArtifacts = true): Task {
    const history =
      historyLength === undefined
        ? this.#history
        : historyLength === 0
          ? []
          : this.#history.slice(-historyLength);
    return {
      id: this.id,
      contextId: this.#contextId,
      status: this.#statusOut(),
      artifacts: withArtifacts ? [...this.#artifacts.values()] : [],
      history: [...history],
      metadata: this.receivers.size === 0 ? undefined : { agents: [...this.receivers] },
    };
  }

  #statusOut() {
    const { state, message, atMs } = this.#status;
    return { state, message, timestamp: isoOf(atMs) };
  }

  #refused(body: unknown, id: string, atMs: number): StreamResponse {
    const update = updateOf('error', body);
    const parts = update && 'parts' in update ? update.parts : partsOf('Nobody gets it.');
    return this.#become(TaskState.TASK_STATE_REJECTED, this.#message(id, parts, hubName), atMs);
  }

  #updated(update: Update, id: string, source: AgentName, atMs: number): StreamResponse[] {
    if (update.as === 'artifact') return this.#grown(update.artifact, update.append, update.isLast);
    const message = update.parts.length > 0 ? this.#message(id, update.parts, source) : undefined;
    if (update.as === 'status') return [this.#become(update.state, message, atMs)];
    const artifacts = update.artifacts.flatMap((artifact) => this.#grown(artifact, false, true));
    return [...artifacts, this.#become(TaskState.TASK_STATE_COMPLETED, message, atMs)];
  }

  #grown(artifact: Artifact, append: boolean, lastChunk: boolean): StreamResponse[] {
    const before = this.#artifacts.get(artifact.artifactId);
    if (!before && this.#artifacts.size >= mostArtifacts) return [];
    const whole = before && append ? { ...before, parts: [...before.parts, ...artifact.parts] } : artifact;
    this.#artifacts.set(artifact.artifactId, whole);
    const { id: taskId, contextId } = this;
    const value = {
      taskId,
      contextId,
      artifact,
      append: append && before !== undefined,
      lastChunk,
      metadata: undefined,
    };
    return [{ payload: { $case: 'artifactUpdate', value } }];
  }

  #become(state: TaskState, message: Message | undefined, atMs: number): StreamResponse {
    this.#retire();
    // A clock that was set back does not take a status back.
    this.#status = { state, message, atMs: Math.max(atMs, this.#status.atMs) };
    const { id: taskId, contextId } = this;
    return {
      payload: {
        $case: 'statusUpdate',
        value: { taskId, contextId, status: this.#statusOut(), metadata: undefined },
      },
    };
  }

  /** What was said with a status belongs to the history when the next one comes. */
  #retire(): void {
    const { message } = this.#status;
    if (message) this.#remember(message);
    this.#status = { ...this.#status, message: undefined };
  }

  #remember(message: Message): void {
    this.#history.push(message);
    if (this.#history.length > mostHistory) this.#history.shift();
  }

  #message(messageId: string, parts: readonly Part[], agent: AgentName): Message {
    const empty = Message.fromJSON({});
    const { id: taskId, contextId } = this;
    return {
      ...empty,
      messageId,
      taskId,
      contextId,
      role: Role.ROLE_AGENT,
      parts: [...parts],
      metadata: { agent },
    };
  }
}
