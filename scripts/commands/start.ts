/** `flotilla start`: the whole fleet in the foreground. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';

import { catalogue, entryOf, isService, tierOrder, type CatalogueEntry } from '#config/catalogue.ts';
import { lockFolder } from '#runtime/database.ts';
import { UsageError, UnavailableError, exitCodes, exitOf } from '#runtime/errors.ts';
import { openDataRoot, startService, type Running } from '#runtime/run.ts';
import { parseHostSettings, parseServiceSettings, type Environment } from '#runtime/settings.ts';
import { ensureFirstToken } from '#runtime/tokens.ts';
import { version } from '#runtime/version.ts';

import { probe } from '../../health/probe.ts';
import { dashboardLink } from '../environment.ts';
import { loadService } from '../load.ts';
import { isFree } from '../ports.ts';
import { ProcessLog, processLogFile } from '../process-log.ts';
import { probeDeadlineMs } from './status.ts';
import { startFleet, type Fleet, type FleetEvent, type FleetOptions } from '../supervisor.ts';

/** Health needs a round of polls after the last process has come up. */
const readyDeadlineMs = 5_000;
const readyPollMs = 100;

interface StartOptions {
  readonly only?: readonly string[];
  readonly tier?: readonly string[];
  readonly singleProcess?: boolean;
  readonly logLevel?: string;
}

export async function start(options: StartOptions, given: Environment): Promise<void> {
  const entries = chosenEntries(options);
  const environment = environmentOf(options, given, entries);
  const host = parseHostSettings(environment);
  for (const { name } of entries) parseServiceSettings(name, (await loadService(name)).settings, environment);
  const dataRoot = openDataRoot(host);
  using lock = lockFolder(dataRoot);
  if (!lock) {
    throw new UnavailableError(
      `A fleet runs on ${dataRoot} already. Stop it first, or set FLOTILLA_DATA to another folder.`,
    );
  }
  await requireFreePorts(entries, host.FLOTILLA_PORT_OFFSET);
  await ensureFirstToken(dataRoot);

  const interrupted = new AbortController();
  const stopAsked = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        // A second Ctrl-C does not wait for calls to finish.
        if (interrupted.signal.aborted) fleet?.kill();
        interrupted.abort();
        resolve();
      });
    }
  });

  say(`Flotilla ${version}, data in ${dataRoot}`);
  const startedAt = performance.now();
  let fleet: Fleet | undefined;
  const launch = options.singleProcess ? startHere : startFleet;
  fleet = await launch(entries, { dataRoot, environment, onEvent: report, signal: interrupted.signal });
  if (fleet.failed === entries.length) {
    process.exitCode = exitCodes.failed;
    return fleet.stop();
  }
  const unready = await awaitReady(entries, host.FLOTILLA_PORT_OFFSET, interrupted.signal);
  if (!interrupted.signal.aborted) {
    for (const { name, reason } of unready)
      say(`  ${styleText('yellow', '!')} ${name.padEnd(nameWidth)}  not ready: ${reason}`);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    say(`${entries.length - unready.length} of ${entries.length} ready after ${seconds} s\n`);
    const dashboard = entries.find(({ name }) => name === 'dashboard');
    if (dashboard) say(`Dashboard  ${dashboardLink(host, dashboard)}`);
    if (entries.some(isService)) say('Connect    npx flotilla connect claude-code');
    say('Stop       Ctrl-C');
  }
  await stopAsked;
  say('Stopping');
  await fleet.stop();
  say('Stopped');
}

/** @throws UsageError for a name or tier that is none. */
function chosenEntries({ only, tier }: StartOptions): readonly CatalogueEntry[] {
  if (only) {
    return only.map((name) => {
      const entry = entryOf(name);
      if (!entry)
        throw new UsageError(
          `There is no ${name}. There are: ${catalogue.map((one) => one.name).join(', ')}.`,
        );
      return entry;
    });
  }
  if (!tier) return catalogue;
  const tiers = tierOrder.filter((one) => one !== 'platform').map(String);
  const unknown = tier.find((one) => !tiers.includes(one));
  if (unknown !== undefined)
    throw new UsageError(`There is no tier ${unknown}. There are: ${tiers.join(', ')}.`);
  const entries: readonly CatalogueEntry[] = catalogue;
  const services = entries.filter((entry) => tier.includes(String(entry.tier)));
  if (services.length === 0) throw new UsageError(`There are no services in tier ${tier.join(', ')} yet.`);
  return [...services, ...entries.filter((entry) => entry.tier === 'platform')];
}

