/** The processes of a measurement: each alone, on a core of its own where there is one, ended with the bench. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';

import { isolatedEnvironment } from '../environment.ts';

/** The server under load gets a core, and what loads it another, so that neither takes time from the other. */
export const serverCpu = 0;
export const loadCpu = 1;

/** Whether processes can be given cores of their own here. */
export const pins =
  availableParallelism() > 1 &&
  [serverCpu, loadCpu].every((cpu) => spawnSync('taskset', ['-c', `${cpu}`, 'true']).status === 0);

export const pinMethod = pins
  ? `Servers run on CPU ${serverCpu} and the load generator on CPU ${loadCpu} (taskset).`
  : 'Server and load generator share the cores: there is no taskset, or only one core.';

export const interruptions = ['SIGINT', 'SIGTERM'] as const;

interface ChildOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly cpu?: number;
  /** Where stdout goes; nowhere by default. */
  readonly logFile?: string;
}

export class Child implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(command: readonly string[], { settings = {}, cpu, logFile }: ChildOptions = {}) {
    const pinned = pins && cpu !== undefined ? ['taskset', '-c', String(cpu), ...command] : command;
    const [program = '', ...args] = pinned;
    const log = logFile === undefined ? undefined : openSync(logFile, 'a');
    this.#process = spawn(program, args, {
      stdio: ['ignore', log ?? 'ignore', 'inherit', 'ipc'],
      env: isolatedEnvironment(settings),
    });
    if (log !== undefined) closeSync(log);
    this.#ended = once(this.#process, 'exit');
    // Whoever interrupts the bench ends what is measured; the measurement then fails, and cleans up.
    for (const signal of interruptions) process.once(signal, this.#end);
  }

  readonly #end = () => {
    this.#process.kill('SIGTERM');
  };

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  send(message: object): void {
    this.#process.send(message);
  }

  /** The first message that has this property. @throws Error when the process ends without one. */
  async messageWith(property: string): Promise<unknown> {
    const arrived = new Promise<unknown>((done) => {
      this.#process.on('message', (message: object) => {
        if (property in message) done(message);
      });
    });
    const gone = this.#ended.then(() => {
      throw new Error(`${this.#process.spawnargs.join(' ')} ended before it answered`);
    });
    return Promise.race([arrived, gone]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const signal of interruptions) process.off(signal, this.#end);
    this.#end();
    await this.#ended;
  }
}

/** A server that says `{ listening: port }`, as scripts/serve.ts and the rungs do. */
export class ServerChild extends Child {
  async listening(): Promise<string> {
    const { listening } = (await this.messageWith('listening')) as { listening: number };
    return `http://127.0.0.1:${listening}`;
  }
}
