/**
 * Calls that a person has to agree to first, where the operator wants it: the client is asked for it by form elicitation, in
 * the newest revision with an answer that asks for input, in sessions of the older ones with a request on the call's stream.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';

import type { Confirm } from '#runtime/access/confirm.ts';
import type { Exchange } from '#runtime/account/calls.ts';
import { RpcError, type Asked } from '#runtime/service.ts';
import type { Effect } from '#runtime/tool.ts';
import type { Admitted } from '#runtime/wire/gate.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { answerFailure, failedResult, ownHeaders, type Errand, type Failure } from './hand-on.ts';
import type { AskedFor } from './request.ts';

type Json = Readonly<Record<string, unknown>>;

/** A question is answered within this time, or asked anew. */
const answerMs = 5 * 60_000;
const keepAliveMs = 15_000;
/** Questions without an answer; the oldest of a token give way, and nobody else's. */
const mostOpenOfToken = 100;
/** Of the arguments, a person is shown so much. */
const mostShown = 1_500;
const inputName = 'confirm';
const streamHeaders = [
  'content-type',
  'text/event-stream',
  'cache-control',
  'no-cache, no-transform',
  'x-accel-buffering',
  'no',
];
const statePrefix = 'confirm-';

/** A call that waits for its person. */
export interface Waiting {
  readonly asked: AskedFor;
  readonly admitted: Admitted;
  readonly response: ServerResponse;
  /** What is really called, be it by `call_tool`, and of whom. */
  readonly tool: string;
  readonly service: string;
  readonly arguments: unknown;
  readonly errand: Pick<Errand, 'method' | 'effect' | 'id' | 'protocolVersion' | 'origin' | 'whenGone'>;
  /** What the client can do, as it has said. */
  readonly capabilities: unknown;
  /** Somebody agreed: goes on with the call. */
  go(admitted: Admitted): void;
  /** The same, where its answer is put together. */
  answer(asked: Asked): Promise<Json>;
  /** For the account: what was asked, and how it was refused. */
  recordQuestion(): void;
  recordRefusal(failure: Failure, responseBytes: number): void;
}

interface Question {
  readonly caller: string;
  readonly call: string;
  readonly untilMs: number;
}

export class Confirming {
  readonly #usual: Confirm;
  readonly #now: () => number;
  /** By what comes back with the answer, the oldest first. */
  readonly #questions = new Map<string, Question>();
  /** By session and id of the request. */
  readonly #inSessions = new Map<string, (answer: Json) => void>();
  readonly #agreed = new WeakSet<object>();

  /** @param now by a clock that is never set. */
  constructor(usual: Confirm, now: () => number) {
    this.#usual = usual;
    this.#now = now;
  }

