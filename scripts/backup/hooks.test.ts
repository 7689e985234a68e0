import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { hostSettings } from '#config/settings.ts';
import { readBackupState } from '#runtime/data/backup-state.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { announce, recordFailure, recordState } from './folder.ts';
import { copyOff, tellOf } from './hooks.ts';

const told = { folder: '/backups', archive: '/backups/a.tar.zst', reason: 'the disk is "full"' };
const environment = { PATH: process.env['PATH'], FLOTILLA_TOKEN: 'flt_secret' };

async function listener(status = 200) {
  const heard: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    heard.push(`${request.method} ${request.url} ${body}`.trim());
    response.writeHead(status).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    heard,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

const hook = (text: string) => hostSettings.parse({ FLOTILLA_BACKUP_HOOK: text });

test('an address is pinged when it went well, and with /fail and the reason when not', async () => {
  using server = await listener();
  const host = hook(`${server.url}/ping/uuid`);

  for (const event of ['resolved', 'success', 'failure', 'late'] as const)
    expect(await tellOf(event, host, told, environment)).toBeNull();

  expect(server.heard).toEqual([
    'POST /ping/uuid the disk is "full"',
    'POST /ping/uuid/fail the disk is "full"',
    'POST /ping/uuid/fail the disk is "full"',
  ]);
});

test('an address with places in it has them filled', async () => {
  using server = await listener();
  const host = hook(`${server.url}/push?status={status}&msg={reason}&event={event}`);

  await tellOf('late', host, told, environment);
  await tellOf('resolved', host, { ...told, reason: '' }, environment);

  expect(server.heard).toEqual([
    'GET /push?status=down&msg=the%20disk%20is%20%22full%22&event=late',
    'GET /push?status=up&msg=&event=resolved',
  ]);
});

test('an address that refuses, or does not answer, is told', async () => {
  using server = await listener(503);

  expect(await tellOf('success', hook(server.url), told, environment)).toMatch(/answers 503/);
  expect(await tellOf('success', hook('http://127.0.0.1:1/'), told, environment)).toMatch(
    /cannot be reached: .*bad port|ECONNREFUSED/,
  );
});

test('a command finds what happened in its environment, and no token', async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, 'out');
  const command = `echo "$BACKUP_EVENT|$BACKUP_FOLDER|$BACKUP_ARCHIVE|$BACKUP_REASON|$FLOTILLA_TOKEN" >> ${out}`;

  expect(await tellOf('failure', hook(command), told, environment)).toBeNull();
  expect(await copyOff(hostSettings.parse({ FLOTILLA_BACKUP_COPY: command }), told, environment)).toBeNull();

  const rest = '/backups|/backups/a.tar.zst|the disk is "full"|';
  expect(readFileSync(out, 'utf8')).toBe(`failure|${rest}\ncopy|${rest}\n`);
});

test('a command that fails says so in its own words; nothing is run where nothing is set', async () => {
  expect(await tellOf('success', hook('echo no such host >&2; exit 23'), told, environment)).toBe(
    'the hook failed (23): no such host',
  );
  const copy = hostSettings.parse({ FLOTILLA_BACKUP_COPY: 'kill -9 $$' });
  expect(await copyOff(copy, told, environment)).toBe(
    'the copy off this host failed (SIGKILL): it said nothing',
  );
  expect(await tellOf('success', hostSettings.parse({}), told, environment)).toBeNull();
  expect(await copyOff(hostSettings.parse({}), told, environment)).toBeNull();
});

test('that all is well again is told once, and a hook that failed is a trouble until it works', async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, 'out');
  const at = '2026-11-20T12:00:00.000Z';
  const about = { ...told, folder: folder.path };
  const tell = async (event: 'success' | 'failure' | 'late', text = `echo "$BACKUP_EVENT" >> ${out}`) =>
    announce(folder.path, event, about, hook(text), environment);

  recordFailure(folder.path, new Error('x'), at, 1);
  await tell('failure');
  await tell('late');
  recordState(folder.path, { at, durationMs: 1, error: null });
  await tell('success');
  await tell('success');
  expect(readFileSync(out, 'utf8').trim().split('\n')).toEqual([
    'failure',
    'late',
    'resolved',
    'success',
    'success',
  ]);
  expect(readBackupState(folder.path)).toMatchObject({ alert: null, hookError: null, failures: 1 });

  await tell('success', 'exit 1');
  expect(readBackupState(folder.path)?.hookError).toMatch(/the hook failed \(1\)/);
  await tell('success');
  expect(readBackupState(folder.path)?.hookError).toBeNull();
});
