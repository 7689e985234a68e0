/** Keeps the processes of a fleet in the foreground running: starts them in tier order, restarts with back-off, stops them in reverse. */
import { spawn, type ChildProcess } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';

import { tierOrder, type CatalogueEntry } from '#config/catalogue.ts';
import { processLogFile } from '#runtime/account/log.ts';
import { exitCodes } from '#runtime/errors.ts';
import type { Environment } from '#runtime/process/settings.ts';

import { ProcessLog } from './process-log.ts';
import { serveCommand } from './serve-command.ts';

/** A process whose code is not loaded by then never will be. */
const loadDeadlineMs = 20_000;
/** The runtime lets calls finish for 10 s; whoever is still there after this is ended. */
const stopDeadlineMs = 12_000;
const firstRestartMs = 500;
const longestRestartMs = 30_000;
/** How long a fall waits for the signal that may have caused it. */
const hearMs = 50;
/** After this long without a fall, the next one counts as the first. */
const calmMs = 60_000;
/** How often a process that listens is looked after, and for how many looks it may give no sign of life. */
const lookMs = 1_000;
const mostSilentLooks = 10;

export type FleetEvent =
  | {
      readonly type: 'listening';
      readonly entry: CatalogueEntry;
      readonly port: number;
      readonly startMs: number;
    }
  | { readonly type: 'runs'; readonly entry: CatalogueEntry; readonly pid: number | null }
  | { readonly type: 'asked-to-stop'; readonly entry: CatalogueEntry }
  | { readonly type: 'trouble'; readonly entry: CatalogueEntry; readonly reason: string }
  | {
      readonly type: 'fell';
      readonly entry: CatalogueEntry;
      readonly reason: string;
      readonly restartInMs: number;
    }
  | {
      readonly type: 'gave-up';
      readonly entry: CatalogueEntry;
      readonly reason: string;
      readonly code: number;
    }
  | { readonly type: 'logged'; readonly entry: CatalogueEntry; readonly line: string };

export interface Fleet {
  /** Resolves when every process listens or has fallen, or when the fleet is stopped meanwhile. */
  readonly started: Promise<void>;
  /** Tries those again that were given up: a person may have mended what was wrong. */
  retry(): void;
  /** Lets calls finish, then ends all processes. */
  stop(): Promise<void>;
  /** Ends all processes at once. */
  kill(): void;
}

export interface FleetOptions {
  readonly dataRoot: string;
  readonly environment: Environment;
  readonly onEvent: (event: FleetEvent) => void;
}

/** Processes end by themselves when this one does, however it ends. */
export function startFleet(entries: readonly CatalogueEntry[], options: FleetOptions): Fleet {
  const children = entries.map((entry) => new SupervisedProcess(entry, options));
  const ofTier = (tier: CatalogueEntry['tier']) => children.filter(({ entry }) => entry.tier === tier);
  const startAll = async () => {
    for (const tier of tierOrder) await Promise.all(ofTier(tier).map(async (child) => child.start()));
  };
  return {
    started: startAll(),
    retry() {
      for (const child of children) child.retry();
    },
    async stop() {
      for (const child of children) child.restartNoMore();
      for (const tier of tierOrder.toReversed()) {
        await Promise.all(ofTier(tier).map(async (child) => child.stop()));
      }
    },
    kill() {
      for (const child of children) child.kill();
    },
  };
}

class SupervisedProcess {
  readonly entry: CatalogueEntry;
  readonly #environment: Environment;
  readonly #onEvent: (event: FleetEvent) => void;
  readonly #log: ProcessLog;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #restart: NodeJS.Timeout | undefined;
  #falls = 0;
  #stopping = false;
  #isGivenUp = false;

  constructor(entry: CatalogueEntry, { dataRoot, environment, onEvent }: FleetOptions) {
    this.entry = entry;
    this.#environment = environment;
    this.#onEvent = onEvent;
    const trouble = (reason: string) => onEvent({ type: 'trouble', entry, reason });
    this.#log = new ProcessLog(processLogFile(dataRoot, entry.name), trouble);
  }

