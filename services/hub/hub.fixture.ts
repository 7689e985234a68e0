/** A hub on SQLite with a clock of its own, and its tools as clients call them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Log } from '#runtime/account/log.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import type { Engine, Listener } from './engine/engine.ts';
import { databaseName, openSqlite } from './engine/sqlite.ts';
import { openHub, type Hub } from './hub.ts';
import type { Policy } from './mesh.ts';
import { allTools } from './service.ts';

type Arguments = Readonly<Record<string, unknown>>;
// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is looked at field by field
type Answer = Readonly<Record<string, any>>;

export const start = Date.parse('2026-11-29T12:00:00Z');

const policy: Policy = {
  ttlMs: 3_600_000,
  leaseMs: 60_000,
  mostAttempts: 3,
  retentionMs: 7 * 86_400_000,
  trimEveryMs: 300_000,
  rulers: ['operator'],
};

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const plenty = { items: 1_000_000, bytes: 1_000_000_000 };

export interface Trial extends AsyncDisposable {
  readonly hub: Hub;
  readonly engine: Engine;
  readonly clock: { nowMs: number };
  readonly updated: string[];
  /** Calls a tool as a token. @throws ToolError. */
  call(caller: string, tool: string, args: Arguments, overrides?: Partial<Call>): Promise<Answer>;
}

/** @param overrides with `openEngine` for another one than SQLite. */
export async function openTrial(
  overrides: {
    readonly policy?: Partial<Policy>;
    readonly quota?: typeof plenty;
    readonly openEngine?: (listener: Listener) => Promise<Engine>;
  } = {},
): Promise<Trial> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-hub-'));
  const clock = { nowMs: start };
  const updated: string[] = [];
  let engine: Engine | undefined;
  const hub = await openHub({
    async openEngine(listener) {
      engine =
        (await overrides.openEngine?.(listener)) ??
        openSqlite(join(folder, databaseName), overrides.quota ?? plenty, listener);
      return engine;
    },
    policy: { ...policy, ...overrides.policy },
    compressionLevel: 3,
    failures: { file: ':memory:', scope: 'all' },
    log: silent,
    now: () => clock.nowMs,
    arrived: (agent) => void updated.push(agent),
  });
  if (!engine) throw new Error('The hub has opened no engine.');
  return {
    hub,
    engine,
    clock,
    updated,
    async call(caller, name, args, callOverrides = {}) {
      const tool = allTools.find((one) => one.name === name);
      if (!tool) throw new Error(`There is no tool ${name}.`);
      return (await invoke(tool, args, hub, { caller, nowMs: clock.nowMs, ...callOverrides })) as Answer;
    },
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
