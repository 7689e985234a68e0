/** Orchestrators with clocks of their own, on each engine, and their tools as clients call them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Log } from '#runtime/account/log.ts';
import type { Holding, Quota } from '#runtime/quotas.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import type { Engine } from './ledger/engine.ts';
import { openPostgres } from './ledger/postgres.ts';
import { loadHoldings } from './ledger/quota.ts';
import { databaseName, openSqlite } from './ledger/sqlite.ts';
import { openOrchestrator, type Orchestrator } from './orchestrator.ts';
import { allTools } from './service.ts';

type Arguments = Readonly<Record<string, unknown>>;
// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is looked at field by field
export type Answer = Readonly<Record<string, any>>;

/** Where an engine keeps its data, and how it is opened there again and again. */
interface Store extends AsyncDisposable {
  open(quota: Quota): Engine | Promise<Engine>;
}

let databaseUrl = '';
let schemas = 0;

/** Where the engine on PostgreSQL finds its server, for all tests of a file. */
export function useDatabase<Server extends { readonly url: string }>(server: Server): Server {
  databaseUrl = server.url;
  return server;
}

/** Each has tables of its own on one server. */
export const settingsFor = (schema = `trial_${(schemas += 1)}`, connections = 4) => ({
  url: databaseUrl,
  schema,
  connections,
});

/** One suite holds all engines to one behaviour: an engine joins with one entry. */
export const engines: Readonly<Record<string, () => Store | Promise<Store>>> = {
  SQLite() {
    const folder = mkdtempSync(join(tmpdir(), 'flotilla-orchestrator-'));
    return {
      open: (quota) => openSqlite(join(folder, databaseName), quota),
      async [Symbol.asyncDispose]() {
        rmSync(folder, { recursive: true, force: true });
      },
    };
  },
  PostgreSQL() {
    const settings = settingsFor();
    return {
      open: async (quota) => openPostgres(settings, quota, silent),
      // They go with the server.
      async [Symbol.asyncDispose]() {},
    };
  },
};

export const start = Date.parse('2026-11-29T12:00:00Z');

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
export const plenty = { items: 1_000_000, bytes: 1_000_000_000 };

export interface Trial extends AsyncDisposable {
  readonly orchestrator: Orchestrator;
  /** The clock of the host, and the uptime. */
  readonly clock: { wallMs: number; uptimeMs: number };
  readonly updated: string[];
  /** Calls a tool as a token. @throws ToolError. */
  call(caller: string, tool: string, args?: Arguments, overrides?: Partial<Call>): Promise<Answer>;
  /** Makes tasks. @returns their ids by key. */
  make(...tasks: Arguments[]): Promise<Readonly<Record<string, string>>>;
  /** Claims one task as the worker `ada` of the token `worker`. @returns what each call about it shows. */
  claim(worker?: string): Promise<{ readonly task_id: string; readonly fence: number }>;
  task(id: string): Promise<Answer>;
  /** What tokens keep now. */
  holdings(): Promise<readonly Holding[]>;
  /** Lets time pass, by both clocks, and does what is due. */
  pass(ms: number): Promise<void>;
  /** Stops it, and starts it again on the same data. */
  restart(): Promise<void>;
}

export async function openTrial(
  overrides: { readonly engine?: string; readonly quota?: Quota; readonly retentionMs?: number } = {},
): Promise<Trial> {
  const store = await engines[overrides.engine ?? 'SQLite']?.();
  if (!store) throw new Error(`There is no engine ${overrides.engine}.`);
  const clock = { wallMs: start, uptimeMs: 1_000 };
  const updated: string[] = [];
  const quota = overrides.quota ?? plenty;
  const open = async () =>
    openOrchestrator({
      engine: await store.open(quota),
      quota,
      retentionMs: overrides.retentionMs ?? 90 * 86_400_000,
      log: silent,
      now: () => clock.wallMs,
      uptimeMs: () => clock.uptimeMs,
      resourceUpdated: (uri) => void updated.push(uri),
    });
  let orchestrator = await open();
  async function call(caller: string, name: string, args: Arguments = {}, callOverrides: Partial<Call> = {}) {
    const tool = allTools.find((one) => one.name === name);
    if (!tool) throw new Error(`There is no tool ${name}.`);
    const given = { caller, nowMs: clock.wallMs, ...callOverrides };
    return (await invoke(tool, args, orchestrator, given)) as Answer;
  }
  return {
    get orchestrator() {
      return orchestrator;
    },
    clock,
    updated,
    call,
    async make(...tasks) {
      const made = await call('planner', 'create_tasks', { tasks });
      const rows = made['tasks'] as { task_id: string; key?: string }[];
      return Object.fromEntries(rows.map(({ task_id: id, key }, at) => [key ?? String(at), id]));
    },
    async claim(worker = 'ada') {
      await call('worker', 'register_worker', { worker, capabilities: ['code'], most_tasks: 5 });
      const claimed = await call('worker', 'claim_tasks', { worker });
      const [task] = claimed['tasks'] as { task_id: string; lease: { fence: number } }[];
      if (!task) throw new Error('There is nothing to claim.');
      return { task_id: task.task_id, fence: task.lease.fence };
    },
    holdings: async () => orchestrator.desk.look(loadHoldings),
    task: async (id) => (await call('planner', 'get_task', { task_id: id }))['task'] as Answer,
    async pass(ms) {
      clock.wallMs += ms;
      clock.uptimeMs += ms;
      await orchestrator.tending.tend();
    },
    async restart() {
      await orchestrator[Symbol.asyncDispose]();
      orchestrator = await open();
    },
    async [Symbol.asyncDispose]() {
      await orchestrator[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}
