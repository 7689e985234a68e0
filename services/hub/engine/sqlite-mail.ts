/** Messages and mailboxes in SQLite. The only SQL on them. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Database, Transactions } from '#runtime/database.ts';
import { sharingCommit } from '#runtime/database.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import { takeTurn } from '#runtime/turns.ts';

import type { AgentName, Envelope, Packed, Stored } from '../message.ts';
import {
  deliveryStates,
  urgency,
  type Appended,
  type Backlog,
  type DeadLetter,
  type Delivered,
  type Delivery,
  type Died,
  type Engine,
  type Lease,
  type Mailbox,
  type Outgoing,
  type Placed,
  type Receiver,
  type Settled,
  type Settlement,
  type Swept,
} from './engine.ts';
import { inParts, newestDead, slicesOf } from './parts.ts';
import { openLanes, urgencies } from './sqlite-lanes.ts';
import { openSpreading, placesAtOnce } from './sqlite-spreading.ts';

const states = { pending: 0, leased: 1, acknowledged: 2, dead: 3 } as const;

interface MessageRow {
  readonly seq: number;
  readonly owner: string;
  readonly readers: string;
  readonly receivers: string;
  readonly envelope: string;
  readonly encoding: Packed['encoding'];
  readonly size: number;
  readonly body: Uint8Array;
}

interface DeliveryRow {
  readonly agent: AgentName;
  readonly seq: number;
  readonly source: AgentName;
  readonly urgency: number;
  readonly state: number;
  readonly due: number;
  readonly attempts: number;
  readonly base: number;
  readonly at: number;
  readonly expires: number;
  readonly is_replay: number;
  readonly reason: string | null;
}

type DeadRow = Pick<DeliveryRow, 'agent' | 'seq' | 'at'>;
type HeadRow = Pick<MessageRow, 'seq' | 'envelope' | 'owner'>;

/** Bodies that one page of the log holds at most, beside the first. */
const pageOfLogBytes = 1_048_576;
/** Places of the log that are looked through for one agent at once: some milliseconds of work. */
const placesOfLog = 5_000;
/** Mailboxes whose dead letters are looked for at once: some milliseconds of work. */
const mailboxesAtOnce = 500;
/** Rows that one sweep looks at: some milliseconds of work. */
const sweepRows = 500;
/** So many have to go from full mailboxes in one change, beside one for each message that comes: some milliseconds of work. */
const droppedAtOnce = 200;
/** Departures that are forgotten at once: some milliseconds of work. */
const departuresAtOnce = 1_000;
/** How many of a token's oldest messages go at once when it keeps too much: one that fills its quota does not pay for each. */
const trimmedAtOnce = 200;
/** Of a token's messages so many are looked through for such at once, and so many times in a call: some milliseconds each. */
const lookedAtOnce = 10_000;
const mostLooks = 4;
/** Then it is refused for so long without a look. */
const stuckMs = 1_000;
/** The same while there is more to look through. */
const pauseMs = 200;

const headOfStored = (row: Omit<MessageRow, 'encoding' | 'size' | 'body'>): Omit<Stored, 'body'> => ({
  seq: row.seq,
  envelope: JSON.parse(row.envelope) as Envelope,
  owner: row.owner,
  readers: JSON.parse(row.readers) as string[],
  receivers: JSON.parse(row.receivers) as AgentName[],
});

const storedOf = (row: MessageRow): Stored => ({
  ...headOfStored(row),
  body: { encoding: row.encoding, bytes: row.body, sizeBytes: row.size },
});

const deliveryOf = ({ agent, seq, state, attempts, at, reason }: DeliveryRow): Delivery => ({
  seq,
  agent,
  state: deliveryStates[state] as Delivery['state'],
  attempts,
  atMs: at,
  reason: reason ?? undefined,
});

const exhausted = (attempts: number) => `no acknowledgement in ${attempts} attempts`;

/** What work has done or seen, once it is on disk: a read too may see what was written in the same turn. */
export async function onDisk<Value>(work: () => Value): Promise<Value> {
  const { value, committed } = sharingCommit(work);
  await committed;
  return value;
}

/** Tells who waits for messages of an agent, once they are on disk. */
type Wake = (agent: AgentName) => void;

function told(placed: readonly Placed[], wake: Wake): readonly Placed[] {
  for (const { agent, outcome } of placed) if (outcome === 'queued') wake(agent);
  return placed;
}

