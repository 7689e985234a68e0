/** Puts a release with its units on the host, and takes the processes over to it one by one; or leaves all as it was. */
import { execFileSync } from 'node:child_process';
import { getServers } from 'node:dns';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { availableParallelism, networkInterfaces } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { z } from 'zod';

import { allProcesses, tierOrder, type CatalogueEntry } from '#config/catalogue.ts';
import { hostSettings } from '#config/settings.ts';
import { UnavailableError } from '#runtime/errors.ts';
import { makeFolder, writeFileAtomic } from '#runtime/files.ts';
import { makeSigningKey, publicKeyFile } from '#runtime/access/assertions.ts';
import { createToken, ensureFirstToken, readTokens, revokeToken } from '#runtime/access/tokens.ts';

import { makeKey } from '../backup/signature.ts';
import { look, withUnitSettings } from '../environment.ts';
import { openFileSince, originOf, places, unitFiles, withLauncher } from '../generate/units.ts';
import { launcherText } from '../own-command.ts';
import { isFree } from '../ports.ts';
import { choicesText, type Choices } from './choices.ts';
import { dropInOrigin, dropIns, type Host } from './drop-ins.ts';
import {
  copyRelease,
  currentRelease,
  pruneReleases,
  releaseFolder,
  releaseName,
  releaseOfProcess,
  switchRelease,
} from './release.ts';
import { isActive, mainPid, systemctl, systemdVersion, unitsOf } from './systemctl.ts';

/**
 * After systemd has seen a process ready, how long it may take to be ready for its clients too. One that gives no answer yet
 * may only be slow: on a new host all start at once, and compile their code for the first time.
 */
const readyDeadlineMs = 15_000;
const answerDeadlineMs = 60_000;
const readyPollMs = 50;

export const sysusersFile = '/etc/sysusers.d/flotilla.conf';
export const commandFile = '/usr/local/bin/flotilla';
/** Secrets of the tokens that units are handed. */
export const credentials = join(places.settings, 'credentials');
/** Not among the credentials, which an uninstall takes away: what it signed stays. */
const backupKey = join(places.settings, 'backup-key');
export const installFile = join(places.settings, 'install.json');
const watchOf = ({ name }: Pick<CatalogueEntry, 'name'>) => `flotilla@${name}.path`;

/** Of the code that is being run: a release that is returned to is not taken away from under itself. */
const ownFolder = fileURLToPath(new URL('../../', import.meta.url));

const host = hostSettings.parse({ FLOTILLA_DATA: places.data });

const inOrder = tierOrder.flatMap((tier) => allProcesses.filter((entry) => entry.tier === tier));

/** What this host is to run. */
export function processesOf({ agents: hasAgents }: Pick<Choices, 'agents'>): readonly CatalogueEntry[] {
  return inOrder.filter(({ tier }) => hasAgents || tier !== 'agent');
}

/**
 * Users that stay: the backup's, whose folder others look into, and those who ask D-Bus for the state of units, where users
 * that are in no list are turned away.
 */
export const staticUsers = [
  'fl-backup',
  ...inOrder.filter(({ observes }) => observes).map(({ name }) => `fl-${name}`),
];

const sysusers = [
  '# Written by "flotilla install": the group that may read the list of tokens, and users that others have to know.',
  `g ${places.group} -`,
  ...staticUsers.map((user) => `u ${user} - "Flotilla"`),
  '',
].join('\n');

/** The command line of the release that runs, on this host's data. */
const command = launcherText(`${places.current}/scripts/flotilla`, places.data);

/** Every file that an install writes outside the release, with its contents. */
function managedFiles(choices: Choices, version: number): ReadonlyMap<string, string> {
  const here: Host = {
    processors: availableParallelism(),
    nameServers: getServers().map(addressOf),
    addresses: ownAddresses(),
    backups: backupsElsewhere(),
  };
  const entries = processesOf(choices);
  const units = [...unitFiles(entries)].map(
    ([name, text]) => [name, version < openFileSince ? withLauncher(text) : text] as const,
  );
  return new Map([
    ...[...units, ...dropIns(entries, choices, here)].map(
      ([path, text]) => [join(places.units, path), text] as const,
    ),
    [sysusersFile, sysusers],
    [commandFile, command],
    [installFile, choicesText(choices)],
  ]);
}

