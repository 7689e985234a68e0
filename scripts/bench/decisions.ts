/** Suite `decisions`: how fast decisions are recorded over HTTP, whether the number of models or of decisions matters, and what memory they take. */
import { randomUUID } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';

import { cpuSecondsOf } from './cpu-time.ts';
import { ask, toolCall } from './requests.ts';
import type { BenchContext, Section } from './section.ts';
import { percentile } from './statistics.ts';
import type { TrafficRequest } from './traffic.ts';
import { startWorkload, type WorkloadServer } from './workload-server.ts';

export const decisionsOf = { quick: 200_000, normal: 1_000_000, full: 10_000_000 } as const satisfies Record<
  BenchContext['depth'],
  number
>;
const perCall = 5_000;
const callsPerRound = 40;
const connections = 4;
export const modelCounts = [1, 10, 100, 1_000];
const probeEveryMs = 20;

interface Decision {
  readonly uid: string;
  readonly model: string;
  readonly task_type: string;
  readonly confidence: number;
  readonly outcome: number;
  readonly source: string;
  readonly cost_usd: number;
  readonly latency_ms: number;
}

const keyOf = (model: number) => `model:bench-${model}`;

function decisionOf(number: number, models: number): Decision {
  return {
    uid: randomUUID(),
    model: keyOf(number % models),
    task_type: `type-${((number / models) % 5) | 0}`,
    confidence: Math.random(),
    outcome: Math.random() < 0.7 ? 1 : 0,
    source: 'code_check',
    cost_usd: Math.random() / 100,
    latency_ms: Math.exp(5 + 2 * Math.random()),
  };
}

interface Rate {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly callMs: readonly number[];
  readonly probeMs: readonly number[];
  /** After each round: decisions so far, and megabytes resident. */
  readonly memory: readonly (readonly [number, number])[];
  /** Before the first decision, with all models known. */
  readonly emptyMb: number;
  readonly bareOncePerSecond: number;
  readonly barePerSecond: number;
}

