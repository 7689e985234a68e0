import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting, pageBytes } from '#runtime/page.ts';
import { instantField, instantForm } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';

import { agentNameField } from '../directory.ts';
import {
  actingField,
  idField,
  isoOf,
  messageOf,
  messageOut,
  messageTold,
  type MessageOut,
} from '../fields.ts';
import type { Query } from '../history.ts';
import type { Hub } from '../hub.ts';
import { mostMessagesPerCall } from '../limits.ts';
import { topicPatternField } from '../routing/glob.ts';
import { summaryOf } from '../thread-summary.ts';

const queryFields = {
  correlation_id: idField.optional().describe('Only of this conversation.'),
  topic: topicPatternField.optional().describe('Only of this topic or pattern.'),
  type: topicPatternField.optional().describe('Only of this type or pattern.'),
  agent: agentNameField.optional().describe('Only from or to this agent.'),
  since: instantField(`Only from then on: ${instantForm}.`).optional(),
  until: instantField('Only before then.').optional(),
};

const queryOf = (
  args: { readonly [Name in keyof typeof queryFields]?: z.output<(typeof queryFields)[Name]> | undefined },
  backwards: boolean,
  most: number,
): Query => ({
  correlationId: args.correlation_id,
  topic: args.topic,
  type: args.type,
  agent: args.agent,
  fromMs: args.since === undefined ? undefined : Date.parse(args.since),
  toMs: args.until === undefined ? undefined : Date.parse(args.until),
  backwards,
  most,
});

const place = z.tuple([z.int()]);
const noPlace = -1;

async function rowsOf(found: Awaited<ReturnType<Hub['history']['search']>>) {
  const rows: MessageOut[] = [];
  for (const stored of found.messages) rows.push(await messageOf(stored, pageBytes / 4)); // oxlint-disable-line no-await-in-loop -- large ones one after the other
  const shown = fitting(rows);
  const next = shown.length < rows.length ? shown.at(-1)?.seq : found.next;
  return { shown, next };
}

