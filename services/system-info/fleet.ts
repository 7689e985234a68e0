/** The processes of the fleet, as each says of itself on loopback: they run under users whose files this service may not read. */
import { z } from 'zod';

import type { CatalogueEntry } from '#config/catalogue.ts';
import { fetchText, probe } from '#runtime/process/probe.ts';

export interface Member {
  readonly name: string;
  readonly port: number;
  readonly result: 'up' | 'not_ready' | 'down';
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
  return Promise.all(entries.map(async (entry) => lookAt(entry, signal)));
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
