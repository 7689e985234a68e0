/** Reads one task so many times a second, over gRPC with the stock client or over MCP: takes one order from its parent, sends back what it saw. */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { credentials, loadPackageDefinition, Metadata, type ServiceClientConstructor } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

import { leanClient } from './lean-client.ts';
import { percentile } from './statistics.ts';

export interface ReadOrder {
  readonly url: string;
  readonly token: string;
  readonly way: 'grpc' | 'mcp';
  readonly task: string;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ReadSeen {
  readonly done: number;
  readonly failed: number;
  readonly seconds: number;
  /** From when a read was due. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What a read takes of this process. */
  readonly cpuUs: number;
}

const tickMs = 2;
const connections = 64;

type Read = () => Promise<unknown>;

function overGrpc({ url, token, task }: ReadOrder): Read & Disposable {
  const definition = loadSync('flotilla/v1/coordinator.proto', {
    includeDirs: [fileURLToPath(new URL('../../proto', import.meta.url))],
    keepCase: true,
  });
  const made = loadPackageDefinition(definition) as unknown as {
    flotilla: { v1: { CoordinatorService: ServiceClientConstructor } };
  };
  const client = new made.flotilla.v1.CoordinatorService(new URL(url).host, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const read = async () =>
    new Promise((resolve, reject) => {
      const methods = client as unknown as Record<string, (...args: unknown[]) => void>;
      methods['GetTask']?.({ task_id: task }, metadata, (error: Error | null, answer: unknown) =>
        error ? reject(error) : resolve(answer),
      );
    });
  return Object.assign(read, { [Symbol.dispose]: () => client.close() });
}

function overMcp({ url, token, task }: ReadOrder): Read & Disposable {
  const caller = leanClient({ url, token }, connections);
  const read = async () => caller.call('get_task', { task_id: task });
  return Object.assign(read, { [Symbol.dispose]: () => caller[Symbol.dispose]() });
}

async function reads(order: ReadOrder): Promise<ReadSeen> {
  const { way, perSecond, seconds } = order;
  using read = way === 'grpc' ? overGrpc(order) : overMcp(order);
  for (let warm = 0; warm < perSecond; warm += 1) await read();
  const tookMs: number[] = [];
  let failed = 0;
  const open = new Set<Promise<void>>();
  const cpu = process.cpuUsage();
  const startedAtMs = performance.now();
  for (let sent = 0; sent < perSecond * seconds;) {
    for (; sent < perSecond * seconds; sent += 1) {
      const dueAtMs = startedAtMs + (sent * 1_000) / perSecond;
      if (dueAtMs > performance.now()) break;
      const one = read().then(
        () => void tookMs.push(performance.now() - dueAtMs),
        () => void (failed += 1),
      );
      open.add(one);
      void one.then(() => open.delete(one));
    }
    await pause(tickMs);
  }
  await Promise.all(open);
  const { user, system } = process.cpuUsage(cpu);
  return {
    done: tookMs.length,
    failed,
    seconds: (performance.now() - startedAtMs) / 1_000,
    p50Ms: percentile(tookMs, 0.5),
    p99Ms: percentile(tookMs, 0.99),
    cpuUs: (user + system) / (perSecond * seconds),
  };
}

process.on('disconnect', () => process.exit());
process.once('message', (order: ReadOrder) => {
  reads(order).then(
    (seen) => process.send?.(seen, () => process.disconnect?.()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
