/** Traces and messages that were made elsewhere: their spans come when they come, and each of them once. */
import type { Database } from '#runtime/database.ts';

import { maxReasonsTold } from '../limits.ts';
import { chainBytes, sizeOf } from '../steps/step.ts';
import { evaluationSize, type Chains } from './chains.ts';
import type { Room } from './room.ts';
import type { Rejection, Submission, TraceOutcome } from './submission.ts';

export function openTraces(database: Database, chains: Chains, room: Room) {
  const findSpan = database
    .prepare<[number, Buffer], number>('SELECT seq FROM span WHERE chain_id = ? AND span = ?')
    .pluck();
  const insertSpan = database.prepare('INSERT INTO span VALUES (?, ?, ?)');

  return function trace({
    owner,
    nowUs,
    origin,
    chains: given,
  }: Extract<Submission, { kind: 'trace' }>): TraceOutcome {
    const [items, bytes] = given.reduce(
      ([steps, sum], chain) => [
        steps + chain.steps.length + chain.evaluations.length + 1,
        chain.steps.reduce(
          (all, one) => all + sizeOf(one.content, one.detail, one.opaque),
          sum + chainBytes,
        ) + chain.evaluations.reduce((all, one) => all + evaluationSize(one), 0),
      ],
      [0, 0],
    );
    room.require(owner, items, bytes);
    const rejected: Rejection[] = [];
    let [accepted, duplicates, refused, index] = [0, 0, 0, 0];
    const told = given.map(({ uid, facts, steps, evaluations, status, startedUs, endedUs }) => {
      if (!chains.find(owner, uid)) chains.create(owner, uid, facts, origin, startedUs ?? nowUs, nowUs);
      const state = chains.require(owner, uid);
      chains.complete(state, facts, startedUs);
      /** Spans whose steps are added here, for those that follow. */
      let [span, isKnown]: [string | undefined, boolean] = [undefined, false];
      let stepsHere = 0;
      // Looked up before their steps make them known.
      const isAgain = new Map(
        evaluations.map(({ from }) => [from, findSpan.get(state.id, Buffer.from(from, 'hex')) !== undefined]),
      );
      for (const one of steps) {
        index += 1;
        if (one.span !== undefined && one.span !== span) {
          span = one.span;
          const id = Buffer.from(span, 'hex');
          isKnown = findSpan.get(state.id, id) !== undefined;
          if (!isKnown) insertSpan.run(state.id, id, one.seq ?? state.lastSeq + 1);
        }
        if (one.span !== undefined && isKnown) {
          duplicates += 1;
          continue;
        }
        const above =
          one.parentSpan === undefined
            ? undefined
            : findSpan.get(state.id, Buffer.from(one.parentSpan, 'hex')) || undefined;
        const seq = one.seq ?? state.lastSeq + 1;
        const parent = one.parent ?? (above !== undefined && above < seq ? above : undefined);
        const isNew = seq > state.lastSeq;
        // A trace goes on after its root has ended: its spans come when they come.
        const outcome = (isNew ? chains.appendNew : chains.append)(
          state,
          seq,
          one.type,
          one.subtype ?? null,
          one.atUs ?? nowUs,
          one.durUs ?? null,
          parent ?? null,
          one.confidence ?? null,
          one.prov,
          one.content,
          one.detail ?? null,
          one.opaque,
        );
        if (typeof outcome === 'string') {
          refused += 1;
          if (rejected.length < maxReasonsTold) rejected.push({ index: index - 1, reason: outcome });
        } else if (outcome < 0) {
          duplicates += 1;
        } else {
          accepted += 1;
          stepsHere += 1;
          room.add(owner, 1, sizeOf(one.content, one.detail, one.opaque));
        }
      }
      for (const { from, isOfSpan, ...evaluation } of evaluations) {
        if (isAgain.get(from)) continue;
        const id = Buffer.from(from, 'hex');
        const seq = findSpan.get(state.id, id);
        if (seq === undefined) insertSpan.run(state.id, id, 0);
        const judged = isOfSpan && seq ? seq : undefined;
        chains.evaluate(owner, state.id, { ...evaluation, seq: evaluation.seq ?? judged }, nowUs);
      }
      if (status !== undefined && state.status === 'open') {
        chains.end(state, status, endedUs ?? nowUs, nowUs);
      }
      return { uid, steps: stepsHere };
    });
    return { chains: told, accepted, duplicates, rejected, refused };
  };
}
