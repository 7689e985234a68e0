/** The real command line, as a person runs it, on ports and data of the test's own. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { vi } from 'vitest';

import { isolatedEnvironment } from '../../scripts/environment.ts';

const flotilla = fileURLToPath(new URL('../../scripts/flotilla', import.meta.url));

export type Settings = Readonly<Record<string, string>>;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, in the folder around its data. */
export function run(args: readonly string[], settings: Settings, input = '', uid?: number): Ended {
  const folder = settings['FLOTILLA_DATA'] && dirname(settings['FLOTILLA_DATA']);
  const { status, stdout, stderr } = spawnSync(flotilla, args, {
    env: isolatedEnvironment(settings),
    cwd: folder !== undefined && existsSync(folder) ? folder : tmpdir(),
    encoding: 'utf8',
    input,
    uid,
    timeout: 90_000,
  });
  return { code: status, stdout, stderr };
}

export class RunningFleet implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  output = '';

  /** `ownGroup`: as a terminal starts it, so that a signal can be sent to the whole group. */
  constructor(args: readonly string[], settings: Settings, { ownGroup = false } = {}) {
    this.#child = spawn(flotilla, ['start', ...args], {
      detached: ownGroup,
      env: isolatedEnvironment(settings),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (chunk: Buffer) => {
      this.output += chunk.toString('utf8');
    };
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
    // When the test is killed; what the fleet started ends with it.
    const abandon = () => this.#child.kill('SIGKILL');
    process.once('disconnect', abandon);
    this.#ended = new Promise((done) => {
      this.#child.once('close', (code) => {
        process.off('disconnect', abandon);
        done(code);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the output matches. @throws Error with the output when it does not come. */
  async said(pattern: RegExp): Promise<RegExpExecArray> {
    return vi.waitFor(
      () => {
        const match = pattern.exec(this.output);
        if (!match) throw new Error(`said no ${pattern}:\n${this.output}`);
        return match;
      },
      { timeout: 90_000, interval: 20 },
    );
  }

  /** Resolves with the exit code, `null` when a signal ended it. */
  async ended(): Promise<number | null> {
    return this.#ended;
  }

  /** As Ctrl-C does. */
  async interrupt(): Promise<number | null> {
    this.#child.kill('SIGINT');
    return this.#ended;
  }

  /** As when its terminal is closed, or a pipe ends. */
  readNoMore(): void {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.interrupt();
  }
}

/** The processes whose environment names this data folder: what a fleet left behind. */
export function processesOf(dataRoot: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && environmentOf(pid).includes(`FLOTILLA_DATA=${dataRoot}`));
}

function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return []; // it ended meanwhile, or is not ours
  }
}
