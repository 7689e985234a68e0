/**
 * OTLP, logs: what a request holds, whichever way it is written. Field numbers are those of the public protocol
 * (opentelemetry-proto, collector/logs/v1). Nothing here knows the store.
 */
import {
  decodeJson as fromJson,
  decodeProtobuf as fromProtobuf,
  hex,
  idIn,
  pairsIn,
  readPair,
  readValue,
  textIn,
  timeIn,
  valueIn,
  type Attributes,
  type Group,
  type Signal,
  type Value,
} from '#runtime/otlp/wire.ts';

import { maxOtlpMessages, maxOtlpRecords } from '../limits.ts';

export interface LogRecord {
  readonly timeUnixMs: number | undefined;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: Value;
  readonly attributes: Attributes;
  /** In hex; empty where there is none. */
  readonly traceId: string;
  readonly spanId: string;
  readonly resource: Attributes;
  readonly scope: string;
}

interface Draft {
  time: number | undefined;
  observed: number | undefined;
  number: number;
  text: string;
  body: Value;
  attributes: Record<string, Value>;
  traceId: string;
  spanId: string;
}

const milliseconds = (nanoseconds: string | bigint | number | undefined): number | undefined => {
  if (nanoseconds === undefined) return undefined;
  const ms = Number(BigInt(nanoseconds) / 1_000_000n);
  return ms > 0 ? ms : undefined;
};

const logs: Signal<Draft> = {
  names: ['resourceLogs', 'scopeLogs', 'logRecords'],
  most: { records: maxOtlpRecords, messages: maxOtlpMessages },
  draft: () => ({
    time: undefined,
    observed: undefined,
    number: 0,
    text: '',
    body: undefined,
    attributes: {},
    traceId: '',
    spanId: '',
  }),
  fields: {
    1: (reader, record) => void (record.time = milliseconds(reader.fixed64())),
    2: (reader, record) => void (record.number = reader.int32()),
    3: (reader, record) => void (record.text = reader.string()),
    5: (reader, record, depth) => void (record.body = readValue(reader, depth)),
    6: (reader, record, depth) => readPair(reader, record.attributes, depth),
    9: (reader, record) => void (record.traceId = hex(reader.bytes())),
    10: (reader, record) => void (record.spanId = hex(reader.bytes())),
    11: (reader, record) => void (record.observed = milliseconds(reader.fixed64())),
  },
  draftIn: (record) => ({
    time: milliseconds(timeIn(record['timeUnixNano'])),
    observed: milliseconds(timeIn(record['observedTimeUnixNano'])),
    number: Number(record['severityNumber'] ?? 0) || 0,
    text: textIn(record['severityText']),
    body: record['body'] === undefined ? undefined : valueIn(record['body'], 1),
    attributes: pairsIn(record['attributes'], 1),
    traceId: idIn(record['traceId'], 32),
    spanId: idIn(record['spanId'], 16),
  }),
};

/** @throws OtlpError for what is no ExportLogsServiceRequest. */
export const decodeProtobuf = (bytes: Uint8Array): LogRecord[] => recordsOf(fromProtobuf(bytes, logs));
/** @throws OtlpError likewise. */
export const decodeJson = (source: string): LogRecord[] => recordsOf(fromJson(source, logs));

function recordsOf(groups: readonly Group<Draft>[]): LogRecord[] {
  return groups.flatMap(({ resource, scopes }) =>
    scopes.flatMap(({ name, drafts }) =>
      drafts.map((one) => ({
        timeUnixMs: one.time ?? one.observed,
        severityNumber: one.number,
        severityText: one.text,
        body: one.body,
        attributes: one.attributes,
        traceId: one.traceId,
        spanId: one.spanId,
        resource,
        scope: name,
      })),
    ),
  );
}
