/** The service as it runs here: this machine's figures against what its own programs say, its names, and the fleet. */
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync } from 'node:fs';

import { afterAll, beforeAll, expect, test, type TestContext } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { eras } from '../../scripts/bench/message.ts';
import { callTool, codeOf, rpc } from '../../tests/support/rpc.ts';
import { serve, type Served } from '../../tests/support/serve.ts';
import { lookAtFleet, sumOnce } from './fleet.ts';
import service, { allTools, coreTools } from './service.ts';

let served: Served;
beforeAll(async () => {
  served = await serve(service);
});
afterAll(async () => served[Symbol.asyncDispose]());

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
async function ask(tool: string, args: object = {}): Promise<any> {
  const answer = await callTool(served, tool, args as Record<string, unknown>);
  if (answer.result?.['isError']) throw new Error(JSON.stringify(answer.result['content']));
  return answer.result?.['structuredContent'];
}

/** What a program of the host prints, by lines and words. */
function said(context: TestContext, program: string, ...args: readonly string[]): string[][] {
  if (!existsSync(`/usr/bin/${program}`)) return context.skip(`this machine has no ${program}`);
  const text = execFileSync(program, args, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } });
  return text.split('\n').map((line) => line.trim().split(/\s+/));
}

test('memory agrees with free', async (context) => {
  const lines = said(context, 'free', '-b');
  const [, total, , , shared, , available] = lines.find(([name]) => name === 'Mem:')?.map(Number) ?? [];

  const { ram, swap } = await ask('get_memory_information');

  expect(ram.totalBytes).toBe(total);
  // It moves between the two looks.
  expect(Math.abs(ram.availableBytes - (available ?? 0))).toBeLessThan(0.1 * (total ?? 0));
  expect(Math.abs(ram.sharedBytes - (shared ?? 0))).toBeLessThan(0.1 * (total ?? 0));
  const [, swapTotal = 0] = lines.find(([name]) => name === 'Swap:')?.map(Number) ?? [];
  expect(swap?.totalBytes ?? 0).toBe(swapTotal);
});

test('disks agree with df', async (context) => {
  const lines = said(context, 'df', '-B1', '-P', '/');
  const [, size, used, available] = lines[1]?.map(Number) ?? [];

  const { filesystems, unavailable } = await ask('get_disk_usage');

  const root = filesystems.find(({ target }: { target: string }) => target === '/');
  // Where the root of a container cannot be told apart, the answer has to say so.
  expect(root !== undefined || unavailable.length > 0).toBe(true);
  if (!root) return;
  expect(root.size).toBe(size);
  expect(Math.abs(root.used - (used ?? 0))).toBeLessThan(0.02 * (size ?? 0));
  expect(Math.abs(root.avail - (available ?? 0))).toBeLessThan(0.02 * (size ?? 0));
});

test('this process agrees with ps', async (context) => {
  const lines = said(context, 'ps', '-o', 'ppid=,nlwp=,rss=', '-p', String(process.pid));
  const [parent, , kib] = lines[0]?.map(Number) ?? [];

  const own = await ask('get_process_info', { pid: String(process.pid) });

  expect(own).toMatchObject({ pid: process.pid, parentPid: parent });
  expect(Math.abs(own.memoryBytes - (kib ?? 0) * 1_024)).toBeLessThan(0.3 * own.memoryBytes);
  expect(own.fileDescriptors).toBeGreaterThan(5);
  expect(own.command).toContain('node');
});

test('the snapshot is one call, within what a client takes', async () => {
  const snapshot = await ask('get_system_snapshot');

  expect(snapshot.memory.usedPercent).toBeGreaterThan(0);
  expect(snapshot.filesystems.length).toBeGreaterThan(0);
  expect(snapshot.topByCpu.length).toBeGreaterThan(0);
  expect(JSON.stringify(snapshot).length).toBeLessThan(12_000);
});

test('nothing of our environment comes back', async () => {
  process.env['FLOTILLA_TEST_SECRET'] = 'hunter2-of-the-environment';
  const answers = await Promise.all([
    ask('get_process_info', { pid: process.pid }),
    ask('list_processes', { limit: 200 }),
    ask('get_top_processes', { sort: 'memory', n: 50 }),
    ask('get_system_snapshot'),
  ]);
  delete process.env['FLOTILLA_TEST_SECRET'];

  expect(JSON.stringify(answers)).not.toContain('hunter2-of-the-environment');
});

test.each(eras)('further names are answered (%s), and not listed', async (era) => {
  const call = async (name: string) => rpc(served, 'tools/call', { name, arguments: {} }, { era });

  for (const [alias, name] of Object.entries(service.aliases ?? {})) {
    const answer = await call(alias);
    expect(answer.result?.['isError'], alias).toBeFalsy();
    expect(Object.keys(answer.result?.['structuredContent'] as object), alias).toEqual(
      Object.keys((await call(name)).result?.['structuredContent'] as object),
    );
  }
  expect((await call('get_gpu_info')).error?.code).toBe(-32_602);
  const { result } = await rpc(served, 'tools/list', {}, { era });
  const listed = ((result?.['tools'] ?? []) as { name: string }[]).map(({ name }) => name);
  expect(listed).toHaveLength(23);
  for (const alias of Object.keys(service.aliases ?? {})) expect(listed).not.toContain(alias);
});

