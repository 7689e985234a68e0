/** What stands behind the methods of a service of gRPC: tools, what is listened to, conversations. */
import type { DescMethod } from '@bufbuild/protobuf';

import {
  performTool,
  refusalRecord,
  type Account,
  type Exchange,
  type Failure,
  type Wire,
} from '../../account/calls.ts';
import { mayUse } from '../../access/choice.ts';
import { covers } from '../../access/scope.ts';
import { cancelled, ToolError } from '../../errors.ts';
import type { Conversation, Outcome, Relayed, Talk } from '../../service.ts';
import { ProtocolResult, type AnyTool } from '../../tool.ts';
import type { Streams } from '../http.ts';
import type { Listeners } from '../listening.ts';
import { GrpcError, notAuthenticated, type Statuses } from './status.ts';
import { encoded } from './encode.ts';

/** A message in the words of tools. */
export type Words = Readonly<Record<string, unknown>>;

/** Whoever waits for a call. */
export interface Client extends Pick<Wire, 'whenGone' | 'timeoutMs'> {
  readonly isGone: () => boolean;
  readonly progress?: Wire['progress'];
}

/** Of a call that has passed the gate, whose answer is a stream. */
export interface Held {
  readonly exchange: Exchange;
  /** Aborted when the client is gone, or waits no longer. */
  readonly gone: AbortSignal;
  /** Ends the call without a word, for a client that reads none. */
  readonly cutOff: () => void;
}

/** How a method is answered: with one message, which is encoded, or with many. */
export interface One {
  readonly one: (given: Words, exchange: Exchange, client: Client) => Reply | Promise<Reply>;
  readonly headers?: Readonly<Record<string, string>>;
}
export interface Many {
  readonly many: (given: Words, held: Held) => AsyncGenerator<object>;
}
export interface Talked {
  readonly talked: (heard: AsyncIterable<Words>, held: Held) => AsyncGenerator<object>;
}
export type Reply = Uint8Array | GrpcError;
export type Method = One | Many | Talked;

export interface FaceOptions {
  readonly account: Account;
  readonly deps: unknown;
  readonly streams: Streams;
  readonly listeners: Listeners | undefined;
  readonly statuses: Statuses;
  /** Aborted when the process begins to stop. */
  readonly stopping: AbortSignal;
  readonly resourceUpdated: (uri: string) => void;
}

/** How long a stream that ends may take to say so. */
const goodbyeMs = 1_000;

