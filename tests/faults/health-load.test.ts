/** Figures of health: how fast it answers while the fleet is under load and parts of it hang, and how soon it finds what is wrong. */
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { catalogue, entryOf, isService } from '#config/catalogue.ts';

import { littleServer } from '../../health/little-servers.fixture.ts';
import health from '../../health/service.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { RunningFleet } from '../support/fleet.ts';
import { callTool } from '../support/rpc.ts';
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

/** On a connection of its own, as a probe comes. */
async function timed(port: number): Promise<number> {
  const startedAtMs = performance.now();
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/health', agent: false }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 200 ? resolve(performance.now() - startedAtMs) : reject(new Error('no 200')),
      );
    }).on('error', reject);
  });
}

const round = (ms: number) => Math.round(ms * 100) / 100;
function shares(times: readonly number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { answers: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

test(
  'health answers while every service is under load and three of them are stopped',
  { timeout: 300_000 },
  async () => {
    using folder = temporaryFolder();
    const dataRoot = join(folder.path, 'data');
    const offset = await freePortOffset();
    const portOf = (name: string) => (entryOf(name)?.port ?? 0) + offset;
    await using fleet = new RunningFleet([], {
      FLOTILLA_DATA: dataRoot,
      FLOTILLA_PORT_OFFSET: String(offset),
    });
    await fleet.said(/16 of 16 ready/);
    const token = tokenIn(dataRoot);
    const services: readonly string[] = catalogue.filter(isService).map(({ name }) => name);
    const stopped: readonly string[] = ['git', 'sqlite', 'logging'];
    const about = new Map(
      await Promise.all(services.map(async (name) => [name, await healthAt(portOf(name))] as const)),
    );

    const measure = async () => {
      const times: number[] = [];
      const endMs = performance.now() + 15_000;
      const pending = new Set<Promise<void>>();
      while (performance.now() < endMs) {
        const one = timed(portOf('health'))
          .then((ms) => void times.push(ms))
          .finally(() => pending.delete(one));
        pending.add(one);
        // oxlint-disable-next-line no-await-in-loop -- two hundred a second
        await sleep(5);
      }
      await Promise.all(pending);
      return times;
    };
    report('/health of health, the fleet at rest, ms', shares(await measure()));

    const load = { calls: 0, isOver: false };
    const clients = services
      .filter((name) => !stopped.includes(name))
      .flatMap((name) => [name, name])
      .map(async (name) => {
        const { tool, arguments: args } = about.get(name)?.mcp?.canary ?? { tool: '', arguments: {} };
        while (!load.isOver) {
          // oxlint-disable-next-line no-await-in-loop -- one client
          await callTool({ url: `http://127.0.0.1:${portOf(name)}`, token }, tool, args).catch(() => {});
          load.calls += 1;
        }
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
    const times = await measure();
    const { processes } = await healthAt(portOf('health'));
    const metrics = await (await fetch(`http://127.0.0.1:${portOf('health')}/metrics`)).text();
    clearInterval(again);
    load.isOver = true;
    await Promise.all(clients);

    report('/health of health, under load and with three stopped, ms', {
      ...shares(times),
      calls: load.calls,
    });
    const hanging = processes.filter(({ name }) => stopped.includes(name));
    report(
      'stopped',
      hanging.map(({ name, status, detectionMs }) => ({ name, status, detectionMs })),
    );
    report(
      'delay of polls, s',
      metrics.split('\n').filter((line) => line.startsWith('flotilla_health_poll_delay_seconds')),
    );
    expect(times.length).toBeGreaterThan(500);
    expect(load.calls).toBeGreaterThan(100);
    expect(hanging.filter(({ detectionMs }) => detectionMs !== null)).toHaveLength(3);
    for (const { reason, status } of processes.filter(({ name }) => !stopped.includes(name)))
      expect({ status, reason }).not.toMatchObject({ status: 'down' });
    await fleet.kill();
  },
);

test(
  'health finds what is killed, hangs, lies and is slow, at its own pace',
  { timeout: 300_000 },
  async () => {
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
  },
);
