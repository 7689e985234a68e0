/** `flotilla status`: asks every process itself, so that it works without health; what only health tries, it knows from there. */
import { styleText } from 'node:util';

import { allProcesses, entryOf } from '#config/catalogue.ts';
import { exitCodes } from '#runtime/errors.ts';
import { plainText } from '#runtime/plain-text.ts';
import type { Keeping, Probe } from '#runtime/process/probe.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { absentProcesses, dashboardLine, look, verdictsOfHealth, type Verdict } from '../environment.ts';
import { ownCommand } from '../own-command.ts';
import { table } from '../table.ts';

const mostReasonLength = 200;

const marks = {
  up: styleText('green', '● up'),
  not_ready: styleText('yellow', '◐ not ready'),
  down: styleText('red', '✕ down'),
  absent: styleText('gray', '○ absent, as it was not started'),
} as const;

function inWords({ bytes, fullest }: Keeping): string {
  const size = `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  return fullest ? `${size}, ${fullest.owner} ${Math.round(fullest.share * 100)} % full` : size;
}

/** Whoever answers its polls, and fails what its clients ask, is down for them. */
function judged(seen: Probe, verdict: Verdict | undefined): Probe {
  if (seen.result !== 'up' || !verdict?.canaryDown) return seen;
  const why = plainText(verdict.reason ?? '', mostReasonLength);
  return { ...seen, result: 'down', reason: `it answers, but does not do its job: ${why}` };
}

export async function status(options: { readonly json?: boolean }, environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const verdicts = verdictsOfHealth(host);
  const absent = await absentProcesses(host, verdicts);
  const verdictOf = new Map((await verdicts).map((one) => [one.name, one]));
  const looked = await Promise.all(
    allProcesses.map(async (entry) => {
      const { name, tier } = entry;
      const port = entry.port + host.FLOTILLA_PORT_OFFSET;
      const seen = judged(await look(entry, host), verdictOf.get(name));
      const status = seen.result === 'down' && absent.includes(name) ? ('absent' as const) : seen.result;
      return {
        name,
        port,
        tier,
        status,
        latencyMs: seen.latencyMs,
        reason: seen.reason,
        kept: seen.kept ?? null,
      };
    }),
  );
  const processes = looked.filter(({ tier, status }) => tier !== 'agent' || status !== 'absent');
  if (processes.some(({ status }) => status !== 'up' && status !== 'absent'))
    process.exitCode = exitCodes.failed;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ processes }, null, 2)}\n`);
    return;
  }
  const rows = processes.map(({ name, port, status, latencyMs, reason, kept }) => [
    name,
    String(port),
    latencyMs === null ? '' : `${latencyMs} ms`,
    kept === null ? '' : inWords(kept),
    status === 'absent' || reason === null ? marks[status] : `${marks[status]}: ${reason}`,
  ]);
  process.stdout.write(table(['name', 'port', 'answers in', 'keeps', 'status'], rows));
  const dashboard = entryOf('dashboard');
  if (processes.every(({ status }) => status === 'down' || status === 'absent')) {
    process.stdout.write(`\nNothing runs here. Start it: ${ownCommand()} start\n`);
  } else if (dashboard && processes.some(({ name, status }) => name === 'dashboard' && status === 'up')) {
    process.stdout.write(`\nDashboard  ${await dashboardLine(host, dashboard, process.stdout.isTTY)}\n`);
  }
}
