/** What A2A is answered, over JSON-RPC and HTTP+JSON. */
import type { Log } from '#runtime/account/log.ts';
import { continueTrace } from '#runtime/account/trace.ts';
import { ToolError } from '#runtime/errors.ts';
import { hasEndlessNumber } from '#runtime/numbers.ts';
import { bodyOf } from '#runtime/request-body.ts';
import type { Route } from '#runtime/service.ts';
import { isTooComplex } from '#runtime/wire/complexity.ts';

import type { Hub } from '../hub.ts';
import { megabyte } from '../limits.ts';
import { cardResponse, fullCard, openCard, reachable, type Target } from './cards.ts';
import {
  A2AError,
  AgentCard,
  answerRpc,
  ContentTypeNotSupportedError,
  contentType,
  dataEvent,
  errorEvent,
  GetTaskRequest,
  ListTasksRequest,
  ListTasksResponse,
  protocolVersion,
  RequestMalformedError,
  restStatusFor,
  rpcCodes,
  SendMessageRequest,
  SendMessageResponse,
  StreamResponse,
  Task,
  toJsonRpcError,
  toRestErrorBody,
  UnsupportedOperationError,
  VersionNotSupportedError,
  versionHeader,
  type Operations,
} from './protocol.ts';
import { requireSendable } from './said.ts';

/** Files go by address, not in a message. */
const mostRequestBytes = megabyte;
const keepAliveMs = 15_000;

type Handle = Route<Hub>['handle'];
type Variables = Readonly<Record<string, string>>;

const targetOf = ({ agent }: Variables): Target => (agent === undefined ? 'hub' : { agent });

const json = (body: unknown, type = 'application/json', status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': type, 'cache-control': 'no-store', ...headers },
  });

class UnknownAgent extends Error {
  override readonly message = 'There is no such agent here.';
}

/** A request whose body is none: JSON-RPC has codes of its own for that. */
class BadBody extends RequestMalformedError {
  readonly rpcCode: number;
  readonly httpStatus: number;

  constructor(rpcCode: number, httpStatus: number, message: string) {
    super(message);
    this.rpcCode = rpcCode;
    this.httpStatus = httpStatus;
  }
}

/** @throws BadBody, ContentTypeNotSupportedError. */
async function bodyIn(request: Request, types: readonly string[]): Promise<Record<string, unknown>> {
  const [type = ''] = (request.headers.get('content-type') ?? '').toLowerCase().split(';');
  if (!types.includes(type.trim()))
    throw new ContentTypeNotSupportedError(`Send Content-Type: ${types.join(' or ')}.`);
  const bytes = await bodyOf(request, mostRequestBytes).catch((error: unknown) => {
    if (error instanceof ToolError) throw new BadBody(rpcCodes.INVALID_REQUEST, 413, error.message);
    throw error;
  });
  if (isTooComplex(bytes))
    throw new BadBody(rpcCodes.INVALID_REQUEST, 413, 'The request has more than 100,000 keys and values.');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new BadBody(rpcCodes.PARSE_ERROR, 400, 'The body is no JSON in UTF-8.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadBody(rpcCodes.INVALID_REQUEST, 400, 'The body must be one JSON object.');
  if (hasEndlessNumber(value))
    throw new BadBody(rpcCodes.INVALID_REQUEST, 400, 'The body has a number that is too large to be one.');
  return value as Record<string, unknown>;
}

/** A client that names no version speaks 0.3, says the specification. Patch versions do not count. */
function requireVersion({ headers, url }: Request): void {
  const asked = headers.get(versionHeader) ?? new URL(url).searchParams.get(versionHeader) ?? '';
  if (!/^1\.0(\.\d+)?$/.test(asked))
    throw new VersionNotSupportedError(
      `A2A ${asked === '' ? '0.3 (no version was named)' : asked.slice(0, 20)} is not spoken here: send ${versionHeader}: ${protocolVersion}.`,
    );
}

/** As A2A says it; what is no failure of the request stays in the log. */
function told(error: unknown, log: Log): { readonly error: Error; readonly retryAfterMs?: number } {
  if (error instanceof A2AError || error instanceof UnknownAgent) return { error };
  if (error instanceof ToolError) {
    const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
    if (error.code === 'unavailable')
      return { error: new A2AError(message), retryAfterMs: error.retryAfterMs ?? 1_000 };
    return { error: new RequestMalformedError(message) };
  }
  log.error('a2a_broke', { error });
  return { error: new A2AError('Internal error.') };
}

const afterHeader = (retryAfterMs: number | undefined): Record<string, string> =>
  retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterMs / 1_000)) };

