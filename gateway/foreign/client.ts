/** The only importer of the MCP client here: one connection to one foreign server, of either era of the protocol. */
import {
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  specTypeSchemas,
  SSEClientTransport,
  StreamableHTTPClientTransport,
  type RequestOptions,
  type Transport,
} from '@modelcontextprotocol/client';
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';
import { version } from '#runtime/process/version.ts';
import type { Effect } from '#runtime/tool.ts';

import { againAfter } from '../refusals.ts';
import { ConnectError, ForeignError } from './foreign-error.ts';
import { longestMessage, malformedAnswer, type ProcessTransport } from './process.ts';

export type Era = 'modern' | 'legacy';
export type ListName = 'tools' | 'prompts' | 'resources';

export interface Progress {
  readonly progress: number;
  readonly total?: number | undefined;
  readonly message?: string | undefined;
}

export interface RequestLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly onprogress?: ((progress: Progress) => void) | undefined;
  /** What it may have done where no answer comes; `read` unless set. */
  readonly effect?: Effect | undefined;
  /** Of a tool with arguments that go into headers too; without it, none do. */
  readonly inputSchema?: object | undefined;
}

export type Json = Record<string, unknown>;

export interface Connection {
  readonly era: Era;
  /** As it calls itself. */
  readonly title: string;
  readonly instructions: string;
  readonly capabilities: Readonly<Record<string, unknown>>;
  /** Resolves with the reason when it is lost, or closed. */
  readonly lost: Promise<string>;
  /** @throws ForeignError for its answer, ToolError for none: `timeout`, `cancelled`, `unavailable`. */
  request(method: string, params: Json, limits: RequestLimits): Promise<Json>;
  /** Hears of changes of a resource until it is disposed. */
  watch(uri: string, timeoutMs: number): Promise<AsyncDisposable>;
  close(): Promise<void>;
}

