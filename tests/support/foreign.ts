/** Real servers of others, mounted as the gateway mounts them. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { vi } from 'vitest';

import { createLog } from '#runtime/account/log.ts';

import { Mounts } from '../../gateway/foreign/mounts.ts';
import { pinsFile, type Pins } from '../../gateway/foreign/pins.ts';
import type { ForeignServer } from '../../gateway/foreign/server.ts';
import type { UpstreamEntry } from '../../gateway/foreign/upstreams-file.ts';
import { refusedIn } from './refused-schema.ts';

export class Mounted implements AsyncDisposable {
  readonly mounts: Mounts;
  readonly logged: string[] = [];

  constructor(folder: string, upstreams: Readonly<Record<string, UpstreamEntry>>) {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'upstreams.json');
    writeFileSync(file, JSON.stringify({ upstreams }));
    this.mounts = new Mounts({
      file,
      secretsFile: join(folder, 'upstreams.env'),
      dataDir: join(folder, 'gateway'),
      environment: {},
      log: createLog('gateway', 'info', (line) => void this.logged.push(line)),
      now: Date.now,
      fleet: () => ({ tools: new Map(), prompts: new Map(), schemes: new Set(['memory']) }),
      firstDelayMs: 100,
    });
  }

  async up(names: readonly string[]): Promise<void> {
    await vi.waitFor(
      () => {
        const missing = names.filter((name) => this.find(name)?.state.status !== 'up');
        if (missing.length > 0)
          throw new Error(
            missing.map((name) => `${name}: ${JSON.stringify(this.find(name)?.state)}`).join('\n'),
          );
      },
      { timeout: 90_000, interval: 50 },
    );
  }

  find(name: string): ForeignServer | undefined {
    return this.mounts.servers.find((one) => one.name === name);
  }

  server(name: string): ForeignServer {
    const found = this.find(name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  }

  async call(server: string, tool: string, args: object) {
    return this.server(server).request('tools/call', { name: `${server}_${tool}`, arguments: args });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mounts[Symbol.asyncDispose]();
  }
}

/** What of the listed schemas and names some client is known to refuse. What takes anything has no type to tell. */
export function refusedOf({ surface }: ForeignServer): string[] {
  return surface.tools.flatMap(({ name, inputSchema, outputSchema }) => [
    ...(/^[a-zA-Z0-9_-]{1,49}$/.test(name) ? [] : [`${name}: its name`]),
    ...refusedIn(inputSchema, 'input', name).filter((complaint) => !complaint.endsWith(': no type')),
    ...(outputSchema === undefined ? [] : refusedIn(outputSchema, 'output', name)),
  ]);
}

/** As if the server had said something else at first sight: what it says now is a change. */
export function forgePin(folder: string, server: string): string {
  const file = pinsFile(join(folder, 'gateway'), server);
  const { pinned, held } = JSON.parse(readFileSync(file, 'utf8')) as Pins;
  const index = pinned.findIndex(({ kind }) => kind === 'tool');
  const pin = pinned[index];
  if (!pin) throw new Error(`${server} has no tool`);
  const forged = { ...pin, hash: '0'.repeat(64), value: { ...pin.value, description: 'As it was.' } };
  writeFileSync(file, JSON.stringify({ pinned: pinned.with(index, forged), held }));
  return pin.name;
}

/** A server over HTTP, ended with the test. */
export function serveHttp(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Disposable {
  const path = `${dirname(process.execPath)}:/usr/bin:/bin`;
  const child = spawn(command, args, { env: { PATH: path, HOME: '/tmp', ...env }, stdio: 'ignore' });
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
}