function rpcFailure(given: unknown, id: unknown, log: Log): Response {
  const { error, retryAfterMs } = told(given, log);
  const isId = typeof id === 'string' || typeof id === 'number';
  const answer = (code: number | undefined, status: number) => {
    const failure = toJsonRpcError(error);
    return json(
      { jsonrpc: '2.0', id: isId ? id : null, error: { ...failure, code: code ?? failure.code } },
      undefined,
      status,
      afterHeader(retryAfterMs),
    );
  };
  if (error instanceof BadBody) return answer(error.rpcCode, error.httpStatus);
  if (error instanceof UnknownAgent) return answer(rpcCodes.INVALID_PARAMS, 404);
  if (error instanceof ContentTypeNotSupportedError) return answer(undefined, 415);
  return answer(undefined, retryAfterMs === undefined ? 200 : 503);
}

function restFailure(given: unknown, log: Log): Response {
  const { error, retryAfterMs } = told(given, log);
  const status =
    error instanceof BadBody
      ? error.httpStatus
      : error instanceof UnknownAgent
        ? 404
        : retryAfterMs !== undefined
          ? 503
          : restStatusFor(error);
  return json(toRestErrorBody(error, status), contentType, status, afterHeader(retryAfterMs));
}

/** Server-Sent Events, each with one piece of data. A stream that fails says so last. */
function eventStream<Value>(
  first: IteratorResult<Value, void>,
  rest: AsyncGenerator<Value, void>,
  write: (value: Value) => unknown,
  fail: (error: unknown) => unknown,
): Response {
  const encoder = new TextEncoder();
  let pending: IteratorResult<Value, void> | undefined = first;
  let keepAlive: NodeJS.Timeout | undefined;
  let isGone = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      keepAlive = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': still there\n\n'));
      }, keepAliveMs);
      keepAlive.unref();
    },
    async pull(controller) {
      const next = pending ?? (await rest.next().catch((error: unknown) => ({ error })));
      pending = undefined;
      // Whoever has left meanwhile is told nothing.
      if (isGone) return;
      if ('error' in next) controller.enqueue(encoder.encode(errorEvent(fail(next.error))));
      else if (!next.done) {
        controller.enqueue(encoder.encode(dataEvent(write(next.value))));
        return;
      }
      clearInterval(keepAlive);
      controller.close();
    },
    async cancel() {
      isGone = true;
      clearInterval(keepAlive);
      await rest.return();
    },
  });
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    },
  });
}

/** What may be asked of an agent, or of the hub. @throws UnknownAgent. */
async function operations(
  { a2a }: Hub,
  request: Request,
  caller: string,
  variables: Variables,
): Promise<Operations> {
  const target = targetOf(variables);
  const agent = target === 'hub' ? undefined : reachable(a2a.directory, target.agent, a2a.now());
  if (target !== 'hub' && !agent) throw new UnknownAgent();
  const { origin } = new URL(request.url);
  const card = async () => fullCard(agent, a2a.directory, origin, a2a.now());
  const { traceparent } = continueTrace(request.headers.get('traceparent') ?? undefined);
  return {
    ...(await a2a.tasks()).for({ target, caller, signal: request.signal, traceparent }),
    getAgentCard: card,
    getAuthenticatedExtendedAgentCard: card,
  };
}

async function rpc(request: Request, deps: Hub, caller: string, variables: Variables): Promise<Response> {
  const { log } = deps.a2a;
  let id: unknown;
  try {
    const ask = await operations(deps, request, caller, variables);
    const message = await bodyIn(request, ['application/json']);
    ({ id } = message);
    requireVersion(request);
    if (message['jsonrpc'] !== '2.0' || typeof message['method'] !== 'string' || !isRpcId(id))
      throw new BadBody(
        rpcCodes.INVALID_REQUEST,
        400,
        'The request must have jsonrpc "2.0", a method, and an id that is a text or a whole number.',
      );
    if (sending.has(message['method'])) requireSendable(message['params']);
    const answer = await answerRpc(guarded(ask, log), message);
    if (!(Symbol.asyncIterator in answer)) return json(answer);
    const first = await answer.next();
    return eventStream(
      first,
      answer,
      (value) => value,
      (error) => ({ jsonrpc: '2.0', id, error: toJsonRpcError(told(error, log).error) }),
    );
  } catch (error) {
    return rpcFailure(error, id, log);
  }
}

const sending: ReadonlySet<string> = new Set(['SendMessage', 'SendStreamingMessage']);
const isRpcId = (id: unknown) =>
  id === undefined || id === null || typeof id === 'string' || Number.isSafeInteger(id);

/** The SDK answers with whatever an operation throws: so that is made fit to be read first. */
function guarded(ask: Operations, log: Log): Operations {
  const fit = (error: unknown): never => {
    throw told(error, log).error;
  };
  return new Proxy(ask, {
    get(target, name: keyof Operations) {
      const operation = target[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        const result = operation.apply(target, args);
        return result instanceof Promise ? result.catch(fit) : result;
      };
    },
  });
}

