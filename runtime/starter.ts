/**
 * Starts programs without holding the loop. A fork of this process copies the tables of all its memory: some 4 ms for 120 MB,
 * and 13 for 270, in which nobody is answered. So a small process of its own forks (`starter.pl`), and this one opens its
 * ends of the pipes.
 */
import { spawn, type ChildProcessByStdio, type StdioOptions } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { constants as files, existsSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { getSystemErrorMap } from 'node:util';

/** A program, and the process that it becomes is the leader of a group. */
export interface Order {
  /** Absolute. */
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** What it finds to read at the numbers from 3 on: none, or two. */
  readonly inputs: readonly Uint8Array[];
  readonly hasChannel: boolean;
}

/** Says `exit` and `close` as a process of Node does, or `error` when it could not be started. */
export interface Child extends EventEmitter {
  readonly pid?: number | undefined;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** By their numbers in the program. */
  readonly stdio: readonly (Readable | Writable | null | undefined)[];
  kill(signal?: NodeJS.Signals): boolean;
}

/** Beside this process, or by this process itself where nothing else can. */
export async function startProgram(order: Order): Promise<Child> {
  return (await startBeside(order)) ?? startHere(order);
}

/** @returns `undefined` where nothing can start it but this process itself. */
export async function startBeside(order: Order): Promise<Child | undefined> {
  starter ??= openStarter();
  return starter?.start(order);
}

export type Process = ChildProcessByStdio<Writable, Readable, Readable>;

/** At once, which holds the loop the longer the more memory this process has. */
export function startHere({ file, args, cwd, env, inputs, hasChannel }: Order): Process {
  const between = hasChannel ? ['ignore' as const, 'ignore' as const] : [];
  const stdio: StdioOptions = [
    ...(['pipe', 'pipe', 'pipe'] as const),
    ...(inputs.length > 0 ? inputs.map(() => 'pipe' as const) : between),
    ...(hasChannel ? (['pipe', 'pipe'] as const) : []),
  ];
  const child = spawn(file, args, { cwd, env, stdio, detached: true });
  inputs.forEach((bytes, index) => {
    const pipe = child.stdio[3 + index] as Writable;
    // One that failed to start reads none of it, which its exit tells better.
    pipe.on('error', () => {});
    pipe.end(bytes);
  });
  return child as Process;
}

const perl = '/usr/bin/perl';
const script = fileURLToPath(new URL('starter.pl', import.meta.url));
const procOf = (pid: number) => `/proc/${pid}/fd`;

type Starter = NonNullable<ReturnType<typeof openStarter>>;

/** `null` where there can be none. */
let starter: Starter | null | undefined;

interface Waiting {
  readonly started: (child: Child | undefined) => void;
  child: Started | undefined;
}

/** @returns `null` where it cannot be. */
function openStarter() {
  if (!existsSync(perl) || !existsSync(procOf(process.pid))) return null;
  const own = spawn(perl, [script, process.arch], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const waiting = new Map<string, Waiting>();
  let orders = 0;
  let hasAnswered = false;
  let isGone = false;

  /** It keeps this process from ending while it has something to say, and not longer. */
  const hold = () => {
    const sockets = [own.stdin, own.stdout] as unknown as Socket[];
    for (const one of [own, ...sockets]) {
      if (waiting.size > 0) one.ref();
      else one.unref();
    }
  };

  const send = (...parts: readonly (string | Uint8Array)[]) => {
    const fields = parts.flatMap((part) => {
      const bytes = Buffer.from(part);
      return [lengthOf(bytes.length), bytes];
    });
    const bytes = Buffer.concat(fields);
    own.stdin.write(Buffer.concat([lengthOf(bytes.length), bytes]));
  };

  const forget = (order: string) => {
    waiting.delete(order);
    hold();
  };

  function hear(line: string): void {
    hasAnswered = true;
    const [kind, order = '', ...rest] = line.split(' ');
    const numbers = rest.map(Number);
    const one = waiting.get(order);
    if (!one) return;
    if (kind === 'started') {
      const [pid = 0, ...ends] = numbers;
      try {
        one.child = new Started(
          pid,
          ends.map((end, index) => streamOf(`${procOf(own.pid ?? 0)}/${end}`, index)),
        );
      } catch {
        // This host does not show them: no program is started this way any more.
        tell(pid, 'SIGKILL');
        starter = null;
      }
      send('opened', order);
      one.started(one.child);
      if (!one.child) forget(order);
    } else if (kind === 'failed') {
      // The host is short of something; what this process can do itself tells of what.
      one.started(undefined);
      forget(order);
    } else {
      const [code = 0, number = 0, failure = 0] = numbers;
      forget(order);
      // Whoever waits for its start hears of its end.
      setImmediate(() => one.child?.end(code, signalOf(number), failure));
    }
  }

  let said = '';
  own.stdout.setEncoding('latin1').on('data', (text: string) => {
    const lines = (said + text).split('\n');
    said = lines.pop() ?? '';
    for (const line of lines) hear(line);
  });
  own.stdin.on('error', () => {});
  const leave = () => {
    if (isGone) return;
    isGone = true;
    starter = hasAnswered ? undefined : null;
    // What it started ends with it, also where there is no sandbox that does.
    for (const { started, child } of waiting.values()) {
      started(undefined);
      if (child) tell(-child.pid, 'SIGKILL');
      setImmediate(() => child?.end(0, 'SIGKILL', 0));
    }
    waiting.clear();
    hold();
  };
  own.on('error', leave).on('close', leave);
  hold();

  return {
    async start({ file, args, cwd, env, inputs, hasChannel }: Order): Promise<Child | undefined> {
      orders += 1;
      const order = String(orders);
      const { promise, resolve } = Promise.withResolvers<Child | undefined>();
      waiting.set(order, { started: resolve, child: undefined });
      hold();
      const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      const counts = [hasChannel ? '1' : '', String(inputs.length)];
      send('start', order, cwd, ...counts, String(variables.length), ...inputs, ...variables, file, ...args);
      return promise;
    },
  };
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes);
  return length;
}

/** The first of them is written to, the next two are read, and so on. */
function streamOf(path: string, index: number): Socket {
  const isWritten = index === 0 || index === 3;
  const fd = openSync(path, (isWritten ? files.O_WRONLY : files.O_RDONLY) | files.O_NONBLOCK);
  return new Socket({ fd, readable: !isWritten, writable: isWritten });
}

class Started extends EventEmitter implements Child {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly stdio: Child['stdio'];
  #hasEnded = false;

  constructor(pid: number, [stdin, stdout, stderr, ...channel]: readonly Socket[]) {
    super();
    if (!stdin || !stdout || !stderr) throw new Error('A program has three streams at least.');
    this.pid = pid;
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.stdio = [stdin, stdout, stderr, null, null, ...channel];
  }

  end(code: number, signal: NodeJS.Signals | null, failure: number): void {
    this.#hasEnded = true;
    if (failure !== 0) {
      for (const stream of this.stdio) stream?.destroy();
      this.emit('error', systemError(failure));
      return;
    }
    this.stdin.destroy();
    const exit = [signal ? null : code, signal] as const;
    this.emit('exit', ...exit);
    let open = 2;
    const close = () => {
      open -= 1;
      if (open === 0) this.emit('close', ...exit);
    };
    for (const stream of [this.stdout, this.stderr]) {
      if (stream.closed) close();
      else stream.once('close', close).resume();
    }
  }

  kill(name: NodeJS.Signals = 'SIGTERM'): boolean {
    return !this.#hasEnded && tell(this.pid, name);
  }
}

/** @returns whether it is there. */
function tell(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

const signalOf = (number: number): NodeJS.Signals | null =>
  (Object.entries(constants.signals).find(([, one]) => one === number)?.[0] as NodeJS.Signals | undefined) ??
  null;

function systemError(number: number): NodeJS.ErrnoException {
  const [code = 'UNKNOWN', message = 'it failed'] = getSystemErrorMap().get(-number) ?? [];
  return Object.assign(new Error(`It cannot be started: ${message}.`), { code, errno: -number });
}
