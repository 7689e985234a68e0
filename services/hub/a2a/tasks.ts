/**
 * Tasks of A2A. A message becomes a request in a mailbox, and its correlation is the task: nothing is kept of it but messages, so a
 * task is the same after a restart, and at every hub of the mesh.
 */
import { hash, randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';

import { capabilityField } from '../directory.ts';
import { megabyte, readAtOnce } from '../limits.ts';
import type { AgentName, Stored } from '../message.ts';
import type { Mesh } from '../mesh.ts';
import { bodyOf } from '../packing.ts';
import { until } from '../receiving.ts';
import type { Draft, Sending } from '../sending.ts';
import { inputModes, reachable, type Target } from './cards.ts';
import { guestOf } from './guest.ts';
import type { Guests } from './guests.ts';
import {
  ContentTypeNotSupportedError,
  Message,
  PushNotificationNotSupportedError,
  RequestMalformedError,
  Role,
  TaskNotCancelableError,
  TaskNotFoundError,
  TaskState,
  UnsupportedOperationError,
  type GetTaskRequest,
  type ListTasksRequest,
  type ListTasksResponse,
  type Operations,
  type SendMessageRequest,
  type StreamResponse,
  type Task,
} from './protocol.ts';
import { bodyOfMessage, cancelBody, elsewhere } from './said.ts';
import { mostTurns, Story } from './story.ts';

/** Who asks whom. */
export interface Asking {
  readonly target: Target;
  readonly caller: string;
  readonly signal: AbortSignal;
  readonly traceparent: string;
}

const longestId = 128;
const longestContextId = 200;
const mostParts = 1_000;
/** Longer bodies are told by where they are. */
const longestBodyBytes = megabyte;
/** What takes longer to be read than a turn should take. */
const longBodyBytes = 65_536;
/** A page of a list ends where it gets longer. */
const mostPageBytes = 2 * megabyte;
/** Bodies may be long: so few of them at once. */
const heardAtOnce = 20;
const mostHeard = 20_000;
/** How long a request without `returnImmediately` waits for an agent. */
const longestWaitMs = 600_000;
/** What the mailbox knows is told by nobody: so it is looked at. */
const lookMs = 1_000;
/** Streams and waiting requests of one token. */
const mostOpen = 100;

const dayMs = 86_400_000;
/** The tasks that a list looks at: the newest. */
const mostListed = 1_000;
const mostDays = 31;
const usualPage = 50;
const mostPage = 100;

const indexId = (day: number) => `a2a.tasks.${day}`;

export type Tasks = ReturnType<typeof openTasks>;

/** @param closing ends streams, and answers those who wait with how their task stands. */
export function openTasks(mesh: Mesh, sending: Sending, guests: Guests, closing: AbortSignal) {
  const { engine, directory, policy, now, onArrival } = mesh;
  const open = new Map<string, number>();
  const listing = new Map<string, Promise<void>>();
  /** The correlation under which the tasks of a guest's day are found: known to nobody else, so that nobody can hide them. */
  const indexes = new Map<string, string>();

  /** @throws ToolError unavailable. */
  function enter(caller: string): Disposable {
    const own = open.get(caller) ?? 0;
    if (own >= mostOpen)
      throw new ToolError('unavailable', `Your token waits on ${mostOpen} tasks already.`, {
        hint: 'End a stream, or send with returnImmediately.',
        retryAfterMs: 1_000,
      });
    open.set(caller, own + 1);
    return {
      [Symbol.dispose]() {
        const left = (open.get(caller) ?? 1) - 1;
        if (left > 0) open.set(caller, left);
        else open.delete(caller);
      },
    };
  }

  /** Hears what was said since. @returns what changed. */
  async function advance(story: Story): Promise<StreamResponse[]> {
    const changes: StreamResponse[] = [];
    for (let heard = 0; heard < mostHeard;) {
      const span = { correlationId: story.id, from: story.heardSeq, backwards: false, most: heardAtOnce };
      const page = await engine.read(span); // oxlint-disable-line no-await-in-loop -- page after page
      for (const stored of page) {
        /* oxlint-disable no-await-in-loop -- in order */
        story.heardSeq = stored.seq;
        if (!story.concerns(stored)) continue;
        const before = story.requestSeq;
        changes.push(...story.hear(stored, await bodyFor(stored)));
        if (stored.body.sizeBytes > longBodyBytes) await setImmediate();
        // Whom it reached may answer.
        if (story.requestSeq !== before) story.reaches(await engine.deliveries(story.requestSeq));
        /* oxlint-enable no-await-in-loop */
      }
      heard += page.length;
      if (page.length < heardAtOnce) break;
      await setImmediate(); // oxlint-disable-line no-await-in-loop -- others have their turn
    }
    if (story.requestSeq > 0) changes.push(...story.settle(await engine.deliveries(story.requestSeq)));
    return changes;
  }

  /** @throws TaskNotFoundError for what is not there, and for what is somebody else's. */
  async function load(id: string, { caller, target }: Asking): Promise<Story> {
    if (id.length === 0) throw new RequestMalformedError('The id of the task is missing.');
    const story = new Story(id, guestOf(caller), caller);
    if (id.length <= longestId) await advance(story);
    const isTheirs = target === 'hub' || story.to.includes(target.agent) || story.receivers.has(target.agent);
    if (!story.hasBegun || !isTheirs)
      throw new TaskNotFoundError(`There is no task ${id.slice(0, longestId)} of yours here.`);
    return story;
  }

  /** Each state of it that a client should hear of, until it is over, or somebody goes. */
  async function* follow(
    story: Story,
    signal: AbortSignal,
    isEnough: (story: Story) => boolean,
  ): AsyncGenerator<StreamResponse> {
    const ends = AbortSignal.any([signal, closing]);
    for (;;) {
      const arrival = Promise.withResolvers<void>();
      // Listening before looking: nothing comes in between unheard.
      const unsay = onArrival(story.guest, arrival.resolve);
      try {
        yield* await advance(story); // oxlint-disable-line no-await-in-loop -- until it is over
        story.forget();
        if (isEnough(story) || ends.aborted) return;
        await until(arrival.promise, lookMs, ends); // oxlint-disable-line no-await-in-loop -- this is the wait
      } finally {
        unsay();
      }
    }
  }

  async function indexOf(guest: AgentName, day: number, { caller, traceparent }: Asking): Promise<string> {
    const id = indexId(day);
    const key = `${guest} ${id}`;
    const known = indexes.get(key) ?? (await engine.find(guest, id))[0]?.envelope.correlationId;
    if (known !== undefined) return remember(key, known);
    const draft: Draft = {
      from: guest,
      to: [guest],
      type: 'notification',
      id,
      correlationId: randomUUID(),
      body: { event: id },
    };
    const [sent] = await sending.send([draft], { caller, traceparent });
    // Of two at once, the first.
    const [stored] = await engine.find(guest, id);
    if (!stored)
      throw sent instanceof ToolError
        ? sent
        : new ToolError('unavailable', 'The list of tasks cannot be written.');
    return remember(key, stored.envelope.correlationId);
  }

  function remember(key: string, correlationId: string): string {
    if (indexes.size >= 10_000) indexes.clear();
    indexes.set(key, correlationId);
    return correlationId;
  }

  /** @throws RequestMalformedError, ContentTypeNotSupportedError. */
  function checked({ message, configuration }: SendMessageRequest, { target }: Asking): Message {
    if (!message) throw new RequestMalformedError('message is missing.');
    const { messageId, contextId, taskId, role, parts } = message;
    if (messageId === '' || messageId.length > longestId)
      throw new RequestMalformedError(`message.messageId must have 1 to ${longestId} characters.`);
    if (taskId.length > longestId) throw new TaskNotFoundError('There is no such task.');
    if (contextId.length > longestContextId)
      throw new RequestMalformedError(`message.contextId must have at most ${longestContextId} characters.`);
    if (role !== Role.ROLE_USER) throw new RequestMalformedError('message.role must be ROLE_USER.');
    if (parts.length === 0 || parts.length > mostParts)
      throw new RequestMalformedError(`message.parts must have 1 to ${mostParts} parts.`);
    if (parts.some(({ content }) => content === undefined))
      throw new RequestMalformedError('Each part of message.parts must have text, raw, url or data.');
    if (configuration?.taskPushNotificationConfig) throw new PushNotificationNotSupportedError(noPush);
    checkLength(configuration?.historyLength);
    const agent = target === 'hub' ? undefined : reachable(directory, target.agent, now());
    const modes = inputModes(agent);
    for (const { mediaType } of parts)
      if (mediaType !== '' && !modes.some((mode) => covers(mode, mediaType)))
        throw new ContentTypeNotSupportedError(
          `Parts of ${mediaType.slice(0, 100)} are not taken here: send ${modes.join(', ')}.`,
        );
    return message;
  }

  /** @returns why the first of them was not taken. */
  async function sent(
    drafts: readonly Draft[],
    { caller, traceparent }: Asking,
  ): Promise<ToolError | undefined> {
    const [first] = await sending.send(drafts, { caller, traceparent });
    return first instanceof ToolError ? first : undefined;
  }

  async function begin(
    guest: AgentName,
    message: Message,
    params: SendMessageRequest,
    asking: Asking,
  ): Promise<Story> {
    const to = addressOf(params, asking);
    const [before] = await engine.find(guest, idOf(params, to));
    if (before) return load(before.envelope.correlationId, asking);
    const correlationId = await indexOf(guest, Math.floor(now() / dayMs), asking);
    const taskId = randomUUID();
    const contextId = message.contextId === '' ? randomUUID() : message.contextId;
    const draft = draftOf(guest, { ...message, taskId, contextId }, params, to);
    const noted: Draft = {
      from: guest,
      to: [guest],
      type: 'notification',
      correlationId,
      body: { event: 'a2a.task', task_id: taskId, context_id: contextId },
    };
    const fault = await sent([draft, noted], asking);
    if (fault) {
      // The same message came twice at once.
      const [other] = fault.code === 'conflict' ? await engine.find(guest, idOf(params, to)) : [];
      if (!other) throw fault;
      return load(other.envelope.correlationId, asking);
    }
    return load(taskId, asking);
  }

  async function goOn(
    guest: AgentName,
    message: Message,
    params: SendMessageRequest,
    asking: Asking,
  ): Promise<Story> {
    const story = await load(message.taskId, asking);
    const { id: taskId, contextId } = story;
    if (message.contextId !== '' && message.contextId !== contextId)
      throw new RequestMalformedError('message.contextId is not the one of the task.');
    const to = { to: [...story.receivers] };
    if ((await engine.find(guest, idOf(params, to))).length > 0) return story;
    if (story.isOver)
      throw new UnsupportedOperationError('The task is over: send the message without taskId.');
    if (story.turns >= mostTurns || to.to.length === 0)
      throw new UnsupportedOperationError('The task takes no more messages: begin another one.');
    // Urgent, or it would wait in the mailbox until the agent has acknowledged what it asks about.
    const draft = {
      ...draftOf(guest, { ...message, contextId }, params, to),
      priority: 'high',
      replyTo: story.lastSaid,
    } as const;
    const fault = await sent([draft], asking);
    if (fault && fault.code !== 'conflict') throw fault;
    return load(taskId, asking);
  }

  async function accept(params: SendMessageRequest, asking: Asking): Promise<Story> {
    const message = checked(params, asking);
    const guest = await guests.enter(asking.caller);
    return message.taskId === ''
      ? begin(guest, message, params, asking)
      : goOn(guest, message, params, asking);
  }

  async function list(params: ListTasksRequest, asking: Asking): Promise<ListTasksResponse> {
    const {
      contextId,
      status,
      pageSize = usualPage,
      pageToken,
      historyLength,
      statusTimestampAfter,
      includeArtifacts,
    } = params;
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > mostPage)
      throw new RequestMalformedError(`pageSize must be from 1 to ${mostPage}.`);
    checkLength(historyLength);
    if (status === TaskState.UNRECOGNIZED) throw new RequestMalformedError('status is no state of a task.');
    const afterMs = statusTimestampAfter === undefined ? -Infinity : Date.parse(statusTimestampAfter);
    if (Number.isNaN(afterMs))
      throw new RequestMalformedError('statusTimestampAfter is no time in ISO 8601.');
    const place = pageToken === '' ? undefined : placeOf(pageToken);
    // Only what orders them: there may be many, and each may be long.
    const found: Place[] = [];
    for (const [at, id] of (await newest(contextId, asking)).entries()) {
      if (at % 20 === 19) await setImmediate(); // oxlint-disable-line no-await-in-loop -- others have their turn
      const story = await load(id, asking).catch(absent); // oxlint-disable-line no-await-in-loop -- one after the other is gentle
      if (!story || story.changedMs < afterMs) continue;
      if (status !== TaskState.TASK_STATE_UNSPECIFIED && story.state !== status) continue;
      found.push({ id, changedMs: story.changedMs, bytes: story.bytes });
    }
    found.sort(lastChangedFirst);
    const rest = place ? found.filter((story) => lastChangedFirst(place, story) < 0) : found;
    const page = rest.slice(0, fittingIn(rest.slice(0, pageSize)));
    const last = page.at(-1);
    const tasks: Task[] = [];
    for (const { id } of page) {
      const story = await load(id, asking).catch(absent); // oxlint-disable-line no-await-in-loop -- one after the other is gentle
      if (story) tasks.push(story.task(historyLength, includeArtifacts ?? false));
    }
    return {
      tasks,
      nextPageToken: last && rest.length > page.length ? tokenOf(last) : '',
      pageSize,
      totalSize: found.length,
    };
  }

  /** The ids of tasks that a token has begun, the newest first. */
  async function newest(contextId: string, { caller }: Asking): Promise<readonly string[]> {
    const guest = guestOf(caller);
    const ids: string[] = [];
    const today = Math.floor(now() / dayMs);
    const days = Math.min(Math.ceil(policy.retentionMs / dayMs) + 1, mostDays);
    for (let day = today; day > today - days; day -= 1) {
      /* oxlint-disable no-await-in-loop -- day after day, page after page */
      const [head] = await engine.find(guest, indexId(day));
      if (!head) continue;
      for (let from = Number.MAX_SAFE_INTEGER; ;) {
        const { correlationId } = head.envelope;
        const page = await engine.read({ correlationId, from, backwards: true, most: readAtOnce });
        for (const stored of page) {
          from = stored.seq;
          if (stored.envelope.source !== guest || stored.owner !== caller) continue;
          const body = (await bodyOf(stored.body)) as { task_id?: string; context_id?: string };
          if (body.task_id === undefined || (contextId !== '' && body.context_id !== contextId)) continue;
          ids.push(body.task_id);
          if (ids.length === mostListed) return ids;
        }
        if (page.length < readAtOnce) break;
        await setImmediate();
      }
      /* oxlint-enable no-await-in-loop */
    }
    return ids;
  }

  return {
    /** What A2A can ask, of one agent or of the hub, in the name of one token. */
    for: (asking: Asking): Omit<Operations, 'getAgentCard' | 'getAuthenticatedExtendedAgentCard'> => ({
      async sendMessage(params) {
        if (params.configuration?.returnImmediately === true)
          return taskFor(await accept(params, asking), params);
        using _place = enter(asking.caller);
        const story = await accept(params, asking);
        const endMs = now() + longestWaitMs;
        for await (const _change of follow(story, asking.signal, () => story.rests || now() >= endMs));
        return taskFor(await load(story.id, asking), params);
      },

      async *sendMessageStream(params) {
        using _place = enter(asking.caller);
        const story = await accept(params, asking);
        yield { payload: { $case: 'task', value: taskFor(story, params) } };
        if (!story.rests) yield* follow(story, asking.signal, () => story.rests);
      },

      async *resubscribe({ id }) {
        using _place = enter(asking.caller);
        const story = await load(id, asking);
        if (story.isOver) throw new UnsupportedOperationError('The task is over: get it.');
        yield { payload: { $case: 'task', value: story.task(undefined) } };
        yield* follow(story, asking.signal, () => story.isOver);
      },

      async getTask({ id, historyLength }: GetTaskRequest) {
        checkLength(historyLength);
        return (await load(id, asking)).task(historyLength);
      },

      /** Those of one token come one after the other: each looks at much. */
      async listTasks(params) {
        while (listing.has(asking.caller)) await listing.get(asking.caller); // oxlint-disable-line no-await-in-loop -- until it is its turn
        const turn = Promise.withResolvers<void>();
        listing.set(asking.caller, turn.promise);
        try {
          return await list(params, asking);
        } finally {
          listing.delete(asking.caller);
          turn.resolve();
        }
      },

      async cancelTask({ id }): Promise<Task> {
        const story = await load(id, asking);
        if (story.isOver) throw new TaskNotCancelableError('The task is over.');
        const guest = await guests.enter(asking.caller);
        // The most urgent: it overtakes what waits, and reaches an agent that is at work.
        const fault = await sent(
          [
            {
              from: guest,
              to: [...story.receivers],
              type: 'notification',
              priority: 'critical',
              correlationId: story.id,
              body: cancelBody,
            },
          ],
          asking,
        );
        if (fault) throw fault;
        await advance(story);
        if (story.state !== TaskState.TASK_STATE_CANCELED)
          throw new TaskNotCancelableError('The task was over before.');
        return story.task(undefined);
      },

      createTaskPushNotificationConfig: unsupportedPush,
      getTaskPushNotificationConfig: unsupportedPush,
      listTaskPushNotificationConfigs: unsupportedPush,
      deleteTaskPushNotificationConfig: unsupportedPush,
    }),

    waiting: () => [...open.values()].reduce((sum, count) => sum + count, 0),
  };
}

