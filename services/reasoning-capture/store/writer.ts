/**
 * The only one who writes. What comes at the same time is one group, and one commit: each submission is checked before anything
 * of it is written, so one that is refused takes nothing back from the others.
 */
import { transactionsOf, type Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Quota } from '#runtime/quotas.ts';

import { maxReasonsTold } from '../limits.ts';
import { sizeOf } from '../steps/step.ts';
import { evaluationSize, openChains } from './chains.ts';
import { openRoom } from './room.ts';
import type { Appended, BatchOutcome, EndOutcome, Result, Submission } from './submission.ts';
import { openTraces } from './traces.ts';

export function openWriter(database: Database, quota: Quota) {
  const { write } = transactionsOf(database);
  const room = openRoom(database, quota);
  const chains = openChains(database, room);
  const trace = openTraces(database, chains, room);
  const findBatch = database.prepare<
    [string, string],
    {
      readonly sha256: Buffer;
      readonly accepted: number;
      readonly duplicates: number;
      readonly rejected: string;
      readonly committed_us: number;
    }
  >(
    'SELECT sha256, accepted, duplicates, rejected, committed_us FROM batch WHERE owner = ? AND batch_id = ?',
  );
  const removedSince = database
    .prepare<[string, Buffer, number], number>(
      "SELECT 1 FROM seal WHERE owner = ? AND uid = ? AND kind IN ('deleted', 'expired') AND at_us >= ? LIMIT 1",
    )
    .pluck();
  const insertBatch = database.prepare('INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)');

  function forget(): void {
    chains.forget();
    room.forget();
  }

  function step({ owner, nowUs, step: given }: Extract<Submission, { kind: 'step' }>): Appended {
    const state = chains.require(owner, given.chain);
    const bytes = sizeOf(given.content, given.detail, given.opaque);
    room.require(owner, 1, bytes);
    const seq = chains.append(
      state,
      given.seq ?? 0,
      given.type,
      given.subtype ?? null,
      given.atUs ?? nowUs,
      given.durUs ?? null,
      given.parent ?? null,
      given.confidence ?? null,
      given.prov,
      given.content,
      given.detail ?? null,
      given.opaque,
    );
    if (typeof seq === 'string')
      throw new ToolError('conflict', `The step was not stored: ${seq}.`, {
        hint: 'get_reasoning_chain shows what the chain has.',
      });
    if (seq > 0) room.add(owner, 1, bytes);
    return { seq: Math.abs(seq), isDuplicate: seq < 0 };
  }

  function batch(given: Extract<Submission, { kind: 'batch' }>): BatchOutcome {
    const { owner, nowUs, batch: name, sha256, pack } = given;
    const before = findBatch.get(owner, name);
    if (before) {
      if (!before.sha256.equals(sha256))
        throw new ToolError('conflict', `The batch_id ${JSON.stringify(name)} was used for other steps.`, {
          hint: 'Nothing was stored: give each batch an id of its own, and the same only to the same steps.',
        });
      const lost = pack.chains.find((uid) =>
        removedSince.get(owner, Buffer.from(uid, 'hex'), before.committed_us),
      );
      if (lost !== undefined)
        throw new ToolError(
          'conflict',
          `The batch ${JSON.stringify(name)} was stored, and its chain ${lost} was taken out since.`,
          {
            hint: 'Nothing was stored now. To store it anew, start the chain again and give the batch another batch_id.',
          },
        );
      const { rejected, refused } = JSON.parse(before.rejected) as Pick<BatchOutcome, 'rejected' | 'refused'>;
      return { accepted: 0, duplicates: before.accepted + before.duplicates, rejected, refused };
    }
    let bytesInAll = 0;
    for (let at = 0; at < pack.count; at += 1) bytesInAll += pack.bytes[at] as number;
    room.require(owner, pack.count, bytesInAll);
    const rejected = [...given.rejected];
    let { refused } = given;
    let accepted = 0;
    let duplicates = 0;
    let bytes = 0;
    const states = pack.chains.map((uid) => chains.find(owner, uid));
    for (let at = 0; at < pack.count; at += 1) {
      const state = states[pack.chain[at] as number];
      const outcome = state
        ? chains.append(
            state,
            pack.seq[at] as number,
            pack.type[at] as number,
            pack.subtype[at] ?? null,
            pack.atUs[at] === pack.atUs[at] ? (pack.atUs[at] as number) : nowUs,
            orNull(pack.durUs[at] as number),
            pack.parent[at] === 0 ? null : (pack.parent[at] as number),
            orNull(pack.confidence[at] as number),
            pack.prov[at] as number,
            pack.content[at] as string,
            pack.detail[at] ?? null,
            pack.opaque[at],
          )
        : 'chain_id: there is no such chain of this token';
      if (typeof outcome === 'string') {
        refused += 1;
        if (rejected.length < maxReasonsTold)
          rejected.push({ index: pack.place[at] as number, reason: outcome });
      } else if (outcome < 0) {
        duplicates += 1;
      } else {
        accepted += 1;
        bytes += pack.bytes[at] as number;
      }
    }
    room.add(owner, accepted, bytes);
    rejected.sort((one, other) => one.index - other.index);
    // One that stored nothing is looked at anew when it comes again, with the same answer.
    if (accepted > 0)
      insertBatch.run(
        owner,
        name,
        sha256,
        accepted,
        duplicates,
        JSON.stringify({ rejected, refused }),
        nowUs,
      );
    return { accepted, duplicates, rejected, refused };
  }

  function start({ owner, nowUs, uid, facts, parent }: Extract<Submission, { kind: 'start' }>): null {
    if (chains.find(owner, uid))
      throw new ToolError('conflict', `There is a chain ${uid} already.`, {
        hint: 'Leave chain_id out, and a new one is made.',
      });
    const above = parent === undefined ? undefined : chains.require(owner, parent);
    chains.create(owner, uid, facts, 'capture', nowUs, nowUs, above?.id ?? null);
    return null;
  }

  function end({ owner, nowUs, chain, status, outcome }: Extract<Submission, { kind: 'end' }>): EndOutcome {
    const state = chains.require(owner, chain);
    if (outcome) room.require(owner, 1, evaluationSize(outcome));
    if (state.status !== 'open')
      throw new ToolError('conflict', `The chain ${chain} has ended already, as ${state.status}.`, {
        hint: 'A chain ends once. start_chain begins another.',
      });
    chains.end(state, status, nowUs, nowUs);
    if (outcome) chains.evaluate(owner, state.id, outcome, nowUs);
    return { steps: state.steps };
  }

  function one(submission: Submission): Exclude<Result, { failure: unknown }>['value'] {
    if (submission.kind === 'step') return step(submission);
    if (submission.kind === 'batch') return batch(submission);
    if (submission.kind === 'start') return start(submission);
    return submission.kind === 'end' ? end(submission) : trace(submission);
  }

  return {
    /** Writes them all with one commit. @throws what kept all of them from the disk. */
    write(group: readonly Submission[]): Result[] {
      try {
        return write(() => committed(group));
      } catch (error) {
        forget();
        throw error;
      }
    },

    /** After chains were changed by another way. */
    forget,
  };

  function committed(group: readonly Submission[]): Result[] {
    let newestUs = 0;
    const results = group.map((submission): Result => {
      newestUs = Math.max(newestUs, submission.nowUs);
      try {
        return { value: one(submission) };
      } catch (error) {
        // Anything else is a bug, or the disk: the group is lost.
        if (!(error instanceof ToolError) || error.code === 'internal') throw error;
        return { failure: { code: error.code, message: error.message, hint: error.hint ?? '' } };
      }
    });
    chains.flush(newestUs);
    room.flush();
    return results;
  }
}

const orNull = (value: number) => (Number.isNaN(value) ? null : value);
