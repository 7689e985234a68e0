/** What the tools work with: repositories that were looked at, and one change at a time in each. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import type { Mount } from '#runtime/sandbox.ts';
import type { Call } from '#runtime/tool.ts';

import { gitEnvironment } from './environment.ts';
import { failure, lockHint } from './failures.ts';
import { openGate, type Gate } from './gate.ts';
import { maxListBytes, maxStreamBytes } from './limits.ts';
import { partReader } from './parts.ts';
import { openPrecedence, type Precedence } from '#runtime/precedence.ts';
import type { NetworkProtocol } from './remotes.ts';
import { findRepository, sightOf, type Place } from './repository.ts';
import { runGit, type Confinement, type Finished, type Run, type Sight } from './run-git.ts';
import { lookAtIndex, type Tracked } from './tracked.ts';

export interface Policy extends Confinement {
  readonly roots: readonly string[];
  /** What an operator should look at. */
  readonly warnings: readonly string[];
  readonly mayPush: boolean;
  readonly mayRewrite: boolean;
  readonly protocols: readonly NetworkProtocol[];
  /** A file in the form of git-credential-store. */
  readonly credentials: string | undefined;
  /** Of the operator; where it is not set, the repository's own, and at last that of fallback.gitconfig. */
  readonly name: string | undefined;
  readonly email: string | undefined;
}

export interface GitOptions extends Partial<
  Pick<Run, 'input' | 'skipBytes' | 'takeBytes' | 'consume' | 'readProgress'>
> {
  readonly env?: Readonly<Record<string, string>>;
  readonly settings?: Readonly<Record<string, string>>;
  /** Exit codes that are answers, not failures; beside 0. */
  readonly accept?: readonly number[];
  /** What git sees beside the repository. */
  readonly mounts?: readonly Mount[];
  readonly links?: ReadonlyMap<string, string>;
  readonly reach?: Sight['reach'];
}

/** Runs git where no repository is. */
export type RunNowhere = (args: readonly string[], options?: GitOptions) => Promise<Finished>;

export interface Repository extends Place {
  /** The folder that paths are relative to. */
  readonly folder: string;
  readonly tracked: Tracked;
  /** Another one, in this call. */
  enter(path: string): Promise<Repository>;
  run(args: readonly string[], options?: GitOptions): Promise<Finished>;
  /** All of an answer. @throws ToolError `too_large`. */
  bytes(args: readonly string[], options?: GitOptions): Promise<Buffer>;
  /** All of a short answer, without its last line end. */
  line(args: readonly string[], options?: GitOptions): Promise<string>;
  /** An answer with NUL after each part. */
  parts(args: readonly string[], options?: GitOptions): Promise<string[]>;
  /** The same for what may be long: each part when it comes. @throws ToolError `too_large`. */
  eachPart(args: readonly string[], take: (part: string) => void, options?: GitOptions): Promise<void>;
  /** Likewise, with a line end after each. */
  eachLine(args: readonly string[], take: (line: string) => void, options?: GitOptions): Promise<void>;
}

/** Options that never change, as one reads them. */
export const flags = (words: string): string[] => words.split(' ');

export type Git = ReturnType<typeof openGit>;

export function openGit(policy: Policy) {
  /** Of each repository that is being changed: whose turn it is, and the calls that change it or wait. */
  const lines = new Map<string, { readonly inTurn: Gate; readonly calls: Set<Promise<unknown>> }>();
  /** Of each call that is to change a repository: those that were changed since it began to look. */
  const changedSince = new Set<Set<string>>();
  const closing = new AbortController();
  const gate = openGate();
  const precedence = openPrecedence();
  // Looking at a repository that is made for it costs as much as a git.
  const looks = openGate();
  let wellUntilMs = 0;

  const sessionOf = (call: Call, mayWrite: boolean): Session => {
    const signal = AbortSignal.any([call.signal, closing.signal]);
    const { caller, nowMs } = call;
    return { policy, gate, precedence, looks, signal, mayWrite, caller, nowMs, holdsRepository: false };
  };

  /** To read: git cannot write then, whatever it is told. */
  const open = async (path: string, call: Call) => enter(sessionOf(call, false), path);

  /**
   * Our own changes of a repository wait for each other, and tokens take turns; those of others are a conflict, before
   * anything is done.
   */
  async function change<Value>(
    path: string,
    call: Call,
    work: (repository: Repository) => Promise<Value>,
  ): Promise<Value> {
    const session = sessionOf(call, true);
    const changed = new Set<string>();
    changedSince.add(changed);
    try {
      const repository = await enter(session, path);
      const { commonDir } = repository;
      return await inLine(commonDir, session, async () => {
        session.holdsRepository = true;
        // Another change, while it looked or waited, may have changed all that was looked at.
        const current = changed.has(commonDir) ? await enter(session, path) : repository;
        await requireUnlocked(current);
        try {
          return await work(current);
        } finally {
          for (const other of changedSince) other.add(commonDir);
        }
      });
    } finally {
      changedSince.delete(changed);
    }
  }

  async function inLine<Value>(
    commonDir: string,
    { caller, signal }: Session,
    work: () => Promise<Value>,
  ): Promise<Value> {
    const line = lines.get(commonDir) ?? { inTurn: openGate(1, 1), calls: new Set() };
    lines.set(commonDir, line);
    const mine = line.inTurn(caller, signal, work);
    line.calls.add(mine);
    try {
      return await mine;
    } finally {
      line.calls.delete(mine);
      if (line.calls.size === 0) lines.delete(commonDir);
    }
  }

  return {
    policy,
    open,
    change,
    /** Where there is no repository yet. */
    nowhere: (call: Call): RunNowhere => nowhere(sessionOf(call, true)),
    look: async (path: string, call: Call): Promise<Place> => look(sessionOf(call, false), path),
    /** Why no call could succeed, if that is so. It is asked every second, and costs a git. */
    trouble: async (): Promise<string | undefined> => {
      if (performance.now() < wellUntilMs) return undefined;
      const reason = await whyNoGit(policy);
      if (reason === undefined) wellUntilMs = performance.now() + wellForMs;
      return reason;
    },
    /** Git is asked to stop, and has put its locks away when this ends. */
    async [Symbol.asyncDispose]() {
      closing.abort(new ToolError('unavailable', 'The service stops.', { hint: 'Try again.' }));
      await Promise.allSettled([...lines.values()].flatMap(({ calls }) => [...calls]));
    },
  };
}

