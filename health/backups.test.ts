import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { writeBackupState, type BackupState } from '#runtime/data/backup-state.ts';

import { serve, temporaryFolder } from '../tests/support/serve.ts';
import { backupMetrics, keptFor, lookAtBackups } from './backups.ts';
import health from './service.ts';

const nowMs = Date.parse('2026-11-20T12:00:00Z');

const state: BackupState = {
  lastAttemptAt: '2026-11-20T03:15:00.000Z',
  lastSuccessAt: '2026-11-20T03:15:00.000Z',
  lastVerifiedAt: '2026-11-20T03:15:00.000Z',
  archive: 'flotilla-2026-11-20T03-15-00.000Z.tar.zst',
  sizeBytes: 1_000,
  files: 9,
  durationMs: 2_500,
  failures: 3,
  lastError: null,
  restoreMs: 800,
  alert: null,
  hookError: null,
};

test('proven backups are told with their figures', () => {
  using folder = temporaryFolder();
  writeBackupState(folder.path, state);

  const report = lookAtBackups(folder.path, true, nowMs);

  expect(report).toEqual({
    ...state,
    recoveryPointAgeMs: nowMs - Date.parse(state.lastVerifiedAt ?? ''),
    troubles: [],
  });
  const text = backupMetrics(report);
  expect(text).toContain('\nflotilla_backup_last_verified_timestamp_seconds 1795144500\n');
  expect(text).toContain('\nflotilla_backup_last_success_timestamp_seconds 1795144500\n');
  expect(text).toContain('\nflotilla_backup_duration_seconds 2.5\n');
  expect(text).toContain('\nflotilla_backup_restore_seconds 0.8\n');
  expect(text).toContain('\nflotilla_backup_size_bytes 1000\n');
  expect(text).toContain('\nflotilla_backup_files 9\n');
  expect(text).toContain('# TYPE flotilla_backup_failures_total counter\nflotilla_backup_failures_total 3\n');
  expect(text).toContain('\nflotilla_backup_troubles 0\n');
});

test('none, where none are meant to be, is no trouble; where some are, it is', () => {
  using folder = temporaryFolder();

  expect(lookAtBackups(folder.path, false, nowMs)).toBeNull();
  expect(backupMetrics(null)).not.toMatch(/^flotilla_/m);
  const report = lookAtBackups(folder.path, true, nowMs);
  expect(report?.troubles).toEqual(['no backup was made yet']);
  expect(backupMetrics(report)).not.toContain('\nflotilla_backup_last_verified_timestamp_seconds ');
});

test('a state that cannot be understood is a trouble, not a crash', () => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, 'state.json'), '{');

  expect(lookAtBackups(folder.path, false, nowMs)?.troubles).toEqual([
    `the state of the backups in ${folder.path} cannot be read`,
  ]);
});

test('a late or failed backup shows in /ready, /health and /metrics, and leaves the fleet ready', async () => {
  using folder = temporaryFolder();
  const backups = join(folder.path, 'backups');
  mkdirSync(backups);
  chmodSync(backups, 0o711);
  await using served = await serve(health, { FLOTILLA_BACKUPS: backups, FLOTILLA_HEALTH_EXPECT: 'health' });
  const ready = async () => {
    const response = await fetch(`${served.url}/ready`);
    return { status: response.status, ...((await response.json()) as { warnings?: string[] }) };
  };
  while ((await ready()).status !== 200);

  writeBackupState(backups, {
    ...state,
    lastVerifiedAt: new Date(Date.now() - 27 * 3_600_000).toISOString(),
  });
  // Health looks once a second.
  await vi.waitFor(async () =>
    expect(await ready()).toMatchObject({
      status: 200,
      warnings: [expect.stringMatching(/^the newest proven backup is of 2/)],
    }),
  );
  writeBackupState(backups, {
    ...state,
    lastVerifiedAt: new Date().toISOString(),
    lastError: 'the disk is full',
  });
  await vi.waitFor(async () =>
    expect((await ready()).warnings).toEqual(['the last backup failed: the disk is full']),
  );
  expect(await (await fetch(`${served.url}/health`)).json()).toMatchObject({
    status: 'pass',
    backup: { failures: 3, troubles: ['the last backup failed: the disk is full'] },
  });
  expect(await (await fetch(`${served.url}/metrics`)).text()).toContain('\nflotilla_backup_troubles 1\n');

  writeBackupState(backups, { ...state, lastVerifiedAt: new Date().toISOString() });
  await vi.waitFor(async () => expect((await ready()).warnings).toBeUndefined());
});

test('one look is enough for a second, however many ask', () => {
  let [nowMs, looks] = [0, 0];
  const seen = keptFor(
    1_000,
    () => nowMs,
    () => (looks += 1),
  );

  expect([seen(), seen()]).toEqual([1, 1]);
  nowMs = 999;
  expect(seen()).toBe(1);
  nowMs = 1_000;
  expect(seen()).toBe(2);
});
