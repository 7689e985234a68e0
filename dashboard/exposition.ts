/** The fleet in the Prometheus text format. */
import { exposed } from '#runtime/account/metrics.ts';

import type { Fleet, Row } from './fleet.ts';

/** Nothing is said of what is not known: a missing series is honest where 0 is not. */
export function expositionOf({ health, processes }: Fleet): string {
  const known = processes.filter(({ status }) => status !== 'unknown' && status !== 'absent');
  const each = (value: (row: Row) => number | null) =>
    known.flatMap((row) => {
      const number = value(row);
      return number === null ? [] : [`{name="${row.name}",tier="${row.tier}"} ${number}`];
    });
  return [
    exposed('gauge', 'flotilla_health_answers', '1 when health answers the dashboard.', [
      ` ${Number(health.answers)}`,
    ]),
    exposed(
      'gauge',
      'flotilla_health_age_seconds',
      'Since the last round of polls.',
      health.ageMs === null ? [] : [` ${health.ageMs / 1000}`],
    ),
    exposed(
      'gauge',
      'flotilla_process_up',
      '1 when the process answers and is ready.',
      each(({ status }) => Number(status === 'up')),
    ),
    exposed(
      'gauge',
      'flotilla_process_latency_seconds',
      'How long the last poll took.',
      each(({ latencyMs }) => (latencyMs === null ? null : latencyMs / 1000)),
    ),
    exposed(
      'gauge',
      'flotilla_process_uptime_ratio',
      'Share of polls of the last 24 h that found it up; absent until most of them are covered.',
      each(({ uptime }) => uptime.day),
    ),
  ].join('');
}
