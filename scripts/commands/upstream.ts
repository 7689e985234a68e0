/** `flotilla upstream`: the servers of others that the gateway mounts. It works on their file; the gateway reads that again. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

import { catalogue, entryOf } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';
import { giveToReaders, openDataRoot } from '#runtime/data/data-folder.ts';
import { ConfigError, exitCodes, UsageError } from '#runtime/errors.ts';
import { writeFileAtomic } from '#runtime/files.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';
import { redactedWords } from '#runtime/redaction.ts';

import { findingsInText, findingKinds, subjectOf } from '../../gateway/foreign/findings.ts';
import { differenceOf, pinsFile, readPins } from '../../gateway/foreign/pins.ts';
import {
  isLocal,
  parseUpstreams,
  readUpstreams,
  secretsName,
  upstreamNameForm,
  upstreamsName,
  withApproved,
  withUpstream,
  type Upstream,
  type UpstreamEntry,
} from '../../gateway/foreign/upstreams-file.ts';
import { urlOf } from '../environment.ts';
import { places } from '../generate/units.ts';
import { didYouMean } from '../nearest.ts';
import { ownCommand } from '../own-command.ts';
import { isThere, requireData } from '../reach.ts';
import { table } from '../table.ts';
import { clientFiles, placesOf, serversIn, type Found } from '../upstreams/client-files.ts';
import { lookAt } from '../upstreams/look.ts';
import { keepSecrets, withoutSecrets, type Secrets } from '../upstreams/secrets.ts';

interface Places {
  readonly host: HostSettings;
  readonly file: string;
  readonly secretsFile: string;
  readonly gatewayDir: string;
  readonly dataRoot: string;
  readonly isHost: boolean;
}

function placesFor(environment: Environment): Places {
  const host = parseHostSettings(environment);
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const isHost = dataRoot === places.data;
  return {
    host,
    dataRoot,
    isHost,
    file: join(dataRoot, upstreamsName),
    // On a host, systemd hands them to the gateway, whose user could not read a file of root.
    secretsFile: isHost ? join(places.settings, 'gateway.env') : join(dataRoot, secretsName),
    gatewayDir: join(dataRoot, 'gateway'),
  };
}

export interface AddOptions {
  readonly url?: string;
  readonly sse?: boolean;
  readonly header?: readonly string[];
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly sandbox?: string;
  readonly read?: readonly string[];
  readonly write?: readonly string[];
  readonly prefix?: string;
  readonly timeout?: number;
  readonly test: boolean;
}

export async function add(
  name: string,
  command: readonly string[],
  options: AddOptions,
  environment: Environment,
): Promise<void> {
  openDataRoot(parseHostSettings(environment));
  const at = placesFor(environment);
  const text = textOf(at.file);
  if (!upstreamNameForm.test(name))
    throw new UsageError(
      `"${name}" cannot name a server: use up to 31 small letters, digits and hyphens, a letter first.`,
    );
  if (entryOf(name)) throw new UsageError(`${name} is a name of the fleet: choose another one.`);
  if (parseUpstreams(text, at.file).some((one) => one.name === name))
    throw new UsageError(
      `${name} is mounted already: ${ownCommand()} upstream remove ${name}, or choose another name.`,
    );
  const { entry, secrets } = withoutSecrets(name, entryFrom(command, options));
  const after = withUpstream(text, name, entry);
  const upstream = parseUpstreams(after, at.file).find((one) => one.name === name);
  if (options.test && upstream && !(await tried(upstream, secrets, at, environment))) {
    process.stderr.write(`It is not mounted: mend what it says, or add it with --no-test.\n`);
    process.exitCode = exitCodes.failed;
    return;
  }
  save(at, after, secrets);
  process.stdout.write(`✓ ${name} is in ${at.file}; the gateway mounts it within a second.\n`);
}

function entryFrom(command: readonly string[], options: AddOptions): UpstreamEntry {
  const { url, prefix, timeout, header = [], env = [], cwd, sandbox, read, write, sse } = options;
  const common = {
    ...(prefix !== undefined && { prefix }),
    ...(timeout !== undefined && { timeoutMs: timeout * 1_000 }),
  };
  if ((url === undefined) === (command.length === 0))
    throw new UsageError(
      'Give either --url, or a command after --: flotilla upstream add NAME -- npx -y PACKAGE.',
    );
  if (url !== undefined) {
    const misplaced = Object.entries({ env, cwd, sandbox, read, write }).find(
      ([, value]) => value !== undefined && value.length > 0,
    );
    if (misplaced) throw new UsageError(`--${misplaced[0]} is for a command, and not for a --url.`);
    const headers = pairs(header, ':', '--header');
    return { url, ...(sse && { type: 'sse' as const }), ...(header.length > 0 && { headers }), ...common };
  }
  if (header.length > 0 || sse) throw new UsageError('--header and --sse are for a --url.');
  const [program = '', ...args] = command;
  return {
    command: program,
    ...(args.length > 0 && { args }),
    ...(env.length > 0 && { env: pairs(env, '=', '--env') }),
    ...(cwd !== undefined && { cwd: resolve(cwd) }),
    ...(sandbox !== undefined && { sandbox: sandbox as 'none' }),
    ...(read && { read: read.map((path) => resolve(path)) }),
    ...(write && { write: write.map((path) => resolve(path)) }),
    ...common,
  };
}

function pairs(texts: readonly string[], mark: string, option: string): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf(mark);
      if (at < 1)
        throw new UsageError(`${option} ${text}: write NAME${mark}${mark === ':' ? ' ' : ''}VALUE.`);
      return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
    }),
  );
}

/** A look at it before it is mounted, with the secrets that are not in their file yet. */
async function tried(
  upstream: Upstream,
  secrets: Secrets,
  at: Places,
  environment: Environment,
): Promise<boolean> {
  if (isStartedAsRoot(upstream, at)) {
    process.stderr.write(
      `It is not tried from here: it would run as root, and the gateway runs it as a user of its own. "${ownCommand()} upstream list" shows how it gets on there.\n`,
    );
    return true;
  }
  process.stderr.write(`Trying ${upstream.name} …\n`);
  const mounted = parseUpstreams(textOf(at.file), at.file);
  const place = mounted.findIndex(({ name }) => name === upstream.name);
  const before = place < 0 ? mounted : mounted.slice(0, place);
  const { isUp, text } = await lookAt(upstream, {
    ...at,
    before,
    environment: { ...environment, ...secrets },
  });
  process.stdout.write(text);
  return isUp;
}

