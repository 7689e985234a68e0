/**
 * Programs that the gateway runs for a caller. Their code calls tools of the fleet: what it wants goes to the gateway as lines of
 * the one answer that stays open as long as the program runs, and what the tools answer comes back as a request each. The program
 * ends with that answer, whoever ends it.
 */
import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import { cancelled, ToolError } from '#runtime/errors.ts';
import { bodyOf } from '#runtime/request-body.ts';
import type { Route } from '#runtime/service.ts';

import { resultOf } from './answer.ts';
import {
  maxCallAnswerBytes,
  maxCallNameLength,
  maxCallsAtOnce,
  maxCodeLength,
  maxProgramBytes,
  maxTimeoutMs,
} from './limits.ts';
import { GarbledError, type Message } from './messages.ts';
import { programNotes } from './notes.ts';
import type { Done, Python, Running, Work } from './python.ts';

type Reply = (data: Uint8Array) => void;
type Tell = (event: object) => void;

type Programs = ReturnType<typeof openPrograms>;

export function openPrograms({ runAlone }: Pick<Python, 'runAlone'>) {
  /** By a name that only the gateway is told. */
  const running = new Map<string, { readonly caller: string; readonly replies: Map<number, Reply> }>();

  async function conduct(work: Work, call: Running, tell: Tell): Promise<void> {
    const id = randomBytes(16).toString('hex');
    const replies = new Map<number, Reply>();
    running.set(id, { caller: call.caller, replies });
    tell({ is: 'begun', program: id });
    try {
      const done = await runAlone(work, call, (message, reply) => {
        const wanted = wantedIn(message);
        if (replies.size >= maxCallsAtOnce || replies.has(wanted.number))
          throw new GarbledError('too many calls');
        replies.set(wanted.number, reply);
        tell({ is: 'call', ...wanted });
      });
      for (const image of done.images) tell({ is: 'image', data: image.toString('base64') });
      tell(doneEvent(done, work));
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      const { code, message, hint, retryAfterMs } = error;
      tell({ is: 'failed', code, message, hint, retryAfterMs });
    } finally {
      running.delete(id);
    }
  }

  function begin(work: Work, caller: string): ReadableStream<Uint8Array> {
    const stop = new AbortController();
    const { signal } = stop;
    return new ReadableStream<Uint8Array>({
      start(controller) {
        // Whoever has gone is told nothing more.
        const whenHeard = (act: () => void) => void (signal.aborted || act());
        const tell: Tell = (event) =>
          whenHeard(() => controller.enqueue(Buffer.from(`${JSON.stringify(event)}\n`)));
        conduct(work, { caller, signal, progress: () => {} }, tell).then(
          () => whenHeard(() => controller.close()),
          (error: unknown) => controller.error(error),
        );
      },
      cancel: () => stop.abort(cancelled()),
    });
  }

  /** @returns whether the program still waits for it. */
  function answer(id: string, caller: string, number: number, data: Uint8Array): boolean {
    const program = running.get(id);
    const reply = program?.caller === caller ? program.replies.get(number) : undefined;
    program?.replies.delete(number);
    reply?.(data);
    return reply !== undefined;
  }

  return { begin, answer };
}

/** What code says that it wants. @throws GarbledError, for the runner says nothing else. */
function wantedIn({ head: { id, name }, data }: Message) {
  if (!Number.isSafeInteger(id) || typeof name !== 'string' || name.length > maxCallNameLength)
    throw new GarbledError('no call');
  try {
    return { number: Number(id), name, arguments: JSON.parse(data.toString()) as unknown };
  } catch (cause) {
    throw new GarbledError('no arguments', { cause });
  }
}

function doneEvent(done: Done, { code, timeoutMs }: Work) {
  const { status, output, text, error, isCut, limits } = resultOf(done, timeoutMs);
  const notes = programNotes(done, code, error);
  const isLate = done.stopped === 'timeout';
  return { is: 'done', status, output: output.join('\n'), value: text, error, isCut, limits, notes, isLate };
}

const programSchema = z.strictObject({
  code: z.string().max(maxCodeLength),
  timeoutMs: z.int().min(1).max(maxTimeoutMs),
});

export const programRoutes: readonly Route<Python & { readonly programs: Programs }>[] = [
  {
    path: '/programs',
    method: 'POST',
    access: 'gateway',
    effect: 'write',
    async handle(request, { programs }, caller) {
      const body = Buffer.from(await bodyOf(request, maxProgramBytes)).toString();
      const { code, timeoutMs } = programSchema.parse(JSON.parse(body));
      const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };
      return new Response(programs.begin({ code, globals: {}, timeoutMs }, caller), { headers });
    },
  },
  {
    // It changes nothing that is kept, and is a part of what was recorded when the program began.
    path: '/programs/answers',
    method: 'POST',
    access: 'gateway',
    async handle(request, { programs }, caller) {
      const { searchParams } = new URL(request.url);
      const data = await bodyOf(request, maxCallAnswerBytes);
      const number = Number(searchParams.get('call'));
      const isWanted = programs.answer(searchParams.get('program') ?? '', caller, number, data);
      return new Response(null, { status: isWanted ? 204 : 404 });
    },
  },
];
