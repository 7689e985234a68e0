/** What stands behind the methods of a service of gRPC: tools, what is listened to, conversations. */
import { toBinary, type DescMessage, type DescMethod, type Message } from '@bufbuild/protobuf';
import { ConnectError, createContextKey, type HandlerContext } from '@connectrpc/connect';

import {
  performTool,
  refusalRecord,
  type Account,
  type Exchange,
  type Failure,
  type Wire,
} from '../../account/calls.ts';
import { covers } from '../../access/scope.ts';
import { cancelled, ToolError } from '../../errors.ts';
import type { Conversation, Outcome, Talk } from '../../service.ts';
import { ProtocolResult, type AnyTool } from '../../tool.ts';
import type { Streams } from '../http.ts';
import type { Listeners } from '../listening.ts';
import type { Statuses } from './status.ts';
import { argumentsOf, messageOf } from './words.ts';

/** A call that has passed the gate. */
export interface Admitted {
  readonly exchange: Exchange;
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal;
  /** Ends the call without a word, for a client that reads none. */
  readonly cutOff: () => void;
}

export const admittedKey = createContextKey<Admitted | undefined>(undefined);

function admittedOf({ values }: HandlerContext): Admitted {
  const admitted = values.get(admittedKey);
  if (!admitted) throw new TypeError('The call has not passed the gate.');
  return admitted;
}

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

type Begin = (signal: AbortSignal, exchange: Exchange) => AsyncIterable<Message>;

/** How long a stream that ends may take to say so. */
const goodbyeMs = 1_000;

