/** Who writes: batches into segments, and what was taken into the register. Works on a thread of its own. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { makeFolder } from '#runtime/files.ts';
import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { ToolError, UnavailableError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';

import {
  fieldsText,
  levels,
  momentOf,
  ownerOf,
  sizeOf,
  type Level,
  type LineKey,
  type NewLine,
  type Sum,
} from './line.ts';
import { openSegment, segmentFile, type Part, type Segment } from './segment.ts';
import { openStreams, type SeenStream } from './streams.ts';

export const registerFile = (dataDir: string) => join(dataDir, 'register.db');
const migrations = fileURLToPath(new URL('register', import.meta.url));

export interface Keeping {
  readonly days: number;
  readonly bytes: number;
  readonly quota: Quota;
  /** After so many lines, a new segment begins with what comes later. */
  readonly linesPerSegment: number;
}

/** Lines of one source or sender, which are stored as a whole or not at all. */
export interface Batch {
  readonly lines: readonly NewLine[];
  /** The token that brought them; nobody where they were fetched. */
  readonly owner?: string | undefined;
  /** By which the sender knows it: the same name again is the same batch. */
  readonly name?: string | undefined;
  /** What was not taken before it came here, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** How far its source was read with it. */
  readonly position?: { readonly source: string; readonly position: string } | undefined;
}

export interface Outcome {
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly isRepeated: boolean;
}

const dayMs = 86_400_000;
/** Names of batches are remembered for so long. */
const nameDays = 7;
/** For those who follow what comes in: a cursor that is older has missed something. */
const rememberedBatches = 100_000;
/** Open at a time, besides the newest. */
const mostOpen = 4;

/** No batch that may be seen has such a number. */
const firstStaged = 2 ** 52;

interface Accepted {
  readonly batch: Batch;
  readonly lines: readonly NewLine[];
  /** What there were no lines of before. */
  readonly fresh: readonly Pick<NewLine, 'service' | 'source'>[];
  readonly outcome: Outcome;
}

/** A batch that is stored in pieces, and is seen when it is whole. */
export interface Staging {
  readonly accepted: Accepted;
  readonly number: number;
  readonly observedMs: number;
  /** By the segments that they are in. */
  readonly parts: Map<number, Part>;
  done: number;
}

function joined(one: Part | undefined, other: Part): Part {
  if (!one) return other;
  return {
    lines: one.lines + other.lines,
    bytes: one.bytes + other.bytes,
    first: Math.min(one.first, other.first),
    last: Math.max(one.last, other.last),
    driftMs: Math.max(one.driftMs, other.driftMs),
  };
}

interface SegmentRow {
  readonly start_ms: number;
  readonly end_ms: number;
  readonly lines: number;
  readonly last: number;
}

/** A new segment is a new file, for which the disk may have no room. */
function inWords(error: unknown): unknown {
  const isFull = error instanceof UnavailableError || (error as NodeJS.ErrnoException).code === 'ENOSPC';
  if (!isFull) return error;
  return new ToolError('unavailable', 'The disk takes no new lines.', {
    hint: 'Nothing was stored: ask the operator to free space, then try again.',
    cause: error,
  });
}

/** Its stretch of time went while it came in. */
const gone = () =>
  new ToolError('unavailable', 'Lines of this time were taken out meanwhile.', {
    hint: 'Nothing of them was kept: try again.',
  });

export type Keeper = ReturnType<typeof openKeeper>;

