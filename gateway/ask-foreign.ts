/** Asks a server of others, and accounts for it. */
import { performance } from 'node:perf_hooks';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { RpcError, type Asked } from '#runtime/service.ts';

import { ForeignError } from './foreign/foreign-error.ts';
import type { ForeignMethod, ForeignServer } from './foreign/server.ts';
import { ended, failedAnswer, failureOf, type Accounted, type Watched } from './hand-on.ts';

type Json = Record<string, unknown>;

/** @returns the protocol's result. @throws RpcError as the server says it, or where it cannot be asked. */
export async function askForeign(
  account: Watched,
  { exchange, signal, progress }: Asked,
  server: ForeignServer,
  errand: Accounted & { readonly method: ForeignMethod },
  params: Readonly<Json>,
): Promise<Json> {
  const startedAtMs = performance.now();
  const settle = (outcome: 'ok' | ErrorCode, responseBytes: number, reason?: string, isToolError = false) => {
    const how = { outcome, reason, startedAtMs, responseBytes, protocolVersion: 'other', isToolError };
    ended(account, exchange, server.name, errand, how);
  };
  try {
    const result = await server.request(
      errand.method,
      {
        ...params,
        _meta: { ...(params['_meta'] as Json | undefined), traceparent: exchange.trace.traceparent },
      },
      { signal, onprogress: (step) => progress(step.progress, step.total, step.message) },
    );
    const failed = result['isError'] === true;
    settle(
      failed ? 'unavailable' : 'ok',
      Buffer.byteLength(JSON.stringify(result)),
      failed ? 'its own error' : undefined,
      failed,
    );
    return result;
  } catch (error) {
    if (error instanceof ForeignError) {
      settle(error.code === invalidParams ? 'invalid_input' : 'unavailable', 0, `its error ${error.code}`);
      throw new RpcError(error.code, error.message, error.data);
    }
    if (!(error instanceof ToolError)) throw error;
    settle(error.code, 0);
    return failedAnswer(errand.method, failureOf(error));
  }
}

const invalidParams = -32_602;
