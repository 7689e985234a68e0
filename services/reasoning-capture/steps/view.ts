/** Chains and steps as answers and exports have them. */
import { cutAt } from '#runtime/page.ts';

import { shownCharacters } from '../limits.ts';
import type { ChainRow, EvaluationRow, StoredStep } from '../store/reads.ts';
import type { OpaqueRow } from '../store/seals.ts';
import { detailIn, provenances, types } from './step.ts';

export const isoOf = (us: number): string => {
  const ms = Math.floor(us / 1_000);
  const rest = us - ms * 1_000;
  const text = new Date(ms).toISOString();
  return rest === 0 ? text : text.replace('Z', `${String(rest).padStart(3, '0')}Z`);
};

/** Without what is not there. */
function present<Given extends object>(given: Given): { [Name in keyof Given]: Exclude<Given[Name], null> } {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== null && value !== undefined),
  ) as { [Name in keyof Given]: Exclude<Given[Name], null> };
}

export function chainView(row: ChainRow) {
  return present({
    chain_id: row.uid,
    model: row.model,
    provider: row.provider,
    version: row.version,
    effort: row.effort,
    prompt_hash: row.prompt_hash,
    agent: row.agent,
    goal: row.goal,
    session: row.session,
    parent_chain: row.parent,
    origin: row.origin,
    status: row.status,
    started_at: isoOf(row.started_us),
    ended_at: row.ended_us === null ? null : isoOf(row.ended_us),
    steps: row.n_steps,
    types: {
      analysis: row.n_analysis,
      decision: row.n_decision,
      inference: row.n_inference,
      reflection: row.n_reflection,
    },
    attrs: row.attrs === null ? null : (JSON.parse(row.attrs) as Record<string, unknown>),
  });
}

export function evaluationView({ at_us: atUs, ...row }: EvaluationRow) {
  return present({ ...row, at: isoOf(atUs) });
}

/** As `capture_batch` takes it again. */
export function stepView(step: StoredStep, withContent = true) {
  const { options, chosen, reasoning, premises, attrs } = withContent ? detailIn(step.detail) : {};
  return present({
    seq: step.seq,
    type: types[step.type] ?? 'analysis',
    subtype: step.subtype,
    ts: isoOf(step.at_us),
    duration_ms: step.dur_us === null ? null : step.dur_us / 1_000,
    parent_seq: step.parent_seq,
    confidence: step.confidence,
    provenance: provenances[step.prov] ?? 'self_report',
    content: withContent ? step.content : undefined,
    options,
    chosen,
    reasoning,
    premises,
    attrs,
    opaque: withContent && step.opaque.length > 0 ? step.opaque.map(opaqueView) : undefined,
  });
}

export const opaqueView = ({ kind, is_text: isText, payload }: OpaqueRow) =>
  isText === 1
    ? { kind, data: payload.toString('utf8') }
    : { kind, data: payload.toString('base64'), encoding: 'base64' };

/** Within a page: long contents are cut, and what only a provider understands is counted. */
export function shownStep(step: StoredStep) {
  const { opaque: _, content = '', ...view } = stepView(step);
  const end = cutAt(content, shownCharacters);
  return {
    ...view,
    content: content.slice(0, end),
    ...(end < content.length && { cut_characters: content.length - end }),
    ...(step.opaque.length > 0 && {
      opaque: step.opaque.map(({ kind, payload }) => ({ kind, bytes: payload.length })),
    }),
  };
}
