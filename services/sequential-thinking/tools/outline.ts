import { z } from 'zod';

import { continuation, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { maxRevisionsRead } from '../limits.ts';
import { partingOf, pathOf, revisionChains } from '../outline.ts';
import { excerpt, sessionOut, sessionOf } from '../session-view.ts';
import type { Session } from '../sessions.ts';
import type { Store } from '../store.ts';
import { lineName, sessionId } from '../thought-schema.ts';
import { end, mainLine, type Branch, type Segment, type ThoughtRow } from '../thoughts.ts';

const maxListed = 50;
/** Of all thoughts that reconsider another. */
const maxRevisionsListed = 200;
const maxCompared = 8;

const { truncated } = continuation;
const numbered = z.object({ position: z.int(), thoughtNumber: z.int() });
const thought = numbered.extend({ thought: z.string().describe('Text, maybe cut.') });
const shortThought = toldBriefly(thought, 'thought');

const shortened = ({ position, number, text }: ThoughtRow, length: number) => ({
  position,
  thoughtNumber: number,
  thought: excerpt(text, length),
});

const line = z.object({
  branchId: z.string().describe('Name; an empty text is the main line.'),
  fromThought: z.int().optional(),
  thoughts: z.int(),
  finished: z.boolean(),
  last: thought.optional(),
});
const lineTold = 'fromThought (where it left), thoughts (how many), finished and last';

function lineView({ thoughts }: Store, session: Session, branch: Branch | undefined, length: number) {
  const line = branch?.id ?? mainLine;
  const last = thoughts.lastUpTo(session, { line, position: end });
  return {
    branchId: branch?.name ?? '',
    ...(branch && { fromThought: branch.from_number }),
    thoughts: branch?.thoughts ?? thoughts.count(session, { line, after: 0, upTo: end }),
    finished: last?.next_needed === 0,
    ...(last && { last: shortened(last, length) }),
  };
}

const quoted = (initial: number) =>
  z.int().min(500).max(100_000).default(initial).describe('About how much of thoughts to quote.');

export const getSummary = defineTool({
  name: 'get_summary',
  title: 'Get Summary',
  description:
    'See where a session stands: how it begins and ends, its branches and which are open, and what was reconsidered. Use to resume one.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    session_id: sessionId,
    max_chars: quoted(4_000),
  }),
  output: z.object({
    session: sessionOut,
    first: shortThought.optional().describe('The first thought.'),
    last: shortThought.optional().describe('The last thought.'),
    branches: z
      .array(toldBriefly(line, 'branchId'))
      .describe(`The main line and the newest ${maxListed} branches, with ${lineTold}.`),
    revisions: z
      .array(toldBriefly(z.object({ of: numbered, by: z.array(numbered) })))
      .describe(
        `The newest ${maxListed}: of which thought, and by which, the newest ${maxListed}; the last holds.`,
      ),
    truncated,
  }),

  handler: async ({ session_id: handle, max_chars: characters }, store: Store, call) =>
    store.inTurns(call, summary(store, handle, characters)),
});

function* summary(store: Store, handle: string, characters: number) {
  const session = store.sessions.get(handle);
  const all = store.thoughts.branches(session);
  const shown = all.slice(-maxListed);
  const length = Math.floor(characters / (shown.length + 3));
  const found = store.thoughts.revisions(session);
  const chains = revisionChains(found);
  yield;
  const first = store.thoughts.at(session, 1);
  const last = store.thoughts.at(session, session.thoughts);
  const branches = [];
  for (const branch of [undefined, ...shown]) {
    branches.push(lineView(store, session, branch, length));
    yield;
  }
  let room = maxRevisionsListed;
  const revisions = chains
    .slice(-maxListed)
    .toReversed()
    .map(({ of, by }) => {
      const newest = by.slice(-Math.max(1, Math.min(maxListed, room)));
      room -= newest.length;
      return { of, by: newest };
    })
    .toReversed();
  const isCut =
    shown.length < all.length ||
    found.length === maxRevisionsRead ||
    revisions.reduce((sum, { by }) => sum + by.length, 0) < found.length;
  return {
    session: sessionOf(session),
    ...(first && { first: shortened(first, length) }),
    ...(last && { last: shortened(last, length) }),
    branches,
    revisions,
    ...(isCut && { truncated: true as const }),
  };
}

export const compareBranches = defineTool({
  name: 'compare_branches',
  title: 'Compare Branches',
  description: 'Put branches of a session side by side: what they share, and what each thinks after it.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    session_id: sessionId,
    branches: z
      .array(lineName.describe('Name; an empty text is the main line.'))
      .min(2)
      .max(maxCompared)
      .optional()
      .describe('Which; the main line and the newest branches if left out.'),
    limit: z.int().min(1).max(50).default(10).describe('Most thoughts of each.'),
    max_chars: quoted(8_000),
  }),
  output: z.object({
    shared: z.int().describe('Thoughts that all share.'),
    parting: shortThought.optional().describe('The last of these.'),
    branches: z
      .array(toldBriefly(line.extend({ own: z.int(), after_parting: z.array(thought) }), 'branchId'))
      .describe(
        `As asked for, with ${lineTold}, own (thoughts that are not shared by all) and after_parting, the first of these.`,
      ),
    truncated,
  }),

  handler: async ({ session_id: handle, branches, limit, max_chars: characters }, store: Store, call) =>
    store.inTurns(call, comparison(store, handle, branches, limit, characters)),
});

function* comparison(
  store: Store,
  handle: string,
  asked: readonly string[] | undefined,
  limit: number,
  characters: number,
) {
  const session = store.sessions.get(handle);
  const all = store.thoughts.branches(session);
  const byId = new Map(all.map((branch) => [branch.id, branch]));
  const lines = asked
    ? [...new Set(asked)].map((name) => store.thoughts.lineOf(session, name))
    : [mainLine, ...all.slice(1 - maxCompared).map(({ id }) => id)];
  const { shared, own } = partingOf(lines.map((line) => pathOf(line, byId)));
  const length = Math.floor(characters / (lines.length * (limit + 1) + 1));
  const parted = shared.at(-1);
  const parting = parted && store.thoughts.lastUpTo(session, { line: parted.line, position: parted.upTo });
  const branches = [];
  for (const [index, line] of lines.entries()) {
    const segments = own[index] ?? [];
    branches.push({
      ...lineView(store, session, byId.get(line), length),
      own: yield* countOf(store, session, segments),
      after_parting: yield* firstOf(store, session, segments, limit, length),
    });
  }
  const isCut =
    branches.some((one) => one.own > one.after_parting.length) || (!asked && all.length >= maxCompared);
  return {
    shared: yield* countOf(store, session, shared),
    ...(parting && { parting: shortened(parting, length) }),
    branches,
    ...(isCut && { truncated: true as const }),
  };
}

function* countOf({ thoughts }: Store, session: Session, segments: readonly Segment[]): Steps<number> {
  let count = 0;
  for (const segment of segments) {
    count += thoughts.count(session, segment);
    yield;
  }
  return count;
}

/** One by one: each may be long, of which little is shown. */
function* firstOf(
  { thoughts }: Store,
  session: Session,
  segments: readonly Segment[],
  limit: number,
  length: number,
) {
  const found: ReturnType<typeof shortened>[] = [];
  for (const segment of segments) {
    for (let after = segment.after; found.length < limit;) {
      const [row] = thoughts.within(session, { ...segment, after }, 1);
      if (!row) break;
      found.push(shortened(row, length));
      after = row.position;
      yield;
    }
  }
  return found;
}
