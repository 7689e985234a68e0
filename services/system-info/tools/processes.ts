import { setTimeout as wait } from 'node:timers/promises';

import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { figure, gaps, here, maybe, maybeText, rowsOf, text } from '../fields.ts';
import { Absent, Gaps, optional, percentOf, printable, readText, round, type Host } from '../host.ts';
import { readMeminfo } from '../kernel/memory.ts';
import {
  commandOf,
  insidesOf,
  lifetimePercent,
  readCommand,
  readProcess,
  readProcesses,
  readStatus,
  tellHidden,
  userOf,
  type Listing,
  type Process,
} from '../kernel/processes.ts';
import { readGroups } from '../kernel/cgroups.ts';
import { bootSeconds, uptimeSeconds } from '../kernel/system.ts';
import { mostCommandLength, mostListed, mostNameLength, mostPid } from '../limits.ts';
import { isoOf, walk, type Watch } from '../watch.ts';

const row = z.object({
  pid: figure,
  parentPid: figure,
  name: text,
  user: maybeText,
  state: text,
  threads: figure,
  cpuPercent: maybe,
  cpuSeconds: figure,
  memoryBytes: figure,
  memoryPercent: maybe,
  startedAt: maybeText,
  command: maybeText,
});

interface Around {
  readonly userOf: (uid: number) => string | undefined;
  readonly memoryBytes: number | undefined;
  readonly upSeconds: number | undefined;
  /** When the host began, since the epoch. */
  readonly bootSeconds: number | undefined;
}

function aroundOf(host: Host, { nowMs }: Call): Around {
  return {
    userOf: userOf(host),
    memoryBytes: optional(() => readMeminfo(host).get('MemTotal')),
    upSeconds: optional(() => uptimeSeconds(host)),
    bootSeconds: bootSeconds(host, nowMs),
  };
}

function told(process: Process, { userOf: nameOf, memoryBytes, upSeconds, bootSeconds: boot }: Around) {
  const { pid, parentPid, name, uid, state, threads, cpuSeconds, begunSeconds } = process;
  return {
    pid,
    parentPid,
    name: printable(name),
    user: nameOf(uid),
    state,
    threads,
    cpuPercent: upSeconds === undefined ? undefined : lifetimePercent(process, upSeconds),
    cpuSeconds,
    memoryBytes: process.memoryBytes,
    memoryPercent: memoryBytes === undefined ? undefined : percentOf(process.memoryBytes, memoryBytes),
    startedAt: boot === undefined ? undefined : isoOf(boot + begunSeconds),
  };
}

/** Where it may not be read, the name has to do. To take secrets out takes time: one row each step. */
async function withCommands<Row extends { readonly pid: number }>(
  host: Host,
  rows: readonly Row[],
  call: Call,
) {
  const raw = await Promise.all(
    rows.map(async ({ pid }) =>
      readCommand(host, pid, mostCommandLength).catch((error: unknown) => {
        if (error instanceof Absent) return undefined;
        throw error;
      }),
    ),
  );
  return walk(call, tellCommands(host, rows, raw));
}

function* tellCommands<Row extends { readonly pid: number }>(
  host: Host,
  rows: readonly Row[],
  raw: readonly (Awaited<ReturnType<typeof readCommand>> | undefined)[],
): Steps<(Row & { readonly command: string | undefined })[]> {
  const told: (Row & { readonly command: string | undefined })[] = [];
  for (const [index, row] of rows.entries()) {
    const command = raw[index];
    told.push({ ...row, command: command && optional(() => commandOf(host, row.pid, command)) });
    yield;
  }
  return told;
}

async function listed(host: Host, call: Call, missing: Gaps): Promise<Listing | undefined> {
  const listing = await missing.later('processes', async () => walk(call, readProcesses(host)));
  if (!listing) return undefined;
  tellHidden(host, listing, missing);
  const nameOf = userOf(host);
  if (listing.processes.some(({ uid }) => nameOf(uid) === undefined))
    missing.add('user', 'this service runs in a user namespace, in which other users have no number');
  return listing;
}

