/** What the sandbox costs a computation: the same Python with it and without, in turns, with the processor time of what watches it. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { run, type Limits } from '#runtime/launcher.ts';
import { pathOf, programsAlone, viewOf } from '#runtime/sandbox.ts';

import { collatz } from '../../services/python/bench.ts';
import type { BenchContext } from './section.ts';
import { median } from './statistics.ts';

const computation = `${collatz}
collatz(200_000)
import time
print(time.process_time())`;

const rounds = { quick: 3, normal: 7, full: 15 };
const most = (count: number) => ({ most: count, policy: 'hard' as const });
const limits: Limits = {
  memoryBytes: most(512_000_000),
  cpuSeconds: most(600),
  processes: most(64),
  outputBytes: most(1_000_000),
  diskBytes: most(10_000_000),
};

/** @returns in percent; negative where the noise is larger than the cost. */
export async function measureIsolation({
  depth,
}: BenchContext): Promise<{ percent: number; rounds: number }> {
  const ratios: number[] = [];
  for (let round = 0; round < rounds[depth]; round += 1) {
    const isFirst = round % 2 === 0;
    const before = isFirst ? await bareSeconds() : 0;
    const inside = await secondsInSandbox();
    ratios.push(inside / (isFirst ? before : await bareSeconds()));
  }
  return { percent: 100 * (median(ratios) - 1), rounds: ratios.length };
}

const python = () => [pathOf('python3') ?? 'python3', '-I', '-S', '-c', computation] as const;

async function bareSeconds(): Promise<number> {
  const [file, ...args] = python();
  const { stdout } = await promisify(execFile)(file, args, { env: {} });
  return Number(stdout);
}

/** Of the program, from before it was Python, and of this process, which starts and watches it. */
async function secondsInSandbox(): Promise<number> {
  const before = process.cpuUsage();
  const around = { cwd: '/', env: {}, view: viewOf(programsAlone), folder: '/scratch' };
  const { exit, stdout, stderr } = await run('sandbox', python(), limits, around);
  if (exit.code !== 0) throw new Error(`The computation failed: ${stderr}`);
  const { user, system } = process.cpuUsage(before);
  return Number(stdout) + (user + system) / 1e6;
}
