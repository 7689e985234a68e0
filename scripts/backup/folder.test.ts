import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { backupTroubles, readBackupState, type BackupState } from '#runtime/data/backup-state.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import {
  archiveName,
  expired,
  listBackups,
  recordState,
  remove,
  takeBackupFolder,
  writeNote,
  type BackupNote,
  type Keep,
} from './folder.ts';

const dayMs = 24 * 3_600_000;
const noonMs = Date.parse('2026-11-20T12:00:00Z');

const noteOf = (createdAt: string): BackupNote => ({
  createdAt,
  sizeBytes: 5,
  sha256: '',
  dataBytes: 50,
  files: 3,
  services: ['memory'],
  missing: [],
  isEncrypted: false,
  verifiedAt: createdAt,
});

function put(folder: string, daysAgo: number, about: Partial<BackupNote> = {}): string {
  const createdAt = new Date(noonMs - daysAgo * dayMs).toISOString();
  const archive = join(folder, archiveName(createdAt, false));
  writeFileSync(archive, 'bytes');
  writeNote(archive, { ...noteOf(createdAt), ...about });
  return archive;
}

const agesIn = (folder: string) =>
  listBackups(folder).map(({ createdAt }) => Math.round((noonMs - Date.parse(createdAt)) / dayMs));

const keep = { days: 30, weeks: 0, months: 0 };
const prune = (folder: string, nowMs = noonMs, about: Partial<Keep> = {}) =>
  remove(folder, expired(listBackups(folder), { ...keep, ...about }, nowMs));

test('what is older than the days to keep goes, with its note, the oldest first', () => {
  using folder = temporaryFolder();
  for (const age of [...Array(31).keys(), 31, 400]) put(folder.path, age);
  writeFileSync(join(folder.path, 'notes-of-mine.txt'), 'not ours');

  const [first, ...others] = prune(folder.path);

  expect(first).toContain('2025-10-16');
  expect(others).toHaveLength(1);
  expect(agesIn(folder.path)).toEqual([...Array(31).keys()]);
  expect(readdirSync(folder.path)).toHaveLength(2 * 31 + 1);
});

test('the newest three that are proven and hold everything stay, however old they are', () => {
  using folder = temporaryFolder();
  put(folder.path, 2, { missing: ['git'] });
  put(folder.path, 3, { verifiedAt: null });
  for (const age of [50, 60, 70, 80]) put(folder.path, age);

  prune(folder.path, noonMs, { days: 1 });

  expect(agesIn(folder.path)).toEqual([50, 60, 70]);
});

test('of each day, week and month the newest stays, as many as are asked for', () => {
  // Twice a day for two years, newest first.
  const backups = Array.from({ length: 2 * 730 }, (_, index) => {
    const createdAt = new Date(noonMs - (index * dayMs) / 2).toISOString();
    return { archive: createdAt, createdAt, note: noteOf(createdAt) };
  });

  const old = new Set(expired(backups, { days: 5, weeks: 4, months: 6 }, noonMs));

  const left = backups.filter((backup) => !old.has(backup)).map(({ createdAt }) => createdAt.slice(5, 13));
  // All that are younger than five days, a Friday to a Sunday; then Sundays; then the last days of months.
  expect(left).toEqual([
    ...['20', '19', '18', '17', '16'].flatMap((day) => [`11-${day}T12`, `11-${day}T00`]),
    '11-15T12',
    '11-08T12',
    '11-01T12',
    '10-31T12',
    '09-30T12',
    '08-31T12',
    '07-31T12',
    '06-30T12',
  ]);
});

test('a run takes no more than it is allowed to', () => {
  using folder = temporaryFolder();
  for (let age = 100; age < 110; age++) put(folder.path, age);

  const old = expired(listBackups(folder.path), { ...keep, days: 1 }, noonMs);

  expect(old).toHaveLength(7);
  expect(remove(folder.path, old, 2)).toHaveLength(2);
  expect(agesIn(folder.path)).toEqual([100, 101, 102, 103, 104, 105, 106, 107]);
});

test('a clock that is 400 days fast takes nothing of the last days, and what it made is not the newest', () => {
  using folder = temporaryFolder();
  for (const age of [-400, ...Array(30).keys()]) put(folder.path, age);

  expect(prune(folder.path, noonMs + 400 * dayMs)).toHaveLength(1); // the thirty-first day
  expect(prune(folder.path, noonMs)).toEqual([]);
  recordState(folder.path);
  const state = readBackupState(folder.path);

  expect(agesIn(folder.path)).toHaveLength(30);
  expect(state?.lastVerifiedAt).toBe(new Date(noonMs).toISOString());
  const future = new Date(noonMs + 400 * dayMs).toISOString();
  expect(backupTroubles({ ...(state as BackupState), lastVerifiedAt: future }, noonMs)).toEqual([
    expect.stringMatching(/yet to come: check the clock/),
  ]);
});

