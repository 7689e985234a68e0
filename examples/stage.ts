/** What the examples play on: a fleet, agents in processes of their own, and a terminal that shows who says what. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';

import type { ProcessName } from '#config/catalogue.ts';
import { parseHostSettings } from '#runtime/process/settings.ts';

import { readEnvironment } from '../scripts/environment.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { fleetOn } from '../scripts/running-fleet.ts';
import type { Word } from './fleet.ts';

type Color = 'cyan' | 'magenta' | 'green';

export type Show = (who: string, text: string) => void;

/** @param colors of each who speaks; whoever is none of them is the stage itself. */
export function showing(colors: Readonly<Record<string, Color>>): Show {
  const startedAtMs = performance.now();
  const width = Math.max(...Object.keys(colors).map((who) => who.length)) + 1;
  return (who, text) => {
    const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1).padStart(5);
    const color = colors[who];
    const name = who.padEnd(width);
    process.stdout.write(
      `${styleText('dim', `${seconds} s`)}  ${color === undefined ? name : styleText(color, name)} ${text}\n`,
    );
  };
}

/** An agent in a process of its own. Everything that it does goes through the fleet. */
export class Agent implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #who: string;
  readonly #ended: Promise<unknown>;
  readonly #stages = new Set<string>();
  #onStage = () => {};

  constructor(who: string, script: URL, args: readonly string[], show: Show) {
    this.#who = who;
    this.#child = fork(fileURLToPath(script), args);
    this.#ended = once(this.#child, 'exit');
    this.#child.on('message', ({ text, stage }: Word) => {
      if (text !== undefined) show(who, text);
      if (stage !== undefined) this.#stages.add(stage);
      this.#onStage();
    });
  }

  /** @throws Error when it ends before. */
  async reaches(stage: string): Promise<void> {
    const there = new Promise<void>((done) => {
      this.#onStage = () => {
        if (this.#stages.has(stage)) done();
      };
      this.#onStage();
    });
    const gone = this.#ended.then(() => {
      throw new Error(`${this.#who} has ended: its words are above.`);
    });
    await Promise.race([there, gone]);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A fleet of a few services, with data and ports of its own. */
async function startFleet(folder: string, services: readonly ProcessName[]): Promise<AsyncDisposable> {
  const root = join(folder, 'work');
  mkdirSync(root);
  Object.assign(process.env, {
    FLOTILLA_DATA: join(folder, 'data'),
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
  });
  delete process.env['FLOTILLA_TOKEN'];
  const flotilla = fileURLToPath(new URL('../scripts/flotilla', import.meta.url));
  const child = spawn(flotilla, ['start', '--only', services.join(','), '--root', root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<void>((done, fail) => {
    lines.on('line', (line) => {
      if (/^Stop\s/.test(line)) done();
    });
    void ended.then(() => fail(new Error('The fleet did not start: flotilla doctor says what is missing.')));
  });
  await ready;
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGINT');
      await ended;
    },
  };
}

/** Uses the fleet that runs, if it has these; else starts one for as long as it takes. */
async function haveFleet(
  services: readonly ProcessName[],
  show: Show,
  stack: AsyncDisposableStack,
): Promise<void> {
  const running = fleetOn(parseHostSettings(readEnvironment()).FLOTILLA_DATA);
  if (running && services.every((name) => running.names.includes(name))) {
    show('', 'The fleet is running.');
    return;
  }
  show('', 'No fleet is running here: one is started, with data of its own.');
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-example-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  stack.use(await startFleet(folder, services));
}

/** Plays it on a fleet, and leaves nothing behind. */
export async function stage(
  services: readonly ProcessName[],
  show: Show,
  play: (stack: AsyncDisposableStack) => Promise<void>,
): Promise<void> {
  /** Ctrl-C reaches the agents and the fleet too: when they have ended, what they leave is tidied away. */
  let isInterrupted = false;
  process.on('SIGINT', () => {
    isInterrupted = true;
  });
  try {
    await using stack = new AsyncDisposableStack();
    await haveFleet(services, show, stack);
    await play(stack);
  } catch (error) {
    if (!isInterrupted) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = isInterrupted ? 130 : 1;
  }
}