export const getHistory = defineTool({
  name: 'get_message_history',
  title: 'Get History',
  description:
    'Read what was said: messages that your agents sent or got, and those of topics. Newest first, unless asked otherwise; empty pages with a cursor can occur.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    ...queryFields,
    order: z.enum(['newest', 'oldest']).default('newest').describe('What comes first.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({ messages: z.array(messageOut).describe(`With ${messageTold}.`), ...continuation }),

  async handler({ cursor, ...args }, hub: Hub, { caller }) {
    const [from] = decodeCursor('get_message_history', args, cursor, place, [noPlace]);
    const query = queryOf(args, args.order === 'newest', args.limit);
    const found = await hub.history.search(query, from === noPlace ? undefined : from, caller);
    const { shown, next } = await rowsOf(found);
    return {
      messages: shown,
      ...continued('get_message_history', args, next === undefined ? undefined : [next]),
    };
  },
});

export const getThread = defineTool({
  name: 'get_thread',
  title: 'Get Thread',
  description:
    'Read one conversation from its beginning, with a summary: who took part, what is unanswered, how long it took.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    correlation_id: idField.describe('Of the conversation.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({
    summary: z
      .object({
        messages: z.int().describe('How many.'),
        participants: z
          .array(z.object({ agent: z.string().describe('Name.'), sent: z.int().describe('Messages.') }))
          .describe('Who took part.'),
        types: z.record(z.string(), z.int()).describe('How many of each type.'),
        began_at: z.string().optional().describe('First message.'),
        ended_at: z.string().optional().describe('Last message.'),
        seconds: z.number().describe('Between them.'),
        unanswered: z.array(z.string()).describe('ids of requests that nobody has answered.'),
        complete: z.boolean().describe('false when it is longer than a summary looks at.'),
      })
      .describe('In figures.'),
    messages: z.array(messageOut).describe(`Oldest first, with ${messageTold}.`),
    ...continuation,
  }),

  async handler({ cursor, ...args }, hub: Hub, { caller }) {
    const [from] = decodeCursor('get_thread', args, cursor, place, [noPlace]);
    const query = queryOf({ correlation_id: args.correlation_id }, false, args.limit);
    const all = await hub.history.search({ ...query, most: mostSummarised }, undefined, caller);
    const found = await hub.history.search(query, from === noPlace ? undefined : from, caller);
    const { shown, next } = await rowsOf(found);
    return {
      summary: {
        ...summaryOf(all.messages, hub.mesh.directory, hub.mesh.now()),
        complete: all.next === undefined,
      },
      messages: shown,
      ...continued('get_thread', args, next === undefined ? undefined : [next]),
    };
  },
});

const mostSummarised = 1_000;

export const replayMessages = defineTool({
  name: 'replay_messages',
  title: 'Replay Messages',
  description:
    'Put messages of the history into the mailbox of an agent of yours once more, oldest first and marked as replays: to catch up, or to do work again.',
  effect: 'write',
  hints: adding,
  input: z.object({
    agent: actingField,
    correlation_id: queryFields.correlation_id,
    topic: queryFields.topic,
    type: queryFields.type,
    from_or_to: queryFields.agent,
    since: queryFields.since,
    until: queryFields.until,
    limit: limitField(1_000, 100),
    cursor: cursorField,
  }),
  output: z.object({
    replayed: z.int().describe('How many.'),
    left_out: z.int().describe('There was no room for them in the mailbox.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, hub: Hub, call) {
    const [from] = decodeCursor('replay_messages', args, cursor, place, [noPlace]);
    const query = queryOf({ ...args, agent: args.from_or_to }, false, args.limit);
    const { replayed, left, next } = await hub.history.replay(
      args.agent,
      query,
      from === noPlace ? undefined : from,
      call,
    );
    return {
      replayed,
      left_out: left,
      ...continued('replay_messages', args, next === undefined ? undefined : [next]),
    };
  },
});

export const getReceipts = defineTool({
  name: 'get_receipts',
  title: 'Get Receipts',
  description:
    'See what became of a message: at each receiver whether it waits, is at work, was acknowledged or is dead, and why.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ from: agentNameField.describe('Its sender.'), id: idField.describe('Its id.') }),
  output: z.object({
    seq: z.int().describe('Place in the history.'),
    deliveries: z
      .array(
        z.object({
          agent: z.string().describe('Name.'),
          state: z.string().describe('pending, leased, acknowledged or dead.'),
          attempts: z.int().describe('How often it was given out.'),
          at: z.string().describe('When that came to be.'),
          reason: z.string().optional().describe('Why it is dead, or failed last.'),
        }),
      )
      .describe('By agent.'),
    truncated: z.literal(true).optional().describe('There are more than fit.'),
  }),

  async handler({ from, id }, { history }: Hub, { caller }) {
    const { stored, deliveries } = await history.receipts(from, id, caller);
    const rows = deliveries.map(({ agent, state, attempts, atMs, reason }) => ({
      agent,
      state,
      attempts,
      at: isoOf(atMs),
      ...(reason !== undefined && { reason }),
    }));
    const shown = fitting(rows);
    return {
      seq: stored.seq,
      deliveries: shown,
      ...(shown.length < rows.length && { truncated: true as const }),
    };
  },
});

const deadOut = z.object({
  seq: z.int().describe('Place in the history.'),
  agent: z.string().describe('Whose mailbox; empty: it had nowhere to go.'),
  id: z.string(),
  from: z.string(),
  type: z.string(),
  reason: z.string().optional().describe('Why.'),
  attempts: z.int(),
  died_at: z.string(),
  subject: z.string().optional(),
});

const deadField = z.strictObject({
  seq: z.int().min(1).describe('seq of list_dead_letters.'),
  agent: z
    .union([agentNameField, z.literal('')])
    .describe('agent of list_dead_letters; empty when it had nowhere to go.'),
});

export const listDeadLetters = defineTool({
  name: 'list_dead_letters',
  title: 'List Dead Letters',
  description:
    'See messages that were not delivered, to agents of yours or from them, newest first, with the reason.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField(200, 20), cursor: cursorField }),
  output: z.object({
    dead_letters: z
      .array(toldBriefly(deadOut, 'seq', 'agent', 'reason'))
      .describe('With id, from, type, attempts, died_at and subject. get_message reads the body.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { history }: Hub, { caller }) {
    const start: [number, number, string] = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, ''];
    const deadPlace = z.tuple([z.int(), z.int(), z.string()]);
    const [atMs, seq, agentAt] = decodeCursor('list_dead_letters', args, cursor, deadPlace, start);
    const { dead, next } = await history.deadOf(caller, { atMs, seq, agent: agentAt }, args.limit);
    const rows = dead.map(({ stored, agent, reason, attempts, atMs: died }) => ({
      seq: stored.seq,
      agent,
      id: stored.envelope.id,
      from: stored.envelope.source,
      type: stored.envelope.type,
      ...(reason !== undefined && { reason }),
      attempts,
      died_at: isoOf(died),
      ...(stored.envelope.subject !== undefined && { subject: stored.envelope.subject }),
    }));
    const shown = fitting(rows);
    const last = shown.length < dead.length ? dead[shown.length - 1] : next;
    return {
      dead_letters: shown,
      ...continued('list_dead_letters', args, last && [last.atMs, last.seq, last.agent]),
    };
  },
});

export const resendDeadLetters = defineTool({
  name: 'resend_dead_letters',
  title: 'Resend Dead Letters',
  description: 'Deliver dead letters once more: to where they were meant for, or to another agent.',
  effect: 'write',
  hints: adding,
  input: z.object({
    dead_letters: z.array(deadField).min(1).max(mostMessagesPerCall).describe('Which.'),
    to: agentNameField.optional().describe('Another agent; needed for those that had nowhere to go.'),
  }),
  output: z.object({
    sent: z.int().describe('How many.'),
    full: z.int().describe('The mailbox has no room.'),
    not_found: z.int().describe('No dead letter that you may send, or no such agent.'),
  }),

  async handler({ dead_letters: dead, to }, { history }: Hub, { caller }) {
    const outcomes = await history.resend(dead, to, caller);
    const count = (wanted: string) => outcomes.filter((one) => one === wanted).length;
    return { sent: count('queued'), full: count('full'), not_found: count('unknown') };
  },
});

export const deleteDeadLetters = defineTool({
  name: 'delete_dead_letters',
  title: 'Delete Dead Letters',
  description: 'Delete dead letters of agents of yours. The messages stay in the history.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ dead_letters: z.array(deadField).min(1).max(mostMessagesPerCall).describe('Which.') }),
  output: z.object({ deleted: z.int().describe('How many.') }),
  handler: async ({ dead_letters: dead }, { history }: Hub, { caller }) => ({
    deleted: await history.bury(dead, caller),
  }),
});

export const historyTools = [
  getHistory,
  getThread,
  replayMessages,
  getReceipts,
  listDeadLetters,
  resendDeadLetters,
  deleteDeadLetters,
];
