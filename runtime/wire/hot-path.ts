/**
 * The short way for most requests. The SDK builds a server per request, which costs ten times a small tool. A message that is
 * provably a plain, valid `tools/call` is answered here instead: same authentication, scope, validation, deadline,
 * metrics, log and audit (all of `callTool`), one answer, written with its length. `tools/list` and `server/discover` are
 * answered with what the SDK said the first time. Whatever leaves the slightest doubt goes the long way, which owns every
 * error answer: tests/hot-path.test.ts sends generated requests both ways and compares.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

import {
  callTool,
  untrustedMeta,
  type Account,
  type Exchange,
  type ToolResult,
  type Wire,
} from '../account/calls.ts';
import { withAnswer } from '../account/execute.ts';
import { toolsByName, type AnyService } from '../service.ts';
import { ProtocolResult, type AnyTool } from '../tool.ts';
import type { Admitted } from './gate.ts';
import type { Mcp } from './mcp.ts';
import { plainRequest, promisedBy, type PlainRequest, type Promised } from './plain-request.ts';
import type { Sessions } from './sessions.ts';
import { tasksExtension } from './tasks.ts';

interface HotPath {
  readonly account: Account;
  readonly version: string;
  readonly tools: readonly AnyTool<unknown>[];
  readonly service: Pick<AnyService, 'aliases' | 'fleetNames'>;
  readonly deps: unknown;
  readonly mcp: Mcp;
  /** Of clients of the older revisions; `undefined` where the SDK keeps them, and serves these clients alone. */
  readonly sessions: Sessions | undefined;
  /** What lists depend on; how far the token reaches, unless given. */
  readonly listKey?: ((exchange: Exchange) => string) | undefined;
}

/** Takes a message that goes the long way; `accepted` is told when the SDK has let it come as far as an outcome. */
type LongWay = (
  request: IncomingMessage,
  response: ServerResponse,
  admitted: Admitted & { readonly accepted?: (() => void) | undefined },
) => void;

