/** `config/systemd/`: the units of a host, from the catalogue. Pure; `flotilla install` puts them where they belong. */
import type { CatalogueEntry, NetworkClass } from '#config/catalogue.ts';

import { heapFlags } from '../serve-command.ts';

/** Where an installed fleet lies. Units, commands and documents name these places. */
export const places = {
  code: '/opt/flotilla',
  current: '/opt/flotilla/current',
  data: '/var/lib/flotilla',
  backups: '/var/lib/flotilla-backups',
  settings: '/etc/flotilla',
  units: '/etc/systemd/system',
  group: 'flotilla',
} as const;

const node = `${places.current}/node_modules/.bin/node`;

/** Everything but what differs from unit to unit: no privilege, no device, no view of others, nothing to write. */
const sandbox = `NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
InaccessiblePaths=/dev/shm
PrivateMounts=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Who computes gives way to who answers; nobody gets ahead by it, which takes a capability.
SystemCallFilter=setpriority
SystemCallErrorNumber=EPERM
DevicePolicy=closed
LimitCORE=0`;

/** What it takes to make a sandbox inside this one: namespaces without privileges, and mounts in them. */
const inner = {
  // bubblewrap reads which user stands for those that are not mapped.
  proc: 'ProcSubset=all',
  namespaces: 'RestrictNamespaces=user mnt pid ipc',
  calls: 'SystemCallFilter=mount umount2 mount_setattr pivot_root capset',
};

/** What it takes to tell of the host: all of /proc, and users by their own numbers. Nothing of it can be changed from there. */
function outlook(unit: string): string {
  return unit
    .replace('ProcSubset=pid', 'ProcSubset=all')
    .replace('ProtectProc=invisible', 'ProtectProc=default')
    .replace('PrivateUsers=yes', 'PrivateUsers=no');
}

function sandboxOf({ sandboxes, measures, observes }: CatalogueEntry): string {
  if (measures) return outlook(sandbox);
  // To follow the journal, journalctl reads which boot this is.
  if (observes) return sandbox.replace('ProcSubset=pid', 'ProcSubset=all');
  if (!sandboxes) return sandbox;
  return sandbox
    .replace('ProcSubset=pid', inner.proc)
    .replace('RestrictNamespaces=yes', inner.namespaces)
    .replace(/^SystemCallFilter=~.*$/m, `$&\n${inner.calls}`);
}

/** The kernel ends what takes too much: where that is a process that the service started, its call fails, and the service goes on. */
function roomOf({ sandboxes, engines, watches }: CatalogueEntry): string {
  const room =
    sandboxes || engines
      ? 'MemoryHigh=1792M\nMemoryMax=2G\nTasksMax=1024\nOOMPolicy=continue'
      : 'MemoryHigh=448M\nMemoryMax=512M\nTasksMax=128';
  // Who watches must not wait for a processor behind those whom it watches.
  return watches ? `${room}\nCPUWeight=400` : room;
}

/** Everything that is not the internet: this host, its networks, and what only routers speak to. */
const internal =
  'localhost link-local multicast 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7';

/**
 * So that the C library gives memory back that was freed: by itself it raises both with every large block, and keeps more. But it keeps 1 MB
 * at its end, or SQLite asks the kernel anew with each transaction; and blocks of up to 4 MB, as bodies are, come from what it has.
 */
export const heapTunables = 'glibc.malloc.trim_threshold=1048576:glibc.malloc.mmap_threshold=4194304';

/** What a network class may reach. The socket that systemd hands over needs none of it. */
export const networks: Readonly<Record<NetworkClass, string>> = {
  none: 'PrivateNetwork=yes\nRestrictAddressFamilies=none\nIPAddressDeny=any',
  loopback: 'RestrictAddressFamilies=AF_INET AF_INET6\nIPAddressDeny=any\nIPAddressAllow=localhost',
  egress: `RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\nIPAddressDeny=${internal}`,
};

/** systemd takes names of dynamic users up to 31 characters. */
const userOf = (name: string) => `User=fl-${name}`;