export function faceOf(options: FaceOptions) {
  const { account, deps, streams, listeners, statuses, stopping } = options;

  const wireOf = (gone: AbortSignal, timeoutMs?: number): Wire => ({
    get isGone() {
      return gone.aborted;
    },
    whenGone(act) {
      gone.addEventListener('abort', act);
      return () => gone.removeEventListener('abort', act);
    },
    protocolVersion: 'grpc',
    timeoutMs,
    mayStream: false,
    protocol: undefined,
    progress() {},
    resourceUpdated: options.resourceUpdated,
  });

  function given(desc: DescMessage, message: Message): Record<string, unknown> {
    try {
      return argumentsOf(desc, message);
    } catch (error) {
      if (error instanceof ToolError) account.metrics.countRefusal('malformed');
      throw error;
    }
  }

  /** Calls a tool. */
  function unary({ input, output }: DescMethod, tool: AnyTool<unknown>) {
    return async (message: Message, context: HandlerContext): Promise<Message> => {
      const { exchange, gone } = admittedOf(context);
      try {
        const wire = wireOf(gone, context.timeoutMs());
        const answer = await performTool<unknown, Message | ConnectError>(
          account,
          exchange,
          wire,
          tool,
          given(input, message),
          deps,
          {
            answer: (reply) => messageOf(output, valueOf(tool, reply)),
            fail: (failure) => statuses.statusOf(failure),
            sizeBytes: (result) => (result instanceof ConnectError ? 0 : toBinary(output, result).length),
          },
        );
        if (answer instanceof ConnectError) throw answer;
        if (tool.untrusted) context.responseHeader.set('flotilla-untrusted', 'true');
        return answer;
      } catch (error) {
        throw statuses.thrown(error, account, exchange.trace);
      } finally {
        context.responseTrailer.set('traceparent', exchange.trace.traceparent);
      }
    };
  }

  /** A stream that is open until it ends by itself, or its client, its token or the process does. */
  function held(method: DescMethod, context: HandlerContext, begin: Begin): AsyncIterable<Message> {
    const admitted = admittedOf(context);
    return endedWith(admitted.gone, holding(method, admitted, begin));
  }

  async function* holding(
    method: DescMethod,
    { exchange, gone, cutOff }: Admitted,
    begin: Begin,
  ): AsyncGenerator<Message> {
    const { caller } = exchange;
    const name = `gRPC ${method.parent.name}/${method.name}`;
    const ended = new AbortController();
    const end = (why: ConnectError) => {
      ended.abort(why);
      setTimeout(cutOff, goodbyeMs).unref();
    };
    const stop = () =>
      end(
        statuses.thrown(
          new ToolError('unavailable', 'The service stops.', { hint: 'Connect again.' }),
          account,
          exchange.trace,
        ),
      );
    try {
      if (streams.areTaken(caller)) throw tooManyStreams(caller.name);
      using _held = streams.hold(caller, () =>
        end(statuses.unauthenticated('The token has ended, or may do less now.')),
      );
      if (stopping.aborted) stop();
      stopping.addEventListener('abort', stop);
      account.audit.appendCall(
        refusalRecord(account, { caller: caller.name, method: name, outcome: 'ok' }),
        false,
      );
      yield* begin(AbortSignal.any([gone, ended.signal]), exchange);
      if (gone.aborted) throw cancelled();
      ended.signal.throwIfAborted();
    } catch (error) {
      throw ended.signal.aborted && !(error instanceof ConnectError)
        ? (ended.signal.reason as ConnectError)
        : statuses.thrown(error, account, exchange.trace);
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
  function listened(method: DescMethod, whom: Listeners) {
    return (message: Message, context: HandlerContext): AsyncIterable<Message> =>
      held(method, context, async function* events(signal, exchange) {
        const { caller } = exchange;
        requireListening(caller, whom);
        for await (const { id, event, data } of await whom.begin(
          given(method.input, message),
          caller,
          signal,
        )) {
          yield messageOf(method.output, { id, event, data });
        }
      });
  }

  /** @throws ToolError forbidden. */
  function requireListening({ name, scope }: Exchange['caller'], { listened: { effect } }: Listeners): void {
    if (covers(account.allowed(scope), effect)) return;
    account.metrics.countRefusal('forbidden');
    const hint = `It needs the scope ${account.service}:${effect}. See: flotilla token create --help`;
    throw new ToolError('forbidden', `The token "${name}" may not listen here.`, { hint });
  }

  function conversation(method: DescMethod, { converse }: Conversation<unknown>) {
    const { input, output } = method;
    return (messages: AsyncIterable<Message>, context: HandlerContext): AsyncIterable<Message> =>
      held(method, context, async function* told(signal, exchange) {
        const talk: Talk<unknown> = {
          signal,
          call: async (tool, args, own) =>
            callIn(exchange, own ? AbortSignal.any([signal, own]) : signal, tool, args),
        };
        async function* heard() {
          for await (const message of until(signal, messages)) yield given(input, message);
        }
        for await (const value of converse(heard(), deps, talk)) yield messageOf(output, value);
      });
  }

  /** Each call has an account of its own. */
  async function callIn(
    { caller, trace, requestBytes }: Exchange,
    signal: AbortSignal,
    tool: AnyTool<unknown>,
    args: Readonly<Record<string, unknown>>,
  ): Promise<Outcome> {
    const exchange: Exchange = {
      caller,
      session: undefined,
      takesEvents: false,
      query: '',
      requestBytes,
      trace,
      outcome: undefined,
    };
    return performTool<unknown, Outcome>(account, exchange, wireOf(signal), tool, args, deps, {
      answer: (reply) => ({ value: valueOf(tool, reply) }),
      fail: ({ code, message, hint }: Failure) => ({ failure: { code, message, hint } }),
      sizeBytes: (outcome) => Buffer.byteLength(JSON.stringify(outcome)),
    });
  }

  return {
    unary,
    listened: listeners && ((method: DescMethod) => listened(method, listeners)),
    conversation,
  };
}

function valueOf(
  tool: AnyTool<unknown>,
  reply: ProtocolResult | { readonly value: Record<string, unknown> },
) {
  if (reply instanceof ProtocolResult)
    throw new ToolError('invalid_input', `${tool.name} asks back.`, { hint: 'Call it over MCP.' });
  return reply.value;
}

/**
 * Who writes to a client that does not read waits, also when it has gone: so what stands open here is ended in its place.
 */
export function endedWith<Item>(gone: AbortSignal, items: AsyncGenerator<Item>): AsyncGenerator<Item> {
  gone.addEventListener('abort', () => void items.return(undefined).catch(() => {}), { once: true });
  return items;
}

/** What comes, until the signal is aborted. */
async function* until<Item>(signal: AbortSignal, items: AsyncIterable<Item>): AsyncGenerator<Item> {
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
