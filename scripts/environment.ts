/** Where the command line's settings come from: the environment first, then `.env` in the current folder, or else beside the data. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';

import { z } from 'zod';

import { agents, allProcesses, entryOf, type CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, exitOf, UnavailableError, UsageError } from '#runtime/errors.ts';
import type { RunningFleet } from '#runtime/data/fleet-note.ts';
import type { Probe } from '#runtime/process/probe.ts';
import type { Environment } from '#runtime/process/settings.ts';
import { firstTokenFile } from '#runtime/access/tokens.ts';

import { places } from './generate/units.ts';
import { didYouMean } from './nearest.ts';
import { ownCommand } from './own-command.ts';
import { isThere, whyUnreachable } from './reach.ts';
import { fleetOn } from './running-fleet.ts';

/** `unit` is the one that does the same on a host. */
export function readEnvironment(unit?: 'backup'): Environment {
  const { FLOTILLA_DATA } = process.env;
  const files = ['.env', ...(FLOTILLA_DATA ? [join(dirname(resolve(FLOTILLA_DATA)), '.env')] : [])];
  const file = files.find((one) => existsSync(one));
  const own = file !== undefined && parseEnv(readFileSync(file, 'utf8'));
  return withUnitSettings({ ...own, ...process.env }, unit);
}

/** On the data of a host, a command by hand does as the unit does: its settings count, unless they are given here. */
export function withUnitSettings(
  environment: Environment,
  unit: 'backup' | undefined,
  folder: string = places.settings,
): Environment {
  if (resolve(environment['FLOTILLA_DATA'] ?? '') !== places.data) return environment;
  const key = join(folder, 'backup-key');
  return {
    // Root's alone: the unit has it among its credentials.
    ...(isReadable(key) && { FLOTILLA_BACKUP_KEY: key }),
    ...readSettings(join(folder, 'fleet.env')),
    ...(unit && readSettings(join(folder, `${unit}.env`))),
    ...environment,
  };
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function readSettings(file: string): Environment {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    // Root's alone, who is asked for where it matters.
    if (['ENOENT', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return {};
    throw error;
  }
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
  const found = places.find((place) => isReadable(place));
  if (found !== undefined) return found;
  const hidden = whyHidden(places);
  if (hidden !== undefined) throw new ConfigError(`${hidden} A token of your own goes into FLOTILLA_TOKEN.`);
  throw new ConfigError(
    `There is no token in ${places.join(' or ')}. Start the fleet once, run this where its data folder is, or set FLOTILLA_TOKEN.`,
  );
}

/** Why this user may not read the one that there is; `undefined` where there is none. */
function whyHidden(places: readonly string[]): string | undefined {
  try {
    const hidden = places.find((place) => isThere(place));
    if (hidden !== undefined) accessSync(hidden, constants.R_OK);
    return undefined;
  } catch (error) {
    return whyUnreachable(error);
  }
}

/** Where a process of the fleet answers. */
export function urlOf(entry: { readonly port: number }, host: HostSettings): string {
  return `http://127.0.0.1:${entry.port + host.FLOTILLA_PORT_OFFSET}`;
}

const linkSchema = z.object({ path: z.string().startsWith('/'), minutes: z.number() });

/** Signs a browser in at the dashboard, once and soon. @throws ConfigError or UnavailableError. */
export async function signInLink(
  host: HostSettings,
  dashboard: { readonly port: number },
): Promise<{ readonly url: string; readonly minutes: number }> {
  const site = urlOf(dashboard, host);
  const token = findToken(host);
  let response: Response;
  try {
    response = await fetch(`${site}/sign-in-link`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      redirect: 'error',
      signal: AbortSignal.timeout(lookDeadlineMs),
    });
  } catch (cause) {
    throw new UnavailableError(`The dashboard does not answer at ${site}. See: ${ownCommand()} status`, {
      cause,
    });
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const { error = '' } = (answer ?? {}) as { error?: string };
    throw new ConfigError(
      `The dashboard answers ${response.status}: ${error}. Make one that may: ${ownCommand()} token create NAME --allow dashboard:read`,
    );
  }
  const { path, minutes } = linkSchema.parse(answer);
  return { url: site + path, minutes };
}

/** A link only for the eyes of a person: what a log keeps, others read. */
export async function dashboardLine(
  host: HostSettings,
  dashboard: { readonly port: number },
  isTerminal: boolean,
): Promise<string> {
  try {
    if (isTerminal) {
      const { url, minutes } = await signInLink(host, dashboard);
      return `${url}  (opens once, within ${minutes} minutes; another: ${ownCommand()} dashboard)`;
    }
  } catch (error) {
    if (!exitOf(error)) throw error;
  }
  return `${urlOf(dashboard, host)}/dashboard  (to sign in: ${ownCommand()} dashboard)`;
}

/** The processes of these names, each once. @throws UsageError for a name that is none. */
export function entriesNamed(names: readonly string[]): readonly CatalogueEntry[] {
  return [...new Set(names)].map((name) => {
    const entry = entryOf(name);
    if (!entry) {
      throw new UsageError(
        `There is no "${name}".${didYouMean(
          name,
          allProcesses.map((one) => one.name),
        )} There are: ${allProcesses.map((one) => one.name).join(', ')}.`,
      );
    }
    return entry;
  });
}

export const lookDeadlineMs = 2_000;

/** How a process of the fleet is, seen from outside. */
export async function look(entry: CatalogueEntry, host: HostSettings): Promise<Probe> {
  // Node's HTTP takes a fifth of the time that a command takes to start; most of them ask nobody.
  const { probe } = await import('#runtime/process/probe.ts');
  const target = { name: entry.name, port: entry.port + host.FLOTILLA_PORT_OFFSET };
  return probe(target, lookDeadlineMs, new AbortController().signal);
}

/** Whoever may not look into the data may still ask the processes. */
function noteOn(dataRoot: string): RunningFleet | undefined {
  try {
    return fleetOn(dataRoot);
  } catch {
    return undefined;
  }
}

const healthSchema = z.object({
  name: z.literal('health'),
  processes: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      reason: z.string().nullable(),
      canaryDown: z.boolean().default(false),
    }),
  ),
});
export type Verdict = z.output<typeof healthSchema>['processes'][number];

/** What health, which also tries what processes are for, last found; nothing where it does not answer. */
export async function verdictsOfHealth(host: HostSettings): Promise<readonly Verdict[]> {
  const health = entryOf('health');
  if (!health) return [];
  try {
    const response = await fetch(`${urlOf(health, host)}/health`, {
      signal: AbortSignal.timeout(lookDeadlineMs),
    });
    return healthSchema.parse(await response.json()).processes;
  } catch {
    return [];
  }
}

/** What was left out of this fleet on purpose: its supervisor knows, and health was told at the start. */
export async function absentProcesses(
  host: HostSettings,
  verdicts = verdictsOfHealth(host),
): Promise<readonly string[]> {
  const fleet = noteOn(resolve(host.FLOTILLA_DATA));
  if (fleet) return allProcesses.map(({ name }) => name).filter((name) => !fleet.names.includes(name));
  const found = await verdicts;
  const absent = found.filter(({ status }) => status === 'absent').map(({ name }) => name);
  // Nobody has told of agents that run: they are not missing.
  return found.length > 0 ? absent : agents.map(({ name }) => name);
}
