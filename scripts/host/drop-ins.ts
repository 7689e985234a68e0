/** What the operator allowed, as drop-ins beside the generated units: `systemctl cat` shows what was widened, and by whom. */
import type { CatalogueEntry } from '#config/catalogue.ts';

import { networks, places } from '../generate/units.ts';
import { backupName, type Choices } from './choices.ts';

/** Of the host that the units are for. */
export interface Host {
  readonly processors: number;
  /** Addresses of its name servers, which may lie in a network that the egress class keeps out. */
  readonly nameServers: readonly string[];
  /** Its own addresses: what listens on a public one is this host's all the same. */
  readonly addresses: readonly string[];
  /** Where the settings of the host put the backups; `undefined` for the place of their own. */
  readonly backups: string | undefined;
}

/** Of the host's processors, for all processes together. */
const processorShare = 0.8;

/** The line by which an install knows a drop-in as its own. */
export const dropInOrigin = '# Written by "flotilla install".\n';

/** Drop-ins by their path below the folder of units. */
export function dropIns(
  entries: readonly CatalogueEntry[],
  choices: Choices,
  host: Host,
): ReadonlyMap<string, string> {
  const { processors, nameServers, addresses: own } = host;
  const internet = [denied(own), allowed(nameServers)];
  const quota = Math.round(processors * processorShare * 100);
  const files = new Map([
    ['flotilla.slice.d/50-install.conf', `[Slice]\nCPUQuota=${quota}%\n`],
    ['flotilla-alert@.service.d/50-install.conf', `[Service]\n${joined(internet)}`],
  ]);
  // Health is told of what may be there or not.
  const meant = choices.agents
    ? `Environment=FLOTILLA_HEALTH_EXPECT=${entries.map(({ name }) => name).join(',')}`
    : '';
  const onFiles = entries.filter(({ files: worksOnFiles }) => worksOnFiles).map(({ name }) => name);
  for (const { name, network: reach } of entries) {
    const lines = name === 'health' ? [meant] : [];
    if (onFiles.includes(name) && choices.user !== null) {
      const others = onFiles.filter((other) => other !== name);
      lines.push(asUser(choices.user, choices.roots, others));
    }
    const isWidened = choices.egress.includes(name) && reach !== 'egress';
    if (isWidened) lines.push('PrivateNetwork=no', `IPAddressDeny=\n${networks.egress}`);
    if (isWidened || reach === 'egress') lines.push(...internet);
    const addresses = choices.addresses[name] ?? [];
    if (addresses.length > 0) {
      lines.push('PrivateNetwork=no', 'RestrictAddressFamilies=AF_INET AF_INET6', allowed(addresses));
    }
    const text = joined(lines);
    if (text !== '') files.set(`flotilla@${name}.service.d/50-install.conf`, `[Service]\n${text}\n`);
  }
  const ofBackup = backupLines(choices, host);
  for (const unit of ofBackup === '' ? [] : ['flotilla-backup', 'flotilla-backup-check'])
    files.set(`${unit}.service.d/50-install.conf`, `[Service]\n${ofBackup}\n`);
  return new Map([...files].map(([path, text]) => [path, `${dropInOrigin}${text}`]));
}

/** The processes of this host stay in its reach. */
function backupLines(
  { egress, addresses: { [backupName]: addresses = [] } }: Choices,
  { nameServers, addresses: own, backups }: Host,
): string {
  const lines = backups === undefined ? [] : [`ReadWritePaths=${quoted(backups)}`];
  if (egress.includes(backupName)) {
    lines.push(`IPAddressDeny=\n${networks.egress}`, denied(own), allowed(['localhost', ...nameServers]));
  }
  lines.push(allowed(addresses));
  return joined(lines);
}

const joined = (lines: readonly string[]) => lines.filter((line) => line !== '').join('\n');

function denied(addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : `IPAddressDeny=${addresses.join(' ')}`;
}

function allowed(addresses: readonly string[]): string {
  return addresses.length === 0 ? '' : `IPAddressAllow=${addresses.join(' ')}`;
}

/**
 * Homes are empty but for the roots, and nothing else can be written. `others` are processes of the same user: what they keep
 * is not there. RemoveIPC= would take from the user's own programs.
 */
function asUser(user: string, roots: readonly string[], others: readonly string[]): string {
  return [
    'DynamicUser=no',
    `User=${user}`,
    'RemoveIPC=no',
    'UMask=0022',
    'ProtectHome=tmpfs',
    ...others.map((name) => `InaccessiblePaths=-${places.data}/${name}`),
    ...roots.map((root) => `BindPaths=${quoted(root)}`),
    `Environment=${quoted(`FLOTILLA_ROOTS=${roots.join(':')}`)}`,
  ].join('\n');
}

/** As unit files write a word with anything in it. */
function quoted(word: string): string {
  return `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%')}"`;
}