async function bodyFor({ body, envelope }: Stored): Promise<unknown> {
  if (body.sizeBytes <= longestBodyBytes) return bodyOf(body);
  const { source, id } = envelope;
  return { result: elsewhere(source, id, body.sizeBytes) };
}

/** The request that a message becomes; the same message again is the same request. */
function draftOf(
  guest: AgentName,
  message: Message,
  params: SendMessageRequest,
  to: Pick<Draft, 'to' | 'capability'>,
): Draft {
  const { metadata, configuration } = params;
  const modes = configuration?.acceptedOutputModes ?? [];
  const more = { ...(metadata && { metadata }), ...(modes.length > 0 && { accepted_output_modes: modes }) };
  return {
    ...to,
    from: guest,
    type: 'request',
    body: bodyOfMessage(message, more),
    id: idOf(params, to),
    correlationId: message.taskId,
  };
}

/** Whom a new task goes to. */
function addressOf(params: SendMessageRequest, { target }: Asking): Pick<Draft, 'to' | 'capability'> {
  if (target !== 'hub') return { to: [target.agent] };
  const wanted: unknown = params.metadata?.['capability'] ?? params.message?.metadata?.['capability'];
  if (wanted === undefined) return {};
  const { data: name } = capabilityField.safeParse(wanted);
  if (name === undefined)
    throw new RequestMalformedError('metadata.capability must be the name of a capability.');
  return { capability: { name, pick: 'any' } };
}

