/** The only importer of jsonc-parser: changes the settings of a client, and nothing else in its file. */
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { applyEdits, modify, parse, type ParseError } from 'jsonc-parser';

import type { HostSettings } from '#config/settings.ts';
import { createToken, readTokens, revokeToken, TokenRegistry } from '#runtime/access/tokens.ts';
import { parseScope } from '#runtime/access/scope.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';

import { connectTo } from './client.ts';
import { shellWord, type ClientPrinter, type Server } from './commands/connect.ts';
import { ownCommand } from './own-command.ts';
import { requireData } from './reach.ts';

const ownPrefix = 'flotilla-';
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
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const merge = file.endsWith('.toml') ? mergedToml : mergedJson;
  const variable = `${client.toUpperCase().replaceAll('-', '_')}_FLOTILLA_TOKEN`;
  // What cannot be merged is told before anything is made.
  merge(before, printer.print(servers, variable), file);
  const token = await tokenOf(client, servers, host);
  await tryAll(servers, host, token.secret);
  const after = merge(before, printer.print(servers, printer.expands ? variable : token.secret), file);
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

/** Entries of ours that are no longer due go; everything else stays as it is, comments included. */
function mergedJson(before: string, due: string, file: string): string {
  const errors: ParseError[] = [];
  const present: unknown = parse(before === '' ? '{}' : before, errors, { allowTrailingComma: true });
  if (errors.length > 0 || typeof present !== 'object' || present === null || Array.isArray(present)) {
    throw new ConfigError(
      `${file} is no JSON that can be merged into: mend it, or paste what "${ownCommand()} connect" prints.`,
    );
  }
  let text = before === '' ? '{}\n' : before;
  const set = (path: (string | number)[], value: unknown) => {
    const options = {
      formattingOptions: { insertSpaces: true, tabSize: 2 },
      isArrayInsertion: path.at(-1) === -1,
    };
    text = applyEdits(text, modify(text, path, value, options));
  };
  const old = present as Record<string, unknown>;
  for (const [key, value] of Object.entries(JSON.parse(due) as Record<string, unknown>)) {
    if (Array.isArray(value)) {
      const there = (old[key] ?? []) as { id?: unknown }[];
      if (old[key] === undefined) set([key], value);
      else
        for (const one of value as { id?: unknown }[])
          if (!there.some(({ id }) => id === one.id)) set([key, -1], one);
      continue;
    }
    const entries = value as Record<string, unknown>;
    for (const name of Object.keys(old[key] ?? {})) {
      if (name.startsWith(ownPrefix) && !(name in entries)) set([key, name], undefined);
    }
    for (const [name, entry] of Object.entries(entries)) {
      const there = (old[key] as Record<string, unknown> | undefined)?.[name];
      if (JSON.stringify(there) !== JSON.stringify(entry)) set([key, name], entry);
    }
  }
  return text;
}

/** Tables of ours are taken out, wherever they stand, and put at the end. */
function mergedToml(before: string, due: string): string {
  const kept: string[] = [];
  let isOurs = false;
  for (const line of before.split('\n')) {
    const table = /^\s*\[+([^\]]+)\]/.exec(line)?.[1];
    if (table !== undefined) isOurs = table.replaceAll(/["'\s]/g, '').startsWith(`mcp_servers.${ownPrefix}`);
    if (!isOurs) kept.push(line);
  }
  const rest = kept.join('\n').trimEnd();
  return `${rest === '' ? '' : `${rest}\n\n`}${due}\n`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
