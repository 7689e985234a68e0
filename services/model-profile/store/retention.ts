/** Lets go of old decisions, with their outcomes. A token loses its own alone, so what one sends pushes out nothing of another. */
import { transactionsOf, type Database } from '#runtime/database.ts';

import { dayMs } from './day.ts';
import type { Uids } from './uids.ts';

/** Rows that are let go, or passed over since they are those of others, with one commit. */
const rowsPerCommit = 5_000;
/** A decision without its texts, with its place among the uids. */
export const rowBytes = 120;
const bytesOfRow = `${rowBytes} + octet_length(uid) + coalesce(octet_length(item), 0) + coalesce(octet_length(cluster), 0) + coalesce(octet_length(more), 0)`;
/** An outcome that came later, without the name of its judge. */
export const eventBytes = 80;

interface Owner {
  readonly id: number;
  readonly decisions: number;
  readonly oldest: number;
}

interface Sizes {
  readonly owner: string;
  readonly items: number;
  readonly bytes: number;
}

/** What tokens keep: their own decisions, and the outcomes that they said later. */
export function openHoldings(database: Database) {
  const hold = database.prepare(
    'INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes',
  );
  // Before the first of those that it has, nothing needs to be looked at.
  const addDecisions = database.prepare(
    'UPDATE owner SET decisions = decisions + @items, oldest = iif(decisions = 0, @from, oldest) WHERE name = @owner',
  );
  const sizesBetween = database.prepare<[number, number], Sizes>(
    `SELECT owner.name AS owner, count(*) AS items, sum(${bytesOfRow}) AS bytes FROM decision JOIN owner ON owner.id = decision.owner WHERE decision.id BETWEEN ? AND ? GROUP BY decision.owner`,
  );
  return {
    hold: (owner: string, items: number, bytes: number) => hold.run(owner, items, bytes),
    /** The decisions among these changes are new. To be called in their transaction. */
    addBetween(from: number, to: number): void {
      for (const { owner, items, bytes } of sizesBetween.all(from, to)) {
        hold.run(owner, items, bytes);
        addDecisions.run({ items, from, owner });
      }
    },
  };
}

export function openRetention(
  database: Database,
  uids: Uids,
  { days, decisions: most }: { readonly days: number; readonly decisions: number },
) {
  const { write } = transactionsOf(database);
  const { hold } = openHoldings(database);
  const owners = database.prepare<[], number>('SELECT id FROM owner WHERE decisions > 0').pluck();
  const ownerBy = database.prepare<[number], Owner>('SELECT id, decisions, oldest FROM owner WHERE id = ?');
  const setOwner = database.prepare('UPDATE owner SET decisions = ?, oldest = ? WHERE id = ?');
  const rowsFrom = database.prepare<[number], { id: number; owner: number; at_ms: number }>(
    'SELECT id, owner, at_ms FROM decision WHERE id >= ? ORDER BY id',
  );
  const range = 'd.id BETWEEN ? AND ? AND d.owner = ?';
  const sizes = database.prepare<[number, number, number], Sizes>(
    `SELECT name AS owner, count(*) AS items, sum(${bytesOfRow}) AS bytes FROM decision AS d JOIN owner ON owner.id = d.owner WHERE ${range}`,
  );
  // In this order of tables: SQLite would otherwise look through all outcomes.
  const events = 'decision AS d CROSS JOIN outcome_event AS e ON e.decision = d.id';
  const sizesOfEvents = database.prepare<[number, number, number], Sizes & { last: number }>(
    `SELECT name AS owner, count(*) AS items, sum(${eventBytes} + coalesce(octet_length(e.evaluator), 0)) AS bytes, max(e.id) AS last FROM ${events} JOIN owner ON owner.id = e.owner WHERE ${range} GROUP BY e.owner`,
  );
  const dropEvents = database.prepare(
    `DELETE FROM outcome_event WHERE id IN (SELECT e.id FROM ${events} WHERE ${range})`,
  );
  const dropDecisions = database.prepare('DELETE FROM decision WHERE id BETWEEN ? AND ? AND owner = ?');
  const setLastGone = database.prepare("UPDATE counter SET value = max(value, ?) WHERE name = 'last_gone'");

  /** What of an owner is next to go: the oldest, in the order in which they came, up to the first that stays. */
  function nextOf({ id: owner, decisions, oldest }: Owner, oldMs: number) {
    const gone: number[] = [];
    let [from, looked, isDone] = [oldest, 0, true];
    for (const row of rowsFrom.iterate(oldest)) {
      if (looked === rowsPerCommit) {
        isDone = false;
        break;
      }
      looked += 1;
      if (row.owner === owner) {
        const stays = row.at_ms >= oldMs && decisions - gone.length <= most;
        from = stays ? row.id : row.id + 1;
        if (stays) break;
        gone.push(row.id);
      } else {
        from = row.id + 1;
      }
    }
    return { gone, from, isDone };
  }

  function letGo(owner: Owner, gone: readonly number[]): void {
    const [first, last] = [gone[0], gone.at(-1)];
    if (first === undefined || last === undefined) return;
    const where = [first, last, owner.id] as const;
    let lastGone = last;
    for (const { owner: name, items, bytes, last: lastEvent } of sizesOfEvents.all(...where)) {
      hold(name, -items, -bytes);
      lastGone = Math.max(lastGone, lastEvent);
    }
    for (const { owner: name, items, bytes } of sizes.all(...where)) hold(name, -items, -bytes);
    dropEvents.run(...where);
    dropDecisions.run(...where);
    uids.drop(gone);
    setLastGone.run(lastGone);
  }

  /**
   * Each step is one commit, of one token after the other, and tells how many decisions went with it. Others may write between two
   * steps.
   */
  return function* retaining(nowMs: number): Generator<number, void> {
    const oldMs = nowMs - days * dayMs;
    const due = owners.all();
    for (let id = due.shift(); id !== undefined; id = due.shift()) {
      const owner = ownerBy.get(id);
      if (!owner) continue;
      const { gone, from, isDone } = nextOf(owner, oldMs);
      if (from !== owner.oldest)
        write(() => {
          letGo(owner, gone);
          setOwner.run(owner.decisions - gone.length, from, owner.id);
        });
      if (!isDone) due.push(id);
      yield gone.length;
    }
  };
}
