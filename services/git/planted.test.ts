/**
 * A repository that somebody planted starts nothing, whichever tool looks at it. Each payload would leave a mark; that
 * plain git leaves it shows that the payload is a real one.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { validCalls } from './calls.fixture.ts';
import { hookNames } from './hooks.fixture.ts';
import { allTools } from './service.ts';
import {
  commit,
  copier,
  place,
  plainGit,
  repository,
  use,
  write,
  type Place,
} from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

interface Payload {
  /** @param program leaves the mark, and passes its input on. */
  plant(repo: string, program: string, at: Place): void;
  /** Commands of plain git, one of which starts the program; none where only another git would. */
  readonly proof: readonly string[];
}

const config = (repo: string, settings: Readonly<Record<string, string>>) => {
  for (const [key, value] of Object.entries(settings)) plainGit(repo, 'config', '--add', key, value);
};
const attributes = (repo: string, text: string) => commit(repo, 'attributes', { '.gitattributes': text });

const setting = (
  settings: (program: string) => Readonly<Record<string, string>>,
  ...proof: string[]
): Payload => ({
  plant: (repo, program) => config(repo, settings(program)),
  proof,
});

const filtering = (program: string) => ({
  'filter.evil.clean': program,
  'filter.evil.smudge': program,
  'filter.evil.required': 'true',
});

/** Repositories within the working tree, which git would enter as submodules; one of them is not declared. */
function plantSubmodules(repo: string, program: string): void {
  const inner = ['inner', 'undeclared'].map((name) => repository(repo, name, { 'x.txt': 'x' }));
  for (const folder of inner) {
    commit(folder, 'attributes', { '.gitattributes': '*.txt filter=inner' });
    config(folder, { 'filter.inner.clean': program, 'core.fsmonitor': program });
  }
  write(repo, { '.gitmodules': '[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n\tignore = none\n' });
  config(repo, {
    'submodule.inner.ignore': 'none',
    'submodule.inner.update': `!${program}`,
    'submodule.recurse': 'true',
    'diff.ignoreSubmodules': 'none',
    'diff.submodule': 'log',
    'status.submoduleSummary': 'true',
  });
  commit(repo, 'submodule', {});
  for (const folder of inner) write(folder, { 'x.txt': 'changed' });
}

/** One in a submodule without a declaration; its file is changed so that only its content tells. */
function plantFilterInSubmodule(repo: string, program: string): void {
  write(repo, { 'a.txt': 'aside\n' });
  plainGit(repo, 'stash', '--quiet');
  const folder = repository(repo, 'sub', { 'x.txt': 'x' });
  config(folder, { 'filter.inner.clean': program });
  write(folder, { '.git/info/attributes': '* filter=inner\n' });
  commit(repo, 'submodule', {});
  write(folder, { 'x.txt': 'y' });
}

/** One that only another working tree of the repository names. */
function plantFilterInWorktree(repo: string, program: string): void {
  config(repo, { 'extensions.worktreeConfig': 'true' });
  plainGit(repo, 'worktree', 'add', '--quiet', 'other', 'feature');
  plainGit(join(repo, 'other'), 'config', '--worktree', 'filter.other.clean', program);
  write(repo, { '.git/info/attributes': 'a.txt filter=other\n', 'other/a.txt': 'one\nOTHER\n' });
}

