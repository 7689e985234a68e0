/** Suite `peers`: the official servers over their own transport, as clients start them, and our memory service beside them. */
import { execFile } from 'node:child_process';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';

import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

import { parseHostSettings } from '#runtime/process/settings.ts';

import { connectTo } from '../client.ts';
import { startMemory } from './memory-server.ts';
import { proportionalSetMb, pssMethod } from './memory-use.ts';
import { skippedSection, type BenchContext, type Section } from './section.ts';
import { median } from './statistics.ts';

const title = 'Official servers';
const version = '2026.8.31';
const installDeadlineMs = 120_000;
const connectDeadlineMs = 10_000;

/** A small call of each, which changes nothing that a later one would notice. */
const search = { name: 'search_nodes', arguments: { query: 'tea' } };
const peers = [
  { name: 'memory', call: search },
  {
    name: 'sequential-thinking',
    call: {
      name: 'sequentialthinking',
      arguments: { thought: 'First.', thoughtNumber: 1, totalThoughts: 2, nextThoughtNeeded: true },
    },
  },
  { name: 'filesystem', call: { name: 'list_allowed_directories', arguments: {} } },
  { name: 'everything', call: { name: 'echo', arguments: { message: 'Tea.' } } },
] as const;

type ToolCall = Parameters<Client['callTool']>[0];

interface Peer extends AsyncDisposable {
  readonly client: Client;
  readonly pid: number;
}

const paces = {
  quick: { starts: 2, seconds: 1 },
  normal: { starts: 5, seconds: 5 },
  full: { starts: 9, seconds: 10 },
} as const satisfies Record<BenchContext['depth'], { starts: number; seconds: number }>;

export async function peerServers({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-peers-'));
  progress(`peers: installing ${peers.length} packages`);
  const refused = await install(folder.path);
  if (refused !== undefined) return [skippedSection(title, `npm could not install them: ${refused}`)];

  const { starts, seconds } = paces[depth];
  const rows: (string | number)[][] = [];
  const measure = async (name: string, transport: string, start: () => Promise<Peer>, call: ToolCall) => {
    progress(`peers: ${name}`);
    const firstMs: number[] = [];
    for (let count = 1; count <= starts; count++) {
      const startedAtMs = performance.now();
      await using peer = await start();
      await peer.client.listTools();
      firstMs.push(performance.now() - startedAtMs);
      if (count === starts) {
        const idleMb = proportionalSetMb(peer.pid);
        const callsPerSecond = await callInTurn(peer.client, call, seconds);
        rows.push([name, transport, median(firstMs), callsPerSecond, idleMb, proportionalSetMb(peer.pid)]);
      }
    }
  };
  for (const { name, call } of peers) {
    await measure(`official ${name}`, 'stdio', async () => startOverStdio(folder.path, name), call);
  }
  let data = 0;
  await measure(
    'Flotilla memory',
    'HTTP',
    async () => startOurs(join(folder.path, `data-${++data}`)),
    search,
  );
  return [
    {
      title,
      method:
        `@modelcontextprotocol/server-* ${version} from the npm registry, run by this Node over stdio; the client is the ` +
        `SDK's, in the bench's own process. First answer: from the start of the process to the answer of the first ` +
        `tools/list, median of ${starts} starts. Calls: one after the other for ${seconds} s, of a small tool that only ` +
        `reads. ${pssMethod} It is read before and after the calls. An official server serves one client; ours serves all of them. Nothing is pinned to a core.`,
      columns: [
        { name: 'server' },
        { name: 'transport' },
        { name: 'first answer ms' },
        { name: 'calls/s' },
        { name: 'MB before', digits: 1 },
        { name: 'MB after', digits: 1 },
      ],
      rows,
      chart: { column: 3 },
    },
  ];
}

/** What npm said when it could not; `undefined` when all is there. */
async function install(folder: string): Promise<string | undefined> {
  const packages = peers.map(({ name }) => `@modelcontextprotocol/server-${name}@${version}`);
  try {
    await promisify(execFile)('npm', ['install', '--prefix', folder, '--no-save', ...packages], {
      timeout: installDeadlineMs,
    });
    return undefined;
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    return (stderr ?? message).trim().split('\n').slice(0, 2).join(' ');
  }
}

async function startOverStdio(folder: string, name: string): Promise<Peer> {
  const script = join(folder, 'node_modules/@modelcontextprotocol', `server-${name}`, 'dist/index.js');
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [script, ...(name === 'filesystem' ? [folder] : [])],
    env: { MEMORY_FILE_PATH: join(folder, 'memory.jsonl') },
    stderr: 'ignore',
  });
  const client = new Client({ name: 'bench', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(transport);
  return { client, pid: transport.pid ?? 0, [Symbol.asyncDispose]: async () => client.close() };
}

async function startOurs(folder: string): Promise<Peer> {
  await using stack = new AsyncDisposableStack();
  const { server, settings } = await startMemory(folder);
  stack.use(server);
  const client = await connectTo('memory', parseHostSettings(settings), connectDeadlineMs);
  stack.move();
  return {
    client,
    pid: server.pid,
    async [Symbol.asyncDispose]() {
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function callInTurn(client: Client, call: ToolCall, seconds: number): Promise<number> {
  const startedAtMs = performance.now();
  for (let calls = 1; ; calls++) {
    const { isError, content } = await client.callTool(call);
    if (isError) throw new Error(`${call.name} answered ${JSON.stringify(content)}`);
    const elapsedMs = performance.now() - startedAtMs;
    if (elapsedMs > seconds * 1000) return (calls / elapsedMs) * 1000;
  }
}
