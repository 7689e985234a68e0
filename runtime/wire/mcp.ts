/** The only importer of the MCP server SDK, with the other mcp-*.ts: turns a service into a handler for `/mcp`, in both protocol eras. */
import { randomBytes } from 'node:crypto';

import {
  createMcpHandler,
  createRequestStateCodec,
  InMemoryServerEventBus,
  isLegacyRequest,
  legacyStatelessFallback,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  specTypeSchemas,
  SUPPORTED_PROTOCOL_VERSIONS,
  type McpRequestContext,
  type ServerContext,
} from '@modelcontextprotocol/server';

import type { Exchange, Wire } from '../account/calls.ts';
import { createHandlers, exchangeOf, type Offer } from './mcp-handlers.ts';
import { createSessions } from './mcp-sessions.ts';
import { forCaller } from './mcp-surface.ts';
import { modernVersion } from './plain-request.ts';
import type { Sessions } from './sessions.ts';
import { tasksExtension } from './tasks.ts';
import { skillsExtension } from '../skill.ts';
import { maxBodyBytesOf, resourcesOf, type Notify } from '../service.ts';

const cacheHints = {
  'server/discover': forCaller,
  'tools/list': forCaller,
  'resources/list': forCaller,
  'resources/templates/list': forCaller,
  'prompts/list': forCaller,
};

/** A question to the user is answered within this time, or asked again. */
const questionTtlSeconds = 600;

/** The newest revision has no list in the SDK of those before it. */
const knownVersions = [modernVersion, ...SUPPORTED_PROTOCOL_VERSIONS];

/** What a handler finds in `call.protocol`, when it speaks MCP itself. */
export interface Protocol {
  readonly context: ServerContext;
  /** Seals what a question must remember; it comes back through `context.mcpReq.requestState()`, checked. */
  seal(state: unknown): Promise<string>;
  readonly notify: { toolsChanged(): void; promptsChanged(): void; resourcesChanged(): void };
}

export interface Mcp {
  /** `message` is the body, which has been read and parsed; `undefined` for requests that have none. */
  fetch(request: Request, exchange: Exchange, message: unknown): Promise<Response>;
  readonly resourceUpdated: Notify['resourceUpdated'];
  readonly listChanged: Notify['listChanged'];
  /** Ends the streams of those who only listen, with the protocol's own last word. */
  endSubscriptions(): Promise<void>;
  /** Ends everything that still runs. */
  close(): Promise<void>;
}

