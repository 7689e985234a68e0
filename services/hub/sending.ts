/** From what an agent says to what lies in mailboxes. */
import { randomUUIDv7 } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import type { Agents } from './agents.ts';
import { mailboxOf, type Agent } from './directory.ts';
import type { Appended, Died, Outgoing, Placed } from './engine/engine.ts';
import {
  hubName,
  longestTtlMs,
  manyReceivers,
  mostReceiversKept,
  mostReceiversPerCall,
  topics,
} from './limits.ts';
import type { Mesh } from './mesh.ts';
import type { Address, AgentName, Envelope, Packed, Priority } from './message.ts';
import { bodyText, digestOf, isLong } from './packing.ts';
import { route, type Receiver, type Route } from './routing/route.ts';
import { typeOf } from './types.ts';

/** A message as its sender gives it. */
export interface Draft extends Address {
  readonly from: AgentName;
  readonly type: string;
  readonly body: unknown;
  readonly id?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly ttlMs?: number | undefined;
  readonly correlationId?: string | undefined;
  readonly replyTo?: string | undefined;
  readonly subject?: string | undefined;
  readonly audience?: readonly string[] | undefined;
}

export interface Sent {
  readonly id: string;
  readonly seq: number;
  readonly correlationId: string;
  readonly outcome: 'sent' | 'duplicate' | 'dead_letter' | 'kept';
  readonly receivers: readonly Receiver[];
  readonly placed: readonly Placed[];
  /** Names that nobody has. */
  readonly unknown: readonly AgentName[];
  /** Why nobody gets it. */
  readonly reason: string | undefined;
}

export type Sending = ReturnType<typeof openSending>;

interface Body {
  readonly json: string;
  readonly packed: Packed;
}

interface Ready {
  readonly outgoing: Outgoing;
  readonly route: Route;
}

function requireOneAddress({ to, capability, topic }: Address): void {
  const given = [to, capability, topic].filter((one) => one !== undefined);
  if (given.length > 1)
    throw new ToolError('invalid_input', 'A message goes to names, to a capability or to a topic.', {
      hint: 'Give one of to, capability and topic; or none, and rules decide.',
    });
}

const ownTopics: readonly string[] = Object.values(topics);

/** Whoever listens there relies on it that the hub speaks. */
function requireForeignTopic(topic: string | undefined): void {
  if (topic !== undefined && ownTopics.includes(topic))
    throw new ToolError('forbidden', `Only the hub itself says something to the topic ${topic}.`, {
      hint: 'Choose another topic, or call report_error for what has failed.',
    });
}

/** @throws ToolError conflict, unavailable or too_large for what the engine has not taken. */
function requireTaken({ outcome, placed }: Appended, { envelope, owner }: Outgoing['stored']): void {
  switch (outcome) {
    case 'stored':
    case 'duplicate':
      return;
    case 'conflict':
      throw new ToolError(
        'conflict',
        `${envelope.source} has sent another message with the id ${envelope.id}.`,
        {
          hint: 'Leave id out, or choose one that was not used.',
        },
      );
    case 'full':
      throw new ToolError(
        'unavailable',
        `The mailbox of ${placed.map(({ agent }) => agent).join(', ')} is full; nothing was sent.`,
        { hint: 'Send it again later.', retryAfterMs: 5_000 },
      );
    case 'over_quota':
      throw new ToolError(
        'too_large',
        `The token "${owner}" keeps more here than it may keep: messages that wait, and what it shares. Nothing was sent.`,
        { hint: 'Let receivers catch up, or ask the operator for more room.' },
      );
    case 'failed':
      throw new ToolError(
        'unavailable',
        `The store failed before the message ${envelope.id} was safely kept: send it again under this id.`,
        {
          hint: 'Those before it are kept. What is kept already is recognised by its id.',
          retryAfterMs: 1_000,
        },
      );
  }
}

function sentOf({ outgoing, route: found }: Ready, appended: Appended): Sent {
  const { id, correlationId } = outgoing.stored.envelope;
  const isDead = appended.placed.length === 0 && found.isDead;
  const outcome =
    appended.outcome === 'duplicate'
      ? 'duplicate'
      : isDead
        ? 'dead_letter'
        : appended.placed.length === 0
          ? 'kept'
          : 'sent';
  return {
    id,
    correlationId,
    seq: appended.seq,
    outcome,
    receivers: found.receivers,
    placed: appended.placed,
    unknown: found.unknown,
    reason: found.reason,
  };
}

