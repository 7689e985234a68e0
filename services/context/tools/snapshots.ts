import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { levelField, nameField, sessionField, textField, listPosition, listStart } from '../fields.ts';
import {
  levelNames,
  maxItemsPerCall,
  maxPageLength,
  maxSnapshotLength,
  pageLength,
  requireAtMost,
} from '../limits.ts';
import { lineDiff } from '../compress/line-diff.ts';
import { pageOf } from '../page.ts';
import type { SnapshotRow } from '../store/shelf.ts';
import type { Entry, Store } from '../store/store.ts';

const snapshotId = z
  .string()
  .regex(/^snap_[0-9a-f]{16}$/, 'must be an id like snap_ and 16 hexadecimal digits')
  .describe('Id that save_snapshot returned.');

const snapshotOut = {
  snapshot_id: z.string().describe('Id.'),
  name: z.string().describe('Name.'),
  level: z.enum(levelNames).describe('Level.'),
  session_id: z.string().optional().describe('Session.'),
  entries: z.int().describe('How many entries.'),
  characters: z.int().describe('Length of their texts.'),
  created_by: z.string().describe('Name of the token that saved it.'),
  created_at: z.string().describe('When (UTC).'),
  expires_at: z.string().optional().describe('Until when it is kept; absent: until it is deleted.'),
};

const snapshotOf = (row: Omit<SnapshotRow, 'entries'>) => ({
  snapshot_id: row.id,
  name: row.name,
  level: row.level,
  ...(row.session_id !== null && { session_id: row.session_id }),
  entries: row.entry_count,
  characters: row.length,
  created_by: row.created_by,
  created_at: row.created_at,
  ...(row.expires_at !== null && { expires_at: row.expires_at }),
});

const entry = z.strictObject({
  key: nameField('Name of the entry, such as plan or messages.'),
  text: textField('Its text.'),
});

export const saveSnapshot = defineTool({
  name: 'save_snapshot',
  title: 'Save Snapshot',
  description:
    'Save the working state as named texts (plan, findings, messages ...), to compare with diff_snapshots or go back to with restore_snapshot. Outputs that it names are kept as long.',
  effect: 'write',
  hints: adding,
  input: z.object({
    name: nameField('What it is a snapshot of; the same again for a later one.'),
    entries: z.array(entry).min(1).max(maxItemsPerCall).describe('The texts.'),
    level: levelField.default('session').describe('ephemeral: in memory only, for a day.'),
    session_id: sessionField,
  }),
  output: z.object(snapshotOut),

  handler({ name, entries, ...keep }, store: Store, call) {
    const length = entries.reduce((sum, { key, text }) => sum + key.length + text.length, 0);
    requireAtMost(length, maxSnapshotLength, 'Characters of the snapshot');
    if (new Set(entries.map(({ key }) => key)).size < entries.length) {
      throw new ToolError('invalid_input', 'Two entries have the same key.');
    }
    return snapshotOf(store.saveSnapshot(name, entries, keep, call));
  },
});

export const listSnapshots = defineTool({
  name: 'list_snapshots',
  title: 'List Snapshots',
  description: 'List snapshots, newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    name: nameField('Only of this name.').optional(),
    level: levelField.optional().describe('Only of this level.'),
    session_id: sessionField.describe('Only of this session.'),
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({ snapshots: z.array(z.object(snapshotOut)).describe('Newest first.'), ...continuation }),

  handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_snapshots', args, cursor, listPosition, listStart);
    const { found, next } = store.listSnapshots(args, below, args.limit, call);
    return {
      snapshots: found.map(snapshotOf),
      ...(next && { truncated: true as const, next_cursor: encodeCursor('list_snapshots', args, next) }),
    };
  },
});

