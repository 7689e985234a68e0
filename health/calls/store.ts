/** Calls by minute and hour: the only SQL of `calls.db`. */
import { fileURLToPath } from 'node:url';

import { openAgain, openDatabase, type Database, type Statement } from '#runtime/database.ts';

import { binCount, totalOf, type Bins } from './percentile.ts';
import type { Change } from './reading.ts';

const migrations = fileURLToPath(new URL('migrations', import.meta.url));

const units = {
  minutes: { ms: 60_000, keptMs: 3 * 24 * 3_600_000 },
  hours: { ms: 3_600_000, keptMs: 90 * 24 * 3_600_000 },
} as const;
type Unit = keyof typeof units;

/** Of calls in a stretch of time. */
export interface Sums {
  readonly errors: number;
  readonly answerBytes: number;
  readonly bins: Bins;
}

export interface ProcessSums extends Sums {
  readonly refused: number;
  readonly restarts: number;
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Where that much is used, the oldest minutes and hours of tools go before their time. */
const mostBytes = 256 * 1024 * 1024;
/** A write takes so many units of old rows away at most, and so does never take long. */
const prunedAtOnce = 5;

const columns = Array.from({ length: binCount }, (_, index) => `b${index}`);
const marks = columns.map(() => '?').join(', ');
const grow = columns.map((column) => `${column} = ${column} + excluded.${column}`).join(', ');
const sums = columns.map((column) => `coalesce(sum(${column}), 0) AS ${column}`).join(', ');

const each = <Value>(make: (unit: Unit) => Value) => ({ minutes: make('minutes'), hours: make('hours') });

type Row = Readonly<Record<string, number>>;
const binsOf = (row: Row): number[] => columns.map((column) => row[column] ?? 0);

/** Beyond, a sum over minutes would take long, and an hour more or less says little. */
const longestInMinutesMs = 6 * 3_600_000;

/** The unit that a stretch of time is summed up from, and the whole ones that it touches, also where it begins or ends within one. */
function cover(fromMs: number, toMs: number, nowMs: number): { unit: Unit; from: number; to: number } {
  const isShort = toMs - fromMs <= longestInMinutesMs && fromMs > nowMs - units.minutes.keptMs;
  const unit = isShort ? 'minutes' : 'hours';
  const { ms } = units[unit];
  return { unit, from: Math.floor(fromMs / ms), to: Math.ceil(toMs / ms) };
}

/** For a chart: stretches of equal length, of which the last is not over. */
function grid(cells: number, cellMs: number, nowMs: number) {
  const unit: Unit = cellMs % units.hours.ms === 0 ? 'hours' : 'minutes';
  const width = cellMs / units[unit].ms;
  const from = (Math.floor(nowMs / cellMs) - cells + 1) * width;
  return { unit, width, from, to: from + cells * width };
}

export class CallStore implements Disposable {
  readonly #database: Database;
  readonly #record: (name: string, change: Change, nowMs: number) => void;
  readonly #started: Statement<{ startedAtMs: number }>;
  readonly #process: Readonly<Record<Unit, Statement<Row>>>;
  readonly #cells: Readonly<Record<Unit, Statement<Row>>>;
  readonly #restarts: Readonly<Record<Unit, Statement<{ name: string; restarts: number }>>>;
  readonly #traffic: Readonly<Record<Unit, Statement<{ cell: number; calls: number; errors: number }>>>;
  readonly #tools: Readonly<Record<Unit, Statement<Row & { name: never; tool: never }>>>;
  readonly #errors: Readonly<
    Record<Unit, Statement<{ name: string; tool: string; kind: string; calls: number }>>
  >;

