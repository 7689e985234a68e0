/** One port for two protocols: the first bytes of a connection tell HTTP/2, in which gRPC is spoken, from HTTP/1.1. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** What a connection of HTTP/2 begins with, and none of HTTP/1.1: https://www.rfc-editor.org/rfc/rfc9113#section-3.4 */
const preface = Buffer.from('PRI ');

/** Whose protocol is not known yet. */
export interface Undecided {
  close(): void;
}

/**
 * Looks at the first bytes before the server does. Must be called before anybody else listens to its connections.
 *
 * @param patienceMs for the first bytes: who says nothing for so long is cut off.
 */
export function divide(server: Server, toHttp2: (socket: Socket) => void, patienceMs: number): Undecided {
  const toHttp = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const undecided = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    let given = Buffer.alloc(0);
    const cutOff = () => socket.destroy();
    const timer = setTimeout(cutOff, patienceMs);
    const forget = () => {
      clearTimeout(timer);
      undecided.delete(socket);
    };
    const decide = (bytes: Buffer) => {
      given = Buffer.concat([given, bytes]);
      const isHttp2 = given.subarray(0, preface.length).equals(preface.subarray(0, given.length));
      if (isHttp2 && given.length < preface.length) return;
      forget();
      socket.off('data', decide).off('end', cutOff).off('error', cutOff).off('close', forget);
      socket.pause();
      socket.unshift(given);
      if (isHttp2) {
        toHttp2(socket);
        return;
      }
      for (const listener of toHttp) listener.call(server, socket);
      process.nextTick(() => socket.resume());
    };
    undecided.add(socket);
    socket.on('data', decide).on('end', cutOff).on('error', cutOff).on('close', forget);
  });
  return {
    close() {
      for (const socket of undecided) socket.destroy();
    },
  };
}
