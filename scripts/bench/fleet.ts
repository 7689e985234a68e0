/** Suite `fleet`: how long the whole fleet takes to start, and what memory it holds while nobody calls. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { catalogue } from '#config/catalogue.ts';
import { probe } from '#runtime/process/probe.ts';

import { freePortOffset } from '../ports.ts';
import { Child, ServerChild } from './child.ts';
import { measureGrowth } from './growth.ts';
import { proportionalSetMb, pssMethod } from './memory-use.ts';
import type { BenchContext, Section } from './section.ts';
import { median } from './statistics.ts';

/** As a person calls it: the script in front of the command line has a say in how fast it starts. */
const flotilla = fileURLToPath(new URL('../flotilla', import.meta.url));
const pollMs = 5;
const startDeadlineMs = 30_000;
const probeDeadlineMs = 2_000;

/** How long nobody calls before memory is read. */
const idleMsOf = { quick: 2_000, normal: 10_000, full: 60_000 } as const;
const roundsOf = { quick: 2, normal: 5, full: 9 } as const satisfies Record<BenchContext['depth'], number>;

/** As little as a server can be: no TypeScript, no packages. */
const idleServer =
  "require('node:http').createServer().listen(0, '127.0.0.1', function () { process.send({ listening: this.address().port }) })";

const ways = [
  { title: 'a process each', args: [], isFirst: false },
  { title: 'a process each, first start ever', args: [], isFirst: true },
  { title: 'all in one process', args: ['--single-process'], isFirst: false },
] as const;

type Way = (typeof ways)[number];

interface Start {
  readonly readyMs: number;
  /** Megabytes by process, where they were read. */
  readonly memory?: ReadonlyMap<string, number>;
}

export async function fleet(context: BenchContext): Promise<readonly Section[]> {
  const rounds = roundsOf[context.depth];
  const idleMs = idleMsOf[context.depth];
  const started: { readonly way: Way; readonly starts: readonly Start[] }[] = [];
  for (const way of ways) {
    const starts: Start[] = [];
    for (let round = 1; round <= rounds; round++) {
      // Memory once, in the last round: the processes of every round do the same.
      const start = await startOnce(way, round === rounds && !way.isFirst ? idleMs : undefined);
      starts.push(start);
      context.progress(
        `fleet: ${way.title}, round ${round} of ${rounds}: ready after ${Math.round(start.readyMs)} ms`,
      );
    }
    started.push({ way, starts });
  }
  const startRows = started.map(({ way, starts }) => {
    const times = starts.map(({ readyMs }) => readyMs);
    return [way.title, median(times), Math.min(...times), Math.max(...times)];
  });
  const memories = started.flatMap(({ starts }) => starts.flatMap(({ memory }) => memory ?? []));
  return [
    startSection(rounds, startRows),
    await memorySection(idleMs, memories),
    await growthSection(context),
  ];
}

function startSection(rounds: number, rows: Section['rows']): Section {
  return {
    title: 'Start of the fleet',
    method:
      `"flotilla start" of all ${catalogue.length} processes on a fresh data folder, ${rounds} times, from the command to ` +
      `the moment when every /health and /ready has answered 200 (asked every ${pollMs} ms). The files of the project are ` +
      `in the page cache, and so is the compiled code that an earlier start left, but for "first start ever", which finds ` +
      `none. Nothing is pinned to a core.`,
    columns: [{ name: 'fleet' }, { name: 'median ms' }, { name: 'fastest ms' }, { name: 'slowest ms' }],
    rows,
    chart: { column: 1 },
  };
}

async function memorySection(
  idleMs: number,
  memories: readonly ReadonlyMap<string, number>[],
): Promise<Section> {
  const bareMb = await bareMemory(idleMs);
  const rows = memories.flatMap((memory) => {
    const processes = [...memory].map(([name, sizeMb]) => [name, sizeMb, sizeMb / bareMb]);
    const sum = [...memory.values()].reduce((total, sizeMb) => total + sizeMb, 0);
    return memory.size === 1 ? processes : [...processes, ['all of them', sum, null]];
  });
  return {
    title: 'Memory of the idle fleet',
    method:
      `${pssMethod} Read ${idleMs / 1000} s after the start was complete; nobody calls but the health service, once a second. ` +
      `"bare Node" is a process that only listens, written in JavaScript without packages, started alone.`,
    columns: [{ name: 'process' }, { name: 'MB', digits: 1 }, { name: 'times bare Node', digits: 2 }],
    rows: [['bare Node', bareMb, 1], ...rows],
    chart: { column: 1 },
  };
}

async function bareMemory(idleMs: number): Promise<number> {
  await using server = new ServerChild([process.execPath, '-e', idleServer]);
  await server.listening();
  await sleep(idleMs);
  return proportionalSetMb(server.pid);
}

async function growthSection(context: BenchContext): Promise<Section> {
  const { calls, points, mbPerMillion, failed } = await measureGrowth(context);
  return {
    title: 'Memory after many calls',
    method:
      `${pssMethod} The memory service after up to ${calls} calls of search_memories on 16 connections. ` +
      `From the first fifth to the last it grew by ${mbPerMillion.toFixed(1)} MB per million calls.`,
    columns: [{ name: 'calls' }, { name: 'MB', digits: 1 }],
    rows: points.map((point) => [String(point.calls), point.memoryMb]),
    chart: { column: 1 },
    faults: failed > 0 ? [`${failed} calls failed`] : [],
  };
}

/** Without `idleMs`, memory is not read. */
async function startOnce({ args, isFirst }: Way, idleMs: number | undefined): Promise<Start> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-fleet-'));
  const offset = await freePortOffset();
  const startedAtMs = performance.now();
  await using command = new Child([flotilla, 'start', ...args], {
    settings: {
      FLOTILLA_DATA: join(folder.path, 'data'),
      FLOTILLA_PORT_OFFSET: String(offset),
      ...(isFirst && { NODE_COMPILE_CACHE: join(folder.path, 'compiled') }),
    },
  });
  await Promise.all(catalogue.map(async ({ name, port }) => untilUp(name, port + offset)));
  const readyMs = performance.now() - startedAtMs;
  if (idleMs === undefined) return { readyMs };
  await sleep(idleMs);
  const memory = new Map<string, number>();
  for (const { name, port } of catalogue) {
    const response = await fetch(`http://127.0.0.1:${port + offset}/health`);
    const { pid } = (await response.json()) as { pid: number };
    if (pid !== command.pid) memory.set(name, proportionalSetMb(pid));
  }
  memory.set(memory.size === 0 ? 'all in one process' : 'supervisor', proportionalSetMb(command.pid));
  return { readyMs, memory };
}

async function untilUp(name: string, port: number): Promise<void> {
  const deadline = AbortSignal.timeout(startDeadlineMs);
  for (;;) {
    const { result, reason } = await probe({ name, port }, probeDeadlineMs, deadline);
    if (result === 'up') return;
    if (deadline.aborted) throw new Error(`${name} was not up after ${startDeadlineMs} ms: ${reason}`);
    await sleep(pollMs);
  }
}
