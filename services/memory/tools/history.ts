import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { reading, replacing, reshaping } from '#runtime/hints.ts';
import { instantField, instantForm, toUtc } from '#runtime/time.ts';
import { continuation, cursorField, limitField, storedText } from '#runtime/fields.ts';
import { answerTokens, bytesOf, bytesPerToken, nameField } from '../limits.ts';
import { memoryId } from '../memory-schema.ts';
import type { Store } from '../store.ts';

const factsShown = 20;
/** What JSON takes of a change beside its facts. */
const changeBytes = 300;
const changeId = z.int().positive();
const position = z.tuple([changeId]);

const facts = (description: string) => z.array(z.string()).describe(description);

const input = z.object({
  change_id: changeId.describe('Only this change.').optional(),
  entity: nameField('Only changes of this entity.').optional(),
  memory_id: memoryId.describe('Only changes of this memory.').optional(),
  path: storedText(512, 'Only changes of this file of the memory tool.').optional(),
  limit: limitField(200, 20),
  cursor: cursorField,
});
const output = z.object({
  changes: z
    .array(
      z.object({
        change_id: z.int().describe('Id of the change.'),
        at: z.string().describe('Time.'),
        caller: z.string().describe('Token that called.'),
        tool: z.string().describe('Tool that was called.'),
        undone: z.boolean().describe('Whether it is undone.'),
        undoes: z.int().optional().describe('The change that this undid or brought back.'),
        purged: z.literal(true).optional().describe('Parts of it are gone: it cannot be undone.'),
        added: facts(`At most ${factsShown}, shortened.`),
        removed: facts(`At most ${factsShown}, shortened.`),
        more: z.literal(true).optional().describe('It added or removed more than is shown.'),
      }),
    )
    .describe('Newest first.'),
  ...continuation,
});

export const getHistory = defineTool({
  name: 'get_history',
  title: 'Get History',
  description:
    'See what was changed, when and by whom, newest first: everything, or one entity, memory or file. Shows deleted and former content. Use before undo.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input,
  output,

  handler: (args, store: Store, call) => store.inTurns(call, told(args, store)),
});

type Told = z.input<typeof output>;

function* told({ cursor, ...args }: z.output<typeof input>, { history, journal }: Store): Steps<Told> {
  const [before] = decodeCursor('get_history', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
  const { limit, ...filter } = args;
  const found = yield* history.entries(filter, before, limit + 1);
  const changes: Told['changes'] = [];
  let left = answerTokens * bytesPerToken;
  for (const { id, at, caller, tool, undoes, undone } of found.slice(0, limit)) {
    const { added, removed } = history.facts(id, factsShown + 1);
    const shown = [added, removed].map((facts) => facts.slice(0, factsShown));
    left -= changeBytes + bytesOf(...shown.flat());
    if (left < 0 && changes.length > 0) break;
    changes.push({
      change_id: id,
      at,
      caller,
      tool,
      undone: undone === 1,
      ...(undoes !== null && { undoes }),
      ...(journal.isPurged(id) && { purged: true as const }),
      added: shown[0] ?? [],
      removed: shown[1] ?? [],
      ...((added.length > factsShown || removed.length > factsShown) && { more: true as const }),
    });
    yield;
  }
  const last = changes.at(-1);
  return {
    changes,
    ...(last &&
      found.length > changes.length && {
        truncated: true as const,
        next_cursor: encodeCursor('get_history', args, [last.change_id]),
      }),
  };
}

// It takes back what others may have built on, and a token that may not delete could delete with it: hence `destroy`.
export const undo = defineTool({
  name: 'undo',
  title: 'Undo',
  description:
    'Take back one change of graph, memories or files: your newest, or any by id. Fails if later changes built on it. Undo the undo to bring it back.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({ change_id: changeId.describe('From get_history; your newest if left out.').optional() }),
  output: z.object({ undone: z.int().describe('The change that was taken back.') }),

  handler: (args, store: Store, call) => store.change('undo', args.change_id, call),
});

export const purgeHistory = defineTool({
  name: 'purge_history',
  title: 'Purge History',
  description:
    'Delete for good what you stored and what was deleted, replaced or expired since: it no longer counts in your quota, and undo cannot bring it back. Call again while there is more.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    before: instantField(
      `Only what ended before this time (${instantForm}); everything if left out.`,
    ).optional(),
  }),
  output: z.object({
    purged: z.int().describe('How many versions.'),
    bytes: z.int().describe('What they counted for.'),
    more: z.boolean().describe('Whether there is more.'),
  }),

  handler: ({ before }, store: Store, call) =>
    store.change('purge_history', before === undefined ? undefined : toUtc(before), call),
});
