/** The only importer of the MCP server SDK, with the other mcp-*.ts: turns a service into a handler for `/mcp`, in both protocol eras. */
import { randomBytes } from 'node:crypto';

import {
  createMcpHandler,
  createRequestStateCodec,
  isLegacyRequest,
  legacyStatelessFallback,
  InMemoryServerEventBus,
  ProtocolError,
  ProtocolErrorCode,
  readRequestBody,
  ResourceNotFoundError,
  Server,
  type CallToolResult,
  type CompleteResult,
  type GetPromptResult,
  type McpRequestContext,
  type ReadResourceResult,
  type ServerContext,
} from '@modelcontextprotocol/server';

import {
  callTool,
  perform,
  type Account,
  type Exchange,
  type Failure,
  type Operation,
  type Wire,
} from './calls.ts';
import { ToolError } from './errors.ts';
import { createSessions } from './mcp-sessions.ts';
import { listSurface, listsByEffect } from './mcp-surface.ts';
import { allowedEffect, covers } from './scope.ts';
import type { AnyService, Prompt, Resource } from './service.ts';
import { defaultTimeoutMs, ProtocolResult, type AnyTool } from './tool.ts';
import { continueTrace } from './trace.ts';
import { matchUri } from './uri-template.ts';

/** Lists change only with a deployment, but differ by token, so that no shared cache may keep them. */
const listCacheMs = 5 * 60_000;

/** A question to the user is answered within this time, or asked again. */
const questionTtlSeconds = 600;

const knownVersions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'];

/** What a handler finds in `call.protocol`, when it speaks MCP itself. */
export interface Protocol {
  readonly context: ServerContext;
  /** Seals what a question must remember; it comes back through `context.mcpReq.requestState()`, checked. */
  seal(state: unknown): Promise<string>;
  readonly notify: { toolsChanged(): void; promptsChanged(): void; resourcesChanged(): void };
}

export interface Mcp {
  readonly maxBodyBytes: number;
  /** `body` is the request's, where it has been read already. */
  fetch(request: Request, exchange: Exchange, body?: string): Promise<Response>;
  readonly resourceUpdated: (uri: string) => void;
  /** Ends the streams of those who only listen, with the protocol's own last word. */
  endSubscriptions(): Promise<void>;
  /** Ends everything that still runs. */
  close(): Promise<void>;
}

interface Served {
  readonly service: AnyService;
  readonly tools: readonly AnyTool<unknown>[];
  readonly deps: unknown;
  readonly version: string;
  readonly account: Account;
}

const defaultMaxBodyBytes = 4 * 1024 * 1024;

