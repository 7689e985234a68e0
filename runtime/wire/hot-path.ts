/**
 * The short way for most requests. The SDK builds a server per request, which costs ten times a small tool. A POST that is
 * provably a plain, valid `tools/call` is answered here instead: same authentication, scope, validation, deadline,
 * metrics, log and audit (all of `callTool`), one answer, written with its length. `tools/list` and `server/discover` are
 * answered with what the SDK said the first time. Whatever leaves the slightest doubt goes the long way, which owns every
 * error answer: tests/hot-path.test.ts sends generated requests both ways and compares.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { callTool, type Account, type Exchange, type ToolResult, type Wire } from '../account/calls.ts';
import { bearerOf, foreignHeader, handOver } from './http.ts';
import type { Mcp } from './mcp.ts';
import { plainRequest, promisedBy, type PlainRequest, type Promised } from './plain-request.ts';
import { allowedEffect } from '../access/scope.ts';
import type { Caller } from '../access/tokens.ts';
import { ProtocolResult, type AnyTool } from '../tool.ts';
import { continueTrace } from '../account/trace.ts';

interface HotPath {
  readonly account: Account;
  readonly version: string;
  readonly tools: readonly AnyTool<unknown>[];
  readonly deps: unknown;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly isAlive: (caller: Caller) => boolean;
  readonly mcp: Mcp;
  /** Whether clients of the older revisions have sessions, which only the SDK can serve. */
  readonly hasSessions: boolean;
}

/** Answers plain requests; hands everything else to `long`. */
export function hotPath(path: HotPath, long: RequestListener): RequestListener {
  const tools = new Map(path.tools.filter(({ asksBack }) => !asksBack).map((tool) => [tool.name, tool]));
  const serverInfo = {
    'io.modelcontextprotocol/serverInfo': { name: path.account.service, version: path.version },
  };
  const plainMeta = JSON.stringify(serverInfo);
  const knownClients = new BoundedSet();
  const lists = new Map<string, string>();

  const answerCall = (
    response: ServerResponse,
    exchange: Exchange,
    tool: AnyTool<unknown>,
    { id, arguments: args }: PlainRequest,
    { dialect, version }: Promised,
  ) => {
    const send = (result: ToolResult | ProtocolResult) => {
      if (result instanceof ProtocolResult) throw new TypeError(`${tool.name} was not to ask back.`);
      if (dialect === 'legacy') {
        writeEvent(response, exchange, JSON.stringify({ result, jsonrpc: '2.0', id }));
      } else {
        const { content, structuredContent, isError, _meta } = result;
        const meta = _meta ? JSON.stringify({ ..._meta, ...serverInfo }) : plainMeta;
        // Put together by hand, as the SDK would: what is the same in every answer is made once.
        const told = structuredContent ? `,"structuredContent":${JSON.stringify(structuredContent)}` : '';
        const body =
          `{"result":{"content":${JSON.stringify(content)}${told}${isError ? ',"isError":true' : ''},` +
          `"resultType":"complete","_meta":${meta}},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`;
        writeJson(response, exchange, body);
      }
    };
    const wire = new PlainWire(response, path.mcp, version, dialect === 'legacy');
    const result = callTool(path.account, exchange, wire, tool, args, path.deps);
    if (result instanceof Promise) result.then(send).catch((error: unknown) => broken(response, error));
    else send(result);
  };

  /** What the SDK answers here is the same for all whose tokens reach equally far. */
  const answerList = async (
    request: IncomingMessage,
    response: ServerResponse,
    exchange: Exchange,
    method: string,
    { id }: PlainRequest,
    body: string,
  ) => {
    const key = `${method} ${allowedEffect(exchange.caller.scope, path.account.service)}`;
    let result = lists.get(key);
    if (result === undefined) {
      const answer = await path.mcp.fetch(webRequest(request), exchange, body);
      const { result: listed } = (await answer.json()) as { result?: unknown };
      if (listed === undefined) throw new Error(`The SDK refused a plain ${method} with ${answer.status}.`);
      result = JSON.stringify(listed);
      lists.set(key, result);
    }
    writeJson(response, exchange, `{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`);
  };

  /** A bug of ours, such as an answer that JSON cannot take. */
  const broken = (response: ServerResponse, error: unknown) => {
    const { traceId } = continueTrace(undefined);
    path.account.log.error('request_broke', { error, traceId });
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(JSON.stringify({ error: `Internal error (ref ${traceId}).` }));
  };

  return (request, response) => {
    const promised = promiseOf(request, path);
    const caller = promised && callerOf(request, path);
    if (!promised || !caller) {
      long(request, response);
      return;
    }
    readBody(request, (body) => {
      const plain = plainRequest(body, promised);
      const client = plain?.client;
      const tool = plain && tools.get(plain.name);
      const isKnown = client === undefined || knownClients.has(client);
      if (!plain || !isKnown || (promised.method === 'tools/call' && !tool)) {
        path.account.metrics.countPlainCall('long');
        const accepted = () => {
          if (client !== undefined) knownClients.add(client);
        };
        handOver(request, { body, accepted });
        long(request, response);
        return;
      }
      path.account.metrics.countPlainCall('short');
      const exchange: Exchange = {
        caller,
        requestBytes: Buffer.byteLength(body),
        trace: continueTrace(plain.traceparent ?? request.headers['traceparent']),
        outcome: undefined,
      };
      try {
        if (tool) answerCall(response, exchange, tool, plain, promised);
        else
          answerList(request, response, exchange, promised.method, plain, body).catch((error: unknown) =>
            broken(response, error),
          );
      } catch (error) {
        broken(response, error);
      }
    });
  };
}

