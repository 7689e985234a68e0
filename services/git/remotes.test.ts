/** Other repositories: those below the roots, and none else unless the operator opens the way. */
import { existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import { commit, place, plainGit, repository, use, write, type Place } from './repositories.fixture.ts';
import { addressOf } from './remotes.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

/** A bare `hub`, and `repo`, which came from it. */
function hub(at: Place): string {
  const seed = repository(at.root, 'seed');
  plainGit(at.root, 'clone', '--quiet', '--bare', 'seed', 'hub');
  plainGit(at.root, 'clone', '--quiet', 'hub', 'repo');
  plainGit(seed, 'remote', 'add', 'origin', '../hub');
  return join(at.root, 'repo');
}

test.concurrent('a repository below the roots is cloned, fetched, pulled and pushed to', async () => {
  using at = place({ mayPush: true });
  const repo = hub(at);
  const copy = join(at.root, 'copy');

  expect(await use(at.git, 'git_clone', { url: join(at.root, 'hub'), repo_path: copy })).toMatchObject({
    path: copy,
    branch: 'main',
  });
  const pushed = commit(copy, 'from copy', { 'b.txt': 'b' });
  expect(await use(at.git, 'git_push', { repo_path: copy, dry_run: true })).toMatchObject({
    pushed: [{ ref: 'refs/heads/main', flag: ' ' }],
    dry_run: true,
  });
  expect(plainGit(join(at.root, 'hub'), 'log', '-1', '--format=%s')).toBe('first');
  await use(at.git, 'git_push', { repo_path: copy });
  expect(await use(at.git, 'git_fetch', { repo_path: repo })).toMatchObject({
    moved: [{ ref: 'origin/main', after: pushed }],
  });
  expect(await use(at.git, 'git_pull', { repo_path: repo })).toMatchObject({ outcome: 'done', head: pushed });
  commit(copy, 'more', {});
  commit(repo, 'other', { 'c.txt': '' });
  await use(at.git, 'git_push', { repo_path: copy });
  await expect(use(at.git, 'git_pull', { repo_path: repo })).rejects.toMatchObject({ code: 'conflict' });
  await expect(use(at.git, 'git_push', { repo_path: repo })).rejects.toMatchObject({ code: 'conflict' });
  await expect(use(at.git, 'git_push', { repo_path: repo, force_with_lease: true })).rejects.toMatchObject({
    code: 'forbidden',
    hint: expect.stringContaining('FLOTILLA_GIT_ALLOW_REWRITE') as string,
  });
});

test.concurrent('nothing is pushed unless the operator allows it', async () => {
  using at = place();
  const repo = hub(at);
  commit(repo, 'more', {});

  await expect(use(at.git, 'git_push', { repo_path: repo })).rejects.toMatchObject({
    code: 'forbidden',
    hint: expect.stringContaining('FLOTILLA_GIT_ALLOW_PUSH') as string,
  });
  expect(plainGit(join(at.root, 'hub'), 'log', '-1', '--format=%s')).toBe('first');
});

const addresses: readonly (readonly [string, string])[] = [
  ['https://example.invalid/x.git', 'forbidden'],
  ['ssh://git@example.invalid/x.git', 'forbidden'],
  ['git@example.invalid:x.git', 'forbidden'],
  ['git://127.0.0.1/x.git', 'forbidden'],
  ['http://127.0.0.1/x.git', 'forbidden'],
  ['https://user:secret@example.invalid/x.git', 'forbidden'],
  ['ext::sh -c touch% /tmp/x', 'forbidden'],
  ['ext::touch', 'forbidden'],
  ['fd::17', 'forbidden'],
  ['file:///etc', 'forbidden'],
  ['file://localhost/etc', 'forbidden'],
  ['/etc', 'forbidden'],
  ['../outside/other', 'forbidden'],
  ['bundle', 'forbidden'],
  ['-u', 'invalid_input'],
  ['--upload-pack=touch x', 'invalid_input'],
  ['ssh://-oProxyCommand=touch/x', 'forbidden'],
  ['-oProxyCommand=touch:x', 'invalid_input'],
  ['x@-oProxyCommand=touch:x', 'forbidden'],
  ['~root/repo', 'forbidden'],
  ['~', 'forbidden'],
  ['nowhere', 'not_found'],
];

test.concurrent.each(addresses)('git_clone of %s is %s', async (url, code) => {
  using at = place();
  repository(at.outside, 'other');
  write(at.root, { bundle: '# v2 git bundle\n' });

  const answer = use(at.git, 'git_clone', { url, repo_path: 'copy' });

  await expect(answer).rejects.toMatchObject({
    code,
    message: expect.not.stringContaining('secret') as string,
  });
  expect(readdirSync(at.root)).toEqual(['bundle']);
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'config', 'remote.origin.url', url);
  await expect(use(at.git, 'git_fetch', { repo_path: repo })).rejects.toMatchObject({
    code: expect.stringMatching(/^(forbidden|not_found)$/) as string,
  });
});