export const restoreSnapshot = defineTool({
  name: 'restore_snapshot',
  title: 'Restore Snapshot',
  description: 'Get back the texts of a snapshot, all or some, to go on from there. Changes nothing.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    snapshot_id: snapshotId,
    keys: z
      .array(nameField('Key of an entry.'))
      .min(1)
      .max(maxItemsPerCall)
      .optional()
      .describe('Only these entries.'),
    limit: z
      .int()
      .min(100)
      .max(maxPageLength)
      .default(pageLength)
      .describe('Most characters of text to return.'),
    cursor: cursorField,
  }),
  output: z.object({
    snapshot: z.object(snapshotOut).describe('Which snapshot it is.'),
    entries: z
      .array(
        z.object({
          key: z.string().describe('Key.'),
          text: z.string().describe('Its text, or the part of it that had room.'),
          offset: z.int().optional().describe('Where the part begins, if not at 0: join parts of one key.'),
        }),
      )
      .describe('In the order in which they were saved.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store, call) {
    const snapshot = store.snapshot(args.snapshot_id, call);
    const missing = args.keys?.find((key) => !snapshot.entries.some((each) => each.key === key));
    if (missing !== undefined) {
      throw new ToolError('not_found', `The snapshot has no entry ${missing}.`, {
        hint: 'Leave keys out to get all entries.',
      });
    }
    const wanted = snapshot.entries.filter(({ key }) => args.keys?.includes(key) ?? true);
    const shape = z.tuple([z.int().min(0), z.int().min(0)]);
    let [at, offset] = decodeCursor('restore_snapshot', args, cursor, shape, [0, 0]);
    const parts = [];
    for (let room = args.limit; at < wanted.length && room > 0;) {
      const { key, text } = wanted[at] ?? { key: '', text: '' };
      const page = pageOf(text, offset, room);
      parts.push({ key, text: page.text, ...(offset > 0 && { offset }) });
      room -= page.text.length + 1;
      [at, offset] = page.next === undefined ? [at + 1, 0] : [at, page.next];
      if (page.next !== undefined) break;
    }
    return {
      snapshot: snapshotOf(snapshot),
      entries: parts,
      ...(at < wanted.length && {
        truncated: true as const,
        next_cursor: encodeCursor('restore_snapshot', args, [at, offset]),
      }),
    };
  },
});

export const diffSnapshots = defineTool({
  name: 'diff_snapshots',
  title: 'Compare Snapshots',
  description: 'Show what changed from one snapshot to another, entry by entry and line by line.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    from: snapshotId.describe('Id of the earlier one.'),
    to: snapshotId.describe('Id of the later one.'),
    context_lines: z.int().min(0).max(100).default(3).describe('Unchanged lines to show around a change.'),
    limit: z
      .int()
      .min(100)
      .max(maxPageLength)
      .default(pageLength)
      .describe('Most characters of the diff to return.'),
    cursor: cursorField,
  }),
  output: z.object({
    changes: z
      .array(
        z.object({
          key: z.string().describe('Key of the entry.'),
          status: z.enum(['added', 'removed', 'changed']).describe('What became of it.'),
          lines_added: z.int().describe('New lines.'),
          lines_removed: z.int().describe('Lines that went.'),
        }),
      )
      .describe('Entries that differ, sorted by key; the same on every page.'),
    diff: z.string().describe('In the unified format.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const [start] = decodeCursor('diff_snapshots', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const before = textsOf(store.snapshot(args.from, call).entries);
    const after = textsOf(store.snapshot(args.to, call).entries);
    const keys = [...new Set([...before.keys(), ...after.keys()])].toSorted();
    const { changes, diff } = await store.inTurns(
      call,
      (function* () {
        const found = [];
        const parts: string[] = [];
        for (const key of keys) {
          const [old, fresh] = [before.get(key), after.get(key)];
          if (old === fresh) continue;
          const status = old === undefined ? 'added' : fresh === undefined ? 'removed' : 'changed';
          const { text, added, removed } = yield* lineDiff(old, fresh, args.context_lines);
          found.push({ key, status, lines_added: added, lines_removed: removed } as const);
          parts.push(
            `--- ${old === undefined ? '(none)' : key}\n+++ ${fresh === undefined ? '(none)' : key}\n${text}`,
          );
        }
        return { changes: found, diff: parts.join('\n') };
      })(),
    );
    const page = pageOf(diff, start, args.limit);
    return {
      changes,
      diff: page.text,
      ...(page.next !== undefined && {
        truncated: true as const,
        next_cursor: encodeCursor('diff_snapshots', args, [page.next]),
      }),
    };
  },
});

const textsOf = (entries: readonly Entry[]) => new Map(entries.map(({ key, text }) => [key, text]));

export const deleteSnapshot = defineTool({
  name: 'delete_snapshot',
  title: 'Delete Snapshot',
  description: 'Delete a snapshot for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ snapshot_id: snapshotId }),
  output: z.object({ deleted: z.string().describe('Its id.') }),

  handler({ snapshot_id: id }, store: Store, call) {
    if (!store.deleteSnapshot(id, call)) {
      throw new ToolError('not_found', `There is no snapshot ${id}.`, { hint: 'Call list_snapshots.' });
    }
    return { deleted: id };
  },
});
