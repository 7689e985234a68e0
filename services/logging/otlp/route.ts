/** OTLP/HTTP for logs: what any collector of OpenTelemetry sends. https://opentelemetry.io/docs/specs/otlp/#otlphttp */
import { ToolError } from '#runtime/errors.ts';
import { Lane } from '#runtime/lanes.ts';
import type { Route } from '#runtime/service.ts';

import { maxOtlpBytes, maxUnpackedBytes, otlpPlaces } from '../limits.ts';
import type { Logging } from '../logging.ts';
import { encodeAnswer, encodeStatus } from './decode.ts';

const lane = new Lane(otlpPlaces);

export const otlpLogs: Route<Logging> = {
  path: '/v1/logs',
  method: 'POST',
  access: 'token',
  effect: 'write',
  async handle(request, { store }, caller) {
    const type = (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase();
    const isJson = type === 'application/json';
    const answer = (
      status: number,
      body: Uint8Array | string,
      headers: Readonly<Record<string, string>> = {},
    ) =>
      new Response(typeof body === 'string' ? body : Buffer.from(body), {
        status,
        headers: { 'content-type': isJson ? 'application/json' : 'application/x-protobuf', ...headers },
      });
    const refuse = (status: number, message: string, headers?: Readonly<Record<string, string>>) =>
      answer(status, encodeStatus(isJson, message), headers);
    if (!isJson && type !== 'application/x-protobuf')
      return refuse(415, 'content-type must be application/x-protobuf or application/json.');
    const encoding = request.headers.get('content-encoding') ?? 'identity';
    if (encoding !== 'gzip' && encoding !== 'identity')
      return refuse(415, 'content-encoding must be gzip, or none.');
    try {
      const outcome = await lane.run({ signal: request.signal, caller }, async () => {
        const body = await bodyOf(request);
        return store.otlp({
          owner: caller,
          isJson,
          isPacked: encoding === 'gzip',
          body,
          mostBytes: maxUnpackedBytes,
        });
      });
      const refused = Object.values(outcome.refused).reduce((sum, lines) => sum + lines, 0);
      const reasons = Object.entries(outcome.refused).map(([reason, lines]) => `${reason}: ${lines}`);
      return answer(200, encodeAnswer(isJson, refused, reasons.join(', ')));
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      if (error.code === 'unavailable')
        return refuse(503, error.message, {
          'retry-after': String(Math.ceil((error.retryAfterMs ?? 5_000) / 1_000)),
        });
      return refuse(error.code === 'too_large' ? 413 : 400, error.message);
    }
  },
};

const tooLong = () => new ToolError('too_large', `The request has more than ${maxOtlpBytes} bytes.`);

async function bodyOf(request: Request): Promise<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > maxOtlpBytes) throw tooLong();
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > maxOtlpBytes) throw tooLong();
    parts.push(part);
  }
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}
