/** What a repository's configuration may say: what is harmless works, what other tools keep there too, the rest is refused. */
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { isHarmless } from './configuration.ts';
import { commit, place, plainGit, repository, use, write } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

/** As clients, hosts and editors leave it behind. */
const ordinary = `
[core]
	autocrlf = input
	ignorecase = true
	untrackedCache = true
	fsmonitor = true
	sparseCheckout = true
	sparseCheckoutCone = true
	longpaths = true
	hooksPath = .husky/_
	customOfSomeTool = yes
[lfs "https://example.org/x.git/info/lfs"]
	access = basic
[lfs]
	repositoryformatversion = 0
[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
[gitflow "branch"]
	master = main
	develop = develop
[gitflow "prefix"]
	feature = feature/
[branch "main"]
	remote = origin
	merge = refs/heads/main
	rebase = true
	vscode-merge-base = origin/main
	github-pr-owner-number = "a#b#1"
	gh-merge-base = main
[remote "origin"]
	url = https://example.org/x.git
	fetch = +refs/heads/*:refs/remotes/origin/*
	promisor = true
	partialclonefilter = blob:none
	gh-resolved = base
[submodule]
	active = .
[submodule "lib"]
	url = https://example.org/lib.git
	active = true
	update = checkout
[http "https://example.org/"]
	extraheader = AUTHORIZATION: basic x
[credential]
	helper = store
[url "git@example.org:"]
	insteadOf = https://example.org/
[user]
	name = Eve
	signingkey = ABC
[commit]
	gpgsign = true
[gpg "ssh"]
	allowedSignersFile = ~/.ssh/allowed
[gui]
	wmstate = normal
[alias]
	st = status
[maintenance]
	auto = false
	strategy = incremental
[merge]
	conflictStyle = zdiff3
[merge "ours"]
	driver = true
[diff "astextplain"]
	textconv = astextplain
[rerere]
	enabled = true
[pull]
	rebase = true
[rebase]
	updateRefs = true
[push]
	autoSetupRemote = true
[fetch]
	prune = true
	fsckObjects = true
[fetch "fsck"]
	missingEmail = ignore
[feature]
	manyFiles = false
[extensions]
	worktreeConfig = true
[safe]
	directory = *
[credentialStore]
	lockTimeoutMS = 10
[annex]
	uuid = x
[sourcetree]
	disablerecursiveoperations = 1
`;

test.concurrent('a repository with what is usual works, to read and to change', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'config', 'core.repositoryFormatVersion', '1');
  appendFileSync(join(repo, '.git/config'), ordinary);
  write(repo, { 'b.txt': 'b' });

  expect(await use(at.git, 'git_status', { repo_path: repo })).toMatchObject({ branch: 'main' });
  await use(at.git, 'git_commit', { repo_path: repo, message: 'x', files: ['b.txt'] });
  await use(at.git, 'git_checkout', { repo_path: repo, branch_name: 'new', create: true });
  expect(await use(at.git, 'git_remote', { repo_path: repo })).toMatchObject({
    remotes: [{ name: 'origin' }],
  });
});

describe('A key that may lead elsewhere', () => {
  test.concurrent.each([
    ['fetch.fsck.skipList', '/etc/passwd'],
    ['receive.fsck.skipList', '/etc/passwd'],
    ['fetch.bundleURI', 'file:///etc/passwd'],
    ['fetch.uriProtocols', 'file'],
    ['pull.twohead', 'evil'],
    ['bundle.version', '1'],
    ['bundle.x.uri', 'file:///etc/passwd'],
    ['trace2.eventTarget', '/tmp/trace'],
    ['fsmonitor.socketDir', '/tmp'],
    ['attr.tree', 'HEAD'],
    ['receive.procReceiveRefs', 'refs/heads'],
  ])('is refused by its name: %s', async (key, value) => {
    using at = place({ isSandboxed: false });
    const repo = repository(at.root, 'repo');
    plainGit(repo, 'config', key, value);

    for (const [name, args] of [
      ['git_status', {}],
      ['git_fetch', {}],
      ['git_commit', { message: 'x', allow_empty: true }],
    ] as const) {
      const refused = use(at.git, name, { repo_path: repo, ...args });
      await expect(refused, name).rejects.toMatchObject({
        code: 'forbidden',
        message: `The repository is refused: its configuration sets ${key.toLowerCase()}.`,
        hint: expect.stringContaining(`git config --unset-all ${key.toLowerCase()}`) as string,
      });
    }
  });

  test.concurrent('is refused in an include, in a linked working tree and in a submodule that is entered', async () => {
    using at = place({ isSandboxed: false });
    const repo = repository(at.root, 'repo');
    write(repo, { '.git/more': '[fetch "fsck"]\n\tskipList = /etc/passwd\n' });
    plainGit(repo, 'config', 'include.path', 'more');
    await expect(use(at.git, 'git_log', { repo_path: repo })).rejects.toMatchObject({ code: 'forbidden' });

    plainGit(repo, 'config', '--unset', 'include.path');
    plainGit(repo, 'config', 'extensions.worktreeConfig', 'true');
    plainGit(repo, 'config', '--worktree', 'receive.fsck.skipList', '/etc/passwd');
    await expect(use(at.git, 'git_log', { repo_path: repo })).rejects.toMatchObject({ code: 'forbidden' });

    const outer = repository(at.root, 'outer');
    repository(outer, 'sub', { 'x.txt': 'x' });
    plainGit(join(outer, 'sub'), 'config', 'fetch.fsck.skipList', '/etc/passwd');
    commit(outer, 'submodule', {});
    await expect(use(at.git, 'git_stash', { repo_path: outer, mode: 'push' })).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});

test.concurrent('a key that no git reads is nobody else’s business, and one that this git documents is decided about', () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const documented = plainGit(repo, 'help', '--config')
    .split('\n')
    .filter((line) => /^[a-z][\w-]*\.\S/i.test(line))
    .map((line) => line.replaceAll(/<[^>]*>/g, 'x'))
    .map((key) => key.replace(/^[^.]*|[^.]*$/g, (part) => part.toLowerCase()));

  const refused = documented.filter((key) => !isHarmless(key));

  expect(documented.length).toBeGreaterThan(700);
  // What a later git adds is refused until somebody has looked at it: here is what is known.
  const expected =
    /^(attr|bundle|trace2|fsmonitor)\.|^pull\.(octopus|twohead)$|^feature\.\*$|^(fetch|receive)\.fsck\.skiplist$|^fetch\.bundle|^receive\.procreceiverefs$/;
  expect(refused.filter((key) => !expected.test(key))).toEqual([]);
});

test.concurrent('an address that git of old times kept beside the configuration is refused', async () => {
  using at = place({ mayPush: true, isSandboxed: false });
  const repo = repository(at.root, 'repo');
  plainGit(at.root, 'clone', '--quiet', '--bare', 'repo', 'hub');
  plainGit(repo, 'remote', 'add', 'origin', '../hub');
  for (const folder of ['remotes', 'branches']) {
    write(repo, {
      [`.git/${folder}/origin`]: folder === 'remotes' ? `URL: ${at.outside}\n` : `${at.outside}\n`,
    });

    for (const tool of ['git_fetch', 'git_pull', 'git_push']) {
      await expect(use(at.git, tool, { repo_path: repo }), tool).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining(`.git/${folder}/origin`) as string,
      });
    }
    rmSync(join(repo, '.git', folder), { recursive: true });
  }
  expect(await use(at.git, 'git_fetch', { repo_path: repo })).toMatchObject({ moved: [{ before: null }] });
});
