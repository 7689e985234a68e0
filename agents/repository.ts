/**
 * What an agent does in the repository of a task: its branch and working tree before the work, commits during it, and afterwards the
 * question whether the branch is merged. All through tools of the fleet; nothing is ever pushed.
 */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

type Arguments = Readonly<Record<string, unknown>>;
/** A tool of the fleet by its name, usually through the gateway. It throws when the tool did not do it. */
export type CallTool = (tool: string, args: Arguments) => Promise<Arguments>;

/** As much of a task as is needed here: any object that claim_tasks or get_task tells has it. */
const taskSchema = z.object({
  task_id: z.string(),
  title: z.string(),
  owner: z.string(),
  created_at: z.string().optional(),
  repository: z.object({
    path: z.string(),
    base: z.string().optional(),
    mode: z.enum(['branch', 'worktree']),
    integration: z.enum(['manual', 'auto']).default('manual'),
  }),
  git: z.object({
    branch: z.string(),
    worktree: z.string().optional(),
    trailers: z.array(z.string()),
    guidance: z.string(),
    conflict: z.object({ reported_at: z.string() }).optional(),
  }),
});
export type RepositoryTask = z.output<typeof taskSchema>;

/** @returns the task where it has a repository to work in. */
export function onRepository(task: unknown): RepositoryTask | undefined {
  const parsed = taskSchema.safeParse(task);
  return parsed.success ? parsed.data : undefined;
}

/** Where the work on a task is done. */
export interface Place {
  /** The top folder of its working tree. */
  readonly path: string;
  readonly branch: string;
  /** Into which the branch is to be merged. */
  readonly base: string;
  /** Whether an earlier attempt has been here. */
  readonly isResumed: boolean;
}

const isOfTask = (branch: string) => /^(task|hotfix)\/t\d+-/.test(branch);

const worktreesSchema = z.object({
  worktrees: z.array(
    z.object({ path: z.string(), branch: z.string().optional(), within_roots: z.boolean() }),
  ),
});
type Worktree = z.output<typeof worktreesSchema>['worktrees'][number];

async function worktreesOf(call: CallTool, path: string): Promise<readonly Worktree[]> {
  return worktreesSchema.parse(await call('git_worktree', { repo_path: path, mode: 'list' })).worktrees;
}

/** What the repository itself has checked out, where the task does not say. @throws ToolError where that is the branch of another task. */
function baseOf({ repository }: RepositoryTask, [own]: readonly Worktree[]): string {
  if (repository.base !== undefined) return repository.base;
  if (own?.branch !== undefined && !isOfTask(own.branch)) return own.branch;
  throw new ToolError(
    'conflict',
    `Nobody knows what the branch is to be merged into: ${repository.path} has ${own?.branch ?? 'no branch'} checked out.`,
    { hint: 'Name the base in the repository of the task.' },
  );
}

const branchesSchema = z.object({
  branches: z.array(z.object({ name: z.string() })),
  next_cursor: z.string().optional(),
});

/** Names of local branches; those that contain a commit, if one is given. */
async function branchesOf(call: CallTool, path: string, contains?: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const args = { repo_path: path, branch_type: 'local', ...(contains !== undefined && { contains }) };
  for (let cursor: string | undefined; ;) {
    const page = branchesSchema.parse(
      await call('git_branch', { ...args, ...(cursor !== undefined && { cursor }) }),
    );
    for (const { name } of page.branches) names.add(name);
    cursor = page.next_cursor;
    if (cursor === undefined) return names;
  }
}

/**
 * Makes the branch and the working tree of a task, or finds those of an earlier attempt. What that one left without a commit is put
 * aside in a stash, so that the work begins with what was committed.
 *
 * @throws ToolError conflict; what the call throws.
 */
export async function prepare(call: CallTool, task: RepositoryTask): Promise<Place> {
  const { repository, git } = task;
  const trees = await worktreesOf(call, repository.path);
  const base = baseOf(task, trees);
  const there = trees.find(({ branch }) => branch === git.branch);
  if (there) {
    await putAside(call, there.path, task.task_id);
    return { path: there.path, branch: git.branch, base, isResumed: true };
  }
  const isResumed = (await branchesOf(call, repository.path)).has(git.branch);
  const path = git.worktree ?? repository.path;
  if (git.worktree === undefined) await checkOut(call, task, base, isResumed);
  else
    await call('git_worktree', {
      repo_path: repository.path,
      mode: 'add',
      path,
      ...(isResumed ? { revision: git.branch } : { new_branch: git.branch, revision: base }),
    });
  return { path, branch: git.branch, base, isResumed };
}

const statusSchema = z.object({ is_clean: z.boolean() });
const isClean = async (call: CallTool, path: string): Promise<boolean> =>
  statusSchema.parse(await call('git_status', { repo_path: path })).is_clean;

async function checkOut(
  call: CallTool,
  { repository: { path }, git }: RepositoryTask,
  base: string,
  isResumed: boolean,
): Promise<void> {
  // They would come along to the other branch.
  if (!(await isClean(call, path)))
    throw new ToolError('conflict', `${path} has changes that are in no commit.`, {
      hint: 'Commit them or put them aside, or give the task a worktree (mode worktree).',
    });
  if (!isResumed)
    await call('git_create_branch', { repo_path: path, branch_name: git.branch, base_branch: base });
  await call('git_checkout', { repo_path: path, branch_name: git.branch });
}

