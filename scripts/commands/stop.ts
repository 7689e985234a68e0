/** `flotilla stop`: ends the fleet that works on this data, in the foreground, in the background, or as units. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { UnavailableError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { isHostsFleet, stopUnits } from '../host/systemctl.ts';
import { fleetOn, isRunning } from '../running-fleet.ts';

/** Calls get 10 s to finish, tier by tier; whoever is still there then is ended by the supervisor. */
const patienceMs = 60_000;
const pollMs = 50;

export async function stop(environment: Environment): Promise<void> {
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  if (isHostsFleet(dataRoot)) {
    stopUnits();
    process.stdout.write('Stopped. It starts again at boot, or with: systemctl start flotilla.target\n');
    return;
  }
  const fleet = fleetOn(dataRoot);
  if (!fleet) {
    process.stdout.write(`No fleet works on ${dataRoot}.\n`);
    return;
  }
  process.kill(fleet.pid, 'SIGTERM');
  const endMs = performance.now() + patienceMs;
  while (isRunning(fleet)) {
    if (performance.now() > endMs)
      throw new UnavailableError(`The fleet (pid ${fleet.pid}) does not stop: kill ${fleet.pid}`);
    await sleep(pollMs);
  }
  process.stdout.write('Stopped.\n');
}
