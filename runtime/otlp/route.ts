/** OTLP/HTTP: how any collector of OpenTelemetry sends a signal. https://opentelemetry.io/docs/specs/otlp/#otlphttp */
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

import { ToolError } from '../errors.ts';
import { Lane } from '../lanes.ts';
import { bodyOf } from '../request-body.ts';
import type { Route } from '../service.ts';
import { encodeAnswer, encodeStatus, OtlpError, OtlpTooLargeError } from './wire.ts';

/** Of a request, as it comes and when it is unpacked. */
export const maxOtlpBytes = 8 * 1024 * 1024;
export const maxUnpackedBytes = 32 * 1024 * 1024;
/** Of requests at work, for their bodies lie in memory. */
const places = { perCaller: 4, inAll: 8, waiting: 64 };

/** A request as it came; what it holds, `unpackedOtlp` says. */
export interface OtlpBody {
  readonly isJson: boolean;
  readonly isPacked: boolean;
  readonly body: Uint8Array;
}

/** How many records were refused for which reason; all others are kept. */
type Refused = Readonly<Record<string, number>>;

export function otlpRoute<Deps>(
  path: Route<Deps>['path'],
  rejectedName: string,
  take: (request: OtlpBody, deps: Deps, caller: string) => Promise<Refused>,
  /** Reasons that refuse nothing: senders are told, and count no record as lost. */
  kept: readonly string[] = [],
): Route<Deps> {
  const lane = new Lane(places);
  return {
    path,
    method: 'POST',
    access: 'token',
    effect: 'write',
    async handle(request, deps, caller) {
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
        const refused = await lane.run({ signal: request.signal, caller }, async () =>
          take(
            { isJson, isPacked: encoding === 'gzip', body: await bodyOf(request, maxOtlpBytes) },
            deps,
            caller,
          ),
        );
        const records = Object.entries(refused).reduce(
          (sum, [reason, one]) => (kept.includes(reason) ? sum : sum + one),
          0,
        );
        const reasons = Object.entries(refused).map(([reason, one]) => `${reason}: ${one}`);
        return answer(200, encodeAnswer(isJson, rejectedName, records, reasons.join(', ')));
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
}

const unpack = promisify(gunzip);
const strict = new TextDecoder('utf-8', { fatal: true });

/**
 * What a request holds. Takes long: for a thread of its own.
 *
 * @throws ToolError `too_large` or `invalid_input` for what cannot be read: the sender's fault.
 */
export async function unpackedOtlp<Records>(
  { isJson, isPacked, body }: OtlpBody,
  fromJson: (source: string) => Records,
  fromProtobuf: (bytes: Uint8Array) => Records,
): Promise<Records> {
  const bytes = isPacked ? await unpacked(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  try {
    return isJson ? fromJson(strict.decode(bytes)) : fromProtobuf(bytes);
  } catch (error) {
    if (error instanceof OtlpError)
      throw new ToolError(error instanceof OtlpTooLargeError ? 'too_large' : 'invalid_input', error.message);
    if (error instanceof TypeError && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw new ToolError('invalid_input', 'The body is not UTF-8.');
    throw error;
  }
}

async function unpacked(body: Uint8Array): Promise<Buffer> {
  try {
    return await unpack(body, { maxOutputLength: maxUnpackedBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new ToolError('too_large', `Unpacked, the request has more than ${maxUnpackedBytes} bytes.`);
    throw new ToolError('invalid_input', 'The body is not gzip.');
  }
}