const conflictsSchema = z.object({ in_progress: z.array(z.string()) });
const inProgress = async (call: CallTool, path: string): Promise<readonly string[]> =>
  conflictsSchema.parse(await call('git_conflicts', { repo_path: path })).in_progress;

async function putAside(call: CallTool, path: string, id: string): Promise<void> {
  if ((await inProgress(call, path)).includes('merge'))
    await call('git_merge', { repo_path: path, mode: 'abort' });
  if (await isClean(call, path)) return;
  await call('git_stash', {
    repo_path: path,
    mode: 'push',
    include_untracked: true,
    message: `${id}: left by an earlier attempt`,
  });
}

const stagedSchema = z.object({ staged: z.array(z.string()) });
const hashSchema = z.object({ hash: z.string() });

/** Whether a message ends with these lines already. */
const hasTrailers = (message: string, trailers: readonly string[]) =>
  message.trimEnd().endsWith(trailers.join('\n'));

/** @returns the commit; nothing when nothing has changed. */
export async function commit(
  call: CallTool,
  { git }: RepositoryTask,
  { path }: Pick<Place, 'path'>,
  message: string,
  author?: string,
): Promise<string | undefined> {
  const { staged } = stagedSchema.parse(await call('git_add', { repo_path: path, files: ['.'] }));
  // A merge is worth a commit although nothing differs.
  if (staged.length === 0 && !(await inProgress(call, path)).includes('merge')) return undefined;
  const { hash } = hashSchema.parse(
    await call('git_commit', {
      repo_path: path,
      message: hasTrailers(message, git.trailers)
        ? message
        : `${message.trimEnd()}\n\n${git.trailers.join('\n')}\n`,
      ...(author !== undefined && { author }),
    }),
  );
  return hash;
}

const reflogSchema = z.object({ entries: z.array(z.object({ commit: z.string() })) });

/** @returns the last commit of the branch of a task; nothing when none was made since the branch. */
export async function tipOf(
  call: CallTool,
  { repository: { path }, git: { branch } }: RepositoryTask,
): Promise<string | undefined> {
  const { entries } = reflogSchema.parse(
    await call('git_reflog', { repo_path: path, ref: branch, limit: 1_000 }),
  );
  const [tip] = entries;
  return tip?.commit === entries.at(-1)?.commit ? undefined : tip?.commit;
}

/** What became of the branch of a task. */
export type MergeOutcome =
  | { readonly state: 'merged'; readonly commit: string }
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
): Promise<MergeOutcome> {
  const place = trees.find(({ branch, within_roots: isWithin }) => branch === base && isWithin);
  if (!place) return { state: 'waiting', reason: `${base} is checked out nowhere.` };
  if (!(await isClean(call, place.path)))
    return { state: 'waiting', reason: `${place.path} has changes that are in no commit.` };
  const merging = { repo_path: place.path };
  const { outcome, head, conflicts } = integrationSchema.parse(
    await call('git_merge', {
      ...merging,
      branch: git.branch,
      fast_forward: 'never',
      message: `${title}\n\nMerges ${git.branch}.\n\n${git.trailers.join('\n')}\n`,
    }),
  );
  // The merge carries the trailer: whoever looks later finds the same commit.
  if (outcome === 'done' && head !== undefined) return { state: 'merged', commit: head };
  if (outcome !== 'conflicts') return { state: 'waiting', reason: `Merging ${git.branch} changed nothing.` };
  await call('git_merge', { ...merging, mode: 'abort' });
  return { state: 'conflicts', files: conflicts };
}

/** The name of a worker with the capability integration, for tasks of others. */
export interface Merger {
  readonly worker?: string;
}

/**
 * Finds out whether the branch of a task that waits for it is merged, merges it where the task says `integration: auto`, and tells the
 * orchestrator of a merge or of conflicts. The same again changes nothing.
 */
export async function mergeOrReport(
  call: CallTool,
  task: RepositoryTask,
  merger: Merger = {},
): Promise<MergeOutcome> {
  const { task_id: id, repository } = task;
  const isAuto = repository.integration === 'auto';
  const trees = isAuto || repository.base === undefined ? await worktreesOf(call, repository.path) : [];
  const base = baseOf(task, trees);
  const unmerged = async (): Promise<MergeOutcome> =>
    isAuto
      ? merge(call, task, base, trees)
      : { state: 'waiting', reason: `${task.git.branch} is not merged into ${base}.` };
  const outcome = (await mergedAs(call, task, base)) ?? (await unmerged());
  if (outcome.state === 'merged')
    await call('record_merge', { task_id: id, commit: outcome.commit, ...merger });
  if (outcome.state === 'conflicts')
    await call('record_conflict', { task_id: id, files: outcome.files.slice(0, 100), ...merger });
  return outcome;
}

const listSchema = z.object({
  tasks: z.array(z.object({ task_id: z.string() })),
  next_cursor: z.string().optional(),
});

export interface Watched {
  readonly task: RepositoryTask;
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
    for (const { task_id: id } of page.tasks) {
      const { task: told } = await call('get_task', { task_id: id, max_bytes: 2_097_152 });
      const task = onRepository(told);
      if (!task) continue;
      const outcome = await mergeOrReport(callFor(task), task, merger).catch((error: unknown) => ({
        state: 'waiting' as const,
        reason: error instanceof Error ? error.message : String(error),
      }));
      seen.push({ task, outcome });
    }
    cursor = page.next_cursor;
    if (cursor === undefined) return seen;
  }
}
