/**
 * The way in for every request: whose it is, whether there is room for it, its body, and its turn. What stands behind gets
 * whole messages of callers who are known, and of one caller no more often than of another.
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { AssertionReader } from '../access/assertions.ts';
import type { Caller } from '../access/tokens.ts';
import { refusalRecord, type Account, type Exchange } from '../account/calls.ts';
import { metaOf } from '../account/meta.ts';
import type { Refusal } from '../account/metrics.ts';
import { continueTrace } from '../account/trace.ts';
import { takeTurn } from '../turns.ts';
import { takesEvents } from './answer-form.ts';
import { isTooComplex } from './complexity.ts';
import type { Connections } from './connections.ts';
import { bearerOf, insufficientScope, type ForeignCheck } from './foreign.ts';
import { hasTooMuchOpen, type Loads } from './loads.ts';
import { isOnlyLooking } from './looking.ts';
import { modernVersion } from './plain-request.ts';
import { flawOfId } from './request-id.ts';
import type { Canary, Face } from '../service.ts';
import type { Sessions } from './sessions.ts';
import { answerSign, signOf, type VitalSigns } from './vital-signs.ts';

/** A message of a caller, read whole and parsed. */
export interface Admitted {
  readonly message: unknown;
  /** As it came. */
  readonly body: Buffer;
  readonly exchange: Exchange;
}

export interface GateOptions {
  readonly account: Account;
  readonly maxBodyBytes: number;
  readonly foreign: ForeignCheck;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly isCurrent: (caller: Caller) => boolean;
  /** Told of every request. */
  readonly connections: Pick<Connections, 'asked' | 'spoke'>;
  readonly loads: Loads;
  /** Of clients of the older revisions; `undefined` where the SDK keeps them. */
  readonly sessions: Pick<Sessions, 'isOpen' | 'hasEnded'> | undefined;
  readonly signs: VitalSigns;
  readonly canary: Canary | undefined;
  /** Takes the messages that are posted to `/mcp`. */
  readonly message: (request: IncomingMessage, response: ServerResponse, admitted: Admitted) => void;
  /** Takes requests of another form, and says which are. */
  readonly face?: (Pick<Face, 'take' | 'turned'> & { isFor(path: string): boolean }) | undefined;
  /** Takes everything else, and everyone whose token is no good. */
  readonly other: RequestListener;
}

/**
 * Requests that wait for their answers on one connection. Node reads thousands of pipelined ones at once, in no turn, and a client
 * that takes no answers could queue them without end; no client that we know sends a second one before the first answer.
 */
const mostUnanswered = 64;
/** A body may come in so many parts whatever their size, and in more if they are not small: each costs as much as a large one. */
const fewParts = 1_000;
const smallPartBytes = 256;
/** A longer body is looked at, read and answered in turns of their own. */
const bodyBytesAtOnce = 100_000;
/** Of a body that is refused, so much is heard to its end: a client that is cut off in mid-sentence hears no answer. */
const mostIgnoredBytes = 16 * 1024 * 1024;

/**
 * In whose name a request without a good token waits for its turn. Whoever asks whether the process lives must not wait behind those
 * who ask for its figures, which cost a hundred times as much, or behind strangers who guess tokens; and who has no answer yet to
 * what it asked before on its connection comes behind those who ask once, as the poller of health does.
 */
function lineOf(url = '', isBehind: boolean): string {
  const [path = ''] = url.split('?', 1);
  if (!openPaths.has(path)) return '';
  return isBehind ? `${path} again` : path;
}

const openPaths = new Set(['/health', '/ready', '/livez', '/readyz', '/metrics']);

