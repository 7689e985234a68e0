/** Thoughts and branches of sessions: the only SQL that writes and reads them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import {
  checkLength,
  maxBranches,
  maxBranchIdLength,
  maxLinesLookedAt,
  maxRevisionsRead,
  maxThoughtLength,
  maxThoughtsPerSession,
} from './limits.ts';
import type { Session } from './sessions.ts';
import type { Said, SaidThought, Thought } from './thought-schema.ts';

/** The line of thoughts that belong to no branch. */
export const mainLine = 0;

export interface Branch {
  readonly id: number;
  readonly name: string;
  readonly from_number: number;
  readonly from_line: number | null;
  readonly from_position: number | null;
  readonly thoughts: number;
}

export interface ThoughtRow {
  readonly position: number;
  readonly line: number;
  readonly number: number;
  readonly total: number;
  readonly next_needed: number;
  readonly is_revision: number | null;
  readonly revises: number | null;
  readonly branch_from: number | null;
  readonly branch_id: string | null;
  readonly needs_more: number | null;
  readonly revised_position: number | null;
  readonly text: string;
  readonly at: string;
}

/** A thought that reconsiders one which exists. */
export interface Revision {
  readonly position: number;
  readonly number: number;
  readonly revises: number;
  readonly revised_position: number;
}

/** What is wrong with a thought that is kept all the same, unless the caller is strict. */
export interface Problem {
  readonly code: 'invalid_input' | 'not_found' | 'conflict';
  readonly message: string;
}

/** A part of a line: the thoughts after a position, up to another. */
export interface Segment {
  readonly line: number;
  readonly after: number;
  readonly upTo: number;
}

/** Above every position. */
export const end = Number.MAX_SAFE_INTEGER;

type Place = Pick<ThoughtRow, 'line' | 'position'>;

export function openThoughts(database: Database) {
  const insert = database.prepare(
    `INSERT INTO thought (session_id, position, line, number, total, next_needed, is_revision, revises, branch_from,
       branch_id, needs_more, revised_position, text, at)
     VALUES (:sessionId, :position, :line, :number, :total, :nextNeeded, :isRevision, :revises, :branchFrom,
       :branchId, :needsMore, :revisedPosition, :text, :at)`,
  );
  const lastOfNumber = database.prepare<[number, number, number], Place>(
    `SELECT line, position FROM thought WHERE session_id = ? AND number = ? AND line = ?
     ORDER BY position DESC LIMIT 1`,
  );
  const lastOfNumberAnywhere = database.prepare<[number, number], Place>(
    `SELECT line, position FROM thought WHERE session_id = ? AND number = ?
     ORDER BY line DESC, position DESC LIMIT 1`,
  );
  const lineAt = database
    .prepare<[number, number], number>('SELECT line FROM thought WHERE session_id = ? AND position = ?')
    .pluck();
  const branchNamed = database.prepare<[number, string], Branch>(
    'SELECT * FROM branch WHERE session_id = ? AND name = ?',
  );
  const parentOf = database
    .prepare<[number], number | null>('SELECT from_line FROM branch WHERE id = ?')
    .pluck();
  const branches = database.prepare<[number], Branch>(
    'SELECT * FROM branch WHERE session_id = ? ORDER BY id',
  );
  const insertBranch = database.prepare<unknown[], Branch>(
    `INSERT INTO branch (session_id, name, from_number, from_line, from_position)
     VALUES (?, ?, ?, ?, ?) RETURNING *`,
  );
  const countInBranch = database.prepare('UPDATE branch SET thoughts = thoughts + 1 WHERE id = ?');
  const after = database.prepare<[number, number], ThoughtRow>(
    'SELECT * FROM thought WHERE session_id = ? AND position > ? ORDER BY position',
  );
  const onLine = database.prepare<[number, number, number, number, number], ThoughtRow>(
    // SQLite would walk through all lines of the session.
    `SELECT * FROM thought INDEXED BY thought_line
     WHERE session_id = ? AND line = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?`,
  );
  const lastUpTo = database.prepare<[number, number, number], ThoughtRow>(
    `SELECT * FROM thought WHERE session_id = ? AND line = ? AND position <= ? ORDER BY position DESC LIMIT 1`,
  );
  const count = database
    .prepare<[number, number, number, number], number>(
      'SELECT count(*) FROM thought WHERE session_id = ? AND line = ? AND position > ? AND position <= ?',
    )
    .pluck();
  const revisions = database.prepare<[number, number], Revision>(
    `SELECT position, number, revises, revised_position FROM thought
     WHERE session_id = ? AND revised_position IS NOT NULL ORDER BY position DESC LIMIT ?`,
  );

  /** The last thought of this number: on the line, on those that it came from, or else on the newest that has one. */
  function resolve(sessionId: number, number: number, line: number | null): Place | undefined {
    let on = line;
    for (let looked = 0; on !== null && looked < maxLinesLookedAt; looked += 1) {
      const found = lastOfNumber.get(sessionId, number, on);
      if (found) return found;
      on = on === mainLine ? null : (parentOf.get(on) ?? null);
    }
    return lastOfNumberAnywhere.get(sessionId, number);
  }

  /** @throws ToolError too_large. */
  function beginBranch(session: Session, name: string, fromNumber: number): Branch {
    if (branches.all(session.id).length >= maxBranches) {
      throw new ToolError('too_large', `The session has ${maxBranches} branches already.`, {
        hint: 'Continue one of them, or start_session.',
      });
    }
    const from = resolve(session.id, fromNumber, lineAt.get(session.id, session.thoughts) ?? mainLine);
    const branch = insertBranch.get(session.id, name, fromNumber, from?.line ?? null, from?.position ?? null);
    if (!branch) throw new TypeError('A row that was inserted is returned.');
    return branch;
  }

  return {
    /**
     * Adds a thought to the session, whose row the caller saves.
     *
     * @throws ToolError too_large.
     */
    append(session: Session, said: Said, at: string): { branch: Branch | undefined; problems: Problem[] } {
      const { thought, thoughtNumber, totalThoughts, revisesThought, branchFromThought, branchId } = said;
      checkLength('thought', thought, maxThoughtLength);
      checkLength('branchId', branchId ?? '', maxBranchIdLength);
      if (session.thoughts >= maxThoughtsPerSession) {
        throw new ToolError('too_large', `The session has ${maxThoughtsPerSession} thoughts already.`, {
          hint: 'Call start_session and go on there.',
        });
      }

      const exists = (number: number) => lastOfNumberAnywhere.get(session.id, number) !== undefined;
      const known = branchId ? branchNamed.get(session.id, branchId) : undefined;
      const problems = problemsOf(said, exists, known !== undefined);
      const branch =
        !known && branchId && branchFromThought !== undefined
          ? beginBranch(session, branchId, branchFromThought)
          : known;
      const line = branch?.id ?? mainLine;
      const revised =
        revisesThought === undefined || said.isRevision === false
          ? undefined
          : resolve(session.id, revisesThought, line);
      session.thoughts += 1;
      session.last_number = thoughtNumber;
      session.last_total = Math.max(totalThoughts, thoughtNumber);
      session.is_open = Number(said.nextThoughtNeeded);
      insert.run({
        sessionId: session.id,
        position: session.thoughts,
        line,
        number: thoughtNumber,
        total: session.last_total,
        nextNeeded: session.is_open,
        isRevision: said.isRevision === undefined ? null : Number(said.isRevision),
        revises: revisesThought ?? null,
        branchFrom: branchFromThought ?? null,
        branchId: branchId ?? null,
        needsMore: said.needsMoreThoughts === undefined ? null : Number(said.needsMoreThoughts),
        revisedPosition: revised?.position ?? null,
        text: thought,
        at,
      });
      if (branch) countInBranch.run(branch.id);
      return { branch: branch && { ...branch, thoughts: branch.thoughts + 1 }, problems };
    },

    branches: ({ id }: Session): Branch[] => branches.all(id),

    /** The line of a branch, or the main line for the empty name. @throws ToolError not_found. */
    lineOf(session: Session, name: string): number {
      if (name === '') return mainLine;
      const branch = branchNamed.get(session.id, name);
      if (!branch) {
        throw new ToolError('not_found', `The session has no branch ${JSON.stringify(name)}.`, {
          hint: 'Call get_summary to see its branches; an empty text means the main line.',
        });
      }
      return branch.id;
    },

    /** In order, after a position; all lines, or one. */
    after: ({ id }: Session, position: number, line?: number): Iterable<ThoughtRow> =>
      line === undefined ? after.iterate(id, position) : onLine.iterate(id, line, position, end, -1),

    within: ({ id }: Session, { line, after, upTo }: Segment, limit: number): ThoughtRow[] =>
      onLine.all(id, line, after, upTo, limit),

    count: ({ id }: Session, { line, after, upTo }: Segment): number => count.get(id, line, after, upTo) ?? 0,

    /** The last thought of a line up to a position. */
    lastUpTo: ({ id }: Session, { line, position }: Place): ThoughtRow | undefined =>
      lastUpTo.get(id, line, position),

    /** Those that reconsider a thought which exists, newest first, up to a bound. */
    revisions: ({ id }: Session): Revision[] => revisions.all(id, maxRevisionsRead),
  };
}

