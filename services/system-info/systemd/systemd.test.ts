/** What is asked of systemctl and journalctl, and how their answers are read. The programs here are scripts that write down how they were called. */
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import { machine, plainHost, watchOf } from '../machine.fixture.ts';
import { getServiceLogs, getServiceStatus, listServices } from '../tools/services.ts';
import { runProgram } from './run.ts';

const booted = { ...plainHost, '/run/systemd/system/.keep': '' };

/** A host whose systemctl and journalctl print this, and note their arguments and environment. */
function withPrograms(systemctl: string, journalctl = systemctl) {
  const host = machine(booted);
  const bin = join(host.root, 'bin');
  const script = (print: string) =>
    `#!/bin/sh\nfor word in "$@"; do printf '<%s>' "$word" >> ${bin}/words; done\n/usr/bin/env > ${bin}/environment\n${print}\n`;
  host.write({ '/bin/systemctl': script(systemctl), '/bin/journalctl': script(journalctl) });
  for (const name of ['systemctl', 'journalctl']) chmodSync(join(bin, name), 0o755);
  return {
    host: { ...host, programs: [bin] },
    wordsTold: () => (existsSync(`${bin}/words`) ? readFileSync(`${bin}/words`, 'utf8') : ''),
    environment: () => readFileSync(`${bin}/environment`, 'utf8'),
    [Symbol.dispose]: () => host[Symbol.dispose](),
  };
}

const hostile = [
  '-H evil',
  '--host=evil',
  '-Hevil',
  '; id',
  '$(id)',
  '`id`',
  '../../etc/passwd',
  '/etc/shadow',
  'a b',
  'a\nb',
  'a\0b',
  '*',
  'ssh*',
  '[a-z]',
  '%n',
  '',
  'a'.repeat(256),
  '\ud800',
];

test('a hostile name reaches no program', async () => {
  using machineHere = withPrograms('echo');
  await using watch = watchOf(machineHere.host);

  for (const service_name of hostile) {
    for (const tool of [getServiceStatus, getServiceLogs]) {
      const answer = invoke(tool as typeof getServiceStatus, { service_name }, watch);
      await expect(answer, JSON.stringify(service_name)).rejects.toMatchObject({ code: 'invalid_input' });
    }
  }
  expect(machineHere.wordsTold()).toBe('');
});

test('a unit is shown by its name after --, with nothing of our environment', async () => {
  using machineHere = withPrograms(`/bin/cat <<'END'
Id=app@1.service
Description=An app with --token=hunter2
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
Result=success
MainPID=77
ExecMainStatus=0
NRestarts=2
MemoryCurrent=1048576
CPUUsageNSec=1500000000
TasksCurrent=18446744073709551615
ActiveEnterTimestamp=Sun 2026-11-29 04:03:37 UTC
InactiveEnterTimestamp=
END`);
  await using watch = watchOf(machineHere.host);
  process.env['A_SECRET_OF_OURS'] = 'hunter2';

  const status = await invoke(getServiceStatus, { service_name: 'app@1' }, watch);
  delete process.env['A_SECRET_OF_OURS'];

  expect(machineHere.wordsTold()).toMatch(/^<show><--no-pager><--property=Id,[^>]+><--><app@1\.service>$/);
  expect(machineHere.wordsTold()).not.toMatch(/Environment|ExecStart/);
  expect(machineHere.environment()).not.toContain('A_SECRET_OF_OURS');
  expect(status).toMatchObject({
    unit: 'app@1.service',
    description: 'An app with --token=[redacted]',
    active: 'active',
    activeSince: '2026-11-29T04:03:37.000Z',
    mainPid: 77,
    restarts: 2,
    memoryBytes: 1_048_576,
    cpuSeconds: 1.5,
  });
  expect(status.tasks).toBeUndefined();
  expect(status.inactiveSince).toBeUndefined();
});

