/**
 * The way in for calls of gRPC: whose a call is, whether there is room for it, its turn. Connect speaks the protocol; what is behind it
 * gets calls of callers who are known, as of the gate of HTTP.
 */
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';

import type { DescMethod } from '@bufbuild/protobuf';
import {
  createConnectRouter,
  createContextKey,
  createContextValues,
  type ConnectError,
  type MethodImpl,
} from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { universalResponseToNodeResponse } from '@connectrpc/connect-node';

import { refusalRecord, type Account, type Exchange } from '../../account/calls.ts';
import { continueTrace } from '../../account/trace.ts';
import type { Caller } from '../../access/tokens.ts';
import { cancelled, ToolError } from '../../errors.ts';
import type { GrpcFace } from '../../service.ts';
import { takeTurn } from '../../turns.ts';
import type { Connections } from '../connections.ts';
import { bearerOf, type ForeignCheck } from '../foreign.ts';
import type { Streams } from '../http.ts';
import type { Listeners } from '../listening.ts';
import { hasTooMuchOpen, type Loads } from '../loads.ts';
import type { VitalSigns } from '../vital-signs.ts';
import { admittedKey, faceOf } from './face.ts';
import { wholeMessages, type Reading } from './frames.ts';
import { healthOf } from './health.ts';
import { readProtos, readStandard, serviceIn } from './protos.ts';
import { reflectionOf } from './reflection.ts';
import { encodedMessage, statuses } from './status.ts';

export interface GrpcOptions {
  readonly face: GrpcFace<unknown>;
  readonly account: Account;
  readonly deps: unknown;
  readonly foreign: ForeignCheck;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly connections: Pick<Connections, 'asked' | 'spoke'>;
  readonly loads: Loads;
  readonly streams: Streams;
  readonly listeners: Listeners | undefined;
  readonly signs: VitalSigns;
  readonly maxBodyBytes: number;
  /** How long a message may take to arrive. */
  readonly requestMs: number;
  /** How long an answer may wait to be read. */
  readonly idleMs: number;
  readonly resourceUpdated: (uri: string) => void;
}

export interface Grpc {
  readonly handle: (request: Http2ServerRequest, response: Http2ServerResponse, socket: Socket) => void;
  /** Ends those who would stay for ever. */
  end(): void;
}

/** What is known of a call before its body is read. */
interface Call {
  readonly caller: Caller | undefined;
  readonly hasSecret: boolean;
  readonly exchange: Exchange;
  readonly path: string;
}

const callKey = createContextKey<Call | undefined>(undefined);

/** A message is protobuf: of JSON in gRPC's frames, whose makers are few, nobody would find the faults. */
const contentType = /^application\/grpc(?:\+proto)?\s*(?:;|$)/i;