test('every further name leads to a tool, and is none', () => {
  const names = allTools.map(({ name }) => name);

  expect(Object.values(service.aliases ?? {}).filter((name) => !names.includes(name))).toEqual([]);
  expect(Object.keys(service.aliases ?? {}).filter((name) => names.includes(name))).toEqual([]);
});

test('the metrics count a call by the name of its tool, whatever it was called by', async () => {
  await ask('get_memory_info');

  const metrics = await (await fetch(`${served.url}/metrics`)).text();

  expect(metrics).toContain('tool_name="get_memory_information"');
  expect(metrics).not.toContain('get_memory_info"');
});

test('with core, those of the established server alone are offered', () => {
  const offered = allTools.filter((tool) => service.offers?.(tool, { FLOTILLA_SYSTEM_INFO_TOOLS: 'core' }));

  expect(offered).toEqual(coreTools);
  expect(coreTools).toHaveLength(14);
});

test('this host may be named, and no other one', async () => {
  expect(await ask('get_memory_information', { host: 'localhost' })).toHaveProperty('ram');
  for (const host of ['db.example', '-oProxyCommand=id', 'localhost; id', '10.0.0.1']) {
    expect(codeOf(await callTool(served, 'get_memory_information', { host })), host).toBe('invalid_input');
  }
});

test.each([
  ['get_process_info', { pid: 0 }, 'invalid_input'],
  ['get_process_info', { pid: -1 }, 'invalid_input'],
  ['get_process_info', { pid: 1.5 }, 'invalid_input'],
  ['get_process_info', { pid: 'self' }, 'invalid_input'],
  ['get_process_info', { pid: '1/../2' }, 'invalid_input'],
  ['get_process_info', { pid: 4_194_304 }, 'not_found'],
  ['get_process_info', {}, 'invalid_input'],
  ['get_cgroup_limits', { pid: 4_194_304 }, 'not_found'],
  ['get_cgroup_limits', { pid: '../1' }, 'invalid_input'],
  ['list_processes', { limit: 201 }, 'invalid_input'],
  ['list_processes', { cursor: 'x' }, 'invalid_input'],
  ['list_processes', { name: 'x'.repeat(256) }, 'invalid_input'],
  ['get_network_connections', { cursor: '../../etc/passwd' }, 'invalid_input'],
  ['get_top_processes', { sort: 'name' }, 'invalid_input'],
  ['get_top_processes', { n: 51 }, 'invalid_input'],
  ['get_metrics_history', { metric: 'cpu_percent; DROP TABLE fine' }, 'invalid_input'],
  ['get_metrics_history', { metric: '__proto__' }, 'invalid_input'],
  ['get_service_logs', { service_name: 'ssh', lines: 1_001 }, 'invalid_input'],
  ['get_service_logs', { service_name: 'ssh', before: 'yesterday; id' }, 'invalid_input'],
  ['get_uptime_events', { days: 366 }, 'invalid_input'],
])('%s of %j is %s', async (tool, args, code) => {
  expect(codeOf(await callTool(served, tool, args))).toBe(code);
});

test('a process of the fleet tells what it takes; one that is down, or another program, has its reason', async () => {
  const other = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => {
    other.once('listening', resolve);
  });
  const port = Number(new URL(served.url).port);
  const entries = [
    { name: 'system-info', port },
    { name: 'memory', port: 1 },
    { name: 'git', port: (other.address() as AddressInfo).port },
  ];

  const members = await lookAtFleet(entries, testCall().signal);
  other.close();

  expect(members[0]).toMatchObject({
    result: 'up',
    pid: process.pid,
    fileDescriptors: expect.any(Number) as number,
  });
  expect(members[0]?.memoryBytes).toBeGreaterThan(10_000_000);
  expect(members[0]?.cpuSeconds).toBeGreaterThan(0);
  expect(Math.abs((members[0]?.startedSeconds ?? 0) - (Date.now() / 1_000 - process.uptime()))).toBeLessThan(
    60,
  );
  expect(members[1]).toEqual({
    name: 'memory',
    port: 1,
    result: 'down',
    reason: 'connection refused',
    latencyMs: null,
  });
  expect(members[2]).toMatchObject({
    result: 'down',
    reason: expect.stringContaining('another program') as string,
  });
  // Two services of one process count once.
  const one = members.slice(0, 1);
  expect(sumOnce([...one, ...one], 'memoryBytes')).toBe(sumOnce(one, 'memoryBytes'));
});

test('the fleet is told whole, also where nothing of it runs', async () => {
  const { processes, up } = await ask('get_fleet_status');

  expect(processes.map(({ name }: { name: string }) => name)).toContain('dashboard');
  expect(up).toBe(processes.filter(({ status }: { status: string }) => status === 'up').length);
});