interface RestAsking {
  readonly ask: Operations;
  readonly request: Request;
  readonly variables: Variables;
  readonly query: URLSearchParams;
}

type Rest = (asking: RestAsking) => Promise<unknown> | AsyncGenerator<StreamResponse, void>;

const none = undefined as never;

function rest(handle: Rest): Handle {
  return async (request, deps, caller, variables) => {
    const { log } = deps.a2a;
    try {
      const ask = await operations(deps, request, caller, variables);
      requireVersion(request);
      const answer = handle({ ask, request, variables, query: new URL(request.url).searchParams });
      if (answer instanceof Promise) return json(await answer, contentType);
      const first = await answer.next();
      return eventStream(
        first,
        answer,
        (value) => StreamResponse.toJSON(value),
        (error) => {
          const { error: fault } = told(error, log);
          return toRestErrorBody(fault, restStatusFor(fault));
        },
      );
    } catch (error) {
      return restFailure(error, log);
    }
  };
}

const restTypes = [contentType, 'application/json'];

async function sendIn(request: Request): Promise<SendMessageRequest> {
  const body = await bodyIn(request, restTypes);
  requireSendable(body);
  return SendMessageRequest.fromJSON(body);
}

async function send({ ask, request }: RestAsking): Promise<unknown> {
  const sent = await ask.sendMessage(await sendIn(request), none);
  return SendMessageResponse.toJSON({
    payload: 'messageId' in sent ? { $case: 'message', value: sent } : { $case: 'task', value: sent },
  });
}

async function* stream({ ask, request }: RestAsking) {
  yield* ask.sendMessageStream(await sendIn(request), none);
}

const number = (text: string | null) => (text === null || text === '' ? undefined : Number(text));

/** Of a task: `ID`, `ID:cancel` or `ID:subscribe`. */
function taskAction({ variables: { task = '' } }: RestAsking): {
  readonly id: string;
  readonly action: string;
} {
  const [, id = task, action = ''] = /^(.*):([a-z]+)$/.exec(task) ?? [];
  return { id, action };
}

async function get(asking: RestAsking): Promise<unknown> {
  const { ask, query } = asking;
  const id = asking.variables['task'] ?? '';
  const historyLength = number(query.get('historyLength'));
  return Task.toJSON(await ask.getTask({ ...GetTaskRequest.fromJSON({ id }), historyLength }, none));
}

async function cancel({ ask }: RestAsking, id: string): Promise<unknown> {
  return Task.toJSON(await ask.cancelTask({ tenant: '', id, metadata: undefined }, none));
}

const actOnTask: Rest = (asking) => {
  const { id, action } = taskAction(asking);
  if (action === 'subscribe') return asking.ask.resubscribe({ tenant: '', id }, none);
  if (action === 'cancel') return cancel(asking, id);
  return Promise.reject(
    new UnsupportedOperationError('A task is got, cancelled (ID:cancel) or subscribed to (ID:subscribe).'),
  );
};

async function list({ ask, query }: RestAsking): Promise<unknown> {
  const asked = ListTasksRequest.fromJSON(Object.fromEntries(query));
  const found = await ask.listTasks(
    {
      ...asked,
      pageSize: number(query.get('pageSize')),
      historyLength: number(query.get('historyLength')),
      includeArtifacts: query.get('includeArtifacts') === 'true',
    },
    none,
  );
  const told = ListTasksResponse.toJSON(found) as object;
  // All of these are always there, says the specification.
  return { tasks: [], nextPageToken: '', totalSize: 0, pageSize: found.pageSize, ...told };
}

const card: Rest = async ({ ask }) =>
  AgentCard.toJSON(await ask.getAuthenticatedExtendedAgentCard({ tenant: '' }, none));

const push: Rest = async ({ ask }) => ask.createTaskPushNotificationConfig(none, none);

/** Unless the operator opens them, cards say nothing of agents, not even which there are. */
function discover(request: Request, { a2a }: Hub, _caller: string, variables: Variables): Response {
  const target = targetOf(variables);
  const { origin } = new URL(request.url);
  if (!a2a.areCardsOpen) return cardResponse(openCard(target, origin), request);
  const agent = target === 'hub' ? undefined : reachable(a2a.directory, target.agent, a2a.now());
  if (target !== 'hub' && !agent) return restFailure(new UnknownAgent(), a2a.log);
  return cardResponse(fullCard(agent, a2a.directory, origin, a2a.now()), request);
}

/** By what is asked for. */
export const answers = {
  discover,
  rpc,
  send: rest(send),
  stream: rest(stream),
  list: rest(list),
  get: rest(get),
  act: rest(actOnTask),
  card: rest(card),
  push: rest(push),
} as const satisfies Readonly<Record<string, Handle>>;