/** Where a task stands in a list. */
interface Place {
  readonly id: string;
  readonly changedMs: number;
  readonly bytes: number;
}

const noPush = 'The hub calls no addresses: subscribe to the task, or ask for it.';
// oxlint-disable-next-line typescript/require-await -- a rejection, as of all operations
async function unsupportedPush(): Promise<never> {
  throw new PushNotificationNotSupportedError(noPush);
}

const taskFor = (story: Story, { configuration }: SendMessageRequest) =>
  story.task(configuration?.historyLength);

function checkLength(historyLength: number | undefined): void {
  if (historyLength !== undefined && (!Number.isInteger(historyLength) || historyLength < 0))
    throw new RequestMalformedError('historyLength must be a whole number from 0.');
}

/** Whether a media type is one of those that a mode stands for: image/png, image/*, or any. */
function covers(mode: string, mediaType: string): boolean {
  const [plain = ''] = mediaType.toLowerCase().split(';');
  const type = plain.trim();
  return mode === '*/*' || mode === type || (mode.endsWith('/*') && type.startsWith(mode.slice(0, -1)));
}

/** A message whose content differs is another one, though its client has given it the same id. */
function idOf({ message, metadata }: SendMessageRequest, to: Pick<Draft, 'to' | 'capability'>): string {
  const said = message && Message.toJSON(message);
  const digest = hash('sha256', JSON.stringify([said, metadata ?? null, to]), 'base64url').slice(0, 16);
  return `${message?.messageId}.${digest}`;
}

const lastChangedFirst = (one: { changedMs: number; id: string }, other: { changedMs: number; id: string }) =>
  other.changedMs - one.changedMs || (one.id < other.id ? 1 : one.id > other.id ? -1 : 0);

const tokenOf = ({ changedMs, id }: Place) => Buffer.from(`${changedMs} ${id}`).toString('base64url');

function placeOf(token: string): Omit<Place, 'bytes'> {
  const [, changed, id] = /^(\d{1,16}) (\S{1,128})$/.exec(Buffer.from(token, 'base64url').toString()) ?? [];
  if (id === undefined) throw new RequestMalformedError('pageToken is not one that was given out.');
  return { changedMs: Number(changed), id };
}

/** How many of these fit into an answer; one at least. */
function fittingIn(places: readonly Place[]): number {
  let sum = 0;
  const end = places.findIndex(({ bytes }, at) => (sum += bytes) > mostPageBytes && at > 0);
  return end < 0 ? places.length : end;
}

function absent(error: unknown): undefined {
  if (!(error instanceof TaskNotFoundError)) throw error;
}
