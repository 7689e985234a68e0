/** `npm test`: the gate (types, lint, format, unused code, generated files) beside all tests. `--gate` leaves the tests out. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('../', import.meta.url));

const gate = [
  { name: 'types', command: ['tsc', '-p', '.'] },
  { name: 'lint', command: ['oxlint', '--type-aware', '--deny-warnings'] },
  { name: 'format', command: ['oxfmt', '--check', '.'] },
  { name: 'unused code', command: ['knip'] },
  { name: 'generated files', command: ['scripts/flotilla', 'generate', '--check'] },
] as const;

interface LockedPackage {
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
}

/** An npm that runs on an old Node leaves out the tools' binaries, which that Node could not run; the pinned one can. */
function leftOut(): string[] {
  const { packages } = JSON.parse(readFileSync(join(home, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  const isForHere = ({ optional, os, cpu, libc }: LockedPackage) =>
    optional && os?.includes('linux') && cpu?.includes(process.arch) && (libc ?? ['glibc']).includes('glibc');
  return Object.entries(packages)
    .filter(([path, locked]) => isForHere(locked) && !existsSync(join(home, path)))
    .map(([path]) => path);
}

const missing = leftOut();
if (missing.length > 0) {
  process.stdout.write(`npm has left out ${missing.length} packages: "npm ci" again, with the pinned Node\n`);
  spawnSync('npm', ['ci'], { cwd: home, stdio: 'inherit' });
}

interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

async function outcomeOf(program: string, args: readonly string[]): Promise<Outcome> {
  const child = spawn(program, args, { cwd: home, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  return new Promise((done) => {
    child.once('error', ({ message }) => done({ status: null, output: `${message}: run "npm ci" first\n` }));
    child.once('close', (status) => done({ status, output }));
  });
}

/** Ctrl-C reaches all that was started too: it is waited for, and no more is started. */
let isInterrupted = false;
process.on('SIGINT', () => {
  isInterrupted = true;
});

/** @returns the names of what failed. */
async function gateFailures(): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, command } of gate) {
    if (isInterrupted) break;
    const startedAt = performance.now();
    const [program, ...args] = command;
    const { status, output } = await outcomeOf(program, args);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(`${status === 0 ? '✓' : '✗'} ${name} (${seconds} s)\n${status === 0 ? '' : output}`);
    if (status !== 0) failures.push(name);
  }
  return failures;
}

async function testStatus(): Promise<number | null> {
  // As in scripts/flotilla: the many processes of the tests compile the same code once.
  const env = { NODE_COMPILE_CACHE: join(home, 'node_modules/.cache/flotilla'), ...process.env };
  const vitest = spawn('vitest', ['run'], { cwd: home, env, stdio: 'inherit' });
  return new Promise((done) => {
    vitest.once('error', () => done(null));
    vitest.once('close', done);
  });
}

const isGateAlone = process.argv.includes('--gate');
// The gate has the time in which tests wait.
const [failures, status] = await Promise.all([gateFailures(), isGateAlone ? 0 : testStatus()]);
if (failures.length > 0 && !isGateAlone)
  process.stderr.write(`Not passed, see above: ${failures.join(', ')}\n`);
process.exitCode = failures.length === 0 && status === 0 ? 0 : 1;
