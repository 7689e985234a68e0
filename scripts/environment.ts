/** Where the command line's settings come from: the environment first, then `.env` in the current folder, or else beside the data. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';

import { z } from 'zod';

import { catalogue, entryOf, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';
import { probe, type Probe } from '#runtime/process/probe.ts';
import type { Environment } from '#runtime/process/settings.ts';
import { firstTokenFile, TokenRegistry } from '#runtime/access/tokens.ts';

import { didYouMean } from './nearest.ts';
import { ownCommand } from './own-command.ts';
import { fleetOn } from './running-fleet.ts';

export function readEnvironment(): Environment {
  const { FLOTILLA_DATA } = process.env;
  const places = ['.env', ...(FLOTILLA_DATA ? [join(dirname(resolve(FLOTILLA_DATA)), '.env')] : [])];
  const file = places.find((place) => existsSync(place));
  return { ...(file !== undefined && parseEnv(readFileSync(file, 'utf8'))), ...process.env };
}

/** This environment without its own fleet and Node options, for a fleet of its own: a test's or a measurement's. */
export function isolatedEnvironment(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('FLOTILLA_') && name !== 'NODE_OPTIONS',
  );
  return { ...Object.fromEntries(inherited), NO_COLOR: '1', ...settings };
}

/** The token that the command line calls with. @throws ConfigError when there is none to be found. */
export function findToken(host: HostSettings): string {
  const place = tokenPlace(host);
  return place === undefined ? (host.FLOTILLA_TOKEN ?? '') : readFileSync(place, 'utf8').trim();
}

/** The file that it stands in; `undefined` where the environment has it. @throws ConfigError when there is none. */
export function tokenPlace(host: HostSettings): string | undefined {
  if (host.FLOTILLA_TOKEN !== undefined) return undefined;
  const credentials = process.env['CREDENTIALS_DIRECTORY'];
  const places = [
    ...(credentials === undefined ? [] : [join(credentials, 'token')]),
    firstTokenFile(resolve(host.FLOTILLA_DATA)),
    join(homedir(), '.config', 'flotilla', 'token'),
  ];
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new ConfigError(
    `There is no token in ${places.join(' or ')}. Start the fleet once, run this where its data folder is, or set FLOTILLA_TOKEN.`,
  );
}

/** Where a process of the fleet answers. */
export function urlOf(entry: { readonly port: number }, host: HostSettings): string {
  return `http://127.0.0.1:${entry.port + host.FLOTILLA_PORT_OFFSET}`;
}

/** Opens the dashboard in a browser; whoever has it can do what the token can. In words, where no token is at hand. */
export function dashboardLink(host: HostSettings, dashboard: { readonly port: number }): string {
  const url = `${urlOf(dashboard, host)}/dashboard`;
  try {
    const token = findToken(host);
    using tokens = new TokenRegistry(resolve(host.FLOTILLA_DATA));
    if (tokens.verify(token, Date.now())) return `${url}?token=${token}`;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
  return `${url}?token=TOKEN (no good token is at hand; make one: ${ownCommand()} token create NAME --allow '*')`;
}

/** The processes of these names, each once. @throws UsageError for a name that is none. */
export function entriesNamed(names: readonly string[]): readonly CatalogueEntry[] {
  return [...new Set(names)].map((name) => {
    const entry = entryOf(name);
    if (!entry) {
      throw new UsageError(
        `There is no "${name}".${didYouMean(
          name,
          catalogue.map((one) => one.name),
        )} There are: ${catalogue.map((one) => one.name).join(', ')}.`,
      );
    }
    return entry;
  });
}

export const lookDeadlineMs = 2_000;

/** How a process of the fleet is, seen from outside. */
export async function look(entry: CatalogueEntry, host: HostSettings): Promise<Probe> {
  const target = { name: entry.name, port: entry.port + host.FLOTILLA_PORT_OFFSET };
  return probe(target, lookDeadlineMs, new AbortController().signal);
}

const healthSchema = z.object({ processes: z.array(z.object({ name: z.string(), status: z.string() })) });

/** What was left out of this fleet on purpose: its supervisor knows, and health was told at the start. */
export async function absentProcesses(host: HostSettings): Promise<readonly string[]> {
  const fleet = fleetOn(resolve(host.FLOTILLA_DATA));
  if (fleet) return catalogue.map(({ name }) => name as string).filter((name) => !fleet.names.includes(name));
  const health = entryOf('health');
  if (!health) return [];
  try {
    const response = await fetch(`${urlOf(health, host)}/health`, {
      signal: AbortSignal.timeout(lookDeadlineMs),
    });
    const { processes } = healthSchema.parse(await response.json());
    return processes.filter(({ status }) => status === 'absent').map(({ name }) => name);
  } catch {
    return []; // without health nothing is known to be left out
  }
}
