/** One process of a foreign server, spoken to over its standard input and output, with everything that it started. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';

import { ConfigError } from '#runtime/errors.ts';
import { hostPrograms, pathOf, startConfinedNow, viewOf, whyNoSandbox } from '#runtime/sandbox.ts';

import { Pace } from './pace.ts';
import type { SandboxClass } from './upstreams-file.ts';

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  /** What the operator adds; of this process's own environment it gets the few variables that programs need. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly sandbox: SandboxClass;
  readonly read: readonly string[];
  readonly write: readonly string[];
}

/** In bytes. A longer one ends the connection: to read it would hold the process, and all others in it. */
export const longestMessage = 8 * 1024 * 1024;
/** A longer message counts as several. */
const charsOfMessage = 10_000;
/** Stands for an answer that is none, as the code of an error: whoever waits for it need not wait on. */
export const malformedAnswer = -32_098;
const longestComplaint = 2_000;
const complaintsAMinute = 60;
/** In memory, for a program in a sandbox. */
const scratchBytes = 256 * 1024 * 1024;
/** A server of good manners ends with its input; the others are told, and then made to. */
const patienceMs = 1_500;

/** It may begin once. As the SDK's transports are, so that its client takes it for one. */
export class ProcessTransport {
  onclose: (() => void) | undefined;
  onerror: ((error: Error) => void) | undefined;
  onmessage: ((message: never) => void) | undefined;
  readonly #launch: Launch;
  readonly #heard: (line: string) => void;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> | undefined;
  #scratch: string | undefined;
  #lastComplaint = '';
  #complaints = 0;
  #minute = 0;
  readonly #pace = new Pace();
  /** Ids of what it was asked and has not answered. */
  readonly #asked = new Set<unknown>();
  #isClosed = false;
  /** It has sent too much: what it says is taken later. */
  #isResting = false;
  /** It says nothing any more. */
  #isSilent = false;
  /** Why it ended, in words; `undefined` while it runs. */
  #end: string | undefined;

  /** `heard` gets what it writes to standard error, a bounded part of it. */
  constructor(launch: Launch, heard: (line: string) => void) {
    this.#launch = launch;
    this.#heard = heard;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get end(): string | undefined {
    return this.#end;
  }

