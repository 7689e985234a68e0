/**
 * Who holds the connections of a process. There are only so many, so each token has a share of them, and strangers have one
 * together: a newcomer beyond it takes the place of the one that was silent longest there. When all are taken, the place is
 * taken from whoever holds the most.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

import { letIn } from '../turns.ts';

/** Of the idle time: how often connections are looked at. */
const looksPerIdleTime = 8;

/** After how many of its usual pauses a connection's next request is no longer waited for, and how fast those are forgotten. */
const usualPauses = 3;
const leastAwaitedMs = 500;
const pauseDecay = 0.9;

/** Of all connections: so many tokens can use up theirs and leave room. */
const shares = 4;

interface Connection {
  /** The name of the token that spoke here; `undefined` before one did. */
  owner: string | undefined;
  /** What was moved when it was last looked at, and for how many looks nothing more was. */
  movedBytes: number;
  quietLooks: number;
  /** Requests that have no answer yet. */
  unanswered: number;
  /** When it was opened, or a request came last; by `performance.now()`. */
  spokeAtMs: number;
  /** The longest pause between its requests, of which later ones count for more. */
  pauseMs: number;
}

export class Connections implements Disposable {
  readonly #most: number;
  readonly #all = new Map<Socket, Connection>();
  /** The sockets of each owner, and of strangers under `undefined`; who spoke last stands last. */
  readonly #owned = new Map<string | undefined, Set<Socket>>();
  readonly #timer: NodeJS.Timeout;
  #cutOff = 0;

  /** @param connections that there may be at all. @param idleMs after which a connection is cut off on which nothing moves. */
  constructor({ connections, idleMs }: { readonly connections: number; readonly idleMs: number }) {
    this.#most = connections;
    this.#timer = setInterval(() => this.#cutIdle(), idleMs / looksPerIdleTime);
    this.#timer.unref();
  }

  watch(server: Server): void {
    server.on('connection', (socket) => {
      letIn();
      this.#open(socket);
    });
  }

  get count(): number {
    return this.#all.size;
  }

  /** Whether on some of them the next request may be on its way: no longer than usual has passed since the last. */
  get areAwaited(): boolean {
    const now = performance.now();
    for (const { spokeAtMs, pauseMs } of this.#all.values()) {
      if (now - spokeAtMs < Math.max(leastAwaitedMs, pauseMs * usualPauses)) return true;
    }
    return false;
  }

  /** How many were taken from someone, for others. */
  get cutOff(): number {
    return this.#cutOff;
  }

  /** Told of every request, before and after it is answered. @returns how many have no answer yet. */
  asked(socket: Socket, difference: 1 | -1): number {
    const connection = this.#all.get(socket);
    if (!connection) return 0;
    connection.unanswered += difference;
    return connection.unanswered;
  }

  /** Told of every request: `owner` is the token's name, `undefined` for a stranger. */
  spoke(socket: Socket, owner: string | undefined): void {
    const connection = this.#all.get(socket);
    if (connection) {
      const now = performance.now();
      connection.pauseMs = Math.max(connection.pauseMs * pauseDecay, now - connection.spokeAtMs);
      connection.spokeAtMs = now;
    }
    // A connection on which a token spoke is not given up for one request without.
    if (!connection || (connection.owner !== undefined && owner === undefined)) return;
    this.#of(connection.owner).delete(socket);
    connection.owner = owner;
    this.#join(this.#of(owner), socket);
  }

  /** The one who spoke last stands last. */
  #join(sockets: Set<Socket>, socket: Socket): void {
    sockets.add(socket);
    if (sockets.size > this.#most / shares) this.#cutOffFirst(sockets);
  }

  #of(owner: string | undefined): Set<Socket> {
    let sockets = this.#owned.get(owner);
    if (!sockets) {
      sockets = new Set();
      this.#owned.set(owner, sockets);
    }
    return sockets;
  }

  #open(socket: Socket): void {
    if (this.#all.size >= this.#most) this.#cutOffFirst(this.#largest());
    this.#all.set(socket, {
      owner: undefined,
      movedBytes: 0,
      quietLooks: 0,
      unanswered: 0,
      spokeAtMs: performance.now(),
      pauseMs: 0,
    });
    this.#join(this.#of(undefined), socket);
    socket.once('close', () => this.#forget(socket));
  }

  #forget(socket: Socket): void {
    const connection = this.#all.get(socket);
    if (!connection) return;
    this.#all.delete(socket);
    const sockets = this.#of(connection.owner);
    sockets.delete(socket);
    if (sockets.size === 0) this.#owned.delete(connection.owner);
  }

  #largest(): Set<Socket> {
    return [...this.#owned.values()].reduce((one, other) => (other.size > one.size ? other : one));
  }

  #cutOffFirst(sockets: Set<Socket>): void {
    const [victim] = sockets;
    if (!victim) return;
    this.#cutOff += 1;
    this.#forget(victim);
    victim.destroy();
  }

  /**
   * Nothing has moved on it, in either direction, though no answer is owed, or one waits to be read: a call that is owed one ends by its
   * own deadline. Node's own timeout does this, but winds a clock at every read and write.
   */
  #cutIdle(): void {
    for (const [socket, connection] of this.#all) {
      const movedBytes = socket.bytesRead + socket.bytesWritten - socket.writableLength;
      const isQuiet = movedBytes === connection.movedBytes;
      const isOwed = connection.unanswered > 0 && socket.writableLength === 0;
      connection.quietLooks = isQuiet && !isOwed ? connection.quietLooks + 1 : 0;
      connection.movedBytes = movedBytes;
      if (connection.quietLooks >= looksPerIdleTime) socket.destroy();
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
