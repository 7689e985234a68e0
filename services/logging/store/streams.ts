/** Pairs of a service and a source of which there are lines, and how many there may be. The only SQL on them that writes. */
import type { Database } from '#runtime/database.ts';

import { ownerOf, type NewLine } from './line.ts';

/** Of what tokens bring, and as many of what is fetched: neither takes the room of the other. */
export const mostStreams = 5_000;
/** Of what one token brings. */
export const mostStreamsOfToken = 1_000;

/** One that may go, with how many lines it had ever when it was looked at. */
export interface SeenStream {
  readonly service: string;
  readonly source: string;
  readonly lines: number;
}

type Stream = Pick<NewLine, 'service' | 'source'>;

const keyOf = ({ service, source }: Stream) => `${service}\0${source}`;

export function openStreams(register: Database) {
  const all = register.prepare<[], Stream>('SELECT service, source FROM streams');
  const isStored = register
    .prepare<[string, string], number>('SELECT 1 FROM streams WHERE service = ? AND source = ?')
    .pluck();
  const saw = register.prepare(
    'INSERT INTO streams VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, last_ms = max(last_ms, excluded.last_ms)',
  );
  const dropOlder = register.prepare<[number]>('DELETE FROM streams WHERE last_ms < ?');
  const drop = register.prepare<[string, string, number]>(
    'DELETE FROM streams WHERE service = ? AND source = ? AND lines = ?',
  );
  /** Those that are stored, and those of lines that are being stored. */
  const known = new Set<string>();
  const fetched = { count: 0, most: mostStreams };
  const ofTokens = { count: 0, most: mostStreams };
  const ofToken = new Map<string, { count: number; most: number }>();

  /** The shares that a source takes of. */
  function sharesOf(source: string) {
    const owner = ownerOf(source);
    if (owner === undefined) return [fetched];
    const own = ofToken.get(owner) ?? { count: 0, most: mostStreamsOfToken };
    ofToken.set(owner, own);
    return [ofTokens, own];
  }

  function add(stream: Stream): void {
    const key = keyOf(stream);
    if (known.has(key)) return;
    known.add(key);
    for (const share of sharesOf(stream.source)) share.count += 1;
  }

  function remove(stream: Stream): void {
    if (!known.delete(keyOf(stream))) return;
    for (const share of sharesOf(stream.source)) share.count -= 1;
  }

  function load(): void {
    known.clear();
    ofToken.clear();
    fetched.count = 0;
    ofTokens.count = 0;
    for (const stream of all.all()) add(stream);
  }

  return {
    /** Those that are stored, and no others. */
    load,

    /** Takes room for a line. @param fresh gets it where there was none like it. @returns whether there is room. */
    admit({ service, source }: Stream, fresh: Stream[]): boolean {
      const stream = { service, source };
      if (known.has(keyOf(stream))) return true;
      if (sharesOf(source).some(({ count, most }) => count >= most)) return false;
      add(stream);
      fresh.push(stream);
      return true;
    },

    /** Gives back room that was taken for lines that were not stored. */
    leave(fresh: readonly Stream[]): void {
      for (const stream of fresh)
        if (isStored.get(stream.service, stream.source) === undefined) remove(stream);
    },

    /** In the transaction that stores lines. */
    note(lines: readonly NewLine[]): void {
      const seen = new Map<string, { readonly stream: Stream; lines: number; lastMs: number }>();
      for (const line of lines) {
        const key = keyOf(line);
        const one = seen.get(key) ?? { stream: line, lines: 0, lastMs: line.atMs };
        one.lines += 1;
        one.lastMs = Math.max(one.lastMs, line.atMs);
        seen.set(key, one);
      }
      for (const { stream, lines: many, lastMs } of seen.values()) {
        saw.run(stream.service, stream.source, many, lastMs);
        add(stream);
      }
    },

    /** Those whose last line is older. */
    forgetOlder(ms: number): void {
      if (dropOlder.run(ms).changes > 0) load();
    },

    /** Those that had no lines any more when they were looked at, and got none since. */
    forget(streams: readonly SeenStream[]): void {
      for (const { service, source, lines } of streams) {
        if (drop.run(service, source, lines).changes > 0) remove({ service, source });
      }
    },
  };
}
