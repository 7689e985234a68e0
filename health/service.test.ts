import { expect, test, vi } from 'vitest';
import { z } from 'zod';

import { allProcesses, entryOf } from '#config/catalogue.ts';
import { ConfigError } from '#runtime/errors.ts';
import { overviewSchema } from '#runtime/process/overview.ts';
import { defineService, type Readiness } from '#runtime/service.ts';

import { freePortOffset } from '../scripts/ports.ts';
import { serve } from '../tests/support/serve.ts';
import health from './service.ts';

const fixture = defineService({ name: 'memory', settings: z.object({}), open: () => ({}) });

interface Answer {
  readonly status: string;
  readonly processes: readonly { readonly name: string; readonly port: number; readonly status: string }[];
}

async function serveHealth(expect: string) {
  const offset = await freePortOffset();
  const served = await serve(health, {
    FLOTILLA_PORT_OFFSET: String(offset),
    FLOTILLA_HEALTH_EXPECT: expect,
    FLOTILLA_HEALTH_GRACE_SECONDS: '0.2',
    FLOTILLA_BACKUP_TIME: 'off',
  });
  return {
    offset,
    url: served.url,
    token: served.token,
    answer: async () => (await (await fetch(`${served.url}/health`)).json()) as Answer,
    readiness: async () => {
      const response = await fetch(`${served.url}/ready`);
      const { reasons, warnings } = (await response.json()) as Readiness;
      return { status: response.status, reasons, ...(warnings && { warnings }) };
    },
    [Symbol.asyncDispose]: async () => served[Symbol.asyncDispose](),
  };
}

test('/health and /ready are about health, whatever the fleet does; /ready warns of what is wrong there', async () => {
  await using served = await serveHealth('memory,health');
  const port = (entryOf('memory')?.port ?? 0) + served.offset;

  await vi.waitFor(
    async () =>
      expect(await served.readiness()).toEqual({
        status: 200,
        reasons: [],
        warnings: ['memory is down: connection refused'],
      }),
    { timeout: 30_000 },
  );
  const whileDown = await served.answer();
  await using _memory = await serve(fixture, {}, port);
  await vi.waitFor(async () => expect(await served.readiness()).toEqual({ status: 200, reasons: [] }), {
    timeout: 20_000,
  });

  expect(whileDown).toMatchObject({ name: 'health', status: 'pass' });
  expect(whileDown.processes).toContainEqual(
    expect.objectContaining({
      name: 'memory',
      port,
      tier: 1,
      status: 'down',
      reason: 'connection refused',
    }),
  );
  const { processes } = await served.answer();
  expect(processes).toContainEqual(
    expect.objectContaining({ name: 'memory', status: 'up', flapping: false }),
  );
  expect(processes).toContainEqual(expect.objectContaining({ name: 'dashboard', status: 'absent' }));

  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  expect(metrics).toContain('\nflotilla_health_status{process="memory",status="up"} 1\n');
  expect(metrics).toContain('\nflotilla_health_status{process="memory",status="down"} 0\n');
  expect(metrics).toContain('\nflotilla_health_flapping{process="memory"} 0\n');
  expect(metrics).toContain('\nflotilla_health_history_dropped_total 0\n');
  expect(metrics).toMatch(
    /\nflotilla_health_probe_duration_seconds_count\{[^}]*process="memory",probe="poll"[^}]*\} \d+\n/,
  );
  expect(metrics).toMatch(/\nflotilla_health_poll_delay_seconds_count\{[^}]*\} \d+\n/);
});

test('/history gives the polls of one process to a token, within bounds', async () => {
  await using served = await serveHealth('health');
  await vi.waitFor(async () => expect((await served.readiness()).status).toBe(200));
  const ask = async (query: string, headers = { authorization: `Bearer ${served.token}` }) =>
    fetch(`${served.url}/history?${query}`, { headers });

  await vi.waitFor(async () =>
    expect(await (await ask('name=health&limit=1')).json()).toMatchObject({
      name: 'health',
      samples: [{ result: 'up' }],
      truncated: true,
    }),
  );
  expect((await ask('name=nobody')).status).toBe(400);
  expect((await ask('name=health&limit=5000')).status).toBe(400);
  expect((await fetch(`${served.url}/history?name=health`)).status).toBe(401);
});

test('/overview gives a token everything that a page shows, and says when nothing is new', async () => {
  await using served = await serveHealth('health');
  await vi.waitFor(async () => expect((await served.readiness()).status).toBe(200));
  const ask = async (query = '', headers: Record<string, string> = {}) =>
    fetch(`${served.url}/overview${query}`, {
      headers: { authorization: `Bearer ${served.token}`, ...headers },
    });

  const answer = await ask('?process=health');

  const overview = overviewSchema.parse(await answer.json());
  expect(overview.processes.map(({ name }) => name)).toEqual(allProcesses.map(({ name }) => name));
  expect(overview).toMatchObject({ detail: { name: 'health' }, backup: null });
  await vi.waitFor(async () => {
    const { processes } = overviewSchema.parse(await (await ask()).json());
    const own = processes.find(({ name }) => name === 'health');
    expect([own?.dayStrip.at(-1), own?.dayStrip.length, own?.quarterStrip.length]).toEqual([1, 48, 90]);
  });
  await vi.waitFor(async () => {
    const etag = (await ask()).headers.get('etag') ?? '';
    expect((await ask('', { 'if-none-match': etag })).status).toBe(304);
  });
  expect((await ask('?process=nobody')).status).toBe(400);
  expect((await fetch(`${served.url}/overview`)).status).toBe(401);
});

test('a name that the catalogue lacks stops the start', async () => {
  await expect(serve(health, { FLOTILLA_HEALTH_EXPECT: 'memory,memroy' })).rejects.toThrow(ConfigError);
});
