/** `connect --write` and `--remove`: a token for a client, and the servers in its settings. */
import { chmodSync, copyFileSync, existsSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { z } from 'zod';

import type { HostSettings } from '#config/settings.ts';
import { createToken, readTokens, revokeToken, TokenRegistry } from '#runtime/access/tokens.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { showDiff } from '../services/filesystem/diff.ts';
import { connectTo } from './client.ts';
import { addedBy, mergedSettings, withoutOurs } from './client-settings.ts';
import type { Access, ClientPrinter } from './clients.ts';
import { bridgeOf, gatewayName, scopeFor, type Server } from './front-door.ts';
import { shellWord } from './own-command.ts';
import { isThere, requireData } from './reach.ts';

const tryDeadlineMs = 10_000;

export interface Connection {
  readonly client: string;
  readonly printer: ClientPrinter;
  readonly file: string;
  readonly servers: readonly Server[];
  /** Show what would be changed, and change nothing. */
  readonly isTrial: boolean;
}

/**
 * Gives the client a token of its own, merges the servers into its settings, of which a copy is kept, and lists the tools of
 * each with what was written.
 *
 * @throws ConfigError for settings that cannot be read; UnavailableError when a server does not answer.
 */
export async function writeConnection(connection: Connection, host: HostSettings): Promise<void> {
  const { client, printer, servers, isTrial } = connection;
  const file = targetOf(connection.file);
  const before = textOf(file);
  const variable = `${client.toUpperCase().replaceAll('-', '_')}_FLOTILLA_TOKEN`;
  const due = (secret: string) => printer.print(servers, accessOf(client, printer, variable, secret, host));
  // What cannot be merged is told before anything is made.
  const trial = mergedSettings(before, due(secretOf(client) ?? variable), file);
  if (isTrial) {
    sayChange(client, file, before, trial);
    return;
  }
  const token = await tokenOf(client, servers, host);
  await tryAll(servers, host, token.secret);
  const after = mergedSettings(before, due(token.secret), file);
  say(`✓ ${servers.length} servers answer with the token "${token.name}" (${token.file})`);
  if (after === before) {
    say(`✓ ${file} has them already`);
  } else {
    remember(client, file, isThere(file), addedBy(before, due(token.secret), file));
    keepCopy(file, before);
    writeFileAtomic(file, after, before === '' ? 0o600 : statSync(file).mode & 0o777);
    // A secret is for its owner.
    if (printer.token === 'text') chmodSync(file, 0o600);
    say(`✓ written: ${file}`);
  }
  const value = `"$(cat ${shellWord(token.file)})"`;
  if (printer.token === 'asked')
    say(`When ${printer.title} asks for the token: cat ${shellWord(token.file)}`);
  if (printer.token === 'variable')
    say(
      `${printer.title} reads the token from its environment. For every shell to come:\n  echo ${shellWord(`export ${variable}=${value}`)} >> ~/.profile`,
    );
}

/**
 * Undoes what `writeConnection` wrote, and nothing else: servers of ours go, and what was added for them. With the last settings of
 * a client, its token is revoked.
 *
 * @throws ConfigError for settings that cannot be read.
 */
export async function removeConnection(connection: Connection, host: HostSettings): Promise<void> {
  const { client, printer, isTrial } = connection;
  const file = targetOf(connection.file);
  const before = textOf(file);
  const { [file]: known, ...others } = readRecord(client);
  const due = printer.print([], accessOf(client, printer, '', '', host));
  const after = withoutOurs(before, due, known?.added ?? [], file);
  if (isTrial) {
    sayChange(client, file, before, after);
    return;
  }
  if (after === before) {
    say(`✓ ${file} has nothing of the fleet`);
  } else {
    keepCopy(file, before);
    if (known?.wasThere === false && /^[\s{}]*$/.test(after)) {
      rmSync(file);
      say(`✓ removed: ${file}, which held nothing else`);
    } else {
      writeFileAtomic(file, after, statSync(file).mode & 0o777);
      say(`✓ written: ${file}`);
    }
  }
  if (Object.keys(others).length > 0) {
    writeRecord(client, others);
    say(`✓ the token stays for ${Object.keys(others).join(' and ')}`);
    return;
  }
  const name = tokenName(client);
  const dataRoot = resolve(host.FLOTILLA_DATA);
  if (isThere(dataRoot) && readTokens(dataRoot).some((token) => token.name === name)) {
    await revokeToken(dataRoot, name);
    say(`✓ revoked: the token "${name}"`);
  }
  for (const own of [secretFile(client), recordFile(client)]) rmSync(own, { force: true });
}

/** What a client is told of how to get in; for `--write`, with a token of its own. */
function accessOf(
  client: string,
  printer: ClientPrinter,
  variable: string,
  secret: string,
  host: HostSettings,
): Access {
  return {
    token: printer.token === 'text' ? secret : variable,
    bridge: { ...bridgeOf(host), tokenFile: secretFile(client) },
  };
}

const tokenName = (client: string) => `client-${client}`;
const ownFolder = () => join(homedir(), '.config', 'flotilla', 'clients');
const secretFile = (client: string) => join(ownFolder(), client);
const recordFile = (client: string) => join(ownFolder(), `${client}.json`);

/** Of each file that was written: whether it was there before, and what was added to it besides servers. */
const recordSchema = z.record(z.string(), z.object({ wasThere: z.boolean(), added: z.array(z.string()) }));
type FileRecord = z.output<typeof recordSchema>;

function readRecord(client: string): FileRecord {
  const file = recordFile(client);
  return existsSync(file) ? recordSchema.parse(JSON.parse(readFileSync(file, 'utf8'))) : {};
}

function writeRecord(client: string, record: FileRecord): void {
  writeFileAtomic(recordFile(client), `${JSON.stringify(record, null, 2)}\n`, 0o600);
}

function remember(client: string, file: string, wasThere: boolean, added: readonly string[]): void {
  const record = readRecord(client);
  const known = record[file];
  writeRecord(client, {
    ...record,
    [file]: {
      wasThere: known?.wasThere ?? wasThere,
      added: [...new Set([...(known?.added ?? []), ...added])],
    },
  });
}

/** A link is followed: people keep their settings elsewhere. */
const targetOf = (file: string) => (isThere(file) ? realpathSync(file) : file);
const textOf = (file: string) => (isThere(file) ? readFileSync(file, 'utf8') : '');

function keepCopy(file: string, before: string): void {
  if (before === '') return;
  const copy = `${file}.before-flotilla-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  copyFileSync(file, copy);
  say(`✓ the settings as they were: ${copy}`);
}

/** Without the secret, wherever this is shown. */
function sayChange(client: string, file: string, before: string, after: string): void {
  const secret = secretOf(client);
  const shown = (text: string) => (secret === undefined ? text : text.replaceAll(secret, '(the token)'));
  if (before === after) say(`${file} stays as it is.`);
  else process.stdout.write(showDiff(file, shown(before), shown(after)).replaceAll(/^```.*\n/gm, ''));
}

function secretOf(client: string): string | undefined {
  const file = secretFile(client);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

/** The one that an earlier run made, as long as it is good. It may use the services, and nothing else of the fleet. */
async function tokenOf(
  client: string,
  servers: readonly Server[],
  host: HostSettings,
): Promise<{ readonly name: string; readonly file: string; readonly secret: string }> {
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const name = tokenName(client);
  const file = secretFile(client);
  const scope = parseScope(scopeFor(servers).join(','));
  const before = secretOf(client);
  if (before !== undefined) {
    const tokens = new TokenRegistry(dataRoot);
    const found = tokens.verify(before, Date.now());
    if (found && scope.every((grant) => found.scope.includes(grant)))
      return { name: found.name, file, secret: before };
  }
  requireData(dataRoot);
  if (readTokens(dataRoot).some((token) => token.name === name)) await revokeToken(dataRoot, name);
  const secret = await createToken(dataRoot, { name, scope, expiresAt: null });
  writeFileAtomic(file, `${secret}\n`, 0o600);
  return { name, file, secret };
}

async function tryAll(servers: readonly Server[], host: HostSettings, secret: string): Promise<void> {
  for (const { service = gatewayName } of servers) {
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
