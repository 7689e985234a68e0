/** `flotilla start`: the whole fleet in the foreground. */
import { mkdirSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';

import { allProcesses, catalogue, isService, tierOrder, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { processLogFile } from '#runtime/account/log.ts';
import { openDataRoot, takeFolder } from '#runtime/data/data-folder.ts';
import { exitCodes, exitOf, UnavailableError, UsageError } from '#runtime/errors.ts';
import { collectSoon } from '#runtime/process/garbage.ts';
import { startService, type Running } from '#runtime/process/run.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { ensureFirstToken } from '#runtime/access/tokens.ts';
import { version } from '#runtime/process/version.ts';

import { scheduleBackups, type Schedule } from '../backup/schedule.ts';
import { isDetached, startDetached, tellStarter } from '../detached.ts';
import { dashboardLine, entriesNamed, look } from '../environment.ts';
import { loadService } from '../load.ts';
import { ownCommand } from '../own-command.ts';
import { watchNpm } from '../parent.ts';
import { ProcessLog, troubleIn } from '../process-log.ts';
import { FleetNote, fleetOn, retrySignal } from '../running-fleet.ts';
import { startChecks, workspaceOf } from '../start-checks.ts';
import { startFleet, type Fleet, type FleetEvent, type FleetOptions } from '../supervisor.ts';

/** Health needs a round of polls after the last process has come up, and a busy machine needs longer for all of it. */
const readyDeadlineMs = 20_000;
const readyPollMs = 100;

interface StartOptions {
  readonly only?: readonly string[];
  readonly tier?: readonly string[];
  readonly agents?: boolean;
  readonly root: readonly string[];
  readonly singleProcess?: boolean;
  readonly logLevel?: string;
  readonly detach?: boolean;
}

export async function start(options: StartOptions, found: Environment): Promise<void> {
  const entries = chosenEntries(options);
  const given = options.root.length === 0 ? found : { ...found, FLOTILLA_ROOTS: rootsOf(options.root) };
  refuseSecondFleet(given);
  for (const check of startChecks(entries, given)) await check.run();
  outliveReaders();
  if (options.detach) {
    await startDetached(processLogFile(openDataRoot(parseHostSettings(given)), 'fleet'));
    return;
  }
  let fleet: Fleet | undefined;
  const stopAsked = untilStopIsAsked(() => fleet?.kill());
  watchNpm(stopAsked.ask);
  const environment = environmentOf(options, given, entries);
  const host = parseHostSettings(environment);
  const dataRoot = openDataRoot(host);
  // Beside the data folder, and after it: a folder above that is missing has to be found, not made.
  if (host.FLOTILLA_ROOTS && !given['FLOTILLA_ROOTS']) mkdirSync(host.FLOTILLA_ROOTS, { recursive: true });
  using _lock = takeFolder(dataRoot);
  using note = new FleetNote(
    dataRoot,
    entries.map(({ name }) => name),
  );
  await ensureFirstToken(dataRoot);

  if (stopAsked.signal.aborted) return;
  let backups: Schedule | undefined;
  say(`Flotilla ${version}, data in ${dataRoot}`);
  const startedAt = performance.now();
  const codes: number[] = [];
  const givenUp = new Set<string>();
  const onEvent = (event: FleetEvent) => {
    if (event.type === 'gave-up') {
      codes.push(event.code);
      givenUp.add(event.entry.name);
    }
    if (event.type === 'fell' || event.type === 'gave-up')
      note.fell(event.entry.name, event.reason, event.type === 'gave-up');
    if (event.type === 'runs') note.set(event.entry.name, event.pid);
    else report(event);
  };
  fleet = (options.singleProcess ? startHere : startFleet)(entries, { dataRoot, environment, onEvent });
  const retry = () => fleet?.retry();
  process.on(retrySignal, retry);
  try {
    await Promise.race([fleet.started, stopAsked.happened]);
    if (codes.length === entries.length) {
      process.exitCode = codes[0] ?? exitCodes.failed;
      return;
    }
    const unready = await awaitReady(entries, host, givenUp, stopAsked.signal);
    if (stopAsked.signal.aborted) return;
    await welcome(entries, host, unready, performance.now() - startedAt);
    // From here on it is nobody's: the command that waits may end.
    process.off('disconnect', stopAsked.ask);
    tellStarter({
      readyCode: unready.length === 0 ? exitCodes.ok : (codes[0] ?? exitCodes.unavailable),
    });
    backups = scheduleBackups({ ...given, ...environment }, (failure) =>
      failure === null
        ? say('Backup made and proven')
        : warn('backup'.padEnd(nameWidth), `failed: ${failure}`),
    );
    collectSoon();
    await stopAsked.happened;
  } finally {
    process.off(retrySignal, retry);
    say('Stopping');
    await backups?.stop();
    await fleet.stop();
    say('Stopped');
  }
}

function rootsOf(given: readonly string[]): string {
  const unfit = given.find((root) => root.includes(delimiter));
  if (unfit !== undefined) throw new UsageError(`--root ${unfit}: a colon cannot be part of a root.`);
  return given.map((root) => resolve(root)).join(delimiter);
}

/** @throws UnavailableError that names the fleet which works on this data. */
function refuseSecondFleet(given: Environment): void {
  const dataRoot = resolve(parseHostSettings(given).FLOTILLA_DATA);
  const fleet = fleetOn(dataRoot);
  if (!fleet) return;
  throw new UnavailableError(
    `A fleet works on ${dataRoot} already (pid ${fleet.pid}). Stop it first (${ownCommand()} stop), or set FLOTILLA_DATA to another folder.`,
  );
}

/** That nobody reads what it says, in a terminal that was closed or a pipe that has ended, does not end a fleet. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeAllListeners('error');
    stream.on('error', () => {});
  }
}

/**
 * The first signal asks to stop, as `ask` does; the second does not wait for calls to finish. In the background so does the
 * end of the command that waits, which is the only one to know of this fleet.
 */
function untilStopIsAsked(again: () => void): {
  readonly happened: Promise<void>;
  readonly signal: AbortSignal;
  readonly ask: () => void;
} {
  const asked = new AbortController();
  const { promise: happened, resolve } = Promise.withResolvers<void>();
  const ask = () => {
    asked.abort();
    resolve();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked.signal.aborted) again();
      ask();
    });
  }
  if (isDetached) {
    process.on('disconnect', ask);
    process.channel?.unref();
    if (!process.connected) ask();
  }
  return { happened, signal: asked.signal, ask };
}

