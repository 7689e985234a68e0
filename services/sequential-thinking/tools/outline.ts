import { z } from 'zod';

import { continuation } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { maxRevisionsRead } from '../limits.ts';
import { partingOf, pathOf, revisionChains } from '../outline.ts';
import { excerpt, sessionFields, sessionOf } from '../session-view.ts';
import type { Session } from '../sessions.ts';
import type { Store } from '../store.ts';
import { lineName, sessionId } from '../thought-schema.ts';
import { end, mainLine, type Branch, type Segment, type ThoughtRow } from '../thoughts.ts';

const maxListed = 50;
const maxCompared = 8;

const { truncated } = continuation;
const numbered = z.object({
  position: z.int().describe('Place in the session.'),
  thoughtNumber: z.int().describe('Number.'),
});
const shortThought = numbered.extend({ thought: z.string().describe('The text, maybe shortened.') });

const shortened = ({ position, number, text }: ThoughtRow, length: number) => ({
  position,
  thoughtNumber: number,
  thought: excerpt(text, length),
});

const lineFields = {
  branchId: z.string().describe('Name; an empty text is the main line.'),
  fromThought: z.int().optional().describe('Number of the thought that it left from.'),
  thoughts: z.int().describe('Thoughts on it.'),
  finished: z.boolean().describe('Whether its last thought needs no other.'),
  last: shortThought.optional().describe('Its last thought.'),
};

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
  z.int().min(500).max(100_000).default(initial).describe('About how many characters of thoughts to quote.');

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
    session: z.object(sessionFields).describe('The session.'),
    first: shortThought.optional().describe('The first thought.'),
    last: shortThought.optional().describe('The last thought.'),
    branches: z
      .array(z.object(lineFields))
      .describe(`The main line and the newest ${maxListed} branches, in order.`),
    revisions: z
      .array(
        z.object({
          of: numbered.describe('The thought that was reconsidered.'),
          by: z
            .array(numbered)
            .describe(`The newest ${maxListed} of those that did, in order; the last is what holds.`),
        }),
      )
      .describe(`The newest ${maxListed}.`),
    truncated,
  }),

  handler: ({ session_id: handle, max_chars: characters }, store: Store) =>
    store.snapshot(() => {
      const session = store.sessions.get(handle);
      const branches = store.thoughts.branches(session);
      const shown = branches.slice(-maxListed);
      const length = Math.floor(characters / (shown.length + 3));
      const found = store.thoughts.revisions(session);
      const chains = revisionChains(found);
      const [first] = store.thoughts.after(session, 0);
      const [last] = store.thoughts.after(session, session.thoughts - 1);
      const isCut =
        shown.length < branches.length ||
        chains.length > maxListed ||
        chains.some(({ by }) => by.length > maxListed) ||
        found.length === maxRevisionsRead;
      return {
        session: sessionOf(session),
        ...(first && { first: shortened(first, length) }),
        ...(last && { last: shortened(last, length) }),
        branches: [undefined, ...shown].map((branch) => lineView(store, session, branch, length)),
        revisions: chains.slice(-maxListed).map(({ of, by }) => ({ of, by: by.slice(-maxListed) })),
        ...(isCut && { truncated: true as const }),
      };
    }),
});

export const compareBranches = defineTool({
  name: 'compare_branches',
  title: 'Compare Branches',
  description:
    'Put branches of a session side by side: the last thought that they share, and what each thinks after it.',
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
    limit: z.int().min(1).max(50).default(10).describe('Most thoughts of each branch.'),
    max_chars: quoted(8_000),
  }),
  output: z.object({
    shared: z.int().describe('Thoughts that all of them share.'),
    parting: shortThought.optional().describe('The last of these.'),
    branches: z
      .array(
        z.object({
          ...lineFields,
          own: z.int().describe('Thoughts that lead to its end and are not shared by all.'),
          after_parting: z.array(shortThought).describe('The first of these, in order.'),
        }),
      )
      .describe('As asked for.'),
    truncated,
  }),

  handler: ({ session_id: handle, branches: asked, limit, max_chars: characters }, store: Store) =>
    store.snapshot(() => {
      const session = store.sessions.get(handle);
      const all = store.thoughts.branches(session);
      const byId = new Map(all.map((branch) => [branch.id, branch]));
      const lines = asked
        ? [...new Set(asked)].map((name) => store.thoughts.lineOf(session, name))
        : [mainLine, ...all.slice(1 - maxCompared).map(({ id }) => id)];
      const { shared, own } = partingOf(lines.map((line) => pathOf(line, byId)));
      const count = (segments: readonly Segment[]) =>
        segments.reduce((sum, segment) => sum + store.thoughts.count(session, segment), 0);
      const length = Math.floor(characters / (lines.length * (limit + 1) + 1));
      const parted = shared.at(-1);
      const parting =
        parted && store.thoughts.lastUpTo(session, { line: parted.line, position: parted.upTo });
      const compared = lines.map((line, index) => {
        const segments = own[index] ?? [];
        const thoughts: ThoughtRow[] = [];
        for (const segment of segments)
          thoughts.push(...store.thoughts.within(session, segment, limit - thoughts.length));
        return {
          ...lineView(store, session, byId.get(line), length),
          own: count(segments),
          after_parting: thoughts.map((row) => shortened(row, length)),
        };
      });
      const isCut =
        compared.some((one) => one.own > one.after_parting.length) || (!asked && all.length >= maxCompared);
      return {
        shared: count(shared),
        ...(parting && { parting: shortened(parting, length) }),
        branches: compared,
        ...(isCut && { truncated: true as const }),
      };
    }),
});
