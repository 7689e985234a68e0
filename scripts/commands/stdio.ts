/** `flotilla stdio [SERVICE]`: the fleet for a client that starts its servers and speaks to them over standard input and output. */
import { readFileSync } from 'node:fs';

import { ConfigError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { findToken } from '../environment.ts';
import { serverOf } from '../front-door.ts';
import { ownCommand } from '../own-command.ts';
import { bridge } from '../stdio/bridge.ts';

export async function stdio(
  service: string | undefined,
  { tokenFile, tools }: { readonly tokenFile?: string; readonly tools?: string },
  environment: Environment,
): Promise<void> {
  const host = parseHostSettings(environment);
  const { url } = serverOf(service, host, tools);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  await bridge({
    url: new URL(url),
    token: () => (tokenFile === undefined ? findToken(host) : tokenIn(tokenFile)),
    input: process.stdin,
    output: process.stdout,
    tell: (line) => void process.stderr.write(`flotilla stdio: ${line}\n`),
    remedy: `Start the fleet: ${ownCommand()} start`,
    stop: stop.signal,
  });
  // Its reader may be gone: nothing is left to be read or written.
  process.stdin.destroy();
}

function tokenIn(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new ConfigError(
      `The token cannot be read from ${file}: make one with "${ownCommand()} token create".`,
      {
        cause,
      },
    );
  }
}
