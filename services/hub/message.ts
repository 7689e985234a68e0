/** What agents send each other. Attribute names are those of CloudEvents 1.0 where it has them. */

/** From the least urgent. A mailbox gives the most urgent first. */
export const priorities = ['low', 'normal', 'high', 'critical'] as const;
export type Priority = (typeof priorities)[number];

/** Of mailboxes, dead letters and replays: the name of an agent. Names are lower case, so that two cannot differ by case alone. */
export type AgentName = string;

/** Where its sender wants a message to go. Rules come before a capability, and that before a topic. */
export interface Address {
  readonly to?: readonly AgentName[] | undefined;
  /** `any` is the least loaded of those that have it, `all` is each of them. */
  readonly capability?: { readonly name: string; readonly pick: 'any' | 'all' } | undefined;
  readonly topic?: string | undefined;
}

/** What is said of a message without unpacking it. */
export interface Envelope extends Address {
  /** Unique among the messages of its source: the same again is a duplicate. */
  readonly id: string;
  readonly type: string;
  readonly source: AgentName;
  readonly priority: Priority;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  readonly expiresAtMs: number;
  /** What belongs together has one: a request, its answers, and whatever follows. Its own id, unless the sender names another. */
  readonly correlationId: string;
  /** The id of the message that this one answers. */
  readonly replyTo?: string | undefined;
  readonly subject?: string | undefined;
  readonly traceparent?: string | undefined;
  /** The tokens that may hear what is said to the topic; all where it is not given. Not shown. */
  readonly audience?: readonly string[] | undefined;
  /** Whom a rule picked, one of several, and for which capability. Not shown. */
  readonly pickedFor?: readonly (readonly [agent: AgentName, capability: string])[] | undefined;
}

/** A body as it is kept: JSON in UTF-8, packed where that is shorter. */
export interface Packed {
  readonly encoding: 'json' | 'zstd';
  readonly bytes: Uint8Array;
  /** Of the JSON. */
  readonly sizeBytes: number;
}

/** A message as an engine keeps it. */
export interface Stored {
  /** Its place in the log: whole numbers that grow, from 1. */
  readonly seq: number;
  readonly envelope: Envelope;
  readonly body: Packed;
  /** The token that sent it. */
  readonly owner: string;
  /** The tokens that may read it, beside the owner; all may read what was sent to a topic. */
  readonly readers: readonly string[];
  /** Agents to whose mailboxes it went; the first thousand. */
  readonly receivers: readonly AgentName[];
}
