/** Processes, as far as this service may see them. Environments are never read. */
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { redactedWords } from '#runtime/redaction.ts';
import type { Steps } from '#runtime/turns.ts';

import {
  Absent,
  later,
  linesOf,
  optional,
  printable,
  readNames,
  readText,
  round,
  type Gaps,
  type Host,
} from '../host.ts';
import { readMounts } from './mounts.ts';

export interface Process {
  readonly pid: number;
  readonly parentPid: number;
  readonly name: string;
  readonly state: string;
  readonly uid: number;
  readonly threads: number;
  /** Since it began, and when that was, in seconds since the host began. */
  readonly cpuSeconds: number;
  readonly begunSeconds: number;
  readonly memoryBytes: number;
  readonly virtualBytes: number;
  readonly nice: number;
}

const states: Readonly<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting for a device',
  T: 'stopped',
  t: 'traced',
  Z: 'zombie',
  X: 'dead',
  I: 'idle',
};

/** Linux tells programs these, whatever it counts in itself. */
const ticksPerSecond = 100;

/** @throws Absent for one that is gone, or is hidden. */
export function readProcess(host: Host, pid: number): Process {
  const text = readText(host, `/proc/${pid}/stat`);
  const [start, close] = [text.indexOf('('), text.lastIndexOf(')')];
  const at = statFields(text);
  const letter = text[close + 2] ?? '';
  return {
    pid,
    name: text.slice(start + 1, close),
    state: states[letter] ?? `state ${letter}`,
    parentPid: at(4),
    uid: uidOf(host, pid),
    threads: at(20),
    cpuSeconds: (at(14) + at(15)) / ticksPerSecond,
    begunSeconds: at(22) / ticksPerSecond,
    nice: at(19),
    virtualBytes: at(23),
    memoryBytes: at(24) * pageBytes,
  };
}

/**
 * The numbers of proc_pid_stat(5), counted from 1. The name stands in brackets before them, and may hold any byte, brackets and
 * blanks too.
 */
function statFields(text: string): (number: number) => number {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (number) => Number(fields[number - 3]);
}

/** Of x64, and of arm64 as nearly everybody builds it. */
const pageBytes = 4_096;

function uidOf({ root }: Host, pid: number): number {
  try {
    return statSync(join(root, `/proc/${pid}`)).uid;
  } catch {
    throw new Absent('it is gone');
  }
}

export interface Listing {
  readonly processes: Process[];
  /** Those that are listed, but of which nothing may be read. */
  readonly hidden: number;
}

/** All that can be seen, one each step. @throws Absent. */
export function* readProcesses(host: Host): Steps<Listing> {
  const processes: Process[] = [];
  let hidden = 0;
  for (const name of readNames(host, '/proc')) {
    if (!/^\d+$/.test(name)) continue;
    yield;
    try {
      processes.push(readProcess(host, Number(name)));
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      // One that has ended meanwhile is no gap.
      if (error.message.startsWith('this service may not')) hidden += 1;
    }
  }
  return { processes: processes.toSorted((one, other) => one.pid - other.pid), hidden };
}

/** Says what of the processes cannot be seen here. */
export function tellHidden(host: Host, { hidden }: Pick<Listing, 'hidden'>, gaps: Gaps): void {
  const options =
    optional(() => readMounts(host).findLast(({ target }) => target === '/proc')?.options) ?? [];
  const hide = options.find((option) => /^hidepid=(?!0$|off$)/.test(option));
  if (hide === undefined && hidden === 0) return;
  const why = hide === undefined ? `nothing may be read of ${hidden}` : `/proc is mounted with ${hide}`;
  gaps.add(
    'processes of other users',
    `${why}: this service sees its own, and not all of the others`,
    'Give its user the group that the option gid= of /proc names, or mount /proc without hidepid.',
  );
}

const deadlineMs = 1_000;
const mostCommandLength = 4_096;

/** The beginning of a command line, as its process left it: it may hold secrets. */
interface RawCommand {
  readonly bytes: Buffer;
  readonly isCut: boolean;
  /** As many characters of it are told. */
  readonly length: number;
}

/**
 * Only as much as is needed, since anybody may start a process with a very long one. The kernel looks into the memory of the
 * process for it, which can wait as long as the process does: so not on this thread, and not for ever.
 *
 * @throws Absent.
 */
