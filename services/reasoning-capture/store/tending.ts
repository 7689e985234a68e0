/**
 * What is done behind the writing, in short transactions: the index of words, hashes and seals, taking away what is old. And what an
 * administrator does to chains.
 */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import { seqBits } from '../limits.ts';
import {
  chainBytes,
  detailIn,
  evaluationBytes,
  opaqueBytes,
  provNumber,
  stepBytes,
  types,
} from '../steps/step.ts';
import { chainHash, chainStart, openSeals, type OpaqueRow, type StepRow } from './seals.ts';
import { ownerTag, typeTag } from './words.ts';

/** Steps of one transaction: some milliseconds. */
const stepsAtOnce = 500;
const removedAtOnce = 250;
const expiredAtOnce = 20;
/** Of a chain as a whole, in one transaction. */
const redactedAtOnce = 20_000;
/** Of the index of words, in one step. */
const pagesAtOnce = 200;
/** So long the id of a batch is known; a client that tries again for longer has given up. */
export const batchDays = 7;
const dayUs = 86_400_000_000;
export const redactedMark = '[redacted]';

interface DueChain {
  readonly id: number;
  readonly uid: Buffer;
  readonly owner: string;
  readonly last_seq: number;
  readonly n_steps: number;
  readonly tended_seq: number;
  readonly hash: Buffer | null;
}

export interface Administered {
  readonly owner: string;
  readonly uid: string;
  readonly by: string;
  readonly reason: string;
  readonly nowUs: number;
}

