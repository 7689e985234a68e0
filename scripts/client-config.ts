/** `connect --write`: a token for a client, the servers in its settings, and a trial of both. */
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import type { HostSettings } from '#config/settings.ts';
import { createToken, readTokens, revokeToken, TokenRegistry } from '#runtime/access/tokens.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { connectTo } from './client.ts';
import { mergedSettings, ownPrefix } from './client-settings.ts';
import { shellWord, type ClientPrinter, type Server } from './commands/connect.ts';
import { isThere, requireData } from './reach.ts';

const tryDeadlineMs = 10_000;

interface Connection {
  readonly client: string;
  readonly printer: ClientPrinter;
  readonly file: string;
  readonly servers: readonly Server[];
}

/**
 * Gives the client a token of its own, merges the servers into its settings, of which a copy is kept, and lists the tools of
 * each with what was written.
 *
 * @throws ConfigError for settings that cannot be read; UnavailableError when a server does not answer.
 */
export async function writeConnection(
  { client, printer, file, servers }: Connection,
  host: HostSettings,
): Promise<void> {
  const before = isThere(file) ? readFileSync(file, 'utf8') : '';
  const variable = `${client.toUpperCase().replaceAll('-', '_')}_FLOTILLA_TOKEN`;
  // What cannot be merged is told before anything is made.
  mergedSettings(before, printer.print(servers, variable), file);
  const token = await tokenOf(client, servers, host);
  await tryAll(servers, host, token.secret);
  const after = mergedSettings(
    before,
    printer.print(servers, printer.expands ? variable : token.secret),
    file,
  );
  say(`✓ ${servers.length} servers answer with the token "${token.name}" (${token.file})`);
  if (after === before) {
    say(`✓ ${file} has them already`);
  } else {
    if (before !== '') {
      const copy = `${file}.before-flotilla-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
      copyFileSync(file, copy);
      say(`✓ the settings as they were: ${copy}`);
    }
    writeFileAtomic(file, after, before === '' ? 0o600 : statSync(file).mode & 0o777);
    // A secret is for its owner.
    if (!printer.expands) chmodSync(file, 0o600);
    say(`✓ written: ${file}`);
  }
  if (!printer.expands) return;
  const value = `"$(cat ${shellWord(token.file)})"`;
  if (!after.includes(variable))
    say(`When ${printer.title} asks for the token: cat ${shellWord(token.file)}`);
  else
    say(
      `${printer.title} reads the token from its environment. For every shell to come:\n  echo ${shellWord(`export ${variable}=${value}`)} >> ~/.profile`,
    );
}

/** The one that an earlier run made, as long as it is good. It may use the services, and nothing else of the fleet. */
async function tokenOf(
  client: string,
  servers: readonly Server[],
  host: HostSettings,
): Promise<{ readonly name: string; readonly file: string; readonly secret: string }> {
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const name = `client-${client}`;
  const file = join(homedir(), '.config', 'flotilla', 'clients', client);
  const scope = parseScope(servers.map((server) => server.name.slice(ownPrefix.length)).join(','));
  if (existsSync(file)) {
    const secret = readFileSync(file, 'utf8').trim();
    using tokens = new TokenRegistry(dataRoot);
    const found = tokens.verify(secret, Date.now());
    if (found && scope.every((grant) => found.scope.includes(grant)))
      return { name: found.name, file, secret };
  }
  requireData(dataRoot);
  if (readTokens(dataRoot).some((token) => token.name === name)) await revokeToken(dataRoot, name);
  const secret = await createToken(dataRoot, { name, scope, expiresAt: null });
  writeFileAtomic(file, `${secret}\n`, 0o600);
  return { name, file, secret };
}

async function tryAll(servers: readonly Server[], host: HostSettings, secret: string): Promise<void> {
  for (const { name } of servers) {
    const service = name.slice(ownPrefix.length);
    // Every process looks at the list of tokens a few times a second: a new one may be unknown for a moment.
    const deadline = performance.now() + 2_000;
    for (;;) {
      try {
        await using connected = await connectTo(service, host, tryDeadlineMs, secret);
        const { tools } = await connected.listTools();
        if (tools.length === 0) throw new UnavailableError(`${service} offers no tools to this token.`);
        break;
      } catch (error) {
        if (!(error instanceof ConfigError) || performance.now() > deadline) throw error;
      }
    }
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
