/**
 * What keeps the hub's data: SQLite for one hub, Redis for several that serve one mesh. An engine decides nothing: who may do
 * what, where a message goes and what a time is, it is told. Each method is one change, all of it or nothing, but for those that
 * say how they go on; its promise resolves when the change would outlive a crash. `engine.test.ts` beside it holds every engine to this.
 *
 * All methods throw ToolError `unavailable` while the store cannot answer; nothing was changed then, or the same may be asked again.
 */
import type { Kept } from '#runtime/quotas.ts';

import type { AgentName, Priority, Stored } from '../message.ts';

/** What all hubs of a mesh keep in memory, because it decides where messages go. */
export const sharedKinds = ['agent', 'subscription', 'rule', 'type'] as const;
/** What is only looked up. */
export const keptKinds = ['context', 'strategy'] as const;
export type Kind = (typeof sharedKinds)[number] | (typeof keptKinds)[number];

/** A small document with a name. */
export interface Entry {
  readonly kind: Kind;
  readonly key: string;
  /** The token that may replace or remove it. */
  readonly owner: string;
  /** From 1, and one more with each change. */
  readonly version: number;
  readonly value: unknown;
  readonly changedAtMs: number;
  /** From then on it is as if it were not there. */
  readonly expiresAtMs: number | undefined;
}

export type EntryChange =
  | { readonly put: Entry }
  | { readonly removed: { readonly kind: Kind; readonly key: string } };

/** A message on its way into the store. */
export interface Outgoing {
  readonly stored: Omit<Stored, 'seq'>;
  /** Of what the sender said: tells the same message from another one with the same id. */
  readonly digest: string;
  readonly mailboxes: readonly Mailbox[];
  /** Why it goes to no mailbox but is a dead letter at once. */
  readonly dead?: string | undefined;
}

/** How a mailbox takes what comes. */
export interface Mailbox {
  readonly agent: AgentName;
  /** The token of the agent. */
  readonly owner: string;
  /** How many messages wait there at most, those at work included. */
  readonly most: number;
  readonly whenFull: 'reject' | 'drop_oldest' | 'dead_letter';
}

/** What became of a message at one mailbox. `dropped` says how many had to go for it, in the same change. */
export interface Placed {
  readonly agent: AgentName;
  readonly outcome: 'queued' | 'dead_letter' | 'full';
  readonly dropped: number;
}

/**
 * `stored` has the message in the log; `duplicate` had it before, and nothing was changed; `conflict` has another one of that id;
 * `full` when not one mailbox took it, `over_quota` when its token keeps too much that still waits: nothing was changed. `failed` when
 * the store failed after it had kept messages before this one: whether this one is kept shows when it is sent again under its id.
 */
export interface Appended {
  readonly outcome: 'stored' | 'duplicate' | 'conflict' | 'full' | 'over_quota' | 'failed';
  /** 0 where there is none. */
  readonly seq: number;
  /** Of fewer mailboxes where the store failed in between: the others get it when the store works again. */
  readonly placed: readonly Placed[];
}

export interface Lease {
  readonly agent: AgentName;
  readonly most: number;
  /** Of bodies as JSON. The first message comes however long it is. */
  readonly mostBytes: number;
  readonly untilMs: number;
  readonly nowMs: number;
  /**
   * Whether a message waits while an earlier one of the same sender and priority is at work, or waits for another attempt: so that
   * each sender's come in order.
   */
  readonly isOrdered: boolean;
}

export interface Delivered {
  readonly stored: Stored;
  /** From 1. With the message's place it is the receipt. */
  readonly attempt: number;
  readonly untilMs: number;
  readonly isReplay: boolean;
}

/** Which delivery: a place in the log, and the attempt that it was. */
export interface Receipt {
  readonly seq: number;
  readonly attempt: number;
}

export type Settlement = Receipt &
  (
    | { readonly as: 'acknowledged' }
    /** Again at that time at the earliest, or a dead letter when that was the last attempt. */
    | { readonly as: 'retry'; readonly atMs: number; readonly reason: string; readonly mostAttempts: number }
    | { readonly as: 'dead'; readonly reason: string }
    | { readonly as: 'extended'; readonly untilMs: number }
  );

/**
 * `done`; `before` when it was settled so before; `late` when the lease had ended and the message was given out again or is a dead
 * letter; `unknown` when there was no such delivery, or it was settled before the mailbox was dropped. One whose lease has ended, but which nobody has got since, is `done`.
 */
export type Settled = 'done' | 'before' | 'late' | 'dead' | 'unknown';

export const deliveryStates = ['pending', 'leased', 'acknowledged', 'dead'] as const;

