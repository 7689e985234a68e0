/** The fleet in the Prometheus text format: each process by its tier and type, and how many there are of each. */
import { isService } from '#config/catalogue.ts';
import { exposed } from '#runtime/account/metrics.ts';

import type { Fleet, Row } from './fleet.ts';

const typeOf = (row: Row) => (isService(row) ? 'service' : 'platform');

const seconds = (ms: number | null) => (ms === null ? null : ms / 1_000);
const gauge = (name: string, help: string, samples: readonly string[]) =>
  exposed('gauge', name, help, samples);

/** Nothing is said of what is not known: a missing series is honest where 0 is not. */
export function expositionOf({ health, processes, overview }: Fleet, nowMs: number): string {
  // What was known before health fell silent says nothing about now.
  const known = health.answers
    ? processes.filter(({ status }) => status !== 'unknown' && status !== 'absent')
    : [];
  const each = (value: (row: Row) => number | null) =>
    known.flatMap((row) => {
      const number = value(row);
      return number === null
        ? []
        : [`{name="${row.name}",tier="${row.tier}",type="${typeOf(row)}"} ${number}`];
    });
  const groups = Map.groupBy(
    health.answers ? processes : [],
    (row) => `tier="${row.tier}",type="${typeOf(row)}",status="${row.status}"`,
  );
  const verified = overview?.backup?.lastVerifiedAt ?? null;
  return [
    gauge('flotilla_health_answers', '1 when health answers the dashboard.', [` ${Number(health.answers)}`]),
    gauge(
      'flotilla_health_age_seconds',
      'Since the last round of polls.',
      health.ageMs === null ? [] : [` ${health.ageMs / 1_000}`],
    ),
    gauge(
      'flotilla_fleet_processes',
      'How many processes there are, by tier, type and status.',
      [...groups].map(([labels, rows]) => `{${labels}} ${rows.length}`),
    ),
    gauge(
      'flotilla_process_up',
      '1 when the process answers and is ready.',
      each(({ status }) => Number(status === 'up')),
    ),
    gauge(
      'flotilla_process_flapping',
      '1 while it comes and goes.',
      each(({ flapping }) => Number(flapping)),
    ),
    gauge(
      'flotilla_process_latency_seconds',
      'How long the last poll took.',
      each(({ latencyMs }) => seconds(latencyMs)),
    ),
    gauge(
      'flotilla_process_uptime_ratio',
      'Share of polls of the last 24 h that found it up; absent until most of them are covered.',
      each(({ uptime }) => uptime.day),
    ),
    gauge(
      'flotilla_process_uptime_90d_ratio',
      'Share of polls of the last 90 days that found it up.',
      each(({ uptime }) => uptime.quarter),
    ),
    gauge(
      'flotilla_process_restarts_24h',
      'Restarts that were seen in the last 24 h.',
      each(({ restarts }) => restarts.day),
    ),
    gauge(
      'flotilla_process_memory_bytes',
      'Resident memory.',
      each(({ memoryBytes }) => memoryBytes),
    ),
    gauge(
      'flotilla_process_age_seconds',
      'Since the process started.',
      each(({ startedAt }) =>
        startedAt === null ? null : Math.max(0, nowMs - Date.parse(startedAt)) / 1_000,
      ),
    ),
    gauge(
      'flotilla_process_calls_24h',
      'Tool calls of the last 24 h.',
      each(({ day }) => day.calls),
    ),
    gauge(
      'flotilla_process_call_errors_24h',
      'Tool calls of the last 24 h that failed.',
      each(({ day }) => day.errors),
    ),
    gauge(
      'flotilla_process_call_p95_24h_seconds',
      'Within what time 95 % of the tool calls of the last 24 h ended.',
      each(({ day }) => seconds(day.p95Ms)),
    ),
    gauge(
      'flotilla_fleet_backup_verified_timestamp_seconds',
      'When the newest proven backup was made.',
      verified === null ? [] : [` ${Date.parse(verified) / 1_000}`],
    ),
  ].join('');
}