  /** `isOpen`: another connection has looked at it and migrated it. */
  constructor(file: string, { isOpen = false } = {}) {
    const database = isOpen ? openAgain(file) : openDatabase(file, migrations);
    // Counts are no promises: a power cut may take the last of them, and nobody waits for the disk.
    database.pragma('synchronous = NORMAL');
    this.#database = database;

    const writes = each((unit) => ({
      process: database.prepare(
        `INSERT INTO process_${unit} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ${marks}) ON CONFLICT DO UPDATE SET
           errors = errors + excluded.errors, answer_bytes = answer_bytes + excluded.answer_bytes, refused = refused + excluded.refused, restarts = restarts + excluded.restarts,
           cpu_ms = cpu_ms + excluded.cpu_ms, memory_bytes = max(memory_bytes, excluded.memory_bytes), ${grow}`,
      ),
      tool: database.prepare(
        `INSERT INTO tool_${unit} VALUES (?, ?, ?, ?, ?, ${marks}) ON CONFLICT DO UPDATE SET errors = errors + excluded.errors,
           answer_bytes = answer_bytes + excluded.answer_bytes, ${grow}`,
      ),
      error: database.prepare(
        `INSERT INTO error_${unit} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls`,
      ),
      pruneProcess: database.prepare(`DELETE FROM process_${unit} WHERE name = ? AND at < ?`),
      pruneTools: database.prepare(
        `DELETE FROM tool_${unit} WHERE at < min(?, (SELECT min(at) FROM tool_${unit}) + ${prunedAtOnce})`,
      ),
      pruneErrors: database.prepare(
        `DELETE FROM error_${unit} WHERE at < min(?, (SELECT min(at) FROM error_${unit}) + ${prunedAtOnce})`,
      ),
    }));
    const saw = database.prepare(
      'INSERT INTO processes VALUES (?, ?) ON CONFLICT DO UPDATE SET started_at_ms = excluded.started_at_ms',
    );
    this.#record = database.transaction((name: string, change: Change, nowMs: number) => {
      const { all, tools, kinds } = summedUp(change);
      const isFull = this.#usedBytes() > mostBytes;
      saw.run(name, change.startedAtMs);
      for (const unit of ['minutes', 'hours'] as const) {
        const { ms, keptMs } = units[unit];
        const at = Math.floor(nowMs / ms);
        const oldest = Math.floor((nowMs - keptMs) / ms);
        const write = writes[unit];
        const { refused, restarted, cpuMs, memoryBytes } = change;
        write.process.run(
          name,
          at,
          all.errors,
          all.answerBytes,
          refused,
          Number(restarted),
          cpuMs,
          memoryBytes,
          ...all.bins,
        );
        for (const [tool, { errors, answerBytes, bins }] of tools)
          write.tool.run(at, name, tool, errors, answerBytes, ...bins);
        for (const { tool, error, calls } of kinds) write.error.run(at, name, tool, error, calls);
        write.pruneProcess.run(name, oldest);
        write.pruneTools.run(isFull ? at : oldest);
        write.pruneErrors.run(isFull ? at : oldest);
      }
    });

