/** Requests as agents send them, written down by the public protocol in both of its ways. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

type Scalar = string | number | boolean;

export interface Sent {
  readonly name: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly parentSpanId?: string;
  readonly start?: string;
  readonly end?: string;
  readonly attributes: Readonly<Record<string, Scalar>>;
  readonly events?: readonly {
    readonly name: string;
    readonly attributes: Readonly<Record<string, Scalar>>;
  }[];
  readonly isError?: boolean;
}

export const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const startNs = '1795924800000000000';
const endNs = '1795924809000000000';

export const someSpans: readonly Sent[] = [
  {
    name: 'chat a-model',
    spanId: '00f067aa0ba902b7',
    parentSpanId: '00f067aa0ba902b1',
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'anthropic',
      'gen_ai.request.model': 'a-model',
      'gen_ai.output.messages': JSON.stringify([
        {
          role: 'assistant',
          parts: [
            { type: 'reasoning', content: 'Let me think.', signature: 'c2ln' },
            { type: 'text', content: 'The answer.' },
          ],
        },
      ]),
    },
    events: [
      {
        name: 'gen_ai.evaluation.result',
        attributes: {
          'gen_ai.evaluation.name': 'relevance',
          'gen_ai.evaluation.score.value': 0.75,
          'gen_ai.evaluation.score.label': 'good',
        },
      },
    ],
  },
  {
    name: 'execute_tool search',
    spanId: '00f067aa0ba902b8',
    parentSpanId: '00f067aa0ba902b7',
    start: '1795924803000000000',
    attributes: {
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'search',
      'gen_ai.tool.call.arguments': '{"q":"x"}',
      'gen_ai.tool.call.result': 'found',
    },
  },
  { name: 'GET /', spanId: '00f067aa0ba902b9', attributes: { 'http.request.method': 'GET' } },
  {
    name: 'invoke_agent planner',
    spanId: '00f067aa0ba902b1',
    attributes: { 'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.name': 'planner' },
  },
];

const jsonValue = (value: Scalar) =>
  typeof value === 'string'
    ? { stringValue: value }
    : typeof value === 'boolean'
      ? { boolValue: value }
      : Number.isInteger(value)
        ? { intValue: String(value) }
        : { doubleValue: value };

const jsonPairs = (pairs: Readonly<Record<string, Scalar>>) =>
  Object.entries(pairs).map(([key, value]) => ({ key, value: jsonValue(value) }));

export const jsonOf = (spans: readonly Sent[]): string =>
  JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: jsonPairs({ 'service.name': 'agent' }) },
        scopeSpans: [
          {
            scope: { name: 'tests' },
            spans: spans.map((span) => ({
              traceId: span.traceId ?? traceId,
              spanId: span.spanId ?? '00f067aa0ba902a0',
              ...(span.parentSpanId && { parentSpanId: span.parentSpanId }),
              name: span.name,
              kind: 1,
              startTimeUnixNano: span.start ?? startNs,
              endTimeUnixNano: span.end ?? endNs,
              attributes: jsonPairs(span.attributes),
              events: (span.events ?? []).map((event) => ({
                timeUnixNano: endNs,
                name: event.name,
                attributes: jsonPairs(event.attributes),
              })),
              status: span.isError ? { code: 2 } : {},
            })),
          },
        ],
      },
    ],
  });

const message = (fill: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  fill(writer);
  return writer.finish();
};
const put = (writer: BinaryWriter, number: number, bytes: Uint8Array) =>
  writer.tag(number, WireType.LengthDelimited).bytes(bytes);

const value = (given: Scalar) =>
  message((writer) => {
    if (typeof given === 'string') writer.tag(1, WireType.LengthDelimited).string(given);
    else if (typeof given === 'boolean') writer.tag(2, WireType.Varint).bool(given);
    else if (Number.isInteger(given)) writer.tag(3, WireType.Varint).int64(given);
    else writer.tag(4, WireType.Bit64).double(given);
  });

function putPairs(writer: BinaryWriter, number: number, pairs: Readonly<Record<string, Scalar>>): void {
  for (const [key, given] of Object.entries(pairs)) {
    const pair = message((inner) => {
      inner.tag(1, WireType.LengthDelimited).string(key);
      put(inner, 2, value(given));
    });
    put(writer, number, pair);
  }
}

export const asProtobuf = (spans: readonly Sent[]): Uint8Array => {
  const scope = message((writer) => {
    put(
      writer,
      1,
      message((inner) => void inner.tag(1, WireType.LengthDelimited).string('tests')),
    );
    for (const span of spans) {
      const bytes = message((inner) => {
        put(inner, 1, Buffer.from(span.traceId ?? traceId, 'hex'));
        put(inner, 2, Buffer.from(span.spanId ?? '00f067aa0ba902a0', 'hex'));
        if (span.parentSpanId) put(inner, 4, Buffer.from(span.parentSpanId, 'hex'));
        inner.tag(5, WireType.LengthDelimited).string(span.name);
        inner.tag(7, WireType.Bit64).fixed64(span.start ?? startNs);
        inner.tag(8, WireType.Bit64).fixed64(span.end ?? endNs);
        putPairs(inner, 9, span.attributes);
        for (const event of span.events ?? []) {
          const told = message((one) => {
            one.tag(1, WireType.Bit64).fixed64(endNs);
            one.tag(2, WireType.LengthDelimited).string(event.name);
            putPairs(one, 3, event.attributes);
          });
          put(inner, 11, told);
        }
        if (span.isError)
          put(
            inner,
            15,
            message((one) => void one.tag(3, WireType.Varint).int32(2)),
          );
      });
      put(writer, 2, bytes);
    }
  });
  const resource = message((writer) => {
    put(
      writer,
      1,
      message((inner) => putPairs(inner, 1, { 'service.name': 'agent' })),
    );
    put(writer, 2, scope);
  });
  return message((writer) => void put(writer, 1, resource));
};
