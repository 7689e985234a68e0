/**
 * Spans of agents as chains of steps: the conventions of OpenTelemetry for generative AI, those of OpenInference, and our own, in
 * which chains are exported. A trace is a chain. Spans that say nothing of reasoning (HTTP, databases) become no steps.
 */
import type { Attributes, Value } from '#runtime/otlp/wire.ts';

import { maxContentLength, maxNameLength } from '../limits.ts';
import { attrsIn, Refused, stepOf } from '../steps/check.ts';
import { detailIn, detailText, type NewStep } from '../steps/step.ts';
import type { ChainFacts, ImportedChain, ImportedEvaluation, ImportedStep } from '../store/submission.ts';
import { MessageError, stepsOfMessage } from './messages.ts';
import type { Span, SpanEvent } from './spans.ts';

export interface Digest {
  readonly chains: readonly ImportedChain[];
  /** Spans that were not taken, by reason; and how many texts were cut. */
  readonly refused: Readonly<Record<string, number>>;
  /** Spans that say nothing of reasoning. */
  readonly ignored: number;
}

/** Of a root span: the conversation or agent as a whole. */
const wholeOperations = new Set(['invoke_agent', 'create_agent', 'invoke_workflow']);
const wholeKinds = new Set(['AGENT', 'CHAIN']);

/** The step is stored, with less of its text. */
export const cutContent = 'cut_content';

type Step = Omit<NewStep, 'chain'>;

export function chainsOf(spans: readonly Span[]): Digest {
  const refused: Record<string, number> = {};
  const refuse = (reason: string) => (refused[reason] = (refused[reason] ?? 0) + 1);
  const whole = spans.filter(({ traceId, spanId }) => {
    if (traceId !== '' && spanId !== '') return true;
    refuse('no_ids');
    return false;
  });
  let ignored = 0;
  const chains = [...Map.groupBy(whole, ({ traceId }) => traceId)].map(
    ([uid, all]): ImportedChain | undefined => {
      const ordered = inOrder(all);
      let facts: ChainFacts = {};
      const steps: ImportedStep[] = [];
      const evaluations: ImportedEvaluation[] = [];
      let [status, startedUs, endedUs]: [ImportedChain['status'], number | undefined, number | undefined] = [
        undefined,
        undefined,
        undefined,
      ];
      let isReasoning = false;
      for (const span of ordered) {
        const { spanId, parentSpanId, startUs, endUs } = span;
        const own = factsOf(span);
        const said = stepsOfSpan(span, refuse);
        const judged = span.events.flatMap((event) => evaluationOf(event, span));
        if (!own && said.length === 0 && judged.length === 0) {
          ignored += 1;
          continue;
        }
        isReasoning = true;
        facts = { ...own, ...facts };
        startedUs = Math.min(startedUs ?? Infinity, startUs ?? Infinity);
        const links = { span: spanId, ...(parentSpanId !== '' && { parentSpan: parentSpanId }) };
        for (const one of said) {
          steps.push({
            ...one,
            ...links,
            chain: uid,
            atUs: one.atUs ?? startUs,
            durUs: one.durUs ?? (said.length === 1 ? durationOf(span) : undefined),
          });
        }
        evaluations.push(...judged);
        if (isWhole(span) && parentSpanId === '') {
          const told = textIn(span.attributes['reasoning.chain.status']);
          if (told !== 'open') {
            status = statusOf(told) ?? (span.isError ? 'failed' : 'completed');
            endedUs = endUs;
          }
        }
      }
      if (!isReasoning) return undefined;
      // An export from here says which was first, where times are the same.
      steps.sort((one, other) => (one.seq ?? 0) - (other.seq ?? 0));
      return {
        uid,
        facts,
        status,
        startedUs: Number.isFinite(startedUs) ? startedUs : undefined,
        endedUs,
        steps,
        evaluations,
      };
    },
  );
  return { chains: chains.filter((chain) => chain !== undefined), refused, ignored };
}

const statusOf = (text: string) =>
  text === 'completed' || text === 'failed' || text === 'abandoned' ? text : undefined;

const durationOf = ({ startUs, endUs }: Span) =>
  startUs !== undefined && endUs !== undefined && endUs > startUs ? endUs - startUs : undefined;

/** By their start, and a parent before its children: spans that are each other's parents come in the order of their start. */
function inOrder(spans: readonly Span[]): Span[] {
  const byStart = spans.toSorted((one, other) => (one.startUs ?? 0) - (other.startUs ?? 0));
  const byId = new Map(byStart.map((span) => [span.spanId, span]));
  const ordered: Span[] = [];
  const seen = new Set<Span>();
  for (const span of byStart) {
    const above: Span[] = [];
    for (let one: Span | undefined = span; one && !seen.has(one); one = byId.get(one.parentSpanId)) {
      seen.add(one);
      above.push(one);
    }
    ordered.push(...above.toReversed());
  }
  return ordered;
}