export function openGrpc(options: GrpcOptions): Grpc {
  const { face, account, connections, loads, signs } = options;
  const stopping = new AbortController();
  const protos = readProtos(face.protos);
  const standard = readStandard();
  const told = statuses(account.service, standard);
  const { unary, listened, conversation } = faceOf({ ...options, statuses: told, stopping: stopping.signal });

  const service = serviceIn(protos, face.service);
  const health = serviceIn(standard, 'grpc.health.v1.Health');
  const reflections = ['v1', 'v1alpha'].map((version) =>
    serviceIn(standard, `grpc.reflection.${version}.ServerReflection`),
  );
  const services = [service, health, ...reflections];
  const serving = healthOf({
    ready: signs.signs['/ready'],
    services: services.map(({ typeName }) => typeName),
    statuses: told,
    stopping: stopping.signal,
  });
  const reflect = reflectionOf(services, [protos, standard]);

  const router = createConnectRouter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    acceptCompression: [],
    readMaxBytes: options.maxBodyBytes,
    binaryOptions: { readUnknownFields: false },
    requestGate: ({ values }) => admit(values.get(callKey)),
  });
  const add = (method: DescMethod, implementation: unknown) =>
    router.rpc(method, implementation as MethodImpl<DescMethod>);

  for (const method of service.methods) add(method, behind(method));
  for (const method of health.methods) {
    if (method.name === 'Check') add(method, serving.check(method));
    if (method.name === 'Watch') add(method, serving.watch(method));
  }
  for (const { methods } of reflections) for (const method of methods) add(method, reflect(method));
  const handlers = new Map<string, UniversalHandler>(
    router.handlers.map((handler) => [handler.requestPath, handler]),
  );
  /** As `/health` is. */
  const isOpen = (path: string) => path.startsWith(`/${health.typeName}/`);

  function behind(method: DescMethod): unknown {
    const what = face.methods[method.name];
    if (what === 'listened' && listened) return listened(method);
    if (what !== undefined && what !== 'listened')
      return 'converse' in what ? conversation(method, what) : unary(method, what);
    throw new TypeError(`${account.service} says nothing of ${face.service}/${method.name}.`);
  }

  /** @throws ConnectError for a call that may not be made. */
  function admit(call: Call | undefined): void {
    if (!call || isOpen(call.path)) return;
    const { caller, hasSecret, path } = call;
    const { audit, metrics } = account;
    const method = `gRPC ${path}`;
    if (!caller) {
      metrics.countRefusal('unauthenticated');
      audit.appendStranger(refusalRecord(account, { caller: '', method, outcome: 'unauthenticated' }));
      const reason = hasSecret
        ? 'The bearer token is unknown, revoked or expired'
        : 'A bearer token is missing';
      throw told.unauthenticated(
        `${reason}: send the metadata "authorization: Bearer TOKEN". The first one lies in the data folder; see: flotilla token --help`,
      );
    }
    if (caller.only === undefined && account.allowed(caller.scope)) return;
    metrics.countRefusal('forbidden');
    audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome: 'forbidden' }), false);
    throw told.statusOf({
      code: 'forbidden',
      message: `The token "${caller.name}" may not use ${account.service}.`,
      hint: `It needs the scope ${account.service}:read. See: flotilla token create --help`,
      retryAfterMs: undefined,
    });
  }

  /** Its turn has come. */
  function begin(
    handler: UniversalHandler,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    call: Call,
  ): void {
    const { stream } = request;
    if (stream.destroyed) return;
    const { exchange } = call;
    const owner = exchange.caller.name;
    const room = loads.open(owner, stream, 0);
    if (room === undefined) {
      account.metrics.countRefusal('busy');
      refuseCall(
        stream,
        told.statusOf({
          code: 'unavailable',
          message: hasTooMuchOpen(owner),
          hint: undefined,
          retryAfterMs: 1_000,
        }),
      );
      return;
    }
    stream.once('close', () => room.close());
    const values = createContextValues().set(callKey, call);
    const gone = new AbortController();
    stream.once('close', () => {
      // Of one that was answered nobody has to be told.
      if (!stream.writableFinished || stream.rstCode !== constants.NGHTTP2_NO_ERROR) gone.abort(cancelled());
    });
    const cutOff = () => stream.close(constants.NGHTTP2_CANCEL);
    const unread = () => {
      account.metrics.countRefusal('busy');
      cutOff();
    };
    values.set(admittedKey, { exchange, gone: gone.signal, cutOff });
    const { methodKind, input } = handler.method;
    const reading: Reading = {
      desc: input,
      maxBytes: options.maxBodyBytes,
      slowMs: options.requestMs,
      isSingle: methodKind === 'unary' || methodKind === 'server_streaming',
      caller: owner,
      room,
      came: (bytes) => (exchange.requestBytes = bytes),
    };
    async function* body() {
      try {
        yield* wholeMessages(request.iterator({ destroyOnReturn: false }), reading);
      } catch (error) {
        if (gone.signal.aborted) throw told.thrown(cancelled(), account, exchange.trace);
        if (error instanceof ToolError) {
          account.metrics.countRefusal(
            error.code === 'too_large' ? 'too_large' : error.code === 'unavailable' ? 'busy' : 'malformed',
          );
        }
        throw told.thrown(error, account, exchange.trace);
      }
    }
    handler({
      httpVersion: request.httpVersion,
      method: request.method,
      url: `http://127.0.0.1${call.path}`,
      header: webHeaders(request.headers),
      body: body(),
      signal: gone.signal,
      contextValues: values,
    })
      .then(async (answer) =>
        universalResponseToNodeResponse(unhurried(answer, stream, options.idleMs, unread), response),
      )
      .catch((error: unknown) => {
        // Who went away in the middle is no fault of ours.
        if (!gone.signal.aborted)
          account.log.error('request_broke', { error, traceId: exchange.trace.traceId });
        cutOff();
      });
  }

  return {
    handle(request, response, socket) {
      const { headers } = request;
      const { stream } = request;
      connections.asked(socket, 1);
      stream.once('close', () => connections.asked(socket, -1));
      const foreign = options.foreign(request.authority ?? headers.host, headers.origin);
      const path = request.url.split('?', 1)[0] ?? '';
      const secret = bearerOf(headers.authorization);
      const caller = foreign || secret === undefined ? undefined : options.authenticate(secret);
      connections.spoke(socket, caller?.name);
      takeTurn(caller?.name ?? '', () => {
        if (foreign) {
          account.metrics.countRefusal(foreign);
          refuse(
            response,
            403,
            'The authority or the origin names another site: use 127.0.0.1 or localhost.',
          );
          return;
        }
        if (!contentType.test(headers['content-type'] ?? '')) {
          account.metrics.countRefusal('malformed');
          refuse(
            response,
            415,
            'Over HTTP/2, gRPC is spoken here, with protobuf: use HTTP/1.1 for everything else.',
          );
          return;
        }
        const handler = handlers.get(path);
        if (!handler) {
          refuseCall(
            stream,
            told.unimplemented('There is no such method here. Reflection lists those there are.'),
          );
          return;
        }
        const exchange: Exchange = {
          caller: caller ?? stranger,
          session: undefined,
          takesEvents: false,
          query: '',
          requestBytes: 0,
          trace: continueTrace(headers['traceparent']),
          outcome: undefined,
        };
        begin(handler, request, response, { caller, hasSecret: secret !== undefined, exchange, path });
      });
    },
    end() {
      stopping.abort();
    },
  };
}