/** Where the settings put the backups, when that is not the unit's own place: systemd has to be told to let it write there. */
function backupsElsewhere(): string | undefined {
  const folder = withUnitSettings({ FLOTILLA_DATA: places.data }, 'backup')['FLOTILLA_BACKUPS'];
  return folder && resolve(folder) !== places.backups ? resolve(folder) : undefined;
}

/** Without the port or the interface that a name server may be given with: `1.2.3.4:53`, `[::1]:53`, `fe80::1%eth0`. */
function addressOf(server: string): string {
  const bare = /^\[(.*)\]/.exec(server)?.[1] ?? (isIP(server) ? server : server.replace(/:\d+$/, ''));
  return bare.replace(/%.*/, '');
}

/** But for loopback. Of IPv6 the whole network: a host takes new addresses there all the time. */
function ownAddresses(): string[] {
  const found = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const external = found.filter(({ internal }) => !internal);
  return [
    ...new Set(external.map(({ family, address, cidr }) => (family === 'IPv6' && cidr) || address)),
  ].toSorted();
}

/**
 * Unit files and drop-ins of ours that are on the host: those of an earlier release may be no longer due. A name like ours
 * makes no file ours: the operator may have units beside them.
 */
export function unitsThere(prefix = ''): string[] {
  const folder = join(prefix, places.units);
  if (!existsSync(folder)) return [];
  const isOurs = (path: string, origin: string) =>
    statSync(join(folder, path), { throwIfNoEntry: false })?.isFile() &&
    readFileSync(join(folder, path), 'utf8').startsWith(origin);
  return readdirSync(folder)
    .filter((name) => /^flotilla[@.-]/.test(name))
    .flatMap((name) => {
      const dropIn = join(name, '50-install.conf');
      if (isOurs(name, originOf(name))) return [join(places.units, name)];
      return isOurs(dropIn, dropInOrigin) ? [join(places.units, dropIn)] : [];
    });
}

