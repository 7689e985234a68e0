import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';
import { adding, completing, reading } from '#runtime/hints.ts';
import { pageBytes, pageOf } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { agentNameField, capabilityField, picks, priorityField } from '../directory.ts';
import {
  actingField,
  deliveredOf,
  deliveredOut,
  idField,
  messageTold,
  msOf,
  receiptField,
  secondsField,
} from '../fields.ts';
import type { Hub } from '../hub.ts';
import {
  longestDelayMs,
  longestLeaseMs,
  longestTtlMs,
  longestWaitMs,
  megabyte,
  mostMessagesPerCall,
} from '../limits.ts';
import { objectField } from '../objects.ts';
import { jsonOf, packedBodyField, unpackedBody } from '../packing.ts';
import { receiptOf } from '../receiving.ts';
import { everybody } from '../routing/route.ts';
import { topicField } from '../routing/glob.ts';
import type { Draft, Sent } from '../sending.ts';
import { typeNameField } from '../types/registered.ts';

const draftField = z.object({
  from: actingField,
  to: z
    .array(z.union([agentNameField, z.literal(everybody)]))
    .min(1)
    .max(1_000)
    .optional()
    .describe('Names of agents; * is everybody else.'),
  capability: capabilityField.optional().describe('Instead of to: whoever can do this.'),
  pick: z.enum(picks).default('any').describe('With capability: the least loaded, or all.'),
  topic: topicField.optional().describe('Instead of to: whoever has subscribed, such as build.done.'),
  type: typeNameField
    .default('notification')
    .describe('Such as request, response, notification: list_message_types.'),
  body: objectField.optional().describe('What its type holds; text is in most.'),
  packed: packedBodyField.optional().describe('Instead of body: it, packed.'),
  priority: priorityField.optional().describe('How urgent.'),
  ttl_seconds: secondsField(longestTtlMs / 1_000, 'How long it is worth delivering.').optional(),
  id: idField.optional().describe('Yours, so that sending again sends it once.'),
  correlation_id: idField.optional().describe('Of the conversation.'),
  reply_to: idField.optional().describe('id of the message that this answers.'),
  subject: storable(z.string().max(500)).optional().describe('In a few words.'),
});

const sentOut = z.object({
  id: z.string().describe('Its id.'),
  seq: z.int().describe('Place in the history.'),
  correlation_id: z.string().describe('Answers carry it.'),
  outcome: z
    .enum(['sent', 'duplicate', 'dead_letter', 'kept'])
    .describe('kept: nobody listens to the topic yet.'),
  delivered_to: z.array(z.string()).optional().describe('Mailboxes.'),
  refused_by: z.array(z.string()).optional().describe('Mailboxes that are full.'),
  unknown: z.array(z.string()).optional().describe('Names that nobody has.'),
  reason: z.string().optional().describe('Why nobody gets it.'),
});

async function draftOf({
  ttl_seconds: ttl,
  correlation_id,
  reply_to,
  capability,
  pick,
  packed,
  body,
  ...draft
}: z.output<typeof draftField>): Promise<Draft> {
  if (packed && body !== undefined)
    throw new ToolError('invalid_input', 'Give body or packed, not both.', {
      hint: 'packed is a body that is packed.',
    });
  return {
    ...draft,
    body: packed ? await unpackedBody(packed) : (body ?? {}),
    capability: capability === undefined ? undefined : { name: capability, pick },
    ttlMs: ttl === undefined ? undefined : msOf(ttl),
    correlationId: correlation_id,
    replyTo: reply_to,
  };
}

const mostNamesShown = 100;

function sentRow({ id, seq, correlationId, outcome, placed, unknown, reason }: Sent) {
  const to = placed.filter((one) => one.outcome === 'queued').map(({ agent }) => agent);
  const refused = placed.filter((one) => one.outcome !== 'queued').map(({ agent }) => agent);
  return {
    id,
    seq,
    correlation_id: correlationId,
    outcome,
    ...(to.length > 0 && { delivered_to: to.slice(0, mostNamesShown) }),
    ...(refused.length > 0 && { refused_by: refused.slice(0, mostNamesShown) }),
    ...(unknown.length > 0 && { unknown: unknown.slice(0, mostNamesShown) }),
    ...(reason !== undefined && { reason }),
  };
}

export const sendMessage = defineTool({
  name: 'send_message',
  title: 'Send Message',
  description:
    'Send a message to agents by name, to whoever has a capability, or to a topic. It is kept until each receiver has acknowledged it.',
  effect: 'write',
  hints: adding,
  // With a place for each, a token would have but a few in each commit.
  needsNoPlace: true,
  input: draftField,
  output: sentOut,

  async handler(args, hub: Hub, call) {
    const [sent] = await hub.sending.send([await draftOf(args)], call);
    if (sent instanceof ToolError) throw sent;
    return sentRow(sent as Sent);
  },
});

