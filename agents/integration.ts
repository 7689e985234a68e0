/** What becomes of the branch of a task when its work is done: whether it is merged, and the merge itself. All through tools of the fleet. */
import { basename } from 'node:path';

import { z } from 'zod';

import type { BegunMerge, MergeNotes } from './merge-notes.ts';
import {
  baseOf,
  branchesOf,
  inProgress,
  isClean,
  onRepository,
  subjectOf,
  tipOf,
  worktreesOf,
  type CallTool,
  type RepositoryTask,
  type Worktree,
} from './repository.ts';

/** What became of the branch of a task. */
export type MergeOutcome =
  | {
      readonly state: 'merged';
      readonly commit: string;
      /** Why the worktree of the task is still there. */
      readonly kept?: string;
    }
  | { readonly state: 'conflicts'; readonly files: readonly string[] }
  /** Nothing was done; why, in words. */
  | { readonly state: 'waiting'; readonly reason: string };

const commitsSchema = z.object({ commits: z.array(z.object({ hash: z.string() })) });

const day = 86_400_000;

/** Commits with the trailer of the task, the newest first. None is older than the task, but for clocks that differ: so git need not read all. */
async function carrying(
  call: CallTool,
  { task_id, created_at: madeAt, repository }: RepositoryTask,
  revision: string,
) {
  const since = madeAt === undefined ? undefined : new Date(Date.parse(madeAt) - day).toISOString();
  const { commits } = commitsSchema.parse(
    await call('git_log', {
      repo_path: repository.path,
      revision,
      // Squashed into one, messages are often indented.
      grep: `^ *Task-Id: ${task_id} *$`,
      max_count: 200,
      ...(since !== undefined && { start_timestamp: since }),
    }),
  );
  return commits.map(({ hash }) => hash);
}

/** What git's own history says: by which commit the branch is in its base. @returns nothing when it is there and not merged. */
async function mergedAs(
  call: CallTool,
  task: RepositoryTask,
  base: string,
): Promise<MergeOutcome | undefined> {
  const { repository, git } = task;
  const { path } = repository;
  const branches = await branchesOf(call, path);
  if (!branches.has(base)) return { state: 'waiting', reason: `${path} has no branch ${base}.` };
  const onBase = await carrying(call, task, base);
  if (!branches.has(git.branch))
    return onBase[0] === undefined
      ? { state: 'waiting', reason: `The branch ${git.branch} is gone, and ${base} has nothing of it.` }
      : { state: 'merged', commit: onBase[0] };
  const onBranch = new Set(onBase.length > 0 ? await carrying(call, task, git.branch) : []);
  // Of a squash, or of a merge that carries the trailer.
  const [mergedBy] = onBase.filter((hash) => !onBranch.has(hash));
  if (mergedBy !== undefined) return { state: 'merged', commit: mergedBy };
  if (!(await branchesOf(call, path, git.branch)).has(base)) return undefined;
  const tip = await tipOf(call, task);
  // Whatever is on it is in the base; but there has to be something.
  return tip === undefined
    ? { state: 'waiting', reason: `There is no commit on ${git.branch} yet.` }
    : { state: 'merged', commit: tip };
}

const commitOf = async (call: CallTool, path: string, revision: string): Promise<string | undefined> =>
  commitsSchema.parse(await call('git_log', { repo_path: path, revision, max_count: 1 })).commits[0]?.hash;

/**
 * Gives up what an earlier process was killed in the middle of, unless somebody is at another merge there by now.
 *
 * @returns whether there was anything to give up.
 */
export async function giveUpLeft(call: CallTool, { path, head, tip }: BegunMerge): Promise<boolean> {
  if (!(await inProgress(call, path)).includes('merge')) return false;
  const isAnother =
    (await commitOf(call, path, 'HEAD')) !== head || (await commitOf(call, path, 'MERGE_HEAD')) !== tip;
  if (isAnother) return false;
  await call('git_merge', { repo_path: path, mode: 'abort' });
  return true;
}

const integrationSchema = z.object({
  outcome: z.enum(['done', 'unchanged', 'conflicts', 'aborted']),
  head: z.string().optional(),
  conflicts: z.array(z.string()),
});

/** Merges where the base is checked out and nothing else is going on; a merge with conflicts is given up again. */
async function merge(
  call: CallTool,
  { title, git }: RepositoryTask,
  base: string,
  trees: readonly Worktree[],
  notes: MergeNotes | undefined,
): Promise<MergeOutcome> {
  const place = trees.find(({ branch, within_roots: isWithin }) => branch === base && isWithin);
  if (!place) return { state: 'waiting', reason: `${base} is checked out nowhere.` };
  if (!(await isClean(call, place.path)))
    return { state: 'waiting', reason: `${place.path} has changes that are in no commit.` };
  const merging = { repo_path: place.path };
  const tip = await commitOf(call, place.path, git.branch);
  if (place.head !== undefined && tip !== undefined)
    notes?.begin({ path: place.path, head: place.head, tip });
  const { outcome, head, conflicts } = integrationSchema.parse(
    await call('git_merge', {
      ...merging,
      branch: git.branch,
      fast_forward: 'never',
      message: `${subjectOf(title)}\n\nMerges ${git.branch}.\n\n${git.trailers.join('\n')}\n`,
    }),
  );
  if (outcome === 'conflicts') await call('git_merge', { ...merging, mode: 'abort' });
  notes?.end(place.path);
  // The merge carries the trailer: whoever looks later finds the same commit.
  if (outcome === 'done' && head !== undefined) return { state: 'merged', commit: head };
  if (outcome !== 'conflicts') return { state: 'waiting', reason: `Merging ${git.branch} changed nothing.` };
  return { state: 'conflicts', files: conflicts };
}

