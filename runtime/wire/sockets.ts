/**
 * The only ws import: WebSocket beside `/mcp`, for clients that call tools and listen on one connection. Frames are JSON-RPC 2.0:
 * `tools/call` as in MCP, `listen` for what `GET /events` gives as well (each event is a notification `event`), `unlisten`, and
 * `notifications/cancelled`. Calls run, and are accounted for, as those of MCP.
 */
import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { WebSocketServer, type WebSocket } from 'ws';
import { z } from 'zod';

import {
  callTool,
  refusalRecord,
  type Account,
  type Exchange,
  type ToolResult,
  type Wire,
} from '../account/calls.ts';
import { continueTrace } from '../account/trace.ts';
import { mayUse } from '../access/choice.ts';
import { covers } from '../access/scope.ts';
import type { Caller } from '../access/tokens.ts';
import { ToolError } from '../errors.ts';
import { jsonTextOf } from '../json-text.ts';
import { RpcError, type Relay } from '../service.ts';
import { ProtocolResult, type AnyTool } from '../tool.ts';
import { takeTurn } from '../turns.ts';
import { isTooComplex } from './complexity.ts';
import type { Connections } from './connections.ts';
import { bearerOf, insufficientScope, type ForeignCheck } from './foreign.ts';
import type { Streams } from './http.ts';
import type { Listeners } from './listening.ts';
import { flawOfId } from './request-id.ts';

/** Calls and listeners of one connection that are at work. */
const mostAtOnce = 256;
/** Answers that a client does not read: beyond it, the connection ends. */
const mostUnreadBytes = 32 * 1024 * 1024;
/** Frames that wait for their turn: beyond either, nothing more is read until these are worked off. */
const mostWaiting = { frames: 256, bytes: 1024 * 1024 };
/** Who does not answer a ping before the next is gone. */
const pingMs = 30_000;

/** WebSocket's own codes: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const closing = { goingAway: 1001, unsupported: 1003, policy: 1008, tryLater: 1013 } as const;

/** JSON-RPC 2.0's own codes, and one for what is refused here. */
const rpc = { parse: -32_700, request: -32_600, method: -32_601, params: -32_602, refused: -32_000 } as const;

const frame = z.object({
  jsonrpc: z.literal('2.0'),
  id: z.union([z.string(), z.int()]).optional(),
  method: z.string(),
  params: z.record(z.string(), z.unknown()).default({}),
});
type Frame = z.output<typeof frame>;

export interface SocketOptions {
  readonly account: Account;
  readonly foreign: ForeignCheck;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly streams: Streams;
  readonly connections: Connections;
  readonly tools: ReadonlyMap<string, AnyTool<unknown>>;
  readonly deps: unknown;
  readonly maxBodyBytes: number;
  readonly listeners: Listeners;
  readonly resourceUpdated: (uri: string) => void;
  readonly protocolVersion: string;
  /** Where it is spoken. */
  readonly path: string;
  /** Answers calls of tools, in a process that stands in front of others. */
  readonly answers?: Relay['answers'] | undefined;
}

export interface Sockets {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Takes no more calls; each connection ends when none of its calls is at work, or after so long. */
  stop(drainMs: number): void;
}

interface Refused {
  readonly status: number;
  readonly error: string;
  readonly headers?: readonly string[];
}

