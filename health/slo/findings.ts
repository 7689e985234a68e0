/** What deserves an alert, by what is known now. Pure. */
import {
  badOf,
  burnRate,
  burnRules,
  judge,
  type BurnRule,
  type Severity,
  type WindowName,
  type Windows,
} from './burn.ts';
import { measureInWords, type Objective } from './objectives.ts';

export type Kind = 'down' | 'degraded' | 'flapping' | 'burn' | 'backup' | 'audit' | 'disk' | 'file';

/** Something that is not well. One key has one alert at a time, however often it is found. */
export interface Finding {
  readonly key: string;
  readonly kind: Kind;
  readonly severity: Severity;
  /** A process, an objective, or what else it is about. */
  readonly subject: string;
  /** In one sentence, without a period at the end. */
  readonly summary: string;
  /** Since when it is so; `undefined` where nobody knows: since it was found. */
  readonly sinceMs?: number | undefined;
  /** Processes that it is about: in maintenance they keep it quiet, and what is known of them is told with it. */
  readonly processes: readonly string[];
}

export interface ProcessFacts {
  readonly name: string;
  readonly status: 'up' | 'degraded' | 'down' | 'absent' | 'unknown';
  readonly reason: string | null;
  readonly since: string | null;
  /** Its status changes again and again. */
  readonly flapping?: boolean;
}

export interface DiskFacts {
  readonly folder: string;
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

export interface Facts {
  readonly processes: readonly ProcessFacts[];
  readonly objectives: readonly { readonly objective: Objective; readonly windows: Windows }[];
  readonly backupTroubles: readonly string[];
  readonly auditTroubles: readonly string[];
  /** `null` where it could not be asked. */
  readonly disk: DiskFacts | null;
  /** Why files of the operator cannot be used. */
  readonly fileTroubles: readonly string[];
}

export interface Found {
  readonly findings: readonly Finding[];
  /** Keys of which nobody can say now whether it is so: what was found of them before stays. */
  readonly unknown: readonly string[];
}

const mebibyte = 1024 ** 2;
/** A disk with less free than this share of it, but within these bounds, is full, or soon will be. */
const fullBelow = { share: 0.01, leastBytes: 8 * mebibyte, mostBytes: 64 * mebibyte };
const lowBelow = { share: 0.05, leastBytes: 16 * mebibyte, mostBytes: 512 * mebibyte };

export function findingsIn(facts: Facts): Found {
  const unknown: string[] = [];
  const findings: Finding[] = [
    ...facts.processes.flatMap((process) => {
      if (process.status === 'unknown') unknown.push(`down ${process.name}`, `degraded ${process.name}`);
      return ofProcess(process);
    }),
    ...facts.objectives.flatMap(({ objective, windows }) => {
      const burning = ofObjective(objective, windows);
      unknown.push(...burning.unknown);
      return burning.findings;
    }),
    ...group('backup', 'ticket', 'backups', facts.backupTroubles),
    ...group('audit', 'page', 'audit trails', facts.auditTroubles),
    ...ofDisk(facts.disk),
    ...group('file', 'ticket', 'settings', facts.fileTroubles),
  ];
  if (facts.disk === null) unknown.push('disk');
  return { findings, unknown };
}

function ofProcess({ name, status, reason, since, flapping = false }: ProcessFacts): readonly Finding[] {
  const why = reason ?? 'it does not say why';
  const common = { subject: name, processes: [name] };
  const sinceMs = since === null ? undefined : Date.parse(since);
  return [
    ...(status === 'down'
      ? [
          {
            ...common,
            key: `down ${name}`,
            kind: 'down' as const,
            severity: 'page' as const,
            summary: `${name} is down: ${why}`,
            sinceMs,
          },
        ]
      : []),
    ...(status === 'degraded'
      ? [
          {
            ...common,
            key: `degraded ${name}`,
            kind: 'degraded' as const,
            severity: 'ticket' as const,
            summary: `${name} answers, but cannot do its job: ${why}`,
            sinceMs,
          },
        ]
      : []),
    ...(flapping
      ? [
          {
            ...common,
            key: `flapping ${name}`,
            kind: 'flapping' as const,
            severity: 'ticket' as const,
            summary: `${name} falls and comes back again and again`,
          },
        ]
      : []),
  ];
}

/**
 * A page and a ticket are two alerts: a ticket is there for hours after the page is over. While it is a page, whether it is a
 * ticket too is not asked.
 */
function ofObjective(objective: Objective, windows: Windows): Found {
  const { id, target, mostSevere } = objective;
  const keyOf = (severity: Severity) => `burn ${severity} ${id}`;
  const judged = burnRules.map((rule) => ({
    rule,
    severity: mostSevere === 'ticket' ? mostSevere : rule.severity,
    is: judge(rule, windows, target),
  }));
  const alerting = judged.find(({ is }) => is === 'alerts');
  const unknown = (['page', 'ticket'] as const).filter((severity) =>
    alerting?.severity === 'page'
      ? severity === 'ticket'
      : alerting?.severity !== severity &&
        judged.some((one) => one.severity === severity && one.is === 'unknown'),
  );
  return {
    findings: alerting
      ? [burning(objective, windows, alerting.rule, alerting.severity, keyOf(alerting.severity))]
      : [],
    unknown: unknown.map(keyOf),
  };
}

function burning(
  { id, title, target, measure, processes }: Objective,
  windows: Windows,
  { long, short, factor }: BurnRule,
  severity: Severity,
  key: string,
): Finding {
  const rate = (name: WindowName) => (burnRate(windows[name], target) ?? 0).toFixed(1);
  const failed = Math.round(badOf(windows[long]));
  return {
    key,
    kind: 'burn',
    severity,
    subject: id,
    summary: `${title}: the error budget burns ${rate(long)} times too fast over ${long} and ${rate(short)} times over ${short} (more than ${factor}); ${failed} of ${Math.round(windows[long].total)} events were not ${measureInWords(measure)}`,
    processes,
  };
}

function ofDisk(disk: DiskFacts | null): readonly Finding[] {
  if (!disk || disk.sizeBytes === 0) return [];
  const isBelow = ({ share, leastBytes, mostBytes }: typeof lowBelow) =>
    disk.freeBytes < Math.max(leastBytes, Math.min(mostBytes, share * disk.sizeBytes));
  if (!isBelow(lowBelow)) return [];
  const free = `${Math.floor(disk.freeBytes / mebibyte)} MiB of ${Math.floor(disk.sizeBytes / mebibyte)} MiB`;
  const isFull = isBelow(fullBelow);
  return [
    {
      key: 'disk',
      kind: 'disk',
      severity: isFull ? 'page' : 'ticket',
      subject: 'disk',
      summary: `the disk of ${disk.folder} is ${isFull ? 'full' : 'almost full'}: ${free} are free`,
      processes: [],
    },
  ];
}

function group(
  kind: Kind,
  severity: Severity,
  subject: string,
  troubles: readonly string[],
): readonly Finding[] {
  if (troubles.length === 0) return [];
  return [{ key: kind, kind, severity, subject, summary: troubles.join('; '), processes: [] }];
}
