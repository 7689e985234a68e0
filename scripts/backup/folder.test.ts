import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { backupTroubles, readBackupState, type BackupState } from '#runtime/data/backup-state.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import {
  archiveName,
  listBackups,
  prune,
  recordState,
  takeBackupFolder,
  writeNote,
  type BackupNote,
} from './folder.ts';

const dayMs = 24 * 3_600_000;
const noonMs = Date.parse('2026-11-20T12:00:00Z');

function put(folder: string, daysAgo: number, about: Partial<BackupNote> = {}): string {
  const createdAt = new Date(noonMs - daysAgo * dayMs).toISOString();
  const archive = join(folder, archiveName(createdAt, false));
  writeFileSync(archive, 'bytes');
  writeNote(archive, {
    createdAt,
    sizeBytes: 5,
    sha256: '',
    dataBytes: 50,
    files: 3,
    services: ['memory'],
    missing: [],
    isEncrypted: false,
    verifiedAt: createdAt,
    ...about,
  });
  return archive;
}

const agesIn = (folder: string) =>
  listBackups(folder).map(({ createdAt }) => Math.round((noonMs - Date.parse(createdAt)) / dayMs));

test('what is older than the days to keep goes, with its note', () => {
  using folder = temporaryFolder();
  for (const age of [0, 1, 29, 30, 31, 400]) put(folder.path, age);
  writeFileSync(join(folder.path, 'notes-of-mine.txt'), 'not ours');

  const removed = prune(folder.path, 30, noonMs);

  expect(removed).toHaveLength(2);
  expect(agesIn(folder.path)).toEqual([0, 1, 29, 30]);
  expect(readdirSync(folder.path)).toHaveLength(2 * 4 + 1);
});

test('the newest three that are proven and hold everything stay, however old they are', () => {
  using folder = temporaryFolder();
  put(folder.path, 2, { missing: ['git'] });
  put(folder.path, 3, { verifiedAt: null });
  put(folder.path, 50);
  put(folder.path, 60);
  put(folder.path, 70);
  put(folder.path, 80);

  prune(folder.path, 30, noonMs);

  expect(agesIn(folder.path)).toEqual([2, 3, 50, 60, 70]);
});

test('a clock that was fast takes no history, and what it made is not the newest', () => {
  using folder = temporaryFolder();
  for (const age of [-1_461, 1, 2]) put(folder.path, age);

  expect(prune(folder.path, 30, noonMs + 1_461 * dayMs)).toEqual([]);
  expect(prune(folder.path, 30, noonMs)).toEqual([]);
  recordState(folder.path);
  const state = readBackupState(folder.path);

  expect(state?.lastVerifiedAt).toBe(new Date(noonMs - dayMs).toISOString());
  const future = new Date(noonMs + 1_461 * dayMs).toISOString();
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
