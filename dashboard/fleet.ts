/** The catalogue and what health knows, as what is shown. Pure. */
import { allProcesses, tierOrder, type CatalogueEntry, type Tier } from '#config/catalogue.ts';
import type { Figures, Observed, Overview } from '#runtime/process/overview.ts';

import type { Observer } from './observers.ts';
import type { Known } from './watch.ts';

export type Row = Observed & Pick<CatalogueEntry, 'port' | 'tier' | 'description'>;

export interface Fleet {
  readonly status: 'up' | 'degraded' | 'down' | 'unknown';
  readonly up: number;
  /** How many are meant to run, or run anyway. */
  readonly total: number;
  readonly health: {
    readonly answers: boolean;
    readonly failure: string | null;
    readonly failingSince: string | null;
    readonly startedAt: string | null;
    readonly polledAt: string | null;
    /** Since the last round of polls ended. */
    readonly ageMs: number | null;
    readonly stale: boolean;
  };
  readonly processes: readonly Row[];
  /** As it was read last; `undefined` when nothing ever was. */
  readonly overview: Overview | undefined;
  /** Those that tell who does best, and run. */
  readonly observers: readonly Observer[];
}

/** Rounds come once a second, and each may take most of one. */
const staleAfterMs = 4_000;

export function fleetOf(
  known: Known,
  portOffset: number,
  nowMs: number,
  observers: readonly Observer[] = [],
): Fleet {
  const { overview, failure, failingSince } = known;
  const polledAt = overview?.polledAt ?? null;
  const ageMs = polledAt === null ? null : Math.max(0, nowMs - Date.parse(polledAt));
  const observed = new Map(overview?.processes.map((one) => [one.name, one]));
  /** Agents that nobody has asked for are not missing. */
  const isShown = ({ name, tier }: CatalogueEntry) =>
    tier !== 'agent' || (observed.get(name)?.status ?? 'absent') !== 'absent';
  const processes = allProcesses.filter(isShown).map(({ name, port, tier, description }) => {
    const row = { ...(observed.get(name) ?? nothingKnown(name)), port: port + portOffset, tier, description };
    // Who watches the others is watched from here.
    const isSilent = name === 'health' && failure !== null;
    return isSilent ? { ...row, status: 'down' as const, reason: failure, since: failingSince } : row;
  });
  const present = processes.filter(({ status }) => status !== 'absent');
  const some = (status: Observed['status']) => present.some((row) => row.status === status);
  return {
    // What was known before health fell silent says nothing about now.
    status: failure === null ? ((['down', 'unknown', 'degraded'] as const).find(some) ?? 'up') : 'unknown',
    up: present.filter(({ status }) => status === 'up').length,
    total: present.length,
    health: {
      answers: failure === null,
      failure,
      failingSince,
      startedAt: overview?.startedAt ?? null,
      polledAt,
      ageMs,
      stale: ageMs !== null && ageMs > staleAfterMs,
    },
    processes,
    overview,
    observers,
  };
}

const noFigures: Figures = { calls: 0, errors: 0, errorsByKind: {}, p50Ms: null, p95Ms: null, p99Ms: null };

function nothingKnown(name: string): Observed {
  return {
    name,
    status: 'unknown',
    flapping: false,
    reason: null,
    since: null,
    latencyMs: null,
    uptime: { hour: null, day: null, quarter: null },
    version: null,
    startedAt: null,
    memoryBytes: null,
    restarts: { day: 0, quarter: 0 },
    refused: 0,
    hour: noFigures,
    day: noFigures,
    dayStrip: [],
    quarterStrip: [],
    lines: [],
  };
}

/** Those that a person must look at, the worst first. */
export function troubled({ processes }: Fleet): readonly Row[] {
  const rank = { down: 0, degraded: 1, unknown: 2, up: 3, absent: 4 } as const;
  return processes
    .filter(
      ({ status, flapping }) => status === 'down' || status === 'degraded' || (status === 'up' && flapping),
    )
    .toSorted((one, other) => rank[one.status] - rank[other.status]);
}

const tierTitles: Readonly<Record<Tier, string>> = {
  1: 'Core',
  2: 'Tools',
  3: 'System and external',
  observer: 'Observers',
  platform: 'Platform',
  agent: 'Agents',
};

export function byTier(
  rows: readonly Row[],
): readonly { readonly title: string; readonly rows: readonly Row[] }[] {
  return tierOrder
    .map((tier) => ({ title: tierTitles[tier], rows: rows.filter((row) => row.tier === tier) }))
    .filter((group) => group.rows.length > 0);
}
