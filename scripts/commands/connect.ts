/** `flotilla connect CLIENT`: the configuration that a client wants, in its own words; or written where the client reads it. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import type { HostSettings } from '#config/settings.ts';
import { UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { clients, type ClientPrinter } from '../clients.ts';
import { absentProcesses, tokenPlace } from '../environment.ts';
import { bridgeOf, serversOf, type Server } from '../front-door.ts';
import { didYouMean } from '../nearest.ts';
import { ownCommand, shellWord } from '../own-command.ts';

/** What the printed configurations name; a written one has a token, and so a variable, of its own. */
const variable = 'FLOTILLA_TOKEN';

interface Options {
  readonly write?: boolean;
  readonly remove?: boolean;
  readonly dryRun?: boolean;
  readonly file?: string;
  readonly tools?: string;
}

export async function connect(
  client: string | undefined,
  named: readonly string[],
  options: Options,
  environment: Environment,
): Promise<void> {
  const known = Object.keys(clients);
  if (client === undefined) throw new UsageError(`Name a client: ${known.join(', ')}.`);
  const printer = clients[client];
  if (!printer) {
    throw new UsageError(
      `There is no ${client}.${didYouMean(client, known)} There are: ${known.join(', ')}.`,
    );
  }
  const host = parseHostSettings(environment);
  const changes = options.write || options.remove;
  if (!changes && (options.dryRun || options.file !== undefined))
    throw new UsageError('--dry-run and --file go with --write or --remove.');
  const servers = options.remove ? [] : serversOf(host, await absentProcesses(host), named, options.tools);
  if (!changes) {
    print(client, printer, servers, host);
    return;
  }
  const { writeConnection, removeConnection } = await import('../client-config.ts');
  const connection = {
    client,
    printer,
    file: fileOf(client, printer, options.file),
    servers,
    isTrial: options.dryRun ?? false,
  };
  await (options.remove ? removeConnection : writeConnection)(connection, host);
}

function fileOf(client: string, { file: usual }: ClientPrinter, given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  if (!usual)
    throw new UsageError(`Say which settings: ${ownCommand()} connect ${client} --write --file FILE`);
  return 'home' in usual ? join(homedir(), usual.home) : resolve(usual.project);
}

function print(client: string, printer: ClientPrinter, servers: readonly Server[], host: HostSettings): void {
  const place = tokenPlace(host);
  const access = { token: variable, bridge: bridgeOf(host) };
  const text = (printer.paste ?? printer.print)(servers, access);
  say(`# ${printer.title}: ${printer.where}`);
  const cat = place ? `cat ${shellWord(place)}` : `the value of ${variable}`;
  if (printer.token === 'text') say(`# Put the token in place of ${variable}: ${cat}`);
  else if (printer.token === 'asked') say(`# The token, when it is asked for: ${cat}`);
  else if (printer.token === 'variable' && place) {
    const exportLine = `export ${variable}="$(cat ${shellWord(place)})"`;
    // What is pasted into a shell works at once; the line for good is for the client's later starts.
    if (printer.paste) process.stdout.write(`${exportLine}\n`);
    else say(`# First: ${exportLine}`);
    say(`# For every shell to come: echo ${shellWord(exportLine)} >> ~/.profile`);
  }
  const where = printer.file ? '' : ' --file FILE';
  say(
    `# Or let it be written, with a token of its own, and tried: ${ownCommand()} connect ${client} --write${where}`,
  );
  process.stdout.write(`${text}\n`);
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
