/** What the tools work with: repositories that were looked at, and one change at a time in each. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { gitEnvironment } from './environment.ts';
import { failure, lockHint } from './failures.ts';
import { maxListBytes } from './limits.ts';
import type { NetworkProtocol } from './remotes.ts';
import { findRepository, type Place } from './repository.ts';
import { runGit, type Finished } from './run-git.ts';

export interface Policy {
  readonly roots: readonly string[];
  readonly mayPush: boolean;
  readonly mayRewrite: boolean;
  readonly protocols: readonly NetworkProtocol[];
  /** A file in the form of git-credential-store. */
  readonly credentials: string | undefined;
  /** Of the operator; where it is not set, the repository's own, and at last that of fallback.gitconfig. */
  readonly name: string | undefined;
  readonly email: string | undefined;
}

export interface GitOptions {
  readonly input?: string | Buffer;
  readonly skipBytes?: number;
  readonly takeBytes?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
  /** Exit codes that are answers, not failures; beside 0. */
  readonly accept?: readonly number[];
}

export interface Repository extends Place {
  /** The folder that paths are relative to. */
  readonly folder: string;
  /** Another one, in this call. */
  enter(path: string): Promise<Repository>;
  run(args: readonly string[], options?: GitOptions): Promise<Finished>;
  /** All of an answer. @throws ToolError `too_large`. */
  bytes(args: readonly string[], options?: GitOptions): Promise<Buffer>;
  /** All of a short answer, without its last line end. */
  line(args: readonly string[], options?: GitOptions): Promise<string>;
  /** An answer with NUL after each part. */
  parts(args: readonly string[], options?: GitOptions): Promise<string[]>;
}

/** Options that never change, as one reads them. */
export const flags = (words: string): string[] => words.split(' ');

export type Git = ReturnType<typeof openGit>;

export function openGit(policy: Policy) {
  const tails = new Map<string, Promise<unknown>>();
  const closing = new AbortController();

  async function open(path: string, call: Call): Promise<Repository> {
    const place = await findRepository(policy.roots, path, call.signal);
    return working(policy, place, call.nowMs, AbortSignal.any([call.signal, closing.signal]));
  }

  /** Our own changes of a repository wait for each other; those of others are a conflict, before anything is done. */
  async function change<Value>(
    path: string,
    call: Call,
    work: (repository: Repository) => Promise<Value>,
  ): Promise<Value> {
    const repository = await open(path, call);
    const turn = async () => {
      call.signal.throwIfAborted();
      await requireUnlocked(repository);
      return work(repository);
    };
    const mine = (tails.get(repository.commonDir) ?? Promise.resolve()).then(turn);
    const tail = mine.catch(() => {});
    tails.set(repository.commonDir, tail);
    try {
      return await mine;
    } finally {
      if (tails.get(repository.commonDir) === tail) tails.delete(repository.commonDir);
    }
  }

  return {
    policy,
    open,
    change,
    /** Git is asked to stop, and has put its locks away when this ends. */
    async [Symbol.asyncDispose]() {
      closing.abort(new ToolError('unavailable', 'The service stops.', { hint: 'Try again.' }));
      await Promise.all(tails.values());
    },
  };
}

/** Where there is no repository yet: nothing around the folder is read. */
export async function runElsewhere(
  call: Call,
  args: readonly string[],
  { env, settings, accept = [] }: GitOptions = {},
): Promise<Finished> {
  const finished = await runGit(args, {
    cwd: '/',
    env: gitEnvironment(new Map(), env, settings),
    signal: call.signal,
    takeBytes: maxListBytes,
  });
  if (finished.code !== 0 && !accept.includes(finished.code ?? -1)) throw failure(finished);
  return finished;
}

/** Why no call could succeed, if that is so. */
export async function whyNoGit(): Promise<string | undefined> {
  const signal = AbortSignal.timeout(5_000);
  const run = { cwd: '/', env: gitEnvironment(new Map()), signal, takeBytes: 1_000 };
  const said = await runGit(['--version'], run).then(
    ({ output }) => output.toString(),
    () => '',
  );
  const [, major, minor] = /^git version (\d+)\.(\d+)/.exec(said)?.map(Number) ?? [];
  if (major === undefined || minor === undefined) return 'Git cannot be started: apt-get install git.';
  const isOld = major < 2 || (major === 2 && minor < oldestMinor);
  return isOld ? `Git ${major}.${minor} is too old: 2.${oldestMinor} or newer is needed.` : undefined;
}

/** Of git 2: it knows all options that the tools use. */
const oldestMinor = 38;

async function requireUnlocked({ gitDir }: Place): Promise<void> {
  const isLocked = await access(join(gitDir, 'index.lock')).then(
    () => true,
    () => false,
  );
  if (isLocked) {
    throw new ToolError('conflict', 'The repository is locked: .git/index.lock exists.', { hint: lockHint });
  }
}

function working(policy: Policy, place: Place, nowMs: number, signal: AbortSignal): Repository {
  const folder = place.top ?? place.gitDir;
  const { name, email } = policy;
  const at = `@${Math.floor(nowMs / 1000)} +0000`;
  const ours = {
    GIT_DIR: place.gitDir,
    ...(place.top !== undefined && { GIT_WORK_TREE: place.top }),
    ...(name !== undefined && { GIT_AUTHOR_NAME: name, GIT_COMMITTER_NAME: name }),
    ...(email !== undefined && { GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_EMAIL: email }),
    GIT_AUTHOR_DATE: at,
    GIT_COMMITTER_DATE: at,
  };

  async function run(args: readonly string[], options: GitOptions = {}): Promise<Finished> {
    const { takeBytes = maxListBytes, accept = [], env, settings, ...rest } = options;
    const finished = await runGit(args, {
      cwd: folder,
      env: gitEnvironment(place.overrides, { ...ours, ...env }, settings),
      signal,
      takeBytes,
      ...rest,
    });
    const { code, isCut } = finished;
    if (!isCut && code !== 0 && !accept.includes(code ?? -1)) throw failure(finished);
    return finished;
  }

  async function bytes(args: readonly string[], options?: GitOptions): Promise<Buffer> {
    const { output, isCut } = await run(args, options);
    if (isCut) {
      throw new ToolError('too_large', 'Git has more to say here than is read at once.', {
        hint: 'Name fewer paths.',
      });
    }
    return output;
  }

  const all = async (...args: Parameters<typeof bytes>) => (await bytes(...args)).toString();

  return {
    ...place,
    folder,
    enter: async (path) => working(policy, await findRepository(policy.roots, path, signal), nowMs, signal),
    run,
    bytes,
    line: async (args, options) => (await all(args, options)).replace(/\n$/, ''),
    parts: async (args, options) => (await all(args, options)).split('\0').slice(0, -1),
  };
}
