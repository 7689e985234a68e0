/** A Redis for tests: on a free port of the loopback, in a folder of its own. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, beforeEach } from 'vitest';

import { endingWithUs } from '#runtime/sandbox.ts';

export const noRedis =
  spawnSync('redis-server', ['--version']).error &&
  'redis-server is not installed (Debian: apt-get install redis-tools, and a link redis-server to redis-check-rdb): the engine on Redis is not tried';

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly url: string;
  /** Says a command to it, as redis-cli would. */
  say(...command: readonly string[]): string;
  kill(): Promise<void>;
  /** Stands still from now on. */
  freeze(): void;
  /** In the same folder, on the same port. */
  start(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @param settings as on its command line, such as `['--appendfsync', 'always']`. */
export async function startRedis(settings: readonly string[] = []): Promise<RedisServer> {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-redis-'));
  const port = await freePort();
  let server: ChildProcess | undefined;

  async function start() {
    const [program, ...before] = [...endingWithUs('KILL'), 'redis-server'];
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder.path];
    const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'];
    const child = spawn(program, [...before, ...own, ...kept, ...settings], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    server = child;
    let said = '';
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.stdout.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-4_000);
      if (said.includes('Ready to accept connections')) resolve();
    });
    child.once('exit', () => reject(new Error(`redis-server ends at its start: ${said}`)));
    await promise;
  }

  async function kill() {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  }

  await start();
  return {
    port,
    folder: folder.path,
    url: `redis://127.0.0.1:${port}`,
    say: (...command) => {
      const { stdout, stderr } = spawnSync('redis-cli', ['-p', String(port), ...command], { encoding: 'utf8' });
      return `${stdout}${stderr}`.trim();
    },
    kill,
    freeze: () => void server?.kill('SIGSTOP'),
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      folder.remove();
    },
  };
}

/** One server for all tests of a file; without the program they are skipped, and say so. */
export function sharedRedis(settings: readonly string[] = []): { readonly server: () => RedisServer } {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    if (!noRedis) server = await startRedis(settings);
  });
  afterAll(async () => server?.[Symbol.asyncDispose]());
  beforeEach((context) => {
    if (noRedis) context.skip(noRedis);
  });
  return { server: () => server as RedisServer };
}
