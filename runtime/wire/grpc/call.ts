/** A call that has passed the gate, from its first message to its status. */
import { performance } from 'node:perf_hooks';

import type { DescMethod } from '@bufbuild/protobuf';

import type { Exchange } from '../../account/calls.ts';
import { cancelled, ToolError } from '../../errors.ts';
import { onAccount, takeTurn } from '../../turns.ts';
import type { Answer } from './answer.ts';
import type { Client, Held, Method, One, Reply, Words } from './face.ts';
import { encoded } from './encode.ts';
import { messagesOf, readOnly, type Reading } from './frames.ts';
import { scan } from './scan.ts';
import { GrpcError } from './status.ts';
import { argumentsOf } from './words.ts';

export interface Call {
  readonly desc: DescMethod;
  readonly exchange: Exchange;
  readonly answer: Answer;
  readonly reading: Reading;
  /** When its client waits no longer, by `performance.now()`. */
  readonly endsAtMs: number | undefined;
  /** Ends it without a word. */
  readonly cutOff: () => void;
  /** Ends it with what was thrown. */
  readonly fail: (error: unknown) => void;
  /** Told why a message is not taken. */
  readonly refused: (error: unknown) => void;
}

/** A longer message is looked over, decoded and answered in turns of their own. */
const bytesAtOnce = 100_000;

export function answerCall(method: Method, call: Call): void {
  if ('one' in method) withMessage(call, (given) => answerOne(method, given, call));
  else if ('many' in method) withMessage(call, (given) => hold(call, (held) => method.many(given, held)));
  else if (call.desc.methodKind === 'server_streaming')
    withMessage(call, (given) => hold(call, (held) => method.talked(alone(given), held)));
  else hold(call, (held) => method.talked(heard(call), held));
}

// oxlint-disable-next-line typescript/require-await -- heard as others are, of which more come
async function* alone(given: Words): AsyncGenerator<Words> {
  yield given;
}

/** Goes on with the one message of a call, in its caller's turn. */
function withMessage(call: Call, goOn: (given: Words) => void): void {
  const { desc, exchange, answer, reading, endsAtMs = Infinity, refused, fail } = call;
  const { stream } = answer;
  const refuse = (error: unknown) => {
    refused(error);
    fail(error);
  };
  const take = (message: Buffer) => {
    exchange.requestBytes = message.length;
    const isLong = message.length > bytesAtOnce;
    const inTurn = (work: () => void) =>
      takeTurn(
        exchange.caller.name,
        () => {
          try {
            if (!stream.closed) work();
          } catch (error) {
            refuse(error);
          }
        },
        isLong,
      );
    const next = isLong ? inTurn : (work: () => void) => work();
    inTurn(() => {
      scan(desc.input, message);
      next(() => {
        const given = argumentsOf(desc.input, message);
        next(() => goOn(given));
      });
    });
  };
  const slowMs = Math.min(reading.slowMs, Math.max(0, endsAtMs - performance.now()));
  readOnly(stream, { ...reading, slowMs }, take, refuse);
}

function answerOne({ one, headers = {} }: One, given: Words, call: Call): void {
  const { desc, exchange, answer, endsAtMs, fail } = call;
  const { stream } = answer;
  const timeoutMs = endsAtMs === undefined ? undefined : endsAtMs - performance.now();
  if (timeoutMs !== undefined && timeoutMs <= 0) {
    fail(tooLate());
    return;
  }
  const client: Client = {
    isGone: () => stream.closed,
    whenGone(act) {
      stream.once('close', act);
      return () => stream.off('close', act);
    },
    timeoutMs,
  };
  const send = (reply: Reply) => {
    if (reply instanceof GrpcError) answer.fail(reply);
    else answer.only(reply, headers).catch(fail);
  };
  const reply = one(given, exchange, client);
  if (reply instanceof Promise)
    reply.then((value) => onAccount(exchange.caller.name, desc.name, () => send(value))).catch(fail);
  else send(reply);
}

/** The messages of a call, each in a turn of its caller. */
async function* heard({ desc, exchange, answer, reading, refused }: Call): AsyncGenerator<Words> {
  const turn = async (isLong: boolean) =>
    new Promise<void>((resolve) => {
      takeTurn(exchange.caller.name, resolve, isLong);
    });
  try {
    for await (const message of messagesOf(answer.stream, reading)) {
      exchange.requestBytes = message.length;
      const isLong = message.length > bytesAtOnce;
      await turn(isLong);
      scan(desc.input, message);
      if (isLong) await turn(isLong);
      yield argumentsOf(desc.input, message);
    }
  } catch (error) {
    refused(error);
    throw error;
  }
}

/** Answers with what comes, until that ends, or the client goes, or waits no longer. */
function hold(
  { desc, exchange, answer, endsAtMs = Infinity, cutOff, fail }: Call,
  begin: (held: Held) => AsyncGenerator<object>,
): void {
  const timeoutMs = endsAtMs - performance.now();
  if (timeoutMs <= 0) {
    fail(tooLate());
    return;
  }
  const gone = new AbortController();
  answer.stream.once('close', () => gone.abort(cancelled()));
  const late = endsAtMs === Infinity ? undefined : setTimeout(() => gone.abort(tooLate()), timeoutMs);
  const items = begin({ exchange, gone: gone.signal, cutOff });
  // Who writes to a client that does not read waits, also when it has gone: so what stands open here is ended in its place.
  gone.signal.addEventListener('abort', () => void items.return(undefined).catch(() => {}), { once: true });
  const tell = async () => {
    for await (const item of items) await answer.say(encoded(desc.output, item));
    gone.signal.throwIfAborted();
    answer.end();
  };
  tell()
    // Whatever the end of the call has thrown: its reason is why.
    .catch((error: unknown) => fail(gone.signal.aborted ? gone.signal.reason : error))
    .finally(() => clearTimeout(late));
}

const tooLate = () =>
  new ToolError('timeout', 'The time that the client gave the call is over.', { hint: 'Give it more.' });
