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
       branch_id, needs_more, revised_position, text, at, owner)
     VALUES (:sessionId, :position, :line, :number, :total, :nextNeeded, :isRevision, :revises, :branchFrom,
       :branchId, :needsMore, :revisedPosition, :text, :at, :owner)`,
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
  const countInBranch = database.prepare<[number, number]>(
    'UPDATE branch SET thoughts = thoughts + ? WHERE id = ?',
  );
  const after = database.prepare<[number, number, number], ThoughtRow>(
    'SELECT * FROM thought WHERE session_id = ? AND position > ? ORDER BY position LIMIT ?',
  );
  const onLine = database.prepare<[number, number, number, number, number], ThoughtRow>(
    // SQLite would walk through all lines of the session.
    `SELECT * FROM thought INDEXED BY thought_line
     WHERE session_id = ? AND line = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?`,
  );
  const lastUpTo = database.prepare<[number, number, number], ThoughtRow>(
    `SELECT * FROM thought WHERE session_id = ? AND line = ? AND position <= ? ORDER BY position DESC LIMIT 1`,
  );
  const positionUpTo = database
    .prepare<[number, number, number], number>(
      'SELECT position FROM thought WHERE session_id = ? AND line = ? AND position <= ? ORDER BY position DESC LIMIT 1',
    )
    .pluck();
  const at = database.prepare<[number, number], ThoughtRow>(
    'SELECT * FROM thought WHERE session_id = ? AND position = ?',
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

  /**
   * Adds thoughts to a session, whose row the caller saves. What was looked up once is not asked for again: an import of
   * many is one transaction, which holds the process.
   */
  function appendTo(session: Session) {
    const isNew = session.thoughts === 0;
    /** The last thought of each number, on a line and anywhere; `null` where there is none. */
    const onLine = new Map<string, Place | null>();
    const anywhere = new Map<number, Place | null>();
    const named = new Map<string, Branch | null>();
    const parents = new Map<number, number | null>();
    let branchCount: number | undefined;
    let lastLine: number | undefined;

    function lastOn(line: number, number: number): Place | null {
      const key = `${line} ${number}`;
      let found = onLine.get(key);
      if (found === undefined) {
        found = (isNew ? undefined : lastOfNumber.get(session.id, number, line)) ?? null;
        onLine.set(key, found);
      }
      return found;
    }

    function lastAnywhere(number: number): Place | null {
      let found = anywhere.get(number);
      if (found === undefined) {
        found = (isNew ? undefined : lastOfNumberAnywhere.get(session.id, number)) ?? null;
        anywhere.set(number, found);
      }
      return found;
    }

    function branchNamedInSession(name: string): Branch | undefined {
      let found = named.get(name);
      if (found === undefined) {
        found = (isNew ? undefined : branchNamed.get(session.id, name)) ?? null;
        named.set(name, found);
      }
      return found ?? undefined;
    }

    function parent(line: number): number | null {
      let found = parents.get(line);
      if (found === undefined) {
        found = parentOf.get(line) ?? null;
        parents.set(line, found);
      }
      return found;
    }

    /** The last thought of this number: on the line, on those that it came from, or else on the newest that has one. */
    function resolve(number: number, line: number): Place | null {
      const newest = lastAnywhere(number);
      let on: number | null = newest && line;
      for (let looked = 0; on !== null && looked < maxLinesLookedAt; looked += 1) {
        const found = lastOn(on, number);
        if (found) return found;
        on = on === mainLine ? null : parent(on);
      }
      return newest;
    }

    /** @throws ToolError too_large. */
    function beginBranch(name: string, fromNumber: number): Branch {
      branchCount ??= isNew ? 0 : branches.all(session.id).length;
      if (branchCount >= maxBranches) {
        throw new ToolError('too_large', `The session has ${maxBranches} branches already.`, {
          hint: 'Continue one of them, or start_session.',
        });
      }
      lastLine ??= lineAt.get(session.id, session.thoughts) ?? mainLine;
      const from = resolve(fromNumber, lastLine);
      const branch = insertBranch.get(
        session.id,
        name,
        fromNumber,
        from?.line ?? null,
        from?.position ?? null,
      );
      if (!branch) throw new TypeError('A row that was inserted is returned.');
      branchCount += 1;
      named.set(name, branch);
      return branch;
    }

    return {
      /** @throws ToolError too_large. */
      add(said: Said, at: string, owner: string): { branch: Branch | undefined; problems: Problem[] } {
        const { thought, thoughtNumber, totalThoughts, revisesThought, branchFromThought, branchId } = said;
        checkLength('thought', thought, maxThoughtLength);
        checkLength('branchId', branchId ?? '', maxBranchIdLength);
        if (session.thoughts >= maxThoughtsPerSession) {
          throw new ToolError('too_large', `The session has ${maxThoughtsPerSession} thoughts already.`, {
            hint: 'Call start_session and go on there.',
          });
        }

        const known = branchId ? branchNamedInSession(branchId) : undefined;
        const problems = problemsOf(said, (number) => lastAnywhere(number) !== null, known !== undefined);
        const branch =
          !known && branchId && branchFromThought !== undefined
            ? beginBranch(branchId, branchFromThought)
            : known;
        const line = branch?.id ?? mainLine;
        const revised =
          revisesThought === undefined || said.isRevision === false ? null : resolve(revisesThought, line);
        session.thoughts += 1;
        session.last_number = thoughtNumber;
        session.last_total = Math.max(totalThoughts, thoughtNumber);
        session.is_open = Number(said.nextThoughtNeeded);
        const place = { line, position: session.thoughts };
        insert.run({
          sessionId: session.id,
          ...place,
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
          owner,
        });
        if (place.position === 1) session.first = thought.slice(0, firstLength).toWellFormed();
        onLine.set(`${line} ${thoughtNumber}`, place);
        // What is not known yet is found in the database; of a new session nothing is looked for there.
        const newest =
          anywhere.get(thoughtNumber) ?? (isNew || anywhere.has(thoughtNumber) ? null : undefined);
        if (newest === null || (newest && newest.line <= line)) anywhere.set(thoughtNumber, place);
        lastLine = line;
        if (branch) {
          countInBranch.run(1, branch.id);
          named.set(branch.name, { ...branch, thoughts: branch.thoughts + 1 });
        }
        return { branch: branch && { ...branch, thoughts: branch.thoughts + 1 }, problems };
      },
    };
  }

  return {
    appendTo,

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

    at: ({ id }: Session, position: number): ThoughtRow | undefined => at.get(id, position),

    /** The position of the last thought of a line up to another. */
    positionUpTo: ({ id }: Session, { line, position }: Place): number | undefined =>
      positionUpTo.get(id, line, position),

    /** In order, after a position; all lines, or one. */
    after: ({ id }: Session, position: number, limit: number, line?: number): ThoughtRow[] =>
      line === undefined ? after.all(id, position, limit) : onLine.all(id, line, position, end, limit),

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

/** How much of the first thought a list of sessions shows. */
const firstLength = 201;

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