test('an archive without its note is listed, and nobody relies on it', () => {
  using folder = temporaryFolder();
  const archive = put(folder.path, 1);
  writeFileSync(`${archive}.json`, '{"createdAt":');

  expect(listBackups(folder.path)).toMatchObject([{ archive, note: undefined }]);
  recordState(folder.path);
  expect(readBackupState(folder.path)).toMatchObject({ lastSuccessAt: null, lastVerifiedAt: null });
});

test('the state counts failures, keeps the last reason until an attempt goes well, and everybody may read it', () => {
  using folder = temporaryFolder();
  put(folder.path, 1);
  put(folder.path, 0, { missing: ['git'] });
  const attempt = { at: new Date(noonMs).toISOString(), durationMs: 12 };

  recordState(folder.path, { ...attempt, error: 'git is missing' });
  recordState(folder.path);
  const failed = readBackupState(folder.path);
  recordState(folder.path, { ...attempt, error: null });

  expect(failed).toMatchObject({ failures: 1, lastError: 'git is missing', sizeBytes: 5 });
  expect(failed?.lastVerifiedAt).toBe(new Date(noonMs - dayMs).toISOString());
  expect(readBackupState(folder.path)).toMatchObject({ failures: 1, lastError: null });
  expect(statSync(join(folder.path, 'state.json')).mode & 0o777).toBe(0o644);
  expect(backupTroubles(failed, noonMs)).toEqual(['the last backup failed: git is missing']);
});

test('a proven backup is late after 26 hours; none at all is told too', () => {
  using folder = temporaryFolder();
  put(folder.path, 0);
  recordState(folder.path);
  const state = readBackupState(folder.path);

  expect(backupTroubles(state, noonMs + 25.9 * 3_600_000)).toEqual([]);
  expect(backupTroubles(state, noonMs + 26.1 * 3_600_000)).toEqual([
    'the newest proven backup is of 2026-11-20T12:00:00.000Z',
  ]);
  expect(backupTroubles(undefined, noonMs)).toEqual(['no backup was made yet']);
});

test('a damaged state is written anew from what lies there', () => {
  using folder = temporaryFolder();
  put(folder.path, 0);
  writeFileSync(join(folder.path, 'state.json'), 'x');

  recordState(folder.path);

  expect(readBackupState(folder.path)).toMatchObject({ files: 3, failures: 0 });
});

test('a folder that was there keeps its mode, one that is made lets health through', () => {
  using root = temporaryFolder();
  const mine = join(root.path, 'mine');
  mkdirSync(mine);
  for (const mode of [0o1777, 0o700]) {
    chmodSync(mine, mode);
    takeBackupFolder(mine)[Symbol.dispose]();
    expect(statSync(mine).mode & 0o7777).toBe(mode);
  }
  takeBackupFolder(join(root.path, 'new'))[Symbol.dispose]();
  expect(statSync(join(root.path, 'new')).mode & 0o777).toBe(0o711);
});

test('what root makes belongs to the owner of the folder', (context) => {
  if (process.getuid?.() !== 0) context.skip('only root may give files to another user');
  using folder = temporaryFolder();
  chownSync(folder.path, 61_234, 61_234);

  takeBackupFolder(folder.path)[Symbol.dispose]();
  put(folder.path, 1);
  recordState(folder.path);

  for (const name of readdirSync(folder.path).filter((entry) => !entry.endsWith('.zst')))
    expect(statSync(join(folder.path, name)), name).toMatchObject({ uid: 61_234, gid: 61_234 });
});

test('the folder is for one at a time, and loses what a killed run left', () => {
  using root = temporaryFolder();
  const folder = join(root.path, 'backups');
  mkdirSync(join(folder, '.scratch', 'restored', 'memory'), { recursive: true });
  writeFileSync(join(folder, 'state.json.0123456789ab.tmp'), '{');
  writeFileSync(join(folder, 'mine.tmp'), 'not ours');

  {
    using work = takeBackupFolder(folder);
    expect(readdirSync(work.scratch)).toEqual([]);
    expect(() => takeBackupFolder(folder)).toThrow(/Another backup or proof is at work/);
  }

  expect(readdirSync(folder)).toEqual(['.lock', 'mine.tmp']);
});
