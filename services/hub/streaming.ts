/** What an agent hears without asking again: its mailbox as a stream, and the history as lines of JSON. */
import { z } from 'zod';

import { JsonText } from '#runtime/json-text.ts';
import type { Listened, ListenedEvent, Route } from '#runtime/service.ts';

import { ownAgent } from './agents.ts';
import { agentNameField } from './directory.ts';
import { deliveredJson, idField, messageJson, msOf } from './fields.ts';
import type { Hub } from './hub.ts';
import { longestLeaseMs, megabyte, mostBodyBytes, mostMessagesPerCall } from './limits.ts';
import { receiptText } from './receiving.ts';
import { topicPatternField } from './routing/glob.ts';
import { getHistory } from './tools/history.ts';
import { receiveMessages } from './tools/messages.ts';
import { instantField } from '#runtime/time.ts';

const parameters = z.object({
  agent: agentNameField,
  lease_seconds: z.coerce
    .number()
    .positive()
    .max(longestLeaseMs / 1_000)
    .optional(),
  /** Messages that are at work at once: beyond it nothing comes until one is settled. */
  window: z.coerce.number().int().min(1).max(mostMessagesPerCall).default(20),
});

const waitMs = 20_000;

/** `message` for each: what receive_messages gives; settle it with acknowledge_messages or reject_messages. */
export const listened: Listened<Hub> = {
  effect: 'write',
  tool: receiveMessages,
  parameters,
  listen(given, hub, { caller, signal }) {
    const { agent, lease_seconds: lease, window } = given as z.output<typeof parameters>;
    ownAgent(hub.mesh.directory, agent, caller, hub.mesh.now());
    const leaseMs = lease === undefined ? hub.mesh.policy.leaseMs : msOf(lease);
    return mailboxEvents(hub, { agent, leaseMs, window }, { caller, signal });
  },
};

interface MailboxWish {
  readonly agent: string;
  readonly leaseMs: number;
  readonly window: number;
}

type Listening = { readonly caller: string; readonly signal: AbortSignal };

/** What is there, or comes in a while. A long body comes alone, or is told by its beginning where its token has too many on their way. */
async function taken({ receiving }: Hub, { agent, leaseMs, window: most }: MailboxWish, call: Listening) {
  const delivered = await receiving.receive({ agent, most, mostBytes: megabyte, leaseMs, waitMs }, call);
  const isLong = delivered.some(({ stored }) => stored.body.sizeBytes > megabyte);
  const place = isLong ? receiving.placeForLong(call.caller) : undefined;
  try {
    const events: ListenedEvent[] = [];
    for (const one of delivered) {
      const text = await deliveredJson(one, isLong && !place ? megabyte : mostBodyBytes); // oxlint-disable-line no-await-in-loop -- large ones one after the other
      const id = receiptText({ seq: one.stored.seq, attempt: one.attempt });
      events.push({ id, event: 'message', data: new JsonText(text) });
    }
    return { events, place };
  } catch (error) {
    place?.[Symbol.dispose]();
    throw error;
  }
}

async function* mailboxEvents(
  hub: Hub,
  { agent, leaseMs, window }: MailboxWish,
  call: Listening,
): AsyncGenerator<ListenedEvent> {
  const { agents, receiving, mesh } = hub;
  using _connection = agents.connect(agent);
  using mailbox = receiving.follow(agent);
  while (!call.signal.aborted) {
    /* oxlint-disable no-await-in-loop -- one after the other */
    const { leased } = await mesh.engine.backlog(agent);
    const room = window - leased;
    if (room <= 0) {
      await mailbox.changed(call.signal);
      await agents.acting(agent, call.caller, mesh.now()); // it may have left, and another token have its name
      continue;
    }
    const { events, place } = await taken(hub, { agent, leaseMs, window: room }, call);
    using _place = place;
    for (const event of events) {
      yield event;
      await agents.acting(agent, call.caller, mesh.now());
    }
    /* oxlint-enable no-await-in-loop */
  }
}

const historyQuery = z.strictObject({
  correlation_id: idField.optional(),
  topic: topicPatternField.optional(),
  type: topicPatternField.optional(),
  agent: agentNameField.optional(),
  since: instantField('').optional(),
  until: instantField('').optional(),
  from: z.coerce.number().int().min(0).optional(),
});

/** `GET /history?…`: all that fits and that the token may see, oldest first, a message a line. `from` is a seq to go on after. */
export const historyRoute: Route<Hub> = {
  path: '/history',
  access: 'token',
  tool: getHistory,
  isStream: true,
  handle({ url }, { history }, caller) {
    const given = historyQuery.safeParse(Object.fromEntries(new URL(url).searchParams));
    if (!given.success) return Response.json({ error: z.prettifyError(given.error) }, { status: 400 });
    const { correlation_id: correlationId, since, until, from, ...query } = given.data;
    const rows = history.stream(
      {
        ...query,
        correlationId,
        fromMs: since === undefined ? undefined : Date.parse(since),
        toMs: until === undefined ? undefined : Date.parse(until),
        backwards: false,
        most: mostMessagesPerCall,
      },
      from,
      caller,
    );
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { done, value } = await rows.next();
          if (done) controller.close();
          else {
            const lines = await Promise.all(value.map(async (stored) => messageJson(stored, mostBodyBytes)));
            controller.enqueue(encoder.encode(lines.map((line) => `${line}\n`).join('')));
          }
        },
        cancel: async () => void (await rows.return(undefined)),
      },
      { highWaterMark: 0 },
    );
    return new Response(body, {
      headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
    });
  },
};
