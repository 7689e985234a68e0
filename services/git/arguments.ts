/** Fields of the tools, and how their values reach git: never as an option, never as a pattern, never outside. */
import { realpath } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';
import { pageBytes } from '#runtime/page.ts';
import { contains } from '#runtime/roots.ts';

import type { Repository } from './git.ts';
import {
  maxMessageLength,
  maxPageBytes,
  maxPathLength,
  maxPathsPerCall,
  maxRevisionLength,
} from './limits.ts';
import { existingAbove } from './repository.ts';

const quoted = (value: unknown) => (typeof value === 'string' ? value.slice(0, 200) : '…');

/** A word for git that git could take for an option, unless its first character forbids it. */
export const word = (what: string, maxLength = maxRevisionLength) =>
  storable(z.string().min(1).max(maxLength))
    .refine((value) => !value.startsWith('-'), {
      error: ({ input }) => `Invalid ${what}: '${quoted(input)}' - cannot start with '-'`,
    })
    .refine((value) => !/\p{Cc}/u.test(value), `Invalid ${what}: it has control characters`);

export const repoPath = storable(z.string().min(1).max(maxPathLength)).describe(
  'Top folder of the repository.',
);

export const revisionField = word('revision');
export const branchField = (what = 'branch name') => word(what, 255);
export const remoteField = z
  .string()
  .regex(/^[A-Za-z0-9_][\w.-]{0,99}$/, 'must be letters, digits, dots, dashes and underscores')
  .describe('Name of the remote.');

export const pathField = storable(z.string().min(1).max(maxPathLength));
export const pathsField = (description: string) =>
  z.array(pathField).min(1).max(maxPathsPerCall).describe(description);

export const messageField = storable(z.string().max(maxMessageLength)).refine(
  (text) => text.trim() !== '',
  'must say something',
);

export const contextLines = z.int().min(0).max(1_000).default(3).describe('Lines around each change.');

export const maxBytes = z
  .int()
  .min(1_000)
  .max(maxPageBytes)
  .default(pageBytes)
  .describe('Most bytes to return.');

export interface GitObject {
  readonly id: string;
  readonly type: 'commit' | 'tree' | 'blob' | 'tag';
  readonly sizeBytes: number;
}

/** What these name, in one look; they are never taken for options or paths. `undefined` for what is not there. */
export async function lookUp(
  repository: Pick<Repository, 'run'>,
  expressions: readonly string[],
): Promise<(GitObject | undefined)[]> {
  const { output } = await repository.run(['cat-file', '--batch-check', '-z'], {
    input: expressions.map((expression) => `${expression}\0`).join(''),
  });
  let rest = output.toString();
  return expressions.map((expression) => {
    const [line, id = '', type = '', size = ''] = /^([0-9a-f]{40,64}) ([a-z]+) (\d+)\n/.exec(rest) ?? [];
    // What is missing is told with its name, which may hold anything.
    const length = line?.length ?? rest.indexOf('\n', expression.length) + 1;
    rest = rest.slice(length);
    return line === undefined ? undefined : { id, type: type as GitObject['type'], sizeBytes: Number(size) };
  });
}

/** With the official server's words. */
export const unresolved = (revision: string) =>
  new ToolError('not_found', `Ref '${revision}' did not resolve to an object`, {
    hint: 'See git_branch and git_log for what there is.',
  });

/** Behind a colon stands a path or a text, which would swallow a type. */
export const peeled = (revision: string, type: 'commit' | 'tree'): string | undefined =>
  revision.includes(':') ? undefined : `${revision}^{${type}}`;

/** @throws ToolError `not_found`. */
export async function resolveRevision(
  repository: Repository,
  revision: string,
  type: 'commit' | 'tree' | 'object' = 'commit',
): Promise<string> {
  const expression = type === 'object' ? revision : peeled(revision, type);
  const [found] = await lookUp(repository, [expression ?? revision]);
  if (!found) throw unresolved(revision);
  if (expression !== undefined || found.type === type || type === 'object') return found.id;
  return resolveRevision(repository, found.id, type).catch((error: unknown) => {
    throw error instanceof ToolError && error.code === 'not_found' ? unresolved(revision) : error;
  });
}

/** The commit that is checked out; `undefined` before the first one. */
export async function headOf(repository: Repository): Promise<string | undefined> {
  const { code, output } = await repository.run(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'], {
    accept: [1, 128],
  });
  return code === 0 ? output.toString().trim() : undefined;
}

/** The name of the branch that is checked out; `undefined` when HEAD is detached. */
export async function currentBranch(repository: Repository): Promise<string | undefined> {
  const { output } = await repository.run(['symbolic-ref', '--quiet', 'HEAD'], { accept: [1, 128] });
  const [, name] = /^refs\/heads\/(.+)\n$/.exec(output.toString()) ?? [];
  return name;
}

/** Of git-check-ref-format: what no reference may hold, and no part of one begin or end with. */
const unfit = /[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|^\/|\/$|\.$|(^|\/)\.|\.lock(\/|$)/u;

/** @throws ToolError `invalid_input` for a name that no branch or tag can have. */
export function requireRefName(ref: string): string {
  const name = ref.replace(/^refs\/[a-z]+\//, '');
  if (!unfit.test(ref) && name !== '@' && name !== 'HEAD' && name !== '') return ref;
  throw new ToolError('invalid_input', `'${name}' is no name that git takes.`, {
    hint: 'No spaces, no "..", no "~^:?*[\\", no dot at the beginning or the end.',
  });
}

/**
 * Relative to the top of the working tree, as git takes them. The folders that lead to each are really in the repository;
 * the last part may be a link, which git keeps as a link.
 *
 * @throws ToolError `forbidden` outside, or within `.git`.
 */
export async function pathsWithin(repository: Repository, paths: readonly string[]): Promise<string[]> {
  return Promise.all(paths.map(async (path) => pathWithin(repository, path)));
}

// File systems that fold case or drop characters would take these for .git too; git refuses them likewise.
const isDotGit = (part: string) =>
  /^(\.git|git~\d)$/i.test(part.replaceAll(/[\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|[. ]+$/g, ''));

export async function pathWithin({ folder }: Repository, path: string): Promise<string> {
  const named = resolve(folder, path);
  const above = named === folder ? folder : await existingAbove(named);
  const real = join(await realpath(above).catch(() => '/'), relative(above, named));
  if (!contains(folder, real)) {
    throw new ToolError('forbidden', `Path '${path}' is outside the repository '${folder}'`, {
      hint: 'Name a path below it, not through a link that leads elsewhere.',
    });
  }
  const within = relative(folder, real);
  if (within.split('/').some(isDotGit)) {
    throw new ToolError('forbidden', `Path '${path}' lies in .git, which only git changes.`);
  }
  return within === '' ? '.' : within;
}

/** A path of a commit or of the index: there is no file to look at. */
export function pathInTree(path: string): string {
  const parts = path.replace(/^\.\//, '').replace(/\/$/, '').split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new ToolError('forbidden', `Path '${path}' is outside the repository`, {
      hint: 'Name it relative to the top, without "." and "..".',
    });
  }
  return parts.join('/');
}
