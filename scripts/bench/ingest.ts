/** Suite `ingest`: how fast steps of reasoning are stored over HTTP, beside a bare loop that inserts the same rows. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';

import { workload } from '../../services/reasoning-capture/bench.ts';
import { Child } from './child.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import { forms, type Form, type SendOrder, type Sent } from './ingest-sender.ts';
import { ask, toolCall } from './requests.ts';
import type { BenchContext, Section } from './section.ts';
import { median } from './statistics.ts';
import { sendTraffic } from './traffic.ts';
import { contentOf } from './words.ts';
import { startWorkload, type WorkloadServer } from './workload-server.ts';

const stepsPerBatch = 5_000;
const contentBytes = 200;
const batchConnections = 4;
const singleConnections = 64;
const readsPerSecond = 100;
const rowsAtOnce = 100;
const lengths = {
  quick: { rounds: 3, batchesPerRound: 20, seconds: 3 },
  normal: { rounds: 11, batchesPerRound: 80, seconds: 10 },
  full: { rounds: 21, batchesPerRound: 200, seconds: 60 },
} as const satisfies Record<BenchContext['depth'], object>;

const sender = fileURLToPath(new URL('ingest-sender.ts', import.meta.url));
const migrations = fileURLToPath(new URL('../../services/reasoning-capture/migrations', import.meta.url));

async function send(order: SendOrder): Promise<Sent> {
  await using child = new Child([process.execPath, sender]);
  child.send(order);
  return (await child.messageWith('calls')) as Sent;
}

/** Inserts batches of the same rows into the same table, with a commit for each, in this process. @returns steps per second. */
function bareLoop(folder: string, batches: number) {
  const database = openDatabase(join(folder, 'bare.db'), migrations);
  database.pragma('wal_autocheckpoint = 16000');
  database.pragma('cache_size = -65536');
  const contents = Array.from({ length: stepsPerBatch }, (_, at) => contentOf(at, contentBytes));
  const place = '(?, 0, NULL, ?, NULL, NULL, 0.5, 0, ?, NULL)';
  const one = database.prepare(`INSERT INTO step VALUES ${place}`);
  const many = database.prepare(
    `INSERT INTO step VALUES ${Array.from({ length: rowsAtOnce }, () => place).join(', ')}`,
  );
  let id = 2 ** 20;
  const prepared = () => {
    const atUs = Date.now() * 1_000;
    for (const content of contents) one.run((id += 1), atUs, content);
  };
  const multiRow = () => {
    const atUs = Date.now() * 1_000;
    for (let from = 0; from < contents.length; from += rowsAtOnce) {
      const values: (string | number)[] = [];
      for (let at = from; at < from + rowsAtOnce; at += 1) values.push((id += 1), atUs, contents[at] ?? '');
      many.run(values);
    }
  };
  const speedOf = (work: () => void) => {
    const transaction = database.transaction(work);
    const startedAtMs = performance.now();
    const cpu = process.threadCpuUsage();
    for (let batch = 0; batch < batches; batch += 1) transaction.immediate();
    const { user, system } = process.threadCpuUsage(cpu);
    const steps = batches * stepsPerBatch;
    return {
      perSecond: (steps * 1_000) / (performance.now() - startedAtMs),
      cpuUs: (user + system) / steps,
    };
  };
  return {
    prepared: () => speedOf(prepared),
    multiRow: () => speedOf(multiRow),
    [Symbol.dispose]: () => database.close(),
  };
}

async function countOf(server: WorkloadServer): Promise<number> {
  const health = (await (await fetch(`${server.url}/health`)).json()) as {
    readonly ingest: { readonly accepted: number };
  };
  return health.ingest.accepted;
}

/** What is done behind the writing would take its time from what is measured next. */
async function idle(server: WorkloadServer): Promise<void> {
  for (;;) {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    if (/flotilla_reasoning_not_indexed{[^}]*} 0\b/.test(metrics)) return;
    await sleep(200);
  }
}

