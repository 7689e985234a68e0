import type { Contract } from '#runtime/testing.ts';

import { validCalls } from './calls.fixture.ts';
import { commit, plainGit, repository, write } from './repositories.fixture.ts';

export const contract: Contract = {
  listTokens: 16_000,
  settings: (folder) => ({
    FLOTILLA_ROOTS: folder,
    FLOTILLA_GIT_ALLOW_PUSH: 'true',
    FLOTILLA_GIT_ALLOW_REWRITE: 'true',
  }),
  async prepare({ folder, foreign }) {
    const files = { 'a.txt': 'one\n' };
    const origin = repository(folder, 'origin', files);
    commit(origin, foreign, { 'b.txt': foreign });
    plainGit(origin, 'config', 'receive.denyCurrentBranch', 'ignore');
    const prepared = (name: string, isClean: boolean) => {
      plainGit(folder, 'clone', '--quiet', 'origin', name);
      const repo = `${folder}/${name}`;
      plainGit(repo, 'checkout', '--quiet', '-b', 'feature');
      commit(repo, `feature ${foreign}`, { 'c.txt': foreign });
      plainGit(repo, 'checkout', '--quiet', 'main');
      commit(repo, `main ${foreign}`, { 'd.txt': foreign });
      if (!isClean) write(repo, { 'a.txt': `changed ${foreign}\n`, [`new ${foreign}`]: foreign });
      return repo;
    };
    const repos = { clean: prepared('clean', true), changed: prepared('repo', false) };
    return Object.fromEntries(
      Object.entries(validCalls).map(([name, { args, clean }]) => {
        const path =
          name === 'git_clone' || name === 'git_init' ? `${folder}/made` : repos[clean ? 'clean' : 'changed'];
        return [name, { repo_path: path, ...args, ...(name === 'git_mv' && { destination: 'moved.txt' }) }];
      }),
    );
  },
};