export function gate(options: GateOptions): RequestListener {
  const { account, maxBodyBytes, connections, loads } = options;

  /** How many have no answer yet on its connection, with this one; `undefined` where those are too many and it ends. */
  function unansweredOn({ socket }: IncomingMessage, response: ServerResponse): number | undefined {
    const unanswered = connections.asked(socket, 1);
    if (unanswered > mostUnanswered) {
      cutOff(socket);
      return undefined;
    }
    response.once('close', () => connections.asked(socket, -1));
    return unanswered;
  }

  /** Of what Node reads at once, all requests are seen, also after the first of them has ended the connection. */
  function cutOff(socket: Socket): void {
    if (socket.destroyed) return;
    account.metrics.countRefusal('busy');
    socket.destroy();
  }

  return (request, response) => {
    const unanswered = unansweredOn(request, response);
    if (unanswered === undefined) return;
    if (request.headers['transfer-encoding'] !== undefined) {
      limitParts(request, cutOff);
      // What comes after the answer is thrown away by Node, part by part, uncounted.
      response.once('finish', () => {
        if (!request.complete) request.socket.destroySoon();
      });
    }
    const face = options.face?.isFor(pathOf(request)) && isHome(request, options) ? options.face : undefined;
    const known = face || isMessage(request, options) ? recognise(request, options) : undefined;
    connections.spoke(request.socket, known?.caller.name);
    if (!known) {
      const sign = isHome(request, options) ? signOf(request) : undefined;
      takeTurn(lineOf(request.url, unanswered > 1), () => {
        const otherwise = () => options.other(request, response);
        if (sign === undefined) otherwise();
        else answerSign(response, options.signs.signs[sign]).catch(otherwise);
      });
      return;
    }
    const { caller, sessionHeader } = known;
    const session = face ? undefined : known.session;
    readInTurns(request, caller.name);
    const refuse = (refused: Refused) => {
      account.metrics.countRefusal(refused.counted);
      if (refused.counted === 'forbidden') {
        const method = face ? 'HTTP' : 'POST /mcp';
        const refusal = { caller: caller.name, method, outcome: 'forbidden' };
        account.audit.appendCall(refusalRecord(account, refusal), false);
      }
      answerRefused(request, response, refused, face);
    };
    const isLost = !face && sessionHeader !== session && options.sessions !== undefined;
    const refused =
      (isLost ? noSuchSession : undefined) ??
      (Array.isArray(caller.only) || (face && caller.only) ? beyond(caller) : undefined) ??
      refusedScope(account, caller) ??
      (face && !hasBody(request) ? undefined : refusedBefore(request, maxBodyBytes));
    if (refused) {
      refuse(refused);
      return;
    }
    // A body that does not say how long it is gets room for the longest.
    const bodyBytes = Number(
      request.headers['content-length'] ?? (face && !hasBody(request) ? 0 : maxBodyBytes),
    );
    const room = loads.open(caller.name, response, bodyBytes);
    if (!room) {
      refuse(busy(caller.name));
      return;
    }
    response.once('close', () => room.close());
    // In a session a client goes by its word; who is only cut off comes back.
    const isGone = () => session === undefined && response.destroyed;
    readBody(request, maxBodyBytes, (body) => {
      if (!body) {
        refuse(tooLong(maxBodyBytes));
        return;
      }
      room.resize(body.length);
      // Each step with a long body takes some milliseconds.
      const next = (work: () => void) => {
        if (body.length > bodyBytesAtOnce) takeTurn(caller.name, work, true);
        else work();
      };
      takeTurn(caller.name, () => {
        if (isGone()) return;
        const flaw = flawOf(body);
        if (flaw) {
          refuse(flaw);
          return;
        }
        const admit = (text: string) => {
          const message = face && body.length === 0 ? undefined : parsed(text, face === undefined);
          if (message instanceof RefusedBody) {
            refuse(message);
            return;
          }
          const exchange: Exchange = {
            caller,
            session,
            takesEvents: takesEvents(request.headers.accept),
            query: queryOf(request),
            requestBytes: body.length,
            trace: continueTrace(traceOf(message) ?? request.headers['traceparent']),
            outcome: undefined,
          };
          if (caller.only !== undefined && !isOnlyLooking(message, options.canary)) {
            refuse(beyond(caller));
            return;
          }
          next(() => {
            if (isGone()) return;
            const admitted = { message, body, exchange };
            if (face) face.take(request, response, admitted);
            else options.message(request, response, admitted);
          });
        };
        next(() => {
          const text = textOf(body);
          next(() => admit(text));
        });
      });
    });
  };
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?', 1)[0] ?? '';

function queryOf({ url = '' }: IncomingMessage): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

function isMessage(request: IncomingMessage, options: GateOptions): boolean {
  const { method, url } = request;
  if (method !== 'POST' || (url !== '/mcp' && !url?.startsWith('/mcp?'))) return false;
  return isHome(request, options);
}

const isHome = ({ headers }: IncomingMessage, { foreign }: GateOptions) =>
  foreign(headers.host, headers.origin) === undefined;

/** Who spoke last on a connection, and by which headers: the same words there need not be hashed again. */
interface Recognised {
  readonly authorization: string | undefined;
  readonly sessionHeader: string | undefined;
  readonly caller: Caller;
  /** What a process of the fleet has signed is good for a while only, and asked about each time: who checks it knows it again. */
  readonly assertion: string | undefined;
  /** A session of this caller; `undefined` where none is named, or one that is not known. */
  readonly session: string | undefined;
}

const recognised = new WeakMap<Socket, Recognised>();

function recognise(request: IncomingMessage, options: GateOptions): Recognised | undefined {
  const { socket, headers } = request;
  const { authorization } = headers;
  const sessionHeader = sessionHeaderOf(headers);
  const before = recognised.get(socket);
  if (
    before &&
    before.authorization === authorization &&
    before.sessionHeader === sessionHeader &&
    isStillGood(before, options) &&
    !(before.session !== undefined && options.sessions?.hasEnded(before.session))
  ) {
    return before;
  }
  const secret = bearerOf(authorization);
  const caller = secret === undefined ? undefined : options.authenticate(secret);
  if (!caller) return undefined;
  const isOpen = sessionHeader !== undefined && options.sessions?.isOpen(sessionHeader, caller);
  const session = isOpen ? sessionHeader : undefined;
  const assertion = secret !== undefined && AssertionReader.isOne(secret) ? secret : undefined;
  const now: Recognised = { authorization, sessionHeader, caller, assertion, session };
  recognised.set(socket, now);
  return now;
}

const isStillGood = ({ caller, assertion }: Recognised, { authenticate, isCurrent }: GateOptions): boolean =>
  assertion === undefined ? isCurrent(caller) : authenticate(assertion) === caller;

/** The newest revision has no sessions: what it says of one is not heard. */
function sessionHeaderOf(headers: IncomingMessage['headers']): string | undefined {
  const header = headers['mcp-session-id'];
  return typeof header === 'string' && headers['mcp-protocol-version'] !== modernVersion ? header : undefined;
}

/** Why a request is answered without the protocol: an error in its form. */
interface Refused {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly counted: Refusal;
  readonly retryAfterMs?: number;
  readonly challenge?: string;
}

class RefusedBody implements Refused {
  readonly status = 400;
  readonly counted = 'malformed';
  readonly code: number;
  readonly message: string;

  constructor(code: number, message: string) {
    this.code = code;
    this.message = message;
  }
}

/** JSON-RPC 2.0's own codes. */
const parseError = -32_700;
const invalidRequest = -32_600;
const internalError = -32_603;

function refusedBefore({ headers }: IncomingMessage, maxBodyBytes: number): Refused | undefined {
  const { 'content-type': contentType = '' } = headers;
  if (contentType !== 'application/json' && !/^application\/json\s*(;|$)/i.test(contentType)) {
    return unsupported('A message is JSON: send Content-Type: application/json.');
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    return unsupported('JSON is sent in UTF-8: leave the charset out, or send charset=utf-8.');
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return unsupported('The body must not be compressed: leave Content-Encoding out.');
  }
  return Number(headers['content-length'] ?? 0) > maxBodyBytes ? tooLong(maxBodyBytes) : undefined;
}

const unsupported = (message: string): Refused => ({
  status: 415,
  code: invalidRequest,
  message,
  counted: 'malformed',
});

function tooLong(maxBodyBytes: number): Refused {
  const message = `The request is longer than ${maxBodyBytes} bytes.`;
  return { status: 413, code: invalidRequest, message, counted: 'too_large' };
}

const noSuchSession: Refused = {
  status: 404,
  code: invalidRequest,
  message: 'The session is not known here, or has ended: initialize anew.',
  counted: 'malformed',
};

/** The step-up challenge of the protocol's authorization, RFC 6750 section 3. */
function refusedScope({ service, allowed }: Account, { name, scope }: Caller): Refused | undefined {
  if (allowed(scope)) return undefined;
  return {
    status: 403,
    code: invalidRequest,
    message: `The token "${name}" may not use ${service}.`,
    counted: 'forbidden',
    challenge: insufficientScope(service),
  };
}

/** Of a process of the fleet, in its own name. */
function beyond({ name, only }: Caller): Refused {
  const message = `${name} may ask only for ${only === 'canary' ? 'lists and the canary' : 'documents over HTTP'} here.`;
  return { status: 403, code: invalidRequest, message, counted: 'forbidden' };
}

function busy(caller: string): Refused {
  const message = hasTooMuchOpen(caller);
  return { status: 503, code: internalError, message, counted: 'busy', retryAfterMs: 1_000 };
}

function answerRefused(
  request: IncomingMessage,
  response: ServerResponse,
  refused: Refused,
  face?: Pick<Face, 'turned'>,
): void {
  const { status, code, message, retryAfterMs, challenge } = refused;
  const { origin } = request.headers;
  const error = {
    code,
    message,
    ...(retryAfterMs !== undefined && {
      data: metaOf({ error: { code: 'unavailable', message, retryAfterMs } }),
    }),
  };
  const { traceId, traceparent } = continueTrace(request.headers['traceparent']);
  const { type, text } = face?.turned(refused, request.headers.accept, traceId) ?? {
    type: 'application/json',
    text: JSON.stringify({ jsonrpc: '2.0', error, id: null }),
  };
  const isEndless = Number(request.headers['content-length'] ?? 0) > mostIgnoredBytes;
  response.writeHead(status, {
    'content-type': type,
    'content-length': String(Buffer.byteLength(text)),
    'x-content-type-options': 'nosniff',
    ...(face && { traceparent, 'cache-control': 'no-store' }),
    // The origin may call, or nothing of this would be said.
    ...(origin !== undefined && { 'access-control-allow-origin': origin, vary: 'origin' }),
    ...(challenge !== undefined && { 'www-authenticate': challenge }),
    ...(retryAfterMs !== undefined && { 'retry-after': String(Math.ceil(retryAfterMs / 1_000)) }),
    ...(isEndless && { connection: 'close' }),
  });
  if (isEndless) {
    response.end(text).once('finish', () => request.destroy());
    return;
  }
  if (request.complete) {
    response.end(text);
    return;
  }
  // With the end of an answer a connection may end, and what was said of it gets lost on the way to who is still sending.
  response.write(text);
  request.once('close', () => response.end());
  let ignoredBytes = 0;
  request.on('data', (chunk: Buffer) => {
    ignoredBytes += chunk.length;
    if (ignoredBytes > mostIgnoredBytes) request.destroy();
  });
}

/** Ends the connection whose client cuts a body into very many small chunks. Nothing is read here: who reads it is not known yet. */
function limitParts(request: IncomingMessage, cutOff: (socket: Socket) => void): void {
  let parts = 0;
  let bytes = 0;
  const push = request.push.bind(request);
  request.push = (chunk: Buffer | null, encoding) => {
    parts += 1;
    bytes += chunk?.length ?? 0;
    if (parts > fewParts && bytes < parts * smallPartBytes) cutOff(request.socket);
    return push(chunk, encoding);
  };
}

/** Reads a body part by part, each in a turn of the caller: read at once, those of many requests would hold the event loop. */
function readInTurns(request: IncomingMessage, caller: string): void {
  let isFirst = true;
  request.on('data', () => {
    // Nearly always all of it comes at once.
    if (isFirst) {
      isFirst = false;
      return;
    }
    request.pause();
    takeTurn(caller, () => request.resume());
  });
}

/**
 * Hands over the body, or nothing when it is too long. A request that breaks off is answered by nobody, as its client is gone.
 */
function readBody(
  request: IncomingMessage,
  maxBytes: number,
  done: (body: Buffer | undefined) => void,
): void {
  const length = Number(request.headers['content-length']);
  // A long one is put together as it comes: to do it at the end takes a while.
  const whole = length > bodyBytesAtOnce && length <= maxBytes ? Buffer.allocUnsafeSlow(length) : undefined;
  const chunks: Buffer[] = [];
  let received = 0;
  const take = (chunk: Buffer) => {
    const from = received;
    received += chunk.length;
    if (received <= maxBytes) {
      if (whole) chunk.copy(whole, from);
      else chunks.push(chunk);
      return;
    }
    request.off('data', take);
    request.off('end', end);
    done(undefined);
  };
  const end = () =>
    done(whole?.subarray(0, received) ?? (chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
  request.on('data', take);
  request.once('end', end);
}

const byteOrderMark = '\u{FEFF}';

function flawOf(body: Buffer): RefusedBody | undefined {
  if (!isUtf8(body)) return new RefusedBody(parseError, 'Parse error: the request body is not UTF-8');
  if (!isTooComplex(body)) return undefined;
  return new RefusedBody(invalidRequest, 'The request has more than 100,000 keys and values: split it.');
}

function textOf(body: Buffer): string {
  const text = body.toString();
  return text.startsWith(byteOrderMark) ? text.slice(1) : text;
}

function parsed(text: string, isRpc: boolean): unknown {
  try {
    const message = JSON.parse(text) as unknown;
    const flaw = isRpc ? flawOfId((message as { id?: unknown } | null)?.id) : undefined;
    return flaw === undefined ? message : new RefusedBody(invalidRequest, flaw);
  } catch {
    return new RefusedBody(parseError, 'Parse error: the request body is not valid JSON');
  }
}

/** The trace that the message itself names wins over the header's. */
function traceOf(message: unknown): unknown {
  const { params } = (message ?? {}) as { params?: { _meta?: { traceparent?: unknown } | null } | null };
  return params?._meta?.traceparent;
}
