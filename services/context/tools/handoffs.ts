import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { nameField, sessionField, textField, listPosition, listStart } from '../fields.ts';
import { documentOf } from '../store/handoff-document.ts';
import type { Handoff } from '../store/handoffs.ts';
import { maxHandoffLength, requireAtMost } from '../limits.ts';
import { handoffUri, type Store } from '../store/store.ts';

const handoffId = z
  .string()
  .regex(/^hand_[0-9a-f]{16}$/, 'must be an id like hand_ and 16 hexadecimal digits')
  .describe('Id that create_handoff returned.');

const points = (description: string) =>
  z.array(textField('One point.')).max(200).default([]).describe(description);

const summaryOut = {
  handoff_id: z.string().describe('Id.'),
  status: z.enum(['open', 'accepted']).describe('accepted: somebody goes on with it.'),
  goal: z.string().describe('What is to be reached; cut in lists.'),
  session_id: z.string().optional().describe('Session.'),
  meant_for: z.string().optional().describe('The only token that may accept it.'),
  created_by: z.string().describe('Name of the token that wrote it.'),
  created_at: z.string().describe('When (UTC).'),
  accepted_by: z.string().optional().describe('Name of the token that accepted it.'),
  accepted_at: z.string().optional().describe('When (UTC).'),
};

const pointsOut = z.array(z.string());
const handoffOut = z.object({
  ...summaryOut,
  state: z.string().describe('How things stand.'),
  decisions: pointsOut.describe('What was decided, and why.'),
  open_questions: pointsOut.describe('What is not known.'),
  files: pointsOut.describe('Files that matter.'),
  next_actions: pointsOut.describe('What to do next.'),
  document: z.string().describe('All of it in Markdown.'),
});

const summaryOf = (handoff: Handoff) => ({
  handoff_id: handoff.id,
  status: handoff.state,
  goal: handoff.sections.goal,
  ...(handoff.session_id !== null && { session_id: handoff.session_id }),
  ...(handoff.meant_for !== null && { meant_for: handoff.meant_for }),
  created_by: handoff.created_by,
  created_at: handoff.created_at,
  ...(handoff.accepted_by !== null && { accepted_by: handoff.accepted_by }),
  ...(handoff.accepted_at !== null && { accepted_at: handoff.accepted_at }),
});

function handoffOf(handoff: Handoff) {
  const { decisions, open_questions: questions, files, next_actions: actions } = handoff.sections;
  return {
    ...summaryOf(handoff),
    state: handoff.sections.state,
    decisions: [...decisions],
    open_questions: [...questions],
    files: [...files],
    next_actions: [...actions],
    document: documentOf(handoff),
  };
}

export const createHandoff = defineTool({
  name: 'create_handoff',
  title: 'Create Handoff',
  description:
    'Write down where the work stands so that another agent can go on: goal, state, decisions, open questions, files, next actions. Outputs that it names are kept as long.',
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
    meant_for: nameField('Name of the only token that may accept it; anyone unless given.').optional(),
  }),
  output: z.object(summaryOut),

  handler({ session_id: session, meant_for: meantFor, ...sections }, store: Store, call) {
    requireAtMost(JSON.stringify(sections).length, maxHandoffLength, 'Characters of the handoff');
    return summaryOf(store.handoffs.create(sections, session, meantFor, call));
  },
});

export const readHandoff = defineTool({
  name: 'read_handoff',
  title: 'Read Handoff',
  description: 'Read a handoff without accepting it.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ handoff_id: handoffId }),
  output: handoffOut,
  text: ({ document }) => document,

  handler: ({ handoff_id: id }, store: Store, call) => handoffOf(store.handoffs.get(id, call)),
});

export const acceptHandoff = defineTool({
  name: 'accept_handoff',
  title: 'Accept Handoff',
  description:
    'Take over a handoff and read it. Only one can: a handoff that was accepted before is a conflict.',
  effect: 'write',
  untrusted: 'bounded',
  hints: adding,
  input: z.object({ handoff_id: handoffId }),
  output: handoffOut,
  text: ({ document }) => document,

  handler({ handoff_id: id }, store: Store, call) {
    const accepted = store.handoffs.accept(id, call);
    call.resourceUpdated(handoffUri(id));
    return handoffOf(accepted);
  },
});

const goalShown = 300;

export const listHandoffs = defineTool({
  name: 'list_handoffs',
  title: 'List Handoffs',
  description: 'List handoffs, newest first. Use status open to find work to take over.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    status: z.enum(['open', 'accepted']).optional().describe('Only these.'),
    session_id: sessionField.describe('Only of this session.'),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({ handoffs: z.array(z.object(summaryOut)).describe('Newest first.'), ...continuation }),

  handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_handoffs', args, cursor, listPosition, listStart);
    const { status: state, session_id: session } = args;
    const rows = store.handoffs.list({ state, session_id: session }, below, args.limit + 1, call);
    const found = rows.slice(0, args.limit);
    const last = found.at(-1);
    return {
      handoffs: found
        .map(summaryOf)
        .map((each) => ({ ...each, goal: each.goal.slice(0, goalShown).toWellFormed() })),
      ...(rows.length > found.length &&
        last && {
          truncated: true as const,
          next_cursor: encodeCursor('list_handoffs', args, [last.created_at, last.id]),
        }),
    };
  },
});