  /** Resolves when the process listens, or has fallen. */
  async start(): Promise<void> {
    if (this.#stopping) return;
    this.#isGivenUp = false;
    const startedAt = performance.now();
    const [program = '', ...args] = serveCommand(this.entry.name);
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: this.#environment,
      // Out of the terminal's process group: Ctrl-C is for the supervisor, which decides on the order.
      detached: true,
    });
    this.#child = child;
    this.#onEvent({ type: 'runs', entry: this.entry, pid: child.pid ?? null });
    let lastWords = '';
    if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => this.#note(line));
    if (child.stderr) {
      createInterface({ input: child.stderr }).on('line', (line) => {
        lastWords ||= line;
        this.#note(line);
      });
    }
    const late = setTimeout(() => {
      lastWords = `did not come up within ${loadDeadlineMs / 1000} s`;
      child.kill('SIGKILL');
    }, loadDeadlineMs);
    let silentLooks = 0;
    let looks: NodeJS.Timeout | undefined;
    const look = () => {
      silentLooks += 1;
      if (silentLooks <= mostSilentLooks) return;
      lastWords = `hung: no sign of life for ${(mostSilentLooks * lookMs) / 1000} s`;
      child.kill('SIGKILL');
    };
    const listening = new Promise<void>((done) => {
      child.on('message', (message) => {
        // Its code is loaded; how long its store takes to open and check depends on what is in it.
        clearTimeout(late);
        silentLooks = 0;
        const { listening: port } = message as { listening?: number };
        if (port === undefined) return;
        // Looks are counted, not timed: while this process was held up itself, nobody fell silent.
        looks = setInterval(look, lookMs);
        const startMs = Math.round(performance.now() - startedAt);
        this.#onEvent({ type: 'listening', entry: this.entry, port, startMs });
        done();
      });
    });
    this.#ended = new Promise((done) => {
      // 'close' comes after the last line of output has been read.
      child.once('close', (code, signal) => {
        clearTimeout(late);
        clearInterval(looks);
        this.#fell(
          lastWords || `ended with ${signal ?? `exit code ${code}`}`,
          code,
          performance.now() - startedAt,
        );
        done();
      });
      child.once('error', (error) => {
        lastWords = error.message;
      });
    });
    await Promise.race([listening, this.#ended]);
  }

  #note(line: string): void {
    this.#log.append(line);
    this.#onEvent({ type: 'logged', entry: this.entry, line });
  }

  #fell(reason: string, code: number | null, livedMs: number): void {
    this.#child = undefined;
    this.#onEvent({ type: 'runs', entry: this.entry, pid: null });
    if (this.#stopping) return;
    // Nobody stops by itself: a person asked it to, and not the whole fleet.
    if (code === exitCodes.ok) {
      this.#restart = setTimeout(() => {
        this.#onEvent({ type: 'asked-to-stop', entry: this.entry });
        void this.start();
      }, hearMs);
      return;
    }
    // Nothing changes for these by trying again: a setting, or damaged data, waits for a person.
    if (code === exitCodes.config || code === exitCodes.damaged) {
      this.#isGivenUp = true;
      this.#onEvent({ type: 'gave-up', entry: this.entry, reason, code });
      return;
    }
    this.#falls = livedMs > calmMs ? 0 : this.#falls;
    const restartInMs = Math.min(firstRestartMs * 2 ** this.#falls, longestRestartMs);
    this.#falls += 1;
    // A Ctrl-C may reach a child before it has left the terminal's group; we hear of it in the same moment, and stop.
    this.#restart = setTimeout(() => {
      this.#onEvent({ type: 'fell', entry: this.entry, reason, restartInMs });
      this.#restart = setTimeout(() => void this.start(), restartInMs);
    }, hearMs);
  }

  retry(): void {
    if (this.#isGivenUp) void this.start();
  }

  /** From now on a fall is final. */
  restartNoMore(): void {
    this.#stopping = true;
    clearTimeout(this.#restart);
  }

  async stop(): Promise<void> {
    this.restartNoMore();
    this.#child?.kill('SIGTERM');
    const late = setTimeout(() => this.kill(), stopDeadlineMs);
    await this.#ended;
    clearTimeout(late);
    await this.#log[Symbol.asyncDispose]();
  }

  kill(): void {
    this.#stopping = true;
    this.#child?.kill('SIGKILL');
  }
}
