import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { figure, gaps, maybe, maybeText, partOf, rowsOf, text } from '../fields.ts';
import { sumOnce, type Member } from '../fleet.ts';
import { Gaps, round } from '../host.ts';
import { figureOf, showUnits } from '../systemd/units.ts';
import { fleetNow, isoOf, type Watch } from '../watch.ts';

const daySeconds = 86_400;
const shortestSeconds = 1;

export const getFleetStatus = defineTool({
  name: 'get_fleet_status',
  title: 'Fleet Status',
  description:
    'Every process of Flotilla: whether it answers, and what it takes of processors, memory and file descriptors, with its restarts.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({
    processes: rowsOf(
      z.object({
        name: text,
        port: figure,
        tier: z.union([figure, text]),
        status: text,
        reason: maybeText,
        latencyMs: maybe,
        pid: maybe,
        startedAt: maybeText,
        cpuSeconds: maybe,
        cpuPercent: maybe,
        memoryBytes: maybe,
        fileDescriptors: maybe,
        fileDescriptorsLimit: maybe,
        restarts: maybe,
        restartsDay: figure,
      }),
      'With name, port, tier, status (up, not_ready, down, absent), reason, latencyMs, pid, startedAt, cpuSeconds, cpuPercent (of one processor, in the last minute), memoryBytes, fileDescriptors, restarts (by systemd) and restartsDay (seen in 24 hours).',
    ),
    up: figure.describe('Processes that can do their job.'),
    total: partOf(z.object({ cpuSeconds: maybe, memoryBytes: maybe }), 'Of all: cpuSeconds, memoryBytes.'),
    ...gaps,
  }),
  async handler(_args, watch: Watch, { signal, nowMs }) {
    const missing = new Gaps();
    const { entries, store, sampler, host } = watch;
    const before = sampler.fleet;
    const members = await fleetNow(watch, signal);
    const atMs = performance.now();
    const units = await missing.later('restarts', async () =>
      showUnits(
        host,
        entries.map(({ name }) => `flotilla@${name}.service`),
        signal,
      ),
    );
    const since = Math.floor(nowMs / 1_000) - daySeconds;
    const silent = members.filter(({ pid, memoryBytes }) => pid !== undefined && memoryBytes === undefined);
    if (silent.length > 0)
      missing.add('memoryBytes, cpuSeconds', `not told by ${silent.map(({ name }) => name).join(', ')}`);
    return {
      processes: members.map((member, index) => {
        const { name, port, result, startedSeconds, ...figures } = member;
        const unit = units?.find(
          ({ Id, LoadState }) => Id === `flotilla@${name}.service` && LoadState === 'loaded',
        );
        return {
          name,
          port,
          tier: entries[index]?.tier ?? '',
          status: result,
          ...figures,
          reason: figures.reason ?? undefined,
          latencyMs: figures.latencyMs ?? undefined,
          startedAt: startedSeconds === undefined ? undefined : isoOf(startedSeconds),
          cpuPercent: before && cpuPercent(before, member, atMs),
          restarts: figureOf(unit?.NRestarts),
          restartsDay: store.countEvents('process_restarted', name, since),
        };
      }),
      up: members.filter(({ result }) => result === 'up').length,
      total: { cpuSeconds: sumOnce(members, 'cpuSeconds'), memoryBytes: sumOnce(members, 'memoryBytes') },
      ...missing.said,
    };
  },
});

function cpuPercent(
  { atMs, members }: NonNullable<Watch['sampler']['fleet']>,
  { name, pid, cpuSeconds }: Member,
  nowMs: number,
): number | undefined {
  const known = members.find((member) => member.name === name && member.pid === pid)?.cpuSeconds;
  const seconds = (nowMs - atMs) / 1_000;
  if (known === undefined || cpuSeconds === undefined || seconds < shortestSeconds) return undefined;
  return round(Math.max(0, (100 * (cpuSeconds - known)) / seconds));
}
