/** Two servers that many use, as their makers publish them; more of them: tests/faults/foreign-servers.test.ts. */
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { whyNoSandbox } from '#runtime/sandbox.ts';

import { forgePin, Mounted, refusedOf, serveHttp } from '../../tests/support/foreign.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { differenceOf, pinsFile, readPins } from './pins.ts';

const folder = temporaryFolder();
const scriptOf = (name: string) =>
  fileURLToPath(new URL(`../../node_modules/@modelcontextprotocol/${name}/dist/index.js`, import.meta.url));
const everything = scriptOf('server-everything');
const http = { port: '20817' };
const sse = { port: '20818' };
const stack = new DisposableStack();
let why: string | undefined;
let mounted: Mounted;

const upstreams = () => ({
  everything: { command: process.execPath, args: [everything, 'stdio'] },
  far: { url: `http://127.0.0.1:${http.port}/mcp` },
  older: { url: `http://127.0.0.1:${sse.port}/sse`, type: 'sse' as const },
  graph: {
    command: process.execPath,
    args: [scriptOf('server-memory')],
    env: { MEMORY_FILE_PATH: `${folder.path}/memory.jsonl` },
    ...(why === undefined && { sandbox: 'files' as const, write: [folder.path] }),
  },
});

beforeAll(async () => {
  why = await whyNoSandbox();
  stack.use(serveHttp(process.execPath, [everything, 'streamableHttp'], { PORT: http.port }));
  stack.use(serveHttp(process.execPath, [everything, 'sse'], { PORT: sse.port }));
  mounted = new Mounted(folder.path, upstreams());
  await mounted.up(Object.keys(upstreams()));
});

afterAll(async () => {
  await mounted[Symbol.asyncDispose]();
  stack.dispose();
  folder[Symbol.dispose]();
});

test.each(['everything', 'far', 'older'])(
  '%s: tools, prompts, resources and progress come through',
  async (name) => {
    const server = mounted.server(name);
    const progress: number[] = [];

    expect(server.surface.tools.length).toBeGreaterThan(8);
    expect(refusedOf(server)).toEqual([]);
    expect(server.findings).toEqual([]);
    await expect(mounted.call(name, 'echo', { message: 'hello' })).resolves.toMatchObject({
      content: [{ type: 'text', text: 'Echo: hello' }],
      _meta: { 'dev.flotilla/untrusted': true, 'dev.flotilla/upstream': name },
    });
    await expect(mounted.call(name, 'get-sum', { a: '2', b: 3 })).resolves.toMatchObject({
      content: [{ text: expect.stringContaining('5') }],
    });
    const long = { name: `${name}_trigger-long-running-operation`, arguments: { duration: 0.2, steps: 2 } };
    await server.request('tools/call', long, { onprogress: (one) => void progress.push(one.progress) });
    expect(progress[0]).toBe(1);
    const prompt = { name: `${name}_args-prompt`, arguments: { city: 'Rome' } };
    await expect(server.request('prompts/get', prompt)).resolves.toMatchObject({
      messages: [{ role: 'user' }],
    });
    const uri = 'demo://resource/static/document/features.md';
    await expect(server.request('resources/read', { uri })).resolves.toMatchObject({ contents: [{ uri }] });
  },
);

test('an address of a template is found', () => {
  expect(mounted.server('everything').offersResource('demo://resource/dynamic/text/3')).toBe(true);
  expect(mounted.server('graph').offersResource('memory://knowledge-graph')).toBe(false);
});

test('one in a sandbox works on the paths that are named, and reaches no others', async (context) => {
  if (why !== undefined) context.skip(why);
  const name = 'Ada';
  const entities = [{ name, entityType: 'person', observations: ['wrote the first program'] }];

  await mounted.call('graph', 'create_entities', { entities });

  await expect(mounted.call('graph', 'read_graph', {})).resolves.toMatchObject({
    structuredContent: { entities: [{ name }] },
  });
});

test('one that is killed comes back by itself, and its tools stay listed', async () => {
  for (const name of ['everything', 'graph']) {
    const server = mounted.server(name);
    const { starts, pid = 0 } = server;
    process.kill(-pid, 'SIGKILL');
    await vi.waitFor(() => expect(server.starts).toBeGreaterThan(starts), { timeout: 20_000 });
    expect(server.surface.tools.length).toBeGreaterThan(8);
    await mounted.up([name]);
  }
  await expect(mounted.call('everything', 'echo', { message: 'again' })).resolves.toMatchObject({
    content: [{}],
  });
});

test('what it did not say at first sight is held back, and shown', async () => {
  await mounted[Symbol.asyncDispose]();
  const forged = forgePin(folder.path, 'graph');
  mounted = new Mounted(folder.path, { graph: upstreams().graph });
  await mounted.up(['graph']);

  const server = mounted.server('graph');
  const pins = readPins(pinsFile(`${folder.path}/gateway`, 'graph'));
  const [held] = server.held;
  expect(server.held.map(({ name }) => name)).toEqual([forged]);
  expect(server.surface.tools.map(({ name }) => name)).not.toContain(`graph_${forged}`);
  expect(pins && held && differenceOf(pins, held)).toContain('-description: As it was.\n+description: ');
});
