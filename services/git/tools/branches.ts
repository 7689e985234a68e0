import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { adding, reading, reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  branchField,
  currentBranch,
  messageField,
  repoPath,
  requireRefName,
  resolveRevision,
  revisionField,
  word,
} from '../arguments.ts';
import { requireUnfilteredTree } from '../filters.ts';
import type { Git, Repository } from '../git.ts';
import { longTimeoutMs, maxListed } from '../limits.ts';
import { window } from '../parts.ts';
import { goingOn, listPage, placeIn } from '../pages.ts';
import { requireHarmlessSubmodules } from '../submodules.ts';

const branchOutput = z.object({
  name: z.string().describe('Remote ones with their remote.'),
  commit: z.string().describe('Where it stands.'),
  current: z.boolean().describe('Whether it is checked out.'),
  points_to: z.string().optional().describe('Of a symbolic one.'),
  upstream: z.string().optional().describe('What it follows.'),
});
type Branch = z.output<typeof branchOutput>;

/** No part can hold a tab. */
const branchFormat = '%(HEAD)%09%(objectname)%09%(symref)%09%(upstream:short)%09%(refname)';

const short = (ref: string) => ref.replace(/^refs\/(heads|remotes)\//, '');

function parseBranch(line: string, isAll: boolean): Branch {
  const [head, commit = '', symref = '', upstream = '', refname = ''] = line.split('\t');
  return {
    name: isAll
      ? refname.replace(/^refs\/heads\//, '').replace(/^refs\/remotes\//, 'remotes/')
      : short(refname),
    commit,
    current: head === '*',
    ...(symref !== '' && { points_to: short(symref) }),
    ...(upstream !== '' && { upstream }),
  };
}

const branchTypes = ['local', 'remote', 'all'] as const;

export const gitBranch = defineTool({
  name: 'git_branch',
  title: 'Git Branch',
  description: 'List Git branches.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    branch_type: z
      .enum(branchTypes, { error: ({ input }) => `Invalid branch type: ${String(input).slice(0, 100)}` })
      .describe('Which branches.'),
    contains: word('contains value').nullish().describe('Only those that contain this commit.'),
    not_contains: word('not_contains value').nullish().describe('Only those that do not.'),
    limit: limitField(maxListed, 500),
    cursor: cursorField,
  }),
  output: z.object({ branches: z.array(branchOutput).describe('By name.'), ...continuation }),
  text: (value) =>
    value.branches
      .map(
        ({ name, current, points_to: target }) =>
          `${current ? '*' : ' '} ${name}${target === undefined ? '' : ` -> ${target}`}`,
      )
      .join('\n') + goingOn(value),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_branch', args);
    const commit = async (flag: string, revision: string | null | undefined) =>
      revision ? [flag, await resolveRevision(repository, revision)] : [];
    const found = window<Branch>(place.start, args.limit + 1);
    const gitArgs = [
      'branch',
      '--list',
      '--no-color',
      '--no-column',
      '--sort=refname',
      `--format=${branchFormat}`,
      ...{ local: [], remote: ['--remotes'], all: ['--all'] }[args.branch_type],
      ...(await commit('--contains', args.contains)),
      ...(await commit('--no-contains', args.not_contains)),
    ];
    await repository.eachLine(gitArgs, (line) =>
      found.add(() => parseBranch(line, args.branch_type === 'all')),
    );
    const { items, ...more } = listPage(found.items, args.limit, place);
    return { branches: [...items], ...more };
  },
});

export const gitCreateBranch = defineTool({
  name: 'git_create_branch',
  title: 'Git Create Branch',
  description: 'Creates a new branch from an optional base branch, without switching to it.',
  effect: 'write',
  hints: adding,
  input: z.object({
    repo_path: repoPath,
    branch_name: branchField().describe('The new branch.'),
    base_branch: branchField('base branch')
      .nullish()
      .describe('Where it begins; the current branch unless given.'),
  }),
  output: z.object({
    branch: z.string().describe('The new branch.'),
    base: z.string().describe('Where it begins.'),
    commit: z.string().describe('The commit there.'),
  }),
  text: ({ branch, base }) => `Created branch '${branch}' from '${base}'`,

  handler: async ({ repo_path: path, branch_name: branch, base_branch: wanted }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      requireRefName(`refs/heads/${branch}`);
      if (await hasRef(repository, `refs/heads/${branch}`)) {
        throw new ToolError(
          'conflict',
          `Cannot create branch '${branch}': refs/heads/${branch} already exists`,
          {
            hint: 'Choose another name, or use git_checkout.',
          },
        );
      }
      const base = wanted ?? (await currentBranch(repository)) ?? 'HEAD';
      const commit = await resolveRevision(repository, base);
      await repository.run(['branch', '--no-track', '--no-recurse-submodules', branch, commit]);
      return { branch, base, commit };
    }),
});

