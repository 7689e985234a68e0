/**
 * The way in for calls of gRPC: whose a call is, whether there is room for it, its turn. What is behind it gets calls of callers who are
 * known, as of the gate of HTTP.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

import type { DescMethod } from '@bufbuild/protobuf';

import { refusalRecord, type Account, type Exchange } from '../../account/calls.ts';
import type { Refusal } from '../../account/metrics.ts';
import { continueTrace } from '../../account/trace.ts';
import { AssertionReader } from '../../access/assertions.ts';
import type { Caller } from '../../access/tokens.ts';
import { ToolError, type ErrorCode } from '../../errors.ts';
import type { GrpcFace } from '../../service.ts';
import { takeTurn } from '../../turns.ts';
import type { Connections } from '../connections.ts';
import { bearerOf, type ForeignCheck } from '../foreign.ts';
import type { Streams } from '../http.ts';
import type { Listeners } from '../listening.ts';
import { hasTooMuchOpen, type Loads } from '../loads.ts';
import type { VitalSigns } from '../vital-signs.ts';
import { Answer } from './answer.ts';
import { answerCall } from './call.ts';
import { faceOf, type Method } from './face.ts';
import { healthOf } from './health.ts';
import { readProtos, readStandard, serviceIn } from './protos.ts';
import { reflectionOf } from './reflection.ts';
import { notAuthenticated, notImplemented, statuses } from './status.ts';

export interface GrpcOptions {
  readonly face: GrpcFace<unknown>;
  readonly account: Account;
  readonly deps: unknown;
  readonly foreign: ForeignCheck;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly isCurrent: (caller: Caller) => boolean;
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
  readonly handle: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket) => void;
  /** Ends those who would stay for ever. */
  end(): void;
}

/** What is known of a call before its body is read. */
interface Asked {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  readonly caller: Caller | undefined;
  readonly hasSecret: boolean;
  /** By `performance.now()`. */
  readonly atMs: number;
}

/** A method, and what its messages are. */
interface Found {
  readonly desc: DescMethod;
  readonly method: Method;
}

/** A message is protobuf: of JSON in gRPC's frames, whose makers are few, nobody would find the faults. */
const contentType = /^application\/grpc(?:\+proto)?\s*(?:;|$)/i;