export const listProcesses = defineTool({
  name: 'list_processes',
  title: 'Processes',
  description:
    'Processes by pid, page by page, with user, state, memory and processor time; cpuPercent is since each began, as in ps. For the busiest now use get_top_processes.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    ...here,
    name: z.string().min(1).max(mostNameLength).optional().describe('Only those whose name holds this.'),
    limit: limitField(mostListed, 50),
    cursor: cursorField,
  }),
  output: z.object({
    processes: rowsOf(
      row,
      'With pid, parentPid, name, user, state, threads, cpuPercent, cpuSeconds, memoryBytes, memoryPercent, startedAt and command.',
    ).optional(),
    total: maybe.describe('Of all that can be seen and fit.'),
    ...continuation,
    ...gaps,
  }),
  async handler({ cursor, ...args }, { host }: Watch, call) {
    const missing = new Gaps();
    const [after] = decodeCursor('list_processes', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const listing = await listed(host, call, missing);
    if (!listing) return missing.said;
    const wanted = listing.processes.filter(
      ({ name }) => args.name === undefined || name.includes(args.name),
    );
    const left = wanted.filter(({ pid }) => pid > after);
    const around = aroundOf(host, call);
    const rows = await withCommands(
      host,
      left.slice(0, args.limit).map((one) => told(one, around)),
      call,
    );
    const processes = fitting(rows);
    const last = processes.at(-1);
    return {
      processes,
      total: wanted.length,
      ...continued('list_processes', args, last && processes.length < left.length ? [last.pid] : undefined),
      ...missing.said,
    };
  },
});

export const getProcessInfo = defineTool({
  name: 'get_process_info',
  title: 'Process',
  description:
    'One process by pid, with its command line (secrets left out), memory, files and control group; never its environment.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({ pid: z.int().min(1).max(mostPid).describe('Number of the process.'), ...here }),
  output: row
    .extend({
      nice: figure,
      virtualBytes: figure,
      peakMemoryBytes: maybe,
      swapBytes: maybe,
      fileDescriptors: maybe,
      readBytes: maybe,
      writtenBytes: maybe,
      voluntarySwitches: maybe,
      involuntarySwitches: maybe,
      cgroup: maybeText,
      ...gaps,
    })
    .meta({
      properties: {
        pid: { type: 'number', description: 'Its number.' },
        name: { type: 'string', description: 'Its name; beside it, what list_processes tells.' },
        command: { type: 'string', description: 'Command line.' },
        fileDescriptors: { type: 'number', description: 'Open ones.' },
        unavailable: {
          type: 'array',
          description: 'What could not be had, and why.',
          items: { type: 'object' },
        },
      },
      required: ['pid', 'name'],
    }),
  async handler({ pid }, { host }: Watch, call) {
    const missing = new Gaps();
    const process = processOf(host, pid);
    const command = await missing.later('command', async () =>
      commandOf(host, pid, await readCommand(host, pid)),
    );
    const status = missing.of('peakMemoryBytes, swapBytes', () => readStatus(host, pid));
    const owner = status?.get('Tgid');
    if (owner !== undefined && owner !== pid)
      throw new ToolError('not_found', `There is no process ${pid}: that is a thread of process ${owner}.`, {
        hint: `Ask for process ${owner}.`,
      });
    const kib = (name: string) => {
      const value = status?.get(name);
      return value === undefined ? undefined : value * 1_024;
    };
    return {
      ...told(process, aroundOf(host, call)),
      command,
      nice: process.nice,
      virtualBytes: process.virtualBytes,
      peakMemoryBytes: kib('VmHWM'),
      swapBytes: kib('VmSwap'),
      voluntarySwitches: status?.get('voluntary_ctxt_switches'),
      involuntarySwitches: status?.get('nonvoluntary_ctxt_switches'),
      ...insidesOf(host, pid, missing),
      cgroup: missing.of('cgroup', () => readGroups(host, pid).levels[0]?.path),
      ...missing.said,
    };
  },
});

