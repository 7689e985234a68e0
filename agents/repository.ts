/**
 * What an agent does in the repository of a task: its branch and working tree before the work, and commits during it. All through
 * tools of the fleet; nothing is ever pushed.
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
  /** Who has been at it, where it is told whole. */
  attempts: z.array(z.object({ worker: z.string() })).optional(),
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

/** The task that a branch is of. */
const idIn = (branch: string) => /^(?:task|hotfix)\/(t\d+-[a-z0-9]{4})(?:-|$)/.exec(branch)?.[1];

const worktreesSchema = z.object({
  worktrees: z.array(
    z.object({
      path: z.string(),
      head: z.string().optional(),
      branch: z.string().optional(),
      within_roots: z.boolean(),
    }),
  ),
});
export type Worktree = z.output<typeof worktreesSchema>['worktrees'][number];

export async function worktreesOf(call: CallTool, path: string): Promise<readonly Worktree[]> {
  return worktreesSchema.parse(await call('git_worktree', { repo_path: path, mode: 'list' })).worktrees;
}

/** What the repository itself has checked out, where the task does not say. @throws ToolError where that is the branch of another task. */
export function baseOf({ repository }: RepositoryTask, [own]: readonly Worktree[]): string {
  if (repository.base !== undefined) return repository.base;
  if (own?.branch !== undefined && idIn(own.branch) === undefined) return own.branch;
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
export async function branchesOf(
  call: CallTool,
  path: string,
  contains?: string,
): Promise<ReadonlySet<string>> {
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
  if (git.worktree === undefined) await checkOut(call, task, base, isResumed, trees[0]?.branch);
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
export const isClean = async (call: CallTool, path: string): Promise<boolean> =>
  statusSchema.parse(await call('git_status', { repo_path: path })).is_clean;

const stateSchema = z.object({ task: z.object({ status: z.string() }) });

/** @param current what is checked out there now. */
async function checkOut(
  call: CallTool,
  { repository: { path }, git }: RepositoryTask,
  base: string,
  isResumed: boolean,
  current: string | undefined,
): Promise<void> {
  const other = current === undefined ? undefined : idIn(current);
  if (other !== undefined && (await isAtWork(call, other)))
    throw new ToolError(
      'conflict',
      `${path} has ${current} checked out, and the task ${other} is at work there.`,
      {
        hint: 'Let one task need the other, or give each a worktree (mode worktree).',
      },
    );
  // They would come along to the other branch.
  if (!(await isClean(call, path))) {
    if (other === undefined)
      throw new ToolError('conflict', `${path} has changes that are in no commit.`, {
        hint: 'Commit them or put them aside, or give the task a worktree (mode worktree).',
      });
    await putAside(call, path, other);
  }
  if (!isResumed)
    await call('git_create_branch', { repo_path: path, branch_name: git.branch, base_branch: base });
  await call('git_checkout', { repo_path: path, branch_name: git.branch });
}

/** Whether somebody has the task now; the orchestrator gives out one in each folder, but the same folder may have two names. */
async function isAtWork(call: CallTool, id: string): Promise<boolean> {
  const told = await call('get_task', { task_id: id, max_bytes: 1 }).catch(() => undefined);
  const { data } = stateSchema.safeParse(told);
  return data !== undefined && ['assigned', 'in_progress'].includes(data.task.status);
}

const conflictsSchema = z.object({ in_progress: z.array(z.string()) });
export const inProgress = async (call: CallTool, path: string): Promise<readonly string[]> =>
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

/** What a message begins with. A line break in a title would begin a line of the message, which could look like the trailer of another task. */
export const subjectOf = (title: string): string => title.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();

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
