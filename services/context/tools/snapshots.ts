import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  levelField,
  listPosition,
  listStart,
  placeAfter,
  nameField,
  notFoundOut,
  pageField,
  sessionField,
  startPosition,
  textField,
} from '../fields.ts';
import { levelNames, maxItemsPerCall, maxSnapshotLength, requireAtMost } from '../limits.ts';
import { continued, fitting, pageOf, withCursor } from '#runtime/page.ts';
import type { Listed, SnapshotRow } from '../store/shelf.ts';
import type { Entry, Store } from '../store/store.ts';

const snapshotId = z
  .string()
  .regex(/^snap_[0-9a-f]{16}$/, 'must be an id like snap_ and 16 hexadecimal digits')
  .describe('Id of a snapshot.');

const viewOf = (row: Listed<SnapshotRow>) => ({
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
  key: nameField('Name, such as plan or messages.'),
  text: textField('Text.'),
});

export const saveSnapshot = defineTool({
  name: 'save_snapshot',
  title: 'Save Snapshot',
  description:
    'Save the working state as named texts, to compare with diff_snapshots or go back to with restore_snapshot. Outputs that it names are kept as long.',
  effect: 'write',
  hints: adding,
  input: z.object({
    name: nameField('What it is of; the same again for a later one.'),
    entries: z.array(entry).min(1).max(maxItemsPerCall).describe('The texts.'),
    level: levelField.default('session').describe('ephemeral: in memory only, for a day.'),
    session_id: sessionField,
  }),
  output: z.object({
    snapshot_id: z.string().describe('Id.'),
    created_at: z.string().describe('When.'),
    expires_at: z.string().optional().describe('Absent: kept until it is deleted.'),
  }),

  async handler({ name, entries, ...keep }, store: Store, call) {
    const length = entries.reduce((sum, { key, text }) => sum + key.length + text.length, 0);
    requireAtMost(length, maxSnapshotLength, 'Characters of the snapshot');
    if (new Set(entries.map(({ key }) => key)).size < entries.length) {
      throw new ToolError('invalid_input', 'Two entries have the same key.');
    }
    const { snapshot_id, created_at, expires_at } = viewOf(
      await store.saveSnapshot(name, entries, keep, call),
    );
    return { snapshot_id, created_at, ...(expires_at !== undefined && { expires_at }) };
  },
});

