import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable, toldBriefly } from '#runtime/fields.ts';
import { adding, completing, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { accesses, type SharedContext } from '../contexts.ts';
import { agentNameField } from '../directory.ts';
import type { Reservation } from '../engine/engine.ts';
import { actingField, isoOf, msOf, secondsField } from '../fields.ts';
import type { Hub } from '../hub.ts';
import { longestReservationMs } from '../limits.ts';
import { objectField } from '../objects.ts';
import { reservationField } from '../routing/glob.ts';

const reservationOut = z.object({
  name: z.string().describe('Name.'),
  agent: z.string().describe('Who has it.'),
  shared: z.literal(true).optional(),
  reason: z.string().optional(),
  since: z.string(),
  until: z.string().describe('When it ends.'),
  fence: z.int().describe('Grows with each reservation.'),
});

const reservationRow = ({ name, agent, isShared, reason, sinceMs, untilMs, fence }: Reservation) => ({
  name,
  agent,
  ...(isShared && { shared: true as const }),
  ...(reason !== '' && { reason }),
  since: isoOf(sinceMs),
  until: isoOf(untilMs),
  fence,
});

const namesField = z.array(reservationField).min(1).max(100);

export const reserveNames = defineTool({
  name: 'reserve_names',
  title: 'Reserve Names',
  description:
    'Reserve what you are about to change, so that no other agent does: files, branches, tickets, such as file:src/a.ts; a name that ends with /** covers all below. All of them, or none.',
  effect: 'write',
  hints: adding,
  input: z.object({
    agent: actingField,
    names: namesField.describe('Names.'),
    reason: storable(z.string().max(500)).default('').describe('What for; others see it.'),
    ttl_seconds: secondsField(longestReservationMs / 1_000, 'How long.').default(900),
    shared: z.boolean().default(false).describe('Others may reserve it too, as shared: for reading.'),
  }),
  output: z.object({
    reserved: z
      .array(toldBriefly(reservationOut, 'name', 'until', 'fence'))
      .describe('fence grows with each: who writes shows it, and an older one is refused.'),
  }),

  async handler(
    { agent, names, reason, ttl_seconds: ttl, shared: isShared },
    { reserving }: Hub,
    { caller },
  ) {
    const made = await reserving.reserve({ agent, names, reason, isShared, ttlMs: msOf(ttl) }, caller);
    return { reserved: made.map(reservationRow) };
  },
});

export const releaseNames = defineTool({
  name: 'release_names',
  title: 'Release Names',
  description: 'Give back what an agent of yours has reserved; all of it, when no names are given.',
  effect: 'write',
  hints: completing,
  input: z.object({ agent: actingField, names: namesField.optional().describe('Only these.') }),
  output: z.object({ released: z.array(z.string()).describe('Names.') }),
  handler: async ({ agent, names }, { reserving }: Hub, { caller }) => ({
    released: [...(await reserving.release(agent, names, caller))],
  }),
});

export const listReservations = defineTool({
  name: 'list_reservations',
  title: 'List Reservations',
  description: 'See who has reserved what, until when and for what.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    beginning: storable(z.string().max(500))
      .default('')
      .describe('Only names that begin so, such as file:src/.'),
    agent: agentNameField.optional().describe('Only of this agent.'),
    limit: limitField(500, 100),
    cursor: cursorField,
  }),
  output: z.object({
    reservations: z
      .array(toldBriefly(reservationOut, 'name', 'agent', 'until'))
      .describe('With shared, reason, since and fence.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { reserving }: Hub) {
    const shape = z.tuple([z.string(), z.string()]);
    const [afterName, afterAgent] = decodeCursor('list_reservations', args, cursor, shape, ['', '']);
    const all = (await reserving.list()).filter(
      ({ name, agent }) =>
        name.startsWith(args.beginning) &&
        (args.agent === undefined || agent === args.agent) &&
        (name > afterName || (name === afterName && agent > afterAgent)),
    );
    const rows = fitting(all.slice(0, args.limit).map(reservationRow));
    const last = rows.at(-1);
    const isMore = last !== undefined && rows.length < all.length;
    return {
      reservations: rows,
      ...continued('list_reservations', args, isMore ? [last.name, last.agent] : undefined),
    };
  },
});

const contextKey = storable(z.string().min(1).max(200)).describe('Its key, such as plan:release.');

const contextOut = z.object({
  key: z.string().describe('Key.'),
  version: z.int().describe('Grows with each change.'),
  agent: z.string(),
  access: z.string(),
  changed_at: z.string(),
  expires_at: z.string().optional(),
  value: z.unknown().describe('As it was shared.'),
});

const contextRow = ({ key, version, agent, access, changedAtMs, expiresAtMs }: SharedContext) => ({
  key,
  version,
  agent,
  access,
  changed_at: isoOf(changedAtMs),
  ...(expiresAtMs !== undefined && { expires_at: isoOf(expiresAtMs) }),
});

export const shareContext = defineTool({
  name: 'share_context',
  title: 'Share Context',
  description:
    'Share a value with other agents under a key: a plan, a decision, a state. It has a version, so that two do not overwrite each other.',
  effect: 'write',
  hints: completing,
  input: z.object({
    agent: actingField,
    key: contextKey,
    value: objectField.describe('Any JSON object.'),
    access: z
      .enum(accesses)
      .default('public')
      .describe(
        'public: all agents read it; restricted: you and readers; confidential: the same, but lists do not show it; private: your agents alone.',
      ),
    readers: z
      .array(agentNameField)
      .max(100)
      .default([])
      .describe('Agents, with restricted and confidential.'),
    ttl_seconds: secondsField(31_536_000, 'It ends after so long.').optional(),
    if_version: z.int().min(0).optional().describe('Only if this is its version now; 0: only if it is new.'),
  }),
  output: z.object({ key: z.string().describe('Key.'), version: z.int().describe('Of what is shared now.') }),

  async handler({ ttl_seconds: ttl, if_version: version, ...args }, { contexts }: Hub, { caller }) {
    const options = { ttlMs: ttl === undefined ? undefined : msOf(ttl), version };
    const shared = await contexts.share(args, options, caller);
    return { key: shared.key, version: shared.version };
  },
});

export const getSharedContext = defineTool({
  name: 'get_shared_context',
  title: 'Get Shared Context',
  description: 'Read a value that is shared.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ key: contextKey }),
  output: toldBriefly(contextOut, 'key', 'version', 'value'),

  async handler({ key }, { contexts }: Hub, { caller }) {
    const shared = await contexts.get(key, caller);
    return { ...contextRow(shared), value: shared.value };
  },
});

export const listSharedContext = defineTool({
  name: 'list_shared_context',
  title: 'List Shared Context',
  description: 'See what is shared with you, by key.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField(200, 50), cursor: cursorField }),
  output: z.object({
    shared: z
      .array(toldBriefly(contextOut.omit({ value: true }), 'key', 'version'))
      .describe('With agent, access, changed_at and expires_at.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { contexts }: Hub, { caller }) {
    const [after] = decodeCursor('list_shared_context', args, cursor, z.tuple([z.string()]), ['']);
    const { found, next } = await contexts.list(after, args.limit, caller);
    const rows = fitting(found.map(contextRow));
    const place = rows.length < found.length ? found[rows.length - 1]?.place : next;
    return {
      shared: rows,
      ...continued('list_shared_context', args, place === undefined ? undefined : [place]),
    };
  },
});

export const deleteSharedContext = defineTool({
  name: 'delete_shared_context',
  title: 'Delete Shared Context',
  description: 'Stop sharing a value that your token shares.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ agent: actingField, key: contextKey }),
  output: z.object({ deleted: z.boolean().describe('Whether it was yours.') }),
  handler: async ({ agent, key }, { contexts }: Hub, { caller }) => ({
    deleted: await contexts.remove(key, agent, caller),
  }),
});

export const sharingTools = [
  reserveNames,
  releaseNames,
  listReservations,
  shareContext,
  getSharedContext,
  listSharedContext,
  deleteSharedContext,
];
