/** Suite `gateway`: real calls to a service, and the same through the gateway in front of it. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { entryOf } from '#config/catalogue.ts';
import type { WorkloadCall } from '#runtime/workload.ts';

import { serveCommand } from '../serve-command.ts';
import { ServerChild } from './child.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import { ask, requestOf } from './requests.ts';
import { requestsFor } from './tools.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { median } from './statistics.ts';
import { sendTraffic, type Traffic, type TrafficRequest } from './traffic.ts';
import { startWorkload, workloads, type WorkloadServer } from './workload-server.ts';

const paces = {
  quick: { rounds: 2, seconds: 1 },
  normal: { rounds: 5, seconds: 3 },
  full: { rounds: 9, seconds: 5 },
} as const;

/** Small and large reads, and durable writes, without work of their own that would hide what the gateway takes. */
const measuredServices = ['memory', 'context', 'filesystem'];
const connections = 16;
const settleMs = 500;
/** Writes of one round, different from those of the others. */
const different = 2_000;
/** At least so much of the direct rate, and no more time added to the median of one call. */
const goals = { rate: 0.5, addedMs: 0.3 };

export async function gatewayCalls({ depth, services, progress }: BenchContext): Promise<readonly Section[]> {
  const { rounds, seconds } = paces[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-gateway-'));
  const rows: Cell[][] = [];
  const faults: string[] = [];
  for (const [name, workload] of await workloads(services ?? measuredServices)) {
    progress(`gateway: ${name}, seeding`);
    // oxlint-disable-next-line no-await-in-loop -- one after the other: they would take time from each other
    await using server = await startWorkload(name, workload, folder.path, { isPinned: false });
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await using gateway = await startGateway(server, folder.path);
    for (const call of workload.calls) {
      // oxlint-disable-next-line no-await-in-loop -- likewise
      const row = await compare(server, gateway, call, rounds, seconds);
      if (row.failed > 0) faults.push(`${name}: ${call.title}: ${row.failed} calls failed`);
      rows.push([`${name}: ${call.title}`, ...row.cells]);
      progress(`gateway: ${name}, ${call.title}: ${row.share.toFixed(2)} of direct`);
    }
  }
  return [
    {
      title: 'Through the gateway',
      method:
        `Each call alone on one connection, for its median, and on ${connections} connections, for its rate: to the service and through the ` +
        `gateway, in turns; ${rounds} rounds of ${seconds} s each after one that does not count; medians of the rounds and of the ratios within each. Service, gateway and ` +
        `load generator share the cores. Goals: ${goals.rate} of the direct rate, and at most ${goals.addedMs} ms added to the median. CPU is the gateway's own.`,
      columns: [
        { name: 'call' },
        { name: 'direct calls/s' },
        { name: 'gateway calls/s' },
        { name: 'of direct', digits: 2 },
        { name: `goal ${goals.rate}` },
        { name: 'direct p50 ms', digits: 3 },
        { name: 'gateway p50 ms', digits: 3 },
        { name: 'added ms', digits: 3 },
        { name: `goal ${goals.addedMs} ms` },
        { name: 'CPU µs a call' },
      ],
      rows,
      chart: { column: 3 },
      faults,
    },
  ];
}

export interface Front extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
}

export async function startGateway(
  server: Pick<WorkloadServer, 'name' | 'url' | 'token'>,
  parent: string,
): Promise<Front> {
  const offset = Number(new URL(server.url).port) - (entryOf(server.name)?.port ?? 0);
  const child = new ServerChild(serveCommand('gateway'), {
    settings: {
      FLOTILLA_DATA: join(parent, server.name, 'data'),
      FLOTILLA_PORT_OFFSET: String(offset),
      FLOTILLA_GATEWAY_EXPECT: server.name,
    },
    logFile: join(parent, 'gateway.log'),
  });
  const url = await child.listening();
  // Lists wait until the service has been seen.
  await ask(url, requestOf(server.token, 'tools/list'));
  return { url, pid: child.pid, [Symbol.asyncDispose]: async () => child[Symbol.asyncDispose]() };
}

async function compare(
  server: WorkloadServer,
  gateway: Front,
  call: WorkloadCall<unknown>,
  rounds: number,
  seconds: number,
): Promise<{ readonly share: number; readonly failed: number; readonly cells: Cell[] }> {
  const load = async (url: string, requests: readonly TrafficRequest[], count: number): Promise<Traffic> =>
    sendTraffic({ url: `${url}/mcp`, connections: count, seconds, requests });
  const measured: {
    direct: Traffic;
    through: Traffic;
    alone: Traffic;
    aloneThrough: Traffic;
    cpuMicros: number;
  }[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const requests = (part: number) => requestsFor(server, call, (4 * round + part) * different);
    /* oxlint-disable no-await-in-loop -- they would take time from each other */
    const alone = await load(server.url, requests(0), 1);
    const aloneThrough = await load(gateway.url, requests(1), 1);
    const direct = await load(server.url, requests(2), connections);
    const cpuBefore = cpuSecondsOf(gateway.pid);
    const through = await load(gateway.url, requests(3), connections);
    const cpuMicros = ((cpuSecondsOf(gateway.pid) - cpuBefore) / through.calls) * 1_000_000;
    // What the last load has left behind, such as records that are synced, is no part of the next round.
    await sleep(settleMs);
    /* oxlint-enable no-await-in-loop */
    if (round > 0) measured.push({ direct, through, alone, aloneThrough, cpuMicros });
  }
  const middle = (figure: (one: (typeof measured)[number]) => number) => median(measured.map(figure));
  const share = middle(({ direct, through }) => through.callsPerSecond / direct.callsPerSecond);
  const addedMs = middle(({ alone, aloneThrough }) => aloneThrough.p50Ms - alone.p50Ms);
  const failed = measured.reduce(
    (sum, { direct, through, alone, aloneThrough }) =>
      sum + direct.failed + through.failed + alone.failed + aloneThrough.failed,
    0,
  );
  const cells = [
    middle(({ direct }) => direct.callsPerSecond),
    middle(({ through }) => through.callsPerSecond),
    share,
    share >= goals.rate ? 'met' : 'missed',
    middle(({ alone }) => alone.p50Ms),
    middle(({ aloneThrough }) => aloneThrough.p50Ms),
    addedMs,
    addedMs <= goals.addedMs ? 'met' : 'missed',
    middle(({ cpuMicros }) => cpuMicros),
  ];
  return { share, failed, cells };
}
