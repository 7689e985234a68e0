/** The hub's data in SQLite: for one hub, with nothing to operate. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { openDatabase, openToRead, transactionsOf } from '#runtime/database.ts';
import type { Quota } from '#runtime/quotas.ts';

import {
  sharedKinds,
  type Engine,
  type Entry,
  type Kind,
  type Listener,
  type Reservation,
} from './engine.ts';
import { onDisk, openMail } from './sqlite-mail.ts';

export const databaseName = 'hub.db';
const migrations = join(import.meta.dirname, 'migrations');

interface EntryRow {
  readonly kind: Kind;
  readonly key: string;
  readonly owner: string;
  readonly version: number;
  readonly value: string;
  readonly changed_at: number;
  readonly expires_at: number | null;
}

interface ReservationRow {
  readonly name: string;
  readonly agent: string;
  readonly owner: string;
  readonly is_shared: number;
  readonly reason: string;
  readonly since: number;
  readonly until: number;
  readonly fence: number;
}

const entryOf = (row: EntryRow): Entry => ({
  kind: row.kind,
  key: row.key,
  owner: row.owner,
  version: row.version,
  value: JSON.parse(row.value),
  changedAtMs: row.changed_at,
  expiresAtMs: row.expires_at ?? undefined,
});

const reservationOf = (row: ReservationRow): Reservation => ({
  name: row.name,
  agent: row.agent,
  owner: row.owner,
  isShared: row.is_shared === 1,
  reason: row.reason,
  sinceMs: row.since,
  untilMs: row.until,
  fence: row.fence,
});

/** Less is a correction of the clock. */
const mostCorrectedMs = 1_000;

const isShared = (kind: Kind) => (sharedKinds as readonly Kind[]).includes(kind);

/** The names that cover this one: itself, itself with all below it, and each `…/**` above it. */
function coveringNames(name: string): string[] {
  const names = [name, `${name}/**`];
  for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1))
    names.push(`${name.slice(0, at)}/**`);
  return [...new Set(names)];
}

/**
 * @param nowMs for looking whether the clock was set back since the file was written.
 * @throws DamagedDataError when its file is damaged; UnavailableError when the disk is full.
 */
