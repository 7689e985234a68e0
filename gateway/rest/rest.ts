/** REST on the gateway: requests become calls of tools in the caller's name, and what tools answer becomes one form for all. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';

import type { Account } from '#runtime/account/calls.ts';
import type { Metadata, Said } from '#runtime/envelope/envelope.ts';
import { originHeaders } from '#runtime/wire/foreign.ts';
import { RpcError, type Asked, type Face, type Turned } from '#runtime/service.ts';
import { inTurns } from '#runtime/turns.ts';
import type { Admitted } from '#runtime/wire/gate.ts';

import { answerOf, failureAnswer, takesJson, valueOf, type Answer, type ToolResult } from './answering.ts';
import { Matching, type Matched } from './matching.ts';
import type { Method, Operation, Value } from './operation.ts';
import { operations } from './operations.ts';
import { levelOf, readArguments, type InputShape, type Read } from './reading.ts';
import { codeOfHttp, Refusal, refusal } from './refusal.ts';

/** What REST asks the gateway for. */
export interface Fleet {
  /** The schema of a tool's arguments; `undefined` where it is not there, or not for this caller. */
  schemaOf(operation: Operation, tool: string, asked: Asked): Promise<InputShape | undefined>;
  /** Calls a tool as if the caller had asked for it over MCP: by the same rules, with an account of its own. @throws RpcError */
  call(operation: Operation, tool: string, args: Value, asked: Asked): Promise<ToolResult>;
}

export const under = '/api/';

export function restFace(fleet: Fleet, account: Pick<Account, 'log' | 'now'>): Face {
  const matching = new Matching(operations);
  const metadataOf = (requestId: string, startedAtMs: number): Metadata => ({
    request_id: requestId,
    timestamp: new Date(account.now()).toISOString(),
    duration_ms: Math.round((performance.now() - startedAtMs) * 1_000) / 1_000,
  });
  return {
    under,
    turned({ status, message, hint }: Turned, accept, traceId) {
      const said = { code: codeOfHttp(status), message, ...(hint !== undefined && { hint }) };
      const about = { metadata: metadataOf(traceId, performance.now()), warnings: [] };
      const { type, body = '' } = failureAnswer(new Refusal(status, [said]), accept, about);
      return { type, text: body };
    },
    take(request, response, admitted) {
      const startedAtMs = performance.now();
      const { exchange } = admitted;
      const told = () => metadataOf(exchange.trace.traceId, startedAtMs);
      answer(fleet, matching, request, response, admitted, told)
        .catch((error: unknown) => {
          if (!(error instanceof Refusal))
            account.log.error('request_broke', { error, traceId: exchange.trace.traceId });
          const why = error instanceof Refusal ? error : broken(exchange.trace.traceId);
          return failureAnswer(why, request.headers.accept, { metadata: told(), warnings: [] });
        })
        .then((come) => write(request, response, admitted, come))
        .catch((error: unknown) => {
          account.log.error('request_broke', { error, traceId: exchange.trace.traceId });
          response.destroy();
        });
    },
  };
}

/** What was read for somebody who has gone is not asked for. */
const never = new AbortController().signal;

const broken = (ref: string) =>
  new Refusal(500, [
    { code: 'internal', message: `Internal error (ref ${ref}).`, hint: 'Tell the operator.' },
  ]);

