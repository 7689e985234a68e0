/** Where the command line's settings come from: the environment first, then `.env` in the current folder. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';

import type { HostSettings } from '#config/settings.ts';
import { ConfigError } from '#runtime/errors.ts';
import type { Environment } from '#runtime/settings.ts';
import { firstTokenFile } from '#runtime/tokens.ts';

export function readEnvironment(): Environment {
  return { ...(existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {}), ...process.env };
}

/** The token that the command line calls with. @throws ConfigError when there is none to be found. */
export function findToken(host: HostSettings): string {
  if (host.FLOTILLA_TOKEN !== undefined) return host.FLOTILLA_TOKEN;
  const places = [
    firstTokenFile(resolve(host.FLOTILLA_DATA)),
    join(homedir(), '.config', 'flotilla', 'token'),
  ];
  for (const place of places) if (existsSync(place)) return readFileSync(place, 'utf8').trim();
  throw new ConfigError(
    `There is no token in ${places.join(' or ')}. Start the fleet once, run this where its data folder is, or set FLOTILLA_TOKEN.`,
  );
}

/** Where a process of the fleet answers. */
export function urlOf(entry: { readonly port: number }, host: HostSettings): string {
  return `http://127.0.0.1:${entry.port + host.FLOTILLA_PORT_OFFSET}`;
}

/** Opens the dashboard in a browser; whoever has it can do what the token can. */
export function dashboardLink(host: HostSettings, dashboard: { readonly port: number }): string {
  return `${urlOf(dashboard, host)}/dashboard?token=${findToken(host)}`;
}