const isStartedAsRoot = (upstream: Upstream, { isHost }: Places) =>
  isHost && isLocal(upstream) && process.getuid?.() === 0;

export async function list(options: { readonly json?: boolean }, environment: Environment): Promise<void> {
  const at = placesFor(environment);
  requireData(at.dataRoot);
  const states = await statesOf(at.host);
  const rows = readUpstreams(at.file).map((upstream) => {
    const { name, prefix, enabled } = upstream;
    const pins = readPins(pinsFile(at.gatewayDir, name));
    const state = enabled ? states?.find((one) => one.name === name) : undefined;
    return {
      name,
      server: isLocal(upstream)
        ? redactedWords([upstream.command, ...upstream.args]).join(' ')
        : upstream.url,
      prefix,
      sandbox: isLocal(upstream) ? upstream.sandbox : '-',
      status: enabled ? (state?.status ?? 'unknown') : 'off',
      ...(state?.reason !== undefined && { reason: state.reason }),
      definitions: pins?.pinned.length ?? 0,
      held: pins?.held.map((pin) => subjectOf(pin)) ?? [],
    };
  });
  if (options.json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (rows.length === 0) {
    process.stdout.write(`No servers of others are mounted. See: ${ownCommand()} upstream add --help\n`);
    return;
  }
  const cells = rows.map(({ name, status, prefix, sandbox, definitions, held, server }) => [
    name,
    status,
    prefix === '' ? '""' : prefix,
    sandbox,
    String(definitions),
    String(held.length),
    server.length > 60 ? `${server.slice(0, 59)}…` : server,
  ]);
  process.stdout.write(table(['name', 'state', 'prefix', 'sandbox', 'pinned', 'held', 'server'], cells));
  for (const { name, reason } of rows) if (reason !== undefined) process.stdout.write(`${name}: ${reason}\n`);
  if (rows.some(({ held }) => held.length > 0))
    process.stdout.write(`What is held back is shown by: ${ownCommand()} upstream approve NAME\n`);
}

interface SeenState {
  readonly name: string;
  readonly status: string;
  readonly reason?: string;
}

/** As the gateway says in its health; `undefined` where it does not run. */
async function statesOf(host: HostSettings): Promise<readonly SeenState[] | undefined> {
  const entry = entryOf('gateway');
  if (!entry) return undefined;
  try {
    const response = await fetch(`${urlOf(entry, host)}/health`, { signal: AbortSignal.timeout(3_000) });
    const { foreign } = (await response.json()) as {
      readonly foreign?: { readonly servers?: readonly SeenState[] };
    };
    return foreign?.servers;
  } catch {
    return undefined;
  }
}

export async function test(name: string, environment: Environment): Promise<void> {
  const at = placesFor(environment);
  const upstream = named(name, at);
  if (isStartedAsRoot(upstream, at)) {
    throw new ConfigError(
      `${name} would run as root from here. See how the gateway gets on with it: ${ownCommand()} upstream list`,
    );
  }
  if (!(await tried(upstream, {}, at, environment))) process.exitCode = exitCodes.failed;
}

export function approve(
  name: string,
  chosen: readonly string[],
  options: { readonly yes?: boolean },
  environment: Environment,
): void {
  const at = placesFor(environment);
  const upstream = named(name, at);
  const pins = readPins(pinsFile(at.gatewayDir, name));
  const waiting = (pins?.held ?? []).filter(({ hash }) => !upstream.approved.includes(hash));
  const subjects = waiting.map((pin) => pin.name || pin.kind);
  const unknown = chosen.find((one) => !subjects.includes(one));
  if (unknown !== undefined)
    throw new UsageError(
      `${unknown} is not held back.${didYouMean(unknown, subjects)} ${subjects.length === 0 ? 'Nothing is.' : `There are: ${subjects.join(', ')}.`}`,
    );
  const due = chosen.length === 0 ? waiting : waiting.filter((pin) => chosen.includes(pin.name || pin.kind));
  if (!pins || due.length === 0) {
    process.stdout.write(`Nothing of ${name} is held back.\n`);
    return;
  }
  for (const pin of due) {
    process.stdout.write(`${differenceOf(pins, pin)}\n`);
    for (const { kind, place, text } of findingsInText(pin))
      process.stdout.write(`! ${findingKinds[kind]} (${place}): ${text}\n\n`);
  }
  if (!options.yes) {
    process.stdout.write(
      `Nothing is approved yet. To accept what is shown: ${ownCommand()} upstream approve ${[name, ...chosen].join(' ')} --yes\n`,
    );
    return;
  }
  // Those that are pinned by now need no approval any more.
  const stillHeld = upstream.approved.filter((hash) => pins.held.some((pin) => pin.hash === hash));
  const approved = [...new Set([...stillHeld, ...due.map(({ hash }) => hash)])];
  save(at, withApproved(textOf(at.file), name, approved), {});
  process.stdout.write(
    `✓ ${due.map((pin) => subjectOf(pin)).join(', ')}: approved. The gateway offers it within a second.\n`,
  );
}

export function remove(name: string, environment: Environment): void {
  const at = placesFor(environment);
  named(name, at);
  save(at, withUpstream(textOf(at.file), name, undefined), {});
  process.stdout.write(
    `✓ ${name} is taken out. Its pins stay, in case it comes back, and so do its secrets in ${at.secretsFile}.\n`,
  );
}

export interface ImportOptions {
  readonly file?: string;
  readonly only?: readonly string[];
  readonly write?: boolean;
}

export function importFrom(
  client: string | undefined,
  options: ImportOptions,
  environment: Environment,
): void {
  const known = Object.keys(clientFiles);
  if (client !== undefined && !known.includes(client))
    throw new UsageError(
      `There is no ${client}.${didYouMean(client, known)} There are: ${known.join(', ')}.`,
    );
  if (options.file !== undefined && client === undefined)
    throw new UsageError(`Say whose file it is: ${known.join(', ')}.`);
  const at = placesFor(environment);
  const mounted = parseUpstreams(textOf(at.file), at.file).map(({ name }) => name);
  const due = new Map<string, Found>();
  let looked = 0;
  for (const [key, shape] of Object.entries(clientFiles)) {
    if (client !== undefined && key !== client) continue;
    const files =
      options.file === undefined ? placesOf(shape, homedir(), process.cwd()) : [resolve(options.file)];
    for (const file of files) {
      if (options.file === undefined && !isThere(file)) continue;
      looked += 1;
      process.stdout.write(`${shape.title}, ${file}\n`);
      const surroundings = { home: homedir(), environment, isOurs: (url: string) => isOurs(url, at.host) };
      for (const one of serversIn(shape, file, readFileSync(file, 'utf8'), surroundings)) {
        if (options.only && !options.only.includes(one.name)) continue;
        const skip =
          'reason' in one
            ? one.reason
            : mounted.includes(one.name)
              ? 'it is mounted already'
              : due.has(one.name)
                ? 'it was found before'
                : undefined;
        if (skip !== undefined || 'reason' in one) process.stdout.write(`  - ${one.name}: ${skip}\n`);
        else {
          due.set(one.name, one);
          process.stdout.write(
            `  + ${one.name}: ${summary(one)}\n${one.notes.map((note) => `      ${note}\n`).join('')}`,
          );
        }
      }
    }
  }
  if (looked === 0) {
    process.stdout.write('No settings of a client were found. Name a file with --file.\n');
    return;
  }
  const secrets = Object.assign({}, ...[...due.values()].map((one) => one.secrets)) as Secrets;
  if (!options.write) {
    const kept =
      Object.keys(secrets).length === 0
        ? ''
        : ` Secrets go into ${at.secretsFile}: ${Object.keys(secrets).join(', ')}.`;
    process.stdout.write(
      due.size === 0
        ? 'There is nothing to take over.\n'
        : `Nothing is written yet.${kept} To mount them: the same command with --write.\n`,
    );
    return;
  }
  openDataRoot(at.host);
  let text = textOf(at.file);
  for (const { name, entry } of due.values()) text = withUpstream(text, name, entry);
  parseUpstreams(text, at.file);
  save(at, text, secrets);
  process.stdout.write(
    `✓ ${due.size} servers are in ${at.file}. See how they get on: ${ownCommand()} upstream list\n`,
  );
}

function summary({ entry }: Found): string {
  if ('url' in entry)
    return [
      entry.url,
      ...Object.entries(entry.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    ].join(', ');
  const env = Object.entries(entry.env ?? {}).map(([name, value]) => `${name}=${value}`);
  return [...env, entry.command, ...(entry.args ?? [])].join(' ');
}

function isOurs(text: string, host: HostSettings): boolean {
  const url = URL.parse(text);
  const isHere = url !== null && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  return isHere && catalogue.some((entry) => Number(url.port) === entry.port + host.FLOTILLA_PORT_OFFSET);
}

function named(name: string, { file, dataRoot }: Places): Upstream {
  requireData(dataRoot);
  const upstreams = readUpstreams(file);
  const found = upstreams.find((one) => one.name === name);
  if (found) return found;
  const names = upstreams.map((one) => one.name);
  const there = names.length === 0 ? 'None is mounted.' : `There are: ${names.join(', ')}.`;
  throw new UsageError(`There is no server ${name}.${didYouMean(name, names)} ${there}`);
}

const textOf = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** Secrets first: an entry never names what is not there. */
function save({ file, secretsFile, dataRoot, isHost }: Places, text: string, secrets: Secrets): void {
  keepSecrets(secretsFile, secrets);
  writeFileAtomic(file, text);
  giveToReaders(file, dataRoot);
  if (isHost && Object.keys(secrets).length > 0)
    process.stderr.write(
      'The gateway reads new secrets when it starts: systemctl restart flotilla@gateway.service\n',
    );
}
