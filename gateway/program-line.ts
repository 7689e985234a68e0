/** One program at the python service: it says line by line what it wants, and gets what comes of it, until it is done. */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { errorCodes, ToolError, type ErrorCode } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';

import { LineError } from './line.ts';
import type { Upstream } from './upstream.ts';

/** A line holds an image, or the arguments of a call. */
const longestLineChars = 8 * 1024 * 1024;
const answerTimeoutMs = 20_000;
const mostAnswerBytes = 10_000;
/** A token that was made a moment ago may be unknown to the service still. */
const unknownMs = 50;
/** How long the end of a program may take to be told. */
const tellingMs = 1_000;
/** With all calls that it makes. */
const longestMs = 15 * 60_000;

export interface Work {
  readonly code: string;
  readonly timeoutMs: number;
}

/** A call that the program wants to be made. */
export interface Wanted {
  readonly number: number;
  readonly name: string;
  readonly arguments: unknown;
}

const eventSchema = z.discriminatedUnion('is', [
  z.object({ is: z.literal('begun'), program: z.string() }),
  z.object({ is: z.literal('call'), number: z.int(), name: z.string(), arguments: z.unknown() }),
  z.object({ is: z.literal('image'), data: z.string() }),
  z.object({
    is: z.literal('done'),
    status: z.enum(['success', 'run-error']),
    output: z.string(),
    value: z.string().optional(),
    error: z.string().optional(),
    isCut: z.boolean(),
    isLate: z.boolean(),
    limits: z.array(z.string()),
    notes: z.array(z.string()),
  }),
  z.object({
    is: z.literal('failed'),
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]).exclude(['internal']),
    message: z.string(),
    hint: z.string().optional(),
    retryAfterMs: z.number().optional(),
  }),
]);
type Event = z.output<typeof eventSchema>;

export type Done = Extract<Event, { is: 'done' }> & { readonly images: readonly string[] };

/**
 * @param answer makes a call, and says in JSON what came of it.
 * @throws ToolError where it does not come to its end; the reason of `signal`
 */
export async function converse(
  python: Pick<Upstream, 'name' | 'trouble' | 'isUp' | 'line'>,
  authorization: () => string,
  work: Work,
  signal: AbortSignal,
  answer: (wanted: Wanted, signal: AbortSignal) => Promise<string>,
): Promise<Done> {
  if (!(await orStopped(python.isUp(), signal)))
    throw new ToolError(
      'unavailable',
      `${python.name} cannot be called now: ${python.trouble ?? 'it went away'}.`,
    );
  for (let isLast = false; ; isLast = true) {
    // oxlint-disable-next-line no-await-in-loop -- once more at most
    const done = await attempt(python, authorization, work, signal, answer);
    if (done) return done;
    if (isLast) throw new ToolError('unavailable', `${python.name} does not accept the gateway.`);
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await sleep(unknownMs);
  }
}

/** @returns `undefined` where the service does not know who calls: nothing was done then. */
async function attempt(
  { line, name }: Pick<Upstream, 'name' | 'line'>,
  authorization: () => string,
  work: Work,
  signal: AbortSignal,
  answer: (wanted: Wanted, signal: AbortSignal) => Promise<string>,
): Promise<Done | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Done | undefined>();
  const headers = () => ['content-type', 'application/json', 'authorization', `Bearer ${authorization()}`];
  /** Of the calls: what is wanted of them ends with the program. */
  const calls = new AbortController();
  const images: string[] = [];
  let done: Done | undefined;
  let program = '';
  let made = 0;

  const broke = (reason: string) =>
    reject(
      new ToolError('unavailable', `${name} went away before the program ended: ${reason}.`, {
        hint: `It had made ${made} calls. What they did is done: look before you run it again.`,
      }),
    );

  async function make(wanted: Wanted): Promise<void> {
    made += 1;
    const data = await answer(wanted, calls.signal);
    if (calls.signal.aborted) return;
    const { status } = await line.ask(headers(), data, {
      timeoutMs: answerTimeoutMs,
      maxBytes: mostAnswerBytes,
      path: `/programs/answers?program=${program}&call=${wanted.number}`,
      signal: calls.signal,
    });
    // Nobody waits for it: the program has ended, which its stream tells, or this is another process already.
    if (status === 404) setTimeout(broke, tellingMs, 'it was started anew').unref();
    else if (status !== 204) throw new LineError(`it answers with status ${status}`, true);
  }

  function take(event: Event): void {
    if (event.is === 'begun') program = event.program;
    else if (event.is === 'image') images.push(event.data);
    else if (event.is === 'done') {
      done = { ...event, images };
      calls.abort();
    } else if (event.is === 'call') {
      make(event).catch((error: unknown) => {
        if (calls.signal.aborted) return;
        if (error instanceof LineError) broke(error.message);
        else reject(error);
      });
    } else {
      const { code, message, hint, retryAfterMs } = event;
      const more = {
        ...(hint !== undefined && { hint }),
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      };
      reject(new ToolError(code, message, more));
    }
  }

  let status = 0;
  let rest = '';
  const decoder = new TextDecoder();
  const sent = line.send(
    headers(),
    JSON.stringify(work),
    {
      start: (answered) => void (status = answered),
      data(chunk) {
        if (status !== 200) return true;
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
        rest = lines.pop() ?? '';
        try {
          if (rest.length > longestLineChars) throw new SyntaxError('too long');
          for (const text of lines) take(eventSchema.parse(JSON.parse(text)));
        } catch {
          broke('what it says is no answer');
        }
        return true;
      },
      end() {
        if (done || status === 401) resolve(done);
        else if (status === 200) broke('it broke off');
        else
          reject(
            new ToolError('unavailable', `${name} runs no program now: it answers with status ${status}.`),
          );
      },
      fail: ({ message }) => broke(message),
    },
    '/programs',
  );
  const stop = () => reject(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const timer = setTimeout(
    () => reject(new ToolError('timeout', `The program was stopped after ${longestMs / 1_000} s.`)),
    longestMs,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    calls.abort();
    // This ends the program, unless it has ended.
    sent.abort();
  }
}