  /** Whether a call waits for a person, who has not agreed to it yet. */
  isWanted(effect: Effect, exchange: Pick<Exchange, 'caller'>): boolean {
    const rule = exchange.caller.confirm ?? this.#usual;
    if (rule === 'off' || effect === 'read' || this.#agreed.has(exchange)) return false;
    return rule === 'writes' || effect === 'destroy';
  }

  ask(waiting: Waiting): void {
    const { asked, admitted, capabilities, response, errand } = waiting;
    const { exchange } = admitted;
    const isModern = asked.version === modernVersion;
    const { requestState, inputResponses } = asked.params;
    if (isModern && typeof requestState === 'string' && requestState.startsWith(statePrefix)) {
      const refused = this.#answered(requestState, inputResponses, waiting);
      if (refused) {
        refuse(waiting, refused);
        return;
      }
      this.#agreed.add(exchange);
      waiting.go(withoutAnswer(admitted, asked));
      return;
    }
    if (!canAsk(capabilities) || (!isModern && (exchange.session === undefined || !exchange.takesEvents))) {
      refuse(waiting, cannotAsk(waiting.tool));
      return;
    }
    waiting.recordQuestion();
    if (!isModern) {
      void this.#askInSession(waiting, exchange.session as string);
      return;
    }
    const result = {
      resultType: 'input_required',
      inputRequests: { [inputName]: { method: 'elicitation/create', params: formOf(waiting) } },
      requestState: this.#open(waiting),
    };
    const text = JSON.stringify({ jsonrpc: '2.0', id: errand.id, result });
    const length = String(Buffer.byteLength(text));
    const type = ['content-type', 'application/json', 'content-length', length];
    response.writeHead(200, [...ownHeaders(exchange, errand.origin), ...type]).end(text);
  }

  /** A session has answered a request; it may be one of ours. */
  heard(session: string, message: unknown): void {
    const { id } = (message ?? {}) as { readonly id?: unknown };
    if (typeof id === 'string') this.#inSessions.get(`${session} ${id}`)?.(message as Json);
  }

  #open({ admitted, tool, asked }: Waiting): string {
    const nowMs = this.#now();
    const caller = admitted.exchange.caller.hash;
    let own = 0;
    for (const [state, question] of [...this.#questions].toReversed()) {
      own += Number(question.caller === caller);
      if (question.untilMs <= nowMs || (question.caller === caller && own >= mostOpenOfToken))
        this.#questions.delete(state);
    }
    const state = `${statePrefix}${randomBytes(24).toString('base64url')}`;
    this.#questions.set(state, { caller, call: callOf(tool, asked), untilMs: nowMs + answerMs });
    return state;
  }

  /** Why the answer does not count; `undefined` where the person agreed. A question is answered once. */
  #answered(state: string, responses: unknown, { admitted, tool, asked }: Waiting): Failure | undefined {
    const question = this.#questions.get(state);
    if (question?.caller !== admitted.exchange.caller.hash) return noQuestion(tool);
    this.#questions.delete(state);
    if (question.call !== callOf(tool, asked) || question.untilMs <= this.#now()) return noQuestion(tool);
    const { [inputName]: answer } = (responses ?? {}) as Json;
    return isAgreed(answer) ? undefined : declined(tool);
  }

  async #askInSession(waiting: Waiting, session: string): Promise<void> {
    const { admitted, response, errand } = waiting;
    const { exchange } = admitted;
    const id = `${statePrefix}${randomBytes(12).toString('base64url')}`;
    const say = (message: Json) => {
      if (!response.destroyed)
        response.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
    };
    response.writeHead(200, [...ownHeaders(exchange, errand.origin), ...streamHeaders]);
    const gone = new AbortController();
    const forget = errand.whenGone(() => gone.abort());
    const keepAlive = setInterval(() => {
      if (!response.destroyed) response.write(': waiting\n\n');
    }, keepAliveMs).unref();
    try {
      const { promise, resolve } = Promise.withResolvers<Json | undefined>();
      const key = `${session} ${id}`;
      this.#inSessions.set(key, resolve);
      gone.signal.addEventListener('abort', () => resolve(undefined));
      // Who is cut off before that cannot answer any more. What somebody has agreed to goes on.
      response.once('close', () => resolve(undefined));
      const timer = setTimeout(resolve, answerMs, undefined);
      say({ id, method: 'elicitation/create', params: formOf(waiting) });
      const answer = await promise;
      clearTimeout(timer);
      this.#inSessions.delete(key);
      const refused = answer && isAgreed(answer['result']) ? undefined : declined(waiting.tool);
      if (refused) {
        const result = failedResult(refused);
        say({ id: errand.id, result });
        waiting.recordRefusal(refused, Buffer.byteLength(JSON.stringify(result)));
        return;
      }
      this.#agreed.add(exchange);
      say({ id: errand.id, ...(await answerOf(waiting, gone.signal, say)) });
    } finally {
      clearInterval(keepAlive);
      forget();
      response.end();
    }
  }
}

