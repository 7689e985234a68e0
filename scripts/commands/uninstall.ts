/** `flotilla uninstall`: everything goes but data, backups, and what the operator wrote. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { catalogue } from '#config/catalogue.ts';
import { publicKeyFile } from '#runtime/access/assertions.ts';

import { places } from '../generate/units.ts';
import {
  credentials,
  commandFile,
  installFile,
  staticUsers,
  sysusersFile,
  takeAway,
  unitsThere,
} from '../host/deployment.ts';
import { requireHost, systemctl } from '../host/systemctl.ts';

/** Where data stays; the folders of dynamic users lie in a place of their own, with links to them from the first. */
const kept = [places.data, '/var/lib/private/flotilla', places.backups, places.settings];

/** What processes kept that is worth nothing without them. */
const traces = [
  '/var/cache/flotilla',
  '/var/cache/private/flotilla',
  '/run/flotilla-alert',
  '/run/private/flotilla-alert',
  '/run/flotilla',
  '/run/private/flotilla',
];

export function uninstall({ dryRun }: { readonly dryRun?: boolean }): void {
  const units = unitsThere();
  const files = [
    ...units,
    places.code,
    commandFile,
    sysusersFile,
    installFile,
    credentials,
    '/var/lib/systemd/timers/stamp-flotilla-backup.timer',
    '/var/lib/systemd/timers/stamp-flotilla-backup-check.timer',
    ...traces,
  ].filter((path) => existsSync(path));
  if (!dryRun) requireHost();
  if (files.length === 0) say('Flotilla is not installed on this host: there is nothing to remove.');
  for (const path of files) say(`remove ${path}`);
  if (!dryRun) {
    stopAll(units);
    for (const path of files) takeAway(path);
    if (existsSync(places.settings) && readdirSync(places.settings).length === 0) rmdirSync(places.settings);
    systemctl('daemon-reload');
    keepDataForRoot();
  }
  for (const path of kept) if (existsSync(path)) say(`keep ${path}`);
}

/** Nothing of the operator's: what only looks like ours by its name runs on. */
function stopAll(files: readonly string[]): void {
  const ours = files.filter((path) => dirname(path) === places.units).map((path) => basename(path));
  const units = ours.filter((unit) => !unit.includes('@.'));
  // Of a template, what is loaded: systemd takes patterns for that.
  const instances = ours.filter((unit) => unit.includes('@.')).map((unit) => unit.replace('@.', '@*.'));
  if (units.length > 0) systemctl('disable', '--quiet', '--now', ...units);
  if (instances.length > 0) systemctl('stop', ...instances);
  if (ours.length > 0) spawnSync('systemctl', ['reset-failed', ...units, ...instances]);
}

/** Group and users go, and others may get their numbers: what they could read is root's alone until the next install. */
function keepDataForRoot(): void {
  const readable = [
    places.data,
    join(places.data, 'tokens.json'),
    ...catalogue.map(({ name }) => publicKeyFile(places.data, name)),
    places.backups,
  ];
  for (const path of readable.filter((one) => existsSync(one))) {
    chownSync(path, 0, 0);
    chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
  }
  for (const user of staticUsers) spawnSync('userdel', [user]);
  spawnSync('groupdel', [places.group]);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
