/** `flotilla status`: asks every process itself, so that it works without the health service. */
import { styleText } from 'node:util';

import { catalogue, entryOf } from '#config/catalogue.ts';
import { ConfigError, exitCodes } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/settings.ts';

import { probe } from '../../health/probe.ts';
import { dashboardLink } from '../environment.ts';
import { table } from '../table.ts';

export const probeDeadlineMs = 2_000;

const marks = {
  up: styleText('green', '● up'),
  not_ready: styleText('yellow', '◐ not ready'),
  down: styleText('red', '○ down'),
} as const;

export async function status(options: { readonly json?: boolean }, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const processes = await Promise.all(
    catalogue.map(async ({ name, port: base, tier }) => {
      const port = base + host.FLOTILLA_PORT_OFFSET;
      return {
        name,
        port,
        tier,
        ...(await probe({ name, port }, probeDeadlineMs, AbortSignal.timeout(probeDeadlineMs))),
      };
    }),
  );
  if (processes.some(({ result }) => result !== 'up')) process.exitCode = exitCodes.failed;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ processes }, null, 2)}\n`);
    return;
  }
  const rows = processes.map(({ name, port, result, latencyMs, reason }) => [
    name,
    String(port),
    latencyMs === null ? '' : `${latencyMs} ms`,
    `${marks[result]}${reason === null ? '' : `: ${reason}`}`,
  ]);
  process.stdout.write(table(['name', 'port', 'answers in', 'status'], rows));
  const dashboard = entryOf('dashboard');
  if (!dashboard || processes.every(({ result }) => result === 'down')) return;
  try {
    process.stdout.write(`\nDashboard  ${dashboardLink(host, dashboard)}\n`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error; // without a token there is no link to show
  }
}
