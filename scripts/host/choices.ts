/** What the operator has allowed on this host: given to `flotilla install`, kept for `flotilla upgrade`. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

import { z } from 'zod';

import { hostSettings } from '#config/settings.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';
import { contains, openRoots } from '#runtime/roots.ts';

import { entriesNamed } from '../environment.ts';
import { places } from '../generate/units.ts';

const choicesSchema = z.strictObject({
  /** Whose files filesystem, git and the like work on; without one they have no roots. */
  user: z.string().nullable(),
  roots: z.array(z.string()),
  /** Processes that may reach the internet beyond their network class. */
  egress: z.array(z.string()),
  /** Addresses and networks that a process may reach beyond its class. */
  addresses: z.record(z.string(), z.array(z.string())),
  /** Whether the agents are installed too. */
  agents: z.literal(true).optional(),
});
export type Choices = z.output<typeof choicesSchema>;

export interface InstallOptions {
  readonly user?: string;
  readonly root: readonly string[];
  readonly egress: readonly string[];
  readonly allowAddress: readonly string[];
  readonly agents?: boolean;
  readonly forget?: boolean;
  readonly prefix?: string;
  readonly dryRun?: boolean;
}

const choicesFile = join(places.settings, 'install.json');

/** What an earlier install was told; `undefined` on a host without one. @throws ConfigError when it cannot be read. */
export function readChoices(prefix = ''): Choices | undefined {
  const file = join(prefix, choicesFile);
  if (!existsSync(file)) return undefined;
  try {
    return choicesSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new ConfigError(`${file} is not what flotilla install writes: mend it, or remove it and install.`, {
      cause,
    });
  }
}

export function choicesText(choices: Choices): string {
  return `${JSON.stringify(choices, null, 2)}\n`;
}

const nothing: Choices = { user: null, roots: [], egress: [], addresses: {} };

/**
 * What is given takes the place of what was given earlier with the same option; the rest stays.
 *
 * @throws UsageError or ConfigError for what cannot be meant.
 */
export function parseChoices(
  { user, root, egress, allowAddress, agents }: InstallOptions,
  earlier: Choices = nothing,
): Choices {
  for (const name of egress) requireName(name);
  if ((root.length === 0) !== (user === undefined)) {
    throw new UsageError('--user and --root belong together: whose files, and which.');
  }
  const addresses: Record<string, string[]> = {};
  for (const given of allowAddress) {
    const [name = '', address = ''] = given.split(/=(.*)/s);
    requireName(name);
    if (!isAddress(address)) {
      throw new UsageError(
        `--allow-address ${given}: write NAME=ADDRESS or NAME=ADDRESS/BITS, with numbers.`,
      );
    }
    addresses[name] = [...(addresses[name] ?? []), address];
  }
  return {
    user: user ?? earlier.user,
    roots: user === undefined ? earlier.roots : rootsOf(root, user),
    egress: egress.length > 0 ? [...new Set(egress)] : earlier.egress,
    addresses: allowAddress.length > 0 ? addresses : earlier.addresses,
    ...((agents ?? earlier.agents) && { agents: true }),
  };
}

/** What is no process of the catalogue, but reaches out for hooks and copies of backups. */
export const backupName = 'backup';

function requireName(name: string): void {
  if (name !== backupName) entriesNamed([name]);
}

function isAddress(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return (
    rest.length === 0 && (bits === undefined ? most > 0 : /^\d{1,3}$/.test(bits) && Number(bits) <= most)
  );
}

/** The real paths of the roots. The process that serves them will refuse the same, but nobody looks at its log yet. */
function rootsOf(given: readonly string[], user: string): string[] {
  const [, , uid, , , home = '/'] = accountOf(user);
  if (uid === '0') throw new UsageError('--user root: name the user whose files are served, not root.');
  const unfit = given.find((root) => /[:\n]/.test(root));
  if (unfit !== undefined) throw new UsageError(`--root ${unfit}: a colon cannot be part of a root.`);
  const host = hostSettings.parse({ FLOTILLA_DATA: places.data });
  const { roots, warnings } = openRoots('--root', given.join(':'), host);
  const [missing] = warnings;
  if (missing !== undefined) throw new ConfigError(missing);
  for (const ours of [places.code, places.settings, places.backups, join(home, '.config/flotilla')]) {
    const overlapping = roots.find((root) => contains(root, ours) || contains(ours, root));
    if (overlapping !== undefined) {
      throw new ConfigError(
        `The root ${overlapping} and ${ours} overlap: clients could reach it. Name another.`,
      );
    }
  }
  return [...roots];
}

/** Its line of passwd(5). */
function accountOf(user: string): string[] {
  const { stdout } = spawnSync('getent', ['passwd', '--', user], { encoding: 'utf8' });
  const account = stdout.trim().split(':');
  if (account[0] !== user) throw new UsageError(`--user ${user}: there is no such user on this host.`);
  return account;
}
