/** Whether a process grows with the calls it answers: for the suites `fleet` and `load`. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { fillMemory, searches, startMemory } from './memory-server.ts';
import { proportionalSetMb } from './memory-use.ts';
import { toolCall } from './requests.ts';
import type { BenchContext } from './section.ts';
import { sendTraffic } from './traffic.ts';

const connections = 16;
const steps = 5;
/** Lets what was under way end, and the collector of garbage come by. */
const restMs = 1_000;

export const growthCalls = {
  quick: 5_000,
  normal: 100_000,
  full: 1_000_000,
} as const satisfies Record<BenchContext['depth'], number>;

export interface Growth {
  readonly calls: number;
  /** After as many calls each. */
  readonly points: readonly { readonly calls: number; readonly memoryMb: number }[];
  /** From the first step on: what comes before is the compiler's. */
  readonly mbPerMillion: number;
  readonly failed: number;
}

export async function measureGrowth({ depth, progress }: BenchContext): Promise<Growth> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-growth-'));
  const memory = await startMemory(folder.path);
  await using server = memory.server;
  await fillMemory(memory, 1_000);
  const calls = growthCalls[depth];
  const points = [{ calls: 0, memoryMb: proportionalSetMb(server.pid) }];
  let failed = 0;
  for (let step = 1; step <= steps; step++) {
    const traffic = await sendTraffic({
      url: memory.url,
      connections,
      calls: calls / steps,
      requests: searches.map((search) => toolCall(memory.token, 'search_memories', search)),
      mustSay: '"memories"',
    });
    failed += traffic.failed;
    await sleep(restMs);
    const point = { calls: (calls / steps) * step, memoryMb: proportionalSetMb(server.pid) };
    points.push(point);
    progress(`growth: ${point.memoryMb.toFixed(1)} MB after ${point.calls} calls`);
  }
  const [, first, ...others] = points;
  const last = others.at(-1);
  const mbPerMillion =
    first && last ? ((last.memoryMb - first.memoryMb) / (last.calls - first.calls)) * 1e6 : Number.NaN;
  return { calls, points, mbPerMillion, failed };
}