async function startChain({ url, token }: WorkloadServer): Promise<string> {
  const { result } = await ask(url, toolCall(token, 'start_chain', { model: 'bench' }));
  return String(result?.['structuredContent']?.chain_id);
}

export async function measureIngest({ depth, progress }: BenchContext) {
  const { rounds, batchesPerRound, seconds } = lengths[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-ingest-'));
  const unlimited = {
    FLOTILLA_REASONING_CAPTURE_QUOTA_MB: '1000000',
    FLOTILLA_REASONING_CAPTURE_QUOTA_ITEMS: '1000000000',
  };
  await using server = await startWorkload(
    'reasoning-capture',
    { ...workload, settings: () => unlimited },
    folder.path,
    { isPinned: false },
  );
  using bare = bareLoop(folder.path, batchesPerRound);
  const base = { url: server.url, token: server.token };
  const faults: string[] = [];
  const judge = (what: string, { failed, firstFailure }: Sent) => {
    if (failed > 0) faults.push(`${what}: ${failed} calls failed: ${firstFailure}`);
  };
  const batchesOf = async (form: Form) => {
    const chains = await Promise.all(
      Array.from({ length: batchConnections }, async () => startChain(server)),
    );
    const [before, cpu] = [await countOf(server), cpuSecondsOf(server.pid)];
    const order = {
      ...base,
      connections: batchConnections,
      batches: { form, count: batchesPerRound, steps: stepsPerBatch, contentBytes, chains },
    };
    const sent = await send(order);
    judge(form, sent);
    const steps = (await countOf(server)) - before;
    return {
      ...sent,
      perSecond: steps / sent.seconds,
      cpuUs: ((cpuSecondsOf(server.pid) - cpu) * 1e6) / steps,
    };
  };

  progress('ingest: warm-up');
  for (const form of forms) await batchesOf(form);
  type Speed = ReturnType<typeof bare.prepared>;
  const speeds: Record<'prepared' | 'multiRow', Speed[]> = { prepared: [], multiRow: [] };
  const batches: Record<Form, Awaited<ReturnType<typeof batchesOf>>[]> = {
    rows: [],
    steps: [],
    steps_jsonl: [],
  };
  const ratios: Record<Form, number[]> = { rows: [], steps: [], steps_jsonl: [] };
  for (let round = 0; round < rounds; round += 1) {
    progress(`ingest: round ${round + 1} of ${rounds}`);
    await idle(server);
    const [prepared, multiRow] = [bare.prepared(), bare.multiRow()];
    speeds.prepared.push(prepared);
    speeds.multiRow.push(multiRow);
    for (const form of forms) {
      await idle(server);
      const sent = await batchesOf(form);
      batches[form].push(sent);
      ratios[form].push(sent.perSecond / Math.max(prepared.perSecond, multiRow.perSecond));
    }
  }

  progress('ingest: single steps');
  const chain = await startChain(server);
  const step = toolCall(server.token, 'capture_reasoning_step', {
    chain_id: chain,
    content: contentOf(1, contentBytes),
  });
  const single = await sendTraffic({
    url: server.url,
    connections: singleConnections,
    seconds,
    requests: [step],
    mustSay: '"durable":true',
  });
  if (single.failed > 0) faults.push(`single steps: ${single.failed} calls failed`);

  progress('ingest: reading meanwhile');
  await idle(server);
  const reads = {
    perSecond: readsPerSecond,
    seconds,
    calls: [
      { tool: 'list_chains', args: { limit: 5 } },
      { tool: 'get_reasoning_chain', args: { chain_id: server.otherState as string, limit: 20 } },
      { tool: 'search_reasoning', args: { query: 'disk', limit: 5 } },
    ],
  };
  const reading = { ...base, token: server.otherToken, connections: 16, reads };
  const whileBatchesCome = async (order: SendOrder) => {
    const reading = { isOver: false };
    const reader = send(order).finally(() => (reading.isOver = true));
    while (!reading.isOver) await batchesOf('rows');
    return reader;
  };
  const alone = await send(reading);
  const duringBatches = await whileBatchesCome(reading);
  const [duringSingles] = await Promise.all([
    send(reading),
    sendTraffic({ url: server.url, connections: singleConnections, seconds, requests: [step] }),
  ]);
  for (const one of [alone, duringBatches, duringSingles]) judge('reading', one);

  return { speeds, batches, ratios, single, alone, duringBatches, duringSingles, faults };
}

export async function ingest(context: BenchContext): Promise<readonly Section[]> {
  const { rounds, batchesPerRound, seconds } = lengths[context.depth];
  const { speeds, batches, ratios, single, alone, duringBatches, duringSingles, faults } =
    await measureIngest(context);
  const size = `${contentBytes} bytes of text`;
  return [
    {
      title: 'Ingest: batches',
      method:
        `Steps of ${size}, ${stepsPerBatch} in a batch, one commit with synchronous=FULL for each group, HTTP with a token, ${batchConnections} connections, ` +
        `every step checked; ${rounds} rounds of ${batchesPerRound} batches, in each of them the bare loops first, with as many: better-sqlite3 in this process, the same rows ` +
        `into the same table, one commit with synchronous=FULL for ${stepsPerBatch}, one statement for each row or for ${rowsAtOnce}. Medians; the share is of the faster ` +
        'loop of the same round, and then the median. Nothing is pinned; client and service share the cores. Steps are counted by the service. Between the runs the index of words is waited for; ' +
        'during them it gets a piece of work every half second.',
      columns: [
        { name: 'way' },
        { name: 'steps/s' },
        { name: 'share of bare', digits: 2 },
        { name: 'CPU µs/step', digits: 1 },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
      ],
      rows: [
        [
          'bare, one row in a statement',
          median(speeds.prepared.map(({ perSecond }) => perSecond)),
          null,
          median(speeds.prepared.map(({ cpuUs }) => cpuUs)),
          null,
          null,
        ],
        [
          `bare, ${rowsAtOnce} rows in a statement`,
          median(speeds.multiRow.map(({ perSecond }) => perSecond)),
          null,
          median(speeds.multiRow.map(({ cpuUs }) => cpuUs)),
          null,
          null,
        ],
        ...forms.map((form) => [
          `capture_batch, ${form}`,
          median(batches[form].map(({ perSecond }) => perSecond)),
          median(ratios[form]),
          median(batches[form].map(({ cpuUs }) => cpuUs)),
          median(batches[form].map(({ p50Ms }) => p50Ms)),
          median(batches[form].map(({ p99Ms }) => p99Ms)),
        ]),
      ],
      chart: { column: 1 },
      faults,
    },
    {
      title: 'Ingest: single steps',
      method: `capture_reasoning_step of ${size}, ${singleConnections} connections for ${seconds} s, each answered after its commit with synchronous=FULL.`,
      columns: [
        { name: 'calls' },
        { name: 'calls/s' },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'p99.9 ms', digits: 1 },
        { name: 'load %' },
      ],
      rows: [
        [single.calls, single.callsPerSecond, single.p50Ms, single.p99Ms, single.p999Ms, single.cpuPercent],
      ],
    },
    {
      title: 'Ingest: other tools meanwhile',
      method: `list_chains, get_reasoning_chain and search_reasoning of another token in turn, ${readsPerSecond} a second whatever the answers take, timed from when each was due.`,
      columns: [
        { name: 'meanwhile' },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'p99.9 ms', digits: 1 },
      ],
      rows: [
        ['nothing', alone.p50Ms, alone.p99Ms, alone.p999Ms],
        [`batches of ${stepsPerBatch}`, duringBatches.p50Ms, duringBatches.p99Ms, duringBatches.p999Ms],
        [
          `single steps on ${singleConnections} connections`,
          duringSingles.p50Ms,
          duringSingles.p99Ms,
          duringSingles.p999Ms,
        ],
      ],
    },
  ];
}