function service(entry: CatalogueEntry): string {
  const { name, description, network: reach, observes, asks, signs } = entry;
  // Units' states are asked for on the system's bus.
  const sight = observes
    ? `SupplementaryGroups=${places.group} systemd-journal\nRestrictAddressFamilies=AF_UNIX`
    : `SupplementaryGroups=${places.group}`;
  return `[Unit]
Description=Flotilla ${name}: ${description.replaceAll('%', '%%')}
PartOf=flotilla.target
Requires=flotilla@${name}.socket
After=flotilla@${name}.socket
StartLimitIntervalSec=0
OnFailure=flotilla-alert@%n.service

[Service]
Type=notify
NotifyAccess=main
OpenFile=/run/systemd/notify:notify
ExecStart=${node} ${heapFlags.join(' ')} scripts/serve.ts ${name}
ExecStopPost=/bin/sh scripts/back-off.sh
WorkingDirectory=${places.current}
Environment=FLOTILLA_DATA=${places.data} NODE_COMPILE_CACHE=%C/flotilla/${name}
Environment=GLIBC_TUNABLES=${heapTunables}
EnvironmentFile=-${places.settings}/fleet.env
EnvironmentFile=-${places.settings}/${name}.env
Slice=flotilla.slice
Restart=always
RestartSec=20ms
TimeoutStartSec=90s
TimeoutStopSec=15s
KillMode=mixed
WatchdogSec=4s
WatchdogSignal=SIGKILL
SyslogIdentifier=flotilla-${name}
LogRateLimitIntervalSec=0
${roomOf(entry)}
LimitNOFILE=8192
${asks ? `LoadCredential=token:${places.settings}/credentials/${name}\n` : ''}${signs ? `LoadCredential=signing-key:${places.settings}/credentials/${name}\n` : ''}
DynamicUser=yes
${userOf(name)}
StateDirectory=flotilla/${name}
StateDirectoryMode=0700
CacheDirectory=flotilla/${name}
CacheDirectoryMode=0700
RuntimeDirectory=flotilla/${name}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=restart
UMask=0077
${networks[reach]}
${sight}
${sandboxOf(entry)}

[Install]
WantedBy=flotilla.target
`;
}

/** The back-off script writes there when a process has fallen again and again: older versions of systemd raise no alert then. */
const fallen = ({ name }: CatalogueEntry) => `[Unit]
Description=Flotilla ${name}, a look whether it stays down
PartOf=flotilla.target

[Path]
PathChanged=/run/flotilla/${name}/down
Unit=flotilla-alert@flotilla@${name}.service.service

[Install]
WantedBy=flotilla.target
`;

function socket({ name, port }: CatalogueEntry): string {
  return `[Unit]
Description=Flotilla ${name}, the socket
PartOf=flotilla.target
StartLimitIntervalSec=0
OnFailure=flotilla-alert@%n.service flotilla-retry@${name}.service

[Socket]
ListenStream=127.0.0.1:${port}
FileDescriptorName=http
Backlog=4096
NoDelay=yes

[Install]
WantedBy=flotilla.target
`;
}

const target = `[Unit]
Description=Flotilla

[Install]
WantedBy=multi-user.target
`;

/** The whole fleet may not take the host's breath; its share of the processors is added where their number is known. */
const slice = `[Unit]
Description=Flotilla, all processes together

[Slice]
MemoryHigh=3500M
MemoryMax=4G
CPUWeight=100
TasksMax=2048
`;

const alert = `[Unit]
Description=Flotilla, the alert for %i
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh ${places.current}/scripts/alert.sh %i
SyslogIdentifier=flotilla-alert
TimeoutStartSec=60s
MemoryMax=128M
TasksMax=32

DynamicUser=yes
${userOf('alert')}
RuntimeDirectory=flotilla-alert
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077
${networks.egress}
${sandbox}
`;

/** A port that another program held at the start is tried again until it is free: systemd itself tries a socket once. */
const retry = `[Unit]
Description=Flotilla, another try at the socket of %i
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=systemctl start flotilla@%i.socket flotilla@%i.service
Restart=on-failure
RestartSec=5s
SyslogIdentifier=flotilla-retry
MemoryMax=64M
TasksMax=8

UMask=0077
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
${sandbox}
`;