/** Payloads in one repository must not keep each other from being reached. */
const groups: Readonly<Record<string, Readonly<Record<string, Payload>>>> = {
  'programs in its configuration': {
    fsmonitor: setting((program) => ({ 'core.fsmonitor': program }), 'status'),
    'diff-driver': {
      plant(repo, program) {
        attributes(repo, '* diff=evil merge=evil\n');
        config(repo, { 'diff.evil.command': program });
      },
      proof: ['diff HEAD~1'],
    },
    textconv: setting((program) => ({ 'diff.evil.textconv': program }), 'log -p'),
    'merge-driver': setting((program) => ({ 'merge.evil.driver': program }), 'merge feature'),
    gpg: setting(
      (program) => ({
        'gpg.program': program,
        'commit.gpgSign': 'true',
        'tag.gpgSign': 'true',
        'log.showSignature': 'true',
      }),
      'commit --allow-empty -m x',
    ),
    editor: setting(
      (program) => ({ 'core.editor': program, 'sequence.editor': program }),
      'commit --allow-empty',
    ),
    pager: setting((program) => ({ 'core.pager': program, 'pager.log': program, 'pager.status': program })),
    trailer: setting(
      (program) => ({ 'trailer.evil.command': program, 'trailer.evil.cmd': program }),
      'commit --allow-empty -m x --trailer evil=1',
    ),
    alias: setting((program) => ({ 'alias.status': `!${program}`, 'alias.st': `!${program}` }), 'st'),
    'config-hook': setting((program) => ({
      'hook.evil.command': program,
      'hook.evil.event': 'post-checkout',
    })),
    'merge-options': setting((program) => ({ 'branch.main.mergeOptions': `--gpg-sign=${program}` })),
    hooks: {
      plant(repo, program) {
        for (const name of hookNames) {
          write(repo, { [`.git/hooks/${name}`]: `#!/bin/sh\n${program} </dev/null\n` });
          chmodSync(join(repo, '.git/hooks', name), 0o755);
        }
      },
      proof: ['checkout feature'],
    },
  },
  'a hooks path, an external diff and a submodule': {
    'hooks-path': {
      plant(repo, program) {
        for (const name of hookNames) {
          write(repo, { [`.git/other/${name}`]: `#!/bin/sh\n${program} </dev/null\n` });
          chmodSync(join(repo, '.git/other', name), 0o755);
        }
        config(repo, { 'core.hooksPath': '.git/other' });
      },
      proof: ['checkout feature'],
    },
    'external-diff': setting((program) => ({ 'diff.external': program }), 'diff HEAD~1'),
    submodule: { plant: plantSubmodules, proof: ['status'] },
  },
  'filters in .gitattributes, and a remote that is a program': {
    vcs: setting((program) => ({ 'remote.origin.vcs': 'ext', 'remote.origin.pushurl': `ext::${program}` })),
    'instead-of': setting((program) => ({ [`url.ext::${program} .insteadOf`]: '/' })),
    filter: {
      plant(repo, program) {
        attributes(repo, '*.txt filter=evil\n');
        config(repo, filtering(program));
      },
      proof: ['add .'],
    },
  },
  'filters in .git/info/attributes, by an include and for this working tree': {
    'filter-info': {
      plant(repo, program) {
        write(repo, {
          '.git/info/attributes': '*.txt filter=evil\n*.md filter=tree\n*.js filter="odd = name"\n',
        });
        write(repo, { '.git/more': '[filter "evil"]\n' });
        plainGit(repo, 'config', '--file', '.git/more', 'filter.evil.clean', program);
        plainGit(repo, 'config', '--file', '.git/more', 'filter.evil.smudge', program);
        config(repo, { 'includeIf.onbranch:**.path': 'more' });
      },
      proof: ['add .'],
    },
    'filter-worktree': {
      plant(repo, program) {
        config(repo, { 'extensions.worktreeConfig': 'true' });
        plainGit(repo, 'config', '--worktree', 'filter.tree.clean', program);
        write(repo, { 'a.md': 'x' });
      },
      proof: ['add .'],
    },
    'filter-odd-name': {
      plant(repo, program) {
        plainGit(repo, 'config', 'filter.odd = name.clean', program);
        write(repo, { 'a.js': 'x' });
      },
      proof: [],
    },
    'attributes-file': {
      plant(repo, program) {
        write(repo, { '.git/attributes': '* filter=far\n' });
        config(repo, { 'core.attributesFile': '.git/attributes', 'filter.far.process': program });
      },
      proof: ['add a.md'],
    },
  },
  'a remote with programs, and one as the next step of a rebase': {
    exec: {
      plant(repo, program) {
        const head = plainGit(repo, 'rev-parse', 'HEAD');
        write(repo, {
          '.git/rebase-merge/git-rebase-todo': `exec ${program} </dev/null\n`,
          '.git/rebase-merge/done': '',
          '.git/rebase-merge/head-name': 'refs/heads/main\n',
          '.git/rebase-merge/onto': `${head}\n`,
          '.git/rebase-merge/orig-head': `${head}\n`,
          '.git/rebase-merge/interactive': '',
          '.git/rebase-merge/msgnum': '0\n',
          '.git/rebase-merge/end': '1\n',
        });
      },
      proof: ['rebase --continue'],
    },
    transport: setting(
      (program) => ({
        'remote.origin.uploadpack': `${program} </dev/null`,
        'remote.origin.receivepack': `${program} </dev/null`,
      }),
      'fetch',
    ),
    'alternate-refs': setting((program) => ({ 'core.alternateRefsCommand': program })),
    ssh: setting((program) => ({ 'core.sshCommand': program, 'remote.far.url': 'ssh://127.0.0.1:1/x' })),
    askpass: setting((program) => ({ 'core.askPass': program, 'credential.helper': `!${program}` })),
  },
  'a filter in a submodule': { 'sub-filter': { plant: plantFilterInSubmodule, proof: ['add .'] } },
  'a filter in another working tree': {
    'other-filter': { plant: plantFilterInWorktree, proof: ['worktree remove other'] },
  },
  'objects that are fetched when they are missed': {
    promisor: {
      plant(repo, program) {
        config(repo, {
          'core.repositoryFormatVersion': '1',
          'extensions.partialClone': 'origin',
          'remote.origin.promisor': 'true',
          'remote.origin.uploadpack': `${program} </dev/null`,
        });
        const blob = plainGit(repo, 'rev-parse', 'HEAD~1:a.txt');
        rmSync(join(repo, '.git/objects', blob.slice(0, 2), blob.slice(2)));
      },
      proof: ['diff HEAD~1 HEAD'],
    },
  },
};