export async function decisions({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  const size = decisionsOf[depth];
  const rows: (string | number)[][] = [];
  const memory: number[][] = [];
  for (const models of modelCounts) {
    const wanted = models === 1 ? size : Math.min(size, decisionsOf.normal);
    progress(`decisions: ${wanted} of ${models} models`);
    const rate = await measureDecisions(models, wanted, progress);
    rows.push([
      models,
      wanted,
      rate.perSecond,
      rate.cpuUs,
      percentile(rate.callMs, 0.5),
      percentile(rate.callMs, 0.99),
      percentile(rate.probeMs, 0.5),
      percentile(rate.probeMs, 0.99),
      rate.barePerSecond,
      rate.bareOncePerSecond,
    ]);
    if (models === 1) for (const [count, mb] of rate.memory) memory.push([count, mb]);
  }
  return [
    {
      title: 'Decisions: recording',
      method:
        `record_decisions over HTTP on loopback, ${perCall} decisions of 8 fields (uids are random) in a call, ${connections} connections, the service in a process of its own, ` +
        'not pinned; each call is answered after COMMIT with synchronous=FULL, with all sums in the same transaction. Bodies are made before the clock runs, ' +
        `${callsPerRound} calls at a time. Beside it, in the same run: get_profile every ${probeEveryMs} ms; and what the bare loop of better-sqlite3 does with the same ` +
        'rows in this process: one prepared insert, the same number in a transaction, the same durability, without and with a unique uid. The bare loop has no HTTP, no JSON, no checks and no sums.',
      columns: [
        { name: 'models' },
        { name: 'decisions' },
        { name: 'decisions/s' },
        { name: 'CPU µs/decision', digits: 1 },
        { name: 'call p50 ms', digits: 1 },
        { name: 'call p99 ms', digits: 1 },
        { name: 'get_profile p50 ms', digits: 1 },
        { name: 'get_profile p99 ms', digits: 1 },
        { name: 'bare loop/s' },
        { name: 'bare loop, unique uid/s' },
      ],
      rows,
      chart: { column: 2 },
    },
    {
      title: 'Decisions: memory',
      method: 'Resident memory of the process (VmRSS) while decisions of one model come in.',
      columns: [{ name: 'decisions' }, { name: 'RSS MB', digits: 1 }],
      rows: memory,
    },
  ];
}

export async function measureDecisions(
  models: number,
  size: number,
  progress: BenchContext['progress'],
): Promise<Rate> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-decisions-'));
  await using server = await startWorkload(
    'model-profile',
    {
      settings: () => ({
        FLOTILLA_MODEL_PROFILE_QUOTA_ITEMS: '100000000',
        FLOTILLA_MODEL_PROFILE_QUOTA_MB: '100000',
        FLOTILLA_MODEL_PROFILE_KEEP_DECISIONS: '100000000',
      }),
      async seed({ call }) {
        for (let model = 0; model < models; model += 1)
          await call('register_model', { name: `bench-${model}` });
      },
      calls: [{ title: '', tool: '', kind: 'large', arguments: () => ({}) }],
      heavy: [],
    },
    folder.path,
    { isPinned: false },
  );
  const emptyMb = residentMb(server.pid);
  const bare = bareLoops(folder.path);
  const callMs: number[] = [];
  const probeMs: number[] = [];
  const memory: [number, number][] = [];
  let [elapsedMs, cpuSeconds, plainMs, onceMs, bareCount] = [0, 0, 0, 0, 0];
  for (let done = 0; done < size;) {
    const batches = Array.from(
      { length: Math.min(callsPerRound, Math.ceil((size - done) / perCall)) },
      (_, batch) =>
        Array.from({ length: perCall }, (_unused, at) => decisionOf(done + batch * perCall + at, models)),
    );
    const bodies = batches.map((batch) => toolCall(server.token, 'record_decisions', { decisions: batch }));
    const probing = probe(server, probeMs);
    const cpuBefore = cpuSecondsOf(server.pid);
    const startedAtMs = performance.now();
    await sendAll(server.url, bodies, callMs);
    elapsedMs += performance.now() - startedAtMs;
    cpuSeconds += cpuSecondsOf(server.pid) - cpuBefore;
    await probing.stop();
    // An index of random uids takes longer the more there are: its rate is that of the first million.
    for (const batch of done < decisionsOf.normal ? batches : []) {
      bareCount += perCall;
      plainMs += bare.plain(batch);
      onceMs += bare.once(batch);
    }
    done += batches.length * perCall;
    memory.push([done, residentMb(server.pid)]);
    if (done % 1_000_000 === 0)
      progress(
        `decisions: ${done}, ${((done / elapsedMs) * 1e3).toFixed(0)}/s, ${memory.at(-1)?.[1].toFixed(0)} MB`,
      );
  }
  const every = Math.ceil(memory.length / 20);
  return {
    perSecond: (size / elapsedMs) * 1e3,
    cpuUs: (cpuSeconds * 1e6) / size,
    callMs,
    probeMs,
    emptyMb,
    memory: memory.filter((_, at) => (at + 1) % every === 0 || at === memory.length - 1),
    barePerSecond: (bareCount / plainMs) * 1e3,
    bareOncePerSecond: (bareCount / onceMs) * 1e3,
  };
}

async function sendAll(url: string, bodies: readonly TrafficRequest[], callMs: number[]): Promise<void> {
  const waiting = bodies.values();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (const body of waiting) {
        const startedAtMs = performance.now();
        const answer = await ask(url, body);
        callMs.push(performance.now() - startedAtMs);
        const stored = answer.result?.['structuredContent'] as { accepted?: number } | undefined;
        if (stored?.accepted !== perCall)
          throw new Error(`Not all were taken: ${JSON.stringify(answer).slice(0, 500)}`);
      }
    }),
  );
}

/** Another tool meanwhile. */
function probe(server: WorkloadServer, times: number[]) {
  const body = toolCall(server.token, 'get_profile', { model: keyOf(0) });
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      const startedAtMs = performance.now();
      await ask(server.url, body);
      times.push(performance.now() - startedAtMs);
      await new Promise((resolve) => setTimeout(resolve, probeEveryMs));
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function bareLoops(folder: string) {
  const database = openDatabase(
    join(folder, 'bare.db'),
    fileURLToPath(new URL('rungs/bare-decisions', import.meta.url)),
  );
  const { write } = transactionsOf(database);
  const loop = (table: string) => {
    const insert = database.prepare(`INSERT INTO ${table} VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
    return (batch: readonly Decision[]): number => {
      const startedAtMs = performance.now();
      write(() => {
        for (const { uid, confidence, outcome, cost_usd: cost, latency_ms: latency } of batch) {
          insert.run(uid, 1, 1, 1_700_000_000_000, confidence, outcome, 2, cost, latency);
        }
      });
      return performance.now() - startedAtMs;
    };
  };
  return { plain: loop('decision'), once: loop('decision_once') };
}

function residentMb(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kib) * 1024) / 1e6;
}