test('a unit that systemd does not know is not found', async () => {
  using machineHere = withPrograms(`printf 'Id=no.service\\nLoadState=not-found\\n'`);
  await using watch = watchOf(machineHere.host);

  await expect(invoke(getServiceStatus, { service_name: 'no' }, watch)).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('services are listed by state, page by page', async () => {
  using machineHere = withPrograms(`/bin/cat <<'END'
  cron.service loaded active running Regular background jobs
  bad.service  loaded failed failed  A bad one
  app.service  loaded active exited  Done
END`);
  await using watch = watchOf(machineHere.host);

  const all = await invoke(listServices, { limit: 2 }, watch);
  const failed = await invoke(listServices, { state: 'failed' }, watch);
  const rest = await invoke(listServices, { limit: 2, cursor: all.next_cursor }, watch);

  expect(all).toMatchObject({
    total: 3,
    truncated: true,
    services: [{ unit: 'app.service' }, { unit: 'bad.service' }],
  });
  expect(rest.services).toEqual([
    {
      unit: 'cron.service',
      load: 'loaded',
      active: 'active',
      sub: 'running',
      description: 'Regular background jobs',
    },
  ]);
  expect(failed.services).toMatchObject([{ unit: 'bad.service', sub: 'failed' }]);
});

test('log lines lose secrets, escape sequences and what is no text, and keep their order', async () => {
  const line = (at: number, message: unknown) =>
    JSON.stringify({
      __REALTIME_TIMESTAMP: String(at * 1_000_000),
      PRIORITY: '6',
      _PID: '7',
      MESSAGE: message,
    });
  const lines = [
    line(1, 'login with password=hunter2 ; COMMAND=/usr/bin/mysql -phunter2 app'),
    line(2, '\u001b[31mred\u001b[0m \u0007 \u001b]0;title\u0007'),
    line(3, [...Buffer.from('bytes \xff')]),
    line(4, null),
    'no json',
    line(5, 'x'.repeat(5_000)),
  ];
  using machineHere = withPrograms('true', `/bin/cat <<'END'\n${lines.join('\n')}\nEND`);
  await using watch = watchOf(machineHere.host);

  const args = { service_name: 'app', lines: 6, before: '2026-01-15T10:00Z' };
  const { entries, unit, truncated } = await invoke(getServiceLogs, args, watch);

  expect(machineHere.wordsTold()).toBe(
    '<--unit=app.service><--lines=6><--output=json><--output-fields=MESSAGE,PRIORITY,_PID><--no-pager><--quiet><--until=@1768471200.000000>',
  );
  expect(unit).toBe('app.service');
  expect(truncated).toBeUndefined();
  const shown = JSON.stringify(entries);
  expect(entries?.map(({ time }) => time.slice(17, 19))).toEqual(['01', '02', '03', '04', '05']);
  expect(shown).not.toMatch(/hunter2|\\u001b|\\u0007|title/);
  expect(entries?.[2]?.message).toContain('bytes');
  expect(entries?.[3]?.message).toContain('left out');
  expect(entries?.[4]?.message).toHaveLength(2_000);
});

test('without systemd, each says so with what to do, and starts nothing', async () => {
  using host = machine(plainHost, { programs: ['/usr/bin'] });
  await using watch = watchOf(host);

  for (const answer of [
    await invoke(listServices, {}, watch),
    await invoke(getServiceStatus, { service_name: 'app' }, watch),
    await invoke(getServiceLogs, { service_name: 'app' }, watch),
  ]) {
    expect(answer).not.toHaveProperty('services');
    expect(answer).not.toHaveProperty('entries');
    expect(answer.unavailable).toMatchObject([
      { reason: 'systemd does not run here', remedy: expect.any(String) as string },
    ]);
  }
});

test.each([
  ['echo "Failed to connect to bus: Permission denied" >&2; exit 1', /Permission denied/],
  ['exit 3', /^systemctl failed$/],
  ['/usr/bin/yes | /usr/bin/head -c 9000000', /more than/],
])('a program that fails with %j is a reason, not an error', async (script, reason) => {
  using machineHere = withPrograms(script);
  await using watch = watchOf(machineHere.host);

  const { unavailable, services } = await invoke(listServices, {}, watch);

  expect(services).toBeUndefined();
  expect(unavailable?.[0]?.reason).toMatch(reason);
});

test('a call that is taken back ends the program', async () => {
  using machineHere = withPrograms('exec /bin/sleep 600');
  const stop = new AbortController();

  const running = runProgram(machineHere.host, 'systemctl', [], testCall({ signal: stop.signal }).signal);
  stop.abort(new Error('gone'));

  await expect(running).rejects.toThrow('gone');
});