test.concurrent('git is given the place that was looked at, whatever else it could make of an address', async () => {
  using at = place({ mayPush: true });
  const other = repository(at.outside, 'other');
  const head = commit(other, 'private', { s: 'secret' });
  const repo = repository(at.root, 'repo');
  const decoys = {
    // The home of a user, and a folder.
    [`~root/../..${other}`]: join(repo, other),
    // An escape of URLs, and a name.
    '../x%2f..%2f..%2foutside%2fother': join(at.root, 'x%2f..%2f..%2foutside%2fother'),
  };
  for (const folder of Object.values(decoys)) {
    mkdirSync(dirname(folder), { recursive: true });
    repository(dirname(folder), basename(folder));
  }
  // What git turns to when it likes the first place less than we do.
  mkdirSync(join(at.root, 'empty/.git/objects'), { recursive: true });
  symlinkSync(other, join(at.root, 'empty.git'));
  plainGit(at.root, 'init', '--quiet', '--bare', 'bare');
  symlinkSync(join(other, '.git'), join(at.root, 'bare/.git'));

  for (const url of [...Object.keys(decoys), '../empty', '../empty/', '../bare']) {
    plainGit(repo, 'config', 'remote.origin.url', url);
    for (const tool of ['git_fetch', 'git_pull', 'git_push']) {
      await use(at.git, tool, { repo_path: repo }).catch(() => {});
    }
    await use(at.git, 'git_clone', { url: join(repo, url), repo_path: 'copy' }).catch(() => {});
    expect(() => plainGit(repo, 'cat-file', '-e', head), url).toThrow(/cat-file/);
    expect(existsSync(join(at.root, 'copy/s')), url).toBe(false);
    expect(plainGit(other, 'rev-parse', 'HEAD'), url).toBe(head);
  }
});

test.concurrent('two addresses of one repository are both the place that was looked at', async () => {
  using at = place({ mayPush: true });
  const repo = hub(at);
  plainGit(repo, 'config', 'remote.origin.pushurl', '../hub/');
  const head = commit(repo, 'more', {});

  await use(at.git, 'git_push', { repo_path: repo });
  await use(at.git, 'git_fetch', { repo_path: repo });
  expect(plainGit(join(at.root, 'hub'), 'rev-parse', 'main')).toBe(head);
});

test.concurrent('what another repository would run is not run by a push to it', async () => {
  using at = place({ mayPush: true });
  const repo = hub(at);
  commit(repo, 'more', {});

  for (const key of ['core.alternateRefsCommand', 'core.hooksPath', 'core.fsmonitor', 'filter.x.clean']) {
    plainGit(join(at.root, 'hub'), 'config', key, 'x');
    await expect(use(at.git, 'git_push', { repo_path: repo }), key).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining(key.toLowerCase()) as string,
    });
    plainGit(join(at.root, 'hub'), 'config', '--unset', key);
  }
});

