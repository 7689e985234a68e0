import { z } from 'zod';

import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { repoPath } from '../arguments.ts';
import type { Git } from '../git.ts';
import { maxListed, pageBytes } from '../limits.ts';
import { goingOn, listPage, placeIn, wholeLines } from '../pages.ts';

const entry = z.object({
  path: z.string().describe('Relative to the top.'),
  from: z.string().optional().describe('The path before, of what was renamed or copied.'),
  index: z
    .string()
    .describe('What differs from HEAD in the index: M, A, D, R, C, T, U; ? untracked; . nothing.'),
  worktree: z.string().describe('What differs from the index in the working tree, likewise.'),
});

const headers = z.object({
  branch: z.string().optional().describe('What is checked out; absent when HEAD is detached.'),
  head: z.string().optional().describe('The commit; absent before the first one.'),
  upstream: z.string().optional().describe('What the branch follows.'),
  ahead: z.int().optional().describe('Commits that the upstream lacks.'),
  behind: z.int().optional().describe('Commits of the upstream that the branch lacks.'),
});

type Status = z.output<typeof headers> & { entries: z.output<typeof entry>[] };

/** Reads `git status --porcelain=v2 -z --branch`. */
export function parseStatus(parts: readonly string[]): Status {
  const status: Status = { entries: [] };
  for (let at = 0; at < parts.length; at += 1) {
    const part = parts[at] ?? '';
    const kind = part[0];
    if (kind === '#') readHeader(status, part);
    else if (kind === '?') status.entries.push({ path: part.slice(2), index: '?', worktree: '?' });
    else {
      const fields = { '1': 8, '2': 9, u: 10 }[kind ?? ''] ?? 0;
      const path = part.split(' ').slice(fields).join(' ');
      const [index = '.', worktree = '.'] = part.slice(2, 4);
      const from = kind === '2' ? parts[(at += 1)] : undefined;
      status.entries.push({ path, ...(from !== undefined && { from }), index, worktree });
    }
  }
  return status;
}

function readHeader(status: Status, line: string): void {
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
  description: 'Shows the working tree status: branch, staged, changed, untracked and conflicting paths.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ repo_path: repoPath, limit: limitField(maxListed, 200), cursor: cursorField }),
  output: headers.extend({
    status: z.string().describe("Git's own words."),
    is_clean: z.boolean().describe('Nothing to commit, nothing untracked.'),
    entries: z.array(entry).describe('By path.'),
    ...continuation,
  }),
  text: (value) => `Repository status:\n${value.status}${goingOn(value)}`,

  async handler(args, git: Git, call) {
    const repository = await git.open(args.repo_path, call);
    const place = placeIn('git_status', args);
    const flags = ['--ignore-submodules=dirty', '--untracked-files=normal'];
    const [said, parts] = await Promise.all([
      repository.run(['status', ...flags], { takeBytes: pageBytes }),
      repository.parts(['status', ...flags, '--porcelain=v2', '-z', '--branch']),
    ]);
    const { entries, ...rest } = parseStatus(parts);
    const { items, ...more } = listPage(entries.slice(place.start), args.limit, place);
    const words = said.isCut ? `${wholeLines(said.output).toString()}…` : said.output.toString();
    return {
      status: words.replace(/\n$/, ''),
      ...rest,
      is_clean: entries.length === 0,
      entries: [...items],
      ...more,
    };
  },
});
