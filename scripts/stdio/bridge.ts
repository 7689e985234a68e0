/**
 * Carries MCP between a client that speaks over standard input and output and a server that speaks over HTTP: each message as it is,
 * both ways, of both eras. What HTTP wants beside the message is made here: headers, the session of the older era, and streams that
 * open again by themselves. It uses nothing but Node, so that it runs wherever a client starts it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable, Writable } from 'node:stream';

import { linesOf, writeLine } from './lines.ts';
import {
  canRepeat,
  headersOf,
  isNotification,
  isRequest,
  mirrorsIn,
  parseMessage,
  revisionOf,
  type Message,
  type Mirror,
} from './message.ts';
import { exchange, type Outcome } from './wire.ts';

export interface BridgeOptions {
  readonly url: URL;
  /** Asked for each request: a token may be replaced while a client runs. @throws Error that says what to do. */
  readonly token: () => string;
  readonly input: Readable;
  readonly output: Writable;
  /** What a person should know: never on the output, which carries the protocol alone. */
  readonly tell: (line: string) => void;
  /** What to do when nothing answers. */
  readonly remedy: string;
  /** Ends it at once. */
  readonly stop: AbortSignal;
  /** How long a request waits for a server that does not answer: as long as a restart takes. */
  readonly patienceMs?: number;
}

const defaultPatienceMs = 15_000;
/** What runs when the input ends may come to its end. */
const graceMs = 10_000;
const goodbyeMs = 1_000;
const shortestDelayMs = 50;
const longestDelayMs = 1_000;
/** Messages that wait: no more is read while there are so many. */
const mostWaiting = 4_096;
/** Requests on the way at once: a token may hold a quarter of a service's 4,096 connections. */
const mostAtOnce = 256;

const parseError = -32_700;
const invalidRequest = -32_600;
const internalError = -32_603;

/** A request whose answer is due. */
interface Running {
  readonly controller: AbortController;
  readonly isModern: boolean;
  readonly isStanding: boolean;
  /** Nobody waits for the answer any more. */
  isCancelled: boolean;
}

interface Session {
  /** What it began with, to begin another one. */
  readonly opening: Buffer;
  id: string | undefined;
  revision: string | undefined;
}