/** How one delivery stands: what a sender learns of its message. */
export interface Delivery {
  readonly seq: number;
  /** Empty for a message that had nowhere to go. */
  readonly agent: AgentName;
  readonly state: (typeof deliveryStates)[number];
  readonly attempts: number;
  /** When it was acknowledged or died, or was last given out. */
  readonly atMs: number;
  /** Why it is dead, or why the last attempt failed. */
  readonly reason: string | undefined;
}

export interface DeadLetter extends Delivery {
  /** Without its body: those of a page may be very long together. */
  readonly stored: Omit<Stored, 'body'>;
}

/** Dead letters are in the order of when they died, then of their places, then of their mailboxes. */
export type DeadPlace = Pick<DeadLetter, 'atMs' | 'seq' | 'agent'>;

/** Some of what was asked for: a bounded part of the log is looked at in one go. */
export interface Page {
  readonly messages: readonly Stored[];
  /** The place to go on from; `undefined` at the end of the log. */
  readonly next: number | undefined;
}

/** Which part of the log, in the order of places. */
export interface Span {
  /** Only those of one conversation. */
  readonly correlationId?: string | undefined;
  /** Places after this one, or before it when `backwards`. */
  readonly from: number;
  readonly backwards: boolean;
  /** How many are looked at, at most. */
  readonly most: number;
}

export interface Reservation {
  readonly name: string;
  readonly agent: AgentName;
  readonly owner: string;
  readonly isShared: boolean;
  readonly reason: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Grows with each reservation that is made: a store that keeps the highest refuses a holder that has been overtaken. */
  readonly fence: number;
}

/** A message that became a dead letter. */
export interface Died {
  readonly stored: Pick<Stored, 'seq' | 'envelope' | 'owner'>;
  readonly agent: AgentName;
  readonly reason: string;
}

/** What a sweep has found. */
export interface Swept {
  /** Agents that have something to receive again. */
  readonly woken: readonly AgentName[];
  /** Messages that have become dead letters. */
  readonly dead: readonly Died[];
  /** Ask again: there was more than one sweep takes. */
  readonly isMore: boolean;
}

export interface Totals {
  readonly messages: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly sizeBytes: number;
  readonly dead: number;
  /** Messages that left the log before their time, to make room. */
  readonly trimmed: number;
}

export interface Backlog {
  readonly agent: AgentName;
  readonly pending: number;
  readonly leased: number;
  /** When the oldest of them was sent. */
  readonly oldestMs: number | undefined;
}

/** Told by the engine of what this hub or another one has done. */
export interface Listener {
  /** The entries of `sharedKinds`: all of them before `open` returns, then each change, in order. */
  changed(change: EntryChange): void;
  /** Something may be received by this agent. May come without cause; is never missing for longer than a second. */
  arrived(agent: AgentName): void;
}

export interface Engine extends AsyncDisposable {
  /** Resolves when `Listener.changed` has heard of all that was done before. */
  current(): Promise<void>;

  /**
   * Keeps a document. @param version what it must have, 0 for "not there". @returns the new one, or what stands in the way: the
   * document as it is, of another owner or version; version 0 of one that is not there. Nor is a new agent kept while one of the name
   * before has left something: `vacate` first.
   */
  put(
    entry: Omit<Entry, 'version'>,
    version?: number,
  ): Promise<{ readonly done: boolean; readonly entry: Entry }>;
  /** Of an agent also when it was heard of. @returns whether there was one of this owner. */
  remove(kind: Kind, key: string, owner: string): Promise<boolean>;
  get(kind: Kind, key: string, nowMs: number): Promise<Entry | undefined>;
  /** By key, after `after`. */
  list(kind: Kind, after: string, most: number, nowMs: number): Promise<readonly Entry[]>;

