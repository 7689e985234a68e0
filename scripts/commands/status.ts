/** `flotilla status`: asks every process itself, so that it works without the health service. */
import { styleText } from 'node:util';

import { z } from 'zod';

import { catalogue, entryOf } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/settings.ts';

import { probe } from '../../health/probe.ts';
import { dashboardLink, urlOf } from '../environment.ts';
import { table } from '../table.ts';

export const probeDeadlineMs = 2_000;

const healthSchema = z.object({ processes: z.array(z.object({ name: z.string(), status: z.string() })) });

const marks = {
  up: styleText('green', '● up'),
  not_ready: styleText('yellow', '◐ not ready'),
  down: styleText('red', '✕ down'),
  absent: styleText('gray', '○ absent, as it was not started'),
} as const;

export async function status(options: { readonly json?: boolean }, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const absent = await absentProcesses(host);
  const processes = await Promise.all(
    catalogue.map(async ({ name, port: base, tier }) => {
      const port = base + host.FLOTILLA_PORT_OFFSET;
      const seen = await probe({ name, port }, probeDeadlineMs, AbortSignal.timeout(probeDeadlineMs));
      const status = seen.result === 'down' && absent.includes(name) ? ('absent' as const) : seen.result;
      return { name, port, tier, status, latencyMs: seen.latencyMs, reason: seen.reason };
    }),
  );
  if (processes.some(({ status }) => status !== 'up' && status !== 'absent'))
    process.exitCode = exitCodes.failed;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ processes }, null, 2)}\n`);
    return;
  }
  const rows = processes.map(({ name, port, status, latencyMs, reason }) => [
    name,
    String(port),
    latencyMs === null ? '' : `${latencyMs} ms`,
    status === 'absent' || reason === null ? marks[status] : `${marks[status]}: ${reason}`,
  ]);
  process.stdout.write(table(['name', 'port', 'answers in', 'status'], rows));
  const dashboard = entryOf('dashboard');
  if (!dashboard || processes.every(({ status }) => status === 'down')) return;
  try {
    process.stdout.write(`\nDashboard  ${dashboardLink(host, dashboard)}\n`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error; // without a token there is no link to show
  }
}

/** What was left out of this fleet on purpose: health was told at the start. */
async function absentProcesses(host: HostSettings): Promise<readonly string[]> {
  const health = entryOf('health');
  if (!health) return [];
  try {
    const response = await fetch(`${urlOf(health, host)}/health`, {
      signal: AbortSignal.timeout(probeDeadlineMs),
    });
    const { processes } = healthSchema.parse(await response.json());
    return processes.filter(({ status }) => status === 'absent').map(({ name }) => name);
  } catch {
    return []; // without health nothing is known to be left out
  }
}
