import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, completing, reshaping } from '#runtime/hints.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import {
  branchField,
  currentBranch,
  headOf,
  remoteField,
  repoPath,
  requireRefName,
  resolveRevision,
  word,
} from '../arguments.ts';
import { requireUnfilteredTree } from '../filters.ts';
import { withoutCredentials } from '../failures.ts';
import { flags, type Git, type Repository } from '../git.ts';
import { requireNothingIgnored } from '../ignored.ts';
import { integrated, integrationOutput } from '../integration.ts';
import { networkTimeoutMs } from '../limits.ts';
import { allowAddresses, addressOf, openRemote } from '../remotes.ts';
import { progressReader } from '../progress.ts';
import { inNewFolder, newFolderWithin } from '../repository.ts';
import { requireRewrite } from '../rewrites.ts';
import { requireHarmlessSubmodules } from '../submodules.ts';

const addressField = word('address', 4_096).describe(
  'https or ssh if opened by the operator, or a repository under the roots. No credentials.',
);

const outside = { openWorld: true };

export const gitInit = defineTool({
  name: 'git_init',
  title: 'Git Init',
  description: 'Make a new, empty repository in a folder below the roots.',
  effect: 'write',
  hints: adding,
  input: z.object({
    repo_path: repoPath.describe('The folder: new or empty.'),
    initial_branch: branchField().default('main').describe('The name of its first branch.'),
    bare: z.boolean().default(false).describe('Without a working tree, to push to.'),
  }),
  output: z.object({
    path: z.string().describe('The folder.'),
    branch: z.string().describe('Its first branch.'),
  }),

  async handler({ repo_path: path, initial_branch: branch, bare }, git: Git, call) {
    const folder = await newFolderWithin(git.policy.roots, path);
    requireRefName(`refs/heads/${branch}`);
    const options = ['--quiet', '--template=', `--initial-branch=${branch}`, ...(bare ? ['--bare'] : [])];
    await inNewFolder(folder, async () =>
      git.nowhere(call)(['init', ...options, '--', folder], { mounts: [{ path: folder, writable: true }] }),
    );
    return { path: folder, branch };
  },
});

export const gitClone = defineTool({
  name: 'git_clone',
  title: 'Git Clone',
  description: 'Copy a repository into a new folder below the roots. Submodules are not fetched.',
  effect: 'write',
  hints: { ...adding, ...outside },
  task: 'optional',
  timeoutMs: networkTimeoutMs,
  input: z.object({
    url: addressField,
    repo_path: repoPath.describe('The folder to make.'),
    branch: branchField().optional().describe("What to check out; the remote's choice unless given."),
    depth: z.int().min(1).max(1_000_000).optional().describe('Only so many commits of each branch.'),
    bare: z.boolean().default(false).describe('Without a working tree.'),
  }),
  output: z.object({
    path: z.string().describe('The folder.'),
    head: z.string().optional().describe('The commit; absent if empty.'),
    branch: z.string().optional().describe('What is checked out.'),
  }),

  async handler({ url, repo_path: path, branch, depth, bare }, git: Git, call) {
    const { policy } = git;
    const folder = await newFolderWithin(policy.roots, path);
    const [root = '/'] = policy.roots;
    const address = addressOf(url, root);
    const source = address.protocol === 'file' ? `file://${address.path}` : url;
    const access = await allowAddresses(git, [source], root, call);
    const options = [
      ...flags('--progress --no-local --no-hardlinks --no-recurse-submodules --template= --no-checkout'),
      ...(branch === undefined ? [] : [`--branch=${branch}`]),
      ...(depth === undefined ? [] : [`--depth=${depth}`]),
      ...(bare ? ['--bare'] : []),
    ];
    return inNewFolder(folder, async () => {
      const seeing = { ...access, mounts: [...(access.mounts ?? []), { path: folder, writable: true }] };
      const readProgress = progressReader(call);
      await git.nowhere(call)(['clone', ...options, '--', source, folder], { ...seeing, readProgress });
      // From here on it is a repository like any other, looked at before it is used.
      return git.change(folder, call, async (repository) => {
        const head = await headOf(repository);
        if (head !== undefined && !bare) {
          await requireUnfilteredTree(repository, head);
          await repository.run(['reset', '--quiet', '--hard', '--no-recurse-submodules', head, '--']);
        }
        const current = await currentBranch(repository);
        return {
          path: folder,
          ...(head !== undefined && { head }),
          ...(current !== undefined && { branch: current }),
        };
      });
    });
  },
});

const moved = z.object({
  ref: z.string().describe('A remote branch.'),
  before: z.string().nullable().describe('null if new.'),
  after: z.string().nullable().describe('null if gone.'),
});
const maxMoved = 500;