export function createMcp(offer: Offer, version: string, sessions: Sessions | undefined): Mcp {
  const { service, account, relay } = offer;
  const maxBodyBytes = maxBodyBytesOf(service);
  const report = (error: Error) => account.log.debug('protocol_error', { error: error.message });
  const register = createHandlers(offer);
  const hasResources = resourcesOf(service).length > 0;
  const spoken = {
    ...(offer.tasks && { [tasksExtension]: {} }),
    ...(service.skill && { [skillsExtension]: {} }),
  };
  const extensions = Object.keys(spoken).length > 0 ? { extensions: spoken } : {};

  const questions = createRequestStateCodec({
    key: randomBytes(32),
    ttlSeconds: questionTtlSeconds,
    bind: (context) => `${context.mcpReq.method}\0${exchangeOf(context).caller.hash}`,
  });

  /**
   * A server for one request, or for one session: the SDK asks for a fresh one each time. It must not hold the request: the
   * SDK leaves the server on the request's abort signal, which undici keeps until the request is gone, and so for ever.
   */
  const build = ({ era }: McpRequestContext): Server => {
    const instructions = relay?.instructions() ?? service.instructions;
    const server = new Server(
      { name: service.name, version },
      {
        capabilities: relay?.capabilities(era === 'modern') ?? {
          tools: { listChanged: true },
          ...(hasResources && { resources: { subscribe: true, listChanged: true } }),
          ...(service.prompts && { prompts: { listChanged: true }, completions: {} }),
          ...(service.sessions && { logging: {} }),
          ...(era === 'modern' && extensions),
        },
        ...(instructions !== undefined && { instructions }),
        cacheHints,
        requestState: { verify: async (state, context) => questions.verify(state, context) },
      },
    );
    register(server, {
      wireOf: (context) => wireOf(era, context),
      verify: async (state, context) => questions.verify(state, context),
      isModern: era === 'modern',
    });
    if (era === 'legacy' && (hasResources || relay)) {
      if (asking) asking.equip(server);
      else if (sessions) offerSubscriptions(server, sessions);
    }
    return server;
  };

  const wireOf = (era: McpRequestContext['era'], context: ServerContext): Wire => {
    const { signal, notify, _meta, id } = context.mcpReq;
    const { session, caller } = exchangeOf(context);
    const progressToken = _meta?.progressToken;
    return {
      get isGone() {
        return session === undefined && signal.aborted;
      },
      whenGone(act) {
        // In a session a client goes by its word; who is only cut off comes back.
        if (session !== undefined && sessions) return sessions.onCancel(session, caller.name, id, act);
        signal.addEventListener('abort', act, { once: true });
        return () => signal.removeEventListener('abort', act);
      },
      protocolVersion: versionOf(context),
      mayStream: exchangeOf(context).takesEvents && (era === 'legacy' || progressToken !== undefined),
      protocol: {
        context,
        seal: async (state: unknown) => questions.mint(state, context),
        notify: modern.notify,
      } satisfies Protocol,
      progress: (progress, total, message) => {
        if (progressToken === undefined) return;
        const params = {
          progressToken,
          progress,
          ...(total !== undefined && { total }),
          ...(message !== undefined && { message }),
        };
        notify({ method: 'notifications/progress', params }).catch(report);
      },
      resourceUpdated,
    };
  };

  const options = {
    legacy: 'reject',
    onerror: report,
    maxRequestBodySize: maxBodyBytes,
    // How many one token may have is looked at before.
    maxSubscriptions: Number.MAX_SAFE_INTEGER,
    bus: new InMemoryServerEventBus(report),
  } as const;
  const modern = createMcpHandler(build, options);
  // On its own, because a handler ends its subscriptions only together with the calls that run on it.
  const subscriptions = createMcpHandler(build, options);
  const asking = service.sessions && createSessions(build, service.sessions);
  const resourceUpdated = (uri: string) => {
    modern.notify.resourceUpdated(uri);
    asking?.resourceUpdated(uri);
    sessions?.resourceUpdated(uri);
  };
  const legacy = asking?.fetch ?? legacyStatelessFallback(build, report, options);

  return {
    resourceUpdated,
    listChanged(list) {
      modern.notify[`${list}Changed`]();
      sessions?.listChanged(list);
    },
    async fetch(request, exchange, parsedBody) {
      const message = parsedBody as RpcMessage | null | undefined;
      if (hidesArgument(message)) {
        account.metrics.countRefusal('malformed');
        return rpcError(400, -32_602, 'No argument may be named "__proto__"', message?.id);
      }
      const extra = {
        ...(parsedBody !== undefined && { parsedBody }),
        authInfo: {
          token: '', // the SDK needs the field; nothing behind it may see the secret
          clientId: exchange.caller.hash, // a later token of the same name is another caller
          scopes: [...exchange.caller.scope],
          extra: { exchange },
        },
      };
      if (await isLegacyRequest(request, parsedBody)) {
        const fault = faultIn(message);
        if (fault !== undefined) return rpcError(200, -32_602, fault, message?.id);
        const answer = await legacy(request, extra);
        return message?.method === 'resources/read' ? withOldNotFound(answer) : answer;
      }
      const handler = message?.method === 'subscriptions/listen' ? subscriptions : modern;
      const answer = await handler.fetch(request, extra);
      return message?.method === 'server/discover' || answer.status === 400
        ? withAllVersions(answer)
        : answer;
    },
    async endSubscriptions() {
      asking?.endStreams();
      sessions?.endStreams();
      await subscriptions.close();
    },
    async close() {
      await asking?.close();
      await modern.close();
    },
  };
}

/** @throws ProtocolError where the client keeps no session. */
function sessionIn(context: ServerContext): { readonly session: string; readonly owner: string } {
  const { session, caller } = exchangeOf(context);
  if (session !== undefined) return { session, owner: caller.name };
  throw new ProtocolError(
    ProtocolErrorCode.InvalidRequest,
    'Only a session can subscribe: initialize first, and send its Mcp-Session-Id.',
  );
}

