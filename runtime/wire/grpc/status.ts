/** What failures are in gRPC: a status, a message that says the remedy, and details for programs. */
import { fromJson, toBinary, type FileRegistry } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

import type { Account, Failure } from '../../account/calls.ts';
import type { Trace } from '../../account/trace.ts';
import { ToolError, type ErrorCode } from '../../errors.ts';

/** @see https://grpc.io/docs/guides/status-codes/ */
export const codes = {
  cancelled: 1,
  invalid_input: 3,
  timeout: 4,
  not_found: 5,
  forbidden: 7,
  too_large: 8,
  // To try the same again is of no use, which is what tells it from `ABORTED`.
  conflict: 9,
  internal: 13,
  unavailable: 14,
} as const satisfies Record<ErrorCode, number>;
const unimplemented = 12;
const unauthenticated = 16;

interface Detail {
  readonly type: string;
  readonly value: Uint8Array;
}

/** What a call fails with, as its client is told. */
export class GrpcError extends Error {
  readonly code: number;
  readonly details: readonly Detail[];

  constructor(code: number, message: string, details: readonly Detail[] = []) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Headers carry it, percent-encoded, and clients take some kilobytes of them. */
const longestMessage = 800;
const longestHint = 400;

const cut = (text: string, longest: number) =>
  (text.length > longest ? `${text.slice(0, longest)}…` : text).toWellFormed();

/** As the protocol has it: only what is no plain ASCII is encoded, and the percent sign. */
const encodedMessage = (text: string) =>
  encodeURIComponent(text).replaceAll(/%(?!25)(?:[2-6][0-9A-F]|7[0-9A-E])/g, decodeURIComponent);

/** As the trailers of a call. */
export function trailersOf({ code, message, details }: GrpcError): Record<string, string> {
  return {
    'grpc-status': String(code),
    'grpc-message': encodedMessage(message),
    ...(details.length > 0 && { 'grpc-status-details-bin': statusIn(code, message, details) }),
  };
}

/** A `google.rpc.Status`, as headers carry bytes: https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto */
function statusIn(code: number, message: string, details: readonly Detail[]): string {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(code);
  writer.tag(2, WireType.LengthDelimited).string(message);
  for (const { type, value } of details) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(`type.googleapis.com/${type}`);
    writer.tag(2, WireType.LengthDelimited).bytes(value);
    writer.join();
  }
  return Buffer.from(writer.finish()).toString('base64').replace(/=+$/, '');
}

type Told = Pick<Failure, 'code' | 'message' | 'hint' | 'retryAfterMs'> &
  Partial<Pick<Failure, 'isUntrusted'>>;

/** Makes errors of one process. */
export function statuses(service: string, standard: FileRegistry) {
  const detail = (name: string, value: object) => {
    const desc = standard.getMessage(name);
    if (!desc) throw new TypeError(`The .proto files have no message ${name}.`);
    return { type: name, value: toBinary(desc, fromJson(desc, value as never)) };
  };

  function statusOf(failure: Told): GrpcError {
    const hint = failure.hint === undefined ? undefined : cut(failure.hint, longestHint);
    const message = cut(failure.message, longestMessage);
    const { retryAfterMs } = failure;
    return new GrpcError(codes[failure.code], hint === undefined ? message : `${message}\n${hint}`, [
      detail('google.rpc.ErrorInfo', {
        reason: failure.code.toUpperCase(),
        domain: 'dev.flotilla',
        metadata: {
          service,
          ...(hint !== undefined && { hint }),
          ...(failure.isUntrusted === true && { untrusted: 'true' }),
        },
      }),
      ...(retryAfterMs === undefined
        ? []
        : [detail('google.rpc.RetryInfo', { retryDelay: `${retryAfterMs / 1_000}s` })]),
    ]);
  }

  return {
    statusOf,
    /** Of whatever was thrown; what is no error for callers is logged, and told by its reference alone. */
    thrown(error: unknown, { log }: Pick<Account, 'log'>, { traceId }: Trace): GrpcError {
      if (error instanceof GrpcError) return error;
      if (error instanceof ToolError) {
        const { code, message, hint, retryAfterMs, isUntrusted } = error;
        return statusOf({ code, message, hint, retryAfterMs, isUntrusted });
      }
      log.error('request_broke', { error, traceId });
      const hint = 'Tell the operator: the log says more under this reference.';
      return statusOf({
        code: 'internal',
        message: `Internal error (ref ${traceId}).`,
        hint,
        retryAfterMs: undefined,
      });
    },
  };
}

/** Of one whose token is no good; no error of a tool has its code. */
export const notAuthenticated = (message: string) => new GrpcError(unauthenticated, message);
export const notImplemented = (message: string) => new GrpcError(unimplemented, message);

export type Statuses = ReturnType<typeof statuses>;
