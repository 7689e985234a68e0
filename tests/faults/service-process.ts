/** One process of the fleet by itself, as the supervisor starts it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import type { ProcessName } from '#config/catalogue.ts';
import { entryOf } from '#config/catalogue.ts';

import { firstTokenFile } from '#runtime/access/tokens.ts';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { serveCommand } from '../../scripts/serve-command.ts';
import { settingsOf } from './acknowledged.ts';
import type { Target } from './writers.ts';

/** It ended before it listened. */
export class Refused extends Error {
  readonly code: number | null;
  constructor(code: number | null, words: string) {
    super(words);
    this.code = code;
  }
}

export interface ServiceProcess extends AsyncDisposable {
  readonly target: Target;
  kill(): Promise<void>;
  /** Stands still, and goes on. */
  freeze(): void;
  thaw(): void;
  /** @returns the exit code. */
  stop(): Promise<number | null>;
}

interface Options {
  readonly dataRoot: string;
  readonly portOffset: number;
  /** A module that is loaded before ours, to change what the process meets. */
  readonly preload?: string;
  /** Kills it, also while it starts. */
  readonly signal?: AbortSignal;
  readonly settings?: Readonly<Record<string, string>>;
}

/** @throws Refused */
export async function startProcess(name: ProcessName, options: Options): Promise<ServiceProcess> {
  const { dataRoot, portOffset, preload, signal, settings } = options;
  const [program = '', ...args] = serveCommand(name, preload ? ['--import', preload] : []);
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: isolatedEnvironment({
      ...settingsOf(dataRoot),
      ...settings,
      FLOTILLA_PORT_OFFSET: String(portOffset),
    }),
  });
  signal?.addEventListener('abort', () => child.kill('SIGKILL'));
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    words += chunk.toString('utf8');
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    child.kill(signal);
    const [code] = await closed;
    return code;
  };
  const listening = new Promise<void>((done) => {
    child.on('message', (message) => {
      if ('listening' in (message as object)) done();
    });
  });
  const code = await Promise.race([listening, closed.then(([code]) => ({ code }))]);
  if (code) throw new Refused(code.code, words);
  return {
    target: {
      url: `http://127.0.0.1:${(entryOf(name)?.port ?? 0) + portOffset}`,
      token: tokenIn(dataRoot),
    },
    kill: async () => void (await end('SIGKILL')),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    stop: async () => end('SIGTERM'),
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  };
}

/** The first token, which may use everything. */
export const tokenIn = (dataRoot: string) => readFileSync(firstTokenFile(dataRoot), 'utf8').trim();

/** The databases that a process keeps. */
export function databasesIn(dataDir: string): string[] {
  return readdirSync(dataDir)
    .filter((file) => file.endsWith('.db'))
    .map((file) => join(dataDir, file));
}

/** What SQLite's full check finds in the databases of a process that has ended. */
export function damagesIn(dataDir: string): string[] {
  return databasesIn(dataDir).flatMap((file) => {
    using database = new DatabaseSync(file);
    const findings = database
      .prepare('PRAGMA integrity_check')
      .all()
      .map((row) => String(row['integrity_check']));
    return findings.filter((finding) => finding !== 'ok');
  });
}
