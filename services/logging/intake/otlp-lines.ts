/** Records of OpenTelemetry as lines. */
import type { Attributes, Value } from '#runtime/otlp/wire.ts';

import type { LogRecord } from '../otlp/decode.ts';
import { levelNamed, levelOfSeverity, levelWithin } from './levels.ts';
import type { Said } from './parse.ts';

/** Of a resource, what tells where a line comes from; the rest is the same in every line of a process. */
const kept = new Set([
  'service.namespace',
  'service.instance.id',
  'service.version',
  'host.name',
  'deployment.environment.name',
  'deployment.environment',
  'k8s.pod.name',
  'k8s.namespace.name',
  'container.name',
]);

export function saidOf({
  timeUnixMs,
  severityNumber,
  severityText,
  body,
  attributes,
  traceId,
  spanId,
  resource,
  scope,
}: LogRecord): Said {
  const fields: Record<string, unknown> = {};
  for (const name in resource) if (kept.has(name)) fields[name] = plain(resource[name]);
  if (scope !== '') fields['scope'] = scope;
  for (const name in attributes) fields[name] = plain(attributes[name]);
  const parts = isRecord(body) ? body : undefined;
  for (const name in parts) if (name !== 'message' && name !== 'msg') fields[name] = plain(parts[name]);
  const message = messageOf(body, attributes);
  if (spanId !== '') fields['span_id'] = spanId;
  const service = resource['service.name'];
  return {
    message,
    atMs: timeUnixMs,
    level: levelOfSeverity(severityNumber) ?? levelNamed(severityText) ?? levelWithin(message),
    service: typeof service === 'string' && service !== '' ? service : undefined,
    // An id of zeros is none.
    traceId: /[1-9a-f]/.test(traceId) ? traceId : undefined,
    fields,
  };
}

const isRecord = (value: Value): value is Attributes =>
  typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array);

function messageOf(body: Value, attributes: Attributes): string {
  const said = isRecord(body) ? (body['message'] ?? body['msg']) : body;
  if (typeof said === 'string') return said;
  const error = attributes['exception.message'] ?? attributes['event.name'];
  if (said === undefined && typeof error === 'string') return error;
  const value = plain(said ?? body);
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** As JSON can hold it. */
function plain(value: Value): unknown {
  if (typeof value === 'bigint' || typeof value === 'number') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map((one: Value) => plain(one));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
}
