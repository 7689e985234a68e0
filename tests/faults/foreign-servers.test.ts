/** Servers of others as the registry has them, mounted over both transports. Each is asked only what needs no network and no key. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { whyNoSandbox } from '#runtime/sandbox.ts';

import type { UpstreamEntry } from '../../gateway/foreign/upstreams-file.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { forgePin, Mounted, refusedOf, serveHttp } from '../support/foreign.ts';
import { temporaryFolder } from '../support/serve.ts';

interface Trial {
  readonly package: string;
  readonly program: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A harmless call, and what its answer says. */
  readonly call: readonly [tool: string, args: object, says: RegExp];
  /** It would ask the network: in a sandbox without one it is called so, and outside refused by its own schema. */
  readonly inBox?: readonly [args: object, says: RegExp];
  /** How it is told to speak HTTP on this port. */
  readonly http?: (port: number) => {
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  };
  readonly headers?: Readonly<Record<string, string>>;
  /** Kinds of findings that it is known to give. */
  readonly findings?: readonly string[];
}

const folder = temporaryFolder();
const files = join(folder.path, 'files');
const secret = 'a-token-of-the-trial';

const trials: Readonly<Record<string, Trial>> = {
  everything: {
    package: '@modelcontextprotocol/server-everything@2026.8.31',
    program: 'mcp-server-everything',
    call: ['echo', { message: 'hi' }, /Echo: hi/],
    http: (port) => ({ args: ['streamableHttp'], env: { PORT: String(port) } }),
  },
  graph: {
    package: '@modelcontextprotocol/server-memory@2026.8.31',
    program: 'mcp-server-memory',
    env: { MEMORY_FILE_PATH: join(files, 'memory.jsonl') },
    call: ['read_graph', {}, /entities/],
  },
  files: {
    package: '@modelcontextprotocol/server-filesystem@2026.8.31',
    program: 'mcp-server-filesystem',
    args: [files],
    call: ['list_directory', { path: files }, /\[FILE\] note\.txt/],
  },
  thinking: {
    package: '@modelcontextprotocol/server-sequential-thinking@2026.8.31',
    program: 'mcp-server-sequential-thinking',
    call: [
      'sequentialthinking',
      { thought: 'so', nextThoughtNeeded: false, thoughtNumber: 1, totalThoughts: 1 },
      /thoughtHistoryLength/,
    ],
  },
  github: {
    package: '@modelcontextprotocol/server-github@2025.4.8',
    program: 'mcp-server-github',
    env: { GITHUB_PERSONAL_ACCESS_TOKEN: 'none' },
    call: ['get_issue', { owner: 'a', repo: 'b' }, /issue_number/],
    inBox: [{ owner: 'a', repo: 'b', issue_number: 1 }, /fetch failed|ENOTFOUND|EAI_AGAIN/],
  },
  context7: {
    package: '@upstash/context7-mcp@4.1.1',
    program: 'context7-mcp',
    call: ['query-docs', { libraryId: '/x/y' }, /query/],
    inBox: [{ libraryId: '/x/y', query: 'z' }, /fetch failed|ENOTFOUND|EAI_AGAIN/],
    http: (port) => ({ args: ['--transport', 'http', '--port', String(port)] }),
    findings: ['pushing'],
  },
  eslint: {
    package: '@eslint/mcp@0.3.13',
    program: 'mcp',
    call: ['lint-files', { filePaths: [join(files, 'note.js')] }, /note\.js|config/i],
  },
  chart: {
    package: '@antv/mcp-server-chart@0.9.10',
    program: 'mcp-server-chart',
    call: ['generate_pie_chart', { data: [] }, /data/i],
    inBox: [{ data: [{ category: 'a', value: 1 }] }, /fetch failed|ENOTFOUND|EAI_AGAIN/],
    http: (port) => ({ args: ['--transport', 'streamable', '--port', String(port)] }),
  },
  databases: {
    package: 'mcp-sqlite-tools@0.1.1',
    program: 'mcp-sqlite-tools',
    call: ['list_databases', {}, /databases/],
  },
  chrome: {
    package: 'chrome-devtools-mcp@1.11.0',
    program: 'chrome-devtools-mcp',
    args: ['--executablePath', '/no/such/browser'],
    call: ['list_pages', {}, /browser|executable/i],
  },
  repositories: {
    package: '@cyanheads/git-mcp-server@2.15.3',
    program: 'git-mcp-server',
    call: ['git_status', { path: files }, /not a git repository/],
    http: (port) => ({ env: { MCP_TRANSPORT_TYPE: 'http', MCP_HTTP_PORT: String(port) } }),
  },
  tavily: {
    package: 'tavily-mcp@0.2.22',
    program: 'tavily-mcp',
    env: { TAVILY_API_KEY: 'tvly-none' },
    call: ['tavily_search', {}, /query/],
    inBox: [{ query: 'z' }, /fetch failed|ENOTFOUND|EAI_AGAIN/],
  },
  notion: {
    package: '@notionhq/notion-mcp-server@2.5.2',
    program: 'notion-mcp-server',
    env: { NOTION_TOKEN: 'none' },
    call: ['API-get-user', {}, /user_id/],
    inBox: [{ user_id: 'a' }, /fetch failed|ENOTFOUND|EAI_AGAIN/],
    http: (port) => ({ args: ['--transport', 'http', '--port', String(port), '--auth-token', secret] }),
    headers: { Authorization: `Bearer ${secret}` },
  },
};

