/** All that the tools depend on: the host, what was measured of it, and the fleet. */
import { setTimeout as wait } from 'node:timers/promises';

import type { CatalogueEntry } from '#config/catalogue.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { lookAtFleet, type Member } from './fleet.ts';
import type { Host } from './host.ts';
import { figuresBetween, readCounters, type Sampler } from './history/sampler.ts';
import type { Sample } from './history/metrics.ts';
import type { Store } from './history/store.ts';
import { sharesBetween, type CpuShares } from './kernel/cpu.ts';

export interface Watch extends AsyncDisposable {
  readonly host: Host;
  readonly store: Store;
  readonly sampler: Pick<Sampler, 'before' | 'fleet' | 'noteFleet' | 'isWriting' | 'cost'>;
  readonly entries: readonly CatalogueEntry[];
}

const shortestMs = 250;

export interface Now {
  readonly overSeconds: number;
  readonly cpu: CpuShares | undefined;
  readonly perCore: readonly (CpuShares | undefined)[];
  readonly figures: Sample;
}

/** What went on since the last sample; for a moment where that is too young. */
export async function measureNow({ host, sampler }: Watch, { signal }: Call): Promise<Now> {
  let { before } = sampler;
  if (!before) {
    before = readCounters(host);
    await wait(shortestMs, undefined, { signal });
  }
  const after = readCounters(host);
  const [was, is] = [before.cpu, after.cpu];
  return {
    overSeconds: (after.atMs - before.atMs) / 1_000,
    cpu: was && is && sharesBetween(was.all, is.all),
    perCore: was && is ? is.each.map((ticks, core) => sharesBetween(was.each[core] ?? [], ticks)) : [],
    figures: figuresBetween(before, after),
  };
}

/** The fleet as it is now. A restart counts from the moment in which it is first seen. */
export async function fleetNow({ entries, sampler }: Watch, signal: AbortSignal): Promise<Member[]> {
  const beganMs = performance.now();
  const members = await lookAtFleet(entries, signal);
  sampler.noteFleet(members, beganMs);
  return members;
}

/** Long work over files of the kernel, in turns with other calls. It reads no database. */
export const walk = <Value>(call: Call, steps: Steps<Value>): Value | Promise<Value> =>
  inTurns((read) => read(), call, steps);

export const isoOf = (seconds: number): string => new Date(Math.round(seconds) * 1_000).toISOString();
