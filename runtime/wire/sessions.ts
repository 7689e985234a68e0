/**
 * Sessions of clients of 2025-11-25 and older. A session's id says whose it is and proves it, so that the process keeps nothing
 * for a session that only calls tools, and a restart ends none. What is kept while it lasts: what a session subscribes to,
 * the streams on which it hears of it, and its calls, which only its own word cancels.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import type { Caller } from '../access/tokens.ts';

/** Of one session. */
const mostSubscriptions = 1_000;
/** Sessions of one token for which something is kept. */
const mostPerToken = 256;
/** What a session subscribed to is forgotten when it has neither listened nor asked for so long. */
const defaultIdleMs = 60 * 60_000;
const sweepMs = 60_000;
const keepAliveMs = 15_000;
/** Sessions that their clients have ended, the newest of them. */
const mostEnded = 10_000;

export type SessionId = string;

interface State {
  readonly owner: string;
  readonly uris: Set<string>;
  readonly streams: Set<ReadableStreamDefaultController<Uint8Array>>;
  /** How to stop the calls that run, by the JSON of their ids. */
  readonly calls: Map<string, () => void>;
  usedAtMs: number;
}

const encoder = new TextEncoder();

export class Sessions implements Disposable {
  readonly #service: string;
  readonly #now: () => number;
  readonly #idleMs: number;
  readonly #startedAtMs: number;
  readonly #states = new Map<SessionId, State>();
  readonly #ended = new Set<SessionId>();
  readonly #timers: readonly NodeJS.Timeout[];

  constructor(service: string, now: () => number, idleMs = defaultIdleMs) {
    this.#service = service;
    this.#now = now;
    this.#idleMs = idleMs;
    this.#startedAtMs = now();
    this.#timers = [
      setInterval(() => this.#sweep(), Math.min(sweepMs, idleMs)),
      setInterval(() => this.#keepAlive(), keepAliveMs),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  /** A new session of this token: when it began, what no other has, and the proof of both. */
  begin(caller: Caller): SessionId {
    const name = `${this.#now().toString(36)}-${randomBytes(16).toString('base64url')}`;
    return `${name}.${this.#proof(name, caller)}`;
  }

  /** Whether this session was begun with this token, and has not been ended. */
  isOpen(id: SessionId, caller: Caller): boolean {
    const [name = '', proof = ''] = id.split('.', 2);
    const right = Buffer.from(this.#proof(name, caller));
    const given = Buffer.from(proof);
    return right.length === given.length && timingSafeEqual(right, given) && !this.hasEnded(id);
  }

  /** Whether its client has ended a session that was open. */
  hasEnded(id: SessionId): boolean {
    return this.#ended.has(id);
  }

  /** The hash of a token's secret is known to its fleet alone, and to nobody who could not begin a session himself. */
  #proof(name: string, { hash }: Caller): string {
    const key = Buffer.from(hash, 'hex');
    return createHmac('sha256', key).update(`${this.#service}\0${name}`).digest('base64url').slice(0, 22);
  }

  /** As its client asks: what runs in it is stopped, and it is not known any more. */
  end(id: SessionId): void {
    const state = this.#states.get(id);
    for (const stop of state?.calls.values() ?? []) stop();
    for (const stream of state?.streams ?? []) close(stream);
    this.#states.delete(id);
    this.#ended.add(id);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= mostEnded) break;
      this.#ended.delete(oldest);
    }
  }

  /** Stops the call of this id at the session's word. @returns how to forget it. */
  onCancel(id: SessionId, owner: string, request: unknown, stop: () => void): () => void {
    const state = this.#stateOf(id, owner);
    const key = JSON.stringify(request);
    state?.calls.set(key, stop);
    return () => {
      if (state?.calls.get(key) === stop) state.calls.delete(key);
      this.#forgetEmpty(id);
    };
  }

  cancel(id: SessionId, request: unknown): void {
    this.#states.get(id)?.calls.get(JSON.stringify(request))?.();
  }

  /** @returns whether there was room for it. */
  subscribe(id: SessionId, owner: string, uri: string): boolean {
    const state = this.#stateOf(id, owner);
    if (!state || (state.uris.size >= mostSubscriptions && !state.uris.has(uri))) return false;
    state.uris.add(uri);
    return true;
  }

  unsubscribe(id: SessionId, uri: string): void {
    this.#states.get(id)?.uris.delete(uri);
    this.#forgetEmpty(id);
  }

  /** Tells those who subscribe to it, each on one of its streams. */
  resourceUpdated(uri: string): void {
    let message: Uint8Array | undefined;
    for (const { uris, streams } of this.#states.values()) {
      const [stream] = streams;
      if (!stream || !uris.has(uri)) continue;
      message ??= eventOf({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } });
      send(stream, message);
    }
  }

  /** Tells every session that listens, on one of its streams. */
  listChanged(list: string): void {
    const message = eventOf({ jsonrpc: '2.0', method: `notifications/${list}/list_changed` });
    for (const {
      streams: [stream],
    } of this.#states.values())
      if (stream) send(stream, message);
  }

  /** Whether what the session subscribed to is known: with a former process it was forgotten. */
  isOfThisProcess(id: SessionId): boolean {
    return Number.parseInt(id, 36) >= this.#startedAtMs;
  }

  /** What the session hears without having asked; `undefined` when too much is kept for its token. */
  listen(id: SessionId, owner: string): ReadableStream<Uint8Array> | undefined {
    const state = this.#stateOf(id, owner);
    if (!state) return undefined;
    let listener: ReadableStreamDefaultController<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start(controller) {
          listener = controller;
          state.streams.add(controller);
          // Tells the client that it is heard, before there is anything to say.
          send(controller, comment);
        },
        cancel: () => {
          if (listener) state.streams.delete(listener);
          state.usedAtMs = this.#now();
          this.#forgetEmpty(id);
        },
      },
      { highWaterMark: mostWaiting },
    );
  }

