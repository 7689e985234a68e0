/** What failures are in gRPC: a status, a message that says the remedy, and details for programs. */
import { fromJson, toBinary, type FileRegistry } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';

import type { Account, Failure } from '../../account/calls.ts';
import type { Trace } from '../../account/trace.ts';
import { ToolError, type ErrorCode } from '../../errors.ts';

/** @see https://grpc.io/docs/guides/status-codes/ */
const codes: Readonly<Record<ErrorCode, Code>> = {
  invalid_input: Code.InvalidArgument,
  not_found: Code.NotFound,
  // To try the same again is of no use, which is what tells it from `ABORTED`.
  conflict: Code.FailedPrecondition,
  forbidden: Code.PermissionDenied,
  too_large: Code.ResourceExhausted,
  timeout: Code.DeadlineExceeded,
  cancelled: Code.Canceled,
  unavailable: Code.Unavailable,
  internal: Code.Internal,
};

/** Headers carry it, percent-encoded, and clients take some kilobytes of them. */
const longestMessage = 800;
const longestHint = 400;

const cut = (text: string, longest: number) =>
  (text.length > longest ? `${text.slice(0, longest)}…` : text).toWellFormed();

/**
 * As the protocol has it: only what is no plain ASCII is encoded, and the percent sign. Connect encodes more, which the client of Node
 * leaves as it is.
 */
export const encodedMessage = (text: string) =>
  encodeURIComponent(text).replaceAll(/%(?!25)(?:[2-6][0-9A-F]|7[0-9A-E])/g, decodeURIComponent);

type Told = Pick<Failure, 'code' | 'message' | 'hint' | 'retryAfterMs'> &
  Partial<Pick<Failure, 'isUntrusted'>>;

/** Makes errors of one process. */
export function statuses(service: string, standard: FileRegistry) {
  const detail = (name: string, value: object) => {
    const desc = standard.getMessage(name);
    if (!desc) throw new TypeError(`The .proto files have no message ${name}.`);
    return { type: name, value: toBinary(desc, fromJson(desc, value as never)) };
  };

  function statusOf(failure: Told, code = codes[failure.code]): ConnectError {
    const hint = failure.hint === undefined ? undefined : cut(failure.hint, longestHint);
    const message = cut(failure.message, longestMessage);
    const { retryAfterMs } = failure;
    const status = new ConnectError(hint === undefined ? message : `${message}\n${hint}`, code);
    status.details = [
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
    ];
    return status;
  }

  return {
    statusOf,
    /** Of one whose token is no good; no error of a tool has its code. */
    unauthenticated: (message: string) => new ConnectError(message, Code.Unauthenticated),
    unimplemented: (message: string) => new ConnectError(message, Code.Unimplemented),
    /** Of whatever was thrown; what is no error for callers is logged, and told by its reference alone. */
    thrown(error: unknown, { log }: Pick<Account, 'log'>, { traceId }: Trace): ConnectError {
      if (error instanceof ConnectError) return error;
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

export type Statuses = ReturnType<typeof statuses>;