export function openSending(mesh: Mesh, agents: Agents) {
  const { engine, directory, packing, policy, failures, log, now } = mesh;
  const loads = async (names: readonly AgentName[]) => engine.loads(names);

  /** Rules of a token are for what its own agents send, unless the operator lets it rule for all. */
  const applies = (ruleOwner: string, sender: string) =>
    ruleOwner === sender || policy.rulers.includes(ruleOwner);

  function envelopeOf(
    draft: Draft,
    type: ReturnType<typeof typeOf>,
    traceparent: string | undefined,
  ): Envelope {
    const nowMs = now();
    // Ids that grow lie side by side in the indexes: fewer pages of them are written with each commit.
    const id = draft.id ?? randomUUIDv7();
    const { ttlSeconds, priority } = type;
    const ttlMs = Math.min(
      draft.ttlMs ?? (ttlSeconds === undefined ? policy.ttlMs : ttlSeconds * 1_000),
      longestTtlMs,
    );
    return {
      id,
      type: draft.type,
      source: draft.from,
      ...(draft.to && { to: draft.to }),
      ...(draft.capability && { capability: draft.capability }),
      ...(draft.topic !== undefined && { topic: draft.topic }),
      priority: draft.priority ?? priority,
      timeMs: nowMs,
      expiresAtMs: nowMs + ttlMs,
      correlationId: draft.correlationId ?? id,
      ...(draft.replyTo !== undefined && { replyTo: draft.replyTo }),
      ...(draft.subject !== undefined && { subject: draft.subject }),
      ...(draft.audience && { audience: draft.audience }),
      ...(traceparent !== undefined && { traceparent }),
    };
  }

  async function ready(
    draft: Draft,
    sender: string,
    { json, packed: body }: Body,
    traceparent: string | undefined,
  ): Promise<Ready> {
    const type = typeOf(directory, draft.type, now());
    type.check(draft.body);
    const envelope = envelopeOf(draft, type, traceparent);
    const found = await route(directory, envelope, draft.body, {
      loads,
      nowMs: now(),
      applies: (ruleOwner) => applies(ruleOwner, sender),
    });
    const owners = new Set(found.receivers.map(({ agent }) => agent.owner));
    owners.delete(sender);
    const { timeMs: _time, expiresAtMs: _expires, traceparent: _trace, ...said } = envelope;
    const digest = digestOf(JSON.stringify(said), json);
    const picked = found.receivers.flatMap(({ agent, why: { by, pickedFor } }) =>
      by === 'rule' && pickedFor !== undefined ? [[agent.key, pickedFor] as const] : [],
    );
    return {
      route: found,
      outgoing: {
        stored: {
          envelope: picked.length === 0 ? envelope : { ...envelope, pickedFor: picked },
          body,
          owner: sender,
          readers: [...owners],
          receivers: found.receivers.slice(0, mostReceiversKept).map(({ agent }) => agent.key),
        },
        digest: typeof digest === 'string' ? digest : await digest,
        mailboxes: found.receivers.map(({ agent }) => mailboxOf(agent)),
        dead: found.isDead ? (found.reason ?? 'no_route') : undefined,
      },
    };
  }

  async function put(drafts: readonly { draft: Draft; owner: string }[], traceparent: string | undefined) {
    await engine.current();
    const texts: string[] = [];
    for (const { draft } of drafts) {
      texts.push(await bodyText(draft.body)); // oxlint-disable-line no-await-in-loop -- long ones one after the other
      if (isLong(texts.at(-1) ?? '')) await nextTurn(); // oxlint-disable-line no-await-in-loop
    }
    const bodies = await Promise.all(
      texts.map(async (json): Promise<Body> => ({ json, packed: await packing.pack(json) })),
    );
    const all: Ready[] = [];
    let receivers = 0;
    for (const [at, { draft, owner }] of drafts.entries()) {
      const body = bodies[at] as Body;
      if (isLong(body.json)) await nextTurn(); // oxlint-disable-line no-await-in-loop
      const one = await ready(draft, owner, body, traceparent); // oxlint-disable-line no-await-in-loop -- in order, so that each sees whom the one before has got
      all.push(one);
      receivers += one.route.receivers.length;
      // So much is done for one call. One alone goes to all that it is for: or whoever has many agents could keep
      // what is said to a topic from everybody else.
      if (receivers > mostReceiversPerCall && drafts.length > 1)
        throw new ToolError(
          'too_large',
          `These messages would go to more than ${mostReceiversPerCall} mailboxes together.`,
          {
            hint: 'Nothing was sent. Send fewer of them in a call, or use a topic.',
          },
        );
      if (one.route.receivers.length > manyReceivers) await nextTurn(); // oxlint-disable-line no-await-in-loop
    }
    const appended = await engine.append(
      all.map(({ outgoing }) => outgoing),
      now(),
    );
    return all.map((one, at) => ({ ready: one, appended: appended[at] as Appended }));
  }

  /** What the hub itself says. @param owner the token whose quota it counts for. @throws as the engine does, or too_large. */
  async function say(draft: Omit<Draft, 'from'>, owner = ''): Promise<void> {
    const [said] = await put([{ draft: { ...draft, from: hubName }, owner }], undefined);
    if (said?.appended.outcome === 'over_quota') requireTaken(said.appended, said.ready.outgoing.stored);
  }

  /** The same, but never the cause of a failure. */
  async function announce(draft: Omit<Draft, 'from'>, owner = ''): Promise<void> {
    try {
      await say(draft, owner);
    } catch (error) {
      log.warn('announcement_failed', { type: draft.type, error });
    }
  }

  /** Tells the sender that nobody gets its message. An error message causes no other. */
  async function tellSender({ id, correlationId, reason }: Sent, sender: Agent, type: string): Promise<void> {
    if (type === 'error') return;
    const body = { code: 'no_route', message: reason ?? 'Nobody gets it.' };
    // It counts for who has caused it: or one token could take all of the room that the hub has for what it says.
    await announce({ to: [sender.key], type: 'error', replyTo: id, correlationId, body }, sender.owner);
  }

  /** What an agent says has failed counts, whomever it tells. */
  function told({ from, type, body }: Draft, owner: string, { correlationId }: Sent): void {
    if (type !== 'error') return;
    // As the type has it checked.
    const { code, message } = body as { readonly code: string; readonly message: string };
    failures.record([{ agent: from, owner, code, message, correlationId }], now());
  }

  return {
    /**
     * All are kept, or, when one of them is not as it must be, none; what a mailbox or a quota does not take is refused alone.
     *
     * @returns for each what became of it, or the error with which it was refused.
     * @throws ToolError invalid_input, not_found, forbidden or too_large.
     */
    async send(
      drafts: readonly Draft[],
      { caller, traceparent }: Pick<Call, 'caller' | 'traceparent'>,
    ): Promise<readonly (Sent | ToolError)[]> {
      const senders: Agent[] = [];
      for (const draft of drafts) {
        requireOneAddress(draft);
        requireForeignTopic(draft.topic);
        senders.push(await agents.acting(draft.from, caller, now())); // oxlint-disable-line no-await-in-loop -- there, nearly always
      }
      const done = await put(
        drafts.map((draft) => ({ draft, owner: caller })),
        traceparent,
      );
      const results: (Sent | ToolError)[] = [];
      for (const [at, { ready: one, appended }] of done.entries()) {
        try {
          requireTaken(appended, one.outgoing.stored);
        } catch (error) {
          if (!(error instanceof ToolError)) throw error;
          results.push(error);
          continue;
        }
        const sent = sentOf(one, appended);
        results.push(sent);
        if (appended.outcome === 'stored') told(drafts[at] as Draft, caller, sent);
        if (sent.outcome === 'dead_letter')
          await tellSender(sent, senders[at] as Agent, one.outgoing.stored.envelope.type); // oxlint-disable-line no-await-in-loop -- rare
      }
      return results;
    },

    say,
    announce,

    /** To those whom it concerns: its sender, for whom it counts, its receiver, and those who may rule for all. */
    async announceDead({ agent, reason, stored: { envelope, owner } }: Died): Promise<void> {
      if (envelope.source === hubName) return;
      const receiver = directory.agent(agent, now())?.owner;
      const draft = {
        topic: topics.deadLetters,
        audience: [owner, ...(receiver === undefined ? [] : [receiver]), ...policy.rulers],
        type: 'system_status',
        correlationId: envelope.correlationId,
        body: { event: 'dead_letter', id: envelope.id, from: envelope.source, agent, reason },
      };
      await announce(draft, owner);
    },
  };
}