async function answerOf(waiting: Waiting, signal: AbortSignal, say: (message: Json) => void) {
  const { admitted, asked } = waiting;
  const { progressToken } = (asked.params['_meta'] ?? {}) as Json;
  const progress: Asked['progress'] = (done, total, message) => {
    if (progressToken === undefined) return;
    const params = { progressToken, progress: done, total, message };
    say({ method: 'notifications/progress', params });
  };
  try {
    return {
      result: await waiting.answer({ exchange: admitted.exchange, isModern: false, signal, progress }),
    };
  } catch (error) {
    if (error instanceof RpcError)
      return {
        error: {
          code: error.code,
          message: error.message,
          ...(error.data !== undefined && { data: error.data }),
        },
      };
    return { error: { code: -32_603, message: `Internal error (ref ${admitted.exchange.trace.traceId}).` } };
  }
}

function refuse(waiting: Waiting, failure: Failure): void {
  const { response, admitted, errand } = waiting;
  waiting.recordRefusal(failure, answerFailure(response, admitted.exchange, errand, failure));
}

/** Which call it is: an answer to one is none to another. */
const callOf = (tool: string, { params }: AskedFor) =>
  createHash('sha256')
    .update(JSON.stringify([tool, params['name'], params['arguments']]))
    .digest('base64');

/** The call as it would have come without a question. */
function withoutAnswer(admitted: Admitted, { params }: AskedFor): Admitted {
  const { requestState: _state, inputResponses: _responses, ...rest } = params;
  const message = { ...(admitted.message as Json), params: rest };
  return { ...admitted, message, body: Buffer.from(JSON.stringify(message)) };
}

/** Whether the client shows forms, which it does unless it says that it only opens pages. */
function canAsk(capabilities: unknown): boolean {
  const { elicitation } = (capabilities ?? {}) as { readonly elicitation?: unknown };
  if (typeof elicitation !== 'object' || elicitation === null) return false;
  return 'form' in elicitation || !('url' in elicitation);
}

function isAgreed(answer: unknown): boolean {
  const { action, content } = (answer ?? {}) as { readonly action?: unknown; readonly content?: unknown };
  return action === 'accept' && ((content ?? {}) as Json)[inputName] === true;
}

function formOf({ tool, service, arguments: args, admitted, errand: { effect } }: Waiting): Json {
  const text = JSON.stringify(args ?? {});
  const shown = `${visible(text.slice(0, mostShown))}${text.length > mostShown ? `… (${text.length} characters)` : ''}`;
  const does = effect === 'destroy' ? 'may destroy or overwrite something' : 'changes something';
  return {
    mode: 'form',
    message: `The client of the token "${admitted.exchange.caller.name}" wants to run ${tool} of ${service}, which ${does}. Arguments: ${shown}`,
    requestedSchema: {
      type: 'object',
      properties: {
        [inputName]: { type: 'boolean', title: `Run ${tool}`, description: 'Whether it may run, this once.' },
      },
      required: [inputName],
    },
  };
}

/** Characters that show nothing, or turn the others round, are told by their numbers. */
const visible = (text: string) =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)?.toString(16)}}`);

/** Also for a call that came where nobody can be asked: one of several in a message, or made by a program. */
export const cannotAsk = (tool: string): Failure => ({
  code: 'forbidden',
  message: `A person has to agree to ${tool}, and this client cannot ask one here.`,
  hint: 'Use a client that shows forms (elicitation), in a session or in the newest revision, and call it alone. Or the operator makes a token that needs no consent: flotilla token create --confirm off.',
});

const declined = (tool: string): Failure => ({
  code: 'cancelled',
  message: `Nobody agreed to ${tool}: nothing was done.`,
  hint: 'Do not call it again unless the user asks for it.',
});

const noQuestion = (tool: string): Failure => ({
  code: 'forbidden',
  message: `This answers no open question about this call of ${tool}: nothing was done.`,
  hint: 'A question is for one call with the same arguments, answered once within five minutes. Call again without requestState to be asked anew.',
});
