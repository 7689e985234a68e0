/** What the hub's tools take and tell. */
import { z } from 'zod';

import { storable, toldBriefly } from '#runtime/fields.ts';
import { pageBytes } from '#runtime/page.ts';

import { agentNameField } from './directory.ts';
import type { Delivered } from './engine/engine.ts';
import { receiptText } from './receiving.ts';
import type { Packed, Stored } from './message.ts';
import { beginningOf, bodyOf, jsonOf } from './packing.ts';

export const actingField = agentNameField.describe('The agent of yours as which you act.');

export const idField = storable(z.string().min(1).max(200));

export const receiptField = z
  .string()
  .regex(/^[1-9]\d{0,15}\.[1-9]\d{0,8}$/, 'must be a receipt of receive_messages, such as 12.1')
  .describe('A receipt of receive_messages.');

export const secondsField = (most: number, description: string) =>
  z.number().positive().max(most).describe(description);

/** Times are kept in whole milliseconds. */
export const msOf = (seconds: number): number => (seconds > 0 ? Math.max(1, Math.round(seconds * 1_000)) : 0);

/** Of JSON; what is longer is told in part. */
const shownBytes = pageBytes;

const whole = z.object({
  id: z.string().describe('Its id.'),
  seq: z.int(),
  type: z.string(),
  from: z.string(),
  to: z.array(z.string()).optional(),
  capability: z.string().optional(),
  topic: z.string().optional(),
  priority: z.string(),
  time: z.string(),
  expires_at: z.string(),
  correlation_id: z.string(),
  reply_to: z.string().optional(),
  subject: z.string().optional(),
  body: z.unknown().describe('As it was sent.'),
  body_bytes: z.int().optional(),
  body_beginning: z.string().optional(),
});
export const messageTold =
  'seq, type, from, to, capability or topic, priority, time, expires_at, correlation_id, reply_to and subject; of a long body body_bytes and body_beginning instead';

export const messageOut = toldBriefly(whole, 'id', 'body');
export type MessageOut = z.input<typeof whole>;

export const deliveredOut = toldBriefly(
  whole.extend({
    receipt: z.string().describe('For acknowledge_messages.'),
    attempt: z.int(),
    leased_until: z.string(),
    replay: z.literal(true).optional(),
  }),
  'receipt',
  'id',
  'body',
);

export const isoOf = (ms: number) => new Date(ms).toISOString();

const headOf = ({ seq, envelope }: Stored) => {
  const { to, capability, topic, replyTo, subject } = envelope;
  return {
    id: envelope.id,
    seq,
    type: envelope.type,
    from: envelope.source,
    ...(to && { to: [...to] }),
    ...(capability && { capability: capability.name }),
    ...(topic !== undefined && { topic }),
    priority: envelope.priority,
    time: isoOf(envelope.timeMs),
    expires_at: isoOf(envelope.expiresAtMs),
    correlation_id: envelope.correlationId,
    ...(replyTo !== undefined && { reply_to: replyTo }),
    ...(subject !== undefined && { subject }),
  };
};

const beginningLength = 2_000;

const beginning = async (body: Packed) => ({
  body: null,
  body_bytes: body.sizeBytes,
  body_beginning: await beginningOf(body, beginningLength),
});

/** @param mostBytes of a body, which otherwise is told by its beginning. */
export async function messageOf(stored: Stored, mostBytes = shownBytes): Promise<MessageOut> {
  const { body } = stored;
  const isLong = body.sizeBytes > mostBytes;
  return { ...headOf(stored), ...(isLong ? await beginning(body) : { body: await bodyOf(body) }) };
}

/** The same as JSON, for which a body need not be read: it is JSON already. */
async function asJson(head: object, body: Packed, mostBytes: number): Promise<string> {
  if (body.sizeBytes > mostBytes) return JSON.stringify({ ...head, ...(await beginning(body)) });
  return `${JSON.stringify(head).slice(0, -1)},"body":${await jsonOf(body)}}`;
}

export const messageJson = async (stored: Stored, mostBytes: number): Promise<string> =>
  asJson(headOf(stored), stored.body, mostBytes);

const leaseOf = ({ stored, attempt, untilMs, isReplay }: Delivered) => ({
  receipt: receiptText({ seq: stored.seq, attempt }),
  attempt,
  leased_until: isoOf(untilMs),
  ...(isReplay && { replay: true as const }),
});

export async function deliveredOf(delivered: Delivered, mostBytes: number) {
  return { ...leaseOf(delivered), ...(await messageOf(delivered.stored, mostBytes)) };
}

export const deliveredJson = async (delivered: Delivered, mostBytes: number): Promise<string> =>
  asJson({ ...leaseOf(delivered), ...headOf(delivered.stored) }, delivered.stored.body, mostBytes);
