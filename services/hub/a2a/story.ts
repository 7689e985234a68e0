/** A task as the history tells it: the messages of one correlation, in order, and how the last request was delivered. */
import type { Delivery } from '../engine/engine.ts';
import { isoOf } from '../fields.ts';
import { hubName, megabyte } from '../limits.ts';
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
import { elsewhere, isCancel, messageIn, partsOf, updateOf, type Update } from './said.ts';

const mostHistory = 100;
const mostHistoryBytes = megabyte;
const mostArtifacts = 200;
/** What is more is told by where it is. */
const mostArtifactBytes = 2 * megabyte;
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
  /** Of the body that the message came in. */
  readonly bytes: number;
}

/** Where a message stands, and how long it is. */
interface Origin {
  readonly id: string;
  readonly source: AgentName;
  readonly atMs: number;
  readonly bytes: number;
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
  #status: Status = { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, atMs: 0, bytes: 0 };
  readonly #artifacts = new Map<string, Artifact>();
  #artifactBytes = 0;
  readonly #history: { readonly message: Message; readonly bytes: number }[] = [];
  #historyBytes = 0;

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

  /** About what its answer takes. */
  get bytes(): number {
    return this.#historyBytes + this.#artifactBytes;
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
  hear({ seq, envelope, body: { sizeBytes } }: Stored, body: unknown): StreamResponse[] {
    const { source, type, timeMs, id, to } = envelope;
    if (source === this.guest) {
      if (type === 'notification' && this.hasBegun && isCancel(body))
        return [this.#become(TaskState.TASK_STATE_CANCELED, timeMs)];
      const message = type === 'request' ? messageIn(body) : undefined;
      if (!message) return [];
      if (!this.hasBegun) {
        this.#contextId = message.contextId;
        this.to = to ?? [];
      }
      this.turns += 1;
      this.requestSeq = seq;
      this.#retire();
      this.#remember(message, sizeBytes);
      const update = this.#become(TaskState.TASK_STATE_SUBMITTED, timeMs);
      return this.turns > 1 ? [update] : [];
    }
    if (source === hubName)
      return type === 'error' ? [this.#refused(body, { id, source, atMs: timeMs, bytes: sizeBytes })] : [];
    this.lastSaid = id;
    const update = updateOf(type, body);
    return update ? this.#updated(update, { id, source, atMs: timeMs, bytes: sizeBytes }) : [];
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
      return [this.#become(TaskState.TASK_STATE_FAILED, atMs, message)];
    }
    const isTaken = deliveries.some(({ state, attempts }) => state === 'acknowledged' || attempts > 0);
    if (!isTaken || this.state !== TaskState.TASK_STATE_SUBMITTED) return [];
    return [this.#become(TaskState.TASK_STATE_WORKING, atMs)];
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
      history: history.map(({ message }) => message),
      metadata: this.receivers.size === 0 ? undefined : { agents: [...this.receivers] },
    };
  }

  /** Lets go of what was told: who follows a task needs what comes next. */
  forget(): void {
    this.#history.length = 0;
    this.#historyBytes = 0;
    for (const { parts } of this.#artifacts.values()) parts.length = 0;
  }

  #statusOut() {
    const { state, message, atMs } = this.#status;
    return { state, message, timestamp: isoOf(atMs) };
  }

  #refused(body: unknown, { id, atMs, bytes }: Origin): StreamResponse {
    const update = updateOf('error', body);
    const parts = update && 'parts' in update ? update.parts : partsOf('Nobody gets it.');
    return this.#become(TaskState.TASK_STATE_REJECTED, atMs, this.#message(id, parts, hubName), bytes);
  }

  #updated(update: Update, origin: Origin): StreamResponse[] {
    const { id, source, atMs, bytes } = origin;
    if (update.as === 'artifact')
      return this.#grown([update.artifact], origin, { append: update.append, lastChunk: update.isLast });
    const message = update.parts.length > 0 ? this.#message(id, update.parts, source) : undefined;
    if (update.as === 'status') return [this.#become(update.state, atMs, message, bytes)];
    const artifacts = this.#grown(update.artifacts, origin, { append: false, lastChunk: true });
    return [...artifacts, this.#become(TaskState.TASK_STATE_COMPLETED, atMs, message)];
  }

  #grown(
    artifacts: readonly Artifact[],
    { id, source, bytes }: Origin,
    chunk: { readonly append: boolean; readonly lastChunk: boolean },
  ): StreamResponse[] {
    const isTooMuch = this.#artifactBytes + bytes > mostArtifactBytes;
    if (!isTooMuch) this.#artifactBytes += bytes;
    const { id: taskId, contextId } = this;
    return artifacts.flatMap((given): StreamResponse[] => {
      const before = this.#artifacts.get(given.artifactId);
      if (!before && this.#artifacts.size >= mostArtifacts) return [];
      const artifact = isTooMuch ? { ...given, parts: partsOf(elsewhere(source, id, bytes)) } : given;
      const append = chunk.append && before !== undefined;
      if (append) before.parts.push(...artifact.parts);
      else this.#artifacts.set(artifact.artifactId, { ...artifact, parts: [...artifact.parts] });
      return [
        {
          payload: {
            $case: 'artifactUpdate',
            value: { taskId, contextId, artifact, append, lastChunk: chunk.lastChunk, metadata: undefined },
          },
        },
      ];
    });
  }

  #become(state: TaskState, atMs: number, message?: Message, bytes = 0): StreamResponse {
    this.#retire();
    // A clock that was set back does not take a status back.
    this.#status = { state, message, atMs: Math.max(atMs, this.#status.atMs), bytes };
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
    const { message, bytes } = this.#status;
    if (message) this.#remember(message, bytes);
    this.#status = { ...this.#status, message: undefined };
  }

  /** The last ones, as many as fit. */
  #remember(message: Message, bytes: number): void {
    this.#history.push({ message, bytes });
    this.#historyBytes += bytes;
    while (
      this.#history.length > mostHistory ||
      (this.#historyBytes > mostHistoryBytes && this.#history.length > 1)
    )
      this.#historyBytes -= this.#history.shift()?.bytes ?? 0;
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
