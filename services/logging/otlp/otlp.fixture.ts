/** Requests as collectors send them, written down by the public protocol in both of its ways. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

interface Sent {
  readonly timeUnixNano: string;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string | number | bigint | boolean | readonly string[]>>;
  readonly traceId: string;
}

export const someRecords: readonly Sent[] = [
  {
    timeUnixNano: '1795924800123456789',
    severityNumber: 17,
    severityText: 'ERROR',
    body: 'it broke',
    attributes: { 'http.status': 500, big: 9_007_199_254_740_993n, ok: true, ratio: 0.5, list: ['a', 'b'] },
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  },
  {
    timeUnixNano: '1795924801000000000',
    severityNumber: 9,
    severityText: '',
    body: 'later',
    attributes: {},
    traceId: '',
  },
];

type Value = Sent['attributes'][string];

function jsonValue(value: Value): unknown {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'bigint') return { intValue: value.toString() };
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { arrayValue: { values: value.map(jsonValue) } };
}

const jsonPairs = (pairs: Readonly<Record<string, Value>>) =>
  Object.entries(pairs).map(([key, value]) => ({ key, value: jsonValue(value) }));

export const asJson = (records: readonly Sent[]): string =>
  JSON.stringify({
    resourceLogs: [
      {
        resource: { attributes: jsonPairs({ 'service.name': 'shop' }) },
        scopeLogs: [
          {
            scope: { name: 'checkout' },
            logRecords: records.map(({ body, attributes, ...record }) => ({
              ...record,
              body: jsonValue(body),
              attributes: jsonPairs(attributes),
            })),
          },
        ],
      },
    ],
  });

const within = (number: number, bytes: Uint8Array) =>
  new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();

function bytesOf(value: Value): Uint8Array {
  const writer = new BinaryWriter();
  if (typeof value === 'string') writer.tag(1, WireType.LengthDelimited).string(value);
  else if (typeof value === 'boolean') writer.tag(2, WireType.Varint).bool(value);
  else if (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value)))
    writer.tag(3, WireType.Varint).int64(value);
  else if (typeof value === 'number') writer.tag(4, WireType.Bit64).double(value);
  else writer.raw(within(5, Buffer.concat(value.map((one) => within(1, bytesOf(one))))));
  return writer.finish();
}

const pairBytes = (number: number, pairs: Readonly<Record<string, Value>>) =>
  Buffer.concat(
    Object.entries(pairs).map(([key, value]) =>
      within(
        number,
        Buffer.concat([
          new BinaryWriter().tag(1, WireType.LengthDelimited).string(key).finish(),
          within(2, bytesOf(value)),
        ]),
      ),
    ),
  );

export function asProtobuf(records: readonly Sent[]): Uint8Array {
  const logs = records.map(({ timeUnixNano, severityNumber, severityText, body, attributes, traceId }) =>
    within(
      2,
      Buffer.concat([
        new BinaryWriter()
          .tag(1, WireType.Bit64)
          .fixed64(BigInt(timeUnixNano))
          .tag(2, WireType.Varint)
          .int32(severityNumber)
          .tag(3, WireType.LengthDelimited)
          .string(severityText)
          .finish(),
        within(5, bytesOf(body)),
        pairBytes(6, attributes),
        within(9, Buffer.from(traceId, 'hex')),
      ]),
    ),
  );
  const scope = within(1, new BinaryWriter().tag(1, WireType.LengthDelimited).string('checkout').finish());
  const resource = within(1, pairBytes(1, { 'service.name': 'shop' }));
  return within(1, Buffer.concat([resource, within(2, Buffer.concat([scope, ...logs]))]));
}