  /** @throws ConfigError where it cannot be started as it is meant to be. */
  async start(): Promise<void> {
    if (this.#launch.sandbox !== 'none') await requireSandbox();
    if (this.#end !== undefined) throw new Error(this.#end);
    const child = this.#begin();
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        const last = this.#lastComplaint === '' ? '' : `: ${this.#lastComplaint}`;
        this.#end ??= `it ended with ${signal === null ? `code ${code}` : `signal ${signal}`}${last}`;
        // What it started and left behind goes with it.
        this.#kill('SIGKILL');
        resolve(undefined);
      });
      child.once('error', resolve);
    });
    child.stdin?.on('error', () => {}); // its end is told by the exit
    child.once('close', () => {
      this.#isSilent = true;
      if (!this.#isResting) this.#close();
    });
    this.#readMessages(child);
    this.#readComplaints(child);
    if (child.pid !== undefined) return;
    const [error] = (await once(child, 'error')) as [Error];
    this.#close();
    throw new ConfigError(`${this.#launch.command} cannot be started: ${error.message}.`);
  }

  #begin(): ChildProcess {
    const { args, cwd, sandbox } = this.#launch;
    const env = { ...neededVariables(), ...this.#launch.env };
    const file = programOf(this.#launch.command, env['PATH'] ?? '');
    if (cwd !== undefined && !statSync(cwd, { throwIfNoEntry: false })?.isDirectory())
      throw new ConfigError(`The folder ${cwd} is not there: make it, or change "cwd".`);
    if (sandbox !== 'none') return this.#confined(file, env);
    const where = cwd ?? (this.#scratch = mkdtempSync(join(tmpdir(), 'flotilla-upstream-')));
    // Where this process is killed, the kernel ends that one.
    const tie = pathOf('setpriv');
    const [first, ...rest] = tie ? [tie, '--pdeathsig', 'KILL', '--', file, ...args] : [file, ...args];
    return spawn(first ?? file, rest, { cwd: where, env, stdio: 'pipe', detached: true });
  }

  #confined(file: string, env: Readonly<Record<string, string>>): ChildProcess {
    const { args, cwd, read, write, sandbox } = this.#launch;
    for (const path of [...read, ...write])
      if (!statSync(path, { throwIfNoEntry: false }))
        throw new ConfigError(`${path} is not there: make it, or take it out of "read" and "write".`);
    const programs = hostPrograms();
    // It hides what is mounted there.
    const isUsed = [...read, ...write, cwd ?? '', file].some((path) => path.startsWith('/tmp/'));
    const scratch = isUsed ? '/scratch' : '/tmp';
    const named = viewOf([...read, ...packagesOf([file, ...args]), ...(cwd === undefined ? [] : [cwd])]);
    const open = viewOf(write);
    const view = {
      mounts: [
        ...programs.mounts,
        ...named.mounts,
        ...open.mounts.map(({ path }) => ({ path, writable: true })),
      ],
      links: new Map([...programs.links, ...named.links, ...open.links]),
      network: sandbox === 'network',
      scratch: [{ path: scratch, sizeBytes: scratchBytes }],
    };
    const inside = { ...env, HOME: scratch, TMPDIR: scratch };
    return startConfinedNow({ file, args, cwd: cwd ?? scratch, env: inside, limits: {}, view });
  }

  #readMessages({ stdout }: ChildProcess): void {
    let waiting: Buffer[] = [];
    let waitingBytes = 0;
    let lines: string[] = [];
    const takeLines = () => {
      this.#isResting = false;
      if (this.#isClosed) return;
      for (const [at, line] of lines.entries()) {
        const restMs = this.#take(line) ? 0 : this.#pace.restMs(1 + line.length / charsOfMessage);
        if (restMs === 0) continue;
        // It waits at its end of the pipe meanwhile.
        this.#isResting = true;
        stdout?.pause();
        lines = lines.slice(at + 1);
        setTimeout(takeLines, restMs);
        return;
      }
      lines = [];
      if (this.#isSilent) this.#close();
      else stdout?.resume();
    };
    stdout?.on('data', (chunk: Buffer) => {
      let from = 0;
      for (let to = chunk.indexOf(10); to >= 0; to = chunk.indexOf(10, from)) {
        lines.push(Buffer.concat([...waiting, chunk.subarray(from, to)]).toString('utf8'));
        waiting = [];
        waitingBytes = 0;
        from = to + 1;
      }
      if (!this.#isResting) takeLines();
      if (from === chunk.length) return;
      waiting.push(chunk.subarray(from));
      waitingBytes += chunk.length - from;
      if (waitingBytes <= longestMessage) return;
      waiting = [];
      waitingBytes = 0;
      this.#end = `it sent a message of more than ${longestMessage / 1024 / 1024} MiB`;
      this.#kill('SIGKILL');
    });
  }

  /** @returns whether it is what somebody waits for. */
  #take(line: string): boolean {
    if (line.trim() === '') return false;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      // Many greet there, or log.
      this.#complain(`on standard output, which is for messages alone: ${line.slice(0, 200)}`);
      return false;
    }
    if (typeof message !== 'object' || message === null) return false;
    const { id, method } = message as { readonly id?: unknown; readonly method?: unknown };
    this.onmessage?.(asAnswer(message) as never);
    return method === undefined && this.#asked.delete(id);
  }

  #readComplaints(child: ChildProcess): void {
    let begun = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (begun + text).split('\n');
      begun = (lines.pop() ?? '').slice(0, longestComplaint);
      for (const line of lines) {
        const said = line.trim().slice(0, longestComplaint);
        if (said === '') continue;
        this.#lastComplaint = said.slice(0, 300);
        this.#complain(said);
      }
    });
  }

  #complain(said: string): void {
    const now = Math.floor(performance.now() / 60_000);
    if (now !== this.#minute) this.#complaints = 0;
    this.#minute = now;
    this.#complaints += 1;
    if (this.#complaints <= complaintsAMinute) this.#heard(said);
    else if (this.#complaints === complaintsAMinute + 1) this.#heard('more than the log takes in a minute');
  }

  async send(message: object): Promise<void> {
    const stdin = this.#child?.stdin;
    if (!stdin?.writable) throw new Error('It does not run.');
    const { id, method } = message as { readonly id?: unknown; readonly method?: unknown };
    if (id !== undefined && method !== undefined) this.#asked.add(id);
    if (!stdin.write(`${JSON.stringify(message)}\n`)) {
      // Its end is an answer too.
      await Promise.race([once(stdin, 'drain').catch(() => {}), this.#ended]);
    }
  }

  /** Resolves when it, and what it started, is gone. */
  async close(): Promise<void> {
    this.#end ??= 'it was stopped';
    if (!this.#child) return;
    this.#child.stdin?.end();
    for (const signal of [undefined, 'SIGTERM', 'SIGKILL'] as const) {
      if (signal) this.#kill(signal);
      const gone = await Promise.race([this.#ended?.then(() => true), after(patienceMs)]);
      if (gone) break;
    }
    this.#close();
  }

  /** Of the whole group: what is left of it, when its leader is gone. */
  #kill(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // There is none of them any more.
    }
  }

  #close(): void {
    if (this.#scratch !== undefined) rmSync(this.#scratch, { recursive: true, force: true });
    this.#scratch = undefined;
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.onclose?.();
  }
}

/** The SDK passes over what is neither a request nor a whole answer, and its call waits until it is too late. */
function asAnswer(message: object): object {
  const { jsonrpc, id, method, result, error } = message as Readonly<Record<string, unknown>>;
  if (id === undefined || id === null || method !== undefined) return message;
  const { code, message: said } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  const isError = Number.isInteger(code) && typeof said === 'string';
  const isResult = typeof result === 'object' && result !== null && !Array.isArray(result);
  if (jsonrpc === '2.0' && (error === undefined ? isResult : isError && result === undefined)) return message;
  return { jsonrpc: '2.0', id, error: { code: malformedAnswer, message: 'no answer of JSON-RPC' } };
}

/** It never runs without the one that it is to have. */
async function requireSandbox(): Promise<void> {
  const why = await whyNoSandbox();
  if (why !== undefined) throw new ConfigError(`It is to run in a sandbox: ${why}`);
}

async function after(ms: number): Promise<false> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), ms).unref();
  });
}

