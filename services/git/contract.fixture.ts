import { cpSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Contract } from '#runtime/testing.ts';

import { validCalls } from './calls.fixture.ts';
import { commit, plainGit, repository, write } from './repositories.fixture.ts';

/** Made once: it takes twenty runs of git. */
let template: string | undefined;

function prepared(foreign: string): string {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-contract-'));
  process.once('exit', () => folder.remove());
  const origin = repository(folder.path, 'origin', { 'a.txt': 'one\n' });
  commit(origin, foreign, { 'b.txt': foreign });
  plainGit(origin, 'config', 'receive.denyCurrentBranch', 'ignore');
  for (const name of ['clean', 'repo']) {
    plainGit(folder.path, 'clone', '--quiet', 'origin', name);
    const repo = `${folder.path}/${name}`;
    plainGit(repo, 'checkout', '--quiet', '-b', 'feature');
    commit(repo, `feature ${foreign}`, { 'c.txt': foreign });
    plainGit(repo, 'checkout', '--quiet', 'main');
    commit(repo, `main ${foreign}`, { 'd.txt': foreign });
    if (name === 'repo') write(repo, { 'a.txt': `changed ${foreign}\n`, [`new ${foreign}`]: foreign });
  }
  return folder.path;
}

export const contract: Contract = {
  listTokens: 10_900,
  settings: (folder) => ({
    FLOTILLA_ROOTS: folder,
    FLOTILLA_GIT_ALLOW_PUSH: 'true',
    FLOTILLA_GIT_ALLOW_REWRITE: 'true',
  }),
  async prepare({ folder, foreign }) {
    template ??= prepared(foreign);
    cpSync(template, folder, { recursive: true });
    for (const name of ['clean', 'repo'])
      plainGit(`${folder}/${name}`, 'remote', 'set-url', 'origin', `${folder}/origin`);
    return Object.fromEntries(
      Object.entries(validCalls).map(([name, { args, clean }]) => {
        const path =
          name === 'git_clone' || name === 'git_init'
            ? `${folder}/made`
            : `${folder}/${clean ? 'clean' : 'repo'}`;
        return [name, { repo_path: path, ...args, ...(name === 'git_mv' && { destination: 'moved.txt' }) }];
      }),
    );
  },
};
