/** The engines: processes that work on databases, ended when they take too long, and their places, fair between callers. */
import { mkdirSync, rmSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Log } from '#runtime/account/log.ts';
import { ToolError } from '#runtime/errors.ts';
import { Lane } from '#runtime/lanes.ts';
import { endingWithUs, startConfinedNow } from '#runtime/sandbox.ts';
import type { Process } from '#runtime/starter.ts';
import type { Call } from '#runtime/tool.ts';

import type { Territory } from './engine/connections.ts';
import type { Order, Report } from './engine/engine.ts';
import { frameOf, unframed } from './engine/frames.ts';
import type { Answer, Asked, Kind } from './engine/work.ts';
import {
  endingMs,
  engineIdleMs,
  engineMemoryBytes,
  engineNice,
  restedMs,
  slowMs,
  slowNice,
  maxIdleEngines,
  statementsAtOnce,
  stopMs,
  transfersAtOnce,
} from './limits.ts';
import { openWriters } from './writers.ts';

export interface Errand<K extends Kind> {
  readonly kind: K;
  readonly args: Asked<K>;
  /** After which it is stopped; without, the deadline of the call. */
  readonly timeoutMs?: number | undefined;
  /** It looks up now and then whether it is to stop, and undoes what it did. */
  readonly listens?: boolean;
}

interface Waiting {
  readonly hear: (report: Report) => void;
  readonly gone: () => void;
}

const flags = [
  '--max-old-space-size=128',
  '--max-semi-space-size=4',
  '--v8-pool-size=1',
  '--disable-warning=ExperimentalWarning',
];

interface Folders {
  /** For large changes. */
  readonly temporary: string;
  /** Halves the time that an engine takes to start. */
  readonly compiled: string;
}

/** One process. It has one errand at a time. */
export class Engine {
  readonly #child: Process;
  readonly #log: Log;
  #waiting: Waiting | undefined;
  #idle: NodeJS.Timeout | undefined;
  #said = '';
  isGone = false;
  /** Whether its last errand left it within a transaction. */
  inTransaction = false;
  isWorn = false;
  /** Whose errand it did last. */
  user: string | undefined;
  restsSinceMs = 0;
  #nice = 0;
  /** It was ended. */
  #why: ToolError | undefined;

