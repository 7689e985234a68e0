/** Figures of health: how fast it answers while the fleet is under load and parts of it hang, and how soon it finds what is wrong. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { catalogue, entryOf, isService } from '#config/catalogue.ts';

import { littleServer } from '../../health/little-servers.fixture.ts';
import health from '../../health/service.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { RunningFleet } from '../support/fleet.ts';
import { serve, temporaryFolder } from '../support/serve.ts';
import { tokenIn } from './service-process.ts';

interface State {
  readonly name: string;
  readonly status: string;
  readonly reason: string | null;
  readonly detectionMs: number | null;
  readonly canaryMs: number | null;
}
interface Answer {
  readonly pid: number;
  readonly processes: readonly State[];
  readonly mcp?: { readonly canary?: { readonly tool: string; readonly arguments: Record<string, unknown> } };
}

const report = (what: string, figures: unknown) =>
  process.stdout.write(`${what}: ${JSON.stringify(figures)}\n`);

async function healthAt(port: number): Promise<Answer> {
  return (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as Answer;
}

const program = fileURLToPath(new URL('health-figures.ts', import.meta.url));

/** In a process of its own, so that the two do not measure each other. @returns what it says first. */
async function beside(stack: AsyncDisposableStack, ...args: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  stack.defer(() => void child.kill('SIGKILL'));
  if (child.stdout)
    for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as unknown;
  throw new Error(`${args[0]} said nothing`);
}

/** How many rounds began how late, at most. */
const delayOf = (metrics: string) =>
  Object.fromEntries(
    [...metrics.matchAll(/^flotilla_health_poll_delay_seconds_bucket\{le="([^"]+)"[^}]*\} (\d+)$/gm)]
      .map(([, le = '', count]) => [`${le} s`, Number(count)] as const)
      .filter((_, index) => index < 9),
  );

const round = (ms: number) => Math.round(ms * 100) / 100;
function shares(times: readonly number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { answers: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

test('health answers while every service is under load and three of them are stopped', async () => {
  using folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const offset = await freePortOffset();
  const portOf = (name: string) => (entryOf(name)?.port ?? 0) + offset;
  await using fleet = new RunningFleet([], {
    FLOTILLA_DATA: dataRoot,
    FLOTILLA_PORT_OFFSET: String(offset),
  });
  await fleet.said(new RegExp(`${catalogue.length} of ${catalogue.length} ready`));
  const token = tokenIn(dataRoot);
  const services: readonly string[] = catalogue.filter(isService).map(({ name }) => name);
  const stopped: readonly string[] = ['git', 'sqlite', 'logging'];
  const about = new Map(
    await Promise.all(services.map(async (name) => [name, await healthAt(portOf(name))] as const)),
  );

  // What a start leaves to be done is done: everything has been called once.
  await vi.waitFor(
    async () => {
      const { processes } = await healthAt(portOf('health'));
      for (const { name, canaryMs } of processes.filter(({ name }) => services.includes(name)))
        expect({ name, canaryMs }).toEqual({ name, canaryMs: expect.any(Number) as number });
    },
    { timeout: 120_000, interval: 500 },
  );

  await using stack = new AsyncDisposableStack();
  const bare = (await beside(stack, 'bare')) as number;
  /** Beside a server that does nothing: what the machine itself takes. */
  const measure = async () => {
    const ports = [portOf('health'), bare].map(String);
    const [ours = [], none = []] = (await beside(stack, 'times', '20', ...ports)) as number[][];
    return { times: ours, figures: { health: shares(ours), 'a bare server': shares(none) } };
  };
  report('/health, the fleet at rest, ms', (await measure()).figures);

  const called = services
    .filter((name) => !stopped.includes(name))
    .flatMap((name) => {
      const { tool, arguments: args } = about.get(name)?.mcp?.canary ?? { tool: '', arguments: {} };
      return [String(portOf(name)), tool, JSON.stringify(args)];
    });
  const pids = stopped.map((name) => about.get(name)?.pid ?? 0);
  const again = setInterval(() => {
    // The supervisor ends who is silent for ten seconds, and starts another.
    for (const name of stopped)
      healthAt(portOf(name)).then(
        ({ pid }) => process.kill(pid, 'SIGSTOP'),
        () => {},
      );
  }, 1_000);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const underLoad = async (what: string, pauseMs: number) => {
    const calling = beside(stack, 'calls', '22', String(pauseMs), token, ...called);
    const { times, figures } = await measure();
    const calls = (await calling) as number;
    report(`/health with three stopped, ${what}, ms`, { ...figures, calls });
    expect(times.length).toBeGreaterThan(500);
    expect(calls).toBeGreaterThan(100);
  };
  await underLoad('each other service called 30 times a second', 50);
  await underLoad('all others called as fast as they answer', 0);
  const { processes } = await healthAt(portOf('health'));
  const metrics = await (await fetch(`http://127.0.0.1:${portOf('health')}/metrics`)).text();
  clearInterval(again);
  const hanging = processes.filter(({ name }) => stopped.includes(name));
  report(
    'stopped',
    hanging.map(({ name, status, detectionMs }) => ({ name, status, detectionMs })),
  );
  report('delay of polls', delayOf(metrics));
  expect(hanging.filter(({ detectionMs }) => detectionMs !== null)).toHaveLength(3);
  for (const { reason, status } of processes.filter(({ name }) => !stopped.includes(name)))
    expect({ status, reason }).not.toMatchObject({ status: 'down' });
  await fleet.kill();
});

test('health finds what is killed, hangs, lies and is slow, at its own pace', async () => {
  const offset = await freePortOffset();
  const names = ['memory', 'context', 'git', 'python'] as const;
  await using stack = new AsyncDisposableStack();
  const servers = new Map(
    await Promise.all(
      names.map(
        async (name) =>
          [name, stack.use(await littleServer({}, name, (entryOf(name)?.port ?? 0) + offset))] as const,
      ),
    ),
  );
  await using served = await serve(health, {
    FLOTILLA_PORT_OFFSET: String(offset),
    FLOTILLA_HEALTH_EXPECT: [...names, 'health'].join(','),
  });
  const port = Number(new URL(served.url).port);
  const states = async () => {
    const { processes } = await healthAt(port);
    return names.map((name) => processes.find((one) => one.name === name));
  };
  await vi.waitFor(
    async () => {
      for (const state of await states())
        expect(state).toMatchObject({ status: 'up', canaryMs: expect.any(Number) as number });
    },
    { timeout: 90_000, interval: 100 },
  );

  const faults = {
    memory: 'killed',
    context: 'hangs',
    git: 'lies',
    python: 'slow',
  } as const;
  await servers.get('memory')?.close();
  Object.assign(servers.get('context')?.manner ?? {}, { isHanging: true });
  Object.assign(servers.get('git')?.manner ?? {}, { lists: [] });
  Object.assign(servers.get('python')?.manner ?? {}, { lateMs: 6_000 });
  const sinceMs = performance.now();
  const foundMs = new Map<string, number>();
  await vi.waitFor(
    async () => {
      for (const state of await states())
        if (state?.status === 'down' && !foundMs.has(state.name))
          foundMs.set(state.name, Math.round(performance.now() - sinceMs));
      expect(foundMs.size).toBe(names.length);
    },
    { timeout: 150_000, interval: 50 },
  );

  for (const state of await states())
    report(`found: ${faults[state?.name as keyof typeof faults]}`, {
      afterMs: foundMs.get(state?.name ?? ''),
      detectionMs: Math.round(state?.detectionMs ?? 0),
      reason: state?.reason,
    });
});