export function openTending(database: Database, keepDays: number) {
  const seals = openSeals(database);
  const due = database.prepare<[], DueChain>(
    `SELECT id, uid, owner, last_seq, n_steps, tended_seq, hash FROM chain WHERE tended_seq < last_seq ORDER BY id LIMIT 1`,
  );
  const stepsAfter = database.prepare<[number, number, number], StepRow>(
    'SELECT * FROM step WHERE id > ? AND id < ? ORDER BY id LIMIT ?',
  );
  const opaqueBetween = database.prepare<[number, number], OpaqueRow>(
    'SELECT * FROM step_opaque WHERE step_id BETWEEN ? AND ? ORDER BY step_id, idx',
  );
  const index = database.prepare('INSERT INTO step_fts (rowid, text, tags) VALUES (?, ?, ?)');
  const unindex = database.prepare('DELETE FROM step_fts WHERE rowid = ?');
  const tended = database.prepare('UPDATE chain SET tended_seq = ?, hash = ? WHERE id = ?');
  const expired = database.prepare<[number, number], DueChain>(
    `SELECT id, uid, owner, last_seq, n_steps, tended_seq, hash FROM chain WHERE updated_us < ? ORDER BY updated_us LIMIT ?`,
  );
  const find = database.prepare<[string, Buffer], DueChain>(
    'SELECT id, uid, owner, last_seq, n_steps, tended_seq, hash FROM chain WHERE owner = ? AND uid = ?',
  );
  const deleteChain = database.prepare('DELETE FROM chain WHERE id = ?');
  const addLeftover = database.prepare('INSERT INTO leftover VALUES (?, ?)');
  const leftover = database.prepare<[], { readonly chain_id: number; readonly owner: string }>(
    'SELECT chain_id, owner FROM leftover LIMIT 1',
  );
  const deleteLeftover = database.prepare('DELETE FROM leftover WHERE chain_id = ?');
  const deleteStep = database.prepare('DELETE FROM step WHERE id = ?');
  const deleteOpaque = database.prepare('DELETE FROM step_opaque WHERE step_id BETWEEN ? AND ?');
  const deleteSpans = database.prepare('DELETE FROM span WHERE chain_id = ?');
  const evaluationsOf = database.prepare<[number], { readonly items: number; readonly bytes: number | null }>(
    `SELECT count(*) AS items, sum(${evaluationBytes} + octet_length(name) + coalesce(octet_length(label), 0)
       + coalesce(octet_length(explanation), 0) + coalesce(octet_length(source), 0)) AS bytes
     FROM evaluation WHERE chain_id = ?`,
  );
  const deleteEvaluations = database.prepare('DELETE FROM evaluation WHERE chain_id = ?');
  const unkeep = database.prepare('UPDATE kept SET items = items - ?, bytes = bytes - ? WHERE owner = ?');
  const deleteBatches = database.prepare(
    `DELETE FROM batch WHERE (owner, batch_id) IN (SELECT owner, batch_id FROM batch WHERE committed_us < ? LIMIT 500)`,
  );
  const redactStep = database.prepare(
    `UPDATE step SET content = ?, detail = NULL, prov = ?, subtype = NULL, confidence = NULL WHERE id = ?`,
  );
  const redactChain = database.prepare('UPDATE chain SET goal = NULL, attrs = NULL WHERE id = ?');
  const evaluationsIn = database.prepare<
    [number],
    { readonly id: number; readonly seq: number | null; readonly bytes: number }
  >(
    `SELECT id, seq, coalesce(octet_length(label), 0) + coalesce(octet_length(explanation), 0) AS bytes
     FROM evaluation WHERE chain_id = ?`,
  );
  const redactEvaluation = database.prepare(
    'UPDATE evaluation SET label = NULL, explanation = NULL WHERE id = ?',
  );
  const stepAt = database.prepare<[number], StepRow>('SELECT * FROM step WHERE id = ?');

  const totalChanges = database.prepare<[], number>('SELECT total_changes()').pluck();
  const merge = database.prepare("INSERT INTO step_fts (step_fts, rank) VALUES ('merge', ?)");
  let scrubbing: { isBegun: boolean } | undefined;

  const inTransaction = <Value>(work: () => Value): Value => database.transaction(work).immediate();

  /** Their opaque parts, by step. */
  function opaqueOf(steps: readonly StepRow[]): ReadonlyMap<number, readonly OpaqueRow[]> {
    const [first, last] = [steps[0]?.id ?? 0, steps.at(-1)?.id ?? 0];
    return Map.groupBy(opaqueBetween.all(first, last), (row) => row.step_id);
  }

  function* hashed(
    chain: Pick<DueChain, 'id' | 'owner' | 'uid'>,
    fromSeq: number,
    throughSeq: number,
    start: Buffer,
  ): Generator<{ readonly step: StepRow; readonly hash: Buffer }> {
    let hash = start;
    let after = chain.id * seqBits + fromSeq;
    for (;;) {
      const steps = stepsAfter.all(after, chain.id * seqBits + throughSeq + 1, stepsAtOnce);
      const opaque = opaqueOf(steps);
      for (const step of steps) {
        hash = chainHash(hash, step, opaque.get(step.id) ?? []);
        yield { step, hash };
        after = step.id;
      }
      if (steps.length < stepsAtOnce) return;
    }
  }

  /** The next steps that are not in the index of words yet. @returns whether there were any. */
  function tend(nowUs: number): boolean {
    return inTransaction(() => {
      const chain = due.get();
      if (!chain) return false;
      let through = chain.tended_seq;
      let hash = chain.hash ?? chainStart(chain.owner, chain.uid);
      let count = 0;
      for (const next of hashed(chain, chain.tended_seq, chain.last_seq, hash)) {
        ({ hash } = next);
        const { step } = next;
        through = step.id % seqBits;
        index.run(step.id, wordsOf(step), `${ownerTag(chain.owner)} ${typeTag(types[step.type] ?? '')}`);
        count += 1;
        if (count === stepsAtOnce) break;
      }
      // Where the last steps are gone, there is nothing to wait for; that they are gone, a check finds.
      if (count === 0) through = chain.last_seq;
      tended.run(through, hash, chain.id);
      if (through === chain.last_seq)
        seals.add({
          kind: 'sealed',
          owner: chain.owner,
          uid: chain.uid,
          through_seq: through,
          chain_hash: hash,
          at_us: nowUs,
          by: '',
          reason: '',
        });
      return true;
    });
  }

  /** A chain that nobody finds any more. To be called in a transaction. */
  function remove(
    chain: DueChain,
    kind: 'deleted' | 'expired',
    nowUs: number,
    by: string,
    reason: string,
  ): void {
    const { id, owner, uid, tended_seq } = chain;
    seals.add({
      kind,
      owner,
      uid,
      through_seq: tended_seq,
      chain_hash: chain.hash ?? chainStart(owner, uid),
      at_us: nowUs,
      by,
      reason,
    });
    const { items, bytes } = evaluationsOf.get(id) ?? { items: 0, bytes: 0 };
    deleteEvaluations.run(id);
    deleteSpans.run(id);
    deleteChain.run(id);
    addLeftover.run(id, owner);
    unkeep.run(items + 1, (bytes ?? 0) + chainBytes, owner);
  }

  /** Some of the steps that a chain left behind. @returns whether there were any. */
  function removeLeftovers(): boolean {
    return inTransaction(() => {
      const left = leftover.get();
      if (!left) return false;
      const steps = stepsAfter.all(left.chain_id * seqBits, (left.chain_id + 1) * seqBits, removedAtOnce);
      const opaque = opaqueOf(steps);
      let bytes = 0;
      for (const step of steps) {
        bytes += keptBytes(step, opaque.get(step.id) ?? []);
        unindex.run(step.id);
        deleteStep.run(step.id);
      }
      const last = steps.at(-1);
      if (last) deleteOpaque.run(left.chain_id * seqBits, last.id);
      unkeep.run(steps.length, bytes, left.owner);
      if (steps.length < removedAtOnce) deleteLeftover.run(left.chain_id);
      return true;
    });
  }

  function requireChain(owner: string, uid: string): DueChain {
    const chain = find.get(owner, Buffer.from(uid, 'hex'));
    if (!chain) throw new ToolError('not_found', `The token "${owner}" has no chain ${uid}.`);
    return chain;
  }

  /** The pages that are given back from now on are overwritten, until the words in the index are gone too. */
  function beginScrub(): void {
    database.pragma('secure_delete = ON');
    scrubbing = { isBegun: false };
  }

  /**
   * A piece of what makes taken out words unreadable on disk: the parts of the index become one, without them, and the log is
   * emptied. @returns whether there is more.
   */
  function scrub(): boolean {
    if (!scrubbing) return false;
    const before = totalChanges.get() ?? 0;
    // Below zero: begin to merge all parts, however few there are.
    merge.run(scrubbing.isBegun ? pagesAtOnce : -pagesAtOnce);
    scrubbing.isBegun = true;
    if ((totalChanges.get() ?? 0) - before >= 2) return true;
    scrubbing = undefined;
    database.pragma('wal_checkpoint(TRUNCATE)');
    database.pragma('secure_delete = OFF');
    return false;
  }

  return {
    tend,
    removeLeftovers,

    /** Chains that nothing came to for so many days. @returns how many are gone. */
    expire(nowUs: number): number {
      return inTransaction(() => {
        const old = expired.all(nowUs - keepDays * dayUs, expiredAtOnce);
        for (const chain of old) remove(chain, 'expired', nowUs, '', '');
        deleteBatches.run(nowUs - batchDays * dayUs);
        return old.length;
      });
    },

    delete: ({ owner, uid, by, reason, nowUs }: Administered): { readonly steps: number } => {
      beginScrub();
      const steps = inTransaction(() => {
        const chain = requireChain(owner, uid);
        remove(chain, 'deleted', nowUs, by, reason);
        return chain.n_steps;
      });
      return { steps };
    },

    /**
     * Takes out what steps say, and leaves that they were there. The chain is hashed and sealed anew, with who did it.
     *
     * @param seqs all of them where none is named; then the goal and the attributes of the chain go as well. Words of judgements
     *   go with what they judge.
     */
    redact({
      owner,
      uid,
      by,
      reason,
      nowUs,
      seqs,
    }: Administered & { readonly seqs?: readonly number[] | undefined }): {
      readonly redacted: number;
    } {
      beginScrub();
      const redacted = inTransaction(() => {
        const chain = requireChain(owner, uid);
        if (!seqs && chain.n_steps > redactedAtOnce)
          throw new ToolError(
            'too_large',
            `The chain has more than ${redactedAtOnce} steps; nothing was changed.`,
            {
              hint: 'Name the steps, or delete the chain.',
            },
          );
        const base = chain.id * seqBits;
        const missing = seqs?.find((seq) => !stepAt.get(base + seq));
        if (missing !== undefined)
          throw new ToolError('not_found', `The chain has no step ${missing}; nothing was changed.`);
        let bytes = 0;
        let count = 0;
        const redactOne = (step: StepRow) => {
          bytes += keptBytes(step, opaqueBetween.all(step.id, step.id)) - stepBytes - redactedMark.length;
          deleteOpaque.run(step.id, step.id);
          redactStep.run(redactedMark, provNumber('redacted'), step.id);
          if (step.id % seqBits > chain.tended_seq) return;
          unindex.run(step.id);
          const tags = `${ownerTag(owner)} ${typeTag(types[step.type] ?? '')}`;
          index.run(step.id, redactedMark, tags);
        };
        if (seqs) {
          for (const seq of new Set(seqs)) {
            redactOne(stepAt.get(base + seq) as StepRow);
            count += 1;
          }
        } else {
          redactChain.run(chain.id);
          for (let after = base; ;) {
            const steps = stepsAfter.all(after, base + seqBits, stepsAtOnce);
            for (const step of steps) redactOne(step);
            count += steps.length;
            after = steps.at(-1)?.id ?? after;
            if (steps.length < stepsAtOnce) break;
          }
        }
        // A verdict in words can repeat what was said.
        for (const one of evaluationsIn.all(chain.id)) {
          if (seqs && !(one.seq !== null && seqs.includes(one.seq))) continue;
          redactEvaluation.run(one.id);
          bytes += one.bytes;
        }
        unkeep.run(0, bytes, owner);
        let hash = chainStart(owner, chain.uid);
        for (const next of hashed(chain, 0, chain.tended_seq, hash)) ({ hash } = next);
        tended.run(chain.tended_seq, hash, chain.id);
        const sealed = { owner, uid: chain.uid, through_seq: chain.tended_seq, chain_hash: hash };
        seals.add({ kind: 'redacted', ...sealed, at_us: nowUs, by, reason });
        return count;
      });
      return { redacted };
    },

    scrub,
  };
}

const keptBytes = ({ content, detail }: StepRow, opaque: readonly OpaqueRow[]) =>
  stepBytes +
  Buffer.byteLength(content) +
  (detail === null ? 0 : Buffer.byteLength(detail)) +
  opaque.reduce((sum, { payload }) => sum + payload.length + opaqueBytes, 0);

/** What a search looks through: the content, and the texts of the detail. */
export function wordsOf({ content, detail }: Pick<StepRow, 'content' | 'detail'>): string {
  if (detail === null) return content;
  const { options = [], chosen = '', reasoning = '', premises = [] } = detailIn(detail);
  return [content, ...options.map(({ label }) => label), chosen, reasoning, ...premises].join('\n');
}
