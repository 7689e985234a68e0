/** What has to be true before a fleet in the foreground can start: `start` refuses at the first that is not, `doctor` names all. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

import type { CatalogueEntry } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';
import {
  parseHostSettings,
  parseServiceSettings,
  settingsPrefix,
  type Environment,
} from '#runtime/process/settings.ts';
import { openRoots } from '#runtime/roots.ts';
import { readTokens } from '#runtime/access/tokens.ts';

import { loadService } from './load.ts';
import { ownCommand } from './own-command.ts';
import { isFree } from './ports.ts';
import { isThere, whyUnreachable } from './reach.ts';

export interface StartCheck {
  readonly subject: string;
  /** The process whose port is looked at. */
  readonly portOf?: string;
  /** The processes whose roots are looked at. */
  readonly rootsOf?: readonly string[];
  /** @throws what `exitOf` knows, with the remedy in its line. */
  run(): void | Promise<void>;
  /** What `run` found, in words. */
  tell?(): Seen;
}

/** What a person may want to know, though it keeps nothing from starting. */
export interface Seen {
  readonly detail: string;
  readonly hint?: string;
  readonly warnings: readonly string[];
}

/** In the order in which they make sense. `given` is the environment as the operator wrote it. */
export function startChecks(entries: readonly CatalogueEntry[], given: Environment): readonly StartCheck[] {
  const ofSettings = [
    { subject: 'settings', run: () => void parseHostSettings(given) },
    ...entries.map(({ name }) => ({
      subject: 'settings',
      run: async () => void parseServiceSettings(name, (await loadService(name)).settings, given),
    })),
  ];
  return [
    ...ofSettings,
    { subject: 'data folder', run: () => requireDataRoot(resolve(parseHostSettings(given).FLOTILLA_DATA)) },
    { subject: 'tokens', run: () => requireTokens(resolve(parseHostSettings(given).FLOTILLA_DATA)) },
    ...rootChecks(entries, given),
    ...entries.map(({ name, port }) => ({
      subject: `port of ${name}`,
      portOf: name,
      run: async () => requireFree(name, port + parseHostSettings(given).FLOTILLA_PORT_OFFSET),
    })),
  ];
}

function requireDataRoot(dataRoot: string): void {
  const folder = existsSync(dataRoot) ? dataRoot : dirname(dataRoot);
  if (!isThere(folder)) {
    throw new ConfigError(`The folder ${folder} does not exist: make it, or set FLOTILLA_DATA to another.`);
  }
  if (!statSync(folder).isDirectory()) {
    throw new ConfigError(`${folder} is no folder: set FLOTILLA_DATA to one.`);
  }
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new ConfigError(whyUnreachable(cause) ?? `${folder} cannot be written: ${String(cause)}`, {
      cause,
    });
  }
}

/** That there are none yet is fine. */
function requireTokens(dataRoot: string): void {
  if (isThere(join(dataRoot, 'tokens.json'))) readTokens(dataRoot);
}

/** The folder that is made at the start where no root is named: the services for files work in it alone. */
export function workspaceOf(host: HostSettings): string {
  return join(dirname(resolve(host.FLOTILLA_DATA)), 'workspace');
}

const settingOf = (name: string) => `${settingsPrefix(name)}ROOTS`;

/** One for each service with roots of its own, and one for those that share the host's. */
function rootChecks(entries: readonly CatalogueEntry[], given: Environment): readonly StartCheck[] {
  const names = entries.filter(({ files }) => files).map(({ name }) => name);
  const groups = Map.groupBy(names, (name) => (given[settingOf(name)] ? settingOf(name) : ''));
  return [...groups].map(([setting, group]) => ({
    subject: `roots of ${group.join(', ')}`,
    rootsOf: group,
    run: () => void seenRoots(setting, given),
    tell: () => seenRoots(setting, given),
  }));
}

function seenRoots(setting: string, given: Environment): Seen {
  const host = parseHostSettings(given);
  if (setting === '' && !host.FLOTILLA_ROOTS) {
    const hint = `To serve others: ${ownCommand()} start --root FOLDER, or FLOTILLA_ROOTS=FOLDER:FOLDER in .env.`;
    return { detail: `${workspaceOf(host)} alone, as none is named`, hint, warnings: [] };
  }
  const { roots, warnings } = openRoots(setting, given[setting] || undefined, host);
  return { detail: roots.join(', '), warnings };
}

async function requireFree(name: string, port: number): Promise<void> {
  if (await isFree(port)) return;
  throw new UnavailableError(
    `Port ${port} (${name}) is taken by another program. Stop it, or set FLOTILLA_PORT_OFFSET.`,
  );
}
