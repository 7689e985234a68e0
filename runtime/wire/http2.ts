/** The HTTP/2 side of a port: what its clients may do to it, whom it cuts off, how it ends. */
import {
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';

import type { Metrics } from '../account/metrics.ts';

/** Calls that one connection may have open. */
const mostStreams = 100;
/** The longest headers of a call, by name and value, and how many. */
const longestHeadersBytes = 16 * 1024;
const mostHeaders = 64;
/** Streams that a client may reset at once, and in a second: opening and resetting costs it next to nothing, and us a call. */
const resetsAtOnce = 400;
const resetsPerSecond = 40;
/** Pings and settings of one connection between two looks; who keeps a connection alive sends a few in a minute. */
const mostSigns = 3_000;
/** Frames that make no sense, and streams that are refused, before a connection ends. */
const mostInvalidFrames = 100;
const mostRefusedStreams = 200;
/** Of the idle time: how often connections are looked at, and a client with open calls is asked whether it is there. */
const looksPerIdleTime = 4;

export interface Http2Options {
  /** As of connections. */
  readonly idleMs: number;
  readonly metrics: Pick<Metrics, 'countRefusal'>;
  readonly handle: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket) => void;
}

export interface Http2 {
  /** Speaks HTTP/2 on a connection, whose first bytes were put back. */
  take(socket: Socket): void;
  /** Tells every client to begin no more calls here (GOAWAY). A connection ends with its last call. */
  close(): void;
  /** Ends them with whatever runs there. */
  destroy(): void;
}

interface Connection {
  readonly socket: Socket;
  openCalls: number;
  isAsked: boolean;
}

export function openHttp2({ idleMs, metrics, handle }: Http2Options): Http2 {
  const connections = new Map<ServerHttp2Session, Connection>();
  let isClosing = false;
  const server = createServer({
    maxHeaderListPairs: mostHeaders,
    maxSessionInvalidFrames: mostInvalidFrames,
    maxSessionRejectedStreams: mostRefusedStreams,
    streamResetBurst: resetsAtOnce,
    streamResetRate: resetsPerSecond,
    settings: {
      maxConcurrentStreams: mostStreams,
      maxHeaderListSize: longestHeadersBytes,
      enablePush: false,
    },
  });
  server.on(
    'stream',
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => {
      // What is wrong with a stream has ended it already.
      stream.on('error', () => {});
      const connection = connections.get(stream.session as ServerHttp2Session);
      if (!connection) {
        stream.close(constants.NGHTTP2_REFUSED_STREAM);
        return;
      }
      connection.openCalls += 1;
      stream.once('close', () => (connection.openCalls -= 1));
      if (bytesOf(rawHeaders) > longestHeadersBytes) {
        metrics.countRefusal('too_large');
        stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
        return;
      }
      handle(stream, headers, connection.socket);
    },
  );

  function begin(session: ServerHttp2Session, socket: Socket): void {
    const connection = { socket, openCalls: 0, isAsked: false };
    connections.set(session, connection);
    let signs = 0;
    const looks = setInterval(() => {
      signs = 0;
      askWhetherThere(session, connection);
    }, idleMs / looksPerIdleTime);
    const count = () => {
      signs += 1;
      if (signs <= mostSigns) return;
      metrics.countRefusal('busy');
      session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.on('ping', count).on('remoteSettings', count);
    // What is wrong with a connection has ended it already.
    session.on('error', () => {});
    session.once('close', () => {
      clearInterval(looks);
      connections.delete(session);
      socket.destroy();
    });
    if (isClosing) session.close();
  }

  return {
    take(socket) {
      // Sockets of a server of HTTP/1.1 stay open when the other side has ended; here nothing can be said any more to who has.
      socket.allowHalfOpen = false;
      server.once('session', (session) => begin(session, socket));
      server.emit('connection', socket);
    },
    close() {
      isClosing = true;
      for (const session of connections.keys()) session.close();
    },
    destroy() {
      for (const session of connections.keys()) session.destroy();
    },
  };
}

/** The setting holds only for who has heard of it. */
const bytesOf = (headers: readonly string[]) => headers.reduce((sum, text) => sum + text.length, 0);

/** Ends a connection with open calls whose client has not answered the last ping. Those without calls are ended when they are idle, as over HTTP/1.1. */
function askWhetherThere(session: ServerHttp2Session, connection: Connection): void {
  if (connection.isAsked) {
    connection.socket.destroy();
    return;
  }
  if (connection.openCalls === 0 || session.closed || session.destroyed) return;
  connection.isAsked = session.ping(() => (connection.isAsked = false));
}