async function remoteRefs(repository: Repository, remote: string): Promise<Map<string, string>> {
  const known = new Map<string, string>();
  // Without HEAD, which only names another.
  const format = '--format=%(if)%(symref)%(then)%(else)%(refname:strip=2)%09%(objectname)%(end)';
  await repository.eachLine(['for-each-ref', format, `refs/remotes/${remote}/`], (line) => {
    const [name = '', commit] = line.split('\t');
    if (commit !== undefined) known.set(name, commit);
  });
  return known;
}

interface Fetching {
  readonly remote: string;
  readonly prune: boolean;
  readonly tags: boolean;
}

async function fetchFrom(
  git: Git,
  repository: Repository,
  { remote, prune, tags }: Fetching,
  call: Call,
): Promise<z.output<typeof moved>[]> {
  const access = await openRemote(git, repository, remote, call);
  const before = await remoteRefs(repository, remote);
  await repository.run(
    [
      ...flags('fetch --progress --no-auto-maintenance --no-recurse-submodules --no-write-fetch-head'),
      '--refmap=',
      tags ? '--tags' : '--no-tags',
      prune ? '--prune' : '--no-prune',
      '--',
      remote,
      // Not what the repository's configuration says, which could overwrite its branches.
      `+refs/heads/*:refs/remotes/${remote}/*`,
    ],
    { ...access, readProgress: progressReader(call) },
  );
  const after = await remoteRefs(repository, remote);
  return [...new Set([...before.keys(), ...after.keys()])]
    .map((ref) => ({ ref, before: before.get(ref) ?? null, after: after.get(ref) ?? null }))
    .filter((one) => one.before !== one.after)
    .slice(0, maxMoved);
}

const fetching = {
  repo_path: repoPath,
  remote: remoteField.default('origin'),
  prune: z.boolean().default(false).describe('Forget branches that the remote has no more.'),
  tags: z.boolean().default(false).describe('Take all tags too.'),
};
const movedField = z.array(moved).describe(`Branches that moved, the first ${maxMoved}.`);

export const gitFetch = defineTool({
  name: 'git_fetch',
  title: 'Git Fetch',
  description: 'Download new commits without changing local branches or files.',
  effect: 'write',
  untrusted: 'bounded',
  hints: { ...completing, ...outside },
  task: 'optional',
  timeoutMs: networkTimeoutMs,
  input: z.object(fetching),
  output: z.object({ moved: movedField }),
  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => ({
      moved: await fetchFrom(git, repository, args, call),
    })),
});

export const gitPull = defineTool({
  name: 'git_pull',
  title: 'Git Pull',
  description: 'Fetch, and merge a remote branch into the current one.',
  effect: 'write',
  untrusted: 'bounded',
  hints: { ...reshaping, ...outside },
  task: 'optional',
  timeoutMs: networkTimeoutMs,
  input: z.object({
    ...fetching,
    branch: branchField().optional().describe('Of the remote; named like the current one unless given.'),
    fast_forward_only: z.boolean().default(true).describe('Fail rather than merge.'),
  }),
  output: integrationOutput.extend({ moved: movedField }),

  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => {
      const branch = args.branch ?? (await currentBranch(repository));
      if (branch === undefined) {
        throw new ToolError('conflict', 'HEAD is detached: there is no branch to pull.', {
          hint: 'Give branch.',
        });
      }
      await requireHarmlessSubmodules(repository);
      const moved = await fetchFrom(git, repository, args, call);
      const before = await headOf(repository);
      const commit = await resolveRevision(repository, `refs/remotes/${args.remote}/${branch}`);
      await requireUnfilteredTree(repository, commit);
      if (before !== undefined) await requireNothingIgnored(repository, `${before}...${commit}`);
      const merged = await integrated(repository, before, [
        ...flags('merge --quiet --no-edit --no-stat --no-verify --no-gpg-sign --no-verify-signatures'),
        '--no-autostash',
        args.fast_forward_only ? '--ff-only' : '--ff',
        `--message=Merge '${args.remote}/${branch}'`,
        commit,
      ]);
      return { ...merged, moved };
    }),
});

