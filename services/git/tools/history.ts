import { isUtf8 } from 'node:buffer';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  maxBytes,
  pathField,
  pathInTree,
  repoPath,
  lookUp,
  peeled,
  resolveRevision,
  unresolved,
  revisionField,
  word,
} from '../arguments.ts';
import { commitOutput, listCommits, officialEntry } from '../commits.ts';
import type { Git } from '../git.ts';
import { longTimeoutMs, maxLineLength, maxListed, maxPathsPerCall } from '../limits.ts';
import { bytePage, goingOn, listPage, placeIn, textPage } from '../pages.ts';
import { requireModestPattern } from '../patterns.ts';
import { diffFlags } from './diff.ts';

const files = z.array(pathField).max(maxPathsPerCall).optional().describe('Only commits that change these.');

const units = 'seconds? minutes? hours? days? weeks? fortnights? months? years?';
const words = 'now today yesterday noon midnight tea never am pm ago last at on of the and t z st nd rd th';
const counts = 'zero one two three four five six seven eight nine ten';
const known = new RegExp(
  `^(${`${units} ${words} ${counts}`.replaceAll(' ', '|')}|(sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|gmt|utc|[ecmpbj]e?[sd]t)$`,
  'i',
);

/** Git takes any text for a time, and what it does not understand for now. */
const isTime = (text: string): boolean =>
  /[a-z0-9]/i.test(text) && (text.match(/[a-z]+/gi) ?? []).every((part) => known.test(part));

const instant = (what: string) =>
  word(what, 100)
    .refine(isTime, { error: ({ input }) => `Invalid ${what}: '${String(input)}' is no time` })
    .nullish()
    .describe("'2024-01-15T14:30:25', '2024-01-15', 'yesterday' or '2 weeks ago'.");

export const gitLog = defineTool({
  name: 'git_log',
  title: 'Git Log',
  description: 'Shows the commit logs, newest first.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    max_count: z.int().min(0).max(maxListed).default(10).describe('Most commits to return.'),
    maxCount: z.int().min(0).max(maxListed).optional().describe('As max_count.'),
    start_timestamp: instant('start_timestamp'),
    end_timestamp: instant('end_timestamp'),
    revision: revisionField.default('HEAD').describe('Branch, tag or commit to begin at.'),
    files,
    author: word('author', 200).optional().describe('Regular expression for the author.'),
    grep: word('grep', 200).optional().describe('Regular expression for the message.'),
    cursor: cursorField,
  }),
  output: z.object({ commits: z.array(commitOutput).describe('Newest first.'), ...continuation }),
  text: (value) => `Commit history:\n${value.commits.map(officialEntry).join('\n')}${goingOn(value)}`,

  async handler(args, git: Git, call) {
    for (const pattern of [args.author, args.grep]) {
      if (pattern !== undefined) requireModestPattern(pattern, 'basic');
    }
    const repository = await git.open(args.repo_path, call);
    return listCommits('git_log', repository, args, args.maxCount ?? args.max_count, {
      revision: args.revision,
      options: [
        ...(args.start_timestamp ? [`--since=${args.start_timestamp}`] : []),
        ...(args.end_timestamp ? [`--until=${args.end_timestamp}`] : []),
        ...(args.author === undefined ? [] : [`--author=${args.author}`]),
        ...(args.grep === undefined ? [] : [`--grep=${args.grep}`]),
      ],
      paths: args.files?.map(pathInTree) ?? [],
    });
  },
});

export const gitSearchHistory = defineTool({
  name: 'git_search_history',
  title: 'Search Git History',
  description: 'Find commits that added or removed a text: when code came or went.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    text: z
      .string()
      .min(1)
      .max(1_000)
      .refine(
        (value) => value.isWellFormed() && !value.includes('\0'),
        'must be well-formed Unicode without NUL',
      )
      .describe('What to look for.'),
    regex: z.boolean().default(false).describe('A regular expression, for any changed line (-G).'),
    revision: revisionField.default('HEAD').describe('Where to begin.'),
    files,
    limit: limitField(200, 10),
    cursor: cursorField,
  }),
  output: z.object({ commits: z.array(commitOutput).describe('Newest first.'), ...continuation }),

  async handler(args, git: Git, call) {
    if (args.regex) requireModestPattern(args.text, 'extended');
    const repository = await git.open(args.repo_path, call);
    return listCommits('git_search_history', repository, args, args.limit, {
      revision: args.revision,
      options: [...diffFlags, `${args.regex ? '-G' : '-S'}${args.text}`],
      paths: args.files?.map(pathInTree) ?? [],
    });
  },
});

