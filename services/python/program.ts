/** One Python in its sandbox, and the conversation with it: it works while it is asked something, and stands still in between. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';
import { graceMs, type Account, type Exit, type Launched } from '#runtime/launcher.ts';
import { channelOf } from '#runtime/sandbox.ts';
import type { Precedence } from '#runtime/precedence.ts';
import type { Call } from '#runtime/tool.ts';

import type { Host } from './interpreter.ts';
import {
  drainTimeoutMs,
  maxMessages,
  pieceBytes,
  progressEveryMs,
  shownOutputBytes,
  slowMs,
  startTimeoutMs,
} from './limits.ts';
import { GarbledError, messageOf, messageReader, type Message } from './messages.ts';
import { openOutput, type Output } from './output.ts';

export interface Question {
  readonly head: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
  /** Whether it stays to be asked again. */
  readonly staysAlive: boolean;
  /** Gets what comes before the answer. What it throws ends the program. */
  readonly take?: (message: Message) => void;
  /**
   * Gets what the code wants of others, and answers it once; what it throws ends the program. The time until all of it is answered does
   * not count. Without, nobody answers.
   */
  readonly want?: (message: Message, answer: (data: Uint8Array) => void) => void;
}

export interface Answer extends Account {
  /** What it said when it was done; `undefined` when it ended instead. */
  readonly head: Message['head'] | undefined;
  readonly output: ReturnType<Output['read']>;
  /** Why it was told to stop, if it was. */
  readonly stopped: 'timeout' | 'interrupted' | 'expelled' | undefined;
  /** How it ended, if it did. */
  readonly exit: Exit | undefined;
  /** Processes that a run had started and that were ended after it. */
  readonly endedProcesses: number;
}

export interface Program {
  isAlive(): boolean;
  /** Piece by piece, as it takes them. @throws the reason of `signal`. */
  put(path: string, pieces: Iterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** @throws the reason of `signal`, when it has stopped; ToolError `unavailable` when it does not start. */
  ask(question: Question, call: Pick<Call, 'signal' | 'progress'>): Promise<Answer>;
  /** Until it is asked something again. */
  rest(): ReturnType<Launched['rest']>;
  /** @returns whether it was at work. */
  interrupt(): boolean;
  /** It ends at once: there is no room for it. */
  expel(): void;
  /** Memory of it, and of its files, which are in memory too: when it was last looked at. */
  heldBytes(): number;
  end(): Promise<void>;
}

/** @param owner the token that it works for. @throws ToolError `unavailable`. */
export async function startProgram(host: Host, owner: string, precedence: Precedence): Promise<Program> {
  const program = await host.start();
  const { child } = program;
  const channel = channelOf(child);
  let exit: Exit | undefined;
  /** Of those that wait now. A session lives long: what waits for its end itself would never be forgotten. */
  const leaving = new Set<() => void>();
  const ended = (async () => {
    exit = await program.ended;
    for (const leave of leaving) leave();
  })();
  const untilEnd = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (exit) resolve();
    leaving.add(resolve);
    return { promise, [Symbol.dispose]: () => void leaving.delete(resolve) };
  };
  let first = '';
  child.stderr.on('data', (chunk: Buffer) => (first = (first + chunk.toString()).slice(0, 2_000)));
  let output: Output | undefined;
  child.stdout.on('data', (chunk: Buffer) => output?.take(chunk));
  const { promise: isReady, resolve: ready } = Promise.withResolvers<void>();
  let hasBegun = false;
  let listen: ((message: Message) => void) | undefined;
  let stop: ((why: Answer['stopped']) => void) | undefined;
  let isExpelled = false;
  let messages = 0;
  const read = messageReader((message) => {
    messages += 1;
    if (messages > maxMessages) throw new GarbledError('more than there can be');
    if (message.head['is'] === 'ready') ready();
    else listen?.(message);
  });
  let failed: { readonly error: unknown } | undefined;
  channel.from.on('data', (chunk: Buffer) => {
    if (failed) return;
    try {
      read(chunk);
    } catch (error) {
      failed = { error };
      program.end();
    }
  });
  for (const stream of [channel.from, channel.to, child.stdin]) stream.on('error', () => {});
  child.stdin.end();

  async function begin(): Promise<void> {
    if (hasBegun) return;
    using gone = untilEnd();
    await Promise.race([
      isReady.then(() => (hasBegun = true)),
      gone.promise,
      wait(startTimeoutMs, undefined, { ref: false }),
    ]);
    if (hasBegun) return;
    program.end();
    const why = first.trim().split('\n')[0] || `it ended with ${exit?.code ?? exit?.signal ?? 'no word'}`;
    throw new ToolError('unavailable', `Python does not start in its sandbox: ${why}.`, {
      hint: 'The operator finds what is missing with: flotilla doctor.',
    });
  }

