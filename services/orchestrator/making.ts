/** Makes projects and tasks: a small call in one change, a large one in pieces that are seen together at the end. */
import { hash } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurn } from '#runtime/turns.ts';

import {
  addEdge,
  addProject,
  addTask,
  addTasks,
  answerBefore,
  beginBatch,
  homeIn,
  keepNeeded,
  newOrigin,
  noHome,
  openProject,
  rememberAnswer,
  requirePlaces,
  showBatch,
  type Home,
  type Made,
  type ProjectSpec,
  type Repeatable,
} from './ledger/creating.ts';
import { begin } from './ledger/chores.ts';
import type { Change } from './ledger/change.ts';
import { projectId } from './ledger/ids.ts';
import type { Ledger } from './ledger/query.ts';
import { changedAtOnce } from './limits.ts';
import type { Desk } from './orchestrator.ts';
import type { PlannedTask } from './planning.ts';

/** A new project, one that is there, or none. */
export interface Target {
  readonly project?: ProjectSpec | undefined;
  readonly into?: string | undefined;
}

export interface MadeAll {
  readonly projectId: string | null;
  readonly made: readonly Made[];
}

/** Of a tool and its arguments, with the key apart. */
export function repeatable(
  tool: string,
  key: string | undefined,
  args: object,
  owner: string,
): Repeatable | undefined {
  if (key === undefined) return undefined;
  return { owner, key, digest: hash('sha256', JSON.stringify([tool, args]), 'base64url') };
}

type Making = Pick<Call, 'caller' | 'operation'>;

/** @throws ToolError not_found, conflict, too_large: nothing was made then. */
export async function make(
  desk: Desk,
  target: Target,
  tasks: readonly PlannedTask[],
  again: Repeatable | undefined,
  call: Making,
): Promise<MadeAll> {
  const before = again && (await desk.look(() => answerBefore(again)));
  if (before !== undefined) return JSON.parse(before) as MadeAll;
  if (tasks.length > changedAtOnce) return makeInPieces(desk, target, tasks, again, call);
  return desk.change(function* (change) {
    // Twins may come at the same time.
    const earlier = again && (yield* answerBefore(again));
    if (earlier !== undefined) return JSON.parse(earlier) as MadeAll;
    const { home, id } = yield* homeOf(change, target, call.caller, null);
    const made = yield* addTasks(change, tasks, home, call.caller);
    return yield* remembered(change, again, { projectId: id, made });
  });
}

function* homeOf(
  change: Change,
  { project, into }: Target,
  caller: string,
  batch: number | null,
): Ledger<{ readonly home: Home; readonly id: string | null }> {
  if (project) {
    const added = yield* addProject(change, project, caller, batch);
    return { home: homeIn(added), id: projectId(added) };
  }
  return into === undefined
    ? { home: noHome, id: null }
    : { home: homeIn(yield* openProject(into)), id: into };
}

function* remembered(change: Change, again: Repeatable | undefined, all: MadeAll): Ledger<MadeAll> {
  if (again) yield* rememberAnswer(change, again, JSON.stringify(all));
  return all;
}

async function makeInPieces(
  desk: Desk,
  target: Target,
  tasks: readonly PlannedTask[],
  again: Repeatable | undefined,
  call: Making,
): Promise<MadeAll> {
  const owner = call.caller;
  const { batch, home, id } = await desk.change(function* (change) {
    const batch = yield* beginBatch(change);
    const place = yield* homeOf(change, target, owner, batch);
    yield* requirePlaces(place.home, tasks.length);
    return { batch, ...place };
  });
  /** A piece is the caller's work: others have their turn before the next. */
  const piece = async <Value>(operation: (change: Change) => Ledger<Value>) =>
    (await inTurn(call, async () => desk.stage(operation))) as Value;
  const origin = newOrigin(home, owner, batch);
  try {
    const made: Made[] = [];
    for (let at = 0; at < tasks.length; at += changedAtOnce) {
      const some = tasks.slice(at, at + changedAtOnce);
      const rows = await piece(function* (change) {
        const added: Made[] = [];
        // What a piece that was taken back has found may not be there.
        const own = { ...newOrigin(home, owner, batch), endedNeeds: origin.endedNeeds };
        yield* keepNeeded(some, own);
        for (const task of some) added.push(yield* addTask(change, task, own));
        return added;
      });
      for (const row of rows) made.push(row);
    }
    const edges = tasks.flatMap(({ needs }, place) =>
      needs.map((need) => [made[place]?.seq ?? 0, made[need]?.seq ?? 0] as const),
    );
    for (let at = 0; at < edges.length; at += edgesAtOnce) {
      const some = edges.slice(at, at + edgesAtOnce);
      await piece(function* () {
        for (const [task, needs] of some) yield* addEdge(task, needs);
      });
    }
    return await desk.change(function* (change) {
      if (again && (yield* answerBefore(again)) !== undefined)
        throw new ToolError('conflict', `The idempotency_key "${again.key}" is at work already.`, {
          hint: 'Ask again: the answer of the first call is there.',
        });
      yield* showBatch(change, batch, origin, made);
      return yield* remembered(change, again, { projectId: id, made });
    });
  } catch (error) {
    await desk.change(function* (change) {
      yield* begin('drop_batch', batch);
      change.news.hasChores = true;
    });
    throw error;
  }
}

const edgesAtOnce = 500;
