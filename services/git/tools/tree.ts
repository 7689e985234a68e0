import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  pathField,
  pathInTree,
  pathsWithin,
  pathWithin,
  repoPath,
  resolveRevision,
  revisionField,
} from '../arguments.ts';
import { failure } from '../failures.ts';
import { flags, type Git } from '../git.ts';
import { maxLineLength, maxListBytes, maxListed, maxRecordBytes, maxPathsPerCall } from '../limits.ts';
import { recordReader, window } from '../parts.ts';
import { listPage, placeIn } from '../pages.ts';
import { requireModestPattern } from '../patterns.ts';
import { foldersAbove } from '../tracked.ts';

const files = z.array(pathField).max(maxPathsPerCall).default([]).describe('Only these paths.');

export const gitLsFiles = defineTool({
  name: 'git_ls_files',
  title: 'List Git Files',
  description: 'List tracked files, of the index or a revision, or untracked ones.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    revision: revisionField.optional().describe('Of a commit, not the index.'),
    untracked: z.boolean().default(false).describe('Those neither tracked nor ignored.'),
    files,
    limit: limitField(5_000, 500),
    cursor: cursorField,
  }),
  output: z.object({ files: z.array(z.string()).describe('Relative to the top, by name.'), ...continuation }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_ls_files', args);
    const gitArgs =
      args.revision === undefined
        ? [
            ...flags('ls-files -z'),
            ...(args.untracked ? ['--others', '--exclude-standard'] : ['--cached']),
            '--',
            ...(await pathsWithin(repository, args.files)),
          ]
        : [
            ...flags('ls-tree -r -z --name-only --full-tree'),
            await resolveRevision(repository, args.revision, 'tree'),
            '--',
            ...args.files.map(pathInTree),
          ];
    const found = window<string>(place.start, args.limit + 1);
    await repository.eachPart(gitArgs, (path) => found.add(() => path));
    const { items, ...more } = listPage(found.items, args.limit, place);
    return { files: [...items], ...more };
  },
});

const match = z.object({
  path: z.string().describe('Relative to the top.'),
  line: z.int().describe('From 1.'),
  text: z.string().describe(`Up to ${maxLineLength} characters.`),
});

export const gitGrep = defineTool({
  name: 'git_grep',
  title: 'Git Grep',
  description:
    'Find lines in tracked text files, of the working tree or a revision. Binary files are left out.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    pattern: z
      .string()
      .min(1)
      .max(1_000)
      .refine(
        (text) => text.isWellFormed() && !/[\0\n]/.test(text),
        'must be one line of well-formed Unicode',
      )
      .describe('What to look for.'),
    regex: z.boolean().default(false).describe('An extended regular expression.'),
    ignore_case: z.boolean().default(false).describe('Ignore case.'),
    revision: revisionField.optional().describe('Of a commit, not the working tree.'),
    files,
    limit: limitField(maxListed, 100),
    cursor: cursorField,
  }),
  output: z.object({ matches: z.array(match).describe('By path and line.'), ...continuation }),

  async handler(args, git: Git, call) {
    if (args.regex) requireModestPattern(args.pattern, 'extended');
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_grep', args);
    const { revision } = args;
    const tree = revision === undefined ? undefined : await resolveRevision(repository, revision, 'tree');
    const paths = tree === undefined ? await pathsWithin(repository, args.files) : args.files.map(pathInTree);
    const prefix = tree === undefined ? 0 : tree.length + 1;
    const found = window<z.output<typeof match>>(place.start, args.limit + 1);
    const { isCut } = await repository.run(
      [
        ...flags('grep -I -n -z --full-name --no-color --no-textconv --no-recurse-submodules'),
        args.regex ? '--extended-regexp' : '--fixed-strings',
        ...(args.ignore_case ? ['--ignore-case'] : []),
        '-e',
        args.pattern,
        ...(tree === undefined ? [] : [tree]),
        '--',
        ...paths,
      ],
      {
        accept: [1],
        takeBytes: maxListBytes,
        // A name may hold line ends.
        consume: recordReader(
          (path = '', line = '', text = '') =>
            found.add(() => ({
              path: path.slice(prefix),
              line: Number(line),
              text: text.slice(0, maxLineLength).toWellFormed(),
            })),
          [0, 0, 10],
        ),
      },
    );
    if (tree === undefined) {
      const folders = foldersAbove();
      for (const { path } of found.items) folders.add(path);
      await folders.requireNoLink(repository.folder);
    }
    const { items, ...more } = listPage(found.items, args.limit, place);
    return { matches: [...items], ...more, ...(isCut && { truncated: true as const }) };
  },
});

const blamed = z.object({
  line: z.int().describe('From 1.'),
  commit: z.string().describe('Zeros if not committed.'),
  author: z.string().describe('Name.'),
  authored_at: z.string().describe('ISO 8601, UTC.'),
  summary: z.string().describe('Of the commit.'),
  text: z.string().describe(`Up to ${maxLineLength} characters.`),
});

