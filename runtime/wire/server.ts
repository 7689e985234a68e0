/** The HTTP server of a process: where it listens, whom it cuts off, how it ends. */
import { createServer, ServerResponse, type IncomingMessage, type RequestListener } from 'node:http';
import { Server as NetServer, type AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';

import { UnavailableError } from '../errors.ts';
import type { Connections } from './connections.ts';
import type { Http2 } from './http2.ts';
import { divide } from './one-port.ts';

/** What a process puts up with. Tests choose shorter times; nobody else has a reason to. */
export interface Limits {
  /** A client that sends its headers, or its whole request, more slowly than this is cut off (Slowloris). */
  readonly headersMs: number;
  readonly requestMs: number;
  /** Node looks for slow clients only this often; its default of 30 s would double the two limits above. */
  readonly slowCheckMs: number;
  readonly keepAliveMs: number;
  /** A connection on which nothing moves, in either direction, while no answer is owed: longer than any keep-alive. */
  readonly idleMs: number;
  readonly connections: number;
  /** How long calls that run may take to finish when the process stops. */
  readonly drainMs: number;
}

export const defaultLimits: Limits = {
  headersMs: 10_000,
  requestMs: 30_000,
  slowCheckMs: 1_000,
  keepAliveMs: 75_000,
  idleMs: 120_000,
  connections: 4_096,
  drainMs: 10_000,
};
/** How soon a connection is closed that has become idle while the process stops. */
const idleSweepMs = 20;
/**
 * How long connections are kept at most while the process stops, where the next request may be on its way: it is answered, and
 * told that it is the last there. Long where another process takes the socket over, for then clients are not to notice.
 */
const lastRequestMs = { handedOver: 5_000, ending: 100 };

/** What is spoken beside HTTP/1.1. */
export interface Beside {
  readonly upgrade?: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  readonly http2?: Http2 | undefined;
}

export interface Listening {
  readonly port: number;
  /** Accepts no more, and resolves when everyone has been answered; `endStreams` ends those who would stay for ever. */
  drain(endStreams: () => Promise<void>): Promise<void>;
}

/** On a port of 127.0.0.1, or on a socket that another process has opened there. @throws UnavailableError when the port is taken. */
export async function listen(
  listener: RequestListener,
  { port, fd }: { readonly port: number; readonly fd?: number | undefined },
  name: string,
  limits: Limits,
  connections: Connections,
  { upgrade, http2 }: Beside = {},
): Promise<Listening> {
  let isStopping = false;
  class Response extends ServerResponse {
    override writeHead(...head: unknown[]): this {
      if (isStopping) this.shouldKeepAlive = false;
      return super.writeHead(...(head as Parameters<ServerResponse['writeHead']>));
    }
  }
  const server = createServer(
    {
      ServerResponse: Response,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: limits.slowCheckMs,
      keepAliveTimeout: limits.keepAliveMs,
      // What asks for anything else goes on in HTTP/1.1: https://www.rfc-editor.org/rfc/rfc9110#section-7.8
      ...(upgrade && {
        shouldUpgradeCallback: ({ headers }: IncomingMessage) =>
          headers.upgrade?.toLowerCase() === 'websocket',
      }),
    },
    listener,
  );
  const undecided = http2 && divide(server, (socket) => http2.take(socket), limits.headersMs);
  connections.watch(server);
  if (upgrade) server.on('upgrade', upgrade);
  await new Promise<void>((done, fail) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = `Port ${port} for ${name} is taken. Stop what uses it, or set FLOTILLA_PORT_OFFSET.`;
      fail(error.code === 'EADDRINUSE' ? new UnavailableError(taken) : error);
    });
    // Who connects while the process computes waits there. Whom there is no room for, the kernel lets try again after a second.
    const backlog = limits.connections;
    server.listen({ ...(fd === undefined ? { port, host: '127.0.0.1' } : { fd }), backlog }, done);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async drain(endStreams) {
      const closed = new Promise((done) => {
        // Not the HTTP server's own close, which ends at once whoever has not sent a request yet.
        NetServer.prototype.close.call(server, done);
      });
      isStopping = true;
      const cut = setTimeout(() => {
        server.closeAllConnections();
        http2?.destroy();
      }, limits.drainMs);
      const keptMs = fd === undefined ? lastRequestMs.ending : lastRequestMs.handedOver;
      const endMs = performance.now() + keptMs;
      const closing = setInterval(() => {
        if (connections.areAwaited && performance.now() < endMs) return;
        // After what has arrived was read: a request that waits in the socket would be lost.
        setImmediate(() => {
          server.closeIdleConnections();
          undecided?.close();
        });
      }, idleSweepMs);
      http2?.close();
      await endStreams();
      await closed;
      clearTimeout(cut);
      clearInterval(closing);
      server.close();
    },
  };
}
