/** The host's systemd, asked and told through its own commands. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { ConfigError } from '#runtime/errors.ts';

import { places } from '../generate/units.ts';
import { ownCommand } from '../own-command.ts';

/** The oldest that the units are for; older ones lack keys of them. */
const oldest = 252;

/** @throws ConfigError for a host without systemd, or with one too old. */
export function systemdVersion(): number {
  const { stdout } = spawnSync('systemctl', ['--version'], { encoding: 'utf8' });
  const version = Number(/^systemd (\d+)/.exec(stdout ?? '')?.[1]);
  if (Number.isNaN(version)) {
    throw new ConfigError(
      `There is no systemd on this host: start the fleet in the foreground (${ownCommand()} start).`,
    );
  }
  if (version < oldest) throw new ConfigError(`systemd ${version} is too old: ${oldest} or newer is needed.`);
  return version;
}

/** @throws ConfigError unless this is root on a host that systemd runs. */
export function requireHost(): void {
  if (process.getuid?.() !== 0) throw new ConfigError('This needs root: run it with sudo.');
  if (!existsSync('/run/systemd/system')) {
    throw new ConfigError(
      `systemd does not run this host: start the fleet in the foreground (${ownCommand()} start), or write the files for another host (--prefix).`,
    );
  }
}

/** @throws Error with what systemctl said. */
export function systemctl(...args: readonly string[]): void {
  execFileSync('systemctl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Whether systemd runs the fleet that works on this data. */
export function isHostsFleet(dataRoot: string): boolean {
  return dataRoot === places.data && existsSync(join(places.units, 'flotilla.target'));
}

/** Of a process: its socket, which starts it again when it is called, and its service. */
export const unitsOf = (name: string) => [`flotilla@${name}.socket`, `flotilla@${name}.service`] as const;

/** How a person stops or starts these processes around a restore: on a host they alone, else the fleet. */
export function commandTo(what: 'stop' | 'start', names: readonly string[], dataRoot: string): string {
  return isHostsFleet(dataRoot)
    ? `systemctl ${what} ${names.flatMap(unitsOf).join(' ')}`
    : `${ownCommand()} ${what}`;
}

/** With the sockets, which would start the processes again. @throws ConfigError for anybody but root. */
export function stopUnits(): void {
  requireHost();
  systemctl('stop', 'flotilla.target', 'flotilla@*.socket', 'flotilla@*.service');
}

/** Of the unit's process; 0 where none runs. */
export function mainPid(unit: string): number {
  return Number(
    execFileSync('systemctl', ['show', '--property', 'MainPID', '--value', unit], { encoding: 'utf8' }),
  );
}

export function isActive(unit: string): boolean {
  return spawnSync('systemctl', ['is-active', '--quiet', unit]).status === 0;
}