interface Planted {
  readonly marks: string;
  /** A fresh copy, in the place that its own paths name. */
  copy(isClean: boolean): string;
}

function plant(at: Place, payloads: Readonly<Record<string, Payload>>): Planted {
  const marks = join(at.outside, 'marks');
  mkdirSync(marks);
  repository(at.root, 'seed', { 'a.txt': 'one\n' });
  plainGit(at.root, 'clone', '--quiet', '--bare', 'seed', 'upstream');
  plainGit(at.root, 'clone', '--quiet', 'upstream', 'repo');
  const repo = join(at.root, 'repo');
  commit(repo, 'second', { 'a.txt': 'one\ntwo\n' });
  plainGit(repo, 'checkout', '--quiet', '-b', 'feature', 'HEAD~1');
  commit(repo, 'other', { 'a.txt': 'one\nother\n' });
  plainGit(repo, 'checkout', '--quiet', 'main');
  for (const [name, payload] of Object.entries(payloads)) {
    const program = join(at.outside, name);
    write(at.outside, { [name]: `#!/bin/sh\n: > '${marks}/${name}'\nexec cat\n` });
    chmodSync(program, 0o755);
    payload.plant(repo, program, at);
  }
  rmSync(marks, { recursive: true });
  mkdirSync(marks);
  const template = join(at.outside, 'template');
  renameSync(repo, template);
  const renew = copier(template, repo);
  return {
    marks,
    copy(isClean) {
      for (const made of ['made', 'linked']) rmSync(join(at.root, made), { recursive: true, force: true });
      renew();
      if (!isClean) write(repo, { 'a.txt': 'one\ntwo\nthree\n', 'new.txt': 'new\n' });
      return repo;
    },
  };
}

