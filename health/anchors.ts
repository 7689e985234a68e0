/**
 * How far the audit trail of every process had come, as health saw it: a second home for their heads, so that a trail that
 * was cut, changed or taken away shows.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sortAnchors, type Break } from '#runtime/account/audit-breaks.ts';
import type { Head } from '#runtime/account/audit-chain.ts';
import type { Anchor } from '#runtime/account/audit-proof.ts';
import { openDatabase, openToRead, type Database, type Statement } from '#runtime/database.ts';

/** What a poll brought of one process. */
export interface Seen {
  readonly name: string;
  readonly audit?: Head | undefined;
}

interface Row extends Head {
  readonly name: string;
  readonly line: number;
  readonly atMs: number;
}

const migrations = fileURLToPath(new URL('anchors', import.meta.url));
const minuteMs = 60_000;
const hour = 60;
const day = 24 * hour;
/** Every minute for two hours, every hour for a week, then a day; so many of each process at most, about two years. */
const [minutesFor, hoursFor, mostOfEach] = [2 * hour, 7 * day, 1_000];

const everyRow =
  'SELECT name, chain, line, sequence, hash, at_ms AS atMs FROM anchors ORDER BY name, chain, line, minute';

const fileIn = (healthFolder: string) => join(healthFolder, 'anchors.db');

export class Anchors implements Disposable {
  readonly #database: Database;
  readonly #breaks: () => readonly Break[];
  readonly #record: (atMs: number, news: readonly Row[]) => void;
  readonly #thin: (minute: number) => void;
  readonly #rows: Statement<Row>;
  /** The furthest of each chain, by name and chain. */
  readonly #last = new Map<string, Row>();
  readonly #heads = new Map<string, Head>();
  #minute = 0;
  #troubles: readonly string[] = [];

  constructor(healthFolder: string, breaks: () => readonly Break[]) {
    const database = openDatabase(fileIn(healthFolder), migrations);
    // As with the polls: a power cut may take the last of them.
    database.pragma('synchronous = NORMAL');
    this.#database = database;
    this.#breaks = breaks;
    this.#rows = database.prepare(everyRow);
    for (const row of this.#rows.all()) this.#keep(row);

    const insert = database.prepare(
      `INSERT INTO anchors VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         sequence = excluded.sequence, hash = excluded.hash, at_ms = excluded.at_ms`,
    );
    this.#record = database.transaction((atMs: number, news: readonly Row[]) => {
      for (const { name, chain, line, sequence, hash } of news)
        insert.run(name, chain, line, Math.floor(atMs / minuteMs), sequence, hash, atMs);
    });
    const newestOf = (minutes: number) =>
      database.prepare(
        `DELETE FROM anchors AS old WHERE minute < ? AND EXISTS (
           SELECT 1 FROM anchors AS new WHERE (new.name, new.chain, new.line) = (old.name, old.chain, old.line)
             AND new.minute > old.minute AND new.minute < (old.minute / ${minutes} + 1) * ${minutes})`,
      );
    const [hourly, daily] = [newestOf(hour), newestOf(day)];
    // By their number: a clock that is fast for a while must not take all of them.
    const count = database.prepare(
      `DELETE FROM anchors AS old WHERE
         (SELECT count(*) FROM anchors AS new WHERE new.name = old.name AND new.minute > old.minute) >= ${mostOfEach}`,
    );
    this.#thin = database.transaction((minute: number) => {
      hourly.run(minute - minutesFor);
      daily.run(minute - hoursFor);
      count.run();
    });
  }

  /** What a person should look at; empty when every trail goes on from what was seen of it. */
  get troubles(): readonly string[] {
    return this.#troubles;
  }

  record(atMs: number, seen: readonly Seen[]): void {
    const before = this.#chains();
    const news = seen.flatMap(({ name, audit }) => this.#newsOf(name, audit, atMs));
    if (news.length > 0) this.#record(atMs, news);
    const isOfNewLine = news.filter((row) => this.#keep(row)).length > 0 || before !== this.#chains();
    const minute = Math.floor(atMs / minuteMs);
    if (minute !== this.#minute && minute % hour === 0) this.#thin(minute);
    if (isOfNewLine || minute !== this.#minute) this.#troubles = this.#look();
    this.#minute = minute;
  }

  #chains(): string {
    return [...this.#heads.values()].map(({ chain }) => chain).join(' ');
  }

  #newsOf(name: string, head: Head | undefined, atMs: number): readonly Row[] {
    if (!head) return [];
    this.#heads.set(name, head);
    const last = this.#last.get(`${name} ${head.chain}`);
    if (last?.sequence === head.sequence && last.hash === head.hash) return [];
    const wentBack = last !== undefined && head.sequence <= last.sequence;
    return [{ name, ...head, line: (last?.line ?? 0) + Number(wentBack), atMs }];
  }

  /** @returns whether it begins a line. */
  #keep(row: Row): boolean {
    const key = `${row.name} ${row.chain}`;
    const last = this.#last.get(key);
    const isOfNewLine = last === undefined || row.line > last.line;
    if (isOfNewLine || row.sequence > last.sequence) this.#last.set(key, row);
    return isOfNewLine;
  }

  #look(): readonly string[] {
    let breaks: readonly Break[];
    try {
      breaks = this.#breaks();
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
    return [...Map.groupBy(this.#rows.all(), ({ name }) => name)].flatMap(([name, rows]) => {
      const head = this.#heads.get(name);
      if (!head) return []; // not seen yet
      const { due, unexplained } = sortAnchors(name, head, rows.map(anchorOf), breaks);
      const lines = this.#last.get(`${name} ${head.chain}`)?.line ?? 0;
      const isTurnedBack = lines > 0 && due.some(({ chain, line }) => chain === head.chain && line < lines);
      const remedy = 'see: flotilla audit verify';
      return [
        ...(unexplained.length > 0
          ? [`${name} has another audit trail than before, and no restore explains it; ${remedy}`]
          : []),
        ...(isTurnedBack ? [`the audit trail of ${name} went back; ${remedy}`] : []),
      ];
    });
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function anchorOf({ atMs, ...row }: Row): Row & Anchor {
  return { ...row, atMs, seenAt: new Date(atMs).toISOString(), seenBy: 'health' };
}

/** What health has seen, by the names of processes; for others than health itself, which may run meanwhile. */
export function readAnchors(healthFolder: string): ReadonlyMap<string, readonly Anchor[]> {
  if (!existsSync(fileIn(healthFolder))) return new Map();
  using database = openToRead(fileIn(healthFolder));
  const rows = database.prepare<[], Row>(everyRow).all();
  return new Map(
    [...Map.groupBy(rows, ({ name }) => name)].map(([name, those]) => [name, those.map(anchorOf)]),
  );
}
