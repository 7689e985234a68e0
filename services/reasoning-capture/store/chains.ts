/** Chains and their steps: what the writer knows of those that it has worked on. Nobody else changes them. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import { maxStepsPerChain, seqBits } from '../limits.ts';
import { notEarlier } from '../steps/check.ts';
import { chainBytes, evaluationBytes, type Opaque } from '../steps/step.ts';
import type { Room } from './room.ts';
import { openRows } from './rows.ts';
import type { OpaqueRow, StepRow } from './seals.ts';
import type { ChainFacts, Evaluation, Status } from './submission.ts';

export interface ChainState {
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

export type Chains = ReturnType<typeof openChains>;

export function openChains(database: Database, room: Room) {
  const rows = openRows(database);
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

  const known = new Map<string, ChainState>();
  /** Of this group. */
  let dirty: ChainState[] = [];

  function find(owner: string, uid: string): ChainState | undefined {
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
      rows.flush();
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
        rows.flush();
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

  return {
    find,
    append,
    appendNew,
    create,
    evaluate,

    /** @throws ToolError not_found. */
    require(owner: string, uid: string): ChainState {
      const state = find(owner, uid);
      if (state) return state;
      throw new ToolError('not_found', `There is no chain ${uid} of this token.`, {
        hint: 'start_chain begins one; list_chains shows them.',
      });
    },

    /** What was not known of it. */
    complete(state: ChainState, facts: ChainFacts, startedUs: number | undefined): void {
      completeFacts.run(facts.model ?? null, ...factsOf(facts), startedUs ?? null, state.id);
    },

    end(state: ChainState, status: Exclude<Status, 'open'>, endedUs: number, nowUs: number): void {
      state.status = status;
      endChain.run(status, endedUs, nowUs, state.id);
    },

    /** At the end of the group. */
    flush(newestUs: number): void {
      rows.flush();
      for (const state of dirty) {
        const [analysis = 0, decision = 0, inference = 0, reflection = 0] = state.byType;
        const counts = [analysis, decision, inference, reflection];
        updateChain.run(state.lastSeq, state.steps, ...counts, newestUs, state.id);
        state.isDirty = false;
      }
      dirty = [];
    },
    /** Of a group that is undone, and after chains were changed by another way. */
    forget(): void {
      known.clear();
      dirty = [];
      rows.clear();
    },
  };

  function create(
    owner: string,
    uid: string,
    facts: ChainFacts,
    origin: 'capture' | 'import' | 'otlp',
    startedUs: number,
    nowUs: number,
    parentId: number | null = null,
  ): void {
    room.require(owner, 1, chainBytes);
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
    room.add(owner, 1, chainBytes);
  }

  function evaluate(owner: string, chainId: number, one: Evaluation, nowUs: number): void {
    const { seq, name, value, label, explanation, source, atUs } = one;
    room.add(owner, 1, evaluationSize(one));
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
}

/** As the quota counts it. */
export const evaluationSize = ({ name, label = '', explanation = '', source = '' }: Evaluation) =>
  evaluationBytes +
  [name, label, explanation, source].reduce((sum, text) => sum + Buffer.byteLength(text), 0);

const factsOf = ({ provider, version, effort, prompt_hash, agent, session, goal, attrs }: ChainFacts) =>
  [provider, version, effort, prompt_hash, agent, session, goal, attrs].map((one) => one ?? null);

function isSameOpaque(there: readonly OpaqueRow[], given: readonly Opaque[]): boolean {
  return (
    there.length === given.length &&
    there.every(({ kind, payload }, at) => given[at]?.kind === kind && payload.equals(given[at].data))
  );
}
