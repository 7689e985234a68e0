import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Workload } from '#runtime/workload.ts';

const commits = 200;
const files = 500;
function git(repository: string, ...args: readonly string[]): void {
  const who = ['-c', 'user.name=Bench', '-c', 'user.email=bench@localhost'];
  execFileSync('git', [...who, ...args], { cwd: repository, stdio: 'ignore' });
}

const contentOf = (number: number) => `the staging database moved to port ${4_000 + number}\n`.repeat(30);

/** The path of the repository. */
type State = string;

export const workload: Workload<State> = {
  settings: (folder) => ({ FLOTILLA_ROOTS: folder }),
  async seed({ folder }) {
    const repository = join(folder, 'repo');
    mkdirSync(repository);
    git(repository, 'init', '--quiet', '--initial-branch=main');
    for (let number = 0; number < files; number += 1)
      writeFileSync(join(repository, `file-${number}.txt`), contentOf(number));
    for (let number = 0; number < commits; number += 1) {
      writeFileSync(join(repository, `file-${number % files}.txt`), contentOf(number * 3));
      git(repository, 'add', '--all');
      git(repository, 'commit', '--quiet', '--message', `Move database ${number}`);
    }
    writeFileSync(join(repository, 'file-1.txt'), contentOf(1));
    return repository;
  },
  calls: [
    {
      title: 'git_branch',
      tool: 'git_branch',
      kind: 'large',
      arguments: (_number, repository) => ({ repo_path: repository, branch_type: 'local' }),
    },
    {
      title: 'git_status',
      tool: 'git_status',
      kind: 'large',
      arguments: (_number, repository) => ({ repo_path: repository }),
    },
    {
      title: 'git_log, ten commits',
      tool: 'git_log',
      kind: 'large',
      arguments: (_number, repository) => ({ repo_path: repository, max_count: 10 }),
    },
    {
      title: 'git_diff_unstaged',
      tool: 'git_diff_unstaged',
      kind: 'large',
      arguments: (_number, repository) => ({ repo_path: repository }),
    },
    {
      title: 'git_show',
      tool: 'git_show',
      kind: 'large',
      arguments: (number, repository) => ({ repo_path: repository, revision: `HEAD~${number % 100}` }),
    },
  ],
  heavy: [
    {
      tool: 'git_search_history',
      arguments: (_number, repository) => ({ repo_path: repository, text: 'port 4[0-9]+ the', regex: true }),
    },
    { tool: 'git_log', arguments: (_number, repository) => ({ repo_path: repository, max_count: 1_000 }) },
    {
      tool: 'git_grep',
      arguments: (_number, repository) => ({
        repo_path: repository,
        pattern: '(staging|database|moved)+.*port.*9$',
      }),
    },
    {
      tool: 'git_blame',
      arguments: (number, repository) => ({ repo_path: repository, path: `file-${number % files}.txt` }),
    },
  ],
};
