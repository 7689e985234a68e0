/**
 * OTLP/JSON: one TracesData, which is one line of a file as OpenTelemetry's file exporter writes it. No convention of OpenTelemetry
 * has a span for the four types: so a step is an INTERNAL span with attributes of our own, and thinking of a provider is written as
 * a message with a reasoning part too.
 */
import { hash } from 'node:crypto';

import { provenances, types } from '../steps/step.ts';
import { opaqueView, stepView } from '../steps/view.ts';
import type { ChainRow, EvaluationRow, StoredStep } from '../store/reads.ts';
import type { Format } from './format.ts';

type Scalar = string | number | boolean;

const valueOf = (value: Scalar) =>
  typeof value === 'string'
    ? { stringValue: value }
    : typeof value === 'boolean'
      ? { boolValue: value }
      : // Beyond these, what reads it cannot keep a whole number as one.
        Number.isSafeInteger(value)
        ? { intValue: String(value) }
        : { doubleValue: value };

const pairs = (given: Readonly<Record<string, Scalar | null | undefined>>) =>
  Object.entries(given)
    .filter((entry): entry is [string, Scalar] => entry[1] !== null && entry[1] !== undefined)
    .map(([key, value]) => ({ key, value: valueOf(value) }));

/** The same for the same step, so that a trace that is sent twice is one. */
const spanIdOf = (uid: string, seq: number) => hash('sha256', `${uid} ${seq}`, 'hex').slice(0, 16);

const nanoseconds = (us: number) => `${us}000`;

/** INTERNAL, as protobuf numbers it. */
const internal = 1;
const statusError = 2;

export const otlpJson = (withContent: boolean): Format => ({
  head: (chain, evaluations) =>
    `{"resourceSpans":[{"resource":{"attributes":${JSON.stringify(pairs({ 'service.name': 'flotilla-reasoning-capture' }))}},` +
    `"scopeSpans":[{"scope":{"name":"flotilla.reasoning","version":"1"},"spans":[${JSON.stringify(rootOf(chain, evaluations, withContent))}`,
  step: (step, chain) => `,${JSON.stringify(spanOf(step, chain, withContent))}`,
  between: '',
  foot: () => ']}]}]}\n',
});

function rootOf(chain: ChainRow, evaluations: readonly EvaluationRow[], withContent: boolean) {
  return {
    traceId: chain.uid,
    spanId: spanIdOf(chain.uid, 0),
    name: chain.agent === null ? `reasoning ${chain.model}` : `invoke_agent ${chain.agent}`,
    kind: internal,
    startTimeUnixNano: nanoseconds(chain.started_us),
    endTimeUnixNano: nanoseconds(chain.ended_us ?? Math.max(chain.updated_us, chain.started_us)),
    attributes: pairs({
      ...(chain.agent !== null && {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.agent.name': chain.agent,
      }),
      'gen_ai.request.model': chain.model,
      'gen_ai.provider.name': chain.provider,
      'gen_ai.conversation.id': chain.session,
      'reasoning.chain.id': chain.uid,
      'reasoning.chain.status': chain.status,
      'reasoning.chain.goal': withContent ? chain.goal : null,
      'reasoning.chain.attrs': withContent ? chain.attrs : null,
      'reasoning.model.version': chain.version,
      'reasoning.model.effort': chain.effort,
      'reasoning.model.prompt_hash': chain.prompt_hash,
    }),
    events: evaluations.map((one) => ({
      timeUnixNano: nanoseconds(one.at_us),
      name: 'gen_ai.evaluation.result',
      attributes: pairs({
        'gen_ai.evaluation.name': one.name,
        'gen_ai.evaluation.score.value': one.value,
        'gen_ai.evaluation.score.label': one.label,
        'gen_ai.evaluation.explanation': withContent ? one.explanation : null,
        'reasoning.evaluation.source': one.source,
        'reasoning.step.seq': one.seq,
      }),
    })),
    status: chain.status === 'failed' ? { code: statusError } : {},
  };
}

function spanOf(step: StoredStep, { uid, model }: ChainRow, withContent: boolean) {
  const { options, chosen, reasoning, premises, attrs } = stepView(step);
  const detail = { options, chosen, reasoning, premises, attrs };
  const isThinking = provenances[step.prov]?.startsWith('provider_') ?? false;
  const parts = step.opaque.map(opaqueView);
  return {
    traceId: uid,
    spanId: spanIdOf(uid, step.seq),
    parentSpanId: spanIdOf(uid, step.parent_seq ?? 0),
    name: `reasoning.${types[step.type] ?? 'analysis'}`,
    kind: internal,
    startTimeUnixNano: nanoseconds(step.at_us),
    endTimeUnixNano: nanoseconds(step.at_us + (step.dur_us ?? 0)),
    attributes: pairs({
      'gen_ai.request.model': model,
      'reasoning.step.type': types[step.type] ?? 'analysis',
      'reasoning.step.subtype': step.subtype,
      'reasoning.step.seq': step.seq,
      'reasoning.step.parent_seq': step.parent_seq,
      'reasoning.step.confidence': step.confidence,
      'reasoning.step.provenance': provenances[step.prov] ?? 'self_report',
      ...(withContent && {
        'reasoning.step.content': step.content,
        'reasoning.step.detail': step.detail === null ? null : JSON.stringify(detail),
        'reasoning.step.opaque': parts.length === 0 ? null : JSON.stringify(parts),
        'gen_ai.output.messages': isThinking
          ? JSON.stringify([
              {
                role: 'assistant',
                parts: [{ type: 'reasoning', content: step.content }],
                finish_reason: 'stop',
              },
            ])
          : null,
      }),
    }),
    status: {},
  };
}