export function openGrpc(options: GrpcOptions): Grpc {
  const { face, account, connections, loads, signs } = options;
  const stopping = new AbortController();
  const protos = readProtos(face.protos);
  const standard = readStandard();
  const told = statuses(account.service, standard);
  const { unary, listened, conversation, relayed } = faceOf({
    ...options,
    statuses: told,
    stopping: stopping.signal,
  });

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
  const reflect = reflectionOf(services, [protos, standard], stopping.signal);

  const methods = new Map<string, Found>();
  const add = (desc: DescMethod, method: Method) =>
    methods.set(`/${desc.parent.typeName}/${desc.name}`, { desc, method });
  for (const desc of service.methods) add(desc, behind(desc));
  for (const desc of health.methods) {
    if (desc.name === 'Check') add(desc, serving.check(desc));
    if (desc.name === 'Watch') add(desc, serving.watch);
  }
  for (const { methods: own } of reflections) for (const desc of own) add(desc, reflect);
  /** As `/health` is. */
  const isOpen = (path: string) => path.startsWith(`/${health.typeName}/`);

  function behind(desc: DescMethod): Method {
    const what = face.methods[desc.name];
    if (what === 'listened' && listened) return listened(desc);
    if (what !== undefined && what !== 'listened') {
      if ('converse' in what) return conversation(desc, what);
      return 'relayed' in what ? relayed(desc, what) : unary(desc, what);
    }
    throw new TypeError(`${account.service} says nothing of ${face.service}/${desc.name}.`);
  }

  /** Who spoke last on a connection, and by which token: the same need not be hashed again. */
  const recognised = new WeakMap<Socket, { readonly secret: string; readonly caller: Caller }>();

  function callerOf(socket: Socket, secret: string): Caller | undefined {
    const before = recognised.get(socket);
    if (before?.secret === secret && options.isCurrent(before.caller)) return before.caller;
    const caller = options.authenticate(secret);
    // What is signed is good for a while only.
    if (caller && !AssertionReader.isOne(secret)) recognised.set(socket, { secret, caller });
    return caller;
  }

  /** @throws GrpcError or ToolError for a call that may not be made. */
  function requireAdmitted({ path, caller, hasSecret }: Asked): void {
    if (isOpen(path)) return;
    const { audit, metrics } = account;
    const method = `gRPC ${path}`;
    if (!caller) {
      metrics.countRefusal('unauthenticated');
      audit.appendStranger(refusalRecord(account, { caller: '', method, outcome: 'unauthenticated' }));
      const reason = hasSecret
        ? 'The bearer token is unknown, revoked or expired'
        : 'A bearer token is missing';
      throw notAuthenticated(
        `${reason}: send the metadata "authorization: Bearer TOKEN". The first one lies in the data folder; see: flotilla token --help`,
      );
    }
    if (caller.only === undefined && account.allowed(caller.scope)) return;
    metrics.countRefusal('forbidden');
    audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome: 'forbidden' }), false);
    throw new ToolError('forbidden', `The token "${caller.name}" may not use ${account.service}.`, {
      hint: `It needs the scope ${account.service}:read. See: flotilla token create --help`,
    });
  }

  /** Its turn has come. */
  function begin(asked: Asked): void {
    const { stream, headers, path, caller = stranger, atMs } = asked;
    if (stream.closed) return;
    const exchange: Exchange = {
      caller,
      session: undefined,
      takesEvents: false,
      query: '',
      requestBytes: 0,
      trace: continueTrace(headers['traceparent']),
      outcome: undefined,
    };
    const cutOff = () => stream.close(constants.NGHTTP2_CANCEL);
    const answer = new Answer(stream, exchange.trace, options.idleMs, () => {
      account.metrics.countRefusal('busy');
      cutOff();
    });
    /** Who went away in the middle hears nothing, and is no fault of ours. */
    const fail = (error: unknown) => {
      if (!stream.closed) answer.fail(told.thrown(error, account, exchange.trace));
    };
    try {
      const found = methods.get(path);
      if (!found) throw notImplemented('There is no such method here. Reflection lists those there are.');
      requireAdmitted(asked);
      requirePlain(headers);
      const timeoutMs = timeoutOf(headers);
      const room = loads.open(caller.name, answer, 0);
      if (!room) {
        account.metrics.countRefusal('busy');
        throw new ToolError('unavailable', hasTooMuchOpen(caller.name), { retryAfterMs: 1_000 });
      }
      stream.once('close', () => room.close());
      answerCall(found.method, {
        desc: found.desc,
        exchange,
        answer,
        reading: { maxBytes: options.maxBodyBytes, slowMs: options.requestMs, room },
        endsAtMs: timeoutMs === undefined ? undefined : atMs + timeoutMs,
        cutOff,
        fail,
        refused(error) {
          if (error instanceof ToolError) account.metrics.countRefusal(refusals[error.code] ?? 'malformed');
        },
      });
    } catch (error) {
      fail(error);
    }
  }

  return {
    handle(stream, headers, socket) {
      const atMs = performance.now();
      connections.asked(socket, 1);
      stream.once('close', () => connections.asked(socket, -1));
      const foreign = options.foreign(headers[':authority'] ?? headers.host, headers.origin);
      const path = headers[':path']?.split('?', 1)[0] ?? '';
      const secret = bearerOf(headers.authorization);
      const caller = foreign || secret === undefined ? undefined : callerOf(socket, secret);
      connections.spoke(socket, caller?.name);
      takeTurn(caller?.name ?? '', () => {
        if (foreign) {
          account.metrics.countRefusal(foreign);
          refuse(stream, 403, 'The authority or the origin names another site: use 127.0.0.1 or localhost.');
        } else if (!contentType.test(headers['content-type'] ?? '')) {
          account.metrics.countRefusal('malformed');
          refuse(
            stream,
            415,
            'Over HTTP/2, gRPC is spoken here, with protobuf: use HTTP/1.1 for everything else.',
          );
        } else if (headers[':method'] !== 'POST') {
          account.metrics.countRefusal('malformed');
          refuse(stream, 405, 'A call is a POST.');
        } else begin({ stream, headers, path, caller, hasSecret: secret !== undefined, atMs });
      });
    },
    end() {
      stopping.abort();
    },
  };
}

const refusals: Readonly<Partial<Record<ErrorCode, Refusal>>> = {
  too_large: 'too_large',
  unavailable: 'busy',
};

/** In whose name those ask who need no token. */
const stranger: Caller = { name: '', scope: [], hash: '' };

const unitsMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
const longestTimerMs = 2 ** 31 - 1;

/** How long the client waits; `undefined` where that is for ever, or as good as. @throws ToolError for what is no time. */
function timeoutOf({ 'grpc-timeout': header }: IncomingHttpHeaders): number | undefined {
  if (header === undefined) return undefined;
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(header)) ?? [];
  if (digits === undefined) {
    throw new ToolError('invalid_input', 'The header grpc-timeout is no time.', {
      hint: 'It is up to eight digits and a unit, such as 500m or 10S.',
    });
  }
  const timeoutMs = Number(digits) * (unitsMs[unit] ?? 0);
  return timeoutMs > longestTimerMs ? undefined : timeoutMs;
}

/** What comes is not unpacked: a few bytes could be very many. @throws GrpcError */
function requirePlain({ 'grpc-encoding': encoding = 'identity' }: IncomingHttpHeaders): void {
  if (encoding !== 'identity')
    throw notImplemented('Messages must not be compressed: leave grpc-encoding out.');
}

function refuse(stream: ServerHttp2Stream, status: number, error: string): void {
  if (stream.closed) return;
  stream.respond({
    ':status': status,
    'content-type': 'application/json',
    'x-content-type-options': 'nosniff',
  });
  // An answer to HEAD has ended already.
  if (!stream.writableEnded) stream.end(JSON.stringify({ error }));
}
