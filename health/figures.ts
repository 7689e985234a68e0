/** What health tells Prometheus of the fleet and of its own looks. */
import type { CatalogueEntry } from '#config/catalogue.ts';
import { exposed, type Metrics } from '#runtime/account/metrics.ts';

import type { Look } from './canary.ts';
import type { Keeper } from './keeper.ts';
import type { Poller, Watcher } from './poller.ts';
import type { Timeline } from './timeline.ts';

/** Counts looks as they end. */
export function watching(metrics: Pick<Metrics, 'histogram'>): Watcher & {
  readonly looked: (name: string, look: Look) => void;
} {
  const probed = metrics.histogram(
    'flotilla_health_probe_duration_seconds',
    'How long a process took to answer a poll, or all steps of a canary.',
    ['process', 'probe'],
  );
  const delayed = metrics.histogram(
    'flotilla_health_poll_delay_seconds',
    'How late a round of polls began.',
    [],
  );
  const found = metrics.histogram(
    'flotilla_health_detection_seconds',
    'From the last good look at a process to the verdict that it is down.',
    ['process'],
  );
  return {
    polled: (process, latencyMs) => probed({ process, probe: 'poll' }, latencyMs),
    delayed: (delayMs) => delayed({}, delayMs),
    found: (process, detectionMs) => found({ process }, detectionMs),
    looked: (process, { durationMs }) => probed({ process, probe: 'canary' }, durationMs),
  };
}

const statuses = ['up', 'degraded', 'down', 'absent', 'unknown'] as const;

export function fleetMetrics({
  entries,
  poller,
  keeper,
  timeline,
}: {
  readonly entries: readonly CatalogueEntry[];
  readonly poller: Poller;
  readonly keeper: Pick<Keeper, 'dropped' | 'waiting'>;
  readonly timeline: Pick<Timeline, 'jumps'>;
}): string {
  const states = entries.map(({ name }) => poller.state(name));
  return [
    exposed(
      'gauge',
      'flotilla_health_status',
      'Status of a process, as health sees it: 1 for the one that it has.',
      states.flatMap(({ name, status }) =>
        statuses.map((one) => `{process="${name}",status="${one}"} ${one === status ? 1 : 0}`),
      ),
    ),
    exposed(
      'gauge',
      'flotilla_health_flapping',
      'Whether the status of a process changes again and again.',
      states.map(({ name, flapping }) => `{process="${name}"} ${flapping ? 1 : 0}`),
    ),
    exposed('counter', 'flotilla_health_status_changes_total', 'Changes of status, of all processes.', [
      ` ${poller.changes}`,
    ]),
    exposed('counter', 'flotilla_health_history_dropped_total', 'Rounds of polls that were never written.', [
      ` ${keeper.dropped}`,
    ]),
    exposed('gauge', 'flotilla_health_history_waiting', 'Rounds of polls that wait to be written.', [
      ` ${keeper.waiting}`,
    ]),
    exposed('counter', 'flotilla_health_clock_jumps_total', "How often the host's clock was set.", [
      ` ${timeline.jumps}`,
    ]),
  ].join('');
}
