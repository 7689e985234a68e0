/** One call of each tool that does its work in a repository with branches `main` and `feature` and a remote `origin`. */

interface ValidCall {
  readonly args: Readonly<Record<string, unknown>>;
  /** Whether it wants a working tree without changes. */
  readonly clean?: true;
}

export const validCalls: Readonly<Record<string, ValidCall>> = {
  git_status: { args: {} },
  git_diff_unstaged: { args: {} },
  git_diff_staged: { args: {} },
  git_diff: { args: { target: 'feature' } },
  git_commit: { args: { message: 'more', files: ['a.txt'] } },
  git_add: { args: { files: ['.'] } },
  git_reset: { args: { mode: 'hard', target: 'HEAD~1', confirm: true } },
  git_log: { args: { files: ['a.txt'] } },
  git_create_branch: { args: { branch_name: 'new' } },
  git_checkout: { args: { branch_name: 'feature' }, clean: true },
  git_show: { args: { revision: 'HEAD' } },
  git_branch: { args: { branch_type: 'all' } },
  git_blame: { args: { path: 'a.txt' } },
  git_cherry_pick: { args: { commits: ['feature'] }, clean: true },
  git_clean: { args: { dry_run: false } },
  git_clone: { args: { url: 'repo' } },
  git_conflicts: { args: {} },
  git_diff_stat: { args: {} },
  git_fetch: { args: {}, clean: true },
  git_grep: { args: { pattern: 'o' } },
  git_init: { args: {} },
  git_ls_files: { args: {} },
  git_merge: { args: { branch: 'feature' }, clean: true },
  git_mv: { args: { source: 'a.txt', destination: 'b.txt' } },
  git_pull: { args: { fast_forward_only: false }, clean: true },
  git_push: { args: {}, clean: true },
  git_rebase: { args: { upstream: 'feature' }, clean: true },
  git_reflog: { args: {} },
  git_remote: { args: {} },
  git_restore: { args: { files: ['.'] } },
  git_revert: { args: { commits: ['HEAD'] }, clean: true },
  git_rm: { args: { files: ['a.txt'], force: true } },
  git_search_history: { args: { text: 'one' } },
  git_show_file: { args: { path: 'a.txt' } },
  git_stash: { args: { mode: 'push', include_untracked: true } },
  git_tag: { args: { mode: 'create', name: 'v1', message: 'first' } },
  git_worktree: { args: { mode: 'add', path: 'linked' } },
};