export async function readCommand(
  { root }: Host,
  pid: number,
  length = mostCommandLength,
): Promise<RawCommand> {
  const path = `/proc/${pid}/cmdline`;
  // What is taken out as secret makes room for what follows it.
  const most = 4 * length;
  let bytes: Buffer | undefined;
  try {
    bytes = await Promise.race([readBeginning(join(root, path), most + 1), later(deadlineMs)]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Absent(
      code === 'ENOENT' || code === 'ESRCH' ? 'it is gone' : `this service may not read ${path}`,
    );
  }
  if (!bytes) throw new Absent(`the process does not let its command line be read within ${deadlineMs} ms`);
  return { bytes: bytes.subarray(0, most), isCut: bytes.length > most, length };
}

async function readBeginning(path: string, most: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** How a process was started, without secrets. @throws Absent, also for a thread of the kernel. */
export function commandOf(host: Host, pid: number, { bytes, isCut, length }: RawCommand): string {
  const words = ownBytes(host, pid, bytes).toString('utf8').replace(/\0+$/, '').split('\0');
  if (words.length === 1 && words[0] === '')
    throw new Absent(
      'it has no command line, as threads of the kernel and processes that have ended have none',
    );
  const whole = printable(redactedWords(words).join(' '));
  // Near the end may be half a secret, which has lost the form by which it is known.
  const line = isCut && whole.length < length + longestSecret ? `${withoutLastWord(whole)}…` : whole;
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** Of those that are known only by what follows them. */
const longestSecret = 600;

const withoutLastWord = (text: string) =>
  text.slice(0, 1 + Math.max(text.lastIndexOf(' '), text.lastIndexOf('\n'), text.lastIndexOf('\t')));

/**
 * Without what lies behind the arguments: that is the environment. The kernel reads on into it where a process has written its
 * title over all its arguments.
 */
function ownBytes(host: Host, pid: number, bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  const equals = bytes.indexOf('=');
  // The kernel tells a title as a single word, and a variable has a sign of equality in it.
  if ((end !== -1 && end < bytes.length - 1) || equals === -1) return bytes;
  const [from = 0, to = 0] = optional(() => argumentsOf(host, pid)) ?? [];
  return bytes.subarray(0, to > from ? to - from : equals + 1);
}

/** Where the arguments lie in the memory of a process: 0 and 0 where this service may not know. @throws Absent. */
function argumentsOf(host: Host, pid: number): readonly [number, number] {
  const fields = statFields(readText(host, `/proc/${pid}/stat`));
  return [fields(48), fields(49)];
}

/** Names of users by their numbers, from /etc/passwd alone: no directory service is asked. */
function userNames(host: Host): ReadonlyMap<number, string> {
  const lines = linesOf(optional(() => readText(host, '/etc/passwd')) ?? '').map((line) => line.split(':'));
  return new Map(lines.map(([name = '', , uid]) => [Number(uid), name]));
}

/** Where a user namespace does not know a user, this number stands for all of them. */
const unknownUser = 65_534;

/** Whose a process is; `undefined` where this service runs in a user namespace that does not know. */
export function userOf(host: Host): (uid: number) => string | undefined {
  const names = userNames(host);
  const map = optional(() => readText(host, '/proc/self/uid_map').trim().split(/\s+/).map(Number));
  const knowsAll = map === undefined || (map[0] === 0 && map[1] === 0 && map[2] === 2 ** 32 - 1);
  return (uid) => (uid === unknownUser && !knowsAll ? undefined : (names.get(uid) ?? String(uid)));
}

/** How much of one processor it took, from its begin on, as `ps` counts. */
export function lifetimePercent(
  { cpuSeconds, begunSeconds }: Process,
  uptimeSeconds: number,
): number | undefined {
  const livedSeconds = uptimeSeconds - begunSeconds;
  return livedSeconds <= 0 ? undefined : round((100 * cpuSeconds) / livedSeconds, 1);
}

/** What only its owner and root may read of it. */
export interface Insides {
  readonly fileDescriptors?: number | undefined;
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
}

export function insidesOf(host: Host, pid: number, gaps: Gaps): Insides {
  const io = gaps.of('readBytes, writtenBytes', () => keyedNumbers(readText(host, `/proc/${pid}/io`)));
  return {
    fileDescriptors: gaps.of('fileDescriptors', () => readNames(host, `/proc/${pid}/fd`).length),
    readBytes: io?.get('read_bytes'),
    writtenBytes: io?.get('write_bytes'),
  };
}

const keyedNumbers = (text: string) =>
  new Map(
    linesOf(text).map((line) => {
      const [name = '', value = ''] = line.split(':');
      return [name, Number.parseInt(value.trim(), 10)];
    }),
  );

/** More of one process: by the names of proc_pid_status(5), numbers alone. @throws Absent. */
export const readStatus = (host: Host, pid: number): ReadonlyMap<string, number> =>
  keyedNumbers(readText(host, `/proc/${pid}/status`));