/** Beside one call of each tool: what has another git look into this folder, where it is. */
const entering: readonly (readonly [
  folder: string,
  tool: string,
  args: Readonly<Record<string, unknown>>,
])[] = [
  ...['.', 'sub', 'inner'].flatMap(
    (path) =>
      [
        [path, 'git_add', { files: [path] }],
        [path, 'git_commit', { files: [path], message: 'x' }],
        [path, 'git_rm', { files: [path], recursive: true }],
        [path, 'git_rm', { files: [path], recursive: true, force: true }],
      ] as const,
  ),
  ['sub', 'git_commit', { message: 'x', allow_empty: true }],
  ['sub', 'git_restore', { files: ['sub'], staged: true, worktree: true, source: 'HEAD~1' }],
  ['sub', 'git_clean', { files: ['sub'], dry_run: false, directories: true, ignored: true }],
  ['sub', 'git_worktree', { mode: 'add', path: 'linked', revision: 'HEAD' }],
  ['sub', 'git_mv', { source: 'sub', destination: 'moved' }],
  ['sub', 'git_stash', { mode: 'apply' }],
  ['sub', 'git_stash', { mode: 'pop' }],
  ['sub', 'git_stash', { mode: 'push' }],
  ['sub', 'git_merge', { branch: 'feature' }],
  ['sub', 'git_merge', { branch: 'feature', fast_forward: 'never' }],
  ['sub', 'git_pull', { fast_forward_only: false, branch: 'main' }],
  ['sub', 'git_rebase', { upstream: 'feature' }],
  ['sub', 'git_cherry_pick', { commits: ['feature'] }],
  ['sub', 'git_revert', { commits: ['HEAD~1'] }],
  ['sub', 'git_checkout', { branch_name: 'feature' }],
  ['sub', 'git_reset', { mode: 'hard', target: 'HEAD~1', confirm: true }],
  ['other', 'git_worktree', { mode: 'remove', path: 'repo/other' }],
  ['.', 'git_clean', { dry_run: false, directories: true, ignored: true }],
];

/** Without the sandbox, in which none could start and leave its mark: what git is told has to hold alone. */
const everything = {
  mayPush: true,
  mayRewrite: true,
  protocols: ['https', 'ssh'],
  isSandboxed: false,
} as const;

describe.concurrent.each(Object.entries(groups))('A repository with %s', (_, payloads) => {
  test('starts none of them through any tool', async () => {
    using at = place(everything);
    const planted = plant(at, payloads);
    const answers: Record<string, string> = {};

    const answer = async (name: string, args: Readonly<Record<string, unknown>>) =>
      use(at.git, name, args).then(
        () => 'ok',
        (error: { code?: string; message: string }) => error.code ?? error.message,
      );
    const readers = allTools.filter(({ hints }) => hints.readOnly);
    const repo_path = planted.copy(false);
    await Promise.all(
      readers.map(async ({ name }) => {
        answers[name] = await answer(name, { repo_path, ...validCalls[name]?.args });
      }),
    );
    expect(readdirSync(planted.marks), 'while reading').toEqual([]);
    for (const { name } of allTools.filter(({ hints }) => !hints.readOnly)) {
      const { args, clean = false } = validCalls[name] ?? {};
      const repo = planted.copy(clean);
      const path = name === 'git_clone' || name === 'git_init' ? join(at.root, 'made') : repo;
      answers[name] = await answer(name, { repo_path: path, ...args });
      expect(readdirSync(planted.marks), name).toEqual([]);
    }
    const folders = new Set(['.', ...readdirSync(planted.copy(true))]);
    for (const [folder, name, args] of entering) {
      if (!folders.has(folder)) continue;
      await answer(name, { repo_path: planted.copy(true), ...args });
      expect(readdirSync(planted.marks), `${name} ${JSON.stringify(args)}`).toEqual([]);
    }
    for (const mode of ['continue', 'skip', 'abort']) {
      for (const name of ['git_rebase', 'git_cherry_pick', 'git_revert']) {
        await answer(name, { repo_path: planted.copy(true), mode });
      }
    }
    expect(readdirSync(planted.marks)).toEqual([]);

    // Refusals and answers, but no bugs; and what reads history does read it.
    expect(Object.values(answers).filter((answer) => !/^[a-z_]+$/.test(answer))).toEqual([]);
    expect(answers).toMatchObject({ git_log: 'ok', git_branch: 'ok', git_status: 'ok', git_reflog: 'ok' });
  });

  const proven = Object.entries(payloads).filter(([, { proof }]) => proof.length > 0);
  test.runIf(proven.length > 0)('starts each of them through plain git', () => {
    using at = place();
    const planted = plant(at, payloads);

    for (const [name, { proof }] of proven) {
      const repo = planted.copy(proof.every((command) => !/^(status|add)/.test(command)));
      for (const command of proof) {
        try {
          plainGit(repo, ...command.split(' '));
        } catch {
          // Whether it succeeds is not the question.
        }
      }
      expect(existsSync(join(planted.marks, name)), name).toBe(true);
    }
  });
});

test('every tool is tried', () => {
  expect(Object.keys(validCalls).toSorted()).toEqual(allTools.map(({ name }) => name).toSorted());
});