/** One call: what it may do, and how its gits wait and end. */
interface Session {
  readonly policy: Policy;
  readonly gate: Gate;
  readonly precedence: Precedence;
  readonly looks: Gate;
  readonly signal: AbortSignal;
  readonly mayWrite: boolean;
  readonly caller: string;
  readonly nowMs: number;
  /** Whether other changes of a repository wait for this call. */
  holdsRepository: boolean;
}

async function inSession(
  { policy, gate, precedence, signal, caller, holdsRepository }: Session,
  args: readonly string[],
  options: GitOptions,
  run: Pick<Run, 'cwd' | 'env' | 'sight'>,
): Promise<Finished> {
  const { takeBytes = maxListBytes, accept = [], ...rest } = options;
  const place = precedence.enter(caller, signal);
  const how = { ...rest, ...run, signal, takeBytes, confinement: policy, place };
  const finished = await gate(
    caller,
    signal,
    async (hasMore) => runGit(args, { ...how, easesOffSoon: hasMore }),
    holdsRepository,
  ).finally(place.leave);
  const { code, isCut } = finished;
  if (!isCut && code !== 0 && !accept.includes(code ?? -1)) throw failure(finished);
  return finished;
}

function nowhere(session: Session): RunNowhere {
  return async (args, options = {}) => {
    const { env, settings, mounts = [], links = new Map(), reach } = options;
    return inSession(session, args, options, {
      cwd: '/',
      env: gitEnvironment(new Map(), env, settings),
      sight: { mounts, links, reach },
    });
  };
}

const wellForMs = 5_000;

async function whyNoGit(confinement: Confinement): Promise<string | undefined> {
  const signal = AbortSignal.timeout(5_000);
  const run = { cwd: '/', env: gitEnvironment(new Map()), signal, takeBytes: 1_000, confinement };
  try {
    const { output } = await runGit(['--version'], run);
    const [, major, minor] = /^git version (\d+)\.(\d+)/.exec(output.toString())?.map(Number) ?? [];
    if (major === undefined || minor === undefined) return 'Git does not say its version.';
    const isOld = major < 2 || (major === 2 && minor < oldestMinor);
    return isOld ? `Git ${major}.${minor} is too old: 2.${oldestMinor} or newer is needed.` : undefined;
  } catch (error) {
    if (error instanceof ToolError) return [error.message, error.hint ?? ''].join(' ').trim();
    throw error;
  }
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

async function look(session: Session, path: string): Promise<Place> {
  const { looks, caller, signal, policy, holdsRepository } = session;
  const find = async () => findRepository(policy.roots, path, nowhere(session));
  return looks(caller, signal, find, holdsRepository);
}

async function enter(session: Session, path: string): Promise<Repository> {
  const place = await look(session, path);
  const tracked = await lookAtIndex(working(session, place));
  return { ...working(session, { ...place, reads: [...place.reads, ...tracked.linkedDirs] }), tracked };
}

function working(session: Session, place: Place): Omit<Repository, 'tracked'> {
  const { policy, nowMs, mayWrite } = session;
  const folder = place.top ?? place.gitDir;
  const { name, email } = policy;
  const at = `@${Math.floor(nowMs / 1000)} +0000`;
  const ours = {
    GIT_DIR: place.gitDir,
    // A bare one has none, whatever its configuration says: git would take the folder itself for it.
    ...(place.top === undefined ? { GIT_IMPLICIT_WORK_TREE: '0' } : { GIT_WORK_TREE: place.top }),
    ...(name !== undefined && { GIT_AUTHOR_NAME: name, GIT_COMMITTER_NAME: name }),
    ...(email !== undefined && { GIT_AUTHOR_EMAIL: email, GIT_COMMITTER_EMAIL: email }),
    GIT_AUTHOR_DATE: at,
    GIT_COMMITTER_DATE: at,
  };
  const own = sightOf(place, mayWrite);

  async function run(args: readonly string[], options: GitOptions = {}): Promise<Finished> {
    const { env, settings, mounts = [], links = new Map(), reach } = options;
    return inSession(session, args, options, {
      cwd: folder,
      env: gitEnvironment(place.overrides, { ...ours, ...env }, settings),
      sight: {
        mounts: [...own.mounts, ...mounts],
        links: new Map([...own.links, ...links]),
        reach,
      },
    });
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
    enter: async (path) => enter(session, path),
    run,
    bytes,
    line: async (args, options) => (await all(args, options)).replace(/\n$/, ''),
    parts: async (args, options) => (await all(args, options)).split('\0').slice(0, -1),
    eachPart: async (args, take, options) => {
      await bytes(args, { takeBytes: maxStreamBytes, ...options, consume: partReader(take, 0) });
    },
    eachLine: async (args, take, options) => {
      await bytes(args, { takeBytes: maxStreamBytes, ...options, consume: partReader(take, 10) });
    },
  };
}