const hasRef = async (repository: Repository, ref: string): Promise<boolean> =>
  (await repository.run(['show-ref', '--verify', '--quiet', ref], { accept: [1] })).code === 0;

export const gitCheckout = defineTool({
  name: 'git_checkout',
  title: 'Git Checkout',
  description: 'Switches branches; a tag or commit detaches HEAD. Refused where changes would be lost.',
  effect: 'write',
  hints: adding,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    branch_name: branchField().describe('The branch, tag or commit.'),
    create: z.boolean().default(false).describe('Make the branch first, from where HEAD is.'),
  }),
  output: z.object({
    head: z.string().optional().describe('The commit now; absent before the first one.'),
    branch: z.string().optional().describe('The branch; absent when HEAD is detached.'),
  }),
  text: ({ head = '', branch }) =>
    branch === undefined ? `HEAD is now detached at ${head.slice(0, 7)}` : `Switched to branch '${branch}'`,

  handler: async ({ repo_path: path, branch_name: branch, create }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      const flags = ['--quiet', '--no-recurse-submodules', '--no-progress', '--no-overwrite-ignore'];
      const ref = `refs/heads/${branch}`;
      await requireHarmlessSubmodules(repository);
      if (create) {
        requireRefName(ref);
        await repository.run(['checkout', ...flags, '--no-track', '-b', branch, '--']);
        return { branch, ...(await headNow(repository)) };
      }
      const isBranch = await hasRef(repository, ref);
      const commit = await resolveRevision(repository, isBranch ? ref : branch);
      const { head: from } = await headNow(repository);
      await requireUnfilteredTree(repository, commit, from);
      await repository.run(
        isBranch
          ? ['checkout', ...flags, '--no-guess', branch, '--']
          : ['checkout', ...flags, '--detach', commit, '--'],
      );
      return { head: commit, ...(isBranch && { branch }) };
    }),
});

async function headNow(repository: Repository): Promise<{ head?: string }> {
  const { code, output } = await repository.run(['rev-parse', '--verify', '--quiet', 'HEAD'], {
    accept: [1],
  });
  return code === 0 ? { head: output.toString().trim() } : {};
}

const tagOutput = z.object({
  name: z.string().describe('The tag.'),
  commit: z.string().describe('What it names.'),
  subject: z.string().describe('First line.'),
});

export const gitTag = defineTool({
  name: 'git_tag',
  title: 'Git Tag',
  description: 'List, create or delete tags. A message makes an annotated tag.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({
    repo_path: repoPath,
    mode: z.enum(['list', 'create', 'delete']).default('list').describe('What to do.'),
    name: branchField('tag name').optional().describe('The tag to create or delete.'),
    target: revisionField.default('HEAD').describe('What a new tag names.'),
    message: messageField.optional().describe('Of a new annotated tag.'),
    limit: limitField(maxListed, 100),
    cursor: cursorField,
  }),
  output: z.object({
    tags: z.array(tagOutput).describe('Newest first, or the one in question.'),
    ...continuation,
  }),

  async handler(args, git: Git, call) {
    const { mode, name, message } = args;
    const place = placeIn('git_tag', args);
    if (mode === 'list') {
      const repository = await git.open(args.repo_path, call);
      const count = place.start + args.limit + 1;
      const found = await tags(repository, [`--count=${count}`, '--sort=-creatordate', 'refs/tags/']);
      const { items, ...more } = listPage(found.slice(place.start), args.limit, place);
      return { tags: [...items], ...more };
    }
    if (name === undefined) throw new ToolError('invalid_input', `Give the name of the tag to ${mode}.`);
    return git.change(args.repo_path, call, async (repository) => {
      const ref = requireRefName(`refs/tags/${name}`);
      if (mode === 'create') {
        const object = await resolveRevision(repository, args.target, 'object');
        const kind = message === undefined ? [] : ['--annotate', '--cleanup=whitespace', '--file=-'];
        await repository.run(['tag', '--no-sign', ...kind, name, object], { input: message ?? '' });
        return { tags: await tags(repository, [ref]) };
      }
      const before = await tags(repository, [ref]);
      if (before.length === 0) throw new ToolError('not_found', `There is no tag '${name}'.`);
      await repository.run(['tag', '--delete', name]);
      return { tags: before };
    });
  },
});

async function tags(repository: Repository, args: readonly string[]): Promise<z.output<typeof tagOutput>[]> {
  const format = '%(refname:strip=2)%09%(objectname)%09%(*objectname)%09%(contents:subject)';
  const lines = await repository.line(['for-each-ref', `--format=${format}`, ...args]);
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', object = '', peeled = '', ...subject] = line.split('\t');
      return { name, commit: peeled || object, subject: subject.join('\t').slice(0, 200) };
    });
}