export function openSockets(options: SocketOptions): Sockets {
  const { account, streams, connections, path } = options;
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: options.maxBodyBytes,
    // A few packed bytes can stand for very many.
    perMessageDeflate: false,
    clientTracking: false,
  });
  const open = new Set<SocketSession>();

  function refusedOrCaller(request: IncomingMessage): Caller | Refused {
    const { host, origin, authorization } = request.headers;
    const foreign = options.foreign(host, origin);
    if (foreign) {
      account.metrics.countRefusal(foreign);
      return { status: 403, error: 'The Host or Origin header names another site.' };
    }
    if (request.url?.split('?', 1)[0] !== path)
      return { status: 404, error: `WebSocket is spoken at ${path}.` };
    const secret = bearerOf(authorization);
    const caller = secret === undefined ? undefined : options.authenticate(secret);
    const method = `GET ${path}`;
    if (!caller) {
      account.metrics.countRefusal('unauthenticated');
      account.audit.appendStranger(
        refusalRecord(account, { caller: '', method, outcome: 'unauthenticated' }),
      );
      return { status: 401, error: 'A good bearer token is missing.', headers: ['www-authenticate: Bearer'] };
    }
    if (caller.only !== undefined || !covers(account.allowed(caller.scope), 'read')) {
      account.metrics.countRefusal('forbidden');
      account.audit.appendCall(
        refusalRecord(account, { caller: caller.name, method, outcome: 'forbidden' }),
        false,
      );
      return {
        status: 403,
        error: `The token "${caller.name}" may not read in ${account.service}.`,
        headers: [`www-authenticate: ${insufficientScope(account.service)}`],
      };
    }
    if (streams.areTaken(caller)) {
      account.metrics.countRefusal('busy');
      return {
        status: 503,
        error: `The token "${caller.name}" listens on too many streams.`,
        headers: ['retry-after: 1'],
      };
    }
    return caller;
  }

  return {
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy());
      const caller = refusedOrCaller(request);
      if ('status' in caller) {
        refuse(socket, caller);
        return;
      }
      connections.spoke(request.socket, caller.name);
      server.handleUpgrade(request, socket, head, (ws) => {
        const session = new SocketSession(ws, caller, options);
        open.add(session);
        const held = streams.hold(caller, () => session.end(closing.policy, 'the token has ended'));
        account.audit.appendCall(
          refusalRecord(account, { caller: caller.name, method: `GET ${path}`, outcome: 'ok' }),
          false,
        );
        ws.once('close', () => {
          open.delete(session);
          held[Symbol.dispose]();
        });
      });
    },
    stop(drainMs) {
      for (const session of open) session.stop(drainMs);
      server.close();
    },
  };
}

