/** Where clients are sent: to the gateway, which has all tools at one address, or to single services. */
import { resolve } from 'node:path';

import {
  catalogue,
  isService,
  offersTools,
  type CatalogueEntry,
  type ProcessName,
} from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { parseChoice } from '#runtime/access/choice.ts';
import { UsageError } from '#runtime/errors.ts';

import { urlOf } from './environment.ts';
import { didYouMean } from './nearest.ts';
import { ownProgram } from './own-command.ts';

/** What clients are sent to unless they name a service. */
export const gatewayName = 'gateway' satisfies ProcessName;

/** A server as a client knows it. */
export interface Server {
  /** What the client calls it. */
  readonly name: string;
  /** The service that answers; `undefined` for the gateway. */
  readonly service: string | undefined;
  readonly url: string;
  /** The choice of tools in its URL. */
  readonly tools?: string;
}

/** How the bridge is started, by a client that starts its servers itself. */
export interface Bridge {
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
}

const gatewayServer = 'flotilla';
const servicePrefix = 'flotilla-';

/** Whether a client's server of this name is one that we wrote. */
export const isOurs = (name: string): boolean => name === gatewayServer || name.startsWith(servicePrefix);

const doors: readonly CatalogueEntry[] = catalogue.filter(offersTools);
const services = doors.filter(isService).map(({ name }) => name);

/** @throws UsageError for what is no service, or no choice of tools. */
export function serverOf(name: string | undefined, host: HostSettings, tools?: string): Server {
  const wanted = name ?? gatewayName;
  const entry = doors.find((one) => one.name === wanted);
  if (!entry) {
    const names = doors.map((one) => one.name);
    throw new UsageError(
      `There is no service ${wanted}.${didYouMean(wanted, names)} There are: ${names.join(', ')}.`,
    );
  }
  const isGateway = wanted === gatewayName;
  const query = tools === undefined ? '' : `?tools=${parseChoice(tools).join(',')}`;
  return {
    name: isGateway ? gatewayServer : `${servicePrefix}${wanted}`,
    service: isGateway ? undefined : wanted,
    url: `${urlOf(entry, host)}/mcp${query}`,
    ...(tools !== undefined && { tools }),
  };
}

/** Those that are named, or all services for "all"; the gateway when nothing is named and it was started. */
export function serversOf(
  host: HostSettings,
  absent: readonly string[] = [],
  named: readonly string[] = [],
  tools?: string,
): readonly Server[] {
  const isThere = (name: string) => !absent.includes(name);
  const usual = isThere(gatewayName) ? [gatewayName] : ['all'];
  const chosen = (named.length > 0 ? named : usual).flatMap((name) =>
    name === 'all' ? services.filter(isThere) : [name],
  );
  return [...new Set(chosen)].map((name) => serverOf(name, host, tools));
}

/** What a token has to allow for these: through the gateway, all services. */
export function scopeFor(servers: readonly Server[]): readonly string[] {
  const allowed = servers.flatMap(({ service }) => (service === undefined ? services : [service]));
  return [...new Set(allowed)];
}

/** How a client starts the bridge: it does so from any folder, and without the settings of a shell. */
export function bridgeOf(host: HostSettings): Bridge {
  return {
    command: ownProgram(),
    env: {
      FLOTILLA_DATA: resolve(host.FLOTILLA_DATA),
      ...(host.FLOTILLA_PORT_OFFSET !== 0 && { FLOTILLA_PORT_OFFSET: String(host.FLOTILLA_PORT_OFFSET) }),
    },
  };
}
