/** The only prom-client import: what a process tells Prometheus, under the OpenTelemetry names for MCP. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Kept } from '../quotas.ts';

/** Seconds; from the OpenTelemetry semantic conventions for MCP, with two steps below for local calls. */
export const durationBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300,
] as const;

/** Seconds. */
const lagBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** The Prometheus text format's. */
export const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

/** Why a request was turned away before anything ran. */
export type Refusal =
  | 'host'
  | 'origin'
  | 'unauthenticated'
  | 'forbidden'
  | 'too_large'
  | 'malformed'
  | 'busy'
  | 'rate';

export interface Metrics {
  /** One operation of the protocol. `target` must come from the service's own lists, never from the request. */
  observeOperation(operation: {
    readonly method: string;
    readonly target: string | null;
    readonly outcome: string;
    readonly protocolVersion: string;
    readonly durationMs: number;
    readonly responseBytes: number;
  }): void;
  countRefusal(reason: Refusal): void;
  /** A call that looked plain: answered on the short way, or after a doubt on the long one. */
  countPlainCall(way: 'short' | 'long'): void;
  /** Arguments in the wrong form were read as they were meant. */
  countMended(tool: string): void;
  setReady(ready: boolean): void;
  /** How late the event loop was; `target` is what held it, or empty. */
  observeLoop(target: string, lateMs: number): void;
  /** The loop was held longer than any call should. */
  countHeld(target: string): void;
  /** A figure that is read at a scrape. */
  gauge(name: string, help: string, read: () => number): void;
  /** A count that is read at a scrape; its name ends with `_total`. */
  counter(name: string, help: string, read: () => number): void;
  /** Durations by labels, in seconds; labels must come from lists of ours. */
  histogram<Label extends string>(
    name: string,
    help: string,
    labels: readonly Label[],
  ): (labels: Readonly<Record<Label, string>>, durationMs: number) => void;
  /** What tokens keep, read at a scrape. */
  watchKept(read: () => Kept | undefined): void;
  /** The Prometheus text format. */
  text(): Promise<string>;
}

/** One metric in the text format, for figures that are read from elsewhere at a scrape; without samples, nothing is known. */
export function exposed(
  type: 'gauge' | 'counter',
  name: string,
  help: string,
  samples: readonly string[],
): string {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map((sample) => name + sample),
    '',
  ].join('\n');
}

const dayMs = 86_400_000;

