/** Three agents share a repository, and one of them is killed. Uses the fleet that runs, or starts one for as long as this takes. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';

import { parseHostSettings } from '#runtime/process/settings.ts';

import { readEnvironment } from '../../scripts/environment.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { fleetOn } from '../../scripts/running-fleet.ts';
import { connect, nameOf, Refusal, type Word } from './fleet.ts';

const services = ['hub', 'filesystem', 'git'] as const;
const run = randomBytes(3).toString('hex');
const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const startedAtMs = performance.now();

const colors = { lead: 'cyan', ada: 'magenta', ben: 'green' } as const;
type Who = keyof typeof colors;

function show(who: Who | '', text: string): void {
  const seconds = ((performance.now() - startedAtMs) / 1_000).toFixed(1).padStart(5);
  const name = who.padEnd(5);
  process.stdout.write(
    `${styleText('dim', `${seconds} s`)}  ${who === '' ? name : styleText(colors[who], name)} ${text}\n`,
  );
}

/** An agent in a process of its own. Everything that it does goes through the fleet. */
class Agent implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #who: Who;
  readonly #ended: Promise<unknown>;
  readonly #stages = new Set<string>();
  #onStage = () => {};

  constructor(who: Who, args: readonly string[]) {
    this.#who = who;
    const [script, ...own] = who === 'lead' ? ['lead.ts'] : ['writer.ts', who];
    this.#child = fork(fileOf(script), [...own, ...args]);
    this.#ended = once(this.#child, 'exit');
    this.#child.on('message', ({ text, stage }: Word) => {
      if (text !== undefined) show(who, text);
      if (stage !== undefined) this.#stages.add(stage);
      this.#onStage();
    });
  }

  /** @throws Error when it ends before. */
  async reaches(...stages: readonly NonNullable<Word['stage']>[]): Promise<void> {
    const there = new Promise<void>((done) => {
      this.#onStage = () => {
        if (stages.some((stage) => this.#stages.has(stage))) done();
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

/** A fleet of three services, with data and ports of its own. */
async function startFleet(folder: string): Promise<AsyncDisposable> {
  const root = join(folder, 'work');
  mkdirSync(root);
  Object.assign(process.env, {
    FLOTILLA_DATA: join(folder, 'data'),
    FLOTILLA_PORT_OFFSET: String(await freePortOffset()),
  });
  delete process.env['FLOTILLA_TOKEN'];
  const flotilla = fileOf('../../scripts/flotilla');
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

/** Where the services may work: in the first of the folders that the operator has named. */
async function makeRepository(): Promise<string> {
  await using filesystem = await connect('filesystem');
  await using git = await connect('git');
  const { content } = await filesystem.call('list_allowed_directories');
  const [root] = /^\/.*$/m.exec(content) ?? [];
  if (root === undefined) throw new Error('The fleet has no folder to work in: start it with --root FOLDER.');
  const repository = join(root, `three-agents-${run}`);
  await git.call('git_init', { repo_path: repository });
  const files = ['guide.md', 'questions.md', 'news.md'];
  for (const file of files) writeFileSync(join(repository, file), `# ${file}\n`);
  await git.call('git_commit', {
    repo_path: repository,
    message: 'Empty chapters',
    files,
    author: 'lead <lead@example.com>',
  });
  return repository;
}

async function leaveNothing(repository: string): Promise<void> {
  await using hub = await connect('hub');
  for (const who of Object.keys(colors))
    await hub.call('unregister_agent', { name: nameOf(who, run) }).catch((error: unknown) => {
      if (!(error instanceof Refusal) || error.code !== 'not_found') throw error;
    });
  rmSync(repository, { recursive: true, force: true });
}

async function play(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const running = fleetOn(parseHostSettings(readEnvironment()).FLOTILLA_DATA);
  if (running && services.every((name) => running.names.includes(name))) show('', 'The fleet is running.');
  else {
    show('', 'No fleet is running here: one is started, with data of its own.');
    const folder = mkdtempSync(join(tmpdir(), 'flotilla-example-'));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    stack.use(await startFleet(folder));
  }
  const repository = await makeRepository();
  stack.defer(async () => leaveNothing(repository));
  show('', `Three agents share ${repository}`);

  const lead = stack.use(new Agent('lead', [run, repository]));
  const ada = stack.use(new Agent('ada', [run, repository]));
  const ben = stack.use(new Agent('ben', [run, repository]));
  const [victim, name] = await Promise.race([
    ada.reaches('half written').then(() => [ada, 'ada'] as const),
    ben.reaches('half written').then(() => [ben, 'ben'] as const),
  ]);
  await victim.kill();
  show(
    '',
    styleText(
      'red',
      `✗ ${name} is killed in the middle of guide.md. The hub waits for a sign of life of it.`,
    ),
  );
  await lead.reaches('done');
  const again = stack.use(new Agent(name, [run, repository, 'catch-up']));
  await again.reaches('caught up');
  show('', styleText('green', '✓ Four tasks, one writer killed, nothing lost.'));
}

/** Ctrl-C reaches the agents and the fleet too: when they have ended, what they leave is tidied away. */
let isInterrupted = false;
process.on('SIGINT', () => {
  isInterrupted = true;
});
try {
  await play();
} catch (error) {
  if (!isInterrupted) process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = isInterrupted ? 130 : 1;
}
