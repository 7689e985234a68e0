/** `npm test`: the gate (types, lint, format, unused code, generated files), then all tests. `--gate` stops before the tests. */
import { spawnSync } from 'node:child_process';
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

let failed = 0;
for (const { name, command } of gate) {
  const startedAt = performance.now();
  const [program, ...args] = command;
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: home, encoding: 'utf8' });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${status === 0 ? '✓' : '✗'} ${name} (${seconds} s)\n`);
  if (status !== 0) {
    failed += 1;
    process.stdout.write(`${stdout}${stderr}${error ? `${error.message}: run "npm ci" first\n` : ''}`);
  }
}
if (!process.argv.includes('--gate')) {
  // As in scripts/flotilla: the many processes of the tests compile the same code once.
  const env = { NODE_COMPILE_CACHE: join(home, 'node_modules/.cache/flotilla'), ...process.env };
  const { status } = spawnSync('vitest', ['run'], { cwd: home, env, stdio: 'inherit' });
  if (status !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