/** Of a user that stays: what the job tells of itself is read by others, and a dynamic user's folder is nobody else's to enter. */
const backupJob = (description: string, command: string, condition = '') => `[Unit]
Description=Flotilla, ${description}
After=flotilla.target
OnFailure=flotilla-alert@%n.service

[Service]
Type=oneshot
${condition}ExecStart=${node} scripts/flotilla.ts ${command}
WorkingDirectory=${places.current}
Environment=FLOTILLA_DATA=${places.data}
EnvironmentFile=-${places.settings}/fleet.env
EnvironmentFile=-${places.settings}/backup.env
LoadCredential=token:${places.settings}/credentials/backup
LoadCredential=backup-key:${places.settings}/backup-key
TimeoutStartSec=6h
Nice=10
IOSchedulingClass=idle
SyslogIdentifier=flotilla-backup
LogRateLimitIntervalSec=0
MemoryMax=1G
TasksMax=64

${userOf('backup')}
SupplementaryGroups=${places.group}
StateDirectory=flotilla-backups
StateDirectoryMode=0711
UMask=0077
${networks.loopback}
${sandbox}
`;

/** The timer's second try does nothing where the first went well; whoever else starts the unit gets a backup. */
const unlessDone = `ExecCondition=/bin/sh -c '[ "$TRIGGER_UNIT" != flotilla-backup.timer ] || ! ${node} scripts/flotilla.ts backups --fresh'\n`;

const daily = (description: string, ...times: readonly string[]) => `[Unit]
Description=Flotilla, ${description}

[Timer]
${times.map((time) => `OnCalendar=*-*-* ${time}`).join('\n')}
RandomizedDelaySec=10m
Persistent=true

[Install]
WantedBy=timers.target
`;

/** All units by file name, for systemd 254 and newer. */
export function unitFiles(entries: readonly CatalogueEntry[]): ReadonlyMap<string, string> {
  const files = new Map([
    ['flotilla.target', target],
    ['flotilla.slice', slice],
    ['flotilla-alert@.service', alert],
    ['flotilla-retry@.service', retry],
    ['flotilla-backup.service', backupJob('the backup of all data', 'backup', unlessDone)],
    // Twice, for there is a day without the first hour, and nights in which it fails.
    ['flotilla-backup.timer', daily('the daily backup', '03:15:00', '04:20:00')],
    // It fails, and so alerts, when there is no good backup of the last day, also where none was tried.
    ['flotilla-backup-check.service', backupJob('whether there is a backup', 'backups --alert')],
    ['flotilla-backup-check.timer', daily('the daily look at the backups', '09:15:00')],
  ]);
  for (const entry of entries) {
    files.set(`flotilla@${entry.name}.service`, service(entry));
    files.set(`flotilla@${entry.name}.socket`, socket(entry));
    files.set(`flotilla@${entry.name}.path`, fallen(entry));
  }
  return new Map([...files].map(([name, text]) => [name, `${originOf(name)}${text}`]));
}

/** The line by which an install knows a unit as its own. With the name: a copy that somebody made is theirs. */
export function originOf(name: string): string {
  return `# ${name} of Flotilla, generated from config/catalogue.ts by "npm run generate".\n`;
}

/** The first version that passes the notify socket itself. */
export const openFileSince = 253;

/** The same unit for an older systemd: a launcher opens the notify socket, for which the unit needs one more address family. */
export function withLauncher(unit: string): string {
  if (!unit.includes('\nOpenFile=')) return unit;
  const families = unit.includes('RestrictAddressFamilies=none')
    ? unit.replace('RestrictAddressFamilies=none', 'RestrictAddressFamilies=AF_UNIX')
    : unit.replace(/(\nRestrictAddressFamilies=(?!.*AF_UNIX).*)/, '$1 AF_UNIX');
  return families
    .replace(/\nOpenFile=.*/, '')
    .replace('\nExecStart=', `\nExecStart=/usr/bin/perl scripts/notify-launcher.pl `);
}
