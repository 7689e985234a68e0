/** Messages to very many, which SQLite puts into mailboxes piece by piece. What is kept reaches all of them, whatever fails in between. */
import type { Database, Transactions } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { AgentName, Envelope } from '../message.ts';
import type { Appended, Mailbox, Outgoing, Placed } from './engine.ts';

/** Mailboxes that one change fills at most, of a batch or of one message to many: some milliseconds of work, and as long again to commit. */
export const placesAtOnce = 50;

/** A message on its way. */
interface Way {
  readonly seq: number;
  readonly owner: string;
  readonly envelope: Envelope;
  readonly mailboxes: readonly Mailbox[];
  /** What became of it at the first of them. */
  readonly placed: readonly Placed[];
}

/** What of the mail this needs. */
interface Mail {
  readonly place: (
    box: Mailbox,
    seq: number,
    message: { readonly envelope: Envelope },
    nowMs: number,
  ) => Placed;
  /** Whether a mailbox has it already. */
  readonly has: (agent: AgentName, seq: number) => boolean;
  readonly envelopeOf: (seq: number) => Envelope;
  /** Drops much of what is above their limits before. */
  readonly makeRoomIn: (boxes: readonly Mailbox[], owner: string, nowMs: number) => Promise<void>;
  /** Makes a change when it is the token's turn, and wakes those who have got something. */
  readonly changeInTurn: (owner: string, work: () => readonly Placed[]) => Promise<readonly Placed[]>;
}

export function openSpreading(
  database: Database,
  transactions: Transactions,
  { place, has, envelopeOf, makeRoomIn, changeInTurn }: Mail,
) {
  const beginning = database.prepare('INSERT INTO spreading VALUES (?, ?)');
  const ending = database.prepare('DELETE FROM spreading WHERE seq = ?');
  const all = database.prepare<[], { seq: number; mailboxes: string }>('SELECT * FROM spreading');

  /** What a failure has cut off. It goes on with the next sweep, or before its sender says more. */
  const cutOff = new Map<number, Way>();
  let goingOn: Promise<void> | undefined;

  /** One that somebody has taken in meanwhile, by a replay, stays as it is. */
  const placeOnce = (box: Mailbox, seq: number, envelope: Envelope, nowMs: number): Placed =>
    has(box.agent, seq)
      ? { agent: box.agent, outcome: 'queued', dropped: 0 }
      : place(box, seq, { envelope }, nowMs);

  /** @param placed gets what becomes of it. */
  async function spread(way: Way, placed: Placed[], nowMs: number): Promise<void> {
    const { seq, owner, envelope, mailboxes } = way;
    try {
      while (placed.length < mailboxes.length) {
        const some = mailboxes.slice(placed.length, placed.length + placesAtOnce);
        const isLast = placed.length + some.length === mailboxes.length;
        await makeRoomIn(some, owner, nowMs); // oxlint-disable-line no-await-in-loop -- nothing, nearly always
        // oxlint-disable-next-line no-await-in-loop -- in pieces, so that others are served between them
        const more = await changeInTurn(owner, () => {
          if (isLast) ending.run(seq);
          return some.map((box) => placeOnce(box, seq, envelope, nowMs));
        });
        placed.push(...more);
      }
      cutOff.delete(seq);
    } catch (error) {
      cutOff.set(seq, { ...way, placed });
      throw error;
    }
  }

  async function goOnNow(nowMs: number): Promise<void> {
    for (const way of cutOff.values()) await spread(way, [...way.placed], nowMs); // oxlint-disable-line no-await-in-loop -- one after the other, as they were sent
  }

  return {
    /** Within the change that keeps it and fills the first mailboxes. */
    begin(seq: number, mailboxes: readonly Mailbox[]): void {
      beginning.run(seq, JSON.stringify(mailboxes));
    },

    /** Fills the further ones. @returns what became of it: of fewer mailboxes where the store failed in between. */
    async finish(
      { stored, mailboxes }: Outgoing,
      { seq, placed: first }: Appended,
      nowMs: number,
    ): Promise<readonly Placed[]> {
      const { owner, envelope } = stored;
      const placed = [...first];
      try {
        await spread({ seq, owner, envelope, mailboxes, placed }, placed, nowMs);
      } catch (error) {
        // It is kept, and goes on by itself: who was told of an error would send it once more.
        if (!(error instanceof ToolError) || error.code !== 'unavailable') throw error;
      }
      return placed;
    },

    /** Whether something of one of these senders was cut off: what they say now is not to come before it. */
    isBefore: (messages: readonly Outgoing[]): boolean =>
      cutOff.size > 0 &&
      [...cutOff.values()].some(({ envelope: { source } }) =>
        messages.some(({ stored }) => stored.envelope.source === source),
      ),

    /** Goes on with what was cut off. @throws ToolError unavailable where the store fails again: the rest stays for the next time. */
    async goOn(nowMs: number): Promise<void> {
      if (cutOff.size === 0) return;
      goingOn ??= goOnNow(nowMs).finally(() => {
        goingOn = undefined;
      });
      await goingOn;
    },

    /** Of what the end of the process has cut off, at the start. */
    finishAll(): void {
      for (const { seq, mailboxes } of all.all()) {
        transactions.write(() => {
          const envelope = envelopeOf(seq);
          for (const box of JSON.parse(mailboxes) as Mailbox[])
            placeOnce(box, seq, envelope, envelope.timeMs);
          ending.run(seq);
        });
      }
    },
  };
}