function environmentOf(
  { logLevel }: StartOptions,
  given: Environment,
  entries: readonly CatalogueEntry[],
): Environment {
  // The token is the command line's own: no process of the fleet needs to see it.
  const { FLOTILLA_TOKEN: _, ...environment } = given;
  return {
    ...environment,
    ...(logLevel !== undefined && { FLOTILLA_LOG_LEVEL: logLevel }),
    FLOTILLA_HEALTH_EXPECT: given['FLOTILLA_HEALTH_EXPECT'] || entries.map(({ name }) => name).join(','),
  };
}

/** Resolves when all can do their jobs, or after a while with those that cannot, and why. */
async function awaitReady(
  entries: readonly CatalogueEntry[],
  offset: number,
  stop: AbortSignal,
): Promise<readonly { readonly name: string; readonly reason: string | null }[]> {
  const endMs = performance.now() + readyDeadlineMs;
  for (;;) {
    const probes = await Promise.all(
      entries.map(async ({ name, port }) => ({
        name,
        ...(await probe({ name, port: port + offset }, probeDeadlineMs, stop)),
      })),
    );
    const unready = probes.filter(({ result }) => result !== 'up');
    if (unready.length === 0 || stop.aborted || performance.now() > endMs) return unready;
    await sleep(readyPollMs);
  }
}

/** @throws UnavailableError that names every port which is taken. */
async function requireFreePorts(entries: readonly CatalogueEntry[], offset: number): Promise<void> {
  const taken: string[] = [];
  for (const { name, port } of entries)
    if (!(await isFree(port + offset))) taken.push(`${port + offset} (${name})`);
  if (taken.length > 0) {
    const which = taken.length === 1 ? `Port ${taken.join('')} is` : `Ports ${taken.join(', ')} are`;
    throw new UnavailableError(`${which} taken by another program. Stop it, or set FLOTILLA_PORT_OFFSET.`);
  }
}

/** The same services, on the same ports, in this process. */
async function startHere(
  entries: readonly CatalogueEntry[],
  { dataRoot, environment, onEvent, signal }: FleetOptions,
): Promise<Fleet> {
  const offset = parseHostSettings(environment).FLOTILLA_PORT_OFFSET;
  const running: { readonly service: Running; readonly log: ProcessLog }[] = [];
  let failed = 0;
  for (const entry of tierOrder.flatMap((tier) => entries.filter((one) => one.tier === tier))) {
    if (signal.aborted) break;
    const startedAt = performance.now();
    const log = new ProcessLog(processLogFile(dataRoot, entry.name));
    try {
      const service = await startService(await loadService(entry.name), entry.port + offset, environment, {
        writeLog: (line) => {
          log.append(line);
          onEvent({ type: 'logged', entry, line });
        },
      });
      running.push({ service, log });
      onEvent({
        type: 'listening',
        entry,
        port: service.port,
        startMs: Math.round(performance.now() - startedAt),
      });
    } catch (error) {
      failed += 1;
      await log[Symbol.asyncDispose]();
      onEvent({ type: 'gave-up', entry, reason: exitOf(error)?.line ?? String(error) });
    }
  }
  return {
    failed,
    async stop() {
      for (const { service, log } of running.toReversed()) {
        await service.stop();
        await log[Symbol.asyncDispose]();
      }
    },
    kill: () => process.exit(exitCodes.failed),
  };
}

const nameWidth = Math.max(...catalogue.map(({ name }) => name.length));

function report(event: FleetEvent): void {
  const name = event.entry.name.padEnd(nameWidth);
  switch (event.type) {
    case 'listening':
      say(
        `  ${styleText('green', '✓')} ${name}  ${event.port}  up in ${(event.startMs / 1000).toFixed(2)} s`,
      );
      break;
    case 'fell':
      say(
        `  ${styleText('yellow', '!')} ${name}  ${event.reason}; starting again in ${event.restartInMs / 1000} s`,
      );
      break;
    case 'gave-up':
      say(`  ${styleText('red', '✗')} ${name}  ${event.reason}`);
      break;
    case 'logged':
      reportTrouble(name, event.line);
  }
}

/** What a person in front of the terminal wants to see of a log: warnings and errors, in short. */
function reportTrouble(name: string, line: string): void {
  if (!line.startsWith('{')) return;
  const { level, event, error, reason } = JSON.parse(line) as {
    level?: string;
    event?: string;
    error?: { message?: string };
    reason?: string;
  };
  if (level === 'warn' || level === 'error') {
    const detail = error?.message ?? reason;
    say(
      `  ${styleText('yellow', '!')} ${name}  ${level}: ${event}${detail === undefined ? '' : ` (${detail})`}`,
    );
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