  /**
   * In order, and where they go to many mailboxes in several changes: of each message all is kept or nothing, and what is kept reaches
   * all of its mailboxes. From one that drops the oldest and may hold much less than it does, what is above that goes before. Those that share a source come one after the other in every mailbox. Where a token keeps more than its quota, its oldest
   * messages go of which nothing is due any more, and are counted as trimmed.
   */
  append(messages: readonly Outgoing[], nowMs: number): Promise<readonly Appended[]>;
  /** The most urgent first, then by place. What has expired is left for the sweep, and never given out; so is a lease that has ended. */
  lease(lease: Lease): Promise<readonly Delivered[]>;
  settle(agent: AgentName, settlements: readonly Settlement[], nowMs: number): Promise<readonly Settled[]>;
  /** Gives back what the agent has at work: it has gone. Attempts count. `isMore`: ask again, there was more than one change takes. */
  release(
    agent: AgentName,
    nowMs: number,
    mostAttempts: number,
  ): Promise<{ readonly returned: number; readonly dead: readonly Died[]; readonly isMore: boolean }>;
  /** What waits in a mailbox and is not at work: places after this one, in order. */
  queued(agent: AgentName, after: number, most: number): Promise<readonly number[]>;
  /**
   * Takes what waits in one mailbox into another, from the beginning of its attempts; its end stays. @returns `unknown` where it does not
   * wait there, or no longer.
   *
   * @param from with `hasLeft`: only while nobody has the name.
   */
  move(
    from: Receiver & { readonly hasLeft?: boolean },
    mailbox: Mailbox,
    nowMs: number,
  ): Promise<Exclude<Placed['outcome'], 'dead_letter'> | 'unknown'>;
  /**
   * Lets go of what an agent that has left still has: what waits for it is dead, these subscriptions end, and its reservations. Does
   * nothing while one is registered under the name, at whatever hub.
   *
   * @param subscriptions their keys.
   */
  vacate(
    agent: AgentName,
    subscriptions: readonly string[],
    reason: string,
    nowMs: number,
  ): Promise<{ readonly dead: number; readonly released: number }>;
  /** Puts messages of the log into a mailbox once more, as replays. @returns how many there was room for. */
  replay(mailbox: Mailbox, seqs: readonly number[], nowMs: number): Promise<number>;
  /** Ends leases that have run out and messages that have expired, wherever they are. */
  sweep(nowMs: number, mostAttempts: number): Promise<Swept>;

  /** Newest first, before `before`: of these mailboxes, or sent by this token. */
  deadLetters(
    of: { readonly agents: readonly AgentName[]; readonly owner: string },
    before: DeadPlace,
    most: number,
  ): Promise<readonly DeadLetter[]>;
  /** A dead letter to a mailbox, from the beginning of its attempts. @returns whether there was one, and room. */
  revive(
    dead: Receiver,
    mailbox: Mailbox,
    expiresAtMs: number,
    nowMs: number,
  ): Promise<Placed['outcome'] | 'unknown'>;
  /** @returns how many there were. */
  bury(dead: readonly Receiver[]): Promise<number>;

  read(span: Span): Promise<readonly Stored[]>;
  /** The message of one place, where it is still there. */
  at(seq: number): Promise<Stored | undefined>;
  /** Of all conversations, what is from or to one agent; a message that only names it may be among them. */
  readOf(agent: AgentName, span: Omit<Span, 'correlationId'>): Promise<Page>;
  /** By source and id, the newest first: a name that has belonged to several tokens may have sent one of each. */
  find(source: AgentName, id: string): Promise<readonly Stored[]>;
  /** The first place whose time is not before this; one after the last when there is none. */
  placeAt(timeMs: number): Promise<number>;
  deliveries(seq: number): Promise<readonly Delivery[]>;

  /**
   * All of the names or none; what the agent holds itself is made anew, with a new fence. Two are in each other's way when their names
   * overlap (one is the other, or ends in `/**` and the other lies below) and not both are shared.
   *
   * @returns what was made, or the reservations in the way.
   */
  reserve(
    wanted: readonly Omit<Reservation, 'fence'>[],
    nowMs: number,
  ): Promise<{ readonly made: readonly Reservation[] } | { readonly held: readonly Reservation[] }>;
  /** Of this agent; all of them when no names are given. @returns which of them it held. */
  unreserve(agent: AgentName, names: readonly string[] | undefined): Promise<readonly string[]>;
  reservations(nowMs: number): Promise<readonly Reservation[]>;

  /** When an agent was last heard of, at any hub. Of one that is not registered, or no longer, nothing is kept. */
  seen(agents: ReadonlyMap<AgentName, number>): Promise<void>;
  lastSeen(): Promise<ReadonlyMap<AgentName, number>>;

  /** How much waits in each of these mailboxes, those at work included. */
  loads(agents: readonly AgentName[]): Promise<readonly number[]>;
  backlog(agent: AgentName): Promise<Backlog>;
  /** The fullest first. */
  backlogs(most: number): Promise<readonly Backlog[]>;
  totals(): Promise<Totals>;
  /** Lets go of messages older than this of which nothing is due any more. @returns how many; fewer than `most` when done. */
  trim(beforeMs: number, most: number): Promise<number>;
  /** What each token keeps of messages and documents, as last known. */
  kept(): Kept;
  /** Whether it can work now. @returns what a person should look at. @throws ToolError unavailable. */
  probe(): Promise<readonly string[]>;
}

/** A mailbox, and the message in it. */
export interface Receiver {
  readonly agent: AgentName;
  readonly seq: number;
}

/** For sorting and for scripts: the most urgent first. */
export const urgency: Readonly<Record<Priority, number>> = { low: 0, normal: 1, high: 2, critical: 3 };
