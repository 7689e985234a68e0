/** Each engine, opened on nothing, for the tests that hold them to one behaviour. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Quota } from '#runtime/quotas.ts';

import type { Engine, EntryChange, Listener } from './engine.ts';
import { noRedis, startCluster, startRedis } from './redis-server.fixture.ts';
import { openHub } from './redis.fixture.ts';
import { databaseName, openSqlite } from './sqlite.ts';

export interface Opened extends AsyncDisposable {
  readonly engine: Engine;
  readonly changes: EntryChange[];
  readonly arrived: string[];
  /** The same data, opened once more, after this one was closed; at that time, where an engine asks for it. */
  reopen(nowMs?: number): Promise<Opened>;
}

const plenty: Quota = { items: 1_000_000, bytes: 1_000_000_000 };

export function listening() {
  const changes: EntryChange[] = [];
  const arrived: string[] = [];
  const listener: Listener = {
    changed: (change) => void changes.push(change),
    arrived: (agent) => void arrived.push(agent),
  };
  return { changes, arrived, listener };
}

async function sqlite(quota = plenty): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-hub-'));
  const open = (nowMs?: number): Opened => {
    const { changes, arrived, listener } = listening();
    const engine = openSqlite(join(folder, databaseName), quota, listener, nowMs);
    return {
      engine,
      changes,
      arrived,
      async reopen(nowMs) {
        await engine[Symbol.asyncDispose]();
        return open(nowMs);
      },
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  };
  return open();
}

let redisUrl = '';
let clusterUrl = '';
let meshes = 0;

/** Each has keys of its own on one server. */
async function meshAt(url: string, quota: Quota, isCluster: boolean): Promise<Opened> {
  const prefix = `mesh-${(meshes += 1)}`;
  const open = async (): Promise<Opened> => {
    const { engine, changes, arrived } = await openHub(url, { prefix, isCluster }, quota);
    return {
      engine,
      changes,
      arrived,
      async reopen() {
        await engine[Symbol.asyncDispose]();
        return open();
      },
      [Symbol.asyncDispose]: async () => engine[Symbol.asyncDispose](),
    };
  };
  return open();
}

const takesLong = process.env['FAULT_TRIALS'] === 'all';

export const engines: Readonly<Record<string, (quota?: Quota) => Promise<Opened>>> = {
  sqlite,
  redis: async (quota = plenty) => meshAt(redisUrl, quota, false),
  ...(takesLong && { 'redis as a cluster': async (quota = plenty) => meshAt(clusterUrl, quota, true) }),
};

interface Surroundings {
  /** Why it cannot be had here. */
  readonly missing: string | undefined;
  readonly start: () => Promise<AsyncDisposable>;
}

/** What an engine needs around it, for all of its tests. */
export const surroundings: Readonly<Record<string, Surroundings>> = {
  redis: {
    missing: noRedis,
    start: async () => {
      const server = await startRedis();
      redisUrl = server.url;
      return server;
    },
  },
  'redis as a cluster': {
    missing: noRedis,
    start: async () => {
      const cluster = await startCluster();
      clusterUrl = cluster.url;
      return cluster;
    },
  },
};
