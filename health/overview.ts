/**
 * The document that the dashboard shows. It is made at most once a second, whoever asks, and what reads many rows less often: figures of
 * calls when there are new ones, strips of days once a minute.
 */
import { hash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { isService, type CatalogueEntry } from '#config/catalogue.ts';
import type {
  Alert,
  Budget,
  Detail,
  Figures,
  Incident,
  LogLine,
  Overview,
} from '#runtime/process/overview.ts';

import type { BackupReport } from './backups.ts';
import type { CallFigures, Calls, ProcessFigures } from './calls/calls.ts';
import { percentiles } from './calls/calls.ts';
import { totalOf } from './calls/percentile.ts';
import { plainText } from '#runtime/plain-text.ts';
import type { ProcessState } from './poller.ts';

/** What was seen of processes over time. */
export interface Past {
  strip(
    name: string,
    cells: number,
    cellMs: number,
    nowMs: number,
  ): readonly ({ readonly up: number; readonly polls: number } | null)[];
  /** Newest first. */
  transitions(
    sinceMs: number,
    limit: number,
  ): readonly {
    readonly name: string;
    readonly atMs: number;
    readonly from: string;
    readonly to: string;
    readonly reason: string | null;
    readonly endedAtMs: number | null;
  }[];
}

/** Of an objective, what is shown. */
interface ObjectiveFacts {
  readonly title: string;
  readonly process: string | null;
  readonly events: string;
  readonly target: number;
  readonly budget: { readonly remaining: number | null; readonly known: number };
  readonly windows: {
    readonly '1h': { readonly burnRate: number | null };
    readonly '30d': { readonly errorRatio: number | null };
  };
}

interface AlertFacts {
  readonly kind: string;
  readonly severity: 'page' | 'ticket';
  readonly subject: string;
  readonly summary: string;
  readonly sinceMs: number;
  /** When it was told; `null` as long as a maintenance window keeps it quiet. */
  readonly toldMs: number | null;
  readonly evidence: readonly {
    readonly process: string;
    readonly manager: string | null;
    readonly note: string | null;
  }[];
}

export interface Sources {
  readonly entries: readonly CatalogueEntry[];
  readonly state: (name: string) => ProcessState;
  readonly polledAt: () => string | null;
  readonly past: Past;
  readonly calls: Calls;
  readonly lines: (name: string) => readonly LogLine[];
  /** Comes when they were read once, or after a moment. */
  readonly linesSettled: (name: string) => Promise<void>;
  readonly backups: () => BackupReport | null;
  readonly warnings: () => readonly string[];
  readonly objectives?: () => readonly ObjectiveFacts[];
  readonly alerts?: () => readonly AlertFacts[];
  readonly version: string;
  readonly now: () => number;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const dayCells = { count: 48, ms: 30 * minuteMs };
const quarterCells = { count: 90, ms: dayMs };
const detailCells = { count: 288, ms: 5 * minuteMs };

/** What is in the document is as old as this at most, where nothing else is said. */
const freshMs = 1_000;
const figuresFreshMs = 3_000;
/** What many rows are read for. */
const longFreshMs = 20_000;
const stripsFreshMs = 10_000;
/** After a start there is something new in everything soon. */
const youngMs = 60_000;

const mostTools = 300;
const mostAlerts = 30;
const mostIncidents = 50;
/** Half of them are returns. */
const mostTransitions = 200;
/** Of a process that is not up; its own page shows all that there are. */
const fewLines = 5;
const mostReasonLength = 500;
const mostNameLength = 128;

export interface Document {
  readonly text: string;
  readonly etag: string;
}

/** Something that takes a while to read, and is read again when it is old. A clock that was set back does not keep it for ever. */
class Part<Value> {
  readonly #freshForMs: () => number;
  readonly #read: () => Value;
  #atMs: number | undefined;
  #value: Value;

  constructor(first: Value, freshForMs: () => number, read: () => Value) {
    this.#value = first;
    this.#freshForMs = freshForMs;
    this.#read = read;
  }

  get value(): Value {
    return this.#value;
  }

  /** @returns whether it was old, and is read. */
  renew(nowMs: number): boolean {
    if (this.#atMs !== undefined && Math.abs(nowMs - this.#atMs) < this.#freshForMs()) return false;
    this.#value = this.#read();
    this.#atMs = nowMs;
    return true;
  }
}

type Summaries = ReadonlyMap<string, ProcessFigures>;
type Strips = ReturnType<typeof stripsOf>;

export class Overviews {
  readonly #sources: Sources;
  readonly #startedAt: string;
  readonly #documents = new Map<string, { readonly atMs: number; readonly document: Promise<Document> }>();
  readonly #hour: Part<Summaries>;
  readonly #day: Part<Summaries>;
  readonly #restarts: Part<ReadonlyMap<string, number>>;
  readonly #tools: Part<Overview['tools']>;
  readonly #traffic: Part<Overview['traffic']>;
  readonly #strips: ReadonlyMap<string, Part<Strips>>;

  constructor(sources: Sources) {
    this.#sources = sources;
    const { entries, calls, now } = sources;
    const startedAtMs = now();
    this.#startedAt = new Date(startedAtMs).toISOString();
    const names = entries.map(({ name }) => name);
    const services = entries.filter(isService).map(({ name }) => name);
    const within = (ms: number) => () => (now() - startedAtMs < youngMs ? freshMs : ms);
    this.#hour = new Part<Summaries>(new Map(), within(figuresFreshMs), () => calls.summaries(names, hourMs));
    this.#day = new Part<Summaries>(new Map(), within(figuresFreshMs), () => calls.summaries(names, dayMs));
    this.#restarts = new Part<ReadonlyMap<string, number>>(new Map(), within(longFreshMs), () =>
      calls.restarts(90 * dayMs),
    );
    this.#tools = new Part<Overview['tools']>([], within(figuresFreshMs), () => toolsOf(calls, services));
    this.#traffic = new Part<Overview['traffic']>(
      { hour: noFigures, cellMs: dayCells.ms, calls: [], errors: [] },
      within(longFreshMs),
      () => ({
        hour: calls.together(services, hourMs),
        cellMs: dayCells.ms,
        ...calls.traffic(services, dayCells.count, dayCells.ms),
      }),
    );
    this.#strips = new Map(
      names.map((name) => [name, new Part(noStrips, within(stripsFreshMs), () => stripsOf(name, sources))]),
    );
  }

  /** With details of one process, where its name is given. */
  async document(name?: string): Promise<Document> {
    const { now } = this.#sources;
    const known = this.#documents.get(name ?? '');
    if (known && Math.abs(now() - known.atMs) < freshMs) return known.document;
    const document = this.#write(name);
    this.#documents.set(name ?? '', { atMs: now(), document });
    // Whoever asks next tries again.
    document.catch(() => this.#documents.delete(name ?? ''));
    return document;
  }

  async #write(name: string | undefined): Promise<Document> {
    const text = JSON.stringify(await this.make(name));
    return { text, etag: `"${hash('sha256', text, 'base64url').slice(0, 22)}"` };
  }

  async make(detailed?: string): Promise<Overview> {
    const { now } = this.#sources;
    const parts = [
      this.#hour,
      this.#day,
      this.#restarts,
      this.#tools,
      this.#traffic,
      ...this.#strips.values(),
    ];
    // Polls and answers to others come between.
    for (const part of parts) if (part.renew(now())) await nextTurn();
    if (detailed !== undefined) await this.#sources.linesSettled(detailed);
    return this.#joined(detailed);
  }

  #joined(detailed: string | undefined): Overview {
    const {
      entries,
      state,
      polledAt,
      past,
      calls,
      lines,
      backups,
      warnings,
      objectives,
      alerts,
      version,
      now,
    } = this.#sources;
    const nowMs = now();
    const [hour, day, restarts] = [this.#hour.value, this.#day.value, this.#restarts.value];
    const incidents = incidentsIn(past.transitions(nowMs - 90 * dayMs, mostTransitions)).slice(
      0,
      mostIncidents,
    );
    return {
      at: new Date(nowMs).toISOString(),
      version,
      polledAt: polledAt(),
      startedAt: this.#startedAt,
      strips: {
        dayCellMs: dayCells.ms,
        dayFrom: firstCellAt(dayCells, nowMs),
        quarterCellMs: quarterCells.ms,
        quarterFrom: firstCellAt(quarterCells, nowMs),
      },
      processes: entries.map(({ name }) => {
        const { status, flapping, reason, since, latencyMs, uptime, kept } = state(name);
        const vitals = calls.vitals(name);
        const strip = this.#strips.get(name)?.value ?? noStrips;
        const isWell = status === 'up' || status === 'absent' || status === 'unknown';
        return {
          name,
          status,
          flapping,
          reason: reason === null ? null : plainText(reason, mostReasonLength),
          since,
          latencyMs,
          uptime: { hour: uptime.hour, day: uptime.day, quarter: strip.share },
          ...(kept && { kept: plainKept(kept) }),
          version: vitals?.version ?? null,
          startedAt: vitals ? new Date(vitals.startedAtMs).toISOString() : null,
          memoryBytes: vitals?.memoryBytes ?? null,
          restarts: { day: day.get(name)?.restarts ?? 0, quarter: restarts.get(name) ?? 0 },
          refused: day.get(name)?.refused ?? 0,
          hour: figures(hour.get(name)),
          day: figures(day.get(name)),
          dayStrip: strip.day,
          quarterStrip: strip.quarter,
          lines: isWell ? [] : lines(name).slice(-fewLines),
        };
      }),
      tools: this.#tools.value,
      traffic: this.#traffic.value,
      incidents,
      warnings: warnings().map((warning) => plainText(warning, mostReasonLength)),
      backup: backupOf(backups()),
      ...(objectives && { budgets: objectives().map(budgetOf) }),
      ...(alerts && { alerts: alerts().slice(0, mostAlerts).map(alertOf) }),
      ...(detailed !== undefined && { detail: this.#detail(detailed, incidents) }),
    };
  }

  #detail(name: string, incidents: readonly Incident[]): Detail {
    const { calls, lines, now } = this.#sources;
    const { count, ms } = detailCells;
    const cells = calls.cells(name, count, ms);
    const each = (figure: (cell: NonNullable<(typeof cells)[number]>) => number | null) =>
      cells.map((cell) => (cell ? figure(cell) : null));
    const percentile = (key: 'p50Ms' | 'p95Ms' | 'p99Ms') => each(({ bins }) => percentiles(bins)[key]);
    return {
      name,
      cellMs: ms,
      lastCellAt: new Date(Math.floor(now() / ms) * ms).toISOString(),
      calls: each(({ bins }) => totalOf(bins)),
      errors: each(({ errors }) => errors),
      p50Ms: percentile('p50Ms'),
      p95Ms: percentile('p95Ms'),
      p99Ms: percentile('p99Ms'),
      memoryBytes: each(({ memoryBytes }) => memoryBytes),
      cpuShare: each(({ cpuMs }) => Math.round((cpuMs / ms) * 10_000) / 10_000),
      lines: [...lines(name)],
      incidents: incidents.filter((incident) => incident.name === name),
    };
  }
}

function toolsOf(calls: Calls, services: readonly string[]): Overview['tools'] {
  const all = calls.tools(dayMs);
  // What is called through the gateway is counted there as well: each call is shown once, where it was done.
  const done = new Set(all.filter(({ name }) => services.includes(name)).map(({ tool }) => tool));
  return all
    .filter(({ name, tool }) => services.includes(name) || !done.has(tool))
    .toSorted((one, other) => other.calls - one.calls)
    .slice(0, mostTools);
}

const noFigures: Figures = { calls: 0, errors: 0, errorsByKind: {}, p50Ms: null, p95Ms: null, p99Ms: null };

function figures(of: CallFigures | undefined): Figures {
  if (!of) return noFigures;
  const { calls, errors, errorsByKind, p50Ms, p95Ms, p99Ms } = of;
  return { calls, errors, errorsByKind, p50Ms, p95Ms, p99Ms };
}

const noStrips: Strips = { day: [], quarter: [], share: null };

function stripsOf(
  name: string,
  { past, now }: Sources,
): {
  readonly day: (number | null)[];
  readonly quarter: (number | null)[];
  readonly share: number | null;
} {
  const strip = ({ count, ms }: typeof dayCells) => past.strip(name, count, ms, now());
  const quarter = strip(quarterCells);
  const sum = (key: 'up' | 'polls') => quarter.reduce((total, cell) => total + (cell?.[key] ?? 0), 0);
  const share = sum('polls') === 0 ? null : sum('up') / sum('polls');
  return { day: shares(strip(dayCells)), quarter: shares(quarter), share };
}

const shares = (cells: ReturnType<Past['strip']>) =>
  cells.map((cell) => (cell && cell.polls > 0 ? rounded(cell.up / cell.polls) : null));

/** Down: a cell is full only where nothing was missed. */
const rounded = (share: number) => Math.floor(share * 10_000) / 10_000;

function firstCellAt({ count, ms }: typeof dayCells, nowMs: number): string {
  return new Date((Math.floor(nowMs / ms) - count + 1) * ms).toISOString();
}

type Transition = ReturnType<Past['transitions']>[number];

/** Newest first. What fell and fell further until it was up again is one incident, as bad as its worst. */
export function incidentsIn(transitions: readonly Transition[]): Incident[] {
  const incidents: Incident[] = [];
  const last = new Map<string, { readonly incident: Incident; readonly to: string }>();
  for (const transition of transitions.toReversed()) {
    const { name, from, to } = transition;
    const before = last.get(name);
    if (to !== 'down' && to !== 'degraded') {
      last.delete(name);
      continue;
    }
    let incident = incidentOf(transition);
    if (before?.to === from) {
      const { at, to: worst, reason } = before.incident;
      incident = { ...incident, at, ...(worst === 'down' && { to: worst, reason }) };
      incidents.splice(incidents.indexOf(before.incident), 1);
    }
    incidents.push(incident);
    last.set(name, { incident, to });
  }
  return incidents
    .filter(({ to, at, endedAt }) => !isHiccup(to, at, endedAt))
    .toSorted((one, other) => Date.parse(other.at) - Date.parse(one.at));
}

/** One or two polls that were lost, or a look that came while something was busy. */
const hiccupMs = 3_000;

function isHiccup(to: string, at: string, endedAt: string | null): boolean {
  return to === 'degraded' && endedAt !== null && Date.parse(endedAt) - Date.parse(at) < hiccupMs;
}

function incidentOf({ name, atMs, to, reason, endedAtMs }: Transition): Incident {
  return {
    name,
    at: new Date(atMs).toISOString(),
    endedAt: endedAtMs === null ? null : new Date(endedAtMs).toISOString(),
    to,
    reason: reason === null ? null : plainText(reason, mostReasonLength),
  };
}

const periodDays = 30;

function budgetOf({ title, process, events, target, budget, windows }: ObjectiveFacts): Budget {
  const { errorRatio } = windows['30d'];
  return {
    title: plainText(title, mostNameLength),
    process,
    events: plainText(events, mostReasonLength),
    target,
    windowDays: periodDays,
    known: budget.known,
    good: errorRatio === null ? null : Math.max(0, 1 - errorRatio),
    remaining: budget.remaining,
    burnRate: windows['1h'].burnRate,
  };
}

/** Without log lines: a process that is not well has its own, newer ones. */
function alertOf({ kind, severity, subject, summary, sinceMs, toldMs, evidence }: AlertFacts): Alert {
  const why = evidence.flatMap(({ process, manager, note }) =>
    [manager, note].flatMap((text) => (text === null ? [] : [`${process}: ${text}`])),
  );
  return {
    kind,
    severity,
    subject: plainText(subject, mostNameLength),
    since: new Date(sinceMs).toISOString(),
    what: plainText(summary, mostReasonLength),
    why: why.slice(0, 6).map((text) => plainText(text, mostReasonLength)),
    isQuiet: toldMs === null,
  };
}

function plainKept({ bytes, fullest }: NonNullable<ProcessState['kept']>): NonNullable<ProcessState['kept']> {
  return {
    bytes,
    ...(fullest && { fullest: { ...fullest, owner: plainText(fullest.owner, mostNameLength) } }),
  };
}

/** Without where the archives lie. */
function backupOf(report: BackupReport | null): Overview['backup'] {
  if (!report) return null;
  const {
    lastSuccessAt,
    lastVerifiedAt,
    recoveryPointAgeMs,
    restoreMs,
    archive,
    sizeBytes,
    failures,
    troubles,
  } = report;
  return {
    lastSuccessAt,
    lastVerifiedAt,
    recoveryPointAgeMs,
    restoreMs,
    ...(archive && sizeBytes !== undefined && { sizeBytes }),
    failures,
    troubles: troubles.map((trouble) => plainText(trouble, mostReasonLength)),
  };
}