export interface Merger {
  /** The name of a worker with the capability integration, for tasks of others. */
  readonly worker?: string;
  /** Where merges are written down before they begin. */
  readonly notes?: MergeNotes;
  /** Whose worktrees are removed when they are merged. */
  readonly isOurs?: (worker: string) => boolean;
}

/**
 * Removes the working tree of a merged task, where nobody but agents has been at it and nothing in it would be lost: its branch stays.
 *
 * @returns why it stays.
 */
async function tidyUp(
  call: CallTool,
  { repository: { path }, git, attempts = [] }: RepositoryTask,
  isOurs: (worker: string) => boolean,
): Promise<string | undefined> {
  const { branch, worktree } = git;
  const isMadeHere = attempts.length > 0 && attempts.every(({ worker }) => isOurs(worker));
  if (worktree === undefined || !isMadeHere) return undefined;
  const [, ...beside] = await worktreesOf(call, path);
  const tree = beside.find((one) => one.branch === branch && basename(one.path) === basename(worktree));
  if (!tree) return undefined;
  if (!(await isClean(call, tree.path))) return `${tree.path} has changes that are in no commit.`;
  await call('git_worktree', { repo_path: path, mode: 'remove', path: tree.path });
  return undefined;
}

/**
 * Finds out whether the branch of a task that waits for it is merged, merges it where the task says `integration: auto`, and tells the
 * orchestrator of a merge or of conflicts. The same again changes nothing.
 */
export async function mergeOrReport(
  call: CallTool,
  task: RepositoryTask,
  { worker, notes, isOurs = () => false }: Merger = {},
): Promise<MergeOutcome> {
  const { task_id: id, repository } = task;
  const teller = worker === undefined ? {} : { worker };
  const isAuto = repository.integration === 'auto';
  const trees = isAuto || repository.base === undefined ? await worktreesOf(call, repository.path) : [];
  const base = baseOf(task, trees);
  const unmerged = async (): Promise<MergeOutcome> =>
    isAuto
      ? merge(call, task, base, trees, notes)
      : { state: 'waiting', reason: `${task.git.branch} is not merged into ${base}.` };
  const outcome = (await mergedAs(call, task, base)) ?? (await unmerged());
  if (outcome.state === 'merged') {
    // Before it is told: nobody looks at it again after that.
    const kept = await tidyUp(call, task, isOurs).catch(reasonOf);
    await call('record_merge', { task_id: id, commit: outcome.commit, ...teller });
    return { ...outcome, ...(kept !== undefined && { kept }) };
  }
  if (outcome.state === 'conflicts')
    await call('record_conflict', { task_id: id, files: outcome.files.slice(0, 100), ...teller });
  return outcome;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const listSchema = z.object({
  tasks: z.array(z.object({ task_id: z.string(), title: z.string() })),
  next_cursor: z.string().optional(),
});

const workSchema = z.object({ work_bytes: z.number().optional() });

/** A task with its work, however long. Its result, which may be as long, is not needed: it comes only where it is no longer than the work. */
async function readTask(call: CallTool, id: string): Promise<unknown> {
  const { task } = await call('get_task', { task_id: id });
  const { work_bytes: bytes } = workSchema.parse(task);
  return bytes === undefined ? task : (await call('get_task', { task_id: id, max_bytes: bytes }))['task'];
}

export interface Watched {
  readonly id: string;
  readonly title: string;
  /** Nothing where the task could not be read. */
  readonly branch?: string | undefined;
  readonly outcome: MergeOutcome;
}

export interface Watching extends Merger {
  readonly project?: string;
  /** How tools are called for one task; as for the list unless given. */
  readonly callFor?: (task: RepositoryTask) => CallTool;
}

/** Looks once at the tasks that wait to be merged, one after the other; what went wrong with one is its reason to wait. */
export async function watchMerges(
  call: CallTool,
  { project, callFor = () => call, ...merger }: Watching = {},
): Promise<readonly Watched[]> {
  const which = { waiting_for: 'merge', ...(project !== undefined && { project_id: project }) };
  const seen: Watched[] = [];
  for (let cursor: string | undefined; ;) {
    const page = listSchema.parse(
      await call('list_tasks', { ...which, ...(cursor !== undefined && { cursor }) }),
    );
    for (const { task_id: id, title } of page.tasks) {
      let branch: string | undefined;
      try {
        const task = onRepository(await readTask(call, id));
        if (!task) continue;
        ({ branch } = task.git);
        seen.push({ id, title, branch, outcome: await mergeOrReport(callFor(task), task, merger) });
      } catch (error) {
        seen.push({ id, title, branch, outcome: { state: 'waiting', reason: reasonOf(error) } });
      }
    }
    cursor = page.next_cursor;
    if (cursor === undefined) return seen;
  }
}
