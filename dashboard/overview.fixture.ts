/** What health might tell: a fleet that is well, which a test makes ill. */
import { catalogue } from '#config/catalogue.ts';
import { overviewSchema, type Observed, type Overview } from '#runtime/process/overview.ts';
import { standingsSchema, type Standing, type Standings } from '#runtime/process/standings.ts';

export const noon = Date.parse('2026-11-20T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const isoOf = (ms: number) => new Date(ms).toISOString();

/** Figures that differ from process to process, and are the same each time. */
function figuresOf(seed: number) {
  const calls = (seed * 7_919) % 4_000;
  return {
    calls,
    errors: seed % 3 === 0 ? calls % 17 : 0,
    errorsByKind: seed % 3 === 0 && calls % 17 > 0 ? { not_found: calls % 17 } : {},
    p50Ms: 0.4 + (seed % 5),
    p95Ms: 3 + seed * 4,
    p99Ms: 9 + seed * 21,
  };
}

const first = { calls: 0, errors: 0, errorsByKind: {}, p50Ms: null, p95Ms: null, p99Ms: null };

/** `changes` by the names of processes. */
export function overviewOf(
  changes: Readonly<Record<string, Partial<Observed>>> = {},
  more: Partial<Overview> = {},
  nowMs = noon,
): Overview {
  const processes = catalogue.map(({ name, tier }, index) => ({
    name,
    status: 'up' as const,
    flapping: false,
    reason: null,
    since: isoOf(nowMs - 3 * day - index * hour),
    latencyMs: 1.2 + index / 10,
    uptime: { hour: 1, day: 1, quarter: 0.9997 },
    version: '0.1.0',
    startedAt: isoOf(nowMs - 3 * day - index * hour),
    memoryBytes: 90_000_000 + index * 3_100_000,
    restarts: { day: index % 5 === 4 ? 1 : 0, quarter: index },
    refused: 0,
    hour: first,
    day: tier === 'platform' && name !== 'gateway' ? first : figuresOf(index + 1),
    dayStrip: Array.from({ length: 48 }, () => 1),
    quarterStrip: Array.from({ length: 90 }, (_, cell) =>
      cell < 20 ? null : (cell + index) % 37 === 0 ? 0.93 : 1,
    ),
    lines: [],
    ...changes[name],
  }));
  const wave = Array.from({ length: 48 }, (_, cell) =>
    Math.round(60 + 55 * Math.sin(cell / 5) + (cell % 7) * 4),
  );
  return overviewSchema.parse({
    at: isoOf(nowMs),
    version: '0.1.0',
    polledAt: isoOf(nowMs - 400),
    startedAt: isoOf(nowMs - 5 * day),
    strips: {
      dayCellMs: 30 * minute,
      dayFrom: isoOf(nowMs - day),
      quarterCellMs: day,
      quarterFrom: isoOf(nowMs - 90 * day),
    },
    processes,
    tools: [
      { name: 'memory', tool: 'search_memories', answerBytes: 1_200_000, ...figuresOf(3) },
      { name: 'git', tool: 'git_status', answerBytes: 480_000, ...figuresOf(5) },
    ],
    traffic: {
      hour: figuresOf(6),
      cellMs: 30 * minute,
      calls: wave,
      errors: wave.map((calls) => (calls > 110 ? 6 : 0)),
    },
    incidents: [],
    warnings: [],
    backup: null,
    ...more,
  });
}

function standing(name: string, judged: number, share: number, interval: [number, number]): Standing {
  const decisions = judged + 12;
  const result = {
    decisions,
    judged,
    judgedBy: 'code_check',
    share,
    interval,
    since: '2026-10-24',
    warnings: [],
  };
  return { name, ...result, tasks: [{ ...result, name: 'code' }] };
}

/** What an observer might tell: some models of which enough is known, and one of which nobody can tell yet. */
export function standingsOf(changes: Partial<Standings> = {}): Standings {
  return standingsSchema.parse({
    at: isoOf(noon),
    days: 30,
    needed: 20,
    models: [
      standing('acme/large@2026-08+high', 1_204, 0.914, [0.897, 0.929]),
      standing('acme/small@2026-08', 310, 0.823, [0.776, 0.861]),
      standing('other/one', 41, 0.78, [0.633, 0.88]),
      standing('fresh', 7, 1, [0.646, 1]),
    ],
    clients: [],
    ...changes,
  });
}