/** @throws ToolError `not_found`, or `forbidden` for one that is there and hidden. */
function processOf(host: Host, pid: number): Process {
  try {
    return readProcess(host, pid);
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    if (error.message.startsWith('this service may not'))
      throw new ToolError(
        'forbidden',
        `Process ${pid} belongs to another user, and this service may not look at it.`,
      );
    throw new ToolError('not_found', `There is no process ${pid} that this service can see.`, {
      hint: 'list_processes shows those that it can see.',
    });
  }
}

const sorts = ['cpu', 'memory', 'io', 'threads'] as const;
type Sort = (typeof sorts)[number];
const measuredMs = 500;

/** What a process did within the time that was measured. */
interface Doing extends Process {
  readonly cpuNowPercent: number;
  readonly ioBytesPerSecond: number | undefined;
}

/** The busiest so many, measured between two looks. */
export async function topProcesses(host: Host, sort: Sort, count: number, call: Call, missing: Gaps) {
  const io = (pid: number) => (sort === 'io' ? optional(() => ioBytes(host, pid)) : undefined);
  const first = await listed(host, call, missing);
  if (!first) return undefined;
  const beganMs = performance.now();
  const before = new Map(first.processes.map((one) => [one.pid, { ...one, io: io(one.pid) }]));
  await wait(measuredMs, undefined, { signal: call.signal });
  const { processes } = await walk(call, readProcesses(host));
  const seconds = (performance.now() - beganMs) / 1_000;
  const doing = processes.map((one): Doing => {
    const known = before.get(one.pid);
    // The number may have been given to another one meanwhile.
    const isSame = known?.begunSeconds === one.begunSeconds;
    const [was, is] = [known?.io, io(one.pid)];
    return {
      ...one,
      cpuNowPercent: round((100 * (one.cpuSeconds - (isSame ? known.cpuSeconds : 0))) / seconds, 1),
      ioBytesPerSecond:
        isSame && was !== undefined && is !== undefined ? Math.round((is - was) / seconds) : undefined,
    };
  });
  if (sort === 'io' && doing.every(({ ioBytesPerSecond }) => ioBytesPerSecond === undefined)) {
    missing.add(
      'ioBytesPerSecond',
      'this service may not read what others read and write',
      'Sort by cpu or memory.',
    );
  }
  const by: Readonly<Record<Sort, (one: Doing) => number>> = {
    cpu: ({ cpuNowPercent }) => cpuNowPercent,
    memory: ({ memoryBytes }) => memoryBytes,
    io: ({ ioBytesPerSecond }) => ioBytesPerSecond ?? -1,
    threads: ({ threads }) => threads,
  };
  const top = doing.toSorted((one, other) => by[sort](other) - by[sort](one)).slice(0, count);
  const around = aroundOf(host, call);
  const rows = top.map((one) => ({
    ...told(one, around),
    cpuPercent: one.cpuNowPercent,
    ioBytesPerSecond: one.ioBytesPerSecond,
  }));
  return {
    processes: fitting(await withCommands(host, rows, call)),
    total: doing.length,
    overSeconds: round(seconds),
  };
}

function ioBytes(host: Host, pid: number): number {
  const numbers = [...readText(host, `/proc/${pid}/io`).matchAll(/^(?:read|write)_bytes: (\d+)$/gm)];
  return numbers.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

export const getTopProcesses = defineTool({
  name: 'get_top_processes',
  title: 'Top Processes',
  description:
    'The processes that take most now, measured for half a second; cpuPercent is of one processor.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    sort: z.enum(sorts).default('cpu').describe('What they take most of.'),
    n: z.int().min(1).max(50).default(10).describe('How many.'),
  }),
  output: z.object({
    processes: rowsOf(
      row.extend({ ioBytesPerSecond: maybe }),
      'As list_processes tells them, with ioBytesPerSecond when sorted by io.',
    ).optional(),
    total: maybe.describe('Of all that can be seen.'),
    overSeconds: maybe.describe('Measured over this time.'),
    ...gaps,
  }),
  async handler({ sort, n }, { host }: Watch, call) {
    const missing = new Gaps();
    return { ...(await topProcesses(host, sort, n, call, missing)), ...missing.said };
  },
});