  constructor(territory: Territory, { temporary, compiled }: Folders, log: Log) {
    this.#log = log;
    const program = [process.execPath, ...flags, fileURLToPath(new URL('engine/engine.ts', import.meta.url))];
    // Also in the middle of a statement.
    const [file = '', ...args] = [...endingWithUs('KILL'), ...program];
    // No sandbox: what runs is our own code, and what it opens for others is decided there.
    this.#child = startConfinedNow({
      file,
      args: [...args, JSON.stringify(territory)],
      cwd: '/',
      env: { SQLITE_TMPDIR: temporary, NODE_COMPILE_CACHE: compiled, MALLOC_ARENA_MAX: '2', LANG: 'C.UTF-8' },
      limits: { memoryBytes: engineMemoryBytes, cpuSeconds: 1_000_000 },
      view: undefined,
    });
    // The service answers others while an engine computes.
    this.#setNice(engineNice);
    this.#child.stdout.on(
      'data',
      unframed((message) => this.#waiting?.hear(message as Report)),
    );
    this.#child.stderr.on(
      'data',
      (text: Buffer) => (this.#said = (this.#said + text.toString()).slice(-2_000)),
    );
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr])
      stream.on('error', () => {});
    this.#child.on('error', (error) => {
      this.#said = String(error);
      this.#leave();
    });
    // Once all that it said is read as well: it may have answered before it was killed.
    this.#child.on('close', () => this.#leave());
  }

  #leave(): void {
    this.isGone = true;
    clearTimeout(this.#idle);
    this.#waiting?.gone();
  }

  /** @returns whether it has it: without privileges it can only become lower, and a unit allows neither. */
  #setNice(nice: number): boolean {
    try {
      if (this.#child.pid !== undefined) setPriority(this.#child.pid, nice);
      this.#nice = nice;
      return true;
    } catch {
      return this.#nice === nice;
    }
  }

  /** @throws ToolError; the reason of the call's signal. An engine that was stopped in mid-work is gone. */
  async run<K extends Kind>(
    { kind, args, timeoutMs, listens = false }: Errand<K>,
    { signal, progress }: Pick<Call, 'signal' | 'progress'>,
  ): Promise<Answer<K>> {
    clearTimeout(this.#idle);
    signal.throwIfAborted();
    // What takes long gives way to what does not.
    const slowing = setTimeout(() => this.#setNice(slowNice), slowMs).unref();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop(stopped(timeoutMs)), timeoutMs);
    let reason: unknown;
    let isEnding = false;
    let killing: NodeJS.Timeout | undefined;
    const killIn = (ms: number) => {
      clearTimeout(killing);
      killing = setTimeout(() => this.kill(), ms).unref();
    };
    const stop = (why: unknown) => {
      reason ??= why;
      // What is being committed may be there or not if it is killed: it is let end, and says so.
      if (isEnding) killIn(endingMs);
      else if (!listens) this.kill();
      else {
        this.#child.kill('SIGUSR2');
        killIn(stopMs);
      }
    };
    const told = () => (wholeKinds.has(kind) ? inWhole(reason, isEnding) : reason);
    const abort = () => stop(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<Answer<K>>((resolve, reject) => {
        this.#waiting = {
          hear: (report) => {
            if ('done' in report) {
              progress(report.done, report.total, report.message);
              return;
            }
            if ('ending' in report) {
              isEnding = true;
              if (reason !== undefined) killIn(endingMs);
              return;
            }
            this.inTransaction = report.inTransaction;
            this.isWorn = report.isWorn;
            if ('outcome' in report) resolve(report.outcome as Answer<K>);
            else {
              // It was undone, whatever the reason.
              isEnding = false;
              reject(told() ?? this.#failure(report.failure));
            }
          },
          gone: () => reject(told() ?? this.#why ?? this.#fallen()),
        };
        if (this.isGone) this.#waiting.gone();
        else this.#send({ kind, args });
      });
    } finally {
      this.#waiting = undefined;
      clearTimeout(slowing);
      if (this.#nice === slowNice && !this.isGone && !this.#setNice(engineNice)) this.isWorn = true;
      clearTimeout(timer);
      clearTimeout(killing);
      signal.removeEventListener('abort', abort);
      // It may hear only now that it was to stop.
      if (reason !== undefined) this.kill();
    }
  }

  #send(order: Order): void {
    this.#child.stdin.write(frameOf(order));
  }

  #failure({ code, message, hint, retryAfterMs }: Extract<Report, { failure: unknown }>['failure']): Error {
    if (code === 'internal') return new Error(message);
    return new ToolError(code, message, {
      ...(hint !== undefined && { hint }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }

  #fallen(): Error {
    const { exitCode: code, signalCode: signal } = this.#child;
    this.#log.warn('engine_fell', { said: this.#said, code, signal });
    if (code === null && signal === null) {
      return new ToolError('unavailable', 'No process can be started for it.', {
        hint: 'Try again. The operator looks at the limits of processes and memory.',
      });
    }
    // It ended by itself: a bug, or a host on which it cannot start.
    if (code !== null) return new Error(`An engine ended with ${code}: ${this.#said}`);
    return new ToolError('too_large', 'The statement took more memory than it may have, and was stopped.', {
      hint: 'Nothing of it was kept. Ask for less at once. If the database is from others, it may be damaged.',
    });
  }

  /** @param leave called after a while in which nobody needed it. */
  rest(leave: () => void): void {
    this.restsSinceMs = performance.now();
    this.#idle = setTimeout(leave, engineIdleMs).unref();
  }

  /** @param why told to whom it worked for, unless there is a nearer reason. */
  kill(why?: ToolError): void {
    this.isGone = true;
    this.#why ??= why;
    this.#child.kill('SIGKILL');
  }

  /** Lets it close what it has open, and end. */
  async retire(): Promise<void> {
    clearTimeout(this.#idle);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.isGone = true;
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs);
    await ended;
    clearTimeout(timer);
  }
}

const stopped = (timeoutMs: number) =>
  new ToolError('timeout', `The statement was stopped after ${timeoutMs} ms.`, {
    hint: 'Ask for less, add an index (explain_sql shows the plan), or raise timeout_ms. Of a change: it was undone, or, if it was just ending, all of it was made.',
  });

/** What is made as a whole, and told to be begun to last. */
const wholeKinds: ReadonlySet<Kind> = new Set([
  'stageCsv',
  'importCsv',
  'exportCsv',
  'backup',
  'bulkInsert',
  'batch',
  'createFts',
]);

/** Why it was stopped, and what came of it. */
function inWhole(reason: unknown, wasEnding: boolean): unknown {
  if (!(reason instanceof ToolError) || reason.code === 'internal') return reason;
  const [came, hint] = wasEnding
    ? ['It was just being written for good.', 'Look whether it is there before you repeat it.']
    : ['Nothing of it was kept.', 'Ask for less at once, or give it more time.'];
  return new ToolError(reason.code, `${reason.message} ${came}`, { hint });
}

export type Engines = ReturnType<typeof openEngines>;

/** @param temporary the folder for large changes, which no backup holds; emptied at start. */
export function openEngines(territory: Territory, temporary: string, log: Log) {
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true, mode: 0o700 });
  // A unit has a folder for it.
  const compiled = process.env['NODE_COMPILE_CACHE'] ?? join(temporary, 'compiled');
  const folders = { temporary, compiled };
  const statements = new Lane(statementsAtOnce);
  const transfers = new Lane(transfersAtOnce);
  /** The one that rests longest first. */
  const idle: Engine[] = [];
  let isClosing = false;
  const all = new Set<Engine>();
  const writers = openWriters(territory.busyMs);

  function start(): Engine {
    const engine = new Engine(territory, folders, log);
    all.add(engine);
    return engine;
  }

  /** The one that this caller had, one that nobody had, or another's that is not likely to be missed: to start one takes long. */
  function take(caller: string): Engine {
    // One may have been ended by the system while it rested.
    for (const gone of idle.filter(({ isGone }) => isGone)) drop(gone);
    const others = idle.filter(({ user }) => user !== undefined && user !== caller);
    const [longest] = others;
    const isSpare = others.length > 1 || performance.now() - (longest?.restsSinceMs ?? 0) > restedMs;
    const engine =
      idle.findLast(({ user }) => user === caller) ??
      idle.find(({ user }) => user === undefined) ??
      (isSpare ? longest : undefined) ??
      start();
    const index = idle.indexOf(engine);
    if (index >= 0) idle.splice(index, 1);
    engine.user = caller;
    return engine;
  }

  function giveBack(engine: Engine): void {
    if (engine.isGone) {
      all.delete(engine);
      // Who comes next does not take another's, or wait for one to start.
      if (!isClosing && idle.every(({ user }) => user !== undefined)) shelve(start());
    } else if (engine.isWorn) void release(engine);
    else shelve(engine);
  }

  function shelve(engine: Engine): void {
    idle.push(engine);
    engine.rest(() => drop(engine));
    const [longest] = idle;
    if (idle.length > maxIdleEngines && longest) drop(longest);
  }

  function drop(engine: Engine): void {
    const index = idle.indexOf(engine);
    if (index >= 0) idle.splice(index, 1);
    void release(engine);
  }

  async function release(engine: Engine): Promise<void> {
    await engine.retire();
    all.delete(engine);
  }

  /** @param changes the database that is changed: what an engine leaves that was ended is put in order before anybody else comes. */
  async function runOnce<K extends Kind>(
    errand: Errand<K>,
    call: Call,
    changes: string | undefined,
  ): Promise<Answer<K>> {
    const engine = take(call.caller);
    try {
      return await engine.run(errand, call);
    } finally {
      giveBack(engine);
      if (engine.isGone && changes !== undefined) await recover(changes, call.caller);
    }
  }

  async function recover(path: string, caller: string): Promise<void> {
    const errand = {
      kind: 'recover',
      args: { target: { path, isDefault: false } },
      timeoutMs: 10_000,
    } as const;
    const alone = { signal: AbortSignal.timeout(20_000), progress: () => {} };
    const engine = take(caller);
    try {
      await engine.run(errand, alone);
    } catch (error) {
      // It may have been no database, or gone: the next one to open it finds out.
      log.debug('recovery_failed', { reason: String(error) });
    } finally {
      giveBack(engine);
    }
  }

  return {
    /** @param changes the path of the database that is changed. */
    async run<K extends Kind>(
      call: Call,
      errand: Errand<K>,
      { isLong, changes }: { isLong: boolean; changes: string | undefined },
    ): Promise<Answer<K>> {
      const lane = isLong ? transfers : statements;
      const run = async () => lane.run<Answer<K>>(call, async () => runOnce(errand, call, changes));
      return changes === undefined ? run() : writers.run<Answer<K>>(changes, call, run);
    },
    /** Work in two parts on one engine, of which only the second one changes something: others change the database meanwhile. */
    async runInTwo<First extends Kind, Second extends Kind>(
      call: Call,
      first: Errand<First>,
      second: (answer: Answer<First>) => Errand<Second>,
      changes: string,
    ): Promise<Answer<Second>> {
      return transfers.run(call, async () => {
        const engine = take(call.caller);
        let isBetween = false;
        try {
          const next = second(await engine.run(first, call));
          isBetween = true;
          return await writers.run(changes, call, async () => {
            isBetween = false;
            try {
              return await engine.run(next, call);
            } finally {
              if (engine.isGone) await recover(changes, call.caller);
            }
          });
        } catch (error) {
          if (!isBetween) throw error;
          // What the first part left goes with it.
          engine.isWorn = true;
          throw inWhole(error, false);
        } finally {
          giveBack(engine);
        }
      });
    },
    writers,
    /** One of the places for statements, for an engine that a transaction has for itself. */
    inPlace: async <Value>(call: Call, work: () => Promise<Value>) => statements.run(call, work),
    take,
    giveBack,
    release,
    recover,
    async [Symbol.asyncDispose]() {
      isClosing = true;
      await Promise.all([...all].map(async (engine) => engine.retire()));
    },
  };
}
