/** What the sampler keeps. A name is a column of the table `fine`: a new one needs a migration. */

/**
 * `share`: percent, where some points make the difference. `rate`: goes up and down by factors. `level`: changes slowly.
 */
export type Kind = 'share' | 'rate' | 'level';

export interface Metric {
  readonly unit: 'percent' | 'bytes' | 'bytes per second' | 'per second' | 'count' | 'celsius';
  readonly kind: Kind;
  /** The least change that anybody would call one: points for a share, else a share of the usual. */
  readonly grain: number;
  /** Rates below this are no traffic. */
  readonly floor?: number;
}

const percent = (grain: number): Metric => ({ unit: 'percent', kind: 'share', grain });
const bytesRate: Metric = { unit: 'bytes per second', kind: 'rate', grain: 0.25, floor: 20_000 };
const level = (unit: Metric['unit'], grain: number): Metric => ({ unit, kind: 'level', grain });

export const metrics = {
  cpu_percent: percent(3),
  iowait_percent: percent(2),
  steal_percent: percent(2),
  load_1m: { unit: 'count', kind: 'rate', grain: 0.2, floor: 1 },
  memory_used_percent: percent(1.5),
  swap_used_percent: percent(1.5),
  cpu_pressure_percent: percent(3),
  memory_pressure_percent: percent(1.5),
  io_pressure_percent: percent(2),
  disk_read_bytes_per_second: bytesRate,
  disk_written_bytes_per_second: bytesRate,
  disk_busy_percent: percent(3),
  network_received_bytes_per_second: bytesRate,
  network_sent_bytes_per_second: bytesRate,
  network_errors_per_second: { unit: 'per second', kind: 'rate', grain: 0.25, floor: 0.5 },
  threads: level('count', 0.05),
  blocked_processes: { unit: 'count', kind: 'rate', grain: 0.25, floor: 2 },
  open_files: level('count', 0.05),
  fullest_disk_percent: percent(0.5),
  temperature_celsius: level('celsius', 0.03),
  fleet_cpu_percent: percent(3),
  fleet_memory_bytes: level('bytes', 0.05),
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof metrics;
export const metricNames = Object.keys(metrics) as [MetricName, ...MetricName[]];
export const metricOf = (name: MetricName): Metric => metrics[name];

/** What could be measured at one moment. */
export type Sample = { readonly [Name in MetricName]?: number | undefined };
