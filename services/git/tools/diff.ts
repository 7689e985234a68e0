import { z } from 'zod';

import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  contextLines,
  maxBytes,
  pathField,
  pathsWithin,
  repoPath,
  lookUp,
  peeled,
  resolveRevision,
  unresolved,
  word,
} from '../arguments.ts';
import type { Git, Repository } from '../git.ts';
import { maxListed, maxPathsPerCall } from '../limits.ts';
import { window } from '../parts.ts';
import { goingOn, listPage, placeIn, textPage } from '../pages.ts';

/** No program, no submodule, and the one form whatever the repository's configuration prefers. */
export const diffFlags = [
  '--no-ext-diff',
  '--no-textconv',
  '--no-color',
  '--ignore-submodules=dirty',
  '--submodule=short',
  '--src-prefix=a/',
  '--dst-prefix=b/',
];

const files = z.array(pathField).max(maxPathsPerCall).optional().describe('Only these paths.');

const paging = { max_bytes: maxBytes, cursor: cursorField };
const output = z.object({ diff: z.string().describe('The patch.'), ...continuation });

interface DiffArguments {
  readonly context_lines: number;
  readonly max_bytes: number;
  readonly files?: readonly string[] | undefined;
  readonly cursor?: string | undefined;
}

async function diffPage(
  tool: string,
  repository: Repository,
  args: DiffArguments,
  between: readonly string[],
): Promise<z.input<typeof output>> {
  const paths = await pathsWithin(repository, args.files ?? []);
  const gitArgs = ['diff', ...diffFlags, `--unified=${args.context_lines}`, ...between, '--', ...paths];
  const { text: diff, ...more } = await textPage(tool, args, repository, gitArgs);
  // The official server leaves the last line end out.
  return { diff: more.truncated ? diff : diff.replace(/\n$/, ''), ...more };
}

export const gitDiffUnstaged = defineTool({
  name: 'git_diff_unstaged',
  title: 'Git Diff Unstaged',
  description: 'Shows changes in the working directory that are not yet staged.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ repo_path: repoPath, context_lines: contextLines, files, ...paging }),
  output,
  text: (value) => `Unstaged changes:\n${value.diff}${goingOn(value)}`,

  handler: async (args, git: Git, call) =>
    diffPage('git_diff_unstaged', await git.open(args.repo_path, call), args, []),
});

export const gitDiffStaged = defineTool({
  name: 'git_diff_staged',
  title: 'Git Diff Staged',
  description: 'Shows changes that are staged for commit.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ repo_path: repoPath, context_lines: contextLines, files, ...paging }),
  output,
  text: (value) => `Staged changes:\n${value.diff}${goingOn(value)}`,

  handler: async (args, git: Git, call) =>
    diffPage('git_diff_staged', await git.open(args.repo_path, call), args, ['--cached']),
});

const targetField = word('target').describe(
  'Branch or commit to compare the working tree with, or A..B or A...B.',
);

/** One commit, or two with what stands between them. */
async function commitsOf(repository: Repository, target: string): Promise<string[]> {
  const [, left, dots, right] = /^(.*?)(\.\.\.?)(.*)$/s.exec(target) ?? [];
  if (dots === undefined) return [await resolveRevision(repository, target)];
  const names = [left || 'HEAD', right || 'HEAD'];
  const ends = await lookUp(
    repository,
    names.map((name) => peeled(name, 'commit') ?? name),
  );
  const ids = ends.map((end, index) => {
    if (end?.type === 'commit') return end.id;
    throw unresolved(names[index] ?? '');
  });
  return [ids.join(dots)];
}

export const gitDiff = defineTool({
  name: 'git_diff',
  title: 'Git Diff',
  description: 'Shows differences between branches or commits.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    target: targetField,
    context_lines: contextLines,
    files,
    ...paging,
  }),
  output: output.extend({ target: z.string().describe('As it was asked for.') }),
  text: (value) => `Diff with ${value.target}:\n${value.diff}${goingOn(value)}`,

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const page = await diffPage('git_diff', repository, args, await commitsOf(repository, args.target));
    return { target: args.target, ...page };
  },
});

const fileStat = z.object({
  path: z.string().describe('Relative to the top.'),
  added: z.int().nullable().describe('Lines; null if binary.'),
  deleted: z.int().nullable().describe('Lines; null if binary.'),
});

const count = (text: string) => (text === '-' ? null : Number(text));

/** Reads `--numstat -z --no-renames`. */
function parseNumstat(part: string): z.output<typeof fileStat> {
  const [added = '', deleted = '', ...path] = part.split('\t');
  return { path: path.join('\t'), added: count(added), deleted: count(deleted) };
}

export const gitDiffStat = defineTool({
  name: 'git_diff_stat',
  title: 'Git Diff Stat',
  description: 'Count added and deleted lines by file, before a diff that may be large.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    target: targetField.optional(),
    staged: z.boolean().default(false).describe('Compare the index instead.'),
    files,
    limit: limitField(maxListed, 200),
    cursor: cursorField,
  }),
  output: z.object({
    files: z.array(fileStat).describe('By path.'),
    total: z
      .object({
        files: z.int().describe('Files that differ.'),
        added: z.int().describe('Lines.'),
        deleted: z.int().describe('Lines.'),
      })
      .describe('Of all files, whatever the limit.'),
    ...continuation,
  }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_diff_stat', args);
    const between = args.target === undefined ? [] : await commitsOf(repository, args.target);
    const found = window<z.output<typeof fileStat>>(place.start, args.limit + 1);
    const total = { added: 0, deleted: 0 };
    await repository.eachPart(
      [
        'diff',
        ...diffFlags,
        '--numstat',
        '-z',
        '--no-renames',
        ...(args.staged ? ['--cached'] : []),
        ...between,
        '--',
        ...(await pathsWithin(repository, args.files ?? [])),
      ],
      (part) => {
        const file = parseNumstat(part);
        total.added += file.added ?? 0;
        total.deleted += file.deleted ?? 0;
        found.add(() => file);
      },
    );
    const { items, ...more } = listPage(found.items, args.limit, place);
    return { files: [...items], total: { files: found.seen, ...total }, ...more };
  },
});