  /** Ends the streams on which clients only listen. */
  endStreams(): void {
    for (const { streams } of this.#states.values()) {
      for (const stream of streams) close(stream);
      streams.clear();
    }
  }

  #stateOf(id: SessionId, owner: string): State | undefined {
    const known = this.#states.get(id);
    if (known) {
      known.usedAtMs = this.#now();
      return known;
    }
    let count = 0;
    for (const state of this.#states.values()) if (state.owner === owner) count += 1;
    if (count >= mostPerToken) return undefined;
    const state: State = {
      owner,
      uris: new Set(),
      streams: new Set(),
      calls: new Map(),
      usedAtMs: this.#now(),
    };
    this.#states.set(id, state);
    return state;
  }

  #forgetEmpty(id: SessionId): void {
    const state = this.#states.get(id);
    if (state && state.uris.size + state.streams.size + state.calls.size === 0) this.#states.delete(id);
  }

  #sweep(): void {
    const oldestMs = this.#now() - this.#idleMs;
    for (const [id, { streams, calls, usedAtMs }] of this.#states) {
      if (streams.size + calls.size === 0 && usedAtMs < oldestMs) this.#states.delete(id);
    }
  }

  #keepAlive(): void {
    for (const { streams } of this.#states.values()) for (const stream of streams) send(stream, comment);
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.endStreams();
  }
}

const comment = encoder.encode(': listening\n\n');

function eventOf(message: object): Uint8Array {
  return encoder.encode(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
}

/** Messages that a stream keeps for a client that does not read; what comes then is lost, as the protocol allows. */
const mostWaiting = 256;

function send(stream: ReadableStreamDefaultController<Uint8Array>, bytes: Uint8Array): void {
  if ((stream.desiredSize ?? 0) > 0) stream.enqueue(bytes);
}

function close(stream: ReadableStreamDefaultController<Uint8Array>): void {
  // Null once the client has gone: then it is closed.
  if (stream.desiredSize !== null) stream.close();
}
