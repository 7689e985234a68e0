/** A Redis for tests: on a free port of the loopback, in a folder of its own. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { endingWithUs } from '#runtime/sandbox.ts';

/** Why there is none here. */
export const noRedis: string | undefined =
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
      const { stdout, stderr } = spawnSync('redis-cli', ['-p', String(port), ...command], {
        encoding: 'utf8',
      });
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

/** Three masters, each with a third of the slots. */
export async function startCluster(
  own: readonly string[] = [],
): Promise<{ readonly url: string; readonly masters: readonly RedisServer[] } & AsyncDisposable> {
  const count = 3;
  const stack = new AsyncDisposableStack();
  const masters: RedisServer[] = [];
  for (let index = 0; index < count; index += 1) {
    // Gossip goes over a port of its own.
    const gossip = String(await freePort());
    const settings = [
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      gossip,
      '--cluster-node-timeout',
      '2000',
      ...own,
    ];
    masters.push(stack.use(await startRedis(settings)));
  }
  const [first] = masters as [RedisServer];
  const slots = 16_384;
  for (const [index, master] of masters.entries()) {
    const [from, end] = [index, index + 1].map((at) => Math.floor((at * slots) / count)) as [number, number];
    master.say('CLUSTER', 'ADDSLOTSRANGE', String(from), String(end - 1));
    const [, bus = ''] = /@(\d+)/.exec(master.say('CLUSTER', 'NODES')) ?? [];
    if (index > 0) first.say('CLUSTER', 'MEET', '127.0.0.1', String(master.port), bus);
  }
  const knowsAll = (master: RedisServer) =>
    master.say('CLUSTER', 'INFO').includes('cluster_state:ok') &&
    master.say('CLUSTER', 'SLOTS').match(/127\.0\.0\.1/g)?.length === count;
  // oxlint-disable-next-line no-await-in-loop -- until it is so
  while (!masters.every(knowsAll)) await sleep(50);
  return { url: first.url, masters, [Symbol.asyncDispose]: async () => stack.disposeAsync() };
}