    this.#started = database.prepare('SELECT started_at_ms AS startedAtMs FROM processes WHERE name = ?');
    this.#process = each((unit) =>
      database.prepare(
        `SELECT coalesce(sum(errors), 0) AS errors, coalesce(sum(answer_bytes), 0) AS answerBytes, coalesce(sum(refused), 0) AS refused, coalesce(sum(restarts), 0) AS restarts,
           coalesce(sum(cpu_ms), 0) AS cpuMs, coalesce(max(memory_bytes), 0) AS memoryBytes, ${sums}
         FROM process_${unit} WHERE name = ? AND at >= ? AND at < ?`,
      ),
    );
    this.#cells = each((unit) =>
      database.prepare(
        `SELECT CAST((at - :from) / :width AS INTEGER) AS cell, sum(errors) AS errors, sum(answer_bytes) AS answerBytes, sum(refused) AS refused, sum(restarts) AS restarts,
           sum(cpu_ms) AS cpuMs, max(memory_bytes) AS memoryBytes, ${sums}
         FROM process_${unit} WHERE name = :name AND at >= :from AND at < :to GROUP BY cell`,
      ),
    );
    this.#restarts = each((unit) =>
      database.prepare(
        `SELECT name, sum(restarts) AS restarts FROM process_${unit} WHERE at >= ? AND at < ? GROUP BY name`,
      ),
    );
    this.#traffic = each((unit) =>
      database.prepare(
        `SELECT CAST((at - :from) / :width AS INTEGER) AS cell, sum(${columns.join(' + ')}) AS calls, sum(errors) AS errors
         FROM process_${unit} WHERE name IN (SELECT value FROM json_each(:names)) AND at >= :from AND at < :to GROUP BY cell`,
      ),
    );
    this.#tools = each((unit) =>
      database.prepare(
        `SELECT name, tool, sum(errors) AS errors, sum(answer_bytes) AS answerBytes, ${sums} FROM tool_${unit} WHERE at >= ? AND at < ? GROUP BY name, tool`,
      ),
    );
    this.#errors = each((unit) =>
      database.prepare(
        `SELECT name, tool, kind, sum(calls) AS calls FROM error_${unit} WHERE at >= ? AND at < ? GROUP BY name, tool, kind`,
      ),
    );
  }

  /** One look at one process, in a transaction of its own. */
  record(name: string, change: Change, nowMs: number): void {
    this.#record(name, change, nowMs);
  }

  /** When the process had started that was seen last. */
  startedAtMs(name: string): number | undefined {
    return this.#started.get(name)?.startedAtMs;
  }

  process(name: string, fromMs: number, toMs: number, nowMs: number): ProcessSums {
    const { unit, from, to } = cover(fromMs, toMs, nowMs);
    return processSums(this.#process[unit].get(name, from, to) ?? {});
  }

  /** So many stretches of equal length, of whole minutes, the last of which holds `nowMs`; `null` where nobody looked. */
  cells(name: string, cells: number, cellMs: number, nowMs: number): readonly (ProcessSums | null)[] {
    const { unit, ...range } = grid(cells, cellMs, nowMs);
    const found = this.#cells[unit].all({ name, ...range });
    const byCell = new Map(found.map((row) => [row['cell'], processSums(row)]));
    return Array.from({ length: cells }, (_, cell) => byCell.get(cell) ?? null);
  }

  restarts(fromMs: number, toMs: number, nowMs: number): ReadonlyMap<string, number> {
    const { unit, from, to } = cover(fromMs, toMs, nowMs);
    return new Map(this.#restarts[unit].all(from, to).map(({ name, restarts }) => [name, restarts]));
  }

  traffic(names: readonly string[], cells: number, cellMs: number, nowMs: number) {
    const { unit, ...range } = grid(cells, cellMs, nowMs);
    const found = this.#traffic[unit].all({ names: JSON.stringify(names), ...range });
    const byCell = new Map(found.map((row) => [row.cell, row]));
    const each = (figure: 'calls' | 'errors') =>
      Array.from({ length: cells }, (_, cell) => byCell.get(cell)?.[figure] ?? null);
    return { calls: each('calls'), errors: each('errors') };
  }

  tools(
    fromMs: number,
    toMs: number,
    nowMs: number,
  ): readonly (Sums & { readonly name: string; readonly tool: string })[] {
    const { unit, from, to } = cover(fromMs, toMs, nowMs);
    return this.#tools[unit].all(from, to).map((row) => ({
      name: row.name as string,
      tool: row.tool as string,
      errors: row['errors'] ?? 0,
      answerBytes: row['answerBytes'] ?? 0,
      bins: binsOf(row),
    }));
  }

  errors(
    fromMs: number,
    toMs: number,
    nowMs: number,
  ): readonly { name: string; tool: string; kind: string; calls: number }[] {
    const { unit, from, to } = cover(fromMs, toMs, nowMs);
    return this.#errors[unit].all(from, to);
  }

  #usedBytes(): number {
    const figure = (pragma: string) => Number(this.#database.pragma(pragma, { simple: true }));
    return (figure('page_count') - figure('freelist_count')) * figure('page_size');
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function processSums(row: Row): ProcessSums {
  const { errors = 0, answerBytes = 0, refused = 0, restarts = 0, cpuMs = 0, memoryBytes = 0 } = row;
  return { errors, answerBytes, refused, restarts, cpuMs, memoryBytes, bins: binsOf(row) };
}

const empty = () => ({ errors: 0, answerBytes: 0, bins: Array<number>(binCount).fill(0) });

/** Of all calls, of each tool, and of each kind of error. */
function summedUp({ series, answerBytes }: Change) {
  const all = empty();
  const tools = new Map<string, ReturnType<typeof empty>>();
  const kinds: { tool: string; error: string; calls: number }[] = [];
  for (const { tool, error, bins } of series) {
    const calls = totalOf(bins);
    const sums = [all];
    if (tool !== '') {
      const own = tools.get(tool) ?? empty();
      tools.set(tool, own);
      sums.push(own);
    }
    for (const sum of sums) {
      if (error !== '') sum.errors += calls;
      for (const [index, count] of bins.entries()) sum.bins[index] = (sum.bins[index] ?? 0) + count;
    }
    if (error !== '') kinds.push({ tool, error, calls });
  }
  for (const [tool, bytes] of answerBytes) {
    all.answerBytes += bytes;
    const own = tools.get(tool);
    if (own) own.answerBytes += bytes;
  }
  return { all, tools, kinds };
}
