/** The catalogue and what health knows, as what is shown. Pure. */
import { catalogue, type CatalogueEntry } from '#config/catalogue.ts';

import type { HealthAnswer, Observed, Reading } from './health-client.ts';

export type Row = Observed & Pick<CatalogueEntry, 'port' | 'tier' | 'description'>;

export interface Fleet {
  readonly status: 'up' | 'degraded' | 'down' | 'unknown';
  readonly up: number;
  /** How many are meant to run, or run anyway. */
  readonly total: number;
  readonly health: {
    readonly answers: boolean;
    readonly failure: string | null;
    readonly uptimeMs: number | null;
    /** Since the last round of polls ended. */
    readonly ageMs: number | null;
    readonly stale: boolean;
  };
  readonly processes: readonly Row[];
  /** `null` where nobody makes backups here, or health does not answer. */
  readonly backup: NonNullable<HealthAnswer['backup']> | null;
}

/** Rounds come once a second, and each may take most of one. */
const staleAfterMs = 3_000;

export function fleetOf(reading: Reading, portOffset: number, nowMs: number): Fleet {
  const { answer } = reading;
  const ageMs = answer?.polledAt ? Math.max(0, nowMs - Date.parse(answer.polledAt)) : null;
  const known = new Map(answer?.processes.map((observed) => [observed.name, observed]));
  const processes = catalogue.map(({ name, port, tier, description }) => ({
    ...(known.get(name) ?? nothingKnown(name)),
    port: port + portOffset,
    tier,
    description,
  }));
  const present = processes.filter(({ status }) => status !== 'absent');
  const some = (status: Observed['status']) => present.some((row) => row.status === status);
  return {
    status: (['unknown', 'down', 'degraded'] as const).find(some) ?? 'up',
    up: present.filter(({ status }) => status === 'up').length,
    total: present.length,
    health: {
      answers: answer !== undefined,
      failure: reading.answer ? null : reading.failure,
      uptimeMs: answer?.uptimeMs ?? null,
      ageMs,
      stale: ageMs !== null && ageMs > staleAfterMs,
    },
    processes,
    backup: answer?.backup ?? null,
  };
}

function nothingKnown(name: string): Observed {
  return {
    name,
    status: 'unknown',
    latencyMs: null,
    reason: null,
    since: null,
    uptime: { hour: null, day: null },
  };
}
