/** A line as it is stored: what every part of the service works on. */

/** From the least to the most serious. The place of a level in this list is its number. */
export const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type Level = (typeof levels)[number];

export interface Line {
  /** Its place in time: of two lines, the later has the larger one. A line keeps it for good. */
  readonly id: number;
  /** When it was logged, by what the line says; milliseconds since the epoch. */
  readonly atMs: number;
  /** When it was stored, by our own clock. */
  readonly observedMs: number;
  readonly level: Level;
  /** What wrote it: a service of the fleet, a unit of the host, `service.name` of OpenTelemetry. */
  readonly service: string;
  /** How it came here: `fleet:memory`, `journal:ssh.service`, `file:/var/log/syslog`, `ingest:first`, `otlp:first`, `audit:memory`. */
  readonly source: string;
  /** Without escape sequences and without secrets. */
  readonly message: string;
  readonly traceId?: string;
  /** Whatever else it said, flat: names with dots. */
  readonly fields: Readonly<Record<string, string>>;
}

/** A line that is to be stored. */
export type NewLine = Omit<Line, 'id' | 'observedMs'>;

/** A line that is stored, and no other one that gets its place when it is gone. */
export interface LineKey {
  readonly id: number;
  readonly batch: number;
}

/** The fields of a line as they are stored; `null` where it has none. */
export function fieldsText({ fields }: Pick<NewLine, 'fields'>): string | null {
  for (const name in fields) return name === undefined ? null : JSON.stringify(fields);
  return null;
}

/** What a line counts, in every sum and for the quota of its token: given back when it goes. */
export const sizeOf = (message: string, fields: string | null) => message.length + (fields?.length ?? 0);

/** Lines and what they take. */
export interface Sum {
  readonly lines: number;
  readonly bytes: number;
}

/** The token that brought the lines of a source; `undefined` where they were fetched. */
export const ownerOf = (source: string) => /^(?:ingest|otlp):(.*)$/.exec(source)?.[1];

/**
 * Each millisecond has so many places, and a line gets the first that is free from its time on: so the order of ids is the
 * order of time, whenever a line comes. Few places keep the distances between ids small, which the index stores.
 */
export const placesPerMs = 64;

/** The first place of a moment. */
export const placeOf = (atMs: number) => atMs * placesPerMs;

/** The moment that a place belongs to; that of a line is later or earlier where its own was full. */
export const momentOf = (id: number) => Math.floor(id / placesPerMs);