async function welcome(
  entries: readonly CatalogueEntry[],
  host: HostSettings,
  unready: readonly Unready[],
  afterMs: number,
): Promise<void> {
  for (const { name, reason } of unready) {
    say(`  ${styleText('yellow', '!')} ${name.padEnd(nameWidth)}  not ready: ${reason}`);
  }
  say(
    `${entries.length - unready.length} of ${entries.length} ready after ${(afterMs / 1000).toFixed(1)} s\n`,
  );
  const dashboard = entries.find(({ name }) => name === 'dashboard');
  if (dashboard) say(`Dashboard  ${await dashboardLine(host, dashboard, process.stdout.isTTY)}`);
  if (entries.some(isService)) say(`Connect    ${ownCommand()} connect claude-code`);
  say(`Stop       ${isDetached ? `${ownCommand()} stop` : 'Ctrl-C'}`);
}

/** @throws UsageError for a name or tier that is none. */
function chosenEntries({ only, tier, agents }: StartOptions): readonly CatalogueEntry[] {
  if (only) return entriesNamed(only);
  if (!tier) return agents ? allProcesses : catalogue;
  const tiers = tierOrder.map(String);
  const unknown = tier.find((one) => !tiers.includes(one));
  if (unknown !== undefined) {
    throw new UsageError(
      `There is no tier ${unknown}. There are: ${tiers.join(', ')}; that of platform comes with each.`,
    );
  }
  const named = allProcesses.filter((entry) => tier.includes(String(entry.tier)));
  if (named.length === 0) throw new UsageError(`There are no services in tier ${tier.join(', ')} yet.`);
  return allProcesses.filter((entry) => entry.tier === 'platform' || named.includes(entry));
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
    ...(entries.some(({ files }) => files) && {
      FLOTILLA_ROOTS: given['FLOTILLA_ROOTS'] || workspaceOf(parseHostSettings(given)),
    }),
    ...(logLevel !== undefined && { FLOTILLA_LOG_LEVEL: logLevel }),
    FLOTILLA_GATEWAY_EXPECT:
      given['FLOTILLA_GATEWAY_EXPECT'] ||
      entries
        .filter(isService)
        .map(({ name }) => name)
        .join(','),
    FLOTILLA_HEALTH_EXPECT: given['FLOTILLA_HEALTH_EXPECT'] || entries.map(({ name }) => name).join(','),
  };
}