function refuse(socket: Duplex, { status, error, headers = [] }: Refused): void {
  const body = JSON.stringify({ error });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'connection: close',
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    ...headers,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

class RpcFailure extends Error {
  readonly code: number;
  readonly data: object | undefined;

  constructor(code: number, message: string, data?: object) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** One connection of a client. */
class SocketSession {
  readonly #ws: WebSocket;
  readonly #caller: Caller;
  readonly #options: SocketOptions;
  readonly #gone = new AbortController();
  /** By id: what is at work and can be taken back. */
  readonly #atWork = new Map<string | number, AbortController>();
  readonly #timer: NodeJS.Timeout;
  readonly #waiting = { frames: 0, bytes: 0 };
  #callsAtWork = 0;
  #isStopping = false;
  #hasAnswered = true;

  constructor(ws: WebSocket, caller: Caller, options: SocketOptions) {
    this.#ws = ws;
    this.#caller = caller;
    this.#options = options;
    this.#timer = setInterval(() => this.#ping(), pingMs);
    this.#timer.unref();
    ws.on('pong', () => {
      this.#hasAnswered = true;
    });
    ws.on('message', (data, isBinary) => {
      if (isBinary) this.end(closing.unsupported, 'frames are text');
      else if (!this.#gone.signal.aborted) this.#queue(data as Buffer);
    });
    // What is wrong with a frame has ended the connection already, with the code that says so.
    ws.on('error', () => {});
    ws.once('close', () => {
      clearInterval(this.#timer);
      this.#gone.abort();
    });
  }

  stop(drainMs: number): void {
    this.#isStopping = true;
    setTimeout(() => this.#goAway(), drainMs).unref();
    this.#goAwayIfDone();
  }

  #goAwayIfDone(): void {
    if (this.#isStopping && this.#callsAtWork + this.#waiting.frames === 0) this.#goAway();
  }

  #goAway(): void {
    this.end(closing.goingAway, 'the service stops');
  }

  /** What runs is stopped, and nothing more is taken: a client that does not say goodbye could go on sending. */
  end(code: number, why: string): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    this.#ws.close(code, why);
    setTimeout(() => this.#ws.terminate(), goodbyeMs).unref();
  }

  #ping(): void {
    // Of one that is not read, the answer to the last ping is not heard either.
    if (this.#ws.isPaused) return;
    if (!this.#hasAnswered) {
      this.#ws.terminate();
      return;
    }
    this.#hasAnswered = false;
    this.#ws.ping();
  }

  /** Takes it in a turn of the caller. A client that sends more quickly than that is read no further. */
  #queue(bytes: Buffer): void {
    const waiting = this.#waiting;
    waiting.frames += 1;
    waiting.bytes += bytes.length;
    if (waiting.frames >= mostWaiting.frames || waiting.bytes >= mostWaiting.bytes) this.#ws.pause();
    takeTurn(this.#caller.name, () => {
      waiting.frames -= 1;
      waiting.bytes -= bytes.length;
      this.#take(bytes);
      if (waiting.frames === 0 && this.#ws.isPaused) this.#ws.resume();
      this.#goAwayIfDone();
    });
  }

  #take(bytes: Buffer): void {
    if (this.#gone.signal.aborted) return;
    let id: Frame['id'];
    try {
      const message = frameOf(bytes);
      ({ id } = message);
      this.#handle(message, bytes.length);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #fail(id: Frame['id'], error: unknown): void {
    if (error instanceof ToolError) {
      const { code, message, hint } = error;
      this.#send({ id: id ?? null, error: { code: rpc.refused, message, data: { code, hint } } });
    } else if (error instanceof RpcFailure || error instanceof RpcError) {
      const { code, message, data } = error;
      this.#send({ id: id ?? null, error: { code, message, data } });
    } else {
      const { traceId } = continueTrace(undefined);
      this.#options.account.log.error('request_broke', { error, traceId });
      this.#send({
        id: id ?? null,
        error: { code: rpc.refused, message: `Internal error (ref ${traceId}).` },
      });
    }
  }

  #handle({ id, method, params }: Frame, requestBytes: number): void {
    if (method === 'notifications/cancelled' || method === 'unlisten') {
      const asked = method === 'unlisten' ? params['listen'] : params['requestId'];
      this.#atWork.get(asked as string | number)?.abort();
      if (id !== undefined) this.#send({ id, result: {} });
      return;
    }
    if (id === undefined) return; // a notification that nobody knows is not answered
    if (this.#atWork.has(id)) throw new RpcFailure(rpc.request, `The id ${id} is at work already.`);
    if (this.#atWork.size >= mostAtOnce)
      throw new RpcFailure(rpc.refused, `${mostAtOnce} calls of this connection are at work: wait for one.`, {
        code: 'unavailable',
      });
    const act =
      method === 'tools/call'
        ? async (signal: AbortSignal) => this.#call(id, params, requestBytes, signal)
        : method === 'listen'
          ? async (signal: AbortSignal) => this.#listen(id, params, signal)
          : undefined;
    if (!act)
      throw new RpcFailure(rpc.method, `There is no method ${method} here: tools/call, listen, unlisten.`);
    if (this.#isStopping)
      throw new ToolError('unavailable', 'The service stops.', { hint: 'Connect again.' });
    const own = new AbortController();
    const calls = method === 'tools/call' ? 1 : 0;
    this.#atWork.set(id, own);
    this.#callsAtWork += calls;
    act(AbortSignal.any([own.signal, this.#gone.signal]))
      .catch((error: unknown) => this.#fail(id, error))
      .finally(() => {
        this.#atWork.delete(id);
        this.#callsAtWork -= calls;
        this.#goAwayIfDone();
      });
  }

  async #call(
    id: string | number,
    params: Frame['params'],
    requestBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { account, tools, deps } = this.#options;
    const { name, arguments: args, _meta: meta } = params;
    const parent =
      typeof meta === 'object' && meta !== null ? (meta as { traceparent?: unknown }).traceparent : undefined;
    const exchange: Exchange = {
      caller: this.#caller,
      session: undefined,
      takesEvents: false,
      query: '',
      requestBytes,
      trace: continueTrace(typeof parent === 'string' ? parent : undefined),
      outcome: undefined,
    };
    const relayed = this.#options.answers?.['tools/call'];
    if (relayed) {
      const asked = { exchange, isModern: false, signal, progress: () => {} };
      const answer = await relayed(params, asked);
      if (!this.#atWork.get(id)?.signal.aborted) this.#send({ id, result: answer });
      return;
    }
    const tool = typeof name === 'string' ? tools.get(name) : undefined;
    if (!tool) throw new RpcFailure(rpc.params, 'There is no such tool here.');
    const result = await callTool(account, exchange, this.#wire(signal), tool, args, deps);
    if (result instanceof ProtocolResult)
      throw new RpcFailure(rpc.refused, `${tool.name} asks back: call it over MCP.`);
    // Who took its call back waits for no answer.
    if (!this.#atWork.get(id)?.signal.aborted) this.#send({ id, result: result satisfies ToolResult });
  }

  #wire(signal: AbortSignal): Wire {
    const { protocolVersion, resourceUpdated } = this.#options;
    return {
      get isGone() {
        return signal.aborted;
      },
      whenGone(act) {
        signal.addEventListener('abort', act);
        return () => signal.removeEventListener('abort', act);
      },
      protocolVersion,
      mayStream: false,
      protocol: undefined,
      progress() {},
      resourceUpdated,
    };
  }

  /** Sends an event when the one before is on its way. */
  async #listen(id: string | number, params: Frame['params'], signal: AbortSignal): Promise<void> {
    const { account, listeners } = this.#options;
    const { effect, tool } = listeners.listened;
    const method = 'listen';
    const caller = this.#caller.name;
    if (!covers(account.allowed(this.#caller.scope), effect)) {
      account.metrics.countRefusal('forbidden');
      account.audit.appendCall(refusalRecord(account, { caller, method, outcome: 'forbidden' }), false);
      throw new ToolError('forbidden', `The token "${caller}" may not listen here.`, {
        hint: `It needs the scope ${account.service}:${effect}. See: flotilla token create --help`,
      });
    }
    if (tool && !mayUse(this.#caller, account.choosable(tool))) {
      account.metrics.countRefusal('forbidden');
      account.audit.appendCall(refusalRecord(account, { caller, method, outcome: 'forbidden' }), false);
      throw new ToolError(
        'forbidden',
        `The token "${caller}" was not made for ${tool.name}, which does the same.`,
        {
          hint: 'It carries a choice of tools. See: flotilla token create --help',
        },
      );
    }
    const events = await listeners.begin(params, this.#caller, signal);
    account.audit.appendCall(refusalRecord(account, { caller, method, outcome: 'ok' }), false);
    this.#send({ id, result: { listening: true } });
    for await (const { id: eventId, event, data } of events) {
      if (signal.aborted) return;
      const told = JSON.stringify({ listen: id, event, ...(eventId !== undefined && { id: eventId }) });
      const params = `${told.slice(0, -1)},"data":${jsonTextOf(data)}}`;
      await new Promise<void>((done) => {
        this.#sendText(`{"jsonrpc":"2.0","method":"event","params":${params}}`, done);
      });
    }
  }

  #send(message: object): void {
    this.#sendText(JSON.stringify({ jsonrpc: '2.0', ...message }));
  }

  #sendText(text: string, sent?: () => void): void {
    if (this.#ws.readyState !== this.#ws.OPEN) {
      sent?.();
      return;
    }
    this.#ws.send(text, () => sent?.());
    if (this.#ws.bufferedAmount <= mostUnreadBytes) return;
    this.#options.account.metrics.countRefusal('busy');
    this.#ws.close(closing.tryLater, 'answers are not read');
    this.#ws.terminate();
  }
}

const goodbyeMs = 1_000;

/** @throws RpcFailure for what is no message. */
function frameOf(bytes: Buffer): Frame {
  if (isTooComplex(bytes)) throw new RpcFailure(rpc.request, 'The frame has too many keys and values.');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new RpcFailure(rpc.parse, 'The frame is no JSON.');
  }
  const parsed = frame.safeParse(value);
  if (!parsed.success)
    throw new RpcFailure(
      rpc.request,
      'The frame is no request of JSON-RPC 2.0: {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{...}}.',
    );
  const flaw = flawOfId(parsed.data.id);
  if (flaw !== undefined) throw new RpcFailure(rpc.request, flaw);
  return parsed.data;
}