test.concurrent('an open protocol opens no other', async () => {
  using at = place({ protocols: ['ssh'] });

  await expect(
    use(at.git, 'git_clone', { url: 'https://example.invalid/x', repo_path: 'copy' }),
  ).rejects.toMatchObject({ code: 'forbidden', message: 'The protocol https is closed.' });
  expect(addressOf('https://example.invalid/x', '/')).toEqual({ protocol: 'https' });
});

test.concurrent('a remote whose helper is missing or that does not answer is unavailable, and leaves no folder', async () => {
  using at = place({ protocols: ['https'] });
  await using server = createServer((request) => request.socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  await expect(
    use(at.git, 'git_clone', { url: `https://127.0.0.1:${port}/x`, repo_path: 'copy' }),
  ).rejects.toMatchObject({ code: 'unavailable' });
  expect(existsSync(join(at.root, 'copy'))).toBe(false);
});

test.concurrent('a clone that would need a filter is taken back', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  commit(repo, 'lfs', { '.gitattributes': '*.bin filter=lfs\n', 'a.bin': 'pointer' });

  await expect(use(at.git, 'git_clone', { url: 'repo', repo_path: 'copy' })).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('filter "lfs"') as string,
  });
  expect(existsSync(join(at.root, 'copy'))).toBe(false);
});

test.concurrent('a fetch moves no branch of the repository, whatever its configuration says', async () => {
  using at = place();
  const repo = hub(at);
  commit(repo, 'mine', { 'a.txt': 'mine' });
  plainGit(repo, 'branch', 'kept');
  plainGit(join(at.root, 'hub'), 'branch', 'kept', 'main');
  plainGit(repo, 'config', 'remote.origin.fetch', '+refs/heads/*:refs/heads/*');
  const before = plainGit(repo, 'rev-parse', 'kept');

  await use(at.git, 'git_fetch', { repo_path: repo, prune: true });

  expect(plainGit(repo, 'rev-parse', 'kept')).toBe(before);
});

test.concurrent('remotes are added, shown without credentials and removed', async () => {
  using at = place();
  const repo = hub(at);
  const args = { repo_path: repo };
  plainGit(repo, 'config', 'remote.leaky.url', 'https://user:sec@secret@example.invalid/x');

  const added = await use(at.git, 'git_remote', {
    ...args,
    mode: 'add',
    name: 'far',
    url: 'https://example.invalid/y',
  });
  expect(added).toEqual({
    remotes: [
      { name: 'origin', url: join(at.root, 'hub') },
      { name: 'leaky', url: 'https://example.invalid/x' },
      { name: 'far', url: 'https://example.invalid/y' },
    ],
  });
  for (const url of ['https://user:secret@example.invalid/x', 'ext::touch x', at.outside]) {
    await expect(
      use(at.git, 'git_remote', { ...args, mode: 'set_url', name: 'far', url }),
    ).rejects.toMatchObject({ code: 'forbidden', message: expect.not.stringContaining('secret') as string });
  }
  expect(plainGit(repo, 'config', 'remote.far.url')).toBe('https://example.invalid/y');
  await expect(use(at.git, 'git_remote', { ...args, mode: 'remove' })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await use(at.git, 'git_remote', { ...args, mode: 'remove', name: 'far' });
  await expect(use(at.git, 'git_fetch', { ...args, remote: 'far' })).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('of two calls that make one folder, one is refused, and takes nothing of the other away', async () => {
  using at = place();
  repository(at.root, 'hub');
  const copy = async (path: string, url = join(at.root, 'hub')) =>
    use(at.git, 'git_clone', { url, repo_path: path });

  const both = await Promise.allSettled([copy('new/copy'), copy('new/copy')]);
  const [, failed] = await Promise.allSettled([copy('more/good'), copy('more/bad', join(at.root, 'absent'))]);

  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } });
  expect(failed.status).toBe('rejected');
  expect(['new/copy', 'more/good'].map((path) => existsSync(join(at.root, path, 'a.txt')))).toEqual([
    true,
    true,
  ]);
  expect(readdirSync(join(at.root, 'more'))).toEqual(['good']);
});
