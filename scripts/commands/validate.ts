/** `flotilla validate`: looks at a running fleet as its clients do, and names whatever is not as it has to be. */
import { readFileSync } from 'node:fs';

import { allProcesses, isService, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { exitCodes, exitOf } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { connectTo } from '../client.ts';
import { absentProcesses, entriesNamed, look, urlOf } from '../environment.ts';
import { ownCommand } from '../own-command.ts';

export async function validate(
  options: { readonly only?: readonly string[] },
  environment: Environment,
): Promise<void> {
  const host = parseHostSettings(environment);
  const absent = await absentProcesses(host);
  const meant = allProcesses.filter(({ name }) => !absent.includes(name));
  for (const entry of options.only ? entriesNamed(options.only) : meant) {
    const faults = await faultsOf(entry, host);
    process.stdout.write(`${faults.length === 0 ? '✓' : '✗'} ${entry.name}\n`);
    for (const fault of faults) process.stdout.write(`    ${fault}\n`);
    if (faults.length > 0) process.exitCode = exitCodes.failed;
  }
}

async function faultsOf(entry: CatalogueEntry, host: HostSettings): Promise<string[]> {
  const { result, reason } = await look(entry, host);
  if (result === 'down')
    return [`${reason ?? 'down'}. If the fleet runs, restart it; otherwise: ${ownCommand()} start`];
  const faults = result === 'not_ready' ? [`not ready: ${reason}`] : [];
  faults.push(...(await metricsFaults(entry, host)));
  if (isService(entry)) faults.push(...(await serviceFaults(entry, host)));
  return faults;
}

/** Also of a process that has to load its code for this on a busy host. */
const requestDeadlineMs = 10_000;

/** One sample per line, as Prometheus reads it: a name, labels, a number. */
const sample = /^[a-zA-Z_:][\w:]*(\{.*\})? (-?[\d.]+(e[+-]?\d+)?|NaN|[+-]Inf)$/i;

async function metricsFaults(entry: CatalogueEntry, host: HostSettings): Promise<string[]> {
  const response = await fetch(`${urlOf(entry, host)}/metrics`, {
    signal: AbortSignal.timeout(requestDeadlineMs),
  });
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const bad = lines.find((line) => !sample.test(line));
  if (!response.ok || lines.length === 0)
    return [`/metrics answers ${response.status} with ${lines.length} samples`];
  return bad === undefined ? [] : [`/metrics has a line that is no sample: ${bad.slice(0, 80)}`];
}

const surfaceUrl = (name: string) => new URL(`../../tests/surface/${name}.json`, import.meta.url);

async function serviceFaults(entry: CatalogueEntry, host: HostSettings): Promise<string[]> {
  const unauthorised = await fetch(`${urlOf(entry, host)}/mcp`, {
    method: 'POST',
    signal: AbortSignal.timeout(requestDeadlineMs),
  });
  const faults =
    unauthorised.status === 401 ? [] : [`/mcp answers ${unauthorised.status} without a token, not 401`];
  try {
    await using client = await connectTo(entry.name, host, requestDeadlineMs);
    const { tools } = await client.listTools();
    const offered = tools.map(({ name }) => name);
    const { tools: due } = JSON.parse(readFileSync(surfaceUrl(entry.name), 'utf8')) as {
      tools: { name: string }[];
    };
    const missing = due.filter(({ name }) => !offered.includes(name)).map(({ name }) => name);
    if (missing.length > 0)
      faults.push(`tools/list lacks ${missing.join(', ')}: is the token's scope, or a setting, narrower?`);
  } catch (error) {
    faults.push(
      exitOf(error)?.line ??
        `/mcp does not answer as it has to: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return faults;
}
