/** `flotilla restart NAME`: single processes of a running fleet, one after another; calls that run are finished first. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CatalogueEntry } from '#config/catalogue.ts';
import { UnavailableError, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { entriesNamed, look } from '../environment.ts';
import { isHostsFleet, systemctl } from '../host/systemctl.ts';
import { ownCommand } from '../own-command.ts';
import { fleetOn, retrySignal } from '../running-fleet.ts';

/** To finish its calls, and to start. */
const patienceMs = 40_000;
const pollMs = 50;

export async function restart(chosen: readonly string[], environment: Environment): Promise<void> {
  const host = parseHostSettings(environment);
  const dataRoot = resolve(host.FLOTILLA_DATA);
  for (const entry of entriesNamed(chosen)) {
    const isUp = async () => (await look(entry, host)).result === 'up';
    const fallsBefore = fallOf(entry, dataRoot)?.count ?? 0;
    if (isHostsFleet(dataRoot)) systemctl('restart', `flotilla@${entry.name}.service`);
    else await restartHere(entry, dataRoot);
    const endMs = performance.now() + patienceMs;
    while (!(await isUp())) {
      const fall = fallOf(entry, dataRoot);
      if (fall?.isFinal && fall.count > fallsBefore)
        throw new UnavailableError(`${entry.name} does not start: ${fall.reason}`);
      if (performance.now() > endMs)
        throw new UnavailableError(`${entry.name} is not ready: see ${ownCommand()} logs ${entry.name}`);
      await sleep(pollMs);
    }
    process.stdout.write(`✓ ${entry.name}\n`);
  }
}

const fallOf = ({ name }: CatalogueEntry, dataRoot: string) => fleetOn(dataRoot)?.falls[name];

/** The supervisor starts again whoever was asked to stop. */
async function restartHere({ name }: CatalogueEntry, dataRoot: string): Promise<void> {
  const fleet = fleetOn(dataRoot);
  if (!fleet?.names.includes(name)) {
    throw new UnavailableError(`${name} does not run on ${dataRoot}. Start it: ${ownCommand()} start`);
  }
  const pid = fleet.processes[name];
  if (pid === undefined) throw new UsageError('This fleet is one process: stop it, and start it again.');
  if (pid === null) {
    // One that fell is started again by itself, but for what a person has to mend first.
    if (fleet.falls[name]?.isFinal) process.kill(fleet.pid, retrySignal);
    return;
  }
  process.kill(pid, 'SIGTERM');
  const endMs = performance.now() + patienceMs;
  while (fleetOn(dataRoot)?.processes[name] === pid && performance.now() < endMs) await sleep(pollMs);
}