export const gitShow = defineTool({
  name: 'git_show',
  title: 'Git Show',
  description:
    'Shows the contents of a commit: header and patch; of a merge, against its first parent. REVISION:PATH shows a file or folder.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    revision: revisionField.describe('Commit, branch, tag or REVISION:PATH.'),
    max_bytes: maxBytes,
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('What git shows.'),
    type: z.enum(['commit', 'blob', 'tree']).describe('What the revision names.'),
    ...continuation,
  }),
  text: (value) => `${value.content}${goingOn(value)}`,

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const commit = peeled(args.revision, 'commit') ?? args.revision;
    const [object, asCommit] = await lookUp(repository, [args.revision, commit]);
    if (!object) throw unresolved(args.revision);
    const type = object.type === 'tag' ? 'commit' : object.type;
    const id =
      type !== 'commit' ? object.id : (asCommit?.id ?? (await resolveRevision(repository, object.id)));
    const gitArgs = {
      commit: [
        'show',
        ...diffFlags,
        '--diff-merges=first-parent',
        '--date=iso',
        '--format=medium',
        '--no-notes',
        '--no-show-signature',
        id,
        '--',
      ],
      blob: ['cat-file', 'blob', id],
      tree: ['ls-tree', '--name-only', id],
    }[type];
    const { text, ...more } = await textPage('git_show', args, repository, gitArgs);
    return { content: text, type, ...more };
  },
});

export const gitShowFile = defineTool({
  name: 'git_show_file',
  title: 'Show File of a Revision',
  description: 'Read a file as it was in a commit, branch or tag.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    revision: revisionField.default('HEAD').describe('A commit, branch or tag.'),
    path: pathField.describe('The file, relative to the top.'),
    max_bytes: maxBytes,
    cursor: cursorField,
  }),
  output: z.object({
    content: z.string().describe('The text, or base64.'),
    encoding: z.enum(['utf-8', 'base64']).describe('base64 for no text.'),
    size_bytes: z.int().describe('Of the whole file.'),
    ...continuation,
  }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const path = pathInTree(args.path);
    const name = peeled(args.revision, 'tree') ?? (await resolveRevision(repository, args.revision, 'tree'));
    const [tree, blob] = await lookUp(repository, [name, `${name}:${path}`]);
    if (!tree) throw unresolved(args.revision);
    if (blob?.type !== 'blob') {
      throw new ToolError('not_found', `There is no file '${args.path}' in ${args.revision}.`, {
        hint: 'See git_ls_files for what there is.',
      });
    }
    const { bytes, ...more } = await bytePage('git_show_file', args, repository, [
      'cat-file',
      'blob',
      blob.id,
    ]);
    const encoding = bytes.includes(0) || !isUtf8(bytes) ? ('base64' as const) : ('utf-8' as const);
    return { content: bytes.toString(encoding), encoding, size_bytes: blob.sizeBytes, ...more };
  },
});

const reflogEntry = z.object({
  commit: z.string().describe('Where it stood.'),
  selector: z.string().describe('Like HEAD@{1}.'),
  action: z.string().describe('What moved it.'),
});

export const gitReflog = defineTool({
  name: 'git_reflog',
  title: 'Git Reflog',
  description:
    'List where a branch or HEAD stood before, to find commits that a reset or rebase left behind.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    repo_path: repoPath,
    ref: revisionField.default('HEAD').describe('HEAD or a branch.'),
    limit: limitField(maxListed, 30),
    cursor: cursorField,
  }),
  output: z.object({ entries: z.array(reflogEntry).describe('Newest first.'), ...continuation }),

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_reflog', args);
    await resolveRevision(repository, args.ref);
    const parts = await repository.parts([
      'log',
      '--walk-reflogs',
      '-z',
      '--format=%H%x00%gd%x00%gs',
      `--skip=${place.start}`,
      `--max-count=${args.limit + 1}`,
      args.ref,
      '--',
    ]);
    const found: z.output<typeof reflogEntry>[] = [];
    for (let at = 0; at + 2 < parts.length; at += 3) {
      const [commit = '', selector = '', action = ''] = parts.slice(at, at + 3);
      found.push({ commit, selector, action: action.slice(0, maxLineLength).toWellFormed() });
    }
    const { items, ...more } = listPage(found, args.limit, place);
    return { entries: [...items], ...more };
  },
});