const listedOut = z.object({
  snapshot_id: z.string().describe('Id.'),
  name: z.string(),
  level: z.enum(levelNames),
  session_id: z.string().optional(),
  entries: z.int(),
  characters: z.int(),
  created_by: z.string(),
  created_at: z.string(),
  expires_at: z.string().optional(),
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
  output: z.object({
    snapshots: z
      .array(toldBriefly(listedOut, 'snapshot_id'))
      .describe(
        'Newest first, with name, level, session_id, entries (how many), characters, created_by, created_at and expires_at, without which it is kept until it is deleted.',
      ),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const below = decodeCursor('list_snapshots', args, cursor, listPosition, listStart);
    const rows = await store.listSnapshots(args, below, args.limit, call);
    const snapshots = fitting(rows.slice(0, args.limit).map(viewOf));
    return { snapshots, ...continued('list_snapshots', args, placeAfter(rows, snapshots.length)) };
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
    keys: z.array(nameField('Key.')).min(1).max(maxItemsPerCall).optional().describe('Only these entries.'),
    limit: pageField,
    cursor: cursorField,
  }),
  output: z.object({
    name: z.string().describe('Of the snapshot.'),
    created_at: z.string().describe('When.'),
    entries: z
      .array(
        z.object({
          key: z.string().describe('Key.'),
          text: z.string().describe('Text, or a part of it.'),
          offset: z.int().optional().describe('Where the part begins: join those of one key.'),
        }),
      )
      .describe('As they were saved.'),
    not_found: notFoundOut.optional(),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { name, created_at, entries } = await store.snapshot(args.snapshot_id, call);
    const keys = new Set(entries.map(({ key }) => key));
    const missing = args.keys?.filter((key) => !keys.has(key)) ?? [];
    if (missing.length > 0 && missing.length === args.keys?.length) {
      throw new ToolError('not_found', `The snapshot has no entry ${missing[0]}.`, {
        hint: 'Leave keys out to get all entries.',
      });
    }
    const asked = new Set(args.keys ?? keys);
    const wanted = entries.filter(({ key }) => asked.has(key));
    const shape = z.tuple([z.int().min(0), z.int().min(0)]);
    let [at, offset] = decodeCursor('restore_snapshot', args, cursor, shape, [0, 0]);
    const parts = [];
    for (let room = args.limit; at < wanted.length && room > 0;) {
      const { key, text } = wanted[at] as Entry;
      const page = pageOf(text, offset, room);
      parts.push({ key, text: page.text, ...(offset > 0 && { offset }) });
      room -= Buffer.byteLength(key) + Buffer.byteLength(page.text) + 1;
      [at, offset] = page.next === undefined ? [at + 1, 0] : [at, page.next];
      if (page.next !== undefined) break;
    }
    return {
      name,
      created_at,
      entries: parts,
      ...(missing.length > 0 && { not_found: missing }),
      ...continued('restore_snapshot', args, at < wanted.length ? [at, offset] : undefined),
    };
  },
});

export const diffSnapshots = defineTool({
  name: 'diff_snapshots',
  title: 'Compare Snapshots',
  description: 'Show what changed from one snapshot to another, entry by entry, as a unified diff.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    from: snapshotId.describe('The earlier one.'),
    to: snapshotId.describe('The later one.'),
    context_lines: z.int().min(0).max(100).default(3).describe('Unchanged lines around a change.'),
    limit: pageField,
    cursor: cursorField,
  }),
  output: z.object({
    changes: z
      .array(
        z.object({
          key: z.string().describe('Key.'),
          status: z.enum(['added', 'removed', 'changed']).describe('What became of it.'),
          lines_added: z.int().describe('New lines.'),
          lines_removed: z.int().describe('Lines that went.'),
        }),
      )
      .describe('Entries of which this page shows something.'),
    changed: z.int().describe('Entries that differ in all.'),
    diff: z.string().describe('In the unified format.'),
    ...continuation,
  }),
  text: ({ diff, next_cursor: cursor }) => withCursor(diff || 'Nothing differs.', cursor),

  async handler({ cursor, ...args }, store: Store, call) {
    const [start] = decodeCursor('diff_snapshots', args, cursor, startPosition, [0]);
    const before = textsOf(await store.snapshot(args.from, call));
    const after = textsOf(await store.snapshot(args.to, call));
    const { changes } = await store.compare({ before, after, context: args.context_lines }, call);
    const page = pageOf(changes.map(({ text }) => text).join(''), start, args.limit);
    const end = start + page.text.length;
    let at = 0;
    const shown = changes.filter(({ text }) => {
      at += text.length;
      return at > start && at - text.length < end;
    });
    return {
      changes: shown.map(({ key, status, added, removed }) => ({
        key,
        status,
        lines_added: added,
        lines_removed: removed,
      })),
      changed: changes.length,
      diff: page.text,
      ...continued('diff_snapshots', args, page.next === undefined ? undefined : [page.next]),
    };
  },
});

const textsOf = ({ entries }: { readonly entries: readonly Entry[] }) =>
  new Map(entries.map(({ key, text }) => [key, text]));

export const deleteSnapshot = defineTool({
  name: 'delete_snapshot',
  title: 'Delete Snapshot',
  description: 'Delete a snapshot that you saved for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ snapshot_id: snapshotId }),
  output: z.object({ deleted: z.string().describe('Its id.') }),

  async handler({ snapshot_id: id }, store: Store, call) {
    await store.deleteSnapshot(id, call);
    return { deleted: id };
  },
});
