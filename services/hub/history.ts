/** What was said: pages of the log, conversations, receipts, dead letters. */
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';
import { takeTurn } from '#runtime/turns.ts';

import type { Agents } from './agents.ts';
import { mailboxOf, type Agent } from './directory.ts';
import type { DeadLetter, DeadPlace, Delivery, Page, Placed, Receiver } from './engine/engine.ts';
import { slicesOf } from './engine/parts.ts';
import { hubName, pagesPerCall, readAtOnce, readPerCall } from './limits.ts';
import type { Mesh } from './mesh.ts';
import type { AgentName, Stored } from './message.ts';
import { topicGlob } from './routing/glob.ts';

export interface Query {
  readonly correlationId?: string | undefined;
  /** A topic, or a pattern. */
  readonly topic?: string | undefined;
  readonly type?: string | undefined;
  /** Sender or receiver. */
  readonly agent?: AgentName | undefined;
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly backwards: boolean;
  readonly most: number;
}

export interface Found {
  readonly messages: readonly Stored[];
  /** The place to go on from; `undefined` at the end. */
  readonly next: number | undefined;
}

export type History = ReturnType<typeof openHistory>;

/** Messages that one change puts into a mailbox: a millisecond or two. */
const replayedAtOnce = 100;

/** Places are in the order of arrival; where a clock was set back, times are not quite. */
const clockSlackMs = 60_000;

const maySee = ({ owner, readers, envelope: { topic, audience } }: Omit<Stored, 'body'>, caller: string) =>
  owner === caller ||
  readers.includes(caller) ||
  (topic !== undefined && (audience === undefined || audience.includes(caller)));

function filterOf({ topic, type, agent, fromMs, toMs }: Query, caller: string) {
  const fitsTopic = topic === undefined ? undefined : topicGlob(topic);
  const fitsType = type === undefined ? undefined : topicGlob(type);
  return (stored: Stored): boolean => {
    const { envelope } = stored;
    if (!maySee(stored, caller)) return false;
    if (fitsType && !fitsType(envelope.type)) return false;
    if (fitsTopic && (envelope.topic === undefined || !fitsTopic(envelope.topic))) return false;
    if (agent !== undefined && envelope.source !== agent && !stored.receivers.includes(agent)) return false;
    if (fromMs !== undefined && envelope.timeMs < fromMs) return false;
    return toMs === undefined || envelope.timeMs < toMs;
  };
}

/** Who has sent it may send it to anybody. Who has got it may not let others have it from its sender, who never meant them. */
const maySendTo = (
  receiver: Agent,
  one: Receiver,
  { owner, envelope }: Omit<Stored, 'body'>,
  caller: string,
) =>
  receiver.key === one.agent ||
  receiver.owner === caller ||
  (owner === caller && envelope.source !== hubName);

/** Does a piece when it is the caller's turn: who reads or replays everything many times at once keeps nobody waiting for all of it. */
async function inTurnOf<Value>(caller: string, piece: () => Promise<Value>): Promise<Value> {
  return new Promise((done) => {
    takeTurn(caller, () => done(piece()), true);
  });
}