const isWhole = ({ attributes }: Span) =>
  wholeOperations.has(textIn(attributes['gen_ai.operation.name'])) ||
  wholeKinds.has(textIn(attributes['openinference.span.kind'])) ||
  'reasoning.chain.id' in attributes;

function textIn(value: Value): string {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\u{fffd}') : '';
}

const nameIn = (...values: readonly Value[]): string | undefined =>
  values
    .map(textIn)
    .find((text) => text !== '')
    ?.slice(0, maxNameLength)
    .toWellFormed();

/** What a span says of the chain; `undefined` where it is no span of reasoning. */
function factsOf(span: Span): ChainFacts | undefined {
  const { attributes } = span;
  const isOurs =
    isWhole(span) ||
    Object.keys(attributes).some((name) => /^(gen_ai|reasoning|llm|openinference)\./.test(name));
  if (!isOurs) return undefined;
  const goal = textIn(attributes['reasoning.chain.goal']);
  const attrs = attrsIn(jsonIn(attributes['reasoning.chain.attrs']));
  const facts = {
    model: nameIn(
      attributes['gen_ai.response.model'],
      attributes['gen_ai.request.model'],
      attributes['llm.model_name'],
    ),
    provider: nameIn(
      attributes['gen_ai.provider.name'],
      attributes['gen_ai.system'],
      attributes['llm.provider'],
    ),
    version: nameIn(attributes['reasoning.model.version']),
    effort: nameIn(attributes['reasoning.model.effort']),
    prompt_hash: nameIn(attributes['reasoning.model.prompt_hash']),
    agent: nameIn(attributes['gen_ai.agent.name'], attributes['agent.name']),
    session: nameIn(attributes['gen_ai.conversation.id'], attributes['session.id']),
    goal: goal === '' ? undefined : goal.slice(0, maxContentLength),
    attrs: typeof attrs === 'string' ? undefined : JSON.stringify(attrs),
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** What one span says must not cost the others of the request. */
function stepsOfSpan(span: Span, refuse: (reason: string) => void): readonly Step[] {
  try {
    return saidBy(span, refuse);
  } catch (error) {
    if (!(error instanceof MessageError || error instanceof RangeError)) throw error;
    refuse(error instanceof MessageError ? 'opaque' : 'nested_too_deep');
    return [];
  }
}

function saidBy(span: Span, refuse: (reason: string) => void): readonly Step[] {
  const { attributes } = span;
  const ownType = attributes['reasoning.step.type'];
  if (typeof ownType === 'string') return ownStep(attributes, refuse);
  const said = [
    ...messagesIn(attributes['gen_ai.output.messages']),
    ...span.events.flatMap((event) => [
      ...messagesIn(event.attributes['gen_ai.output.messages']),
      ...(event.name === 'gen_ai.choice' ? choiceIn(event) : []),
    ]),
    ...flattened(attributes, 'llm.output_messages.'),
  ].flatMap(stepsOfMessage);
  const steps = said.flatMap((one) => within(one, refuse));
  if (steps.length > 0) return steps;
  const operation = textIn(attributes['gen_ai.operation.name']);
  const isTool = operation === 'execute_tool' || attributes['openinference.span.kind'] === 'TOOL';
  if (isTool) return toolStep(span).flatMap((one) => within(one, refuse));
  return [];
}

/** Cut where it is longer than a step may be, and told. */
function within(step: Step, refuse: (reason: string) => void): readonly Step[] {
  const content = textIn(step.content);
  if (content.length <= maxContentLength) return [content === step.content ? step : { ...step, content }];
  refuse(cutContent);
  const attrs = {
    ...(step.detail === undefined ? {} : detailIn(step.detail).attrs),
    cut_characters: content.length,
  };
  return [
    { ...step, content: content.slice(0, maxContentLength).toWellFormed(), detail: detailText({ attrs }) },
  ];
}

/** In our own conventions: what was exported here. */
function ownStep(attributes: Attributes, refuse: (reason: string) => void): readonly Step[] {
  const at = attributes['reasoning.step.seq'];
  const given = jsonIn(attributes['reasoning.step.detail']);
  const step = stepOf(
    {
      type: attributes['reasoning.step.type'],
      subtype: attributes['reasoning.step.subtype'],
      seq: at,
      content: attributes['reasoning.step.content'] ?? '',
      confidence: attributes['reasoning.step.confidence'],
      provenance: attributes['reasoning.step.provenance'],
      parent_seq: attributes['reasoning.step.parent_seq'],
      opaque: jsonIn(attributes['reasoning.step.opaque']),
      ...(typeof given === 'object' && given !== null ? given : {}),
    },
    '0'.repeat(32),
  );
  if (!(step instanceof Refused)) return [step];
  refuse(step.reason.split(':', 1)[0] ?? 'step');
  return [];
}

function toolStep({ name, attributes }: Span): readonly Step[] {
  const tool = nameIn(attributes['gen_ai.tool.name'], attributes['tool.name']) ?? name;
  const input = plain(attributes['gen_ai.tool.call.arguments'] ?? attributes['input.value']);
  const result = plain(attributes['gen_ai.tool.call.result'] ?? attributes['output.value']);
  const called = stepsOfMessage({
    role: 'assistant',
    content: [{ type: 'tool_call', name: tool, arguments: input ?? '' }],
  });
  return called.map((step) => {
    if (result === undefined) return step;
    const told = typeof result === 'string' ? result : JSON.stringify(result);
    return { ...step, content: `${step.content} → ${told}` };
  });
}

const jsonIn = (value: Value): unknown => {
  if (typeof value !== 'string') return plain(value);
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
};

/** Messages come as JSON in a text, or as a list of values. */
const messagesIn = (value: Value): readonly unknown[] => {
  const given = jsonIn(value);
  return Array.isArray(given) ? given.map(withParts) : [];
};

/** `{role, parts: [{type, content}]}`, as OpenTelemetry has it. */
const withParts = (message: unknown): unknown =>
  typeof message === 'object' && message !== null && 'parts' in message
    ? { role: 'assistant', content: message.parts }
    : message;

/** The older events: one for each choice. */
function choiceIn({ attributes }: SpanEvent): readonly unknown[] {
  const message = jsonIn(attributes['message']) ?? plain(attributes);
  return typeof message === 'object' && message !== null ? [{ role: 'assistant', ...message }] : [];
}

function plain(value: Value): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return (value as readonly Value[]).map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value as Attributes).map(([key, inner]) => [key, plain(inner)]));
}

