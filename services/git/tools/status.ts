import { z } from 'zod';

import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { pageBytes } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { repoPath } from '../arguments.ts';
import type { Git } from '../git.ts';
import { maxListed } from '../limits.ts';
import { window } from '../parts.ts';
import { goingOn, listPage, placeIn, wholeLines } from '../pages.ts';

const entry = z.object({
  path: z.string().describe('Relative to the top.'),
  from: z.string().optional().describe('Path before a rename or copy.'),
  index: z.string().describe('Staged: M, A, D, R, C, T, U, ? untracked, . nothing.'),
  worktree: z.string().describe('Not staged, likewise.'),
});

const headers = z.object({
  branch: z.string().optional().describe('Absent when HEAD is detached.'),
  head: z.string().optional().describe('The commit; absent before the first one.'),
  upstream: z.string().optional().describe('What the branch follows.'),
  ahead: z.int().optional().describe('Commits that the upstream lacks.'),
  behind: z.int().optional().describe('Commits that the branch lacks.'),
});

type Headers = z.output<typeof headers>;
type Entry = z.output<typeof entry>;

/** Reads `git status --porcelain=v2 -z --branch`, of which a renamed entry is two parts. */
function statusReader(start: number, count: number) {
  const about: Headers = {};
  const entries = window<Entry>(start, count);
  let renamed: string | undefined;
  const take = (part: string) => {
    if (renamed !== undefined) {
      const entryPart = renamed;
      renamed = undefined;
      entries.add(() => ({ ...entryOf(entryPart), from: part }));
    } else if (part.startsWith('#')) readHeader(about, part);
    else if (part.startsWith('2')) renamed = part;
    else entries.add(() => entryOf(part));
  };
  return { about, entries, take };
}

function entryOf(part: string): Entry {
  if (part.startsWith('?')) return { path: part.slice(2), index: '?', worktree: '?' };
  const fields = { '1': 8, '2': 9, u: 10 }[part[0] ?? ''] ?? 0;
  const [index = '.', worktree = '.'] = part.slice(2, 4);
  return { path: part.split(' ').slice(fields).join(' '), index, worktree };
}

function readHeader(status: Headers, line: string): void {
  const [, name, value = ''] = /^# branch\.(\S+) (.+)$/s.exec(line) ?? [];
  if (name === 'oid' && value !== '(initial)') status.head = value;
  if (name === 'head' && value !== '(detached)') status.branch = value;
  if (name === 'upstream') status.upstream = value;
  if (name === 'ab') {
    const [ahead, behind] = value.split(' ').map(Number);
    if (ahead !== undefined && behind !== undefined) Object.assign(status, { ahead, behind: -behind });
  }
}

export const gitStatus = defineTool({
  name: 'git_status',
  title: 'Git Status',
  description: 'Shows the working tree status.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ repo_path: repoPath, limit: limitField(maxListed, 200), cursor: cursorField }),
  output: headers.extend({
    status: z.string().describe("Git's own words."),
    is_clean: z.boolean().describe('Nothing changed or untracked.'),
    entries: z.array(entry).describe('By path.'),
    ...continuation,
  }),
  text: (value) => `Repository status:\n${value.status}${goingOn(value)}`,

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_status', args);
    const flags = ['--ignore-submodules=dirty', '--untracked-files=normal'];
    const { about, entries, take } = statusReader(place.start, args.limit + 1);
    const [said] = await Promise.all([
      repository.run(['status', ...flags], { takeBytes: pageBytes }),
      repository.eachPart(['status', ...flags, '--porcelain=v2', '-z', '--branch'], take),
    ]);
    const { items, ...more } = listPage(entries.items, args.limit, place);
    const words = said.isCut ? `${wholeLines(said.output).toString()}…` : said.output.toString();
    return {
      status: words.replace(/\n$/, ''),
      ...about,
      is_clean: entries.seen === 0,
      entries: [...items],
      ...more,
    };
  },
});
