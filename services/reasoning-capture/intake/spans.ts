/** OTLP, traces: what a request holds. Field numbers are those of the public protocol (opentelemetry-proto, trace/v1). */
import {
  decodeJson,
  decodeProtobuf,
  hex,
  idIn,
  list,
  object,
  pairsIn,
  readPair,
  textIn,
  timeIn,
  within,
  type Attributes,
  type Group,
  type Read,
  type Signal,
  type Value,
} from '#runtime/otlp/wire.ts';

import { maxOtlpMessages, maxSpans } from '../limits.ts';

export interface SpanEvent {
  readonly atUs: number | undefined;
  readonly name: string;
  readonly attributes: Attributes;
}

export interface Span {
  /** In hex; empty where there is none that is whole. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly startUs: number | undefined;
  readonly endUs: number | undefined;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  readonly isError: boolean;
  readonly resource: Attributes;
}

type Writable<Value> = { -readonly [Name in keyof Value]: Value[Name] };
interface Draft extends Writable<Omit<Span, 'resource' | 'events' | 'attributes'>> {
  attributes: Record<string, Value>;
  events: (Writable<Omit<SpanEvent, 'attributes'>> & { attributes: Record<string, Value> })[];
}

const microseconds = (nanoseconds: string | bigint | number | undefined): number | undefined => {
  if (nanoseconds === undefined) return undefined;
  const us = Number(BigInt(nanoseconds) / 1_000n);
  return us > 0 && Number.isSafeInteger(us) ? us : undefined;
};

const idOf = (bytes: Uint8Array, length: number) => (bytes.length === length ? hex(bytes) : '');
const noTrace = /^0*$/;
const known = (id: string) => (noTrace.test(id) ? '' : id);

const eventFields: Read<Draft['events'][number]> = {
  1: (reader, event) => void (event.atUs = microseconds(reader.fixed64())),
  2: (reader, event) => void (event.name = reader.string()),
  3: (reader, event, depth) => readPair(reader, event.attributes, depth),
};
const statusFields: Read<{ isError: boolean }> = {
  3: (reader, status) => void (status.isError = reader.int32() === 2),
};

const spans: Signal<Draft> = {
  names: ['resourceSpans', 'scopeSpans', 'spans'],
  most: { records: maxSpans, messages: maxOtlpMessages },
  draft: () => ({
    traceId: '',
    spanId: '',
    parentSpanId: '',
    name: '',
    startUs: undefined,
    endUs: undefined,
    attributes: {},
    events: [],
    isError: false,
  }),
  fields: {
    1: (reader, span) => void (span.traceId = known(idOf(reader.bytes(), 16))),
    2: (reader, span) => void (span.spanId = known(idOf(reader.bytes(), 8))),
    4: (reader, span) => void (span.parentSpanId = known(idOf(reader.bytes(), 8))),
    5: (reader, span) => void (span.name = reader.string()),
    7: (reader, span) => void (span.startUs = microseconds(reader.fixed64())),
    8: (reader, span) => void (span.endUs = microseconds(reader.fixed64())),
    9: (reader, span, depth) => readPair(reader, span.attributes, depth),
    11: (reader, span, depth) =>
      void span.events.push(
        within(reader, eventFields, { atUs: undefined, name: '', attributes: {} }, depth),
      ),
    15: (reader, span, depth) => void within(reader, statusFields, span, depth),
  },
  draftIn: (span) => ({
    traceId: known(idIn(span['traceId'], 32)),
    spanId: known(idIn(span['spanId'], 16)),
    parentSpanId: known(idIn(span['parentSpanId'], 16)),
    name: textIn(span['name']),
    startUs: microseconds(timeIn(span['startTimeUnixNano'])),
    endUs: microseconds(timeIn(span['endTimeUnixNano'])),
    attributes: pairsIn(span['attributes'], 1),
    events: list(span['events'], 'events').map((one) => {
      const event = object(one, 'An event');
      return {
        atUs: microseconds(timeIn(event['timeUnixNano'])),
        name: textIn(event['name']),
        attributes: pairsIn(event['attributes'], 1),
      };
    }),
    isError: isErrorCode(object(span['status'], 'status')['code']),
  }),
};

const isErrorCode = (code: unknown) => code === 2 || code === 'STATUS_CODE_ERROR';

/** @throws OtlpError for what is no ExportTraceServiceRequest, or TracesData. */
export const spansInProtobuf = (bytes: Uint8Array): Span[] => spansOf(decodeProtobuf(bytes, spans));
/** @throws OtlpError likewise. */
export const spansInJson = (source: string): Span[] => spansOf(decodeJson(source, spans));

const spansOf = (groups: readonly Group<Draft>[]): Span[] =>
  groups.flatMap(({ resource, scopes }) =>
    scopes.flatMap(({ drafts }) => drafts.map((draft) => ({ ...draft, resource }))),
  );