export function faceOf(options: FaceOptions) {
  const { account, deps, streams, listeners, statuses, stopping } = options;

  const wireOf = (client: Client) => new GrpcWire(client, options.resourceUpdated);

  /** Calls a tool. */
  function unary({ output }: DescMethod, tool: AnyTool<unknown>): One {
    return {
      one: (given, exchange, client) =>
        performTool<unknown, Reply>(account, exchange, wireOf(client), tool, given, deps, {
          answer: (reply) => encoded(output, valueOf(tool, reply)),
          fail: statuses.statusOf,
          sizeBytes: (reply) => (reply instanceof GrpcError ? 0 : reply.length),
        }),
      ...(tool.untrusted && { headers: { 'flotilla-untrusted': 'true' } }),
    };
  }

  /** A stream that is open until it ends by itself, or its client, its token or the process does. */
  async function* holding(
    desc: DescMethod,
    { exchange, gone, cutOff }: Held,
    begin: (signal: AbortSignal) => AsyncIterable<object>,
  ): AsyncGenerator<object> {
    const { caller } = exchange;
    const ended = new AbortController();
    const end = (why: Error) => {
      ended.abort(why);
      setTimeout(cutOff, goodbyeMs).unref();
    };
    const stop = () => end(new ToolError('unavailable', 'The service stops.', { hint: 'Connect again.' }));
    try {
      using place = streams.take(caller);
      if (!place) throw tooManyStreams(caller.name);
      place.end = () => end(notAuthenticated('The token has ended, or may do less now.'));
      if (stopping.aborted) stop();
      stopping.addEventListener('abort', stop);
      const method = nameOf(desc);
      account.audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome: 'ok' }), false);
      yield* begin(AbortSignal.any([gone, ended.signal]));
      gone.throwIfAborted();
      ended.signal.throwIfAborted();
    } catch (error) {
      throw ended.signal.aborted && !(error instanceof GrpcError) ? ended.signal.reason : error;
    } finally {
      stopping.removeEventListener('abort', stop);
    }
  }

  function tooManyStreams(caller: string): ToolError {
    account.metrics.countRefusal('busy');
    return new ToolError('unavailable', `The token "${caller}" listens on too many streams.`, {
      hint: 'End one, and try again.',
      retryAfterMs: 1_000,
    });
  }

  /** Tells what happens: the next event is asked for when the one before has been taken. */
  function listened(method: DescMethod, whom: Listeners): Many {
    return {
      async *many(given, held) {
        const { caller } = held.exchange;
        requireListening(method, caller, whom);
        yield* holding(method, held, async function* events(signal) {
          yield* await whom.begin(given, caller, signal);
        });
      },
    };
  }

  /** @throws ToolError forbidden. */
  function requireListening(
    method: DescMethod,
    caller: Exchange['caller'],
    { listened: { effect, tool } }: Listeners,
  ): void {
    const { name } = caller;
    const isCovered = covers(account.allowed(caller.scope), effect);
    if (isCovered && (!tool || mayUse(caller, account.choosable(tool)))) return;
    account.metrics.countRefusal('forbidden');
    const refusal = { caller: name, method: nameOf(method), outcome: 'forbidden' };
    account.audit.appendCall(refusalRecord(account, refusal), false);
    throw isCovered
      ? new ToolError(
          'forbidden',
          `The token "${name}" was not made for ${tool?.name}, which does the same.`,
          {
            hint: 'It carries a choice of tools. See: flotilla token create --help',
          },
        )
      : new ToolError('forbidden', `The token "${name}" may not listen here.`, {
          hint: `It needs the scope ${account.service}:${effect}. See: flotilla token create --help`,
        });
  }

  function conversation(method: DescMethod, { converse }: Conversation<unknown>): Talked {
    return {
      talked: (heard, held) =>
        holding(method, held, (signal) => {
          const talk: Talk<unknown> = {
            signal,
            call: async (tool, args, more) => callIn(held.exchange, signal, tool, args, more),
          };
          return converse(until(signal, heard), deps, talk);
        }),
    };
  }

  /** Each call has an account of its own. */
  async function callIn(
    { caller, trace, requestBytes }: Exchange,
    talking: AbortSignal,
    tool: AnyTool<unknown>,
    args: Words,
    { signal, progress }: Parameters<Talk<unknown>['call']>[2] = {},
  ): Promise<Outcome> {
    const client = {
      ...clientUntil(signal ? AbortSignal.any([talking, signal]) : talking),
      ...(progress && { progress }),
    };
    const exchange: Exchange = {
      caller,
      session: undefined,
      takesEvents: false,
      query: '',
      requestBytes,
      trace,
      outcome: undefined,
    };
    return performTool<unknown, Outcome>(account, exchange, wireOf(client), tool, args, deps, {
      answer: (reply) => ({ value: valueOf(tool, reply) }),
      fail: ({ code, message, hint }: Failure) => ({ failure: { code, message, hint } }),
      sizeBytes: (outcome) => Buffer.byteLength(JSON.stringify(outcome)),
    });
  }

  /** Hands a call on. */
  function relayed({ output }: DescMethod, { relayed: ask }: Relayed<unknown>): One {
    return {
      async one(given, exchange, client) {
        const gone = new AbortController();
        const { timeoutMs } = client;
        const ends = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)];
        const forget = client.whenGone(() => gone.abort(cancelled()));
        try {
          const signal = AbortSignal.any([gone.signal, ...ends]);
          const {
            isError,
            structuredContent,
            _meta: meta,
          } = await ask(given, deps, {
            exchange,
            isModern: true,
            signal,
            progress: tellsNobody,
          });
          return isError === true
            ? statuses.statusOf(failureIn(meta))
            : encoded(output, structuredContent as object);
        } finally {
          forget();
        }
      },
    };
  }

  return {
    unary,
    relayed,
    listened: listeners && ((method: DescMethod) => listened(method, listeners)),
    conversation,
  };
}

class GrpcWire implements Wire {
  readonly protocolVersion = 'grpc';
  readonly mayStream = false;
  readonly protocol = undefined;
  readonly timeoutMs: number | undefined;
  readonly progress: Wire['progress'];
  readonly resourceUpdated: Wire['resourceUpdated'];
  readonly #client: Client;

  constructor(client: Client, resourceUpdated: Wire['resourceUpdated']) {
    this.#client = client;
    this.timeoutMs = client.timeoutMs;
    this.progress = client.progress ?? tellsNobody;
    this.resourceUpdated = resourceUpdated;
  }

  get isGone(): boolean {
    return this.#client.isGone();
  }

  whenGone(act: () => void): () => void {
    return this.#client.whenGone(act);
  }
}

const nameOf = ({ name, parent }: DescMethod) => `gRPC ${parent.name}/${name}`;

const tellsNobody = () => {};

/** Of a result, as `metaOf` writes it. */
const failureIn = (meta: unknown) =>
  (meta as { readonly 'dev.flotilla/error': Failure })['dev.flotilla/error'];

const clientUntil = (gone: AbortSignal): Client => ({
  isGone: () => gone.aborted,
  whenGone(act) {
    gone.addEventListener('abort', act);
    return () => gone.removeEventListener('abort', act);
  },
});

function valueOf(
  tool: AnyTool<unknown>,
  reply: ProtocolResult | { readonly value: Record<string, unknown> },
) {
  if (reply instanceof ProtocolResult)
    throw new ToolError('invalid_input', `${tool.name} asks back.`, { hint: 'Call it over MCP.' });
  return reply.value;
}

/** What comes, until the signal is aborted. */
export async function* until<Item>(signal: AbortSignal, items: AsyncIterable<Item>): AsyncGenerator<Item> {
  const iterator = items[Symbol.asyncIterator]();
  while (!signal.aborted) {
    const next = await new Promise<IteratorResult<Item>>((resolve, reject) => {
      const stop = () => resolve({ done: true, value: undefined });
      signal.addEventListener('abort', stop, { once: true });
      iterator
        .next()
        .finally(() => signal.removeEventListener('abort', stop))
        .then(resolve, reject);
    });
    if (next.done) return;
    yield next.value;
  }
}
