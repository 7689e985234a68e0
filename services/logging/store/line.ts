/** A line as it is stored: what every part of the service works on. */

/** From the least to the most serious. The place of a level in this list is its number. */
export const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type Level = (typeof levels)[number];

export interface Line {
  /** Grows in the order in which lines were stored; a line keeps it for good. */
  readonly id: number;
  /** When it was logged, by what the line says; milliseconds since the epoch. */
  readonly atMs: number;
  /** When it was stored, by our own clock. */
  readonly observedMs: number;
  readonly level: Level;
  /** What wrote it: a service of the fleet, a unit of the host, `service.name` of OpenTelemetry. */
  readonly service: string;
  /** How it came here: `fleet:memory`, `journal`, `file:/var/log/syslog`, `ingest:token`, `otlp:token`, `audit:memory`. */
  readonly source: string;
  /** Without escape sequences and without secrets; what follows its first line is part of it. */
  readonly message: string;
  readonly traceId?: string;
  /** Whatever else it said, flat: names with dots. */
  readonly fields: Readonly<Record<string, string>>;
}