export function createMetrics(service: string, version: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  // It would wake an idle process a hundred times a second to measure the loop, which loop-watch.ts does.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: dayMs });
  for (const { name } of registry.getMetricsAsArray())
    if (name.startsWith('nodejs_eventloop_lag')) registry.removeSingleMetric(name);
  const registers = [registry];
  const duration = new Histogram({
    name: 'mcp_server_operation_duration_seconds',
    help: 'Duration of MCP operations, by method, tool and error.',
    labelNames: [
      'mcp_method_name',
      'gen_ai_tool_name',
      'gen_ai_prompt_name',
      'error_type',
      'mcp_protocol_version',
      'network_transport',
    ],
    buckets: [...durationBuckets],
    registers,
  });
  /** Looking a series up by its labels costs more than many a tool. */
  const seriesOf = new Map<string, Histogram.Internal<string>>();
  const refusals = new Counter({
    name: 'flotilla_requests_refused_total',
    help: 'Requests turned away before anything ran, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const plainCalls = { short: 0, long: 0 };
  const told: Counter = new Counter({
    name: 'flotilla_plain_calls_total',
    help: 'Requests that looked plain, by the way they went: short, or long after a doubt.',
    labelNames: ['way'],
    registers,
    // Counted at every call, told at a scrape.
    collect() {
      told.reset();
      for (const way of ['short', 'long'] as const) told.inc({ way }, plainCalls[way]);
    },
  });
  /** By tool; counted at every call, told at a scrape. */
  const answeredBytes = new Map<string, number>();
  const answered: Counter = new Counter({
    name: 'flotilla_answer_bytes_total',
    help: 'Text that tools answered with, by tool. Four bytes are about one token.',
    labelNames: ['gen_ai_tool_name'],
    registers,
    collect() {
      answered.reset();
      for (const [tool, bytes] of answeredBytes) answered.inc({ gen_ai_tool_name: tool }, bytes);
    },
  });
  const mendedCalls = new Counter({
    name: 'flotilla_arguments_mended_total',
    help: 'Calls whose arguments came in the wrong form, such as a list as text, and were read as they were meant.',
    labelNames: ['gen_ai_tool_name'],
    registers,
  });
  const lag = new Histogram({
    name: 'flotilla_event_loop_lag_seconds',
    help: 'How late a timer was that ticks every 20 ms, by the tool that ran longest meanwhile.',
    labelNames: ['gen_ai_tool_name'],
    buckets: lagBuckets,
    registers,
  });
  const held = new Counter({
    name: 'flotilla_event_loop_held_total',
    help: 'Times the event loop was held by computing for more than 50 ms, by tool.',
    labelNames: ['gen_ai_tool_name'],
    registers,
  });
  const ready = new Gauge({ name: 'flotilla_ready', help: '1 when the process can do its job.', registers });
  new Gauge({
    name: 'flotilla_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node'],
    registers,
  })
    .labels(version, process.version)
    .set(1);
  return {
    observeOperation: ({ method, target, outcome, protocolVersion, durationMs, responseBytes }) => {
      if (method === 'tools/call' && responseBytes > 0) {
        answeredBytes.set(target ?? '', (answeredBytes.get(target ?? '') ?? 0) + responseBytes);
      }
      const key = `${method} ${target} ${outcome} ${protocolVersion}`;
      let series = seriesOf.get(key);
      if (!series) {
        const tool = method === 'tools/call' ? (target ?? '') : '';
        const prompt = method === 'prompts/get' ? (target ?? '') : '';
        series = duration.labels(
          method,
          tool,
          prompt,
          outcome === 'ok' ? '' : outcome,
          protocolVersion,
          'tcp',
        );
        seriesOf.set(key, series);
      }
      series.observe(durationMs / 1000);
    },
    countRefusal: (reason) => refusals.labels(reason).inc(),
    countPlainCall: (way) => {
      plainCalls[way] += 1;
    },
    observeLoop: (target, lateMs) => lag.labels(target).observe(lateMs / 1000),
    countHeld: (target) => held.labels(target).inc(),
    countMended: (tool) => mendedCalls.labels(tool).inc(),
    setReady: (value) => ready.set(value ? 1 : 0),
    gauge(name, help, read) {
      const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
    },
    counter(name, help, read) {
      const counter: Counter = new Counter({
        name,
        help,
        registers,
        collect() {
          counter.reset();
          counter.inc(read());
        },
      });
    },
    histogram(name, help, labelNames) {
      const histogram = new Histogram({ name, help, labelNames, buckets: [...durationBuckets], registers });
      return (labels, durationMs) => histogram.observe(labels, durationMs / 1_000);
    },
    watchKept(read) {
      const tokens = ['token'];
      const used: Gauge = new Gauge({
        name: 'flotilla_kept_bytes',
        help: 'What a token keeps here.',
        labelNames: tokens,
        registers,
        collect() {
          used.reset();
          items.reset();
          const kept = read();
          if (!kept) return;
          quotaBytes.set(kept.quota.bytes);
          quotaItems.set(kept.quota.items);
          for (const holding of kept.holdings) {
            used.set({ token: holding.owner }, holding.bytes);
            items.set({ token: holding.owner }, holding.items);
          }
        },
      });
      const items = new Gauge({
        name: 'flotilla_kept_items',
        help: 'How many things a token keeps here.',
        labelNames: tokens,
        registers,
      });
      const quotaBytes = new Gauge({
        name: 'flotilla_quota_bytes',
        help: 'Most that one token may keep here.',
        registers,
      });
      const quotaItems = new Gauge({
        name: 'flotilla_quota_items',
        help: 'Most things that one token may keep here.',
        registers,
      });
    },
    text: async () => registry.metrics(),
  };
}