const mostOfList = 1_000;

/** OpenInference writes lists as names with numbers in them: `llm.output_messages.0.message.contents.1.message_content.text`. */
function flattened(attributes: Attributes, prefix: string): readonly unknown[] {
  const messages: { role: string; content: Record<string, unknown>[] }[] = [];
  const messageAt = (at: number) => (messages[at] ??= { role: 'assistant', content: [] });
  const texts = new Map<number, string>();
  const calls = new Map<string, { at: number; part: Record<string, unknown> }>();
  for (const [name, value] of Object.entries(attributes)) {
    if (!name.startsWith(prefix)) continue;
    const [number = '', , kind = '', ...rest] = name.slice(prefix.length).split('.');
    const at = Number(number);
    if (!Number.isInteger(at) || at < 0 || at >= mostOfList) continue;
    if (kind === 'role') messageAt(at).role = textIn(value);
    else if (kind === 'content') texts.set(at, textIn(value));
    else if (kind === 'contents') {
      const [index = '', , ...field] = rest;
      if (!(Number(index) < mostOfList)) continue;
      const part = (messageAt(at).content[Number(index)] ??= {});
      part[field.join('.')] = plain(value);
    } else if (kind === 'tool_calls') {
      const [index = '', , ...field] = rest;
      const call = calls.get(`${at} ${index}`) ?? { at, part: { type: 'tool_call' } };
      calls.set(`${at} ${index}`, call);
      const last = field.at(-1) ?? '';
      call.part[last] = plain(value);
    }
  }
  for (const [at, text] of texts) {
    const { content } = messageAt(at);
    if (content.length === 0) content.push({ type: 'text', text });
  }
  for (const { at, part } of calls.values()) messageAt(at).content.push(part);
  return messages.filter(Boolean).map(({ role, content }) => ({ role, content: content.filter(Boolean) }));
}

/** https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-events/ */
function evaluationOf(
  { name, atUs, attributes }: SpanEvent,
  { spanId, parentSpanId }: Span,
): ImportedEvaluation[] {
  if (name !== 'gen_ai.evaluation.result') return [];
  const value = attributes['gen_ai.evaluation.score.value'];
  const text = (key: string) => textIn(attributes[key]).slice(0, maxContentLength) || undefined;
  return [
    {
      name: nameIn(attributes['gen_ai.evaluation.name']) ?? 'evaluation',
      value: typeof value === 'number' && Number.isFinite(value) ? value : undefined,
      label: text('gen_ai.evaluation.score.label'),
      explanation: text('gen_ai.evaluation.explanation'),
      source: nameIn(attributes['reasoning.evaluation.source']),
      atUs,
      from: spanId,
      // What judges the root judges the chain.
      isOfSpan: parentSpanId !== '',
    },
  ];
}