  async function ask(
    question: Question,
    { signal, progress }: Pick<Call, 'signal' | 'progress'>,
  ): Promise<Answer> {
    signal.throwIfAborted();
    await begin();
    const { head, timeoutMs, staysAlive, take, want } = question;
    if (signal.aborted && staysAlive) await program.rest();
    signal.throwIfAborted();
    messages = 0;
    program.goOn();
    const watching = program.watch();
    const mark = `\0${randomBytes(12).toString('hex')}\0`;
    const heard = (output = openOutput(mark, shownOutputBytes));
    const { promise: done, resolve } = Promise.withResolvers<Message['head'] | undefined>();
    let grace: NodeJS.Timeout | undefined;
    /** Code hears an interrupt from here on. */
    let hasCode = head['op'] !== 'run';
    let unanswered = 0;
    using clock = openClock(timeoutMs, () => stop?.('timeout'));
    listen = (message) => {
      if (message.head['is'] === 'begun' && !hasCode) {
        hasCode = true;
        if (grace) program.tell('SIGINT');
      } else if (message.head['is'] === 'done') resolve(message.head);
      else if (message.head['is'] === 'call' && want) {
        unanswered += 1;
        clock.stop();
        want(message, (data) => {
          unanswered -= 1;
          if (unanswered === 0) clock.goOn();
          channel.to.write(messageOf({ id: message.head['id'] }, data));
        });
      } else take?.(message);
    };
    using gone = untilEnd();
    void gone.promise.then(() => resolve(undefined));
    const turn = precedence.enter(owner, signal);
    turn.begin((isHalted) => (isHalted ? program.tell('SIGSTOP') : program.goOn()));
    let stopped: Answer['stopped'];
    stop = (why) => {
      stopped ??= why;
      // It goes on to its end.
      turn.leave();
      if (hasCode) program.tell('SIGINT');
      grace ??= setTimeout(() => program.end(), graceMs);
    };
    const cancel = () => stop?.(undefined);
    signal.addEventListener('abort', cancel, { once: true });
    clock.goOn();
    // What takes long gives way to what does not. A session would have its low priority for ever.
    const easing = setTimeout(() => {
      turn.isLong();
      if (!staysAlive) program.easeOff();
    }, slowMs);
    const startedAtMs = performance.now();
    const telling = setInterval(() => {
      const seconds = Math.round((performance.now() - startedAtMs) / 1_000);
      progress(
        seconds,
        Math.ceil(timeoutMs / 1_000),
        `Running for ${seconds} s, ${heard.read().bytes} bytes of output`,
      );
    }, progressEveryMs);
    try {
      channel.to.write(messageOf({ ...head, mark }));
      const said = await done;
      turn.leave();
      clearTimeout(grace);
      clock[Symbol.dispose]();
      if (said && head['op'] === 'run')
        await Promise.race([heard.isWhole, gone.promise, wait(drainTimeoutMs, undefined, { ref: false })]);
      const account = watching.account();
      const heardOutput = heard.read();
      // Without the mark.
      const usage = { ...account.usage, outputBytes: heardOutput.bytes };
      const resting = staysAlive && !exit ? await program.rest() : undefined;
      if (!resting) await end();
      signal.throwIfAborted();
      if (failed && !(failed.error instanceof GarbledError)) throw failed.error;
      return {
        head: said,
        output: heardOutput,
        stopped: isExpelled ? 'expelled' : stopped,
        exit,
        endedProcesses: resting?.ended ?? 0,
        ...account,
        usage,
      };
    } finally {
      turn.leave();
      clearTimeout(grace);
      clearTimeout(easing);
      clearInterval(telling);
      signal.removeEventListener('abort', cancel);
      watching.account();
      listen = undefined;
      stop = undefined;
      output = undefined;
    }
  }

  async function end(): Promise<void> {
    program.end();
    await ended;
  }

  return {
    isAlive: () => exit === undefined,
    async put(path, pieces, signal) {
      await begin();
      program.goOn();
      using gone = untilEnd();
      let isFirst = true;
      for (const piece of pieces) {
        if (!channel.to.write(messageOf({ op: 'put', path, isFirst }, piece))) {
          await Promise.race([once(channel.to, 'drain', { signal }), gone.promise]);
        }
        isFirst = false;
      }
      if (isFirst) channel.to.write(messageOf({ op: 'put', path, isFirst }));
    },
    ask,
    rest: program.rest,
    interrupt() {
      stop?.('interrupted');
      return stop !== undefined;
    },
    expel() {
      isExpelled = true;
      program.end();
    },
    heldBytes() {
      const { memoryBytes, diskBytes } = program.seen();
      return exit ? 0 : memoryBytes + diskBytes;
    },
    end,
  };
}

/** Acts when it has run for so long, the time that it stood still not counted. */
function openClock(mostMs: number, act: () => void) {
  let leftMs = mostMs;
  let sinceMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const stop = () => {
    if (!timer) return;
    clearTimeout(timer);
    timer = undefined;
    leftMs -= performance.now() - sinceMs;
  };
  return {
    stop,
    goOn() {
      if (timer || isOver) return;
      sinceMs = performance.now();
      timer = setTimeout(act, Math.max(0, leftMs));
    },
    [Symbol.dispose]() {
      stop();
      isOver = true;
    },
  };
}

export const piecesOf = function* (bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
};