/** Answers plain messages; hands everything else to `long`. */
export function hotPath(path: HotPath, long: LongWay): LongWay {
  const { account, mcp } = path;
  const plainTools = path.tools.filter(({ asksBack }) => !asksBack);
  const tools = toolsByName(plainTools, path.service);
  const serverInfo = {
    'io.modelcontextprotocol/serverInfo': { name: account.service, version: path.version },
  };
  const metaText = (meta?: ToolResult['_meta']) => JSON.stringify({ ...meta, ...serverInfo });
  const [plainMeta, untrusted] = [metaText(), metaText(untrustedMeta)];
  const knownClients = new BoundedSet();
  const lists = new Map<string, string>();

  const answerCall = (
    response: ServerResponse,
    exchange: Exchange,
    tool: AnyTool<unknown>,
    { id, arguments: args }: PlainRequest,
    { dialect, version, asEvent }: Promised,
  ) => {
    const send = (result: ToolResult | ProtocolResult) => {
      if (result instanceof ProtocolResult) throw new TypeError(`${tool.name} was not to ask back.`);
      if (dialect === 'legacy') {
        const message = JSON.stringify({ result, jsonrpc: '2.0', id });
        if (asEvent) writeEvent(response, exchange, message);
        else writeJson(response, exchange, message);
      } else {
        const { content, structuredContent, isError, _meta } = result;
        const meta = !_meta ? plainMeta : _meta === untrustedMeta ? untrusted : metaText(_meta);
        // Put together by hand, as the SDK would: what is the same in every answer is made once.
        const told = structuredContent ? `,"structuredContent":${JSON.stringify(structuredContent)}` : '';
        const body =
          `{"result":{"content":${JSON.stringify(content)}${told}${isError ? ',"isError":true' : ''},` +
          `"resultType":"complete","_meta":${meta}},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`;
        writeJson(response, exchange, body);
      }
    };
    const { caller, session } = exchange;
    const inSession: WhenGone | undefined =
      session === undefined
        ? undefined
        : (act) => path.sessions?.onCancel(session, caller.name, id, act) ?? (() => {});
    const wire = new PlainWire(response, mcp, version, asEvent, inSession);
    const result = callTool(account, exchange, wire, tool, args, path.deps);
    if (result instanceof Promise)
      result
        .then((value) => {
          const call = { caller: caller.name, operation: tool.name };
          const answer = value instanceof ProtocolResult ? undefined : value.structuredContent;
          return withAnswer(call, answer, () => send(value));
        })
        .catch((error: unknown) => broken(response, exchange, error));
    else send(result);
  };

  /** What the SDK answers here is the same for all whose tokens reach equally far. */
  const answerList = async (
    request: IncomingMessage,
    response: ServerResponse,
    { exchange, message }: Admitted,
    method: string,
    { id }: PlainRequest,
  ) => {
    const key = `${method} ${exchange.query} ${exchange.caller.tools?.join() ?? ''} ${path.listKey?.(exchange) ?? account.allowed(exchange.caller.scope)}`;
    let result = lists.get(key);
    if (result === undefined) {
      const answer = await mcp.fetch(webRequest(request), exchange, message);
      const { result: listed } = (await answer.json()) as { result?: unknown };
      if (listed === undefined) throw new Error(`The SDK refused a plain ${method} with ${answer.status}.`);
      result = JSON.stringify(listed);
      if (lists.size >= mostLists) lists.clear();
      lists.set(key, result);
    }
    writeJson(response, exchange, `{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`);
  };

  /** A bug of ours, such as an answer that JSON cannot take. */
  const broken = (response: ServerResponse, { trace: { traceId } }: Exchange, error: unknown) => {
    account.log.error('request_broke', { error, traceId });
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(JSON.stringify({ error: `Internal error (ref ${traceId}).` }));
  };

  return (request, response, admitted) => {
    const { message, exchange } = admitted;
    const promised = promisedBy(request.headers);
    if (!promised || (promised.dialect === 'legacy' && !path.sessions)) {
      long(request, response, admitted);
      return;
    }
    const plain = plainRequest(message, promised);
    const client = plain?.client;
    const tool = plain && tools.get(plain.name);
    const isKnown = client === undefined || knownClients.has(client);
    const mayBeTask = tool?.task === 'required' || (tool?.task && client?.includes(tasksExtension));
    if (!plain || !isKnown || mayBeTask || (promised.method === 'tools/call' && !tool)) {
      account.metrics.countPlainCall('long');
      const accepted = client === undefined ? undefined : () => knownClients.add(client);
      long(request, response, { ...admitted, accepted });
      return;
    }
    account.metrics.countPlainCall('short');
    try {
      if (tool) answerCall(response, exchange, tool, plain, promised);
      else
        answerList(request, response, admitted, promised.method, plain).catch((error: unknown) =>
          broken(response, exchange, error),
        );
    } catch (error) {
      broken(response, exchange, error);
    }
  };
}

function webRequest({ headers }: IncomingMessage): Request {
  const given = Object.entries(headers).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return new Request('http://127.0.0.1/mcp', { method: 'POST', headers: Object.fromEntries(given) });
}

/** Lists that are kept as text. */
const mostLists = 64;
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

type WhenGone = Wire['whenGone'];

/** The wire of a call on the short way. */
class PlainWire implements Wire {
  readonly protocolVersion: string;
  readonly mayStream: boolean;
  readonly protocol = undefined;
  readonly resourceUpdated: Mcp['resourceUpdated'];
  readonly progress = nobodyAsked;
  readonly #response: ServerResponse;
  /** In a session a client goes by its word; who is only cut off comes back. */
  readonly #inSession: WhenGone | undefined;

  constructor(
    response: ServerResponse,
    { resourceUpdated }: Mcp,
    version: string,
    mayStream: boolean,
    inSession: WhenGone | undefined,
  ) {
    this.#response = response;
    this.resourceUpdated = resourceUpdated;
    this.protocolVersion = version;
    this.mayStream = mayStream;
    this.#inSession = inSession;
  }

  get isGone(): boolean {
    return this.#inSession === undefined && this.#response.destroyed;
  }

  /** A response closes in any case; its client is gone where not all of it was written. */
  whenGone(act: () => void): () => void {
    if (this.#inSession) return this.#inSession(act);
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