export interface Remote {
  readonly type: 'http' | 'sse';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Hooks {
  readonly onListChanged: (list: ListName) => void;
  readonly onResourceUpdated: (uri: string) => void;
}

/** A server that does not know the question of the newer era may never answer it. */
const probeMs = 10_000;
const anything = z.looseObject({});
/** Answers are passed on as they are: what they are checked by is their receiver's affair. */
const validatingNothing = {
  getValidator: () => (data: unknown) => ({ valid: true as const, data, errorMessage: undefined }),
};

/**
 * @param asksOlder begins as clients of the older era do: some servers end, or fail, when they are asked for the newer one.
 * @param timeoutMs for each request, and for all of it.
 * @throws ConnectError in words that help; ConfigError where a process cannot be started.
 */
export async function connectTo(
  target: ProcessTransport | Remote,
  hooks: Hooks,
  { timeoutMs, asksOlder, signal }: { timeoutMs: number; asksOlder: boolean; signal: AbortSignal },
): Promise<Connection> {
  const isProcess = !('url' in target);
  const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
  const changed = (list: ListName) => ({
    autoRefresh: false,
    onChanged: () => hooks.onListChanged(list),
  });
  const client = new Client(
    { name: 'flotilla-gateway', version },
    {
      versionNegotiation: { mode: 'auto', probe: { timeoutMs: Math.min(probeMs, timeoutMs) } },
      jsonSchemaValidator: validatingNothing as never,
      inputRequired: { autoFulfill: false },
      listChanged: { tools: changed('tools'), prompts: changed('prompts'), resources: changed('resources') },
    },
  );
  client.setNotificationHandler('notifications/resources/updated', ({ params }) =>
    hooks.onResourceUpdated(params.uri),
  );
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no other way
  client.onerror = () => {}; // each request tells its own; a loss is told by the close
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no other way
  client.onclose = () => lose((isProcess && target.end) || 'the connection was closed');
  try {
    const transport = isProcess ? (target as unknown as Transport) : remoteTransport(target);
    const prior = asksOlder ? { prior: { kind: 'legacy' as const } } : {};
    // What the SDK sends that has no answer, it waits for without an end.
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    await orStopped(client.connect(transport, { timeout: timeoutMs, signal, ...prior }), limit);
  } catch (error) {
    await client.close().catch(() => {});
    if (isProcess) await target.close();
    if (isOurs(error)) throw error;
    const { reason, isReached } = reasonOf(error, timeoutMs);
    throw isProcess && target.end !== undefined
      ? new ConnectError(target.end, true, error)
      : new ConnectError(reason, isReached, error);
  }
  const { name = '', version: theirs = '' } = client.getServerVersion() ?? {};
  // A newer server's changes come by a stream of their own: without it, nothing would be heard of them.
  void loseWithStream(client, lose);

  return {
    era: client.getProtocolEra() ?? 'legacy',
    title: `${name} ${theirs}`.trim(),
    instructions: client.getInstructions() ?? '',
    capabilities: client.getServerCapabilities() ?? {},
    lost,
    request: async (method, params, limits) => ask(client, method, params, limits),
    watch: async (uri, ms) => {
      if (client.getProtocolEra() === 'modern') {
        const stream = await client.listen({ resourceSubscriptions: [uri] }, { timeout: ms });
        return {
          [Symbol.asyncDispose]: async () => {
            await stream.close().catch(() => {});
          },
        };
      }
      await client.subscribeResource({ uri }, { timeout: ms });
      return {
        [Symbol.asyncDispose]: async () => {
          await client.unsubscribeResource({ uri }, { timeout: ms }).catch(() => {});
        },
      };
    },
    close: async () => {
      await client.close().catch(() => {});
    },
  };
}

async function loseWithStream(client: Client, lose: (reason: string) => void): Promise<void> {
  const how = await client.autoOpenedSubscription?.closed;
  if (how !== undefined && how !== 'local') lose('its stream of changes ended');
}

async function ask(client: Client, method: string, params: Json, limits: RequestLimits): Promise<Json> {
  const { timeoutMs, signal, onprogress, inputSchema } = limits;
  const options: RequestOptions = {
    timeout: timeoutMs,
    maxTotalTimeout: timeoutMs,
    ...(signal && { signal }),
    ...(onprogress && { onprogress }),
  };
  try {
    if (inputSchema && method === 'tools/call') {
      const toolDefinition = { name: String(params['name']), inputSchema } as never;
      return checked(method, await client.callTool(params as never, { ...options, toolDefinition }));
    }
    return checked(method, await client.request({ method, params }, anything, options));
  } catch (error) {
    throw failureOf(error, limits);
  }
}

interface Schema {
  readonly '~standard': { readonly validate: (value: unknown) => unknown };
}

/** What clients take for an answer: they would blame themselves for another one. */
const results = new Map<string, Schema>([
  ['tools/call', specTypeSchemas.CallToolResult],
  ['prompts/get', specTypeSchemas.GetPromptResult],
  ['resources/read', specTypeSchemas.ReadResourceResult],
  ['completion/complete', specTypeSchemas.CompleteResult],
]);
/** Of answers that are none yet. The SDK takes `resultType` away from those of the older era. */
const askingFields = ['inputRequests', 'requestState', 'task'];

class MalformedAnswer extends Error {}
class AsksBack extends Error {}

function checked(method: string, result: Json): Json {
  const schema = results.get(method);
  if (!schema) return result;
  const isTool = method === 'tools/call';
  const whole = isTool && result['content'] === undefined ? { ...result, content: [] } : result;
  if (whole !== result && askingFields.some((field) => Object.hasOwn(result, field))) throw new AsksBack();
  const found = schema['~standard'].validate(whole) as { readonly issues?: unknown };
  if (found.issues !== undefined) throw new MalformedAnswer();
  return whole;
}

/** Of the revision of 2025-11-25: come again when somebody has opened an address. */
const wantsAddressOpened = -32_042;

function failureOf(error: unknown, { timeoutMs, signal, effect = 'read' }: RequestLimits): Error {
  const hint = againAfter(effect);
  if (signal?.aborted) return new ToolError('cancelled', 'The call was cancelled.');
  if (
    error instanceof MalformedAnswer ||
    (error instanceof SdkError && error.code === SdkErrorCode.InvalidResult) ||
    (error instanceof ProtocolError && error.code === malformedAnswer)
  )
    return new ToolError('unavailable', 'The server has answered with what is no answer of the protocol.', {
      hint,
      cause: error,
    });
  // It was told that nobody here answers questions.
  if (
    error instanceof AsksBack ||
    (error instanceof SdkError && error.code === SdkErrorCode.UnsupportedResultType) ||
    (error instanceof ProtocolError && error.code === wantsAddressOpened)
  )
    return new ToolError(
      'unavailable',
      'The server asks back before it answers, which the gateway does not pass on.',
      {
        hint: 'Give it all that it may ask for as arguments, or use it without the gateway.',
      },
    );
  if (error instanceof ProtocolError) return new ForeignError(error.code, error.message, error.data);
  if (error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout)
    return new ToolError('timeout', `The server has not answered within ${timeoutMs / 1000} s.`, { hint });
  const { reason, isReached } = reasonOf(error, timeoutMs);
  return new ToolError('unavailable', `The server cannot answer: ${reason}.`, {
    hint: isReached ? hint : againAfter('read'),
    cause: error,
  });
}

function remoteTransport({ type, url, headers }: Remote): Transport {
  const options = { requestInit: { headers: { ...headers } }, fetch: boundedFetch };
  return type === 'sse'
    ? new SSEClientTransport(new URL(url), options)
    : new StreamableHTTPClientTransport(new URL(url), { ...options, redirectPolicy: 'same-origin' });
}

/** Bodies are counted as they come; in a stream of events, each event for itself. */
const boundedFetch = async (input: string | URL, init?: RequestInit): Promise<Response> => {
  const response = await fetch(input, init);
  if (!response.body) return response;
  const isStream = response.headers.get('content-type')?.includes('text/event-stream') ?? false;
  let bytes = 0;
  const counting = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      const end = isStream ? endOfEvent(chunk) : -1;
      bytes = end < 0 ? bytes + chunk.length : chunk.length - end;
      if (bytes > longestMessage) controller.error(new Error('its answer is larger than a message may be'));
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  const bounded = new Response(response.body.pipeThrough(counting), { status, statusText, headers });
  // Redirects are followed by the address that the answer says it is from.
  Object.defineProperty(bounded, 'url', { value: response.url });
  return bounded;
};

function endOfEvent(chunk: Uint8Array): number {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  return Math.max(bytes.lastIndexOf('\n\n'), bytes.lastIndexOf('\r\n\r\n'));
}

const isOurs = (error: unknown) => error instanceof Error && error.name === 'ConfigError';

const away = (reason: string) => ({ reason, isReached: false });

/** What kept us from an answer, as short as it helps, and whether somebody was there. */
function reasonOf(
  error: unknown,
  timeoutMs: number,
): { readonly reason: string; readonly isReached: boolean } {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const { status } = (cause as { readonly data?: { readonly status?: unknown } }).data ?? {};
    if (code === 'ECONNREFUSED' || /ECONNREFUSED/.test(cause.message))
      return away('nothing listens at its address');
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return away('its host name is not known');
    if (typeof code === 'string' && /CERT|TLS|SSL/.test(code))
      return away(`its certificate is not good (${code})`);
    const isLate = cause instanceof SdkError && cause.code === SdkErrorCode.RequestTimeout;
    if (isLate || cause.name === 'TimeoutError')
      return away(`it has not answered within ${timeoutMs / 1000} s`);
    if (status === 401 || status === 403 || cause.name === 'UnauthorizedError')
      return away(`it refuses the credentials (${status === 403 ? 403 : 401}): look at "headers"`);
    if (status === 404 || status === 405) {
      const reason = `it has no MCP at this address (${status}): look at "url", and at "type" for servers of the older kind (sse)`;
      return { reason, isReached: true };
    }
  }
  return { reason: error instanceof Error ? error.message.slice(0, 300) : 'it failed', isReached: true };
}
