/** What of a mailbox may be given out in order, in SQLite. A lane is what one sender has sent there with one priority. */
import type { Database } from '#runtime/database.ts';

import type { AgentName } from '../message.ts';
import { urgency, type Lease } from './engine.ts';

/** The first of what waits is looked at row by row. Where much of that is held up, lanes are looked at: so many at most. */
const nearRows = 500;
const mostLanes = 200;

interface LaneRow {
  readonly source: AgentName;
  readonly urgency: number;
  readonly seq: number;
}

/** What a lane would give out next. */
interface Head<Row> {
  row: Row;
  /** The place behind which the lane gives out nothing. */
  readonly last: number;
}

/** The most urgent first. */
export const urgencies = Object.values(urgency).toSorted((one, other) => other - one);

const isBefore = (one: LaneRow, other: LaneRow) =>
  one.urgency > other.urgency || (one.urgency === other.urgency && one.seq < other.seq);

export function openLanes<Row extends LaneRow>(database: Database, waitingIn: (agent: AgentName) => number) {
  const prepare = <Found>(sql: string) => database.prepare<unknown[], Found>(sql);
  const isFree = `due <= :now AND expires > :now
    AND NOT EXISTS (SELECT 1 FROM delivery AS b WHERE b.due > 0 AND b.agent = d.agent AND b.source = d.source
                      AND b.urgency = d.urgency AND b.seq < d.seq)`;
  const inOrder = 'ORDER BY urgency DESC, seq';
  const near = prepare<Row>(
    `SELECT * FROM (SELECT * FROM delivery WHERE agent = :agent AND state = 0 ${inOrder} LIMIT ${nearRows}) AS d
     WHERE ${isFree} ${inOrder} LIMIT :most`,
  );
  const all = prepare<Row>(
    `SELECT * FROM delivery AS d WHERE agent = :agent AND state = 0 AND ${isFree} ${inOrder} LIMIT :most`,
  );
  const nextSource = prepare<{ source: AgentName }>(
    'SELECT source FROM delivery WHERE agent = ? AND state = 0 AND urgency = ? AND source > ? ORDER BY source LIMIT 1',
  );
  const firstInFlight = prepare<{ seq: number }>(
    `SELECT seq FROM delivery INDEXED BY delivery_blocking
     WHERE due > 0 AND agent = ? AND urgency = ? AND source = ? ORDER BY seq LIMIT 1`,
  );
  const nextOfLane = prepare<Row>(
    `SELECT * FROM delivery INDEXED BY delivery_lane
     WHERE agent = ? AND state = 0 AND urgency = ? AND source = ? AND seq > ? AND seq <= ? AND due <= ? AND expires > ?
     ORDER BY seq LIMIT 1`,
  );

  /** `undefined` when there are too many lanes to look at each. */
  function headsOf(agent: AgentName, nowMs: number): Head<Row>[] | undefined {
    const heads: Head<Row>[] = [];
    let lanes = 0;
    for (const urgent of urgencies) {
      let source = '';
      for (;;) {
        const lane = nextSource.get(agent, urgent, source);
        if (!lane) break;
        if ((lanes += 1) > mostLanes) return undefined;
        ({ source } = lane);
        // What may be tried again by now is in flight itself.
        const last = firstInFlight.get(agent, urgent, source)?.seq ?? Number.MAX_SAFE_INTEGER;
        const row = nextOfLane.get(agent, urgent, source, 0, last, nowMs, nowMs);
        if (row) heads.push({ row, last });
      }
    }
    return heads;
  }

  /** Takes from the heads, which go on in their lanes. */
  function merged(heads: Head<Row>[], { agent, most, nowMs }: Lease): Row[] {
    const rows: Row[] = [];
    while (rows.length < most) {
      let [first] = heads;
      for (const head of heads) if (first && isBefore(head.row, first.row)) first = head;
      if (!first) break;
      rows.push(first.row);
      const { urgency: urgent, source, seq } = first.row;
      const next = nextOfLane.get(agent, urgent, source, seq, first.last, nowMs, nowMs);
      if (next) first.row = next;
      else heads.splice(heads.indexOf(first), 1);
    }
    return rows;
  }

  return {
    /** The most urgent first, then by place: as many as asked for. A lane of which something is at work costs the same, however much waits there. */
    free(lease: Lease): Row[] {
      const { agent, most, nowMs: now } = lease;
      const rows = near.all({ agent, now, most });
      if (rows.length === most || waitingIn(agent) <= nearRows) return rows;
      const heads = headsOf(agent, now);
      return heads ? merged(heads, lease) : all.all({ agent, now, most });
    },
  };
}