export const gitPush = defineTool({
  name: 'git_push',
  title: 'Git Push',
  description: 'Send a branch, and tags by name, to a remote.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: { ...reshaping, ...outside },
  task: 'optional',
  timeoutMs: networkTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    remote: remoteField.default('origin'),
    branch: branchField().optional().describe('The branch; the current one unless given.'),
    tags: z.array(branchField('tag name')).max(100).default([]).describe('Tags to send too.'),
    force_with_lease: z
      .boolean()
      .default(false)
      .describe('Replace what the remote has, if still as last fetched; needs FLOTILLA_GIT_ALLOW_REWRITE.'),
    set_upstream: z.boolean().default(false).describe('Follow the remote branch from now on.'),
    dry_run: z.boolean().default(false).describe('Only say what would be sent.'),
  }),
  output: z.object({
    pushed: z
      .array(
        z.object({
          ref: z.string().describe('At the remote.'),
          flag: z.string().describe('* new, = up to date, + forced, a space for moved on.'),
          summary: z.string().describe("Git's words."),
        }),
      )
      .describe('By reference.'),
    dry_run: z.boolean().describe('Whether nothing was sent.'),
  }),

  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => {
      const { mayPush } = git.policy;
      if (!mayPush) {
        throw new ToolError('forbidden', 'Pushing is off.', {
          hint: 'The operator allows it with FLOTILLA_GIT_ALLOW_PUSH=true.',
        });
      }
      if (args.force_with_lease) requireRewrite(git.policy, 'A forced push');
      const access = await openRemote(git, repository, args.remote, call, true);
      const branch = args.branch ?? (await currentBranch(repository));
      if (branch === undefined)
        throw new ToolError('conflict', 'HEAD is detached.', { hint: 'Give branch.' });
      const refs = [`refs/heads/${branch}`, ...args.tags.map((tag) => `refs/tags/${tag}`)];
      for (const ref of refs) await resolveRevision(repository, requireRefName(ref), 'object');
      const { output } = await repository.run(
        [
          ...flags('push --porcelain --progress --no-verify --no-signed --no-follow-tags --atomic'),
          '--recurse-submodules=no',
          ...(args.force_with_lease ? [`--force-with-lease=refs/heads/${branch}`] : []),
          ...(args.set_upstream ? ['--set-upstream'] : []),
          ...(args.dry_run ? ['--dry-run'] : []),
          '--',
          args.remote,
          ...refs.map((ref) => `${ref}:${ref}`),
        ],
        { ...access, readProgress: progressReader(call) },
      );
      const said = output.toString().matchAll(/^([ +\-*!=])\t[^\t\n]*:(\S+)\t(.*)$/gm);
      const pushed = [...said].map(([, flag = '', ref = '', summary = '']) => ({ ref, flag, summary }));
      return { pushed, dry_run: args.dry_run };
    }),
});

const remoteOutput = z.object({
  name: z.string().describe('The remote.'),
  url: z.string().describe('Without credentials.'),
  push_url: z.string().optional().describe('If it differs.'),
});

function remotesOf({ config }: Repository): z.output<typeof remoteOutput>[] {
  return [...config].flatMap(([key, [url = '']]) => {
    const [, name] = /^remote\.(.+)\.url$/s.exec(key) ?? [];
    if (name === undefined) return [];
    const pushUrl = config.get(`remote.${name}.pushurl`)?.[0];
    return [
      {
        name,
        url: withoutCredentials(url),
        ...(pushUrl !== undefined && { push_url: withoutCredentials(pushUrl) }),
      },
    ];
  });
}

/** As `git remote remove` does it, which runs hooks wherever it is told that they are. */
async function removeRemote(repository: Repository, name: string): Promise<void> {
  const { config, commonDir } = repository;
  if (!config.has(`remote.${name}.url`)) {
    throw new ToolError('not_found', `There is no remote '${name}'.`, { hint: 'Mode list shows them.' });
  }
  const change = ['config', '--file', join(commonDir, 'config')];
  for (const [key, values] of config) {
    const [, branch, variable] = /^branch\.(.+)\.(remote|pushremote)$/s.exec(key) ?? [];
    if (branch === undefined || !values.includes(name)) continue;
    const keys = variable === 'remote' ? [key, `branch.${branch}.merge`] : [key];
    // One that an include sets is not there to be taken away.
    for (const one of keys) await repository.run([...change, '--unset-all', one], { accept: [5] });
  }
  const refs = await repository.line(['for-each-ref', '--format=delete %(refname)', `refs/remotes/${name}/`]);
  if (refs !== '') await repository.run(['update-ref', '--no-deref', '--stdin'], { input: `${refs}\n` });
  await repository.run([...change, '--remove-section', `remote.${name}`]);
}

export const gitRemote = defineTool({
  name: 'git_remote',
  title: 'Git Remote',
  description: 'List, add, change or remove remotes.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({
    repo_path: repoPath,
    mode: z.enum(['list', 'add', 'set_url', 'remove']).default('list').describe('What to do.'),
    name: remoteField.optional().describe('The remote to add, change or remove.'),
    url: addressField.optional().describe('To add or change. No credentials.'),
  }),
  output: z.object({ remotes: z.array(remoteOutput).describe('All that there are then.') }),

  async handler({ repo_path: path, mode, name, url }, git: Git, call) {
    if (mode !== 'list') {
      if (name === undefined) throw new ToolError('invalid_input', `Give the name of the remote to ${mode}.`);
      await git.change(path, call, async (repository) => {
        if (mode === 'remove') return removeRemote(repository, name);
        if (url === undefined) throw new ToolError('invalid_input', `Give the url to ${mode}.`);
        const address = addressOf(url, repository.folder);
        if (address.protocol === 'file') await allowAddresses(git, [url], repository.folder, call);
        const verb = mode === 'add' ? ['add', '--no-tags'] : ['set-url'];
        await repository.run(['remote', ...verb, '--', name, url]);
      });
    }
    return { remotes: remotesOf(await git.open(path, call)) };
  },
});