interface Unready {
  readonly name: string;
  readonly reason: string | null;
}

/** Resolves when all can do their jobs, or after a while with those that cannot, and why. */
async function awaitReady(
  entries: readonly CatalogueEntry[],
  host: HostSettings,
  givenUp: ReadonlySet<string>,
  stop: AbortSignal,
): Promise<readonly Unready[]> {
  const endMs = performance.now() + readyDeadlineMs;
  for (;;) {
    const probes = await Promise.all(
      entries.map(async (entry) => ({ name: entry.name, ...(await look(entry, host)) })),
    );
    const unready = probes.filter(({ result }) => result !== 'up');
    if (unready.every(({ name }) => givenUp.has(name)) || stop.aborted || performance.now() > endMs)
      return unready;
    await sleep(readyPollMs);
  }
}

/** The same services, on the same ports, in this process. */
function startHere(
  entries: readonly CatalogueEntry[],
  { dataRoot, environment, onEvent }: FleetOptions,
): Fleet {
  const { FLOTILLA_PORT_OFFSET: offset } = parseHostSettings(environment);
  const running: { readonly service: Running; readonly log: ProcessLog }[] = [];
  let isStopping = false;
  const startOne = async (entry: CatalogueEntry) => {
    if (isStopping) return;
    const startedAt = performance.now();
    const log = new ProcessLog(processLogFile(dataRoot, entry.name), (reason) =>
      onEvent({ type: 'trouble', entry, reason }),
    );
    const writeLog = (line: string) => {
      log.append(line);
      onEvent({ type: 'logged', entry, line });
    };
    try {
      const loaded = await loadService(entry.name);
      const service = await startService(loaded, entry.port + offset, environment, { writeLog });
      running.push({ service, log });
      onEvent({
        type: 'listening',
        entry,
        port: service.port,
        startMs: Math.round(performance.now() - startedAt),
      });
    } catch (error) {
      await log[Symbol.asyncDispose]();
      const { code, line } = exitOf(error) ?? { code: exitCodes.failed, line: String(error) };
      onEvent({ type: 'gave-up', entry, reason: line, code });
    }
  };
  const startAll = async () => {
    for (const tier of tierOrder) for (const entry of entries) if (entry.tier === tier) await startOne(entry);
  };
  const started = startAll();
  return {
    started,
    async stop() {
      isStopping = true;
      await started;
      for (const { service, log } of running.toReversed()) {
        await service.stop().catch((error: unknown) => say(`  ${String(error)}`));
        await log[Symbol.asyncDispose]();
      }
    },
    // The command line knows that one process hosts all, and sends its reader to another start.
    retry() {},
    kill: () => process.exit(exitCodes.failed),
  };
}

const nameWidth = Math.max(...allProcesses.map(({ name }) => name.length));

function report(event: Exclude<FleetEvent, { type: 'runs' }>): void {
  const name = event.entry.name.padEnd(nameWidth);
  switch (event.type) {
    case 'listening':
      say(
        `  ${styleText('green', '✓')} ${name}  ${event.port}  up in ${(event.startMs / 1000).toFixed(2)} s`,
      );
      break;
    case 'fell':
      warn(name, `${event.reason}; starting again in ${event.restartInMs / 1000} s`);
      break;
    case 'asked-to-stop':
      warn(name, 'stopped, as it was asked to; starting again');
      break;
    case 'trouble':
      warn(name, event.reason);
      break;
    case 'gave-up':
      say(`  ${styleText('red', '✗')} ${name}  ${event.reason}`);
      break;
    case 'logged': {
      const trouble = troubleIn(event.line);
      if (trouble !== undefined) warn(name, trouble);
    }
  }
}

function warn(name: string, words: string): void {
  say(`  ${styleText('yellow', '!')} ${name}  ${words}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
  tellStarter({ said: line });
}