export function openSqlite(file: string, quota: Quota, listener: Listener, nowMs?: number): Engine {
  const database = openDatabase(file, migrations);
  database.pragma('cache_size = -65536');
  const transactions = transactionsOf(database);
  const prepare = <Row>(sql: string) => database.prepare<unknown[], Row>(sql);
  const all = prepare<EntryRow>('SELECT * FROM entry WHERE kind = ? ORDER BY key');
  const get = prepare<EntryRow>('SELECT * FROM entry WHERE kind = ? AND key = ?');
  const put = prepare(
    `INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET owner = excluded.owner, version = excluded.version, value = excluded.value,
       changed_at = excluded.changed_at, expires_at = excluded.expires_at`,
  );
  const remove = prepare('DELETE FROM entry WHERE kind = ? AND key = ? AND owner = ?');
  const removeSubscription = prepare("DELETE FROM entry WHERE kind = 'subscription' AND key = ?");
  const removeExpired = prepare('DELETE FROM entry WHERE expires_at <= ?');
  const list = prepare<EntryRow>(
    `SELECT * FROM entry WHERE kind = ? AND key > ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?`,
  );

  const overlapping = prepare<ReservationRow>(
    'SELECT * FROM reservation WHERE name IN (SELECT value FROM json_each(:names)) AND until > :now AND agent <> :agent',
  );
  const below = prepare<ReservationRow>(
    'SELECT * FROM reservation WHERE name >= :from AND name < :end AND until > :now AND agent <> :agent',
  );
  const addReservation = prepare('INSERT OR REPLACE INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const nextFence = prepare<{ value: number }>(
    "UPDATE tally SET value = value + 1 WHERE name = 'fence' RETURNING value",
  );
  const removeReservation = prepare('DELETE FROM reservation WHERE name = ? AND agent = ?');
  const removeReservations = prepare<{ name: string }>(
    'DELETE FROM reservation WHERE agent = ? RETURNING name',
  );
  const holdsNames = prepare('SELECT 1 FROM reservation WHERE agent = ? LIMIT 1');
  const removePast = prepare('DELETE FROM reservation WHERE until <= ?');
  const reservations = prepare<ReservationRow>(
    'SELECT * FROM reservation WHERE until > ? ORDER BY name, agent',
  );
  const setSeen = prepare(
    'INSERT INTO seen VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)',
  );
  const removeSeen = prepare('DELETE FROM seen WHERE agent = ?');
  const allSeen = prepare<{ agent: string; at: number }>('SELECT * FROM seen');

  const change = async <Value>(work: () => Value) => onDisk(() => transactions.write(work));
  const read = async <Value>(work: () => Value) => onDisk(() => transactions.read(work));

  /** Whether one of this name has left something behind. */
  const hasLeft = (agent: string) => mail.inMailbox(agent) > 0 || holdsNames.get(agent) !== undefined;

  function putNow(entry: Omit<Entry, 'version'>, version: number | undefined) {
    const { kind, key, owner, value, changedAtMs, expiresAtMs } = entry;
    const row = get.get(kind, key);
    const isThere = row && (row.expires_at === null || row.expires_at > changedAtMs);
    const isInTheWay = isThere && (row.owner !== owner || (version !== undefined && row.version !== version));
    if (isInTheWay) return { done: false, entry: entryOf(row) };
    if (!isThere && (version || (kind === 'agent' && !row && hasLeft(key))))
      return { done: false, entry: { ...entry, version: 0 } };
    const next = (row?.version ?? 0) + 1;
    put.run(kind, key, owner, next, JSON.stringify(value), changedAtMs, expiresAtMs ?? null);
    return { done: true, entry: { ...entry, version: next } };
  }

  function inTheWay({ name, agent, isShared: shares }: Omit<Reservation, 'fence'>, now: number) {
    const rows = overlapping.all({ names: JSON.stringify(coveringNames(name)), agent, now });
    if (name.endsWith('/**')) {
      const stem = name.slice(0, -'/**'.length);
      rows.push(...overlapping.all({ names: JSON.stringify([stem]), agent, now }));
      // '0' is what comes after '/'.
      rows.push(...below.all({ from: `${stem}/`, end: `${stem}0`, agent, now }));
    }
    return rows.filter((row) => !shares || row.is_shared === 0);
  }

  const lastEver = prepare<{ at: number }>(
    `SELECT max(at) AS at FROM (SELECT max(at) AS at FROM seen
       UNION ALL SELECT time AS at FROM (SELECT time FROM message ORDER BY seq DESC LIMIT 1))`,
  );
  const seeNow = prepare('UPDATE seen SET at = ? WHERE at > ?');
  const holdShorter = prepare('UPDATE reservation SET until = until - ?');

  /**
   * What the hub did last lies in the future where the clock was set back while the hub was not there, or has gone on by its own since: so
   * all that ends with time ends earlier by as much. Of contexts, which may last for years, the end is left as it was told.
   */
  function followSetBack(nowMs: number): void {
    const aheadMs = (lastEver.get()?.at ?? 0) - nowMs;
    if (aheadMs <= mostCorrectedMs) return;
    transactions.write(() => {
      mail.endEarlier(aheadMs);
      seeNow.run(nowMs, nowMs);
      holdShorter.run(aheadMs);
    });
  }

  const mail = openMail(database, transactions, quota, (agent) => listener.arrived(agent));
  if (nowMs !== undefined) followSetBack(nowMs);
  for (const kind of sharedKinds) for (const row of all.all(kind)) listener.changed({ put: entryOf(row) });

  return {
    ...mail.engine,
    async current() {},

    async put(entry, version) {
      const result = await change(() => putNow(entry, version));
      if (result.done && isShared(entry.kind)) listener.changed({ put: result.entry });
      return result;
    },

    async remove(kind, key, owner) {
      const isDone = await change(() => {
        const wasThere = remove.run(kind, key, owner).changes > 0;
        if (wasThere && kind === 'agent') removeSeen.run(key);
        return wasThere;
      });
      if (isDone && isShared(kind)) listener.changed({ removed: { kind, key } });
      return isDone;
    },

    async vacate(agent, subscriptions, reason, nowMs) {
      const { ended, released } = await change(() => {
        if (mail.isTaken(agent)) return { ended: [], released: 0 };
        return {
          ended: subscriptions.filter((key) => removeSubscription.run(key).changes > 0),
          released: removeReservations.all(agent).length,
        };
      });
      for (const key of ended) listener.changed({ removed: { kind: 'subscription', key } });
      return { dead: await mail.dropMailbox(agent, reason, nowMs), released };
    },

    get: async (kind, key, nowMs) =>
      read(() => {
        const row = get.get(kind, key);
        return row && (row.expires_at ?? Infinity) > nowMs ? entryOf(row) : undefined;
      }),

    list: async (kind, after, most, nowMs) => read(() => list.all(kind, after, nowMs, most).map(entryOf)),

    reserve: async (wanted, nowMs) =>
      change(() => {
        removePast.run(nowMs);
        const held = new Map(
          wanted
            .flatMap((one) => inTheWay(one, nowMs))
            .map((row) => [JSON.stringify([row.name, row.agent]), reservationOf(row)]),
        );
        if (held.size > 0) return { held: [...held.values()] };
        const made = wanted.map((one): Reservation => {
          const fence = (nextFence.get() as { value: number }).value;
          const { name, agent, owner, reason, sinceMs, untilMs } = one;
          addReservation.run(name, agent, owner, one.isShared ? 1 : 0, reason, sinceMs, untilMs, fence);
          return { ...one, fence };
        });
        return { made };
      }),

    unreserve: async (agent, names) =>
      change(() =>
        names
          ? names.filter((name) => removeReservation.run(name, agent).changes > 0)
          : removeReservations.all(agent).map(({ name }) => name),
      ),

    reservations: async (nowMs) => read(() => reservations.all(nowMs).map(reservationOf)),

    seen: async (agents) =>
      change(() => {
        // One may have left meanwhile.
        for (const [agent, atMs] of agents) if (mail.isTaken(agent)) setSeen.run(agent, atMs);
      }),

    lastSeen: async () => read(() => new Map(allSeen.all().map(({ agent, at }) => [agent, at]))),

    trim: async (beforeMs, most) => {
      await change(() => removeExpired.run(beforeMs));
      return mail.engine.trim(beforeMs, most);
    },

    async probe() {
      transactions.probe();
      return [];
    },

    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}

/** What lies in a copy of the data folder, for the proof of a backup; on Redis nothing lies there. */
export function openCopy(dataDir: string): Disposable {
  const file = join(dataDir, databaseName);
  if (!existsSync(file)) return { [Symbol.dispose]() {} };
  return openToRead(file);
}
