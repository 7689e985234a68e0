/** Takes a change back by a change of its own: what it began ends, what it ended begins again. */
import { ToolError } from '#runtime/errors.ts';

import type { GraphStore } from './graph/graph-store.ts';
import { lookUpCost } from './limits.ts';
import { kinds, sameContent, type Change, type Journal, type Kind, type Rows } from './journal.ts';

/**
 * Undoing a change and undoing that undo alternate; the state of the newest of them is the one that stands.
 *
 * @returns the change that was taken back.
 * @throws ToolError not_found; conflict when later changes built on it.
 */
export function takeBack(
  journal: Journal,
  graph: GraphStore,
  change: Change,
  wanted: number | undefined,
): number {
  const target = wanted ?? journal.newestOf(change.author.caller);
  if (target === undefined) {
    throw new ToolError('not_found', 'You have made no change that stands.', {
      hint: 'Call get_history and pass the change_id of another caller.',
    });
  }
  const group = journal.groupOf(target);
  const [original, newest] = [group.at(0), group.at(-1)];
  if (original === undefined || newest === undefined) {
    throw new ToolError('not_found', `There is no change ${target}.`, { hint: 'Call get_history.' });
  }
  if ((group.length - 1 - group.indexOf(target)) % 2 === 1) {
    throw new ToolError('conflict', `Change ${target} is already undone, by change ${newest}.`, {
      hint: `Undo change ${newest} to bring it back.`,
    });
  }
  if (journal.isPurged(newest)) {
    throw new ToolError('conflict', `Of change ${newest} not everything is there any more: it was purged.`, {
      hint: 'It cannot be undone; store again what is missing.',
    });
  }
  change.undoing(original);
  try {
    revert(journal, graph, change, newest);
  } catch (error) {
    if (isUniqueViolation(error)) throw builtUpon(target, error);
    throw error;
  }
  return target;
}

const isUniqueViolation = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'SQLITE_CONSTRAINT_UNIQUE';

const builtUpon = (changeId: number, cause?: unknown) =>
  new ToolError('conflict', `Later changes built on change ${changeId}.`, {
    hint: 'Call get_history for them and undo them first, newest first.',
    ...(cause === undefined ? {} : { cause }),
  });

function revert(journal: Journal, graph: GraphStore, change: Change, changeId: number): void {
  const entities = new Set<number>();
  const each = <K extends Kind>(
    kind: K,
    rows: Iterable<Rows[K]>,
    act: (row: Rows[K], live: Rows[K] | undefined) => void,
  ) => {
    for (const row of rows) {
      act(row, journal.liveVersionOf(kind, row));
      for (const column of ['entity_id', 'from_id', 'to_id'] as const) {
        if (column in row) entities.add((row as unknown as Record<typeof column, number>)[column]);
      }
    }
  };
  // More than it may touch is too large, however many there are.
  const most = change.bounds.most + 1;
  for (const kind of kinds) {
    each(kind, journal.begunBy(kind, changeId, most), (row, live) => {
      // An undone later change leaves an equal version under another id.
      if (!live || !sameContent(kind, live, row)) throw builtUpon(changeId);
      change.end(kind, live);
    });
  }
  for (const kind of kinds) {
    each(kind, journal.endedBy(kind, changeId, most), (row, live) => {
      if (live || isSaidAnew(graph, kind, row)) throw builtUpon(changeId);
      change.insert(kind, row);
    });
  }
  change.spend(3 * lookUpCost * entities.size);
  if (!graph.isWhole(entities)) throw builtUpon(changeId);
}

/** Names as they are written and paths are kept unique by the database, the rest by those who write it. */
const isSaidAnew = <K extends Kind>(graph: GraphStore, kind: K, row: Rows[K]) =>
  (kind === 'observation' && graph.says(row as Rows['observation'])) ||
  (kind === 'entity' && graph.find((row as Rows['entity']).name) !== undefined);