function problemsOf(said: Said, exists: (number: number) => boolean, isKnownBranch: boolean): Problem[] {
  const { thought, isRevision, revisesThought: revises, branchFromThought: from, branchId } = said;
  const problems: (Problem | false)[] = [
    thought.trim() === '' && wrong('The thought is empty.'),
    isRevision === true &&
      revises === undefined &&
      wrong('isRevision is true, but revisesThought does not say which thought is reconsidered.'),
    revises !== undefined &&
      !exists(revises) &&
      missing(`revisesThought: there is no thought ${revises} in this session.`),
    from !== undefined &&
      !exists(from) &&
      missing(`branchFromThought: there is no thought ${from} in this session.`),
    from !== undefined &&
      !branchId &&
      wrong('branchFromThought without branchId: the thought stays on the main line.'),
    from === undefined &&
      branchId !== undefined &&
      branchId !== '' &&
      !isKnownBranch &&
      missing(
        `There is no branch ${JSON.stringify(branchId)}, and branchFromThought is missing to begin it: the thought stays on the main line.`,
      ),
  ];
  return problems.filter((problem) => problem !== false);
}

const wrong = (message: string): Problem => ({ code: 'invalid_input', message });
const missing = (message: string): Problem => ({ code: 'not_found', message });

/** A thought as it was said. */
export function saidOf(row: ThoughtRow): SaidThought {
  return {
    thoughtNumber: row.number,
    totalThoughts: row.total,
    nextThoughtNeeded: row.next_needed === 1,
    ...(row.is_revision !== null && { isRevision: row.is_revision === 1 }),
    ...(row.revises !== null && { revisesThought: row.revises }),
    ...(row.branch_from !== null && { branchFromThought: row.branch_from }),
    ...(row.branch_id !== null && { branchId: row.branch_id }),
    ...(row.needs_more !== null && { needsMoreThoughts: row.needs_more === 1 }),
    thought: row.text,
    at: row.at,
  };
}

export const thoughtOf = (row: ThoughtRow): Thought => ({ position: row.position, ...saidOf(row) });