export function openHistory({ engine, directory, policy, now }: Mesh, agents: Agents) {
  /** Where to begin: at the time that was asked for, seen from the direction of reading. */
  async function startOf({ backwards, fromMs, toMs }: Query): Promise<number> {
    if (!backwards) return fromMs === undefined ? 0 : (await engine.placeAt(fromMs)) - 1;
    return toMs === undefined ? Number.MAX_SAFE_INTEGER : engine.placeAt(toMs);
  }

  /** The place beyond which nothing fits, in the direction of reading. */
  async function endOf({ backwards, fromMs, toMs }: Query): Promise<number> {
    if (backwards) return fromMs === undefined ? 0 : engine.placeAt(fromMs - clockSlackMs);
    return toMs === undefined ? Infinity : (await engine.placeAt(toMs + clockSlackMs)) - 1;
  }

  /** Pages of the log that the caller may see and that fit. Looks at a bounded part of it at a time. */
  async function search(query: Query, from: number | undefined, caller: string): Promise<Found> {
    const fits = filterOf(query, caller);
    const messages: Stored[] = [];
    const end = await endOf(query);
    let place: number | undefined = from ?? (await startOf(query));
    for (let pages = 0; pages < pagesPerCall && place !== undefined; pages += 1) {
      const begin: number = place;
      const page: Page = await inTurnOf(caller, async () => pageOf(query, begin)); // oxlint-disable-line no-await-in-loop -- page after page
      for (const stored of page.messages) {
        if (!fits(stored)) continue;
        messages.push(stored);
        if (messages.length === query.most) return { messages, next: stored.seq };
      }
      place = page.next;
      if (place !== undefined && (query.backwards ? place <= end : place >= end)) place = undefined;
    }
    return { messages, next: place };
  }

  async function pageOf({ correlationId, agent, backwards, most }: Query, from: number): Promise<Page> {
    // Most of what is from or to an agent fits: so it need not be looked for in vain.
    if (agent !== undefined && correlationId === undefined)
      return engine.readOf(agent, { from, backwards, most: Math.min(readAtOnce, 2 * most) });
    const messages = await engine.read({ correlationId, from, backwards, most: readAtOnce });
    return { messages, next: messages.at(-1)?.seq };
  }

  /** All that fits, page after page; pages may be empty. */
  async function* stream(
    query: Query,
    from: number | undefined,
    caller: string,
  ): AsyncGenerator<readonly Stored[], undefined> {
    let place = from;
    do {
      const { messages, next } = await search(query, place, caller); // oxlint-disable-line no-await-in-loop -- page after page
      if (messages.length > 0) yield messages;
      place = next;
    } while (place !== undefined);
    return undefined;
  }

  /** A name outlives its registration: what its mailbox had under another token stays with those who sent and got it. */
  const isReceiver = (agent: AgentName, stored: Omit<Stored, 'body'>, caller: string) =>
    directory.agent(agent, now())?.owner === caller && maySee(stored, caller);

  const mayHandle = (agent: AgentName, stored: Omit<Stored, 'body'>, caller: string) =>
    stored.owner === caller || isReceiver(agent, stored, caller);

  /** Newest first. @returns where to go on too. */
  async function deadOf(
    caller: string,
    before: DeadPlace,
    most: number,
  ): Promise<{ readonly dead: readonly DeadLetter[]; readonly next: DeadPlace | undefined }> {
    const own = directory.agents(now()).filter(({ owner }) => owner === caller);
    const of = { agents: own.map(({ key }) => key), owner: caller };
    const dead: DeadLetter[] = [];
    let place = before;
    for (let looked = 0; looked < readPerCall;) {
      const page = await engine.deadLetters(of, place, most); // oxlint-disable-line no-await-in-loop -- page after page
      looked += page.length;
      for (const one of page) {
        place = { atMs: one.atMs, seq: one.seq, agent: one.agent };
        if (!mayHandle(one.agent, one.stored, caller)) continue;
        dead.push(one);
        if (dead.length === most) return { dead, next: place };
      }
      if (page.length < most) return { dead, next: undefined };
    }
    return { dead, next: place };
  }

  /** @throws ToolError not_found for what the caller may not see either. */
  async function visible(source: AgentName, id: string, caller: string): Promise<Stored> {
    const found = await engine.find(source, id);
    const stored = found.find((one) => maySee(one, caller));
    if (!stored)
      throw new ToolError('not_found', `There is no message ${id} of ${source}.`, {
        hint: 'Call get_message_history; messages leave it after some days.',
      });
    return stored;
  }

  return {
    search,
    stream,
    visible,
    deadOf,

    /** What became of a message, mailbox by mailbox. */
    async receipts(
      source: AgentName,
      id: string,
      caller: string,
    ): Promise<{ stored: Stored; deliveries: readonly Delivery[] }> {
      const stored = await visible(source, id, caller);
      return { stored, deliveries: await engine.deliveries(stored.seq) };
    },

    /** Puts what fits into a mailbox once more. @returns how many, and where to go on. */
    async replay(agent: AgentName, query: Query, from: number | undefined, { caller }: Pick<Call, 'caller'>) {
      const own = await agents.acting(agent, caller, now());
      const { messages, next } = await search(query, from, caller);
      const seqs = messages.map(({ seq }) => seq);
      let replayed = 0;
      for (const some of slicesOf(seqs, replayedAtOnce))
        replayed += await inTurnOf(caller, async () => engine.replay(mailboxOf(own), some, now())); // oxlint-disable-line no-await-in-loop -- oldest first
      return { replayed, left: seqs.length - replayed, next };
    },

    /** Sends dead letters again: to where they were, or to another agent. */
    async resend(
      dead: readonly Receiver[],
      to: AgentName | undefined,
      caller: string,
    ): Promise<readonly (Placed['outcome'] | 'unknown')[]> {
      const nowMs = now();
      const outcomes: (Placed['outcome'] | 'unknown')[] = [];
      for (const one of dead) {
        /* oxlint-disable no-await-in-loop -- in order */
        const stored = await engine.at(one.seq);
        const receiver = directory.agent(to ?? one.agent, nowMs);
        const isTheirs = stored && mayHandle(one.agent, stored, caller);
        if (!isTheirs || !receiver || !maySendTo(receiver, one, stored, caller)) outcomes.push('unknown');
        else {
          const ttlMs = Math.max(policy.ttlMs, stored.envelope.expiresAtMs - stored.envelope.timeMs);
          outcomes.push(await engine.revive(one, mailboxOf(receiver), nowMs + ttlMs, nowMs));
        }
        /* oxlint-enable no-await-in-loop */
      }
      return outcomes;
    },

    /** Deletes dead letters of mailboxes of the caller, and those that it sent and that had nowhere to go. */
    async bury(dead: readonly Receiver[], caller: string): Promise<number> {
      const own: Receiver[] = [];
      for (const one of dead) {
        const stored = await engine.at(one.seq); // oxlint-disable-line no-await-in-loop -- bounded by the tool
        if (!stored) continue;
        const isOwn = one.agent === '' ? stored.owner === caller : isReceiver(one.agent, stored, caller);
        if (isOwn) own.push(one);
      }
      return engine.bury(own);
    },
  };
}
