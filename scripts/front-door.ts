/** Where clients are sent: to the gateway, which has all tools at one address, or to single services. */
import { catalogue, entryOf, isService } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { UsageError } from '#runtime/errors.ts';

import { urlOf } from './environment.ts';
import { didYouMean } from './nearest.ts';

/** What a client calls the gateway; a service is `flotilla-NAME`. */
const gatewayName = 'gateway';
export const gateway = entryOf(gatewayName);

/** A server as a client knows it. */
export interface Server {
  /** What the client calls it. */
  readonly name: string;
  /** The process that answers. */
  readonly process: string;
  readonly url: string;
}

/** What the names of our servers begin with, and what the gateway is called. */
export const ownName = 'flotilla';
export const ownPrefix = `${ownName}-`;

export function doorOf(service: string | undefined, host: HostSettings): Server {
  const wanted = service ?? gateway?.name;
  const doors = catalogue.filter((entry) => isService(entry) || entry.name === gateway?.name);
  const names = doors.map(({ name }) => name);
  if (wanted === undefined) throw new UsageError(`Name a service: ${names.join(', ')}.`);
  const entry = doors.find(({ name }) => name === wanted);
  if (!entry)
    throw new UsageError(
      `There is no service ${wanted}.${didYouMean(wanted, names)} There are: ${names.join(', ')}.`,
    );
  return {
    name: entry.name === gateway?.name ? ownName : `${ownPrefix}${entry.name}`,
    process: entry.name,
    url: `${urlOf(entry, host)}/mcp`,
  };
}