export function openKeeper(dataDir: string, keeping: Keeping) {
  makeFolder(join(dataDir, 'segments'));
  const register = openDatabase(registerFile(dataDir), migrations);
  const { write, probe } = transactionsOf(register);
  const quotas = openQuotas(
    register,
    keeping.quota,
    'Older lines go by themselves; purge_logs makes room at once.',
  );

  const segmentFor = register.prepare<[number], SegmentRow>(
    'SELECT * FROM segments WHERE start_ms <= ? ORDER BY start_ms DESC LIMIT 1',
  );
  const segmentAfter = register
    .prepare<[number], number>('SELECT start_ms FROM segments WHERE start_ms > ? ORDER BY start_ms LIMIT 1')
    .pluck();
  const oldest = register.prepare<[], number | null>('SELECT min(start_ms) FROM segments').pluck();
  const newest = register.prepare<[], SegmentRow>('SELECT * FROM segments ORDER BY start_ms DESC LIMIT 1');
  const endEarlier = register.prepare('UPDATE segments SET end_ms = ? WHERE start_ms = ?');
  const insertSegment = register.prepare(
    'INSERT INTO segments VALUES (?, ?, 0, 0, 9007199254740991, 0, 0, 1)',
  );
  const grow = register.prepare(
    'UPDATE segments SET lines = lines + ?, bytes = bytes + ?, first = min(first, ?), last = max(last, ?), drift_ms = max(drift_ms, ?) WHERE start_ms = ?',
  );
  const lastBatch = register.prepare<[], number | null>('SELECT max(id) FROM batches').pluck();
  const insertBatch = register.prepare('INSERT INTO batches VALUES (?, ?, ?, ?)');
  const dropBatches = register.prepare('DELETE FROM batches WHERE id <= ?');
  const named = register
    .prepare<[string, string], string>('SELECT outcome FROM batch_names WHERE owner = ? AND name = ?')
    .pluck();
  const insertName = register.prepare('INSERT INTO batch_names VALUES (?, ?, ?, ?)');
  const dropNames = register.prepare('DELETE FROM batch_names WHERE at_ms < ?');
  const setPosition = register.prepare('INSERT OR REPLACE INTO positions VALUES (?, ?)');
  const position = register
    .prepare<[string], string>('SELECT position FROM positions WHERE source = ?')
    .pluck();
  const allThresholds = register.prepare<[], { service: string; level: number }>('SELECT * FROM thresholds');
  const setThreshold = register.prepare('INSERT OR REPLACE INTO thresholds VALUES (?, ?)');
  const dropThreshold = register.prepare('DELETE FROM thresholds WHERE service = ?');
  const tally = register.prepare(
    'INSERT INTO tallies VALUES (?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines',
  );
  const hold = register.prepare(
    'INSERT INTO holdings VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes',
  );
  const open = new Map<number, Segment>();
  const thresholds = new Map<string, number>();
  const streams = openStreams(register);
  /** The last batch whose lines may be seen. */
  let committed = 0;
  /** Numbers of batches that come in pieces; that of none that may be seen is as high. */
  const staged = new Set<number>();
  let lastStaged = firstStaged;
  /** Segments that may hold lines of a batch that failed. */
  const unclean = new Set<number>();

  function loadRegister(): void {
    committed = lastBatch.get() ?? 0;
    thresholds.clear();
    for (const { service, level } of allThresholds.all()) thresholds.set(service, level);
    streams.load();
  }

  function opened({ start_ms: startMs, end_ms: endMs }: SegmentRow): Segment {
    const there = open.get(startMs);
    if (there) {
      // The one that was used last is the last to be closed.
      open.delete(startMs);
      open.set(startMs, there);
      return there;
    }
    for (const [oldStart, old] of open) {
      if (open.size < mostOpen) break;
      open.delete(oldStart);
      old[Symbol.dispose]();
    }
    const segment = openSegment(dataDir, startMs, endMs);
    open.set(startMs, segment);
    return segment;
  }

  /** Where lines of a moment go. A day has a segment, and more than one when it has many lines. */
  function segmentOf(atMs: number): SegmentRow {
    const before = segmentFor.get(atMs);
    if (before && atMs < before.end_ms) {
      // Not under a batch that comes in pieces, whose places would be those of the next one.
      const isFull = before.lines >= keeping.linesPerSegment && staged.size === 0;
      const begin = momentOf(before.last) + 1;
      if (!isFull || atMs < begin || newest.get()?.start_ms !== before.start_ms) return before;
      // What comes later begins a new one; its end is told to nobody who has it open.
      open.get(before.start_ms)?.[Symbol.dispose]();
      open.delete(before.start_ms);
      return write(() => {
        endEarlier.run(begin, before.start_ms);
        insertSegment.run(begin, before.end_ms);
        return { start_ms: begin, end_ms: before.end_ms, lines: 0, last: 0 };
      });
    }
    const dayStart = atMs - (atMs % dayMs);
    const startMs = Math.max(dayStart, before?.end_ms ?? 0);
    const endMs = Math.min(dayStart + dayMs, segmentAfter.get(atMs) ?? Infinity);
    write(() => insertSegment.run(startMs, endMs));
    return { start_ms: startMs, end_ms: endMs, lines: 0, last: 0 };
  }

  function bySegment(lines: readonly NewLine[]): Map<SegmentRow, NewLine[]> {
    const groups = new Map<SegmentRow, NewLine[]>();
    let row: SegmentRow | undefined;
    for (const line of lines) {
      if (!row || line.atMs < row.start_ms || line.atMs >= row.end_ms) {
        row =
          [...groups.keys()].find((one) => line.atMs >= one.start_ms && line.atMs < one.end_ms) ??
          segmentOf(line.atMs);
      }
      const group = groups.get(row);
      if (group) group.push(line);
      else groups.set(row, [line]);
    }
    return groups;
  }

  /** Takes back what is there of a batch that failed. */
  function clean(): void {
    for (const startMs of unclean) {
      const row = segmentFor.get(startMs);
      if (row?.start_ms === startMs) opened(row).removeAfter(committed, (batch) => staged.has(batch));
      unclean.delete(startMs);
    }
  }

  /** What is kept of a batch: not what is below the threshold of its service, too old, or of too many streams. */
  function taken(batch: Batch, nowMs: number): Pick<Accepted, 'lines' | 'fresh'> & Pick<Outcome, 'refused'> {
    const refused: Record<string, number> = { ...batch.refused };
    const refuse = (reason: string) => (refused[reason] = (refused[reason] ?? 0) + 1);
    const oldestMs = nowMs - keeping.days * dayMs;
    const general = thresholds.get('*') ?? 0;
    const fresh: Pick<NewLine, 'service' | 'source'>[] = [];
    const lines = batch.lines.filter((line) => {
      if (thresholds.size > 0 && levels.indexOf(line.level) < (thresholds.get(line.service) ?? general))
        refuse('below_level');
      else if (line.atMs < oldestMs) refuse('too_old');
      else if (streams.admit(line, fresh)) return true;
      else refuse('too_many_services');
      return false;
    });
    return { lines, fresh, refused };
  }

  /** @param coming what tokens bring at the same time, to which this is added. @throws ToolError too_large. */
  function requireRoom({ owner }: Batch, lines: readonly NewLine[], coming: Map<string, Sum>): void {
    if (owner === undefined || lines.length === 0) return;
    const before = coming.get(owner) ?? { lines: 0, bytes: 0 };
    const sum = { lines: before.lines + lines.length, bytes: before.bytes };
    for (const line of lines) sum.bytes += sizeOf(line.message, fieldsText(line));
    const rollBack = new Error('only tried');
    try {
      write(() => {
        hold.run(-1, owner, sum.lines, sum.bytes);
        quotas.requireWithin(owner);
        throw rollBack;
      });
    } catch (error) {
      if (error !== rollBack) throw error;
    }
    coming.set(owner, sum);
  }

  /** After what was not stored: what is known of the files is what they say. */
  function readAgain(): void {
    loadRegister();
    for (const segment of open.values()) segment.loadStreams();
  }

  /** What of them is to be stored, and the outcome of each. @param known the lines that were found to be kept before. */
  function judged(
    batches: readonly Batch[],
    nowMs: number,
    known?: readonly NewLine[],
  ): { readonly accepted: Accepted[]; readonly outcomes: (Outcome | ToolError)[] } {
    const accepted: Accepted[] = [];
    const seen = new Map<string, Outcome>();
    const coming = new Map<string, Sum>();
    const outcomes = batches.map((batch): Outcome | ToolError => {
      const { owner = '', name } = batch;
      if (name !== undefined) {
        const key = `${owner}\0${name}`;
        const text = named.get(owner, name);
        const before = seen.get(key) ?? (text === undefined ? undefined : (JSON.parse(text) as Outcome));
        if (before) return { ...before, isRepeated: true };
      }
      const { lines, fresh, refused } = known
        ? { lines: known, fresh: [], refused: {} }
        : taken(batch, nowMs);
      try {
        requireRoom(batch, lines, coming);
      } catch (error) {
        streams.leave(fresh);
        if (error instanceof ToolError) return error;
        throw error;
      }
      const outcome: Outcome = { accepted: lines.length, refused, isRepeated: false };
      if (name !== undefined) seen.set(`${owner}\0${name}`, outcome);
      accepted.push({ batch, lines, fresh, outcome });
      return outcome;
    });
    return { accepted, outcomes };
  }

  /** @param put puts the lines where they belong, under this number. */
  function commit(
    number: number,
    nowMs: number,
    accepted: readonly Accepted[],
    put: () => ReadonlyMap<number, Part>,
  ): void {
    const lines = accepted.flatMap((one) => one.lines);
    try {
      const parts = [...put()];
      write(() => {
        for (const [startMs, part] of parts)
          grow.run(part.lines, part.bytes, part.first, part.last, part.driftMs, startMs);
        const places = parts.map(([startMs, part]) => [startMs, part.first, part.last]);
        if (lines.length > 0) insertBatch.run(number, nowMs, lines.length, JSON.stringify(places));
        const totals = new Map<string, number>();
        for (const { batch, lines: own, outcome } of accepted) {
          for (const [reason, many] of Object.entries(outcome.refused))
            totals.set(reason, (totals.get(reason) ?? 0) + many);
          if (batch.position) setPosition.run(batch.position.source, batch.position.position);
          if (batch.name !== undefined)
            insertName.run(batch.owner ?? '', batch.name, nowMs, JSON.stringify(outcome));
          if (batch.owner !== undefined) noteHoldings(batch.owner, own, parts);
        }
        for (const [reason, many] of totals) tally.run(reason, many);
        streams.note(lines);
        if (number % 1_000 === 0) {
          dropBatches.run(number - rememberedBatches);
          dropNames.run(nowMs - nameDays * dayMs);
        }
      });
    } catch (error) {
      readAgain();
      throw inWords(error);
    }
    if (lines.length > 0) committed = number;
    unclean.clear();
  }

  loadRegister();
  for (const startMs of register
    .prepare<[], number>('SELECT start_ms FROM segments ORDER BY start_ms DESC LIMIT 40')
    .pluck()
    .all())
    unclean.add(startMs);
  removeStrays();
  clean();
  countAnew();

  /** Files of segments that the register does not know: left by a start or an end that was cut off. */
  function removeStrays(): void {
    const known = new Set(
      register
        .prepare<[], number>('SELECT start_ms FROM segments')
        .pluck()
        .all()
        .map((startMs) => basename(segmentFile(dataDir, startMs))),
    );
    const folder = join(dataDir, 'segments');
    for (const name of readdirSync(folder)) {
      if (!known.has(name.replace(/-(?:wal|shm)$/, ''))) rmSync(join(folder, name), { force: true });
    }
  }

  /** What tokens hold in segments whose holdings are of a version that left out fields. */
  function countAnew(): void {
    const rows = register.prepare<[], SegmentRow>('SELECT * FROM segments WHERE is_counted = 0').all();
    for (const row of rows) {
      const held = opened(row).bySource();
      write(() => {
        register.prepare('DELETE FROM holdings WHERE segment = ?').run(row.start_ms);
        for (const [source, { lines, bytes }] of held) {
          const owner = ownerOf(source);
          if (owner !== undefined) hold.run(row.start_ms, owner, lines, bytes);
        }
        register.prepare('UPDATE segments SET is_counted = 1 WHERE start_ms = ?').run(row.start_ms);
      });
    }
  }

  function removeSegment(startMs: number): number {
    open.get(startMs)?.[Symbol.dispose]();
    open.delete(startMs);
    const lines = write(() => {
      const gone =
        register
          .prepare<[number], number>('SELECT lines FROM segments WHERE start_ms = ?')
          .pluck()
          .get(startMs) ?? 0;
      register.prepare('DELETE FROM segments WHERE start_ms = ?').run(startMs);
      register.prepare('DELETE FROM holdings WHERE segment = ?').run(startMs);
      return gone;
    });
    for (const end of ['', '-wal', '-shm']) rmSync(segmentFile(dataDir, startMs) + end, { force: true });
    return lines;
  }

  function bytesOf(startMs: number): number {
    return ['', '-wal'].reduce(
      (sum, end) =>
        sum + (statSync(segmentFile(dataDir, startMs) + end, { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
  }

  return {
    probe,
    positionOf: (source: string) => position.get(source),
    thresholds: () => Object.fromEntries([...thresholds].map(([service, level]) => [service, levels[level]])),

    /**
     * Stores batches together; each is on disk when this returns, whole. What keeps one from being taken, its quota, is its own
     * outcome; what keeps the disk from taking them is thrown, and nothing of them is kept.
     */
    append(batches: readonly Batch[], nowMs: number): (Outcome | ToolError)[] {
      if (unclean.size > 0) clean();
      const { accepted, outcomes } = judged(batches, nowMs);
      const lines = accepted.flatMap((one) => one.lines);
      lines.sort((one, other) => one.atMs - other.atMs);
      const number = committed + 1;
      commit(number, nowMs, accepted, () => {
        const parts = new Map<number, Part>();
        for (const [row, group] of bySegment(lines)) {
          unclean.add(row.start_ms);
          parts.set(row.start_ms, opened(row).append(number, nowMs, group));
        }
        return parts;
      });
      return outcomes;
    },

    /** Begins to store a batch in pieces. @returns its outcome where it is known already. */
    begin(batch: Batch, nowMs: number): Staging | Outcome | ToolError {
      const { accepted, outcomes } = judged([batch], nowMs);
      const [first] = accepted;
      const [outcome] = outcomes as [Outcome | ToolError];
      const isNextDue = (newest.get()?.lines ?? 0) >= keeping.linesPerSegment;
      if (first && (first.lines.length === 0 || isNextDue)) return this.append([batch], nowMs)[0] ?? outcome;
      if (!first) return outcome;
      lastStaged += 1;
      staged.add(lastStaged);
      const lines = first.lines.toSorted((one, other) => one.atMs - other.atMs);
      return {
        accepted: { ...first, lines },
        number: lastStaged,
        observedMs: nowMs,
        parts: new Map(),
        done: 0,
      };
    },

    /** The next piece. @returns whether it was the last. */
    stage(staging: Staging, count: number): boolean {
      const { accepted, number, observedMs, parts, done } = staging;
      const piece = accepted.lines.slice(done, done + count);
      try {
        for (const [row, group] of bySegment(piece)) {
          const part = opened(row).stage(number, observedMs, group);
          parts.set(row.start_ms, joined(parts.get(row.start_ms), part));
        }
      } catch (error) {
        this.leave(staging);
        readAgain();
        throw inWords(error);
      }
      staging.done += piece.length;
      return staging.done >= accepted.lines.length;
    },

    /** On disk when it returns, whole. */
    finish(staging: Staging, nowMs: number): Outcome | ToolError {
      const { accepted, number: stagedNumber, observedMs, parts } = staging;
      if (unclean.size > 0) clean();
      try {
        // Others of its token may have taken the room, or its name, meanwhile.
        const again = judged([accepted.batch], nowMs, accepted.lines);
        const [outcome] = again.outcomes as [Outcome | ToolError];
        if (again.accepted.length === 0) return outcome;
        const number = committed + 1;
        commit(number, observedMs, [accepted], () => {
          for (const [startMs, { lines }] of parts) {
            unclean.add(startMs);
            const row = segmentFor.get(startMs);
            // A segment goes by its age or at a caller's word, and another one may begin where it did.
            if (row?.start_ms !== startMs || opened(row).adopt(stagedNumber, number) !== lines) throw gone();
          }
          return parts;
        });
        staged.delete(stagedNumber);
        return accepted.outcome;
      } finally {
        this.leave(staging);
      }
    },

    /** What is there of it, and was not made to be seen, goes. */
    leave({ number, parts, accepted }: Staging): void {
      if (!staged.delete(number)) return;
      streams.leave(accepted.fresh);
      for (const startMs of parts.keys()) unclean.add(startMs);
    },

    /** The least serious level of a service that is stored; `undefined` for the general one again. */
    setThreshold(service: string, level: Level | undefined): void {
      write(() => {
        if (level === undefined) dropThreshold.run(service);
        else setThreshold.run(service, levels.indexOf(level));
      });
      loadRegister();
    },

    /** Segments that are too old as a whole, and the oldest while there are too many bytes. @returns the lines that went. */
    retain(nowMs: number): number {
      const rows = register.prepare<[], SegmentRow>('SELECT * FROM segments ORDER BY start_ms').all();
      let bytes = rows.reduce((sum, row) => sum + bytesOf(row.start_ms), 0);
      let old = 0;
      let large = 0;
      for (const [at, row] of rows.entries()) {
        const isOld = row.end_ms <= nowMs - keeping.days * dayMs;
        const isTooMuch = bytes > keeping.bytes && at < rows.length - 1;
        if (!isOld && !isTooMuch) break;
        bytes -= bytesOf(row.start_ms);
        const lines = removeSegment(row.start_ms);
        if (isOld) old += lines;
        else large += lines;
      }
      write(() => {
        if (old > 0) tally.run('expired_by_age', old);
        if (large > 0) tally.run('expired_by_size', large);
        streams.forgetOlder(oldest.get() ?? Infinity);
      });
      return old + large;
    },

    /** Takes out lines of a segment. @returns how many went of each source: others may have taken them out before. */
    remove(startMs: number, lines: readonly LineKey[]): Record<string, number> {
      const row = segmentFor.get(startMs);
      if (row?.start_ms !== startMs) return {};
      const gone = [...opened(row).remove(lines)];
      write(() => {
        for (const [source, sum] of gone) {
          grow.run(-sum.lines, -sum.bytes, row.last, 0, 0, startMs);
          tally.run('purged', sum.lines);
          const owner = ownerOf(source);
          if (owner !== undefined) hold.run(startMs, owner, -sum.lines, -sum.bytes);
        }
      });
      return Object.fromEntries(gone.map(([source, sum]) => [source, sum.lines]));
    },

    /** After lines were taken out: what there are none of any more takes no room. */
    forget(none: readonly SeenStream[]): void {
      write(() => streams.forget(none));
    },

    /** After lines were taken out: nothing of them stays on disk. @returns whether there was room to do so. */
    scrub(startMs: number): boolean {
      const row = segmentFor.get(startMs);
      if (row?.start_ms !== startMs) return true;
      try {
        opened(row).scrub();
        return true;
      } catch {
        return false;
      }
    },

    /** A segment with all of its lines. @returns how many of each source. */
    removeWhole(startMs: number): Record<string, number> {
      const row = segmentFor.get(startMs);
      if (row?.start_ms !== startMs) return {};
      const bySource = opened(row).bySource();
      const lines = removeSegment(startMs);
      write(() => tally.run('purged', lines));
      return Object.fromEntries([...bySource].map(([source, sum]) => [source, sum.lines]));
    },

    /** Merges some of the index of the newest segment while nothing else is to do. */
    tidy(): boolean {
      const segment = [...open.values()].at(-1);
      return segment?.tidy() ?? false;
    },

    [Symbol.dispose](): void {
      for (const segment of open.values()) segment[Symbol.dispose]();
      register.close();
    },
  };

  function noteHoldings(owner: string, own: readonly NewLine[], parts: readonly [number, Part][]): void {
    const held = new Map<number, [items: number, bytes: number]>();
    for (const line of own) {
      const { atMs, message } = line;
      const startMs = parts.findLast(([start]) => start <= atMs)?.[0] ?? parts[0]?.[0] ?? 0;
      const one = held.get(startMs) ?? [0, 0];
      one[0] += 1;
      one[1] += sizeOf(message, fieldsText(line));
      held.set(startMs, one);
    }
    for (const [startMs, [items, bytes]] of held) hold.run(startMs, owner, items, bytes);
  }
}
