import { expect, test } from 'vitest';

import type { CatalogueEntry } from '#config/catalogue.ts';

import { unitFiles } from '../generate/units.ts';
import type { Choices } from './choices.ts';
import { dropIns } from './drop-ins.ts';

const entry: CatalogueEntry = {
  name: 'git',
  port: 4332,
  tier: 2,
  network: 'none',
  description: 'Repositories.',
  data: null,
};
const nothing: Choices = { user: null, roots: [], egress: [], addresses: {} };
const host = {
  processors: 3,
  nameServers: ['10.0.0.53'],
  addresses: ['198.51.100.7', '2001:db8::/64'],
  backups: undefined,
};

function ofGit(given: Partial<CatalogueEntry>, choices: Partial<Choices>): string | undefined {
  const files = dropIns([{ ...entry, ...given }], { ...nothing, ...choices }, host);
  return files.get('flotilla@git.service.d/50-install.conf');
}

test('A process that nothing was allowed to has no drop-in', () => {
  expect(ofGit({}, {})).toBeUndefined();
  expect(ofGit({ files: true }, {})).toBeUndefined();
  expect(ofGit({}, { user: 'alice', roots: ['/srv'] })).toBeUndefined();
});

test('Health is told of agents where they are installed', () => {
  const entries = [
    { ...entry, name: 'health' },
    { ...entry, name: 'agent-qa', tier: 'agent' as const },
  ];
  const of = (choices: Partial<Choices>) =>
    dropIns(entries, { ...nothing, ...choices }, host).get('flotilla@health.service.d/50-install.conf');

  expect(of({})).toBeUndefined();
  expect(of({ agents: true })).toContain('Environment=FLOTILLA_HEALTH_EXPECT=health,agent-qa\n');
});

test('The slice gets four fifths of the processors', () => {
  expect(dropIns([], nothing, host).get('flotilla.slice.d/50-install.conf')).toContain('CPUQuota=240%');
});

test('A service for files runs as the user, sees the roots alone, and leaves the IPC of the user be', () => {
  const text = ofGit({ files: true }, { user: 'alice', roots: ['/srv/a b', '/srv/50%"'] });

  expect(text?.split('\n')).toEqual(
    expect.arrayContaining([
      'DynamicUser=no',
      'User=alice',
      'RemoveIPC=no',
      'UMask=0022',
      'ProtectHome=tmpfs',
      'BindPaths="/srv/a b"',
      'BindPaths="/srv/50%%\\""',
      'Environment="FLOTILLA_ROOTS=/srv/a b:/srv/50%%\\""',
    ]),
  );
});

test('What a process for files keeps is not there for another that runs as the same user', () => {
  const files = dropIns(
    [
      { ...entry, files: true },
      { ...entry, name: 'sheets', files: true },
      { ...entry, name: 'plain' },
    ],
    { ...nothing, user: 'alice', roots: ['/srv'] },
    host,
  );

  expect(files.get('flotilla@git.service.d/50-install.conf')).toContain(
    'InaccessiblePaths=-/var/lib/flotilla/sheets',
  );
  expect(files.get('flotilla@sheets.service.d/50-install.conf')).toContain(
    'InaccessiblePaths=-/var/lib/flotilla/git',
  );
  expect(files.has('flotilla@plain.service.d/50-install.conf')).toBe(false);
});

test('Egress reaches the internet and the name servers, and neither the networks around nor the host by its own addresses', () => {
  const text = ofGit({}, { egress: ['git'] });

  expect(text).toContain('PrivateNetwork=no');
  expect(text).toMatch(
    /IPAddressDeny=\nRestrictAddressFamilies=.*\nIPAddressDeny=localhost .*192\.168\.0\.0\/16/,
  );
  expect(text).toContain('IPAddressDeny=198.51.100.7 2001:db8::/64\nIPAddressAllow=10.0.0.53');
  expect(text).not.toContain('IPAddressDeny=any');
});

test('A process on loopback that reaches out keeps loopback: its unit allows it, which goes before what is denied', () => {
  const health: CatalogueEntry = { ...entry, name: 'health', network: 'loopback', observes: true };
  const unit = unitFiles([health]).get('flotilla@health.service');
  const opened = dropIns([health], { ...nothing, egress: ['health'] }, host).get(
    'flotilla@health.service.d/50-install.conf',
  );

  expect(unit).toContain('\nIPAddressDeny=any\nIPAddressAllow=localhost\n');
  expect(opened).toMatch(/\nIPAddressDeny=\n/);
  expect(opened).not.toMatch(/\nIPAddressAllow=\n/);
});

test('An address widens by this address alone', () => {
  const text = ofGit({}, { addresses: { git: ['192.168.1.7'] } });

  expect(text).toContain('IPAddressAllow=192.168.1.7');
  expect(text).not.toContain('IPAddressDeny=');
});

test('The backup reaches out only when it is told to, keeps the processes of the host but not its other addresses, and writes where the settings say', () => {
  const ofBackup = (choices: Partial<Choices>, backups?: string) =>
    dropIns([], { ...nothing, ...choices }, { ...host, backups }).get(
      'flotilla-backup.service.d/50-install.conf',
    );

  expect(ofBackup({})).toBeUndefined();
  expect(ofBackup({}, '/mnt/back ups')).toMatch(/\[Service\]\nReadWritePaths="\/mnt\/back ups"\n$/);
  expect(ofBackup({ addresses: { backup: ['192.0.2.7'] } })).toMatch(
    /\[Service\]\nIPAddressAllow=192\.0\.2\.7\n$/,
  );
  const open = ofBackup({ egress: ['backup'] });
  expect(open).toMatch(
    /IPAddressDeny=\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\nIPAddressDeny=localhost /,
  );
  expect(open).toContain('IPAddressDeny=198.51.100.7 2001:db8::/64\nIPAddressAllow=localhost 10.0.0.53\n');
  expect(dropIns([], { ...nothing, egress: ['backup'] }, host).size).toBe(4);
});