function offerSubscriptions(server: Server, sessions: Sessions): void {
  server.setRequestHandler('resources/subscribe', ({ params: { uri } }, context) => {
    const { session, owner } = sessionIn(context);
    if (sessions.subscribe(session, owner, uri)) return {};
    throw new ProtocolError(
      ProtocolErrorCode.InternalError,
      'This session or this token subscribes to as much as it may: unsubscribe from something first.',
    );
  });
  server.setRequestHandler('resources/unsubscribe', ({ params: { uri } }, context) => {
    sessions.unsubscribe(sessionIn(context).session, uri);
    return {};
  });
}

/** As much of a message as is looked at before the SDK has checked it. */
interface RpcMessage {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: { readonly arguments?: unknown } | null;
}

/** The SDK names only the newest version: a client that lacks it could not tell that it is served all the same. */
async function withAllVersions(answer: Response): Promise<Response> {
  // One that says it wants no answer gets none.
  if (answer.body === null) return answer;
  const message = (await answer.json()) as {
    readonly result?: { supportedVersions?: readonly string[] };
    readonly error?: { readonly data?: { supported?: readonly string[] } };
  };
  if (message.result?.supportedVersions) message.result.supportedVersions = knownVersions;
  if (message.error?.data?.supported) message.error.data.supported = knownVersions;
  return new Response(JSON.stringify(message), answer);
}

/** The older revisions have a code of their own for a resource that is not there; the SDK sends the newest one's. */
async function withOldNotFound(answer: Response): Promise<Response> {
  const text = await answer.text();
  const isNotFound = text.includes(
    `"error":{"code":${ProtocolErrorCode.InvalidParams},"message":"Resource not found`,
  );
  return new Response(
    isNotFound
      ? text.replace(String(ProtocolErrorCode.InvalidParams), String(ProtocolErrorCode.ResourceNotFound))
      : text,
    answer,
  );
}

const schemas: Readonly<Record<string, (typeof specTypeSchemas)['Request']>> = {
  initialize: specTypeSchemas.InitializeRequest,
  'tools/list': specTypeSchemas.ListToolsRequest,
  'tools/call': specTypeSchemas.CallToolRequest,
  'resources/list': specTypeSchemas.ListResourcesRequest,
  'resources/templates/list': specTypeSchemas.ListResourceTemplatesRequest,
  'resources/read': specTypeSchemas.ReadResourceRequest,
  'resources/subscribe': specTypeSchemas.SubscribeRequest,
  'resources/unsubscribe': specTypeSchemas.UnsubscribeRequest,
  'prompts/list': specTypeSchemas.ListPromptsRequest,
  'prompts/get': specTypeSchemas.GetPromptRequest,
  'completion/complete': specTypeSchemas.CompleteRequest,
  'logging/setLevel': specTypeSchemas.SetLevelRequest,
};

/** What is wrong with the parameters of a request of the older revisions: the SDK would call it an error of its own. */
function faultIn(message: RpcMessage | null | undefined): string | undefined {
  const { method, params, id } = message ?? {};
  const schema =
    typeof method === 'string' && id !== undefined && Object.hasOwn(schemas, method)
      ? schemas[method]
      : undefined;
  if (!schema) return undefined;
  const checked = schema['~standard'].validate({ method, ...(params !== undefined && { params }) });
  if (checked instanceof Promise || !checked.issues) return undefined;
  const [issue] = checked.issues;
  const where = issue?.path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
  return `Invalid parameters of ${String(method)}: ${where}: ${issue?.message}`.slice(0, 300);
}

/** The SDK would drop this one argument without a word, where every other unknown one is named. */
function hidesArgument(message: RpcMessage | null | undefined): boolean {
  const args = message?.params?.arguments;
  return typeof args === 'object' && args !== null && Object.hasOwn(args, '__proto__');
}

/** Both eras name it in the header; only a version that we know becomes a label. */
function versionOf(context: ServerContext): string {
  return knownVersion(context.http?.req?.headers.get('mcp-protocol-version'));
}

export function knownVersion(header: unknown): string {
  return typeof header === 'string' && knownVersions.includes(header) ? header : 'other';
}

/** The SDK's own answers have this form. */
function rpcError(status: number, code: number, message: string, id: unknown = null): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id }, { status });
}