const programOf = ({ program }: Trial) => join(folder.path, 'node_modules/.bin', program);
const stack = new AsyncDisposableStack();
let mounted: Mounted;
let why: string | undefined;
let noSandbox: string | undefined;

const upstreams: Record<string, UpstreamEntry> = {};

beforeAll(async () => {
  noSandbox = await whyNoSandbox();
  mkdirSync(files);
  writeFileSync(join(files, 'note.txt'), 'A note.');
  writeFileSync(join(files, 'note.js'), 'let a = 1;');
  writeFileSync(join(folder.path, 'package.json'), '{}');
  const packages = Object.values(trials).map((trial) => trial.package);
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  const installed = spawnSync('npm', ['install', ...flags, ...packages], {
    cwd: folder.path,
    encoding: 'utf8',
  });
  if (installed.status !== 0) {
    why = `the registry cannot be reached: ${installed.stderr.slice(0, 300)}`;
    return;
  }
  let port = 8_790 + (await freePortOffset());
  for (const [name, trial] of Object.entries(trials)) {
    const { args = [], env = {}, http, headers = {} } = trial;
    const sandbox = trial.inBox && !noSandbox ? { sandbox: 'files' as const, read: [folder.path] } : {};
    upstreams[name] = { command: programOf(trial), args: [...args], env: { ...env }, ...sandbox };
    if (!http) continue;
    port += 1;
    const way = http(port);
    stack.use(serveHttp(programOf(trial), way.args ?? [], { ...env, ...way.env }));
    upstreams[`${name}-http`] = { url: `http://127.0.0.1:${port}/mcp`, headers: { ...headers } };
  }
  mounted = new Mounted(folder.path, upstreams);
  await mounted.up(Object.keys(upstreams));
}, 600_000);

afterAll(async () => {
  await mounted?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
  folder[Symbol.dispose]();
});

const trialOf = (name: string) => trials[name.replace(/-http$/, '')] ?? trials['everything'];
const all = Object.entries(trials).flatMap(([name, { http }]) => (http ? [name, `${name}-http`] : [name]));

test.for(all)('%s is listed in words that every client takes, and called', async (name, context) => {
  if (why !== undefined) context.skip(why);
  const server = mounted.server(name);
  const trial = trialOf(name);
  const [tool, ...plain] = trial?.call ?? ['', {}, /^$/];
  const isInBox = trial?.inBox && !noSandbox && !name.endsWith('-http');
  const [args, says] = isInBox ? trial.inBox : plain;

  expect(server.surface.tools.length).toBeGreaterThan(0);
  expect(server.refused.filter(({ subject }) => subject.startsWith('tool'))).toEqual([]);
  expect(refusedOf(server)).toEqual([]);
  expect([...new Set(server.findings.map(({ kind }) => kind))]).toEqual(trial?.findings ?? []);

  // An answer of its own, or one of ours by its own schema: that it cannot be reached is neither.
  const outward = `${server.upstream.prefix}${tool}`;
  const answer = await server
    .request('tools/call', { name: outward, arguments: args })
    .catch((error: unknown) => ({
      error: (error as Error).message,
      code: (error as { code?: unknown }).code,
    }));
  expect(JSON.stringify(answer)).toMatch(says);
  expect(JSON.stringify(answer)).not.toMatch(/"code":"(?:unavailable|timeout|internal)"/);
});

test('each that is killed comes back by itself', async (context) => {
  if (why !== undefined) context.skip(why);
  const names = Object.keys(trials);
  const before = new Map(names.map((name) => [name, mounted.server(name).starts]));
  for (const name of names) process.kill(-(mounted.server(name).pid ?? 0), 'SIGKILL');

  await vi.waitFor(
    () => expect(names.filter((name) => mounted.server(name).starts <= (before.get(name) ?? 0))).toEqual([]),
    { timeout: 60_000 },
  );
  await mounted.up(names);
});

test('each that says something else than at first sight is held back', async (context) => {
  if (why !== undefined) context.skip(why);
  await mounted[Symbol.asyncDispose]();
  const forged = Object.keys(upstreams).map((name) => [name, [forgePin(folder.path, name)]] as const);
  mounted = new Mounted(folder.path, upstreams);
  await mounted.up(Object.keys(upstreams));

  expect(
    Object.keys(upstreams).map((name) => [name, mounted.server(name).held.map((pin) => pin.name)]),
  ).toEqual(forged);
});
