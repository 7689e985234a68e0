/** Suite `logs`: how fast lines are stored, how fast they are found among many, and what they take on disk. */
import { mkdtempDisposableSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { createLog } from '#runtime/account/log.ts';
import { testCall } from '#runtime/testing.ts';

import { openStore, type Store } from '../../services/logging/store/store.ts';
import type { BenchContext, Section } from './section.ts';
import { percentile } from './statistics.ts';

const sizeOf = { quick: 200_000, normal: 1_000_000, full: 10_000_000 } as const satisfies Record<
  BenchContext['depth'],
  number
>;
const days = 7;
const dayMs = 86_400_000;
const linesPerCall = 5_000;
/** Senders that do not wait for each other. */
const atOnce = 8;
const searches = 41;
const found = 50;

const words = [
  'connection',
  'refused',
  'by',
  'peer',
  'timeout',
  'while',
  'reading',
  'upstream',
  'user',
  'session',
  'cache',
  'miss',
  'retry',
  'started',
  'finished',
  'queue',
  'worker',
  'payment',
  'order',
  'shipped',
];

type Filter = Parameters<Store['find']>[0];

export async function logs({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  const size = sizeOf[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-logs-'));
  const quota = { items: 1e9, bytes: 1e12 };
  const keeping = { days: 3_650, bytes: 1e12, quota, linesPerSegment: 2_000_000 };
  await using store = await openStore(
    { dataDir: folder.path, keeping, feeds: undefined, readsJournal: false },
    quota,
    createLog('logging', 'error'),
  );
  const startMs = Date.now() - days * dayMs;
  const random = numbers(7);
  progress(`logs: ${size} lines`);
  const stored = await fill(store, size, startMs, random);
  const bytes = bytesBelow(folder.path);
  const { bytes: textBytes } = store.holdings();
  progress('logs: searching');
  const rows: (string | number)[][] = [];
  for (const [title, filter] of questions(startMs)) rows.push([title, ...(await measured(store, filter))]);
  return [
    {
      title: 'Logs: storing',
      method:
        `${size} lines of ${(textBytes / size).toFixed(0)} bytes over ${days} days, as text with time and level in front, ` +
        `${linesPerCall} in a batch, ${atOnce} batches on their way at a time; each is read, cleaned of secrets, indexed and on disk before it is ` +
        'acknowledged. Time of the processor is of the whole process, less what making the lines took.',
      columns: [
        { name: 'lines' },
        { name: 'lines/s' },
        { name: 'CPU µs/line', digits: 1 },
        { name: 'bytes/line on disk', digits: 1 },
        { name: 'of that text', digits: 1 },
      ],
      rows: [[size, stored.perSecond, stored.cpuUs, bytes / size, textBytes / size]],
    },
    {
      title: 'Logs: searching',
      method: `The newest ${found} lines that fit, among ${size}, ${searches} times each, from the call of the store to the lines.`,
      columns: [
        { name: 'search' },
        { name: 'found' },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'first ms', digits: 1 },
      ],
      rows,
      chart: { column: 2 },
    },
  ];
}

function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7f_ff_ff_ff;
    return (state >>> 8) % below;
  };
}

async function fill(store: Store, size: number, startMs: number, random: (below: number) => number) {
  const stepMs = (days * dayMs) / size;
  const word = () => words[random(words.length)];
  const lineAt = (at: number) => {
    const chance = random(1_000);
    const level = chance < 10 ? 'ERROR' : chance < 60 ? 'WARN' : chance < 150 ? 'DEBUG' : 'INFO';
    return `${new Date(startMs + at * stepMs).toISOString()} ${level} GET /api/v1/orders/${random(100_000)} from 10.0.${random(256)}.${random(256)} ${word()} ${word()} ${word()} ${word()} request=${random(2 ** 23).toString(16)} took ${random(5_000)} ms`;
  };
  const call = { owner: 'bench' };
  const underWay: Promise<unknown>[] = [];
  const cpu = process.cpuUsage();
  const startedAtMs = performance.now();
  let makingUs = 0;
  for (let from = 0; from < size; from += linesPerCall) {
    const making = process.threadCpuUsage();
    const lines = Array.from({ length: linesPerCall }, (_, at) => lineAt(from + at));
    makingUs += sum(process.threadCpuUsage(making));
    underWay.push(store.ingest({ ...call, service: `service-${(from / linesPerCall) % 20}`, lines }));
    if (underWay.length >= atOnce) await underWay.shift();
  }
  await Promise.all(underWay);
  const seconds = (performance.now() - startedAtMs) / 1_000;
  return { perSecond: size / seconds, cpuUs: (sum(process.cpuUsage(cpu)) - makingUs) / size };
}

const sum = ({ user, system }: { readonly user: number; readonly system: number }) => user + system;

const questions = (startMs: number): readonly (readonly [string, Filter])[] => [
  ['no filter', {}],
  ['a word in every line', { query: 'took' }],
  ['three words in every line', { query: 'GET took ms' }],
  ['two words, each in a fifth of the lines', { query: 'refused peer' }],
  ['words in order', { query: '"refused by peer"' }],
  ['errors', { levels: ['error', 'fatal'] }],
  ['errors with a word', { levels: ['error', 'fatal'], query: 'refused' }],
  ['one service', { services: ['service-7'] }],
  ['one service, errors, a word', { services: ['service-7'], levels: ['error', 'fatal'], query: 'shipped' }],
  ['a word in one line of millions', { query: '7b1f33' }],
  ['an address', { query: '10.0.17.99' }],
  ['a word in no line', { query: 'nosuchword' }],
  [
    'ten minutes four days ago, a word',
    { sinceMs: startMs + 3 * dayMs, untilMs: startMs + 3 * dayMs + 600_000, query: 'timeout' },
  ],
  ['a regular expression', { regex: String.raw`orders/77\d+ ` }],
];

async function measured(store: Store, filter: Filter): Promise<[number, number, number, number]> {
  const call = testCall();
  const times: number[] = [];
  let count = 0;
  for (let round = 0; round < searches; round += 1) {
    const startedAtMs = performance.now();
    const { lines } = await store.find(filter, { order: 'newest', limit: found }, call);
    times.push(performance.now() - startedAtMs);
    count = lines.length;
  }
  return [count, percentile(times, 0.5), percentile(times, 0.99), times[0] ?? 0];
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((total, name) => {
    const stats = statSync(join(folder, name));
    return total + (stats.isFile() ? stats.size : 0);
  }, 0);
}