export function openMail(
  database: Database,
  transactions: Transactions,
  quota: Quota,
  arrived: (agent: AgentName) => void,
) {
  const prepare = <Row>(sql: string) => database.prepare<unknown[], Row>(sql);
  const columns = 'seq, owner, readers, receivers, envelope, encoding, size, body';
  const quotas = openQuotas(database, quota, '');

  const insertMessage = prepare(
    `INSERT INTO message (source, id, digest, owner, readers, receivers, correlation, time, envelope, encoding, size, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const findMessages = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE source = ? AND id = ? ORDER BY seq DESC`,
  );
  const findDigest = prepare<{ seq: number; digest: string }>(
    'SELECT seq, digest FROM message WHERE source = ? AND id = ? AND owner = ?',
  );
  const messageAt = prepare<MessageRow>(`SELECT ${columns} FROM message WHERE seq = ?`);
  const insertDelivery = prepare('INSERT INTO delivery VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, ?, 0, ?)');
  const waiting = prepare<{ waiting: number }>('SELECT waiting FROM mailbox WHERE agent = ?');
  const keeps = prepare<Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  const oldestPending = prepare<DeliveryRow>(
    'SELECT * FROM delivery WHERE agent = ? AND state = 0 AND urgency = ? ORDER BY seq LIMIT ?',
  );
  const pendingUpTo = prepare<{ count: number }>(
    'SELECT count(*) AS count FROM (SELECT 1 FROM delivery WHERE agent = ? AND state = 0 LIMIT ?)',
  );
  const sizeAt = prepare<{ size: number }>('SELECT size FROM message WHERE seq = ?');

  const leaseAny = prepare<DeliveryRow>(
    `SELECT * FROM delivery WHERE agent = :agent AND state = 0 AND due <= :now AND expires > :now
     ORDER BY urgency DESC, seq LIMIT :most`,
  );
  const setLeased = prepare(
    'UPDATE delivery SET state = 1, due = ?, attempts = attempts + 1, at = ? WHERE agent = ? AND seq = ?',
  );
  const find = prepare<DeliveryRow>('SELECT * FROM delivery WHERE agent = ? AND seq = ?');
  const settle = prepare(
    'UPDATE delivery SET state = ?, due = ?, at = ?, reason = ? WHERE agent = ? AND seq = ?',
  );
  const setDue = prepare('UPDATE delivery SET state = 1, due = ? WHERE agent = ? AND seq = ?');
  const allLeased = prepare<DeliveryRow>(
    'SELECT * FROM delivery WHERE due > 0 AND agent = ? AND state = 1 ORDER BY source, urgency, seq LIMIT ?',
  );
  const over = prepare<DeliveryRow>('SELECT * FROM delivery WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?');
  const expired = prepare<DeliveryRow>(
    'SELECT * FROM delivery WHERE state = 0 AND expires <= ? ORDER BY expires LIMIT ?',
  );
  const headOf = prepare<HeadRow>('SELECT seq, envelope, owner FROM message WHERE seq = ?');
  const allPending = prepare<DeliveryRow>(
    `SELECT * FROM delivery WHERE agent = :agent AND state = 0
     UNION ALL SELECT * FROM delivery WHERE due > 0 AND agent = :agent AND state = 1 LIMIT :most`,
  );
  const revive = prepare(
    `UPDATE delivery SET state = 0, due = 0, base = attempts, at = ?, expires = ?, is_replay = ?, reason = NULL
     WHERE agent = ? AND seq = ?`,
  );
  const addReplay = prepare('INSERT INTO delivery VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?, ?, 1, NULL)');
  const queued = prepare<{ seq: number }>(
    'SELECT seq FROM delivery WHERE agent = ? AND state = 0 AND seq > ? ORDER BY seq LIMIT ?',
  );
  const addMoved = prepare('INSERT INTO delivery VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?, ?, ?, NULL)');
  const removeDelivery = prepare('DELETE FROM delivery WHERE agent = ? AND seq = ?');
  const removeDead = prepare('DELETE FROM delivery WHERE agent = ? AND seq = ? AND state = 3');
  const deadSent = prepare<DeadRow>(
    `SELECT agent, seq, at FROM dead_sent WHERE owner = ? AND (at, seq, agent) < (?, ?, ?)
     ORDER BY at DESC, seq DESC, agent DESC LIMIT ?`,
  );
  const deadIn = prepare<DeadRow>(
    `SELECT agent, seq, at FROM delivery WHERE state = 3 AND agent = ? AND (at, seq, agent) < (?, ?, ?)
     ORDER BY at DESC, seq DESC LIMIT ?`,
  );
  const deadAt = prepare<DeliveryRow & Omit<MessageRow, 'encoding' | 'size' | 'body'>>(
    `SELECT d.*, m.owner, m.readers, m.receivers, m.envelope FROM delivery AS d JOIN message AS m USING (seq)
     WHERE d.agent = ? AND d.seq = ?`,
  );
  const deliveries = prepare<DeliveryRow>('SELECT * FROM delivery WHERE seq = ? ORDER BY agent');
  const forwards = prepare<MessageRow>(`SELECT ${columns} FROM message WHERE seq > ? ORDER BY seq LIMIT ?`);
  const backwards = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE seq < ? ORDER BY seq DESC LIMIT ?`,
  );
  const isOf = '(source = :agent OR instr(receivers, :quoted) > 0)';
  const forwardsOf = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE seq > :from AND seq <= :until AND ${isOf} ORDER BY seq LIMIT :most`,
  );
  const backwardsOf = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE seq < :from AND seq >= :until AND ${isOf} ORDER BY seq DESC LIMIT :most`,
  );
  const threadForwards = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE correlation = ? AND seq > ? ORDER BY seq LIMIT ?`,
  );
  const threadBackwards = prepare<MessageRow>(
    `SELECT ${columns} FROM message WHERE correlation = ? AND seq < ? ORDER BY seq DESC LIMIT ?`,
  );
  const timeFrom = prepare<{ seq: number; time: number }>(
    'SELECT seq, time FROM message WHERE seq >= ? ORDER BY seq LIMIT 1',
  );
  const ends = prepare<{ first: number | null; last: number | null }>(
    'SELECT (SELECT min(seq) FROM message) AS first, (SELECT max(seq) FROM message) AS last',
  );
  const oldest = prepare<{ time: number }>('SELECT time FROM message ORDER BY seq LIMIT 1');
  const lastEver = prepare<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'message'");
  const sizes = prepare<{ bytes: number | null; items: number | null }>(
    'SELECT sum(bytes) AS bytes, sum(items) - (SELECT count(*) FROM entry) AS items FROM kept',
  );
  const deadCount = prepare<{ count: number }>('SELECT count(*) AS count FROM delivery WHERE state = 3');
  const backlogs = prepare<{ agent: AgentName; waiting: number }>(
    'SELECT agent, waiting FROM mailbox WHERE waiting > 0 ORDER BY waiting DESC, agent LIMIT ?',
  );
  const leasedCount = prepare<{ count: number }>(
    'SELECT count(*) AS count FROM delivery WHERE due > 0 AND agent = ? AND state = 1',
  );
  const firstWaiting = urgencies
    .map(
      (urgent) =>
        `SELECT min(seq) AS seq FROM delivery WHERE agent = :agent AND state = 0 AND urgency = ${urgent}`,
    )
    .join(' UNION ALL ');
  const oldestOf = prepare<{ time: number }>(
    `SELECT time FROM message WHERE seq = (SELECT min(seq) FROM (${firstWaiting}
       UNION ALL SELECT min(seq) FROM delivery WHERE due > 0 AND agent = :agent))`,
  );
  // One that is being put into mailboxes is in none of the further ones yet.
  const isSettled = `NOT EXISTS (SELECT 1 FROM delivery AS d WHERE d.seq = message.seq AND d.state < 2)
    AND NOT EXISTS (SELECT 1 FROM spreading AS s WHERE s.seq = message.seq)`;
  const settledBefore = prepare<{ seq: number }>(
    `SELECT seq FROM message WHERE seq < ? AND time < ? AND ${isSettled} ORDER BY seq LIMIT ?`,
  );
  const stretchOf = `SELECT seq FROM message WHERE owner = ? AND seq > ? ORDER BY seq LIMIT ${lookedAtOnce}`;
  const settledOf = prepare<{ seq: number }>(
    `SELECT seq FROM (${stretchOf}) AS message WHERE ${isSettled} ORDER BY seq LIMIT ?`,
  );
  const endOf = prepare<{ last: number | null; count: number }>(
    `SELECT max(seq) AS last, count(*) AS count FROM (${stretchOf})`,
  );
  const removeMessage = prepare('DELETE FROM message WHERE seq = ?');
  const removeDeliveries = prepare('DELETE FROM delivery WHERE seq = ?');
  const tally = prepare<{ value: number }>('SELECT value FROM tally WHERE name = ?');
  const addToTally = prepare('UPDATE tally SET value = value + ? WHERE name = ?');

  const registered = prepare("SELECT 1 FROM entry WHERE kind = 'agent' AND key = ?");
  const isTaken = (agent: AgentName) => registered.get(agent) !== undefined;
  const leave = prepare('INSERT INTO departure VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at');
  const forgetDepartures = prepare(
    'DELETE FROM departure WHERE agent IN (SELECT agent FROM departure WHERE at < ? LIMIT ?)',
  );
  const forgetEmpty = prepare('DELETE FROM mailbox WHERE agent = ? AND waiting = 0');
  const leftAt = prepare<{ at: number }>('SELECT at FROM departure WHERE agent = ?');

  const dueEarlier = prepare('UPDATE delivery SET due = max(1, due - ?) WHERE due > 0');
  const expireEarlier = prepare('UPDATE delivery SET expires = expires - ? WHERE state < 2');

  const inMailbox = (agent: AgentName) => waiting.get(agent)?.waiting ?? 0;
  const lanes = openLanes<DeliveryRow>(database, inMailbox);

  /** What a change has to tell others when it is on disk. */
  async function change<Value>(work: (wake: Wake) => Value): Promise<Value> {
    const woken = new Set<AgentName>();
    const value = await onDisk(() => transactions.write(() => work((agent) => void woken.add(agent))));
    for (const agent of woken) arrived(agent);
    return value;
  }

  /** A further piece of what a token has begun: when it is the token's turn. */
  async function changeInTurn<Value>(owner: string, work: (wake: Wake) => Value): Promise<Value> {
    return new Promise((done) => {
      takeTurn(owner, () => done(change(work)), true);
    });
  }

  function diedOf({ agent, seq }: DeliveryRow, reason: string): Died {
    const { envelope, owner } = headOf.get(seq) as HeadRow;
    return { stored: { seq, envelope: JSON.parse(envelope) as Envelope, owner }, agent, reason };
  }

  const lapsedOf = (row: DeliveryRow) => diedOf(row, exhausted(row.attempts - row.base));

  const die = (row: DeliveryRow, reason: string, nowMs: number) =>
    settle.run(states.dead, 0, nowMs, reason, row.agent, row.seq);

  /** @returns how many had to go. */
  function dropOldest({ agent }: Mailbox, count: number, nowMs: number): number {
    let dropped = 0;
    for (const urgent of urgencies.toReversed()) {
      const rows = oldestPending.all(agent, urgent, count - dropped);
      for (const row of rows) die(row, 'dropped to make room', nowMs);
      dropped += rows.length;
    }
    return dropped;
  }

  /** Of these, the mailboxes that hold more than they may, when all that has to go from them is more than one change drops. */
  function crowdedOf(boxes: readonly Mailbox[]): readonly Mailbox[] {
    const above = boxes.filter((box) => box.whenFull === 'drop_oldest' && inMailbox(box.agent) > box.most);
    if (above.length === 0) return above;
    const each = [...new Map(above.map((box) => [box.agent, box])).values()];
    const toGo = each.map(({ agent, most }) =>
      Math.min(inMailbox(agent) - most, pendingUpTo.get(agent, droppedAtOnce + 1)?.count ?? 0),
    );
    return toGo.reduce((sum, count) => sum + count, 0) > droppedAtOnce ? each : [];
  }

  /** What is above their limits goes, piece by piece. */
  async function makeRoomIn(boxes: readonly Mailbox[], owner: string, nowMs: number): Promise<void> {
    for (const box of boxes)
      for (let dropped = droppedAtOnce; dropped === droppedAtOnce;)
        // oxlint-disable-next-line no-await-in-loop -- in pieces, so that others are served between them
        dropped = await changeInTurn(owner, () => {
          const excess = Math.max(0, inMailbox(box.agent) - box.most);
          return dropOldest(box, Math.min(excess, droppedAtOnce), nowMs);
        });
  }

  const isFull = ({ agent, most }: Mailbox) => inMailbox(agent) >= most;

  function place(box: Mailbox, seq: number, { envelope }: Pick<Stored, 'envelope'>, nowMs: number): Placed {
    const { agent, most, whenFull } = box;
    const excess = inMailbox(agent) - most + 1;
    const dropped = excess > 0 && whenFull === 'drop_oldest' ? dropOldest(box, excess, nowMs) : 0;
    // What is at work cannot be dropped.
    const isRefused = excess > 0 && dropped === 0;
    if (isRefused && whenFull === 'reject') return { agent, outcome: 'full', dropped };
    const [state, reason] = isRefused ? [states.dead, 'its mailbox was full'] : [states.pending, null];
    const { source, priority, expiresAtMs } = envelope;
    insertDelivery.run(agent, seq, source, urgency[priority], state, nowMs, expiresAtMs, reason);
    return { agent, outcome: isRefused ? 'dead_letter' : 'queued', dropped };
  }

  const spreading = openSpreading(database, transactions, {
    place,
    has: (agent, seq) => find.get(agent, seq) !== undefined,
    envelopeOf: (seq) => JSON.parse((headOf.get(seq) as HeadRow).envelope) as Envelope,
    makeRoomIn: async (boxes, owner, nowMs) => makeRoomIn(crowdedOf(boxes), owner, nowMs),
    changeInTurn: async (owner, work) => changeInTurn(owner, (wake) => told(work(), wake)),
  });

  function removeAll(rows: readonly { readonly seq: number }[]): void {
    for (const { seq } of rows) {
      removeDeliveries.run(seq);
      removeMessage.run(seq);
    }
  }

  const isOver = (owner: string) => {
    const held = keeps.get(owner);
    return held !== undefined && (held.items > quota.items || held.bytes > quota.bytes);
  };

  interface Search {
    /** All up to here was due when it was looked at. */
    readonly after: number;
    readonly stuckAtMs: number;
    readonly stuckForMs: number;
  }
  /** How far the messages of tokens that keep too much were looked through: that of all of them would hold the hub. */
  const searches = new Map<string, Search>();

  /** Looks at the next stretch of a token's messages, and lets some go. */
  function lookOn(owner: string, after: number, nowMs: number): 'freed' | 'nothing' | 'stuck' {
    const rows = settledOf.all(owner, after, trimmedAtOnce);
    if (rows.length > 0) {
      removeAll(rows);
      addToTally.run(rows.length, 'trimmed');
      searches.set(owner, { after, stuckAtMs: nowMs, stuckForMs: 0 });
      return 'freed';
    }
    const { last, count } = endOf.get(owner, after) as { last: number | null; count: number };
    const isEnd = last === null || count < lookedAtOnce;
    const stuckForMs = after === 0 && isEnd ? stuckMs : pauseMs;
    searches.set(owner, { after: isEnd ? 0 : last, stuckAtMs: nowMs, stuckForMs });
    return stuckForMs === stuckMs ? 'stuck' : 'nothing';
  }

  /** @returns whether the token keeps no more than it may, now. */
  function makeRoom(owner: string, nowMs: number): boolean {
    if (!isOver(owner)) return true;
    const before = searches.get(owner);
    // A clock that was set back makes nobody wait longer.
    if (before && Math.abs(nowMs - before.stuckAtMs) < before.stuckForMs) return false;
    for (let inVain = 0; inVain < mostLooks;) {
      const outcome = lookOn(owner, searches.get(owner)?.after ?? 0, nowMs);
      if (outcome === 'stuck') return false;
      if (outcome === 'nothing') inVain += 1;
      else if (!isOver(owner)) return true;
    }
    return false;
  }

  function appendOne(outgoing: Outgoing, nowMs: number): Appended {
    const { stored, digest, mailboxes, dead: why } = outgoing;
    const { envelope, body, owner, readers, receivers } = stored;
    const before = findDigest.get(envelope.source, envelope.id, owner);
    if (before) {
      const outcome = before.digest === digest ? 'duplicate' : 'conflict';
      return { outcome, seq: before.seq, placed: [] };
    }
    if (!makeRoom(owner, nowMs)) return { outcome: 'over_quota', seq: 0, placed: [] };
    if (mailboxes.length > 0 && mailboxes.every((box) => box.whenFull === 'reject' && isFull(box))) {
      const full = mailboxes.map(({ agent }): Placed => ({ agent, outcome: 'full', dropped: 0 }));
      return { outcome: 'full', seq: 0, placed: full };
    }
    const { lastInsertRowid } = insertMessage.run(
      envelope.source,
      envelope.id,
      digest,
      owner,
      JSON.stringify(readers),
      JSON.stringify(receivers),
      envelope.correlationId,
      nowMs,
      JSON.stringify(envelope),
      body.encoding,
      body.sizeBytes,
      body.bytes,
    );
    const seq = Number(lastInsertRowid);
    if (mailboxes.length > placesAtOnce) spreading.begin(seq, mailboxes);
    const placed = mailboxes.slice(0, placesAtOnce).map((box) => place(box, seq, stored, nowMs));
    if (why !== undefined)
      insertDelivery.run(
        '',
        seq,
        envelope.source,
        urgency[envelope.priority],
        states.dead,
        nowMs,
        envelope.expiresAtMs,
        why,
      );
    return { outcome: 'stored', seq, placed };
  }

  /** Ends leases that have run out. @returns those that are dead now. */
  function endLeases(
    rows: readonly DeliveryRow[],
    nowMs: number,
    mostAttempts: number,
    reason: string,
  ): DeliveryRow[] {
    const died: DeliveryRow[] = [];
    for (const row of rows) {
      if (row.attempts - row.base >= mostAttempts) {
        die(row, exhausted(row.attempts - row.base), nowMs);
        died.push(row);
      } else settle.run(states.pending, 0, nowMs, reason, row.agent, row.seq);
    }
    return died;
  }

  function leaseNow(lease: Lease): Delivered[] {
    const { agent, most, mostBytes, untilMs, nowMs, isOrdered } = lease;
    const rows = isOrdered ? lanes.free(lease) : leaseAny.all({ agent, now: nowMs, most });
    const delivered: Delivered[] = [];
    let bytes = 0;
    for (const row of rows) {
      // Of a body that is not given out only its size is read.
      if (delivered.length > 0 && bytes + (sizeAt.get(row.seq)?.size ?? 0) > mostBytes) break;
      const stored = storedOf(messageAt.get(row.seq) as MessageRow);
      bytes += stored.body.sizeBytes;
      setLeased.run(untilMs, nowMs, agent, row.seq);
      delivered.push({
        stored,
        attempt: row.attempts + 1,
        untilMs,
        isReplay: row.is_replay === 1,
      });
    }
    return delivered;
  }

  function settleOne(agent: AgentName, settlement: Settlement, nowMs: number): Settled {
    const row = find.get(agent, settlement.seq);
    const { attempt } = settlement;
    if (!row || attempt < 1 || attempt > row.attempts) return 'unknown';
    if (row.state >= states.acknowledged && row.at <= (leftAt.get(agent)?.at ?? -1)) return 'unknown';
    if (row.state === states.acknowledged)
      return settlement.as === 'acknowledged' && attempt === row.attempts ? 'before' : 'late';
    if (row.state === states.dead)
      return settlement.as === 'dead' && attempt === row.attempts ? 'before' : 'late';
    if (attempt < row.attempts) return 'late';
    switch (settlement.as) {
      case 'acknowledged':
        settle.run(states.acknowledged, 0, nowMs, row.reason, agent, row.seq);
        break;
      case 'dead':
        die(row, settlement.reason, nowMs);
        return 'dead';
      case 'extended':
        setDue.run(settlement.untilMs, agent, row.seq);
        break;
      case 'retry':
        if (row.attempts - row.base >= settlement.mostAttempts) {
          die(row, settlement.reason, nowMs);
          return 'dead';
        }
        settle.run(
          states.pending,
          settlement.atMs > nowMs ? settlement.atMs : 0,
          nowMs,
          settlement.reason,
          agent,
          row.seq,
        );
    }
    return 'done';
  }

  function sweepNow(nowMs: number, mostAttempts: number, wake: (agent: AgentName) => void): Swept {
    const due = over.all(nowMs, sweepRows);
    const leased = due.filter(({ state }) => state === states.leased);
    const lapsed = endLeases(leased, nowMs, mostAttempts, 'its lease ended');
    // Those whose delay is over.
    for (const row of due)
      if (row.state === states.pending) settle.run(states.pending, 0, row.at, row.reason, row.agent, row.seq);
    const old = expired.all(nowMs, sweepRows);
    for (const row of old) die(row, 'expired', nowMs);
    const woken = new Set(due.map(({ agent }) => agent));
    for (const agent of woken) wake(agent);
    return {
      woken: [...woken],
      dead: [...lapsed.map(lapsedOf), ...old.map((row) => diedOf(row, 'expired'))],
      isMore: due.length === sweepRows || old.length === sweepRows,
    };
  }

  function replayOne({ agent, most }: Mailbox, seq: number, nowMs: number): boolean {
    const row = find.get(agent, seq);
    if (row && row.state < states.acknowledged) return true;
    const head = headOf.get(seq);
    if (!head || inMailbox(agent) >= most) return false;
    const { source, priority, timeMs, expiresAtMs } = JSON.parse(head.envelope) as Envelope;
    // It lives as long as it would have lived when it was sent.
    const expires = nowMs + (expiresAtMs - timeMs);
    if (row) revive.run(nowMs, expires, 1, agent, seq);
    else addReplay.run(agent, seq, source, urgency[priority], nowMs, expires);
    return true;
  }

  function reviveOne(deadOne: Receiver, box: Mailbox, expiresAtMs: number, nowMs: number) {
    const row = find.get(deadOne.agent, deadOne.seq);
    if (row?.state !== states.dead) return 'unknown';
    if (inMailbox(box.agent) >= box.most) return 'full';
    const there = deadOne.agent === box.agent ? row : find.get(box.agent, deadOne.seq);
    if (deadOne.agent !== box.agent) removeDead.run(deadOne.agent, deadOne.seq);
    // What waits or is at work there already stays as it is.
    if (there && there.state >= states.acknowledged)
      revive.run(nowMs, expiresAtMs, there.is_replay, box.agent, deadOne.seq);
    else if (!there) {
      const { source, priority } = JSON.parse((headOf.get(deadOne.seq) as HeadRow).envelope) as Envelope;
      insertDelivery.run(
        box.agent,
        deadOne.seq,
        source,
        urgency[priority],
        states.pending,
        nowMs,
        expiresAtMs,
        null,
      );
    }
    return 'queued';
  }

  function moveOne(from: Receiver, box: Mailbox, nowMs: number) {
    const row = find.get(from.agent, from.seq);
    if (row?.state !== states.pending || from.agent === box.agent) return 'unknown';
    if (inMailbox(box.agent) >= box.most) return 'full';
    const there = find.get(box.agent, from.seq);
    removeDelivery.run(from.agent, from.seq);
    const { source, urgency: urgent, expires, is_replay: isReplay } = row;
    // What waits or is at work there already stays as it is.
    if (there && there.state >= states.acknowledged)
      revive.run(nowMs, expires, isReplay, box.agent, from.seq);
    else if (!there) addMoved.run(box.agent, from.seq, source, urgent, nowMs, expires, isReplay);
    return 'queued';
  }

  /** @returns rows up to a bound of bytes; SQLite reads none beyond it. */
  function boundedRows(rows: Iterable<MessageRow>): Stored[] {
    const page: Stored[] = [];
    let bytes = 0;
    for (const row of rows) {
      page.push(storedOf(row));
      if ((bytes += row.body.byteLength) > pageOfLogBytes) break;
    }
    return page;
  }

  /** By halving: times hardly ever go back, and where the clock was set back, a place nearby is as good. */
  function placeAtNow(timeMs: number): number {
    const { first, last } = ends.get() as { first: number | null; last: number | null };
    if (first === null || last === null) return (lastEver.get()?.seq ?? 0) + 1;
    let [low, high] = [first, last + 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const row = timeFrom.get(middle);
      if (!row || row.time >= timeMs) high = middle;
      else low = row.seq + 1;
    }
    return low;
  }

  function backlogOf(agent: AgentName, all: number): Backlog {
    const leased = leasedCount.get(agent)?.count ?? 0;
    return { agent, pending: all - leased, leased, oldestMs: oldestOf.get({ agent })?.time };
  }

  const read = async <Value>(work: () => Value) => onDisk(() => transactions.read(work));

  spreading.finishAll();

  /** While nobody has the name. @returns how many messages were there. */
  async function dropMailbox(agent: AgentName, reason: string, nowMs: number): Promise<number> {
    let count = 0;
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- in pieces, so that others are served between them
      const rows = await change((wake) => {
        if (isTaken(agent)) return 0;
        wake(agent); // whoever waits there waits in vain
        leave.run(agent, nowMs);
        const some = allPending.all({ agent, most: sweepRows });
        for (const row of some) die(row, reason, nowMs);
        forgetEmpty.run(agent);
        return some.length;
      });
      count += rows;
      if (rows < sweepRows) return count;
    }
  }

  const engine = {
    append: async (messages, nowMs) =>
      inParts(messages, placesAtOnce, async (part, isFirst) => {
        if (spreading.isBefore(part)) await spreading.goOn(nowMs);
        const [first] = part;
        const store = (wake: Wake) =>
          part.map((outgoing) => {
            const one = appendOne(outgoing, nowMs);
            told(one.placed, wake);
            return one;
          });
        const owner = first?.stored.owner ?? '';
        const crowded = crowdedOf(part.flatMap(({ mailboxes }) => mailboxes.slice(0, placesAtOnce)));
        if (crowded.length > 0) await makeRoomIn(crowded, owner, nowMs);
        const appended = await (isFirst ? change(store) : changeInTurn(owner, store));
        const [own] = appended;
        return first && own?.outcome === 'stored' && first.mailboxes.length > placesAtOnce
          ? [{ ...own, placed: await spreading.finish(first, own, nowMs) }]
          : appended;
      }),

    lease: async (lease) => change(() => leaseNow(lease)),

    settle: async (agent, settlements, nowMs) =>
      change((wake) => {
        const settled = settlements.map((settlement) => settleOne(agent, settlement, nowMs));
        // A later message of the same sender may come now.
        if (inMailbox(agent) > 0) wake(agent);
        return settled;
      }),

    release: async (agent, nowMs, mostAttempts) =>
      change((wake) => {
        const rows = allLeased.all(agent, sweepRows);
        const dead = endLeases(rows, nowMs, mostAttempts, 'its receiver was gone').map(lapsedOf);
        wake(agent);
        return { returned: rows.length - dead.length, dead, isMore: rows.length === sweepRows };
      }),

    queued: async (agent, after, most) => read(() => queued.all(agent, after, most).map(({ seq }) => seq)),

    move: async (from, box, nowMs) =>
      change((wake) => {
        if (from.hasLeft && isTaken(from.agent)) return 'unknown';
        wake(box.agent);
        return moveOne(from, box, nowMs);
      }),

    replay: async (box, seqs, nowMs) =>
      change((wake) => {
        wake(box.agent);
        return seqs.filter((seq) => replayOne(box, seq, nowMs)).length;
      }),

    async sweep(nowMs, mostAttempts) {
      await spreading.goOn(nowMs);
      return change((wake) => sweepNow(nowMs, mostAttempts, wake));
    },

    async deadLetters({ agents, owner }, before, most) {
      const until = [before.atMs, before.seq, before.agent, most] as const;
      let rows = await read(() => deadSent.all(owner, ...until));
      for (const some of slicesOf(agents, mailboxesAtOnce)) {
        const more = await read(() => some.flatMap((agent) => deadIn.all(agent, ...until))); // oxlint-disable-line no-await-in-loop -- in pieces, so that others are served between them
        rows = newestDead([...rows, ...more], most);
        if (some.length === mailboxesAtOnce) await nextTurn(); // oxlint-disable-line no-await-in-loop
      }
      return read(() =>
        rows.flatMap(({ agent, seq }): DeadLetter[] => {
          const row = deadAt.get(agent, seq);
          return row ? [{ ...deliveryOf(row), stored: headOfStored(row) }] : [];
        }),
      );
    },

    revive: async (deadOne, box, expiresAtMs, nowMs) =>
      change((wake) => {
        wake(box.agent);
        return reviveOne(deadOne, box, expiresAtMs, nowMs);
      }),

    bury: async (receivers) =>
      change(() => receivers.filter(({ agent, seq }) => removeDead.run(agent, seq).changes > 0).length),

    read: async ({ correlationId, from, backwards: isBack, most }) =>
      read(() =>
        correlationId === undefined
          ? boundedRows((isBack ? backwards : forwards).iterate(from, most))
          : boundedRows((isBack ? threadBackwards : threadForwards).iterate(correlationId, from, most)),
      ),

    at: async (seq) =>
      read(() => {
        const row = messageAt.get(seq);
        return row && storedOf(row);
      }),

    readOf: async (agent, span) =>
      read(() => {
        const { first, last } = ends.get() as { first: number | null; last: number | null };
        if (first === null || last === null) return { messages: [], next: undefined };
        const from = span.backwards ? Math.min(span.from, last + 1) : Math.max(span.from, first - 1);
        const until = span.backwards
          ? Math.max(from - placesOfLog, first)
          : Math.min(from + placesOfLog, last);
        const wanted = { agent, quoted: JSON.stringify(agent), from, until, most: span.most };
        const messages = boundedRows((span.backwards ? backwardsOf : forwardsOf).iterate(wanted));
        // After the last of them there may be more before `until`.
        const end = until === (span.backwards ? first : last) ? undefined : until;
        return { messages, next: messages.at(-1)?.seq ?? end };
      }),

    find: async (source, id) => read(() => findMessages.all(source, id).map(storedOf)),

    placeAt: async (timeMs) => read(() => placeAtNow(timeMs)),
    deliveries: async (seq) => read(() => deliveries.all(seq).map(deliveryOf)),
    loads: async (agents) => read(() => agents.map(inMailbox)),

    backlogs: async (most) =>
      read(() => backlogs.all(most).map(({ agent, waiting: all }) => backlogOf(agent, all))),

    backlog: async (agent) => read(() => backlogOf(agent, inMailbox(agent))),

    totals: async () =>
      read(() => {
        const { first, last } = ends.get() as { first: number | null; last: number | null };
        const { bytes, items } = sizes.get() as { bytes: number | null; items: number | null };
        return {
          messages: items ?? 0,
          firstSeq: first ?? 0,
          lastSeq: last ?? lastEver.get()?.seq ?? 0,
          sizeBytes: bytes ?? 0,
          dead: deadCount.get()?.count ?? 0,
          trimmed: tally.get('trimmed')?.value ?? 0,
        };
      }),

    trim: async (beforeMs, most) =>
      change(() => {
        const rows = settledBefore.all(placeAtNow(beforeMs), beforeMs, most);
        removeAll(rows);
        // No delivery is older than its message.
        const first = oldest.get()?.time ?? Infinity;
        forgetDepartures.run(Math.min(beforeMs, first), departuresAtOnce);
        return rows.length;
      }),

    kept: () => quotas.kept(),
  } satisfies Partial<Engine>;

  return {
    engine,
    dropMailbox,
    inMailbox,
    isTaken,
    /** Within a transaction of the caller's. */
    endEarlier(ms: number): void {
      dueEarlier.run(ms);
      expireEarlier.run(ms);
    },
  };
}
