/** Where the steps of a task on a repository work: its branch is there before the first of them, and what they changed is a commit after the last. */
import { ToolError } from '#runtime/errors.ts';

import { TaskFailure } from './failure.ts';
import { requireMay, type Deputy } from './permission.ts';
import {
  commit,
  prepare,
  subjectOf,
  tipOf,
  type CallTool,
  type Place,
  type RepositoryTask,
} from './repository.ts';
import { called } from './steps.ts';

export interface OpenPlace {
  /** What steps may refer to. */
  readonly about: Place;
  /** @returns what the result says of it. @throws TaskFailure where there is nothing to merge. */
  readonly keep: () => Promise<{ readonly branch: string; readonly commit: string }>;
}

const tools = [
  'git_worktree',
  'git_branch',
  'git_status',
  'git_create_branch',
  'git_checkout',
  'git_conflicts',
  'git_merge',
  'git_stash',
  'git_add',
  'git_commit',
  'git_reflog',
] as const;

/** All that is called here has to be allowed to the agent, and to whoever made the task: looked at before anything is done. @throws TaskFailure */
export async function openPlace(
  task: RepositoryTask,
  deputy: Deputy,
  signal: AbortSignal,
): Promise<OpenPlace> {
  const { agent, gateway } = deputy;
  const may = async (tool: string) => requireMay(tool, task.owner, deputy, signal);
  for (const tool of tools) await may(tool).catch(saidOf);
  const call: CallTool = async (tool, args) => {
    const isReading = (await may(tool)).effect === 'read';
    return called(tool, args, `The repository of the task (${tool})`, isReading, { gateway, signal });
  };
  const about = await prepare(call, task).catch(saidOf);
  const { branch, path, base } = about;
  return {
    about,
    async keep() {
      const hash = await commit(call, task, about, subjectOf(task.title), `${agent} <${agent}@localhost>`);
      const tip = hash ?? (await tipOf(call, task));
      // Others begin from it, and it is merged there.
      if (task.git.worktree === undefined) await call('git_checkout', { repo_path: path, branch_name: base });
      if (tip !== undefined) return { branch, commit: tip };
      throw new TaskFailure(
        'nothing_changed',
        `The steps are done, and changed nothing in ${path}: there is nothing to merge, and the task would wait for ever. Let them write below {{place.path}}, or make the task without a repository.`,
      );
    },
  };
}

/** @throws TaskFailure */
function saidOf(error: unknown): never {
  if (error instanceof TaskFailure) {
    const { code, message, retryable } = error;
    throw new TaskFailure(code, `The task is done in a repository. ${message}`, { retryable });
  }
  if (!(error instanceof ToolError)) throw error;
  const { code, message, hint } = error;
  throw new TaskFailure(code, hint === undefined ? message : `${message} ${hint}`, {
    retryable: code === 'conflict',
  });
}
