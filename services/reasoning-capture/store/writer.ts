/**
 * The only one who writes. What comes at the same time is one group, and one commit: each submission is checked before anything
 * of it is written, so one that is refused takes nothing back from the others.
 */
import { transactionsOf, type Database } from '#runtime/database.ts';
import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { overQuota, type Quota } from '#runtime/quotas.ts';

import { maxReasonsTold, maxStepsPerChain, seqBits } from '../limits.ts';
import { notEarlier } from '../steps/check.ts';
import { chainBytes, evaluationBytes, sizeOf, type NewStep, type Opaque, type Pack } from '../steps/step.ts';
import { openRows } from './rows.ts';
import type { OpaqueRow, StepRow } from './seals.ts';

export type Status = 'open' | 'completed' | 'failed' | 'abandoned';

export interface ChainFacts {
  readonly model?: string | undefined;
  readonly provider?: string | undefined;
  readonly version?: string | undefined;
  readonly effort?: string | undefined;
  readonly prompt_hash?: string | undefined;
  readonly agent?: string | undefined;
  readonly session?: string | undefined;
  readonly goal?: string | undefined;
  /** JSON. */
  readonly attrs?: string | undefined;
}

export interface Evaluation {
  readonly name: string;
  readonly value?: number | undefined;
  readonly label?: string | undefined;
  readonly explanation?: string | undefined;
  readonly source?: string | undefined;
  readonly seq?: number | undefined;
  readonly atUs?: number | undefined;
}

export interface Rejection {
  readonly index: number;
  readonly reason: string;
}

/** A step that came as a span, or of one: in hex. */
export interface ImportedStep extends NewStep {
  readonly span?: string | undefined;
  readonly parentSpan?: string | undefined;
}

export interface ImportedEvaluation extends Evaluation {
  /** The span that it came on. */
  readonly from: string;
  /** Whether it judges what the span said; the chain otherwise. */
  readonly isOfSpan: boolean;
}

export interface ImportedChain {
  readonly uid: string;
  readonly facts: ChainFacts;
  readonly status?: Exclude<Status, 'open'> | undefined;
  readonly startedUs?: number | undefined;
  readonly endedUs?: number | undefined;
  /** In their order; of one span, side by side. */
  readonly steps: readonly ImportedStep[];
  readonly evaluations: readonly ImportedEvaluation[];
}

interface Submitted {
  readonly owner: string;
  readonly nowUs: number;
}

export type Submission = Submitted &
  (
    | { readonly kind: 'step'; readonly step: NewStep }
    | {
        readonly kind: 'batch';
        readonly batch: string;
        readonly sha256: Uint8Array;
        readonly pack: Pack;
        /** What was refused before it came here; `refused` counts all of them. */
        readonly rejected: readonly Rejection[];
        readonly refused: number;
      }
    | {
        readonly kind: 'start';
        readonly uid: string;
        readonly facts: ChainFacts;
        readonly parent?: string | undefined;
      }
    | {
        readonly kind: 'end';
        readonly chain: string;
        readonly status: Exclude<Status, 'open'>;
        readonly outcome?: Evaluation | undefined;
      }
    | {
        readonly kind: 'trace';
        readonly origin: 'import' | 'otlp';
        readonly chains: readonly ImportedChain[];
      }
  );

export interface Appended {
  readonly seq: number;
  readonly isDuplicate: boolean;
}
export interface BatchOutcome {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly Rejection[];
  readonly refused: number;
}
export interface TraceOutcome extends BatchOutcome {
  readonly chains: readonly { readonly uid: string; readonly steps: number }[];
}
export interface EndOutcome {
  readonly steps: number;
}

export type Result =
  | { readonly value: Appended | BatchOutcome | TraceOutcome | EndOutcome | null }
  | {
      readonly failure: {
        readonly code: Exclude<ErrorCode, 'internal'>;
        readonly message: string;
        readonly hint: string;
      };
    };

/** What the writer knows of a chain that it has worked on: nobody else changes it. */
interface ChainState {
  readonly id: number;
  status: Status;
  lastSeq: number;
  steps: number;
  readonly byType: number[];
  isDirty: boolean;
}

interface ChainRow {
  readonly id: number;
  readonly status: Status;
  readonly last_seq: number;
  readonly n_steps: number;
  readonly n_analysis: number;
  readonly n_decision: number;
  readonly n_inference: number;
  readonly n_reflection: number;
}

const mostKnownChains = 10_000;

