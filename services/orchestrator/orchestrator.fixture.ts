/** An orchestrator on SQLite with clocks of its own, and its tools as clients call them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Log } from '#runtime/account/log.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { databaseName, openSqlite } from './ledger/sqlite.ts';
import { openOrchestrator, type Orchestrator } from './orchestrator.ts';
import { allTools } from './service.ts';

type Arguments = Readonly<Record<string, unknown>>;
// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer is looked at field by field
export type Answer = Readonly<Record<string, any>>;

export const start = Date.parse('2026-11-29T12:00:00Z');

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const plenty = { items: 1_000_000, bytes: 1_000_000_000 };

export interface Trial extends AsyncDisposable {
  readonly orchestrator: Orchestrator;
  /** The clock of the host, and the uptime. */
  readonly clock: { wallMs: number; uptimeMs: number };
  readonly updated: string[];
  /** Calls a tool as a token. @throws ToolError. */
  call(caller: string, tool: string, args?: Arguments, overrides?: Partial<Call>): Promise<Answer>;
  /** Lets time pass, by both clocks, and does what is due. */
  pass(ms: number): Promise<void>;
  /** Stops it, and starts it again on the same data. */
  restart(): Promise<void>;
}

export async function openTrial(
  overrides: { readonly quota?: typeof plenty; readonly retentionMs?: number } = {},
): Promise<Trial> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-orchestrator-'));
  const clock = { wallMs: start, uptimeMs: 1_000 };
  const updated: string[] = [];
  const quota = overrides.quota ?? plenty;
  const open = async () =>
    openOrchestrator({
      engine: openSqlite(join(folder, databaseName), quota),
      quota,
      retentionMs: overrides.retentionMs ?? 90 * 86_400_000,
      log: silent,
      now: () => clock.wallMs,
      uptimeMs: () => clock.uptimeMs,
      resourceUpdated: (uri) => void updated.push(uri),
    });
  let orchestrator = await open();
  return {
    get orchestrator() {
      return orchestrator;
    },
    clock,
    updated,
    async call(caller, name, args = {}, callOverrides = {}) {
      const tool = allTools.find((one) => one.name === name);
      if (!tool) throw new Error(`There is no tool ${name}.`);
      return (await invoke(tool, args, orchestrator, {
        caller,
        nowMs: clock.wallMs,
        ...callOverrides,
      })) as Answer;
    },
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
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
