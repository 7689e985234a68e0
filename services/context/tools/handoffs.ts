import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  deletedOut,
  listPosition,
  listStart,
  placeAfter,
  nameField,
  notDeletedOut,
  sessionField,
  startPosition,
  textField,
} from '../fields.ts';
import { maxHandoffLength, maxItemsPerCall, requireAtMost } from '../limits.ts';
import { continued, fitting, pageOf, pageBytes } from '#runtime/page.ts';
import { documentOf } from '../store/handoff-document.ts';
import type { Handoff, Summary } from '../store/handoffs.ts';
import { handoffUri, type Store } from '../store/store.ts';

const handoffId = z
  .string()
  .regex(/^hand_[0-9a-f]{16}$/, 'must be an id like hand_ and 16 hexadecimal digits')
  .describe('Id of a handoff.');

const points = (description: string) =>
  z.array(textField('One point.')).max(200).default([]).describe(description);

const summaryOf = (handoff: Summary) => ({
  handoff_id: handoff.id,
  status: handoff.state,
  goal: handoff.goal,
  ...(handoff.session_id !== null && { session_id: handoff.session_id }),
  ...(handoff.meant_for !== null && { meant_for: handoff.meant_for }),
  created_by: handoff.created_by,
  created_at: handoff.created_at,
  ...(handoff.accepted_by !== null && { accepted_by: handoff.accepted_by }),
  ...(handoff.accepted_at !== null && { accepted_at: handoff.accepted_at }),
});

const summaryOut = z.object({
  handoff_id: z.string().describe('Id.'),
  status: z.enum(['open', 'accepted']),
  goal: z.string(),
  session_id: z.string().optional(),
  meant_for: z.string().optional(),
  created_by: z.string(),
  created_at: z.string(),
  accepted_by: z.string().optional(),
  accepted_at: z.string().optional(),
});
const summaryTold =
  'status, goal (how it begins), session_id, meant_for, created_by, created_at, accepted_by and accepted_at';

const handoffOut = toldBriefly(
  summaryOut.extend({
    handoff_id: z.string().describe(`Id; beside it ${summaryTold}.`),
    document: z.string().describe('All of it in Markdown, or a page.'),
    ...continuation,
  }),
  'handoff_id',
  'document',
  'truncated',
  'next_cursor',
);

/** A page of a handoff. Where it goes on, read_handoff does, whichever tool began. */
function pageOfHandoff(handoff: Handoff, start: number) {
  const page = pageOf(documentOf(handoff), start, pageBytes);
  const next = page.next === undefined ? undefined : [page.next];
  return {
    ...summaryOf(handoff),
    document: page.text,
    ...continued('read_handoff', { handoff_id: handoff.id }, next),
  };
}

const textOf = ({ document, next_cursor: cursor }: z.output<typeof handoffOut>) =>
  cursor === undefined ? document : `${document}\n[truncated: call read_handoff with cursor ${cursor}]`;

export const createHandoff = defineTool({
  name: 'create_handoff',
  title: 'Create Handoff',
  description:
    'Write down where the work stands so that another agent can go on. Outputs that it names are kept as long.',
  effect: 'write',
  hints: adding,
  input: z.object({
    goal: textField('What is to be reached.').min(1),
    state: textField('How things stand: done, in work, broken.').min(1),
    decisions: points('What was decided, and why.'),
    open_questions: points('What is not known.'),
    files: points('Files, handles and links that matter, and for what.'),
    next_actions: points('What to do next, first things first.'),
    session_id: sessionField,
    meant_for: nameField('Name of the only token, beside yours, that may see and accept it.').optional(),
  }),
  output: z.object({
    handoff_id: z.string().describe('Id.'),
    created_at: z.string().describe('When.'),
  }),

  handler({ session_id: session, meant_for: meantFor, ...sections }, store: Store, call) {
    requireAtMost(JSON.stringify(sections).length, maxHandoffLength, 'Characters of the handoff');
    const { id, created_at } = store.handoffs.create(sections, session, meantFor, call);
    return { handoff_id: id, created_at };
  },
});

export const readHandoff = defineTool({
  name: 'read_handoff',
  title: 'Read Handoff',
  description: 'Read a handoff without accepting it.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ handoff_id: handoffId, cursor: cursorField }),
  output: handoffOut,
  text: textOf,

  handler({ cursor, ...args }, store: Store, call) {
    const [start] = decodeCursor('read_handoff', args, cursor, startPosition, [0]);
    return pageOfHandoff(store.handoffs.get(args.handoff_id, call), start);
  },
});

export const acceptHandoff = defineTool({
  name: 'accept_handoff',
  title: 'Accept Handoff',
  description: 'Take over a handoff and read it. Only one can: for all others it is a conflict.',
  effect: 'write',
  untrusted: 'bounded',
  hints: adding,
  input: z.object({ handoff_id: handoffId }),
  output: handoffOut,
  text: textOf,

  handler({ handoff_id: id }, store: Store, call) {
    const accepted = store.handoffs.accept(id, call);
    call.resourceUpdated(handoffUri(id));
    return pageOfHandoff(accepted, 0);
  },
});

export const listHandoffs = defineTool({
  name: 'list_handoffs',
  title: 'List Handoffs',
  description: 'List handoffs, newest first; those with status open wait to be taken over.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    status: z.enum(['open', 'accepted']).optional().describe('Only these.'),
    session_id: sessionField.describe('Only of this session.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({
    handoffs: z.array(toldBriefly(summaryOut, 'handoff_id')).describe(`Newest first, with ${summaryTold}.`),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_handoffs', args, cursor, listPosition, listStart);
    const { status: state, session_id: session } = args;
    const rows = await store.listHandoffs({ state, session_id: session }, below, args.limit, call);
    const handoffs = fitting(rows.slice(0, args.limit).map(summaryOf));
    return { handoffs, ...continued('list_handoffs', args, placeAfter(rows, handoffs.length)) };
  },
});

export const deleteHandoffs = defineTool({
  name: 'delete_handoffs',
  title: 'Delete Handoffs',
  description: 'Delete handoffs that you wrote for good, accepted or not.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    handoff_ids: z.array(handoffId).min(1).max(maxItemsPerCall).describe('Their ids.'),
  }),
  output: z.object({ deleted: deletedOut, not_found: notDeletedOut }),

  async handler({ handoff_ids: ids }, store: Store, call) {
    const asked = [...new Set(ids)];
    const deleted = new Set(await store.deleteHandoffs(asked, call));
    for (const id of deleted) call.resourceUpdated(handoffUri(id));
    return { deleted: deleted.size, not_found: asked.filter((id) => !deleted.has(id)) };
  },
});