export const sendMessages = defineTool({
  name: 'send_messages',
  title: 'Send Messages',
  description: `Send up to ${mostMessagesPerCall} messages, in order, as one change: when one is not valid, none is sent.`,
  effect: 'write',
  hints: adding,
  input: z.object({
    messages: z
      .array(draftField.strict())
      .min(1)
      .max(mostMessagesPerCall)
      .describe('As send_message takes them.'),
  }),
  output: z.object({
    sent: z.int().describe('How many were.'),
    results: z
      .array(sentOut.partial().extend({ error: z.string().optional().describe('Why it was refused.') }))
      .describe('In the same order.'),
  }),

  async handler({ messages }, hub: Hub, call) {
    const drafts: Draft[] = [];
    for (const message of messages) drafts.push(await draftOf(message)); // oxlint-disable-line no-await-in-loop -- large ones one after the other
    const results = await hub.sending.send(drafts, call);
    return {
      sent: results.filter((one) => !(one instanceof ToolError)).length,
      results: results.map((one) =>
        one instanceof ToolError ? { error: `${one.code}: ${one.message}` } : sentRow(one),
      ),
    };
  },
});

const rejection = z.strictObject({
  receipt: receiptField,
  reason: storable(z.string().min(1).max(1_000)).describe('Why.'),
  retry_seconds: z
    .number()
    .min(0)
    .max(longestDelayMs / 1_000)
    .optional()
    .describe('When to try again; longer each time by default.'),
  give_up: z.boolean().default(false).describe('Make it a dead letter.'),
});

export const receiveMessages = defineTool({
  name: 'receive_messages',
  title: 'Receive Messages',
  description:
    'Take messages out of the mailbox of an agent of yours, the most urgent first; waits for one if asked to. Acknowledge each before its lease ends, or it comes again.',
  effect: 'write',
  untrusted: 'bounded',
  hints: adding,
  // It waits for others, not for the processor; the hub bounds how many do.
  needsNoPlace: true,
  timeoutMs: longestWaitMs + 10_000,
  input: z.object({
    agent: actingField,
    limit: z.int().min(1).max(mostMessagesPerCall).default(10).describe('Most messages.'),
    wait_seconds: z
      .number()
      .min(0)
      .max(longestWaitMs / 1_000)
      .default(0)
      .describe('Wait so long for one.'),
    lease_seconds: secondsField(
      longestLeaseMs / 1_000,
      'How long you may work on them before they come again.',
    ).optional(),
    max_bytes: z
      .int()
      .min(1)
      .max(megabyte)
      .default(pageBytes)
      .describe('Of bodies together; longer ones are cut: get_message.'),
    acknowledge: z
      .array(receiptField)
      .max(mostMessagesPerCall)
      .default([])
      .describe('Receipts of those that are done.'),
  }),
  output: z.object({
    messages: z.array(deliveredOut).describe(`With ${messageTold}, attempt, leased_until and replay.`),
    acknowledged: z.int().optional().describe('How many of acknowledge.'),
    late: z
      .array(z.string())
      .optional()
      .describe('Receipts whose lease had ended: the message was given out again.'),
  }),

  async handler(args, hub: Hub, call) {
    const { agent, limit: most, max_bytes: mostBytes, acknowledge } = args;
    // Side by side, so that both are on disk with one commit.
    const [settled, delivered] = await Promise.all([
      acknowledged(hub, agent, acknowledge, call.caller),
      hub.receiving.receive(
        {
          agent,
          most,
          mostBytes,
          leaseMs: args.lease_seconds === undefined ? hub.mesh.policy.leaseMs : msOf(args.lease_seconds),
          waitMs: msOf(args.wait_seconds),
        },
        call,
      ),
    ]);
    const messages = [];
    for (const one of delivered) messages.push(await deliveredOf(one, mostBytes)); // oxlint-disable-line no-await-in-loop -- large ones one after the other
    return {
      messages,
      ...(acknowledge.length > 0 && { acknowledged: settled.done }),
      ...(settled.late.length > 0 && { late: settled.late }),
    };
  },
});

async function acknowledged({ receiving }: Hub, agent: string, receipts: readonly string[], caller: string) {
  if (receipts.length === 0) return { done: 0, late: [] as string[], unknown: [] as string[] };
  const outcomes = await receiving.settle(
    agent,
    receipts.map((text) => ({ ...receiptOf(text), as: 'acknowledged' })),
    caller,
  );
  const those = (...wanted: string[]) => receipts.filter((_, at) => wanted.includes(outcomes[at] ?? ''));
  return { done: those('done', 'before').length, late: those('late'), unknown: those('unknown') };
}

