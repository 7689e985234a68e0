/** The only importer of the MCP client SDK: sees a running service as its clients do. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

import type { HostSettings } from '#config/settings.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';
import { version } from '#runtime/process/version.ts';

import { findToken } from './environment.ts';
import { serverOf } from './front-door.ts';
import { ownCommand } from './own-command.ts';

/** A client of a running service. @throws UnavailableError when nothing answers, ConfigError when the token is refused. */
export async function connectTo(
  service: string,
  host: HostSettings,
  timeoutMs: number,
  secret?: string,
): Promise<Client & AsyncDisposable> {
  const server = serverOf(service, host);
  // Whoever reads at a terminal takes answers of any length.
  const url = server.service === undefined ? `${server.url}?result_tokens=0` : server.url;
  const client = new Client({ name: 'flotilla', version }, { versionNegotiation: { mode: 'auto' } });
  const headers = { authorization: `Bearer ${secret ?? findToken(host)}` };
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
  });
  try {
    await client.connect(transport, { timeout: timeoutMs });
  } catch (error) {
    throw (await explain(service, url, headers, timeoutMs)) ?? error;
  }
  return Object.assign(client, { [Symbol.asyncDispose]: async () => client.close() });
}

/** Why a client could not connect, in words that help; `undefined` when the reason is none of the usual ones. */
async function explain(
  service: string,
  url: string,
  headers: Record<string, string>,
  timeoutMs: number,
): Promise<Error | undefined> {
  try {
    const { status } = await fetch(url, { headers, signal: AbortSignal.timeout(timeoutMs) });
    return status === 401
      ? new ConfigError(
          `${service} refuses the token: it is unknown, revoked or expired. Make one with "${ownCommand()} token create NAME --allow '*'", and put it into FLOTILLA_TOKEN or ~/.config/flotilla/token.`,
        )
      : undefined;
  } catch (cause) {
    const isSilent = cause instanceof DOMException && cause.name === 'TimeoutError';
    const remedy = isSilent ? 'It hangs: restart the fleet.' : `Start the fleet: ${ownCommand()} start`;
    return new UnavailableError(`${service} does not answer on ${url}. ${remedy}`, { cause });
  }
}