const inherited = ['HOME', 'LANG', 'LC_ALL', 'LOGNAME', 'SHELL', 'TMPDIR', 'TZ', 'USER'];

/** Nothing of the fleet's: no token, no setting. The Node that runs this one is found first. */
function neededVariables(): Record<string, string> {
  const kept = inherited.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const path = process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin';
  return { ...Object.fromEntries(kept), PATH: `${dirname(process.execPath)}${delimiter}${path}` };
}

/** @throws ConfigError where there is no such program. */
function programOf(command: string, path: string): string {
  const places = command.includes('/')
    ? [command]
    : path
        .split(delimiter)
        .filter((folder) => isAbsolute(folder))
        .map((folder) => join(folder, command));
  const found = places.find((place) => isProgram(place));
  if (found !== undefined && isAbsolute(found)) return found;
  const where = command.includes('/') ? 'Write its path in full' : `It was looked for in ${path}`;
  throw new ConfigError(`The program ${command} is not there. ${where}; install it, or change "command".`);
}

function isProgram(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && (stat.mode & 0o111) !== 0;
}

/** What a command line names: a file alone, or, where it lies among packages, all of these, since it imports them. */
function packagesOf(words: readonly string[]): string[] {
  return words
    .filter((word) => isAbsolute(word) && statSync(word, { throwIfNoEntry: false })?.isFile())
    .flatMap((path) => {
      const [before] = path.split('/node_modules/');
      return before === path ? [path] : [path, join(before ?? '', 'node_modules')];
    });
}