/** Ends with the input, or when it is stopped. */
export async function bridge(options: BridgeOptions): Promise<void> {
  const { url, input, output, tell, remedy, stop, patienceMs = defaultPatienceMs } = options;
  const running = new Map<string, Running>();
  const work = new Set<Promise<void>>();
  const ending = new AbortController();
  /** Who has no more to say does not wait for a server to come back. */
  const inputEnd = new AbortController();
  const over = AbortSignal.any([stop, ending.signal]);
  let mirrors: ReadonlyMap<string, readonly Mirror[]> = new Map();
  let session: Session | undefined;
  /** What a session was told besides, to be told to the next one. */
  const standing = new Map<string, Message>();
  let renewing: Promise<void> | undefined;
  let listening: AbortController | undefined;
  /** What comes later in the older era waits for it: the beginning of the session, and notifications in their order. */
  let before: Promise<unknown> = Promise.resolve();
  let isDown = false;
  const enter = openDoor(mostAtOnce);

  const write = async (line: string) => writeLine(output, line);
  const writeError = async (id: unknown, code: number, message: string, data?: object) =>
    write(JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...(data && { data }) } }));

  /** Whatever happens to one message, the others go on. */
  function start(task: Promise<void>): Promise<void> {
    const caught = task.catch((error: unknown) =>
      tell(error instanceof Error ? (error.stack ?? '') : String(error)),
    );
    work.add(caught);
    void caught.then(() => work.delete(caught));
    return caught;
  }

  async function send(
    body: Buffer | undefined,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    onMessage: (line: string) => Promise<void>,
    method: 'POST' | 'GET' | 'DELETE' = 'POST',
  ): Promise<Outcome> {
    return exchange({
      url,
      method,
      headers: {
        authorization: `Bearer ${options.token()}`,
        accept: method === 'POST' ? 'application/json, text/event-stream' : 'text/event-stream',
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body && { body }),
      signal,
      onMessage,
    });
  }

  /** Again and again as long as nothing was done, and patience lasts. */
  async function patiently(
    signal: AbortSignal,
    mayRepeat: boolean,
    attempt: () => Promise<Outcome>,
    mostMs = patienceMs,
  ): Promise<Outcome> {
    const until = performance.now() + mostMs;
    let hasToken = true;
    for (let delayMs = shortestDelayMs; ; delayMs = Math.min(2 * delayMs, longestDelayMs)) {
      const outcome = await attempt();
      if (outcome.kind === 'answered') {
        if (isDown) tell('It answers again.');
        isDown = false;
        return outcome;
      }
      // Another token may have been put in its place.
      const isRefused = outcome.kind === 'refused' && outcome.status === 401 && hasToken;
      if (isRefused) hasToken = false;
      const isBusy = outcome.kind === 'refused' && (outcome.status === 503 || outcome.status === 429);
      const isGone = outcome.kind === 'failed' && (mayRepeat || !outcome.wasSent);
      const isOver = signal.aborted || inputEnd.signal.aborted;
      if (isOver || !(isRefused || isBusy || isGone)) return outcome;
      const asked = outcome.kind === 'refused' ? Number(outcome.headers['retry-after'] ?? 0) * 1_000 : 0;
      const waitMs = Math.max(delayMs, asked || 0);
      if (performance.now() + waitMs > until) return outcome;
      if (isGone && !isDown) {
        isDown = true;
        tell(`Nothing answers on ${url.href}; waiting. ${remedy}`);
      }
      const awake = AbortSignal.any([signal, inputEnd.signal]);
      await sleep(waitMs, undefined, { signal: awake }).catch(() => {});
      if (awake.aborted) return outcome;
    }
  }

  const legacyHeaders = (): Record<string, string> => ({
    ...(session?.revision !== undefined && { 'mcp-protocol-version': session.revision }),
    ...(session?.id !== undefined && { 'mcp-session-id': session.id }),
  });

  const isSessionGone = (outcome: Outcome, asked: string | undefined) =>
    outcome.kind === 'refused' && outcome.status === 404 && asked !== undefined && session !== undefined;

  /** One message of the older era in its session: in a new one when the server does not know the old one any more. */
  async function inSession(
    mayRepeat: boolean,
    signal: AbortSignal,
    attempt: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const asked = session?.id;
    const outcome = await patiently(signal, mayRepeat, attempt);
    if (!isSessionGone(outcome, asked)) return outcome;
    await renew(asked);
    return patiently(signal, mayRepeat, attempt);
  }

  async function renew(gone: string | undefined): Promise<void> {
    if (session?.id !== gone) return;
    renewing ??= beginAgain().finally(() => (renewing = undefined));
    await renewing;
  }

  async function beginAgain(): Promise<void> {
    if (!session) return;
    const { opening } = session;
    session.id = undefined;
    session.revision = undefined;
    const outcome = await patiently(over, true, async () => send(opening, {}, over, rememberRevision));
    rememberSession(outcome);
    const told = [{ jsonrpc: '2.0', method: 'notifications/initialized' }, ...standing.values()];
    for (const [at, message] of told.entries()) {
      const again = 'id' in message ? { ...message, id: `flotilla-stdio-${at}` } : message;
      await send(Buffer.from(JSON.stringify(again)), legacyHeaders(), over, nobody);
    }
    // What changed meanwhile was told to nobody.
    for (const { method, params } of standing.values()) {
      if (method !== 'resources/subscribe') continue;
      await write(
        JSON.stringify({
          jsonrpc: '2.0',
          method: 'notifications/resources/updated',
          params: { uri: params?.['uri'] },
        }),
      );
    }
    listen();
  }

  async function rememberRevision(line: string): Promise<void> {
    const { result } = parseMessage(line) as Message;
    const { protocolVersion } = (result ?? {}) as { readonly protocolVersion?: unknown };
    if (session && typeof protocolVersion === 'string') session.revision = protocolVersion;
  }

  function rememberSession(outcome: Outcome): void {
    if (outcome.kind !== 'answered' || !session) return;
    const id = outcome.headers['mcp-session-id'];
    session.id = typeof id === 'string' ? id : undefined;
  }

  /** What a server says and asks in a session without being asked: its stream is opened again whenever it ends. */
  function listen(): void {
    listening?.abort();
    const mine = new AbortController();
    listening = mine;
    const signal = AbortSignal.any([over, mine.signal]);
    const hear = async () => {
      for (let delayMs = shortestDelayMs; !signal.aborted; delayMs = Math.min(2 * delayMs, longestDelayMs)) {
        const asked = session?.id;
        if (asked === undefined) return;
        const outcome = await send(undefined, legacyHeaders(), signal, write, 'GET');
        if (signal.aborted) return;
        if (isSessionGone(outcome, asked)) {
          await renew(asked);
          return;
        }
        const isBusy = outcome.kind === 'refused' && outcome.status === 503;
        // It offers none.
        if (outcome.kind === 'refused' && !isBusy) return;
        if (outcome.kind === 'answered') delayMs = shortestDelayMs;
        await sleep(delayMs, undefined, { signal }).catch(() => {});
      }
    };
    void start(hear());
  }

  async function answerFailure(
    message: Message,
    outcome: Exclude<Outcome, { kind: 'answered' }>,
  ): Promise<void> {
    const { id } = message;
    if (outcome.kind === 'failed') {
      const text =
        outcome.wasSent && !canRepeat(message)
          ? `The connection to ${url.href} ended before the answer (${outcome.reason}). Whether it was done is not known: look before you ask for it again.`
          : `There is no answer from ${url.href} (${outcome.reason}). ${remedy}`;
      await writeError(id, internalError, text, { wasSent: outcome.wasSent });
      return;
    }
    const { status, text } = outcome;
    const given = errorIn(text);
    if (status !== 401 && given?.id === id && given !== undefined)
      await write(text.trim().replaceAll(/[\r\n]+/g, ' '));
    else if (status === 401)
      await writeError(
        id,
        internalError,
        `${url.href} refuses the token: it is unknown, revoked or expired. Put one that is good in its place, and try again.`,
        { status },
      );
    else if (given?.error) await write(JSON.stringify({ jsonrpc: '2.0', id, error: given.error }));
    else await writeError(id, internalError, `${url.href} answers with status ${status}.`, { status });
  }

  async function request(body: Buffer, message: Message, isReady: Promise<unknown>): Promise<void> {
    const key = JSON.stringify(message.id);
    const revision = revisionOf(message);
    const isStanding = message.method === 'subscriptions/listen';
    const controller = new AbortController();
    const mine = { controller, isModern: revision !== undefined, isStanding, isCancelled: false };
    const signal = AbortSignal.any([over, controller.signal]);
    running.set(key, mine);
    let leave: (() => void) | undefined;
    try {
      await isReady;
      if (!isStanding) leave = await enter();
      if (signal.aborted) return;
      if (isStanding) await subscribe(body, message, revision ?? '', signal);
      else await ask(body, message, revision, signal, mine);
    } catch (error) {
      // Such as no token to be found.
      if (!signal.aborted)
        await writeError(message.id, internalError, error instanceof Error ? error.message : String(error));
    } finally {
      if (running.get(key) === mine) running.delete(key);
      leave?.();
    }
  }

  async function ask(
    body: Buffer,
    message: Message,
    revision: string | undefined,
    signal: AbortSignal,
    mine: Pick<Running, 'isCancelled'>,
  ): Promise<void> {
    let isAnswered = false;
    const relay = async (line: string) => {
      const came = parseMessage(line);
      const answer = !Array.isArray(came) && !(came as Message).method ? (came as Message) : undefined;
      if (answer && JSON.stringify(answer.id) === JSON.stringify(message.id)) {
        isAnswered = true;
        if (message.method === 'tools/list') mirrors = new Map([...mirrors, ...mirrorsIn(answer)]);
        if (message.method === 'initialize') await rememberRevision(line);
        if (mine.isCancelled) return;
      }
      await write(line);
    };
    if (message.method === 'initialize') session = { opening: body, id: undefined, revision: undefined };
    const attempt = async () => {
      const headers = revision === undefined ? legacyHeaders() : headersOf(message, revision, mirrors);
      const outcome = await send(body, headers, signal, relay);
      return outcome.kind === 'answered' && !isAnswered && !mine.isCancelled ? cut : outcome;
    };
    const outcome = await (revision === undefined
      ? inSession(canRepeat(message), signal, attempt)
      : patiently(signal, canRepeat(message), attempt));
    if (message.method === 'initialize') rememberSession(outcome);
    remember(message);
    if (isAnswered || signal.aborted || mine.isCancelled || outcome.kind === 'answered') return;
    await answerFailure(message, outcome);
  }

  function remember(message: Message): void {
    const { method, params } = message;
    const uri = String(params?.['uri']);
    if (method === 'resources/subscribe') standing.set(uri, message);
    else if (method === 'resources/unsubscribe') standing.delete(uri);
    else if (method === 'logging/setLevel') standing.set('', message);
  }

  /** A subscription of the newer era: opened again whenever its stream ends, so that the client need not know. */
  async function subscribe(
    body: Buffer,
    message: Message,
    revision: string,
    signal: AbortSignal,
  ): Promise<void> {
    let last: string | undefined;
    let isOpen = false;
    let wasOpen = false;
    const relay = async (line: string) => {
      const came = parseMessage(line) as Message;
      if (came.method === undefined) {
        last = line;
        return;
      }
      if (came.method !== 'notifications/subscriptions/acknowledged') return write(line);
      isOpen = true;
      if (wasOpen) return tellMissed(message.id, came.params ?? {});
      wasOpen = true;
      return write(line);
    };
    const attempt = async () => send(body, headersOf(message, revision, mirrors), signal, relay);
    while (!signal.aborted) {
      isOpen = false;
      const outcome = await patiently(signal, true, attempt, wasOpen ? Infinity : patienceMs);
      if (signal.aborted) return;
      if (!isOpen) {
        if (last === undefined) await answerFailure(message, outcome.kind === 'answered' ? cut : outcome);
        else await write(last);
        return;
      }
      await sleep(longestDelayMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Whatever changed while the stream was away. */
  async function tellMissed(
    id: unknown,
    { notifications }: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const accepted = (notifications ?? {}) as Readonly<Record<string, unknown>>;
    const tellOf = async (what: string, more: object = {}) =>
      write(
        JSON.stringify({
          jsonrpc: '2.0',
          method: `notifications/${what}`,
          params: { ...more, _meta: { 'io.modelcontextprotocol/subscriptionId': id } },
        }),
      );
    if (accepted['toolsListChanged']) await tellOf('tools/list_changed');
    if (accepted['resourcesListChanged']) await tellOf('resources/list_changed');
    if (accepted['promptsListChanged']) await tellOf('prompts/list_changed');
    const uris = accepted['resourceSubscriptions'];
    for (const uri of Array.isArray(uris) ? (uris as readonly unknown[]) : [])
      await tellOf('resources/updated', { uri });
  }

  /** What nobody waits for an answer to: a notification, or the answer to what the server asked. */
  async function deliver(body: Buffer, message: Message, isReady: Promise<unknown>): Promise<void> {
    await isReady;
    const revision = revisionOf(message);
    try {
      const outcome = await (revision === undefined
        ? inSession(false, over, async () => send(body, legacyHeaders(), over, write))
        : patiently(over, false, async () => send(body, headersOf(message, revision, mirrors), over, write)));
      if (outcome.kind !== 'answered' && !over.aborted) {
        const why = outcome.kind === 'failed' ? outcome.reason : `status ${outcome.status}`;
        tell(`${message.method ?? 'An answer'} was not delivered: ${why}.`);
      }
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
    }
    if (message.method === 'notifications/initialized') listen();
  }

  /** Several messages in one, as revision 2025-03-26 has them: answered as the server does. */
  async function deliverBatch(body: Buffer, isReady: Promise<unknown>): Promise<void> {
    await isReady;
    const outcome = await inSession(false, over, async () => send(body, legacyHeaders(), over, write));
    if (outcome.kind !== 'answered' && !over.aborted) await answerFailure({ id: null }, outcome);
  }

  /** @returns whether the message was meant for this bridge alone. */
  function cancel({ params }: Message): boolean {
    const found = running.get(JSON.stringify(params?.['requestId']));
    if (!found) return true;
    found.isCancelled = true;
    // In a session, only its own word cancels a call.
    if (!found.isModern && session?.id !== undefined) return false;
    found.controller.abort();
    return true;
  }

  function take(line: Buffer): void {
    let message: Message | readonly Message[];
    try {
      message = parseMessage(line.toString());
    } catch {
      void start(writeError(null, parseError, 'The line is no JSON-RPC message.'));
      return;
    }
    if (Array.isArray(message)) {
      void start(deliverBatch(line, before));
      return;
    }
    const one = message as Message;
    if (one.method === 'notifications/cancelled' && cancel(one)) return;
    const isLater = revisionOf(one) === undefined;
    const isReady = isLater ? before : Promise.resolve();
    const task = start(isRequest(one) ? request(line, one, isReady) : deliver(line, one, isReady));
    if (isLater && (one.method === 'initialize' || isNotification(one))) before = task;
  }

  const closing = new Promise<'closed'>((resolve) => {
    output.once('close', () => resolve('closed'));
    output.once('error', () => resolve('closed'));
    stop.addEventListener('abort', () => resolve('closed'), { once: true });
  });
  const reading = (async () => {
    for await (const line of linesOf(input)) {
      if (line === undefined) await writeError(null, invalidRequest, 'The message is too long.');
      else take(line);
      if (work.size >= mostWaiting) await Promise.race(work);
    }
  })();
  const isEnded = await Promise.race([
    reading.then(
      () => 'ended' as const,
      () => 'ended' as const,
    ),
    closing,
  ]);
  if (isEnded === 'ended') {
    inputEnd.abort();
    for (const { isStanding, controller } of running.values()) if (isStanding) controller.abort();
    listening?.abort();
    const finished = new AbortController();
    const late = sleep(graceMs, undefined, { signal: finished.signal }).catch(() => {});
    await Promise.race([Promise.all(work), late, closing]);
    finished.abort();
  }
  ending.abort();
  if (session?.id !== undefined) {
    await send(undefined, legacyHeaders(), AbortSignal.timeout(goodbyeMs), nobody, 'DELETE').catch(() => {});
  }
}

const nobody = async () => {};

/** The answer ended without what was asked for. */
const cut = { kind: 'failed', wasSent: true, reason: 'the answer was cut off' } as const;

function errorIn(text: string): { readonly id?: unknown; readonly error: unknown } | undefined {
  try {
    const value = JSON.parse(text) as { readonly id?: unknown; readonly error?: unknown } | null;
    return value?.error === undefined ? undefined : { id: value.id, error: value.error };
  } catch {
    return undefined;
  }
}

/** Lets so many in at once. @returns how to leave. */
function openDoor(most: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let inside = 0;
  const leave = () => {
    const next = waiting.shift();
    if (next) next();
    else inside -= 1;
  };
  return async () => {
    if (inside < most) inside += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    return leave;
  };
}