/** Reads `git blame --line-porcelain`. */
function parseBlame(said: string): z.output<typeof blamed>[] {
  const found: z.output<typeof blamed>[] = [];
  let about = new Map<string, string>();
  for (const line of said.split('\n')) {
    if (line.startsWith('\t')) {
      found.push({
        line: Number(about.get('line')),
        commit: about.get('commit') ?? '',
        author: about.get('author') ?? '',
        authored_at: instantOf(about.get('author-time')),
        summary: about.get('summary') ?? '',
        text: line.slice(1, 1 + maxLineLength).toWellFormed(),
      });
      about = new Map();
    } else if (about.size === 0) {
      const [commit = '', , number = ''] = line.split(' ');
      about.set('commit', commit).set('line', number);
    } else {
      const end = line.indexOf(' ');
      about.set(line.slice(0, end < 0 ? undefined : end), end < 0 ? '' : line.slice(end + 1));
    }
  }
  return found;
}

/** As git does, 1970 for what is no time. */
function instantOf(seconds = '0'): string {
  const instant = new Date(Number(seconds) * 1000);
  return (Number.isNaN(instant.getTime()) ? new Date(0) : instant).toISOString();
}

export const gitBlame = defineTool({
  name: 'git_blame',
  title: 'Git Blame',
  description: 'Tell which commit wrote each line of a file, who and when.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    path: pathField.describe('The file, relative to the top.'),
    revision: revisionField.optional().describe('As of this commit.'),
    start_line: z.int().min(1).max(10_000_000).default(1).describe('The first line.'),
    limit: limitField(maxListed, 200),
    ignore_whitespace: z.boolean().default(false).describe('White space does not count.'),
    cursor: cursorField,
  }),
  output: z.object({ lines: z.array(blamed).describe('In order.'), ...continuation }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_blame', args);
    const commit = args.revision === undefined ? [] : [await resolveRevision(repository, args.revision)];
    const path = commit.length > 0 ? pathInTree(args.path) : await pathWithin(repository, args.path);
    const first = args.start_line + place.start;
    const finished = await repository.run(
      [
        'blame',
        '--line-porcelain',
        '--no-textconv',
        // Its lines would stand in an error, wherever it lies.
        '--no-ignore-revs-file',
        `-L${first},+${args.limit + 1}`,
        ...(args.ignore_whitespace ? ['-w'] : []),
        ...commit,
        '--',
        path,
      ],
      { accept: [128], takeBytes: maxRecordBytes },
    );
    const isEmpty = finished.errors.endsWith('has only 0 lines\n') && first === 1;
    if (finished.code === 128 && !isEmpty) throw failure(finished);
    if (finished.isCut)
      throw new ToolError('too_large', 'These lines are too long.', { hint: 'Lower limit.' });
    const { items, ...more } = listPage(parseBlame(finished.output.toString()), args.limit, place);
    return { lines: [...items], ...more };
  },
});

const states = {
  merge: 'MERGE_HEAD',
  cherry_pick: 'CHERRY_PICK_HEAD',
  revert: 'REVERT_HEAD',
  rebase: 'rebase-merge',
  rebase_apply: 'rebase-apply',
} as const;

const conflict = z.object({
  path: z.string().describe('Relative to the top.'),
  base: z.boolean().describe('The ancestor has it.'),
  ours: z.boolean().describe('The branch has it.'),
  theirs: z.boolean().describe('The other side has it.'),
});

export const gitConflicts = defineTool({
  name: 'git_conflicts',
  title: 'Git Conflicts',
  description: 'List paths in conflict, and what is in progress.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ repo_path: repoPath, limit: limitField(maxListed, 200), cursor: cursorField }),
  output: z.object({
    in_progress: z
      .array(z.enum(['merge', 'cherry_pick', 'revert', 'rebase']))
      .describe('What waits for an end.'),
    conflicts: z.array(conflict).describe('By path.'),
    ...continuation,
  }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_conflicts', args);
    const sides = new Map<string, z.output<typeof conflict>>();
    for (const part of await repository.parts(['ls-files', '--unmerged', '-z'])) {
      const [, stage = '', path = ''] = /^\d+ [0-9a-f]+ ([123])\t(.+)$/s.exec(part) ?? [];
      const known = sides.get(path) ?? { path, base: false, ours: false, theirs: false };
      const side = { 1: 'base', 2: 'ours', 3: 'theirs' }[stage];
      sides.set(path, { ...known, ...(side !== undefined && { [side]: true }) });
    }
    const waiting = await Promise.all(
      Object.entries(states).map(async ([state, file]) =>
        access(join(repository.gitDir, file)).then(
          () => [state.replace('_apply', '') as 'merge' | 'cherry_pick' | 'revert' | 'rebase'],
          () => [],
        ),
      ),
    );
    const { items, ...more } = listPage([...sides.values()].slice(place.start), args.limit, place);
    return { in_progress: [...new Set(waiting.flat())], conflicts: [...items], ...more };
  },
});