const gone = (uid: string) =>
  new ToolError('not_found', `There is no chain ${uid} of this token.`, {
    hint: 'start_chain begins one; list_chains shows them.',
  });

/** A chain is deleted by an administrator alone. */
const remedy = 'Chains that nothing was added to go by themselves.';

export function openWriter(database: Database, quota: Quota) {
  const { write } = transactionsOf(database);
  const rows = openRows(database);
  const { flush } = rows;
  const insertOpaque = database.prepare('INSERT INTO step_opaque VALUES (?, ?, ?, ?, ?)');
  const findChain = database.prepare<[string, Buffer], ChainRow>(
    `SELECT id, status, last_seq, n_steps, n_analysis, n_decision, n_inference, n_reflection
     FROM chain WHERE owner = ? AND uid = ?`,
  );
  const insertChain = database.prepare(
    `INSERT INTO chain (uid, owner, parent_id, origin, model, provider, version, effort, prompt_hash, agent, session,
       goal, attrs, status, started_us, updated_us)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)`,
  );
  const updateChain = database.prepare(
    `UPDATE chain SET last_seq = ?, n_steps = ?, n_analysis = ?, n_decision = ?, n_inference = ?, n_reflection = ?,
       updated_us = max(updated_us, ?) WHERE id = ?`,
  );
  const completeFacts = database.prepare(
    `UPDATE chain SET model = CASE WHEN model = 'unknown' THEN coalesce(?, model) ELSE model END,
       provider = coalesce(provider, ?), version = coalesce(version, ?), effort = coalesce(effort, ?),
       prompt_hash = coalesce(prompt_hash, ?), agent = coalesce(agent, ?), session = coalesce(session, ?),
       goal = coalesce(goal, ?), attrs = coalesce(attrs, ?), started_us = min(started_us, coalesce(?, started_us))
     WHERE id = ?`,
  );
  const endChain = database.prepare(
    'UPDATE chain SET status = ?, ended_us = ?, updated_us = max(updated_us, ?) WHERE id = ?',
  );
  const stepAt = database.prepare<[number], StepRow>('SELECT * FROM step WHERE id = ?');
  const opaqueAt = database.prepare<[number], OpaqueRow>(
    'SELECT * FROM step_opaque WHERE step_id = ? ORDER BY idx',
  );
  const insertEvaluation = database.prepare(
    `INSERT INTO evaluation (chain_id, seq, name, value, label, explanation, source, at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  );
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
  const findSpan = database
    .prepare<[number, Buffer], number>('SELECT seq FROM span WHERE chain_id = ? AND span = ?')
    .pluck();
  const insertSpan = database.prepare('INSERT INTO span VALUES (?, ?, ?)');
  const findKept = database.prepare<[string], Quota>('SELECT items, bytes FROM kept WHERE owner = ?');
  const addKept = database.prepare(
    `INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes`,
  );

  const known = new Map<string, ChainState>();
  /** Of this group. */
  let dirty: ChainState[] = [];
  let added = new Map<string, { items: number; bytes: number }>();

  function forget(): void {
    known.clear();
    dirty = [];
    added = new Map();
    rows.clear();
  }

  function chainOf(owner: string, uid: string): ChainState | undefined {
    const key = uid + owner;
    let state = known.get(key);
    if (state) return state;
    const row = findChain.get(owner, Buffer.from(uid, 'hex'));
    if (!row) return undefined;
    state = {
      id: row.id,
      status: row.status,
      lastSeq: row.last_seq,
      steps: row.n_steps,
      byType: [row.n_analysis, row.n_decision, row.n_inference, row.n_reflection],
      isDirty: false,
    };
    if (known.size >= mostKnownChains) dropClean();
    known.set(key, state);
    return state;
  }

  function dropClean(): void {
    for (const [key, { isDirty }] of known) if (!isDirty) known.delete(key);
  }

  function count(owner: string, items: number, bytes: number): void {
    const sum = added.get(owner);
    if (sum) {
      sum.items += items;
      sum.bytes += bytes;
    } else {
      added.set(owner, { items, bytes });
    }
  }

  /** @throws ToolError too_large, before anything is written. */
  function requireRoom(owner: string, items: number, bytes: number): void {
    const kept = findKept.get(owner) ?? { items: 0, bytes: 0 };
    const now = added.get(owner) ?? { items: 0, bytes: 0 };
    const held = { items: kept.items + now.items + items, bytes: kept.bytes + now.bytes + bytes };
    if (held.items > quota.items || held.bytes > quota.bytes) throw overQuota(owner, held, quota, remedy);
  }

  function reopen(state: ChainState): void {
    if (state.isDirty) return;
    state.isDirty = true;
    dirty.push(state);
  }

  /**
   * Appends one step. Its values come one by one: a step of a batch is no object.
   *
   * @returns its seq; the same below zero for one that is there already; why it is refused.
   */
  function append(
    state: ChainState,
    given: number,
    type: number,
    subtype: string | null,
    atUs: number,
    durUs: number | null,
    parent: number | null,
    confidence: number | null,
    prov: number,
    content: string,
    detail: string | null,
    opaque: readonly Opaque[] | undefined,
  ): number | string {
    const seq = given === 0 ? state.lastSeq + 1 : given;
    if (seq <= state.lastSeq) {
      flush();
      const there = stepAt.get(state.id * seqBits + seq);
      if (!there) return `seq: the chain has come as far as ${state.lastSeq}, and steps come in order`;
      const isSame =
        there.type === type &&
        there.content === content &&
        there.detail === detail &&
        there.subtype === subtype &&
        there.confidence === confidence &&
        there.parent_seq === parent &&
        isSameOpaque(opaqueAt.all(there.id), opaque ?? []);
      return isSame ? -seq : 'seq: the chain has another step with this number';
    }
    if (state.status !== 'open') return 'chain_id: the chain has ended';
    return appendNew(
      state,
      seq,
      type,
      subtype,
      atUs,
      durUs,
      parent,
      confidence,
      prov,
      content,
      detail,
      opaque,
    );
  }

  function appendNew(
    state: ChainState,
    seq: number,
    type: number,
    subtype: string | null,
    atUs: number,
    durUs: number | null,
    parent: number | null,
    confidence: number | null,
    prov: number,
    content: string,
    detail: string | null,
    opaque: readonly Opaque[] | undefined,
  ): number | string {
    if (seq > maxStepsPerChain) return `chain_id: a chain has at most ${maxStepsPerChain} steps`;
    if (parent !== null) {
      if (parent >= seq) return notEarlier;
      // Without gaps, every number up to here is a step.
      if (state.steps !== state.lastSeq) {
        flush();
        if (!stepAt.get(state.id * seqBits + parent)) return `parent_seq: the chain has no step ${parent}`;
      }
    }
    const id = state.id * seqBits + seq;
    rows.add([id, type, subtype, atUs, durUs, parent, confidence, prov, content, detail]);
    if (opaque) {
      for (const [idx, { kind, isText, data }] of opaque.entries())
        insertOpaque.run(id, idx, kind, isText ? 1 : 0, data);
    }
    state.lastSeq = seq;
    state.steps += 1;
    state.byType[type] = (state.byType[type] ?? 0) + 1;
    reopen(state);
    return seq;
  }

  function step({ owner, nowUs, step: given }: Extract<Submission, { kind: 'step' }>): Appended {
    const state = chainOf(owner, given.chain);
    if (!state) throw gone(given.chain);
    const bytes = sizeOf(given.content, given.detail, given.opaque);
    requireRoom(owner, 1, bytes);
    const seq = append(
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
    if (seq > 0) count(owner, 1, bytes);
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
    requireRoom(owner, pack.count, bytesInAll);
    const rejected = [...given.rejected];
    let { refused } = given;
    let accepted = 0;
    let duplicates = 0;
    let bytes = 0;
    const states = pack.chains.map((uid) => chainOf(owner, uid));
    for (let at = 0; at < pack.count; at += 1) {
      const state = states[pack.chain[at] as number];
      const outcome = state
        ? append(
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
    count(owner, accepted, bytes);
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

  function create(
    owner: string,
    uid: string,
    facts: ChainFacts,
    origin: 'capture' | 'import' | 'otlp',
    startedUs: number,
    nowUs: number,
    parentId: number | null = null,
  ): void {
    requireRoom(owner, 1, chainBytes);
    insertChain.run(
      Buffer.from(uid, 'hex'),
      owner,
      parentId,
      origin,
      facts.model ?? 'unknown',
      ...factsOf(facts),
      startedUs,
      nowUs,
    );
    count(owner, 1, chainBytes);
  }

  function start({ owner, nowUs, uid, facts, parent }: Extract<Submission, { kind: 'start' }>): null {
    if (chainOf(owner, uid))
      throw new ToolError('conflict', `There is a chain ${uid} already.`, {
        hint: 'Leave chain_id out, and a new one is made.',
      });
    const above = parent === undefined ? undefined : chainOf(owner, parent);
    if (parent !== undefined && !above) throw gone(parent);
    create(owner, uid, facts, 'capture', nowUs, nowUs, above?.id ?? null);
    return null;
  }

  function end({ owner, nowUs, chain, status, outcome }: Extract<Submission, { kind: 'end' }>): EndOutcome {
    const state = chainOf(owner, chain);
    if (!state) throw gone(chain);
    if (outcome) requireRoom(owner, 1, evaluationSize(outcome));
    if (state.status !== 'open')
      throw new ToolError('conflict', `The chain ${chain} has ended already, as ${state.status}.`, {
        hint: 'A chain ends once. start_chain begins another.',
      });
    state.status = status;
    endChain.run(status, nowUs, nowUs, state.id);
    if (outcome) evaluate(owner, state.id, outcome, nowUs);
    return { steps: state.steps };
  }

  function evaluate(owner: string, chainId: number, one: Evaluation, nowUs: number): void {
    const { seq, name, value, label, explanation, source, atUs } = one;
    count(owner, 1, evaluationSize(one));
    insertEvaluation.run(
      chainId,
      seq ?? null,
      name,
      value ?? null,
      label ?? null,
      explanation ?? null,
      source ?? null,
      atUs ?? nowUs,
    );
  }

  function trace({ owner, nowUs, origin, chains }: Extract<Submission, { kind: 'trace' }>): TraceOutcome {
    const [items, bytes] = chains.reduce(
      ([steps, sum], chain) => [
        steps + chain.steps.length + chain.evaluations.length + 1,
        chain.steps.reduce(
          (all, one) => all + sizeOf(one.content, one.detail, one.opaque),
          sum + chainBytes,
        ) + chain.evaluations.reduce((all, one) => all + evaluationSize(one), 0),
      ],
      [0, 0],
    );
    requireRoom(owner, items, bytes);
    const rejected: Rejection[] = [];
    let [accepted, duplicates, refused, index] = [0, 0, 0, 0];
    const told = chains.map(({ uid, facts, steps, evaluations, status, startedUs, endedUs }) => {
      if (!chainOf(owner, uid)) create(owner, uid, facts, origin, startedUs ?? nowUs, nowUs);
      const state = chainOf(owner, uid) as ChainState;
      completeFacts.run(facts.model ?? null, ...factsOf(facts), startedUs ?? null, state.id);
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
        const outcome = (isNew ? appendNew : append)(
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
          count(owner, 1, sizeOf(one.content, one.detail, one.opaque));
        }
      }
      for (const { from, isOfSpan, ...evaluation } of evaluations) {
        if (isAgain.get(from)) continue;
        const id = Buffer.from(from, 'hex');
        const seq = findSpan.get(state.id, id);
        if (seq === undefined) insertSpan.run(state.id, id, 0);
        const judged = isOfSpan && seq ? seq : undefined;
        evaluate(owner, state.id, { ...evaluation, seq: evaluation.seq ?? judged }, nowUs);
      }
      if (status !== undefined && state.status === 'open') {
        state.status = status;
        endChain.run(status, endedUs ?? nowUs, nowUs, state.id);
      }
      return { uid, steps: stepsHere };
    });
    return { chains: told, accepted, duplicates, rejected, refused };
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
    flush();
    for (const state of dirty) {
      const [analysis = 0, decision = 0, inference = 0, reflection = 0] = state.byType;
      const counts = [analysis, decision, inference, reflection];
      updateChain.run(state.lastSeq, state.steps, ...counts, newestUs, state.id);
      state.isDirty = false;
    }
    for (const [owner, { items, bytes }] of added) addKept.run(owner, items, bytes);
    dirty = [];
    added = new Map();
    return results;
  }
}

/** As the quota counts it. */
const evaluationSize = ({ name, label = '', explanation = '', source = '' }: Evaluation) =>
  evaluationBytes +
  [name, label, explanation, source].reduce((sum, text) => sum + Buffer.byteLength(text), 0);

const orNull = (value: number) => (Number.isNaN(value) ? null : value);

const factsOf = ({ provider, version, effort, prompt_hash, agent, session, goal, attrs }: ChainFacts) =>
  [provider, version, effort, prompt_hash, agent, session, goal, attrs].map((one) => one ?? null);

function isSameOpaque(there: readonly OpaqueRow[], given: readonly Opaque[]): boolean {
  return (
    there.length === given.length &&
    there.every(({ kind, payload }, at) => given[at]?.kind === kind && payload.equals(given[at].data))
  );
}
