/** `flotilla install` and `flotilla upgrade`: the fleet as units of this host, with the code of this folder. */
import { ConfigError, UsageError } from '#runtime/errors.ts';

import { parseChoices, readChoices, type Choices, type InstallOptions } from '../host/choices.ts';
import {
  describe,
  planDeployment,
  prepareData,
  processesOf,
  putInPlace,
  requireFreePorts,
  takeOver,
} from '../host/deployment.ts';
import { requireHost } from '../host/systemctl.ts';
import { ownCommand } from '../own-command.ts';

export async function install(options: InstallOptions): Promise<void> {
  if (options.prefix === '') throw new UsageError('--prefix: name a folder.');
  const earlier = options.forget ? undefined : readChoices(options.prefix);
  await deploy(parseChoices(options, earlier), options);
}

export async function upgrade(options: { readonly dryRun?: boolean }): Promise<void> {
  const choices = readChoices();
  if (!choices) throw new ConfigError(`Flotilla is not installed on this host: run ${ownCommand()} install.`);
  await deploy(choices, options);
}

async function deploy(
  choices: Choices,
  { prefix, dryRun }: { readonly prefix?: string; readonly dryRun?: boolean },
): Promise<void> {
  const isHere = prefix === undefined && !dryRun;
  if (isHere) {
    requireHost();
    await requireFreePorts(processesOf(choices));
  }
  const deployment = planDeployment(choices, prefix);
  for (const line of describe(deployment)) say(line);
  if (deployment.changes.length === 0 && deployment.release === deployment.before) {
    say(`Release ${deployment.release} is in place.`);
  }
  if (dryRun) return;
  // What is written from here on is read by the processes, each under its own user; secrets have modes of their own.
  process.umask(0o022);
  putInPlace(deployment);
  if (!isHere) return;
  await prepareData(deployment.entries);
  await takeOver(deployment, say);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
