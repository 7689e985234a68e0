/** The processes of the fleet, as each says of itself on loopback: they run under users whose files this service may not read. */
import { z } from 'zod';

import type { CatalogueEntry } from '#config/catalogue.ts';
import { fetchText, probe } from '#runtime/process/probe.ts';

export interface Member {
  readonly name: string;
  readonly port: number;
  /** `absent`: does not run, and was not started. */
  readonly result: 'up' | 'not_ready' | 'down' | 'absent';
  readonly reason: string | null;
  readonly latencyMs: number | null;
  readonly pid?: number | undefined;
  readonly cpuSeconds?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly fileDescriptors?: number | undefined;
  readonly fileDescriptorsLimit?: number | undefined;
  /** Since the epoch. */
  readonly startedSeconds?: number | undefined;
}

const deadlineMs = 2_000;
const healthSchema = z.object({ name: z.string(), pid: z.number().optional() });

export async function lookAtFleet(
  entries: readonly Pick<CatalogueEntry, 'name' | 'port'>[],
  signal: AbortSignal,
): Promise<Member[]> {
  const members = await Promise.all(entries.map(async (entry) => lookAt(entry, signal)));
  if (members.every(({ result }) => result !== 'down')) return members;
  const absent = await absentNames(members, signal);
  return members.map((member) =>
    member.result === 'down' && absent.has(member.name) ? { ...member, result: 'absent' as const } : member,
  );
}

const pollsSchema = z.object({ processes: z.array(z.object({ name: z.string(), status: z.string() })) });

/** Health has been told which processes are meant to run. */
async function absentNames(members: readonly Member[], signal: AbortSignal): Promise<ReadonlySet<string>> {
  const health = members.find(({ name, result }) => name === 'health' && result !== 'down');
  if (!health) return new Set();
  try {
    const { body } = await fetchText(
      health.port,
      '/health',
      AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]),
    );
    const { processes } = pollsSchema.parse(JSON.parse(body));
    return new Set(processes.filter(({ status }) => status === 'absent').map(({ name }) => name));
  } catch {
    return new Set();
  }
}

async function lookAt(
  { name, port }: Pick<CatalogueEntry, 'name' | 'port'>,
  stop: AbortSignal,
): Promise<Member> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(deadlineMs)]);
  const { result, reason, latencyMs } = await probe({ name, port }, deadlineMs, stop);
  const member = { name, port, result, reason, latencyMs };
  // Another program may answer there.
  if (result === 'down') return member;
  const [health, metrics] = await Promise.all(
    ['/health', '/metrics'].map(async (path) =>
      fetchText(port, path, signal).then(
        ({ body }) => body,
        () => '',
      ),
    ),
  );
  const figure = (metric: string) => {
    const value = new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(metrics ?? '')?.[1];
    return value === undefined || !Number.isFinite(Number(value)) ? undefined : Number(value);
  };
  return {
    ...member,
    pid: pidIn(health ?? ''),
    cpuSeconds: figure('process_cpu_seconds_total'),
    memoryBytes: figure('process_resident_memory_bytes'),
    fileDescriptors: figure('process_open_fds'),
    fileDescriptorsLimit: figure('process_max_fds'),
    startedSeconds: figure('process_start_time_seconds'),
  };
}

function pidIn(text: string): number | undefined {
  try {
    return healthSchema.parse(JSON.parse(text)).pid;
  } catch {
    return undefined;
  }
}

/** Services may share a process: each counts once. */
export function sumOnce(
  members: readonly Member[],
  figure: 'cpuSeconds' | 'memoryBytes',
): number | undefined {
  const byProcess = new Map(members.map((member) => [member.pid ?? member.name, member[figure]]));
  const known = [...byProcess.values()].filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0);
}