function promiseOf(
  { method, url, headers }: IncomingMessage,
  { mcp, hasSessions }: HotPath,
): Promised | undefined {
  if (method !== 'POST' || url !== '/mcp' || foreignHeader(headers.host, headers.origin)) return undefined;
  const promised = promisedBy(headers);
  if (promised?.dialect === 'legacy' && hasSessions) return undefined;
  return Number(headers['content-length']) <= mcp.maxBodyBytes ? promised : undefined;
}

interface Recognised {
  readonly authorization: string;
  readonly caller: Caller;
}

/** Who spoke last on a connection, and by which header: the same words there need not be hashed again. */
const recognised = new WeakMap<Socket, Recognised>();

function callerOf(
  { socket, headers }: IncomingMessage,
  { authenticate, isAlive }: HotPath,
): Caller | undefined {
  const { authorization } = headers;
  const before = recognised.get(socket);
  if (before && before.authorization === authorization && isAlive(before.caller)) return before.caller;
  const secret = bearerOf(authorization);
  const caller = secret === undefined ? undefined : authenticate(secret);
  if (caller && authorization !== undefined) recognised.set(socket, { authorization, caller });
  return caller;
}

const decoder = new TextDecoder();

/** A request that breaks off is answered by nobody, as its client is gone. */
function readBody(request: IncomingMessage, done: (text: string) => void): void {
  const length = Number(request.headers['content-length']);
  const chunks: Buffer[] = [];
  let received = 0;
  request.on('data', (chunk: Buffer) => {
    received += chunk.length;
    // Nearly always all of it comes at once.
    if (chunk.length === length) done(decoder.decode(chunk));
    else if (chunks.push(chunk) > 0 && received === length) done(decoder.decode(Buffer.concat(chunks)));
  });
  if (length === 0) done('');
}

function webRequest({ headers }: IncomingMessage): Request {
  const given = Object.entries(headers).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return new Request('http://127.0.0.1/mcp', { method: 'POST', headers: Object.fromEntries(given) });
}

const mostClients = 256;
const longestClient = 2_000;

/**
 * Clients whose description of themselves the SDK has accepted: whether such a description is valid is the SDK's to say,
 * and it says the same every time.
 */
class BoundedSet {
  readonly #known = new Set<string>();

  has(client: string): boolean {
    return this.#known.has(client);
  }

  add(client: string): void {
    if (client.length > longestClient) return;
    if (this.#known.size >= mostClients) this.#known.clear();
    this.#known.add(client);
  }
}

/** The wire of a call on the short way. */
class PlainWire implements Wire {
  readonly protocolVersion: string;
  readonly mayStream: boolean;
  readonly protocol = undefined;
  readonly resourceUpdated: Mcp['resourceUpdated'];
  readonly progress = nobodyAsked;
  readonly #response: ServerResponse;

  constructor(response: ServerResponse, { resourceUpdated }: Mcp, version: string, mayStream: boolean) {
    this.#response = response;
    this.resourceUpdated = resourceUpdated;
    this.protocolVersion = version;
    this.mayStream = mayStream;
  }

  get isGone(): boolean {
    return this.#response.destroyed;
  }

  /** A response closes in any case; its client is gone where not all of it was written. */
  whenGone(act: () => void): () => void {
    const response = this.#response;
    const closed = () => {
      if (!response.writableFinished) act();
    };
    response.once('close', closed);
    return () => response.off('close', closed);
  }
}

/** A plain call carries no progress token. */
function nobodyAsked(): void {}

function writeJson(response: ServerResponse, { outcome, trace }: Exchange, body: string): void {
  const headers = ['content-type', 'application/json', 'traceparent', trace.traceparent];
  if (outcome) headers.push('flotilla-outcome', outcome);
  write(response, headers, body);
}

/** The older revisions' answer: a stream of one event, whose end is known from the start. */
function writeEvent(response: ServerResponse, { trace }: Exchange, message: string): void {
  const headers = [
    'cache-control',
    'no-cache, no-transform',
    'content-type',
    'text/event-stream',
    'traceparent',
    trace.traceparent,
    'x-accel-buffering',
    'no',
  ];
  write(response, headers, `event: message\ndata: ${message}\n\n`);
}

/** Headers as a flat list, which Node takes as it is. */
function write(response: ServerResponse, headers: string[], body: string): void {
  const lengthBytes = Buffer.byteLength(body);
  headers.push('x-content-type-options', 'nosniff', 'content-length', String(lengthBytes));
  response.writeHead(200, headers);
  // Where every character is one byte, the bytes need no encoding.
  response.end(body, lengthBytes === body.length ? 'latin1' : 'utf8');
}
