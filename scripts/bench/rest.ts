/** Suite `rest`: a task read by REST through the gateway, beside the same call of MCP, at a given rate. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Workload } from '#runtime/workload.ts';

import { cpuSecondsOf } from './cpu-time.ts';
import { startGateway } from './gateway.ts';
import { toolCall } from './requests.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { median } from './statistics.ts';
import { sendTraffic, type TrafficOrder } from './traffic.ts';
import { startWorkload } from './workload-server.ts';

const lengths = {
  quick: { rounds: 1, seconds: 4 },
  normal: { rounds: 5, seconds: 10 },
  full: { rounds: 9, seconds: 20 },
} as const;
const perSecond = 500;
const connections = 16;
const tasks = 200;
/** What REST may add to the same call of MCP, at the median. */
const goalMs = 0.5;

/** Tasks to read. */
const workload: Workload<readonly string[]> = {
  async seed({ call }) {
    const made = await call('create_tasks', {
      tasks: Array.from({ length: tasks }, (_, at) => ({ title: `Task ${at}`, description: 'Read often.' })),
    });
    return (made as { tasks: { task_id: string }[] }).tasks.map(({ task_id: id }) => id);
  },
  calls: [
    {
      title: 'get_task',
      tool: 'get_task',
      kind: 'small-read',
      arguments: (number, ids) => ({ task_id: ids[number % ids.length] }),
    },
  ],
  heavy: [],
};

export async function rest({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  const { rounds, seconds } = lengths[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-rest-'));
  progress('rest: seeding');
  await using server = await startWorkload('orchestrator', workload, folder.path, { isPinned: false });
  await using gateway = await startGateway(server, folder.path);
  const ids = server.state as readonly string[];
  const authorization = `Bearer ${server.token}`;
  const byRest = ids.map((id) => ({ path: `/api/v1/tasks/${id}`, headers: { authorization } }));
  const byMcp = ids.map((id) => toolCall(server.token, 'get_task', { task_id: id }));
  const ways: readonly {
    readonly name: string;
    readonly url: string;
    readonly requests: TrafficOrder['requests'];
  }[] = [
    { name: 'GET /api/v1/tasks/{task_id}, through the gateway', url: gateway.url, requests: byRest },
    { name: 'get_task of MCP, through the gateway', url: `${gateway.url}/mcp`, requests: byMcp },
    { name: 'get_task of MCP, at the orchestrator', url: `${server.url}/mcp`, requests: byMcp },
  ];
  const seen = ways.map(() => [] as { p50Ms: number; p99Ms: number; rate: number; cpuMicros: number }[]);
  let failed = 0;
  for (let round = 0; round <= rounds; round += 1) {
    for (const [at, { name, url, requests }] of ways.entries()) {
      const cpuBefore = cpuSecondsOf(gateway.pid);
      // oxlint-disable-next-line no-await-in-loop -- they would take time from each other
      const traffic = await sendTraffic({ url, connections, seconds, requests, perSecond, mustSay: 'Task ' });
      const cpuMicros = ((cpuSecondsOf(gateway.pid) - cpuBefore) / traffic.calls) * 1_000_000;
      failed += traffic.failed;
      const { p50Ms, p99Ms, callsPerSecond: rate } = traffic;
      if (round > 0) seen[at]?.push({ p50Ms, p99Ms, rate, cpuMicros });
      progress(`rest: ${name}: p50 ${p50Ms} ms, p99 ${p99Ms} ms at ${Math.round(rate)}/s`);
    }
  }
  const middles = seen.map((all) => ({
    rate: median(all.map((one) => one.rate)),
    p50Ms: median(all.map((one) => one.p50Ms)),
    p99Ms: median(all.map((one) => one.p99Ms)),
    cpuMicros: median(all.map((one) => one.cpuMicros)),
  }));
  const addedMs = (middles[0]?.p50Ms ?? 0) - (middles[1]?.p50Ms ?? 0);
  const rows: Cell[][] = ways.map(({ name }, at) => [
    name,
    middles[at]?.rate ?? null,
    middles[at]?.p50Ms ?? null,
    middles[at]?.p99Ms ?? null,
    middles[at]?.cpuMicros ?? null,
    at === 0 ? (addedMs <= goalMs ? 'met' : 'missed') : '',
  ]);
  return [
    {
      title: 'REST at a given rate',
      method:
        `${perSecond} requests a second on ${connections} connections, of ${tasks} tasks in turn; ${rounds} rounds of ${seconds} s each way after one that does not count, medians of ` +
        `the rounds. Orchestrator, gateway and load generator share the cores. Goal: at most ${goalMs} ms more at the median than the same call of MCP. CPU is the gateway's own.`,
      columns: [
        { name: 'way' },
        { name: 'calls/s' },
        { name: 'p50 ms', digits: 3 },
        { name: 'p99 ms', digits: 3 },
        { name: 'CPU µs a call' },
        { name: `goal ${goalMs} ms` },
      ],
      rows,
      chart: { column: 2 },
      ...(failed > 0 && { faults: [`${failed} requests failed`] }),
    },
  ];
}