async function answer(
  fleet: Fleet,
  matching: Matching,
  request: IncomingMessage,
  response: ServerResponse,
  { exchange, message }: Admitted,
  told: () => Metadata,
): Promise<Answer> {
  const { headers, method = 'GET', url: target = '' } = request;
  if (!takesJson(headers.accept))
    throw refusal(
      406,
      'Answers are JSON: accept application/json, or application/problem+json besides for errors.',
    );
  const url = URL.parse(target, 'http://localhost');
  if (!url) throw refusal(400, 'The path cannot be read.');
  const matched = matching.find(method, url.pathname);
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  const asked: Asked = { exchange, isModern: false, signal: gone.signal, progress: () => {} };
  const { operation, variables } = matched;
  const tool = operation.tool === '*' ? (variables['name'] ?? '') : operation.tool;
  const schema = await fleet.schemaOf(operation, tool, asked);
  if (!schema) throw missing(operation, tool);
  const given = {
    variables,
    query: url.searchParams,
    ifMatch: headers['if-match'],
    idempotencyKey: headerOf(headers['idempotency-key']),
    level: levelOf(url.searchParams, headerOf(headers['flotilla-level'])),
    body: message,
  };
  // To walk through a long body takes many turns.
  const whose = { caller: exchange.caller.name, operation: tool, signal: never };
  const read = await inTurns((step) => step(), whose, readArguments(operation, schema, given));
  try {
    const value = valueOf(await called(fleet, operation, tool, read.args, asked));
    return answerOf(operation, value, {
      metadata: told(),
      warnings: read.warnings,
      args: read.args,
      url,
      ifNoneMatch: headers['if-none-match'],
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const why =
      (await changedMeanwhile(fleet, matching, matched, url, read, error, asked)) ??
      unwrapped(operation, error);
    return failureAnswer(why, headers.accept, { metadata: told(), warnings: read.warnings });
  }
}

async function called(
  fleet: Fleet,
  operation: Operation,
  tool: string,
  args: Value,
  asked: Asked,
): Promise<ToolResult> {
  try {
    return await fleet.call(operation, tool, args, asked);
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const isOfArguments = error.code === invalidParams;
    throw refusal(isOfArguments ? 422 : 503, error.message);
  }
}

const invalidParams = -32_602;

const headerOf = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value);

/** A tool that is not there. */
function missing({ service }: Operation, tool: string): Refusal {
  if (service === '*')
    return refusal(
      404,
      `There is no tool "${tool.slice(0, 100)}" for this token.`,
      'GET /api/v1/tools lists those that there are.',
    );
  const hint = `Start it, and see that the token reaches it: its scope has to name ${service}.`;
  return refusal(503, `The service ${service} is not there, or not for this token.`, hint, {
    'retry-after': '5',
  });
}

/** The tool speaks of a list, and the client of the one thing in it. */
function unwrapped({ wraps }: Operation, why: Refusal): Refusal {
  const [{ message, ...first }, ...more] = why.errors as [Said, ...Said[]];
  if (wraps === undefined || !message.includes(`${wraps}.0.`)) return why;
  const said = { ...first, message: message.replaceAll(`${wraps}.0.`, '') };
  return new Refusal(why.http, [said, ...more], why.headers, why.status);
}

/** A conflict of who changes a version that is another now (RFC 9110, 13.1.1); `undefined` for any other. */
async function changedMeanwhile(
  fleet: Fleet,
  matching: Matching,
  { variables }: Matched,
  { pathname }: URL,
  { args }: Read,
  { http, errors }: Refusal,
  asked: Asked,
): Promise<Refusal | undefined> {
  const expected = args['if_version'];
  if (http !== 409 || expected === undefined) return undefined;
  let read: Operation;
  try {
    read = matching.find('GET' satisfies Method, pathname).operation;
  } catch {
    return undefined;
  }
  const value = valueOf(await called(fleet, read, read.tool, variables, asked));
  const current = (value[read.value ?? ''] as Value | undefined)?.['version'];
  if (current === undefined || current === expected) return undefined;
  const [{ message, hint = 'Get it again, and see whether the change is still meant.' } = { message: '' }] =
    errors;
  return refusal(412, message, hint);
}

function write(
  { method, headers: { origin } }: IncomingMessage,
  response: ServerResponse,
  { exchange }: Admitted,
  { http, headers, body, type }: Answer,
): void {
  if (response.destroyed || response.headersSent) return;
  const size = body === undefined ? 0 : Buffer.byteLength(body);
  response.writeHead(http, {
    ...headers,
    ...(origin !== undefined && originHeaders(origin)),
    traceparent: exchange.trace.traceparent,
    'x-content-type-options': 'nosniff',
    ...(body !== undefined && { 'content-type': type, 'content-length': String(size) }),
  });
  response.end(method === 'HEAD' ? undefined : body);
}