/** A file that differs: what is there now, and what is due; `undefined` where there is none. */
interface Change {
  readonly path: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

export interface Deployment {
  readonly release: string;
  /** What ran before; `undefined` on a new host. */
  readonly before: string | undefined;
  readonly changes: readonly Change[];
  readonly prefix: string;
  readonly entries: readonly CatalogueEntry[];
}

/** While an upgrade is under way, what was there before it: one that was interrupted is taken up, or taken back, from there. */
const underWayFile = join(places.code, 'under-way.json');
const underWaySchema = z.object({
  before: z.string().optional(),
  files: z.array(z.object({ path: z.string(), from: z.string().optional() })),
});

/** What there is to do, looked at without doing any of it. */
export function planDeployment(choices: Choices, prefix = ''): Deployment {
  const due = managedFiles(choices, systemdVersion());
  const noted = contentsOf(join(prefix, underWayFile));
  const underWay = noted === undefined ? undefined : underWaySchema.parse(JSON.parse(noted));
  const earlier = new Map(underWay?.files.map(({ path, from }) => [path, from]));
  const paths = new Set([...due.keys(), ...unitsThere(prefix), ...earlier.keys()]);
  const changes = [...paths].flatMap((path): Change[] => {
    const [now, to] = [contentsOf(join(prefix, path)), due.get(path)];
    const from = earlier.has(path) ? earlier.get(path) : now;
    return from === to && now === to ? [] : [{ path, from, to }];
  });
  const before = underWay ? underWay.before : currentRelease(prefix);
  return { release: releaseName(), before, changes, prefix, entries: processesOf(choices) };
}

function contentsOf(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

export function describe({ release, before, changes, prefix }: Deployment): string[] {
  const files = changes.map(
    ({ path, to }) => `${to === undefined ? 'remove' : 'write'} ${join(prefix, path)}`,
  );
  if (release === before) return files;
  return [
    `copy the code to ${releaseFolder(release, prefix)}`,
    ...files,
    `point ${join(prefix, places.current)} at it`,
  ];
}

const isUnit = ({ path }: Change) => dirname(path) === places.units;

/** Code, files and link; systemd is not told yet, and units that are no longer due stay until the new release runs. */
export function putInPlace({ release, before, changes, prefix }: Deployment): void {
  const folder = releaseFolder(release, prefix);
  const isNew = !existsSync(folder);
  const due = changes.filter((change) => change.to !== undefined || !isUnit(change) || prefix !== '');
  try {
    if (isNew) copyRelease(folder);
    if (prefix === '') {
      const files = changes.map(({ path, from }) => ({ path, from }));
      writeFileAtomic(underWayFile, JSON.stringify({ before, files }));
    }
    for (const { path, to } of due) put(join(prefix, path), to);
    switchRelease(release, prefix);
  } catch (error) {
    // Such as a full disk: what was there before is there again, in the room that the release took.
    if (isNew) rmSync(folder, { recursive: true, force: true });
    if (currentRelease(prefix) === before) {
      for (const { path, from } of due) put(join(prefix, path), from);
      rmSync(join(prefix, underWayFile), { force: true });
    }
    throw error;
  }
}

function put(file: string, text: string | undefined): void {
  if (text === undefined) {
    takeAway(file);
    return;
  }
  makeFolder(dirname(file), 0o777);
  writeFileAtomic(file, text);
  chmodSync(file, file.endsWith(commandFile) ? 0o755 : 0o644);
}

/** With the folder that was made for it: one of drop-ins. What is mounted there stays, and is empty. */
export function takeAway(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    // Node's own function gives no code for it.
    if (!existsSync(path) || readdirSync(path).length > 0) throw error;
  }
  const folder = dirname(path);
  if (folder.endsWith('.d') && existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}

/** The data folder with its tokens: hashes for the group of the processes, secrets for root alone. Idempotent. */
export async function prepareData(entries: readonly CatalogueEntry[]): Promise<void> {
  execFileSync('systemd-sysusers', [sysusersFile]);
  const group = Number(execFileSync('getent', ['group', places.group], { encoding: 'utf8' }).split(':')[2]);
  mkdirSync(places.data, { recursive: true });
  chownSync(places.data, 0, group);
  chmodSync(places.data, 0o750);
  mkdirSync(credentials, { recursive: true });
  chmodSync(credentials, 0o700);
  await ensureFirstToken(places.data);
  const handed = [
    { name: 'backup', scope: ['backup'] },
    ...entries.flatMap(({ name, asks }) => (asks ? [{ name, scope: asks }] : [])),
  ];
  for (const { name, scope } of handed) {
    const file = join(credentials, name);
    if (existsSync(file)) continue;
    const isLeftOver = readTokens(places.data).some((token) => token.name === name);
    if (isLeftOver) await revokeToken(places.data, name);
    writeFileAtomic(file, `${await createToken(places.data, { name, scope, expiresAt: null })}\n`);
  }
  const signers = inOrder.filter(({ signs }) => signs).map(({ name }) => name);
  for (const name of signers) {
    const file = join(credentials, name);
    if (!existsSync(file) || !existsSync(publicKeyFile(places.data, name)))
      writeFileAtomic(file, makeSigningKey(places.data, name));
  }
  if (!existsSync(backupKey)) makeKey(backupKey);
  const elsewhere = backupsElsewhere();
  // A folder that was there belongs to whoever made it.
  if (elsewhere !== undefined && makeFolder(elsewhere, 0o711))
    execFileSync('chown', ['fl-backup:fl-backup', elsewhere]);
  const publicKeys = signers.map((name) => publicKeyFile(places.data, name));
  for (const file of [join(places.data, 'tokens.json'), ...publicKeys]) {
    chownSync(file, 0, group);
    chmodSync(file, 0o640);
  }
}

/** @throws UnavailableError that names every port which another program holds. */
export async function requireFreePorts(entries: readonly CatalogueEntry[]): Promise<void> {
  const taken: string[] = [];
  for (const entry of entries) {
    if (isActive(unitsOf(entry.name)[0]) || (await isFree(entry.port))) continue;
    taken.push(`${entry.port} (${entry.name})`);
  }
  if (taken.length > 0) {
    throw new UnavailableError(`Taken by another program: ${taken.join(', ')}. Stop it; see: ss -ltnp`);
  }
}

/**
 * Tells systemd, and takes the processes over one by one: the sockets stay open, so that who connects meanwhile waits and
 * is not refused. When one does not come up, everything is as it was before; on a new host there is no before.
 *
 * @throws UnavailableError that names what did not come up.
 */
export async function takeOver(deployment: Deployment, say: (line: string) => void): Promise<void> {
  const { release, before, entries } = deployment;
  systemctl('daemon-reload');
  // All others begin in the new release, by the new units.
  const ran = new Set(inOrder.filter(({ name }) => isActive(unitsOf(name)[0])));
  const own = ['flotilla.target', 'flotilla-backup.timer', 'flotilla-backup-check.timer'];
  systemctl(
    'enable',
    '--quiet',
    ...own,
    ...entries.flatMap((entry) => [...unitsOf(entry.name), watchOf(entry)]),
  );
  systemctl('start', '--no-block', ...own, ...entries.map(watchOf));
  const reached: CatalogueEntry[] = [];
  const failures: string[] = [];
  for (const entry of entries) {
    reached.push(entry);
    try {
      const wasUp = before !== undefined && (await look(entry, host)).result === 'up';
      if (ran.has(entry)) restart(entry, release, deployment.changes);
      systemctl('start', unitsOf(entry.name)[1]);
      const trouble = await untilReady(entry, wasUp);
      say(trouble === null ? `  ✓ ${entry.name}` : `  ! ${entry.name}  not ready: ${trouble}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message.trim() : String(error);
      say(`  ✗ ${entry.name}  ${reason}`);
      failures.push(entry.name);
      if (before === undefined) continue;
      rollBack(deployment, before, reached);
      throw new UnavailableError(
        `${entry.name} did not come up in release ${release}: ${before} runs again. See: journalctl -u flotilla@${entry.name}`,
        { cause: error },
      );
    }
  }
  rmSync(underWayFile, { force: true });
  if (failures.length > 0) {
    const [first = ''] = failures;
    throw new UnavailableError(
      `Not up: ${failures.join(', ')}. systemd goes on trying. See: journalctl -u flotilla@${first}`,
    );
  }
  retire(deployment.changes.filter((change) => change.to === undefined && isUnit(change)));
  pruneReleases([release, before, ...inOrder.map(runningRelease)]);
}

/** Of the process that runs, whatever the link says. */
function runningRelease(entry: CatalogueEntry): string | undefined {
  return releaseOfProcess(mainPid(unitsOf(entry.name)[1]));
}

/** Stops the units of these files, and takes the files away. */
function retire(changes: readonly Change[]): void {
  const units = changes
    .filter(isUnit)
    .map(({ path }) => basename(path))
    .filter((unit) => !unit.includes('@.'));
  if (units.length > 0) systemctl('disable', '--quiet', '--now', ...units);
  for (const { path } of changes) put(path, undefined);
  if (changes.length > 0) systemctl('daemon-reload');
}

/** Where something has changed for the process, which is to run this release. @throws Error when it does not come up. */
function restart(entry: CatalogueEntry, release: string, changes: readonly Change[]): void {
  const [socket, service] = unitsOf(entry.name);
  const hasChanged = (unit: string) => changes.some(({ path }) => path.startsWith(join(places.units, unit)));
  if (hasChanged(socket)) {
    // systemd changes a socket only while nobody listens on it: for this moment its clients are refused.
    systemctl('stop', service, socket);
    systemctl('start', socket, service);
  } else if (runningRelease(entry) !== release || hasChanged(service)) {
    systemctl('restart', service);
  }
}

function rollBack(deployment: Deployment, before: string, reached: readonly CatalogueEntry[]): void {
  const { changes } = deployment;
  retire(changes.filter(({ from }) => from === undefined));
  for (const { path, from } of changes) put(path, from);
  switchRelease(before);
  systemctl('daemon-reload');
  for (const entry of inOrder) {
    if (!existsSync(join(places.units, unitsOf(entry.name)[1]))) continue;
    // Who was not reached now may have been by an upgrade that was interrupted before.
    restart(entry, before, reached.includes(entry) ? changes : []);
  }
  rmSync(underWayFile, { force: true });
  const failed = releaseFolder(deployment.release);
  if (deployment.release !== before && join(failed, '/') !== ownFolder)
    rmSync(failed, { recursive: true, force: true });
}

/**
 * Waits until the process can do its job, and gives what stands in the way of one that could not before either.
 *
 * @throws UnavailableError for one that could.
 */
async function untilReady(entry: CatalogueEntry, wasUp: boolean): Promise<string | null> {
  const startedAtMs = performance.now();
  for (;;) {
    const { result, reason } = await look(entry, host);
    if (result === 'up') return null;
    const deadlineMs = result === 'down' ? answerDeadlineMs : readyDeadlineMs;
    if (performance.now() - startedAtMs > deadlineMs) {
      if (wasUp || result === 'down') throw new UnavailableError(reason ?? result);
      return reason ?? result;
    }
    await sleep(readyPollMs);
  }
}