export const acknowledgeMessages = defineTool({
  name: 'acknowledge_messages',
  title: 'Acknowledge Messages',
  description: 'Say that messages are dealt with: they come no more.',
  effect: 'write',
  hints: completing,
  needsNoPlace: true,
  input: z.object({
    agent: actingField,
    receipts: z.array(receiptField).min(1).max(mostMessagesPerCall).describe('Of messages.'),
  }),
  output: z.object({
    acknowledged: z.int().describe('How many.'),
    late: z.array(z.string()).describe('Their lease had ended, and somebody got the message again.'),
    unknown: z.array(z.string()).describe('No receipts of this agent.'),
  }),

  async handler({ agent, receipts }, hub: Hub, { caller }) {
    const { done, late, unknown } = await acknowledged(hub, agent, receipts, caller);
    return { acknowledged: done, late, unknown };
  },
});

export const rejectMessages = defineTool({
  name: 'reject_messages',
  title: 'Reject Messages',
  description: 'Give messages back that you cannot deal with: they come again later, or become dead letters.',
  effect: 'write',
  hints: completing,
  needsNoPlace: true,
  input: z.object({
    agent: actingField,
    messages: z.array(rejection).min(1).max(mostMessagesPerCall).describe('Which, and why.'),
  }),
  output: z.object({
    returned: z.int().describe('They come again.'),
    dead: z.int().describe('Dead letters now: given up, or tried too often.'),
    late: z.array(z.string()).describe('Their lease had ended.'),
    unknown: z.array(z.string()).describe('No receipts of this agent.'),
  }),

  async handler({ agent, messages }, { receiving }: Hub, { caller }) {
    const outcomes = await receiving.settle(
      agent,
      messages.map(({ receipt, reason, retry_seconds: delay, give_up: isOver }) =>
        isOver
          ? { ...receiptOf(receipt), as: 'dead', reason }
          : receiving.retryOf(receiptOf(receipt), reason, delay === undefined ? undefined : msOf(delay)),
      ),
      caller,
    );
    const those = (...wanted: string[]) =>
      messages.filter((_, at) => wanted.includes(outcomes[at] ?? '')).map(({ receipt }) => receipt);
    return {
      returned: those('done').length,
      dead: those('dead', 'before').length,
      late: those('late'),
      unknown: those('unknown'),
    };
  },
});

export const extendLeases = defineTool({
  name: 'extend_leases',
  title: 'Extend Leases',
  description: 'Keep messages longer that you still work on.',
  effect: 'write',
  hints: completing,
  needsNoPlace: true,
  input: z.object({
    agent: actingField,
    receipts: z.array(receiptField).min(1).max(mostMessagesPerCall).describe('Of messages.'),
    lease_seconds: secondsField(longestLeaseMs / 1_000, 'From now.'),
  }),
  output: z.object({
    extended: z.int().describe('How many.'),
    late: z.array(z.string()).describe('Their lease had ended.'),
    unknown: z.array(z.string()).describe('No receipts of this agent.'),
  }),

  async handler({ agent, receipts, lease_seconds: seconds }, { receiving, mesh }: Hub, { caller }) {
    const untilMs = mesh.now() + msOf(seconds);
    const outcomes = await receiving.settle(
      agent,
      receipts.map((text) => ({ ...receiptOf(text), as: 'extended', untilMs })),
      caller,
    );
    const those = (wanted: string) => receipts.filter((_, at) => outcomes[at] === wanted);
    return { extended: those('done').length, late: those('late'), unknown: those('unknown') };
  },
});

export const getMessage = defineTool({
  name: 'get_message',
  title: 'Get Message',
  description: 'Read the body of a message as JSON, in pages.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    from: agentNameField.describe('Its sender.'),
    id: idField.describe('Its id.'),
    offset: z.int().min(0).default(0).describe('Where to begin: next of the page before.'),
    max_bytes: z.int().min(1).max(megabyte).default(pageBytes).describe('Of a page.'),
  }),
  output: z.object({
    text: z.string().describe('JSON, or a page of it.'),
    body_bytes: z.int().describe('Of all of it.'),
    next: z.int().optional().describe('There is more from here.'),
  }),
  text: ({ text, next }) =>
    next === undefined ? text : `${text}\n[truncated: call again with offset ${next}]`,

  async handler({ from, id, offset, max_bytes: mostBytes }, { history }: Hub, { caller }) {
    const { body } = await history.visible(from, id, caller);
    const text = await jsonOf(body);
    const page = pageOf(text, Math.min(offset, text.length), mostBytes);
    return {
      text: page.text,
      body_bytes: body.sizeBytes,
      ...(page.next !== undefined && { next: page.next }),
    };
  },
});

export const messageTools = [
  sendMessage,
  sendMessages,
  receiveMessages,
  acknowledgeMessages,
  rejectMessages,
  extendLeases,
  getMessage,
];