export function createMcp(served: Served): Mcp {
  const { service, deps, account } = served;
  const maxBodyBytes = service.maxBodyBytes ?? defaultMaxBodyBytes;
  const tools = new Map(served.tools.map((tool) => [tool.name, tool]));
  const surface = listSurface(service, served.tools);
  const lists = listsByEffect(served.tools, surface);
  const resources: readonly Resource<unknown>[] = service.resources ?? [];
  const prompts: readonly Prompt<unknown>[] = service.prompts ?? [];
  const report = (error: Error) => account.log.debug('protocol_error', { error: error.message });

  const questions = createRequestStateCodec({
    key: randomBytes(32),
    ttlSeconds: questionTtlSeconds,
    bind: (context) => `${context.mcpReq.method}\0${exchangeOf(context).caller.hash}`,
  });

  const build = (request: McpRequestContext): Server => {
    const streams = request.era === 'modern' || service.sessions !== undefined;
    const server = new Server(
      { name: service.name, version: served.version },
      {
        capabilities: {
          tools: { listChanged: streams },
          ...(resources.length > 0 && { resources: { subscribe: streams, listChanged: streams } }),
          ...(prompts.length > 0 && { prompts: { listChanged: streams }, completions: {} }),
          ...(service.sessions && { logging: {} }),
        },
        ...(service.instructions !== undefined && { instructions: service.instructions }),
        cacheHints: {
          'server/discover': { ttlMs: listCacheMs, cacheScope: 'public' },
          'tools/list': { ttlMs: listCacheMs, cacheScope: 'private' },
          'resources/list': { ttlMs: listCacheMs, cacheScope: 'private' },
          'resources/templates/list': { ttlMs: listCacheMs, cacheScope: 'private' },
          'prompts/list': { ttlMs: listCacheMs, cacheScope: 'private' },
        },
        requestState: { verify: async (state, context) => questions.verify(state, context) },
      },
    );

    const wireOf = (context: ServerContext): Wire => {
      const progressToken = context.mcpReq._meta?.progressToken;
      return {
        signal: context.mcpReq.signal,
        protocolVersion: versionOf(context),
        mayStream: request.era === 'legacy' || progressToken !== undefined,
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
          context.mcpReq.notify({ method: 'notifications/progress', params }).catch(report);
        },
        resourceUpdated,
      };
    };
    const allowed = (context: ServerContext) => allowedEffect(exchangeOf(context).caller.scope, service.name);
    const mayRead = (context: ServerContext) => covers(allowed(context), 'read');

    server.setRequestHandler('tools/list', (_request, context) => {
      const effect = allowed(context);
      return effect === undefined ? { tools: [] } : lists[effect];
    });
    server.setRequestHandler('tools/call', async ({ params }, context) => {
      const tool = tools.get(params.name);
      if (!tool) {
        return answer<CallToolResult>(context, wireOf(context), {
          method: 'tools/call',
          target: null,
          run: () => {
            throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Tool ${params.name} not found`);
          },
        });
      }
      const result = await callTool(
        account,
        exchangeOf(context),
        wireOf(context),
        tool,
        params.arguments,
        deps,
      );
      return (result instanceof ProtocolResult ? result.result : result) as CallToolResult;
    });

    if (resources.length > 0) {
      server.setRequestHandler('resources/list', (_request, context) => ({
        resources: mayRead(context) ? surface.resources : [],
      }));
      server.setRequestHandler('resources/templates/list', (_request, context) => ({
        resourceTemplates: mayRead(context) ? surface.resourceTemplates : [],
      }));
      server.setRequestHandler('resources/read', async ({ params }, context) =>
        answer<ReadResourceResult>(context, wireOf(context), {
          method: 'resources/read',
          target: resources.find((one) => matchUri(one.uri, params.uri))?.name ?? null,
          run: (call) => {
            for (const resource of resources) {
              const variables = matchUri(resource.uri, params.uri);
              const contents = variables && resource.read(variables, deps, call);
              if (contents)
                return { contents: [{ uri: params.uri, mimeType: resource.mimeType, ...contents }] };
            }
            throw new ResourceNotFoundError(params.uri);
          },
        }),
      );
    }

    if (prompts.length > 0) {
      server.setRequestHandler('prompts/list', (_request, context) => ({
        prompts: mayRead(context) ? surface.prompts : [],
      }));
      server.setRequestHandler('prompts/get', async ({ params }, context) =>
        answer<GetPromptResult>(context, wireOf(context), {
          method: 'prompts/get',
          target: prompts.find(({ name }) => name === params.name)?.name ?? null,
          run: (call) => {
            const prompt = promptNamed(prompts, params.name);
            const args = promptArguments(prompt, params.arguments ?? {});
            const messages = prompt.messages(args, deps, call);
            if (messages instanceof ProtocolResult) return messages.result as GetPromptResult;
            return { description: prompt.description, messages } as unknown as GetPromptResult;
          },
        }),
      );
      server.setRequestHandler('completion/complete', async ({ params: { ref, argument } }, context) =>
        answer<CompleteResult>(context, wireOf(context), {
          method: 'completion/complete',
          target: null,
          run: () => {
            const prompt = ref.type === 'ref/prompt' ? promptNamed(prompts, ref.name) : undefined;
            const values = prompt?.arguments[argument.name]?.complete?.(argument.value, deps) ?? [];
            // The protocol allows 100 values at most.
            return {
              completion: {
                values: values.slice(0, 100),
                total: values.length,
                hasMore: values.length > 100,
              },
            };
          },
        }),
      );
    }
    sessions?.equip(server);
    return server;
  };

  /** Runs an operation whose failure is an error of the protocol, not a result. */
  const answer = async <Result>(
    context: ServerContext,
    wire: Wire,
    operation: Pick<Operation<Result>, 'method' | 'target' | 'run'>,
  ): Promise<Result> => {
    let inOwnWords: ProtocolError | undefined;
    const result = await perform<Result | ProtocolError>(account, exchangeOf(context), wire, {
      ...operation,
      effect: 'read',
      timeoutMs: defaultTimeoutMs,
      run: async (call) => {
        try {
          return await operation.run(call);
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
          // Accounted for under our codes, answered as the protocol says it.
          inOwnWords = error;
          const code = error instanceof ResourceNotFoundError ? 'not_found' : 'invalid_input';
          throw new ToolError(code, error.message, { cause: error });
        }
      },
      fail: (failure) => inOwnWords ?? protocolFailure(failure),
      sizeBytes: () => 0,
    });
    if (result instanceof ProtocolError) throw result;
    return result;
  };

  const options = {
    legacy: 'reject',
    onerror: report,
    maxRequestBodySize: maxBodyBytes,
    bus: new InMemoryServerEventBus(report),
  } as const;
  const modern = createMcpHandler(build, options);
  // On its own, because a handler ends its subscriptions only together with the calls that run on it.
  const subscriptions = createMcpHandler(build, options);
  const sessions = service.sessions && createSessions(build, service.sessions);
  const resourceUpdated = (uri: string) => {
    modern.notify.resourceUpdated(uri);
    sessions?.resourceUpdated(uri);
  };
  const legacy = sessions?.fetch ?? legacyStatelessFallback(build, report, options);

  return {
    maxBodyBytes,
    resourceUpdated,
    async fetch(request, exchange, readBefore) {
      let parsedBody: unknown;
      if (request.method === 'POST') {
        const body =
          readBefore === undefined
            ? await readRequestBody(request, maxBodyBytes)
            : { tooLarge: false as const, text: readBefore };
        if (body.tooLarge) {
          account.metrics.countRefusal('too_large');
          const message = `The request is longer than ${maxBodyBytes} bytes.`;
          return rpcError(413, -32_000, message, { connection: 'close' });
        }
        exchange.requestBytes = Buffer.byteLength(body.text);
        try {
          parsedBody = JSON.parse(body.text);
        } catch {
          account.metrics.countRefusal('malformed');
          return rpcError(400, -32_700, 'Parse error: the request body is not valid JSON');
        }
      }
      const message = parsedBody as RpcMessage | null | undefined;
      const traceparent = message?.params?._meta?.traceparent;
      if (traceparent !== undefined) exchange.trace = continueTrace(traceparent);
      const extra = {
        ...(parsedBody !== undefined && { parsedBody }),
        authInfo: {
          token: '', // the SDK needs the field; nothing behind it may see the secret
          clientId: exchange.caller.hash, // a later token of the same name is another caller
          scopes: [...exchange.caller.scope],
          extra: { exchange },
        },
      };
      if (await isLegacyRequest(request, parsedBody)) return legacy(request, extra);
      const handler = message?.method === 'subscriptions/listen' ? subscriptions : modern;
      return handler.fetch(request, extra);
    },
    async endSubscriptions() {
      sessions?.endStreams();
      await subscriptions.close();
    },
    async close() {
      await sessions?.close();
      await modern.close();
    },
  };
}

/** As much of a message as is looked at before the SDK has checked it. */
interface RpcMessage {
  readonly method?: unknown;
  readonly params?: { readonly _meta?: { readonly traceparent?: unknown } | null } | null;
}

/** Our own record of the request, which authentication made; it travels with the SDK's. */
function exchangeOf(context: ServerContext): Exchange {
  return context.http?.authInfo?.extra?.['exchange'] as Exchange;
}

/** Both eras name it in the header; only a version that we know becomes a label. */
function versionOf(context: ServerContext): string {
  const version = context.http?.req?.headers.get('mcp-protocol-version') ?? '';
  return knownVersions.includes(version) ? version : 'other';
}

/** The SDK's own answers have this form. */
function rpcError(
  status: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status, headers });
}

function protocolFailure({ code, message, hint }: Failure): ProtocolError {
  const rpcCode =
    code === 'invalid_input' || code === 'not_found'
      ? ProtocolErrorCode.InvalidParams
      : ProtocolErrorCode.InternalError;
  return new ProtocolError(rpcCode, message, { 'flotilla/error': { code, message, hint } });
}

function promptNamed(prompts: readonly Prompt<unknown>[], name: string): Prompt<unknown> {
  const prompt = prompts.find((one) => one.name === name);
  if (!prompt) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Prompt ${name} not found`);
  return prompt;
}

function promptArguments(
  prompt: Prompt<unknown>,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const missing = Object.entries(prompt.arguments).filter(
    ([name, { required }]) => required && given[name] === undefined,
  );
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(prompt.arguments, name));
  if (missing.length > 0 || unknown.length > 0) {
    const complaints = [
      ...missing.map(([name]) => `${name} is missing`),
      ...unknown.map((name) => `${name} is unknown`),
    ];
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `Invalid arguments for ${prompt.name}: ${complaints.join('; ')}`,
    );
  }
  return given;
}