/** In whose name those ask who need no token. */
const stranger: Caller = { name: '', scope: [], hash: '' };

/** What is written at once: so much has to be read before the time is over that one who does not read is given. */
const pieceBytes = 65_536;

/** The answer in pieces, of which the next is taken when the client has read the one before; who reads none is cut off after a while. */
function unhurried(
  answer: UniversalServerResponse,
  stream: ServerHttp2Stream,
  idleMs: number,
  cutOff: () => void,
): UniversalServerResponse {
  const { body, trailer } = answer;
  if (!body || !trailer) return answer;
  async function* pieces(inner: AsyncIterable<Uint8Array>, last: Headers) {
    let timer: NodeJS.Timeout | undefined;
    try {
      for await (const bytes of inner) {
        for (let at = 0; at < bytes.length; at += pieceBytes) {
          timer = setTimeout(cutOff, idleMs);
          yield bytes.subarray(at, at + pieceBytes);
          clearTimeout(timer);
        }
      }
    } finally {
      clearTimeout(timer);
    }
    // What is left of it, and the trailer, are read as well.
    const rest = setTimeout(cutOff, idleMs);
    stream.once('close', () => clearTimeout(rest));
    const message = last.get('grpc-message');
    if (message !== null) last.set('grpc-message', encodedMessage(decodeURIComponent(message)));
  }
  return { ...answer, body: pieces(body, trailer) };
}

/** Headers that are the trailers too. */
function refuseCall(stream: ServerHttp2Stream, error: ConnectError): void {
  if (stream.destroyed) return;
  const headers = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(error.code),
    'grpc-message': encodedMessage(error.rawMessage),
  };
  stream.respond(headers, { endStream: true });
}

/** Without those of HTTP/2 itself. */
function webHeaders(headers: Http2ServerRequest['headers']): Headers {
  const named = Object.entries(headers).filter(([name]) => !name.startsWith(':'));
  return new Headers(named.map(([name, value]): [string, string] => [name, String(value)]));
}

function refuse(response: Http2ServerResponse, status: number, error: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' });
  response.end(JSON.stringify({ error }));
}
