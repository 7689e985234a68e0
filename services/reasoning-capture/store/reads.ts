/** What is read of chains, each in short pieces. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import { seqBits } from '../limits.ts';
import type { OpaqueRow, StepRow } from './seals.ts';
import type { Status } from './submission.ts';

export interface ChainRow {
  readonly id: number;
  readonly uid: string;
  readonly parent: string | null;
  readonly origin: string;
  readonly model: string;
  readonly provider: string | null;
  readonly version: string | null;
  readonly effort: string | null;
  readonly prompt_hash: string | null;
  readonly agent: string | null;
  readonly session: string | null;
  readonly goal: string | null;
  readonly attrs: string | null;
  readonly status: Status;
  readonly started_us: number;
  readonly updated_us: number;
  readonly ended_us: number | null;
  readonly last_seq: number;
  readonly n_steps: number;
  readonly n_analysis: number;
  readonly n_decision: number;
  readonly n_inference: number;
  readonly n_reflection: number;
  readonly tended_seq: number;
}

export interface EvaluationRow {
  readonly seq: number | null;
  readonly name: string;
  readonly value: number | null;
  readonly label: string | null;
  readonly explanation: string | null;
  readonly source: string | null;
  readonly at_us: number;
}

/** A step with its number, and what is kept byte for byte. */
export interface StoredStep extends StepRow {
  readonly seq: number;
  readonly opaque: readonly OpaqueRow[];
}

export interface ChainFilter {
  readonly model?: string | undefined;
  readonly agent?: string | undefined;
  readonly status?: Status | undefined;
  readonly parent_chain?: string | undefined;
  readonly sinceUs?: number | undefined;
  readonly untilUs?: number | undefined;
}

/** Chains that are looked at in one step. */
const chainsAtOnce = 50;
const stepsAtOnce = 50;

export function openReads(database: Database) {
  const columns = `c.id, lower(hex(c.uid)) AS uid,
    (SELECT lower(hex(p.uid)) FROM chain AS p WHERE p.id = c.parent_id) AS parent, c.origin, c.model, c.provider, c.version,
    c.effort, c.prompt_hash, c.agent, c.session, c.goal, c.attrs, c.status, c.started_us, c.updated_us, c.ended_us, c.last_seq,
    c.n_steps, c.n_analysis, c.n_decision, c.n_inference, c.n_reflection, c.tended_seq`;
  const one = database.prepare<[string, Buffer], ChainRow>(
    `SELECT ${columns} FROM chain AS c WHERE c.owner = ? AND c.uid = ?`,
  );
  const before = database.prepare<[string, number, number], ChainRow>(
    `SELECT ${columns} FROM chain AS c WHERE c.owner = ? AND c.id < ? ORDER BY c.id DESC LIMIT ?`,
  );
  const parts = database.prepare<[string, number, number], ChainRow>(
    `SELECT ${columns} FROM chain AS c WHERE c.owner = ? AND c.parent_id = ? ORDER BY c.id LIMIT ?`,
  );
  const steps = database.prepare<[number, number, number], StepRow>(
    'SELECT * FROM step WHERE id > ? AND id < ? ORDER BY id LIMIT ?',
  );
  const opaque = database.prepare<[number, number], OpaqueRow>(
    'SELECT step_id, kind, is_text, payload FROM step_opaque WHERE step_id BETWEEN ? AND ? ORDER BY step_id, idx',
  );
  const evaluations = database.prepare<[number, number], EvaluationRow>(
    'SELECT seq, name, value, label, explanation, source, at_us FROM evaluation WHERE chain_id = ? ORDER BY id LIMIT ?',
  );
  const behind = database
    .prepare<[], number>(
      'SELECT coalesce(sum(last_seq - tended_seq), 0) FROM chain WHERE tended_seq < last_seq',
    )
    .pluck();

  /** At most so many steps after a number. */
  function stepsAfter(chainId: number, seq: number, limit: number): StoredStep[] {
    const base = chainId * seqBits;
    const rows = steps.all(base + seq, base + seqBits, limit);
    const [first, last] = [rows[0], rows.at(-1)];
    if (!first || !last) return [];
    const parts = Map.groupBy(opaque.all(first.id, last.id), (row) => row.step_id);
    return rows.map((row) => ({ ...row, seq: row.id - base, opaque: parts.get(row.id) ?? [] }));
  }

  return {
    /** @throws ToolError not_found. */
    chain(owner: string, uid: string): ChainRow {
      const row = one.get(owner, Buffer.from(uid, 'hex'));
      if (row) return row;
      throw new ToolError('not_found', `There is no chain ${uid} of this token.`, {
        hint: 'list_chains shows those that there are.',
      });
    },

    parts: (owner: string, chain: ChainRow, most: number): ChainRow[] => parts.all(owner, chain.id, most),

    stepsAfter,

    /** The steps of a chain from one on, as far as it had come. */
    *steps(chain: ChainRow, fromSeq = 1): Generator<readonly StoredStep[]> {
      let after = fromSeq - 1;
      for (;;) {
        const rows = stepsAfter(chain.id, after, stepsAtOnce).filter(({ seq }) => seq <= chain.last_seq);
        if (rows.length > 0) yield rows;
        if (rows.length < stepsAtOnce) return;
        after = rows.at(-1)?.seq ?? after;
      }
    },

    evaluations: (chain: ChainRow, most = 200): EvaluationRow[] => evaluations.all(chain.id, most),

    /** The newest first, in steps that look at some: what was found in each. */
    *chains(
      owner: string,
      filter: ChainFilter,
      beforeId = Number.MAX_SAFE_INTEGER,
    ): Generator<readonly ChainRow[]> {
      let id = beforeId;
      for (;;) {
        const rows = before.all(owner, id, chainsAtOnce);
        yield rows.filter((row) => fits(row, filter));
        if (rows.length < chainsAtOnce) return;
        id = rows.at(-1)?.id ?? id;
      }
    },

    /** Steps that are not in the index of words yet, of all tokens. */
    behind: (): number => behind.get() ?? 0,
  };
}

function fits(row: ChainRow, { model, agent, status, parent_chain: parent, sinceUs, untilUs }: ChainFilter) {
  return (
    (model === undefined || row.model === model) &&
    (agent === undefined || row.agent === agent) &&
    (status === undefined || row.status === status) &&
    (parent === undefined || row.parent === parent) &&
    (sinceUs === undefined || row.started_us >= sinceUs) &&
    (untilUs === undefined || row.started_us < untilUs)
  );
}
