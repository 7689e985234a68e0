/** The sessionful leg of 2025-11-25 and older, for services that ask the user back in mid-call. */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';

import {
  isInitializeRequest,
  WebStandardStreamableHTTPServerTransport,
  type LegacyHttpHandler,
  type McpRequestContext,
  type Server,
} from '@modelcontextprotocol/server';

interface Session {
  readonly server: Server;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  /** Only the token that opened a session may use it. */
  readonly owner: string | undefined;
  readonly subscriptions: Set<string>;
  lastUsedMs: number;
}

const mostSubscriptions = 1_000;

export interface Sessions {
  readonly fetch: LegacyHttpHandler;
  /** Registers what a session can do beyond the service's own handlers. */
  equip(server: Server): void;
  resourceUpdated(uri: string): void;
  /** Ends the streams on which clients only listen. */
  endStreams(): void;
  close(): Promise<void>;
}

/** Sessions that nobody uses for `idleMs` are closed; at `cap` a new one is refused until another ends. */
export function createSessions(
  build: (context: McpRequestContext) => Server,
  { idleMs, cap }: { readonly idleMs: number; readonly cap: number },
): Sessions {
  const sessions = new Map<string, Session>();
  /** Those that begin, which are not in the map yet. */
  let beginning = 0;
  const subscriptionsOf = new WeakMap<Server, Set<string>>();

  const sweep = setInterval(
    () => {
      const oldest = performance.now() - idleMs;
      for (const [id, session] of sessions) {
        if (session.lastUsedMs < oldest) {
          sessions.delete(id);
          session.server.close().catch(ignore);
        }
      }
    },
    Math.min(idleMs, 10_000),
  );
  sweep.unref();

  const begin = async (
    request: Request,
    options: Parameters<LegacyHttpHandler>[1] = {},
  ): Promise<Response> => {
    const server = build({
      era: 'legacy',
      requestInfo: request,
      ...(options.authInfo && { authInfo: options.authInfo }),
    });
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (sessionId) => {
        sessions.set(sessionId, {
          server,
          transport,
          owner: options.authInfo?.clientId,
          subscriptions: subscriptionsOf.get(server) ?? new Set(),
          lastUsedMs: performance.now(),
        });
      },
      onsessionclosed: (sessionId) => {
        sessions.delete(sessionId);
      },
    });
    await server.connect(transport);
    return transport.handleRequest(request, options);
  };

  return {
    equip(server) {
      const subscriptions = new Set<string>();
      subscriptionsOf.set(server, subscriptions);
      server.setRequestHandler('resources/subscribe', ({ params }) => {
        // A client that asks for more keeps those it has.
        if (subscriptions.size < mostSubscriptions) subscriptions.add(params.uri);
        return {};
      });
      server.setRequestHandler('resources/unsubscribe', ({ params }) => {
        subscriptions.delete(params.uri);
        return {};
      });
    },

    async fetch(request, options = {}) {
      const id = request.headers.get('mcp-session-id');
      if (id !== null) {
        const session = sessions.get(id);
        if (!session || session.owner !== options.authInfo?.clientId)
          return refuse(404, -32_600, 'Session not found');
        session.lastUsedMs = performance.now();
        return session.transport.handleRequest(request, options);
      }
      if (!isInitializeRequest(options.parsedBody))
        return refuse(400, -32_600, 'Bad Request: no session; initialize first');
      if (sessions.size + beginning >= cap)
        return refuse(503, -32_603, `All ${cap} sessions are in use; try again later`);
      beginning += 1;
      try {
        return await begin(request, options);
      } finally {
        beginning -= 1;
      }
    },

    resourceUpdated(uri) {
      for (const { server, subscriptions } of sessions.values()) {
        if (subscriptions.has(uri)) server.sendResourceUpdated({ uri }).catch(ignore);
      }
    },

    endStreams() {
      for (const { transport } of sessions.values()) transport.closeStandaloneSSEStream();
    },

    async close() {
      clearInterval(sweep);
      await Promise.all([...sessions.values()].map(async ({ server }) => server.close()));
      sessions.clear();
    },
  };
}

/** For what is said to a client that may be gone already. */
function ignore(): void {}

function refuse(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: '2.0', error: { code, message }, id: null }, { status });
}
