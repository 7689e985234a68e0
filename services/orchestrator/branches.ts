/** Where the work of a task on a repository goes: its branch, its working tree, the trailers of its commits, and what its worker is told of them. Pure. */
import { normalize } from 'node:path/posix';

import type { Repository } from './fields.ts';

/** Long enough to know a branch by, short enough for a prompt. */
const mostSlugLength = 40;

/** Of a title, a part of a ref name that every file system and shell takes: empty when nothing of it can be. */
export function slugOf(title: string): string {
  const words = title
    .normalize('NFKD')
    .replaceAll(/\p{Mn}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  if (words.length <= mostSlugLength) return words;
  const cut = words.slice(0, mostSlugLength + 1);
  const end = cut.lastIndexOf('-');
  return end > 0 ? cut.slice(0, end) : cut.slice(0, mostSlugLength);
}

/** Kept with the task: its title may change, and the branch does not. */
export function branchOf(id: string, title: string, kind: Repository['kind']): string {
  const slug = slugOf(title);
  return `${kind === 'hotfix' ? 'hotfix' : 'task'}/${id}${slug === '' ? '' : `-${slug}`}`;
}

/** Beside the repository, so that it is no file of it. */
export function worktreeOf(path: string, branch: string): string {
  const leaf = branch.slice(branch.indexOf('/') + 1);
  const top = path.replace(/(?<=.)\/+$/, '');
  const isNamed = !/(^|\/)\.{0,2}$/.test(top);
  return isNamed ? `${top}.worktrees/${leaf}` : `${top === '/' ? '' : top}/.worktrees/${leaf}`;
}

/** Where a branch is checked out that has no worktree, under one name: two tasks there would write into each other's work. */
export const folderOf = ({ path, mode }: Pick<Repository, 'path' | 'mode'>): string | undefined =>
  mode === 'branch' ? normalize(path).replace(/(?<=.)\/$/, '') : undefined;

/** One line, whatever was given: a line break would begin another trailer. */
const onOneLine = (text: string) => text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();

export function trailersOf(id: string, refs: readonly string[] = []): string[] {
  const served = refs.map(onOneLine).filter((ref) => ref !== '');
  return [`Task-Id: ${id}`, ...(served.length > 0 ? [`Refs: ${served.join(', ')}`] : [])];
}

/** What is known of the merge of a task's branch: one JSON text in the ledger. */
export type MergeNews =
  | { readonly commit: string; readonly merged_by: string; readonly merged_at: string }
  | {
      readonly files: readonly string[];
      readonly note?: string | undefined;
      readonly reported_by: string;
      readonly reported_at: string;
    };

export interface Standing {
  readonly id: string;
  readonly branch: string;
  readonly status: string;
  readonly waitsForMerge: boolean;
  readonly news: MergeNews | undefined;
}

/** As text of others is shown within a sentence. */
const named = (text: string) => (/^[\w./@-]+$/.test(text) ? text : JSON.stringify(text));

export const baseName = (base: string | undefined): string =>
  base === undefined ? 'the branch that it came from' : named(base);

const mostNamed = 10;

export function filesNamed(files: readonly string[]): string {
  const some = files.slice(0, mostNamed).map(named).join(', ');
  return files.length > mostNamed ? `${some} and ${files.length - mostNamed} more` : some;
}

/** What a task tells of its branch. */
export function gitOf(
  { id, branch, status, waitsForMerge, news }: Standing,
  { path, base, mode }: Repository,
  refs: readonly string[] | undefined,
) {
  const worktree = mode === 'branch' ? undefined : worktreeOf(path, branch);
  const place: Place = { branch, path, base, worktree };
  const merged = status === 'completed' && news && 'commit' in news ? news : undefined;
  const conflict = status !== 'completed' && !waitsForMerge && news && 'files' in news ? news : undefined;
  return {
    branch,
    ...(worktree !== undefined && { worktree }),
    trailers: trailersOf(id, refs),
    guidance: merged
      ? toTidy(place)
      : waitsForMerge
        ? toMerge(place)
        : conflict
          ? toMend(place, conflict.files)
          : toBegin(place),
    ...(merged && { merged }),
    ...(conflict && { conflict: { ...conflict, files: [...conflict.files] } }),
  };
}

interface Place {
  readonly branch: string;
  readonly path: string;
  readonly base: string | undefined;
  readonly worktree: string | undefined;
}

function toBegin({ branch, path, base, worktree }: Place): string {
  const from = base === undefined ? '' : ` from ${named(base)}`;
  const where =
    worktree === undefined
      ? `Work on the branch ${branch}, made${from} in ${named(path)} (git checkout -b; git_checkout), while nobody else works in that folder.`
      : `Work in a worktree of your own: ${named(worktree)}, with the new branch ${branch}${from} (git worktree add, in ${named(path)}; git_worktree).`;
  return `${where} Where the branch is there already, somebody has begun: go on from its last commit. End each commit message with the trailers, as its last lines. Push nothing. complete_task when all is committed: the task then waits until its branch is merged.`;
}

function toMend({ branch, path, base, worktree }: Place, files: readonly string[]): string {
  return `The branch ${branch} could not be merged: it conflicts with ${baseName(base)} in ${filesNamed(files)}. Go on in ${named(worktree ?? path)}, where the earlier work is. Bring the branch up to ${baseName(base)}: git rebase, or git merge (git_merge) where history is not to be rewritten. In each of these files keep what both sides meant, take out the marks, and stage it (git add; git_add); then git rebase --continue, or commit with the trailers. Test it, and complete_task again.`;
}

const toMerge = ({ branch, base }: Place): string =>
  `All is committed on ${branch}. Merge it into ${baseName(base)}; where it is squashed into one commit, keep the trailer Task-Id. Then record_merge with that commit. When it conflicts, give the merge up and say so with record_conflict: its next worker mends it.`;

const toTidy = ({ branch, worktree }: Place): string =>
  worktree === undefined
    ? `Merged. The branch ${branch} is not needed any more.`
    : `Merged. The worktree ${named(worktree)} and the branch ${branch} are not needed any more.`;
