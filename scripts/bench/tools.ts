/** Suite `tools`: the calls that clients make most, over data of a realistic size, beside the echo and bare durable writes. */
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ensureFirstToken, firstTokenFile } from '#runtime/access/tokens.ts';
import type { WorkloadCall } from '#runtime/workload.ts';

import { pinMethod, serverCpu, ServerChild } from './child.ts';
import { connections } from './climb.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import { toolCall } from './requests.ts';
import { spoken } from './rungs.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { median } from './statistics.ts';
import { sendTraffic, type Traffic, type TrafficRequest } from './traffic.ts';
import { startWorkload, workloads, type WorkloadServer } from './workload-server.ts';

const paces = {
  quick: { rounds: 1, seconds: 1 },
  normal: { rounds: 3, seconds: 3 },
  full: { rounds: 5, seconds: 5 },
} as const;

/** Calls that differ from each other: more than are sent in a round. */
const different = 2_000;

/** Code is compiled well only after it has run often, and the bases have: small calls are warmed up by number, not by time alone. */
const warmCalls = 20_000;
const mostWarmRounds = 10;

interface Base {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  readonly request: TrafficRequest;
}

/** What a call is held to: at least so much of the rate of its base. */
const goal = 0.5;

export async function toolCalls({ depth, services, progress }: BenchContext): Promise<readonly Section[]> {
  const pace = paces[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-tools-'));
  await using bases = await startBases(folder.path);
  const rows: Cell[][] = [];
  const faults: string[] = [];
  for (const [name, workload] of await workloads(services)) {
    progress(`tools: ${name}, seeding`);
    await using server = await startWorkload(name, workload, folder.path);
    for (const call of workload.calls) {
      const measured = await rounds(server, call, bases.of[call.kind], pace);
      const failed = measured.reduce((sum, { traffic }) => sum + traffic.failed, 0);
      if (failed > 0) faults.push(`${name}: ${call.title}: ${failed} calls failed`);
      const middle = (figure: (one: Round) => number) => median(measured.map(figure));
      const ratio = ratioOf(measured);
      rows.push([
        `${name}: ${call.title}`,
        middle(({ traffic }) => traffic.callsPerSecond),
        bases.of[call.kind]?.name ?? '',
        ratio,
        ratio === null ? '' : failed > 0 ? 'failed' : ratio >= goal ? 'met' : 'missed',
        middle(({ cpuMicros }) => cpuMicros),
        middle(({ traffic }) => traffic.p50Ms),
        middle(({ traffic }) => traffic.p99Ms),
      ]);
      progress(
        `tools: ${name}, ${call.title}: ${Math.round(middle(({ traffic }) => traffic.callsPerSecond))} calls/s`,
      );
    }
  }
  return [
    {
      title: 'Real calls',
      method:
        `${connections} connections, one call at a time on each; ${pace.rounds} rounds of ${pace.seconds} s, each right ` +
        `after a round of its base, after a warm-up of one round, and of more until a small call was answered ${warmCalls} times (at most ${mostWarmRounds}); medians, of ratios too. ${pinMethod} Each service holds what its bench.ts seeds. Small reads are held to ` +
        `the echo of Flotilla (the ladder's last row), small durable writes to one insert of better-sqlite3 with the same ` +
        `durability behind bare node:http, and the writing of a file to what makes a file durable there: synced under another name, ` +
        `renamed, and its folder synced (an insert into a log that is open already waits for the disk once, a new file twice, and for its folder). At least ${goal} of the base's rate. CPU is the server's own, all of its threads, without programs that it starts.`,
      columns: [
        { name: 'call' },
        { name: 'calls/s' },
        { name: 'base' },
        { name: 'of base', digits: 2 },
        { name: `goal ${goal}` },
        { name: 'CPU µs a call' },
        { name: 'p50 ms', digits: 2 },
        { name: 'p99 ms', digits: 2 },
      ],
      rows,
      chart: { column: 1 },
      faults,
    },
  ];
}

/**
 * For a gate, what the base of each of these calls costs (of a large one, the echo) as a share of what the call costs: in
 * processor time, which a busy machine changes less than rates. Takes 3 s a call, and the seeding.
 */
export async function sharesOfBase(
  name: string,
  tools: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-tools-'));
  await using bases = await startBases(folder.path);
  const workload = (await workloads([name])).get(name);
  if (!workload) throw new TypeError(`No workload of ${name}`);
  await using server = await startWorkload(name, workload, folder.path);
  const shares: Record<string, number> = {};
  for (const call of workload.calls.filter(({ tool }) => tools.includes(tool))) {
    const base = bases.of[call.kind] ?? bases.of['small-read'];
    await load(server.url, requestsFor(server, call, 0), 1);
    await load(base.url, [base.request], 1);
    const cost = await underLoad(server, requestsFor(server, call, different), 0.5);
    shares[call.tool] = (await underLoad(base, [base.request], 0.5)).cpuMicros / cost.cpuMicros;
  }
  return shares;
}

async function underLoad(
  { url, pid }: Pick<Base, 'url' | 'pid'>,
  requests: readonly TrafficRequest[],
  seconds: number,
): Promise<Pick<Round, 'traffic' | 'cpuMicros'>> {
  const cpuBefore = cpuSecondsOf(pid);
  const traffic = await load(url, requests, seconds);
  return { traffic, cpuMicros: ((cpuSecondsOf(pid) - cpuBefore) / traffic.calls) * 1_000_000 };
}

interface Round {
  readonly traffic: Traffic;
  readonly cpuMicros: number;
  /** Of the base. */
  readonly ratio: number | null;
}

async function rounds(
  server: WorkloadServer,
  call: WorkloadCall<unknown>,
  base: Base | undefined,
  pace: (typeof paces)[keyof typeof paces],
): Promise<Round[]> {
  const measured: Round[] = [];
  let warmed = 0;
  for (let round = 0; measured.length < pace.rounds; round += 1) {
    const isWarm = round > 0 && (!base || warmed >= warmCalls || round >= mostWarmRounds);
    const under = base && (await load(base.url, [base.request], pace.seconds));
    const requests = requestsFor(server, call, round * different);
    const one = await underLoad(server, requests, pace.seconds);
    const ratio = under ? one.traffic.callsPerSecond / under.callsPerSecond : null;
    if (isWarm) measured.push({ ...one, ratio });
    warmed += one.traffic.calls;
  }
  return measured;
}

function ratioOf(measured: readonly Round[]): number | null {
  const ratios = measured.flatMap(({ ratio }) => ratio ?? []);
  return ratios.length > 0 ? median(ratios) : null;
}

async function load(url: string, requests: readonly TrafficRequest[], seconds: number): Promise<Traffic> {
  return sendTraffic({ url, connections, seconds, requests });
}

/** Writes are different each time, also from those of earlier rounds. */
export function requestsFor(
  { token, state }: WorkloadServer,
  { tool, kind, arguments: args }: WorkloadCall<unknown>,
  from: number,
): TrafficRequest[] {
  const count = kind.endsWith('write') ? different : 50;
  return Array.from({ length: count }, (_, index) => toolCall(token, tool, args(from + index, state)));
}

async function startBases(folder: string) {
  await ensureFirstToken(folder);
  const token = readFileSync(firstTokenFile(folder), 'utf8').trim();
  await using stack = new AsyncDisposableStack();
  const start = async (name: string, script: string): Promise<Base> => {
    const file = fileURLToPath(new URL(`rungs/${script}`, import.meta.url));
    const server = stack.use(
      new ServerChild([process.execPath, file], {
        settings: { FLOTILLA_DATA: folder },
        cpu: serverCpu,
        logFile: join(folder, `${script}.log`),
      }),
    );
    const url = await server.listening();
    return { name, url, pid: server.pid, request: toolCall(token, 'echo', spoken) };
  };
  const of = {
    'small-read': await start('echo', 'flotilla.ts'),
    'small-write': await start('bare insert', 'bare-insert.ts'),
    'file-write': await start('bare file', 'bare-file.ts'),
    large: undefined,
  } satisfies Record<WorkloadCall<unknown>['kind'], Base | undefined>;
  const owned = stack.move();
  return { of, [Symbol.asyncDispose]: async () => owned.disposeAsync() };
}
