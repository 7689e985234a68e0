/** Backups of a fleet that stands still, by the command line: what is kept, what is refused, and with which exit code. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { AuditTrail } from '#runtime/account/audit.ts';
import { takeFolder } from '#runtime/data/data-folder.ts';
import { openDatabase } from '#runtime/database.ts';
import { startService } from '#runtime/process/run.ts';

import { isolatedEnvironment } from '../scripts/environment.ts';
import { passingKey, writeArchive } from '../scripts/backup/archive.ts';
import { manifestName, type Manifest } from '../scripts/backup/manifest.ts';
import { loadService } from '../scripts/load.ts';
import { keptWith, type Kept } from './support/backup.ts';
import { callTool } from './support/rpc.ts';
import { temporaryFolder } from './support/serve.ts';

const flotilla = fileURLToPath(new URL('../scripts/flotilla', import.meta.url));
const folderModule = new URL('../scripts/backup/folder.ts', import.meta.url).href;
const migrations = fileURLToPath(new URL('../services/memory/migrations', import.meta.url));

const archivesIn = (folder: string) => readdirSync(folder).filter((name) => /\.tar\.zst(\.age)?$/.test(name));

function newest({ backups }: Kept): string {
  return join(backups, archivesIn(backups).toSorted().at(-1) ?? '');
}

const stateIn = ({ backups }: Kept) =>
  JSON.parse(readFileSync(join(backups, 'state.json'), 'utf8')) as Record<string, unknown>;

function flip(file: string, at = Math.floor(statSync(file).size / 2)): void {
  const bytes = readFileSync(file);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at);
  writeFileSync(file, bytes);
}

const write = async (here: Kept, text: string) =>
  here.withMemory(async (target) => callTool(target, 'add_memory', { text }));

describe('flotilla backup', () => {
  test('copies a fleet that stands still, proves the copy and says how the backups stand', async () => {
    using here = await keptWith('the kettle is blue');

    const made = here.flotilla(['backup']);

    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toMatch(/memory: 4 files, [\d.]+ kB in [\d.]+ kB; proven by a restore/);
    expect(statSync(newest(here)).mode & 0o777).toBe(0o600);
    expect(readdirSync(here.backups)).toHaveLength(4); // archive, note, state, lock
    expect(stateIn(here)).toMatchObject({ failures: 0, lastError: null, files: 4 });
    expect(here.flotilla(['backups'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/proven .* memory/),
    });
    expect(here.flotilla(['verify'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^✓ flotilla-/),
    });
  });

  test('what is in an archive can be looked at, without proving it', async () => {
    using here = await keptWith('the kettle is blue');
    here.flotilla(['backup']);
    const name = archivesIn(here.backups)[0] ?? '';

    const shown = here.flotilla(['backups', name]);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(/^made 2\S+Z by Flotilla [\d.]+, signed here$/m);
    expect(shown.stdout).toMatch(/^memory +3 +[\d.]+ kB +.*\b1 memory\b/m);
    expect(shown.stdout).toMatch(/^tokens\.json +1 /m);
    expect(shown.stdout).not.toContain('memory/memory.db');
    expect(here.flotilla(['backups', name, '--files']).stdout).toMatch(/^memory\/memory\.db  [\d.]+ kB$/m);
    expect(JSON.parse(here.flotilla(['backups', name, '--json']).stdout)).toMatchObject({
      services: ['memory'],
    });
    expect(here.flotilla(['backups', 'nonsense'])).toMatchObject({ code: 2 });
  });

  test('what can be copied is kept where one process is damaged, which is named and fails the command', async () => {
    using here = await keptWith('the kettle is blue');
    mkdirSync(join(here.dataRoot, 'health'));
    openDatabase(
      join(here.dataRoot, 'health', 'history.db'),
      fileURLToPath(new URL('../health/migrations', import.meta.url)),
    ).close();
    expect(here.flotilla(['backup']).code).toBe(0);
    const good = newest(here);
    const file = join(here.dataRoot, 'memory', 'memory.db');
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8_192, 16_384);
    writeFileSync(file, bytes);

    const made = here.flotilla(['backup']);

    expect(made.code).toBe(1);
    expect(made.stderr).toMatch(/memory is missing: .*memory\.db is damaged/);
    expect(made.stdout).toMatch(/^\s+health: /m);
    expect(stateIn(here)).toMatchObject({
      failures: 1,
      lastError: expect.stringContaining('memory.db is damaged'),
    });
    expect(existsSync(good)).toBe(true);
    const listed = here.flotilla(['backups']);
    expect(listed).toMatchObject({ code: 1, stdout: expect.stringMatching(/; without memory/) });
    // The one to restore is still the one that holds everything.
    expect(here.flotilla(['restore', '--dry-run']).stdout).toContain(good);
  });

  test('a process whose folder is gone, or half restored, is missing, also from a backup elsewhere', async () => {
    using here = await keptWith('the kettle is blue');
    mkdirSync(join(here.dataRoot, 'health'));
    expect(here.flotilla(['backup']).code).toBe(0);
    const elsewhere = join(here.dataRoot, '..', 'elsewhere');
    renameSync(join(here.dataRoot, 'memory'), join(here.dataRoot, 'away'));

    for (const args of [['backup'], ['backup', '--to', elsewhere]]) {
      expect(here.flotilla(args)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/memory is missing: .*memory is gone/),
      });
    }
    expect(here.flotilla(['restore', '--from', elsewhere])).toMatchObject({ code: 69 });
    renameSync(join(here.dataRoot, 'away'), join(here.dataRoot, 'memory'));
    writeFileSync(join(here.dataRoot, '.restoring-memory'), 'archive');
    expect(here.flotilla(['backup'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/memory is missing: its restore .* was broken off/),
    });
  });

  test('a copy that the service itself cannot open is kept, and not called proven', async () => {
    using here = await keptWith('from the future');
    const database = openDatabase(join(here.dataRoot, 'memory', 'memory.db'), migrations);
    database.pragma('user_version = 99');
    database.close();

    const made = here.flotilla(['backup']);

    expect(made).toMatchObject({
      code: 65,
      stderr: expect.stringMatching(/memory cannot open its data: .* newer Flotilla/),
    });
    expect(here.flotilla(['backups'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('not proven'),
    });
    expect(here.flotilla(['restore'])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('Name an archive'),
    });
  });

  test('nothing to copy, a second run, and a folder inside the data are refused', async () => {
    using here = await keptWith();
    using empty = temporaryFolder();

    expect(here.flotilla(['backup'], { FLOTILLA_DATA: join(empty.path, 'data') })).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('There is no data yet'),
    });
    expect(here.flotilla(['backup', '--to', join(here.dataRoot, 'backups')])).toMatchObject({ code: 78 });
    const data = here.dataRoot;
    symlinkSync(data, `${data}-link`);
    for (const folder of [`${data}/..inside`, `${data}-link/backups`])
      expect(here.flotilla(['backup', '--to', folder]), folder).toMatchObject({ code: 78 });
    writeFileSync(`${data}-file`, '');
    expect(here.flotilla(['backup', '--to', `${data}-file`])).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/cannot be used for backups/),
    });
    for (const folder of ['/proc/none', '/proc/self/none/backups'])
      expect(here.flotilla(['backup', '--to', folder]), folder).toMatchObject({
        code: 78,
        stderr: expect.stringMatching(/cannot be used for backups: ENOENT/),
      });
    expect(here.flotilla(['backup'], { FLOTILLA_BACKUP_KEY: '/proc/none' })).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/key that signs backups cannot be made at \/proc\/none/),
    });
    expect(here.flotilla(['backup'], { FLOTILLA_BACKUP_RECIPIENT: 'age1xyz' })).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/^flotilla: age1xyz is no age recipient/),
    });
    expect(stateIn(here)).toMatchObject({ failures: 2, lastError: expect.stringMatching(/age1xyz/) });
    using _taken = takeFolder(here.backups);
    expect(here.flotilla(['backup'])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('Another backup'),
    });
    expect(archivesIn(here.backups)).toEqual([]);
  });

  test('is copied off the host, and tells how it went; a copy that fails fails the command, not the archive', async () => {
    using here = await keptWith('the kettle is blue');
    const out = join(here.dataRoot, '..', 'out');
    const copies = join(here.dataRoot, '..', 'copies');
    mkdirSync(copies);
    const hook = { FLOTILLA_BACKUP_HOOK: `echo "$BACKUP_EVENT $BACKUP_REASON" >> ${out}` };
    const copy = (command: string) => here.flotilla(['backup'], { ...hook, FLOTILLA_BACKUP_COPY: command });

    expect(copy('echo no route to host >&2; exit 12')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the copy off this host failed (12): no route to host'),
    });
    expect(stateIn(here)).toMatchObject({ lastError: expect.stringContaining('no route'), alert: 'failure' });
    expect(here.flotilla(['backups', '--alert'], hook)).toMatchObject({ code: 1 });
    expect(copy(`cp -r "$BACKUP_FOLDER"/. ${copies}`)).toMatchObject({ code: 0 });

    expect(readFileSync(out, 'utf8').split('\n')).toEqual([
      expect.stringMatching(/^failure the copy off this host failed/),
      expect.stringMatching(/^late the last backup failed: the copy off/),
      'resolved ',
      'success ',
      '',
    ]);
    expect(archivesIn(copies)).toHaveLength(2);
    expect(here.flotilla(['backups', '--alert'], hook)).toMatchObject({ code: 0 });
    expect(stateIn(here)).toMatchObject({ restoreMs: expect.any(Number) as number, alert: null });
  });

  test("what root's run left does not stop another user's", async (context) => {
    const user = spawnSync('setpriv', ['--reuid', '61234', '--regid', '61234', '--clear-groups', 'true']);
    if (user.status !== 0) context.skip('only root may become another user');
    using folder = temporaryFolder();
    const backups = join(folder.path, 'backups');
    mkdirSync(join(backups, '.scratch', 'collected'), { recursive: true, mode: 0o700 });
    chmodSync(folder.path, 0o711);
    chownSync(backups, 61_234, 61_234);
    writeFileSync(join(backups, 'state.json'), '{}', { mode: 0o644 });
    const code = `const { recordState, takeBackupFolder } = await import(${JSON.stringify(folderModule)});
      using work = takeBackupFolder(${JSON.stringify(backups)}); console.log(work.scratch);
      recordState(${JSON.stringify(backups)})`;

    const taken = spawnSync(
      'setpriv',
      ['--reuid', '61234', '--regid', '61234', '--clear-groups', process.execPath, '--eval', code],
      { encoding: 'utf8' },
    );

    expect(taken.stderr).toMatch(/\.scratch cannot be removed, remove it: .*EACCES/);
    expect(taken.stdout).toMatch(/backups\/\.scratch-\w+$/m);
    expect(readdirSync(backups).filter((name) => name.startsWith('.scratch'))).toEqual(['.scratch']);
    expect(statSync(join(backups, 'state.json'))).toMatchObject({ uid: 61_234, mode: 0o100644 });
  });

  test('an encrypted backup is proven without the identity, which alone opens it again', async () => {
    using here = await keptWith('a secret recipe');
    const { identity, recipient } = await passingKey();
    const file = join(here.dataRoot, '..', 'identity.txt');
    writeFileSync(file, `${identity}\n`, { mode: 0o600 });

    const made = here.flotilla(['backup'], { FLOTILLA_BACKUP_RECIPIENT: recipient });

    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/encrypted; proven by a restore/) });
    expect(newest(here)).toMatch(/\.age$/);
    expect(readFileSync(newest(here), 'latin1')).not.toContain('recipe');
    expect(here.flotilla(['verify'])).toMatchObject({
      code: 78,
      stdout: expect.stringContaining('FLOTILLA_BACKUP_IDENTITY'),
    });
    expect(here.flotilla(['backups']).stdout).toMatch(/proven .* encrypted/);
    const open = { FLOTILLA_BACKUP_IDENTITY: file };
    expect(here.flotilla(['verify'], open)).toMatchObject({ code: 0 });
    rmSync(here.dataRoot, { recursive: true });
    expect(here.flotilla(['restore'], open)).toMatchObject({ code: 0 });
    expect(existsSync(join(here.dataRoot, 'memory', 'memory.db'))).toBe(true);
  });

  test('a full disk leaves no archive, the older ones and a clear word', async (context) => {
    const probe = spawnSync('unshare', ['--mount', 'true']);
    if (probe.status !== 0) context.skip('a small disk needs root and unshare');
    using here = await keptWith('the kettle is blue');
    const small = join(here.dataRoot, '..', 'small');
    mkdirSync(small);
    const script = `mount -t tmpfs -o size=3M tmpfs "$1" && "$0" backup --to "$1" >/dev/null 2>&1
      head -c 4000000 /dev/urandom > "$FLOTILLA_DATA/memory/large.bin"
      "$0" backup --to "$1"; echo "code $?"; ls -A "$1"; cat "$1/state.json"`;

    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, flotilla, small], {
      env: isolatedEnvironment(here.settings),
      encoding: 'utf8',
    });

    expect(stderr).toMatch(/ENOSPC|no space left/);
    expect(stdout).toMatch(/^code 69$/m);
    expect(archivesIn(small)).toEqual([]); // it was another disk
    expect(stdout.match(/^flotilla-.*\.tar\.zst$/gm)).toHaveLength(1);
    expect(stdout).not.toMatch(/partial|scratch/);
    expect(stdout).toMatch(/"lastError": ".*(ENOSPC|no space left)/);
  });

  test('a process whose own disk is full is named, with the reason', async (context) => {
    const probe = spawnSync('unshare', ['--mount', 'true']);
    if (probe.status !== 0) context.skip('a small disk needs root and unshare');
    using here = await keptWith('the kettle is blue');
    const script = `cp -a "$FLOTILLA_DATA" "$FLOTILLA_DATA-copy" && mount -t tmpfs -o size=1500k tmpfs "$FLOTILLA_DATA" &&
      cp -a "$FLOTILLA_DATA-copy/." "$FLOTILLA_DATA" && head -c 900000 /dev/zero > "$FLOTILLA_DATA/ballast"
      head -c 200000 /dev/zero > "$FLOTILLA_DATA/more"
      "$0" backup; echo "code $?"; ls -A "$FLOTILLA_DATA/memory"`;

    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, flotilla], {
      env: isolatedEnvironment(here.settings),
      encoding: 'utf8',
    });

    expect(stderr).toMatch(/memory: The disk is full/);
    expect(stdout).toMatch(/^code 69$/m); // there is nothing else to copy
    expect(stdout).not.toContain('.snapshot');
    expect(archivesIn(here.backups)).toEqual([]);
  });

  test('ended by a signal, it leaves no copies behind', async () => {
    using here = await keptWith();
    writeFileSync(join(here.dataRoot, 'memory', 'large.bin'), randomBytes(40_000_000));
    const child = spawn(flotilla, ['backup'], { env: isolatedEnvironment(here.settings), stdio: 'ignore' });
    const scratch = join(here.backups, '.scratch');
    while (!existsSync(join(scratch, 'collected', 'memory'))) await sleep(5);

    child.kill('SIGTERM');
    const code = await new Promise((done) => {
      child.once('close', done);
    });

    expect(code).toBe(143);
    expect(existsSync(scratch)).toBe(false);
    expect(archivesIn(here.backups)).toEqual([]);
  });
});

describe('a damaged archive', () => {
  test.each([
    ['a turned bit', (file: string) => flip(file)],
    ['a cut-off end', (file: string) => writeFileSync(file, readFileSync(file).subarray(0, -100))],
    ['other contents', (file: string) => writeFileSync(file, 'not an archive')],
  ])('with %s fails its proof, is not called proven any more, and is not restored', async (_, damage) => {
    using here = await keptWith('the kettle is blue');
    here.flotilla(['backup']);
    damage(newest(here));

    const verified = here.flotilla(['verify', '--all']);
    const before = readFileSync(join(here.dataRoot, 'memory', 'memory.db'));
    const restored = here.flotilla(['restore', newest(here), '--force']);

    expect(verified).toMatchObject({
      code: 65,
      stdout: expect.stringMatching(/^✗ flotilla-.*(damaged|no backup)/),
    });
    expect(restored).toMatchObject({ code: 65, stderr: expect.stringMatching(/damaged|no backup/) });
    expect(readFileSync(join(here.dataRoot, 'memory', 'memory.db'))).toEqual(before);
    expect(readdirSync(here.dataRoot)).not.toContain('replaced');
    expect(stateIn(here)).toMatchObject({ lastVerifiedAt: null });
    expect(here.flotilla(['backups']).code).toBe(1);
  });

  test('archives that are gone, and a state that is damaged, are told by the list', async () => {
    using here = await keptWith('the kettle is blue');
    here.flotilla(['backup']);
    rmSync(newest(here));

    expect(here.flotilla(['backups'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no backup is/),
    });
    writeFileSync(join(here.backups, 'state.json'), '{');
    expect(here.flotilla(['backups'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^flotilla: the state of the backups in .* cannot be read/),
    });
  });
});

describe('closed files of the records of calls', () => {
  /** Writes many more records, in files of two. */
  async function writeRecords(here: Kept, count: number): Promise<void> {
    const folder = join(here.dataRoot, 'memory', 'audit');
    const fail = (error: unknown) => expect.fail(String(error));
    await using trail = await AuditTrail.open(folder, fail, { segmentBytes: 500 });
    for (let i = 0; i < count; i++) {
      trail.append({
        time: '2026-11-20T12:00:00.000Z',
        caller: 'test',
        method: 'tools/call',
        target: `tool_${i}`,
        outcome: 'ok',
        durationMs: 1,
        requestBytes: 2,
        responseBytes: 3,
        traceId: '',
      });
      await trail.sync();
    }
  }
  const segmentsIn = (here: Kept) => readdirSync(join(here.backups, 'segments'));
  const records = (here: Kept, settings = {}) =>
    here.flotilla(['audit', 'verify', 'memory'], settings).stdout.split('\n')[0];

  test('are copied once, beside the archives, by a process that runs and by one that does not', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    expect(here.flotilla(['backup'])).toMatchObject({ code: 0, stderr: '' });
    const first = segmentsIn(here);
    expect(first.length).toBeGreaterThan(2);
    await writeRecords(here, 4);

    const port = 4321 + Number(here.settings['FLOTILLA_PORT_OFFSET']);
    const running = await startService(await loadService('memory'), port, {
      ...here.settings,
      FLOTILLA_LOG_LEVEL: 'error',
    });
    const second = await new Promise((done) => {
      const child = spawn(flotilla, ['backup'], { env: isolatedEnvironment(here.settings), stdio: 'ignore' });
      child.once('close', done);
    });
    await running.stop();

    expect(second).toBe(0);
    expect(segmentsIn(here)).toEqual(expect.arrayContaining(first));
    expect(segmentsIn(here).length).toBeGreaterThan(first.length);
    const listed = spawnSync('tar', ['--zstd', '-tf', newest(here)], { encoding: 'utf8' }).stdout;
    expect(listed.match(/memory\/audit\/audit-/g)).toHaveLength(1);
    expect(here.flotilla(['verify', '--all'])).toMatchObject({ code: 0, stderr: '' });
    rmSync(join(here.dataRoot, 'memory'), { recursive: true });
    expect(here.flotilla(['restore'])).toMatchObject({ code: 0 });
    expect(records(here)).toMatch(/^memory: 14 records, the chain holds/);
    expect(await here.texts()).toEqual(['one']);
  });

  test('that are gone fail the proof; a restore goes on without them, says so, and the chain holds', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    here.flotilla(['backup']);
    const archive = join(here.dataRoot, '..', 'alone.tar.zst');
    writeFileSync(archive, readFileSync(newest(here)));

    expect(here.flotilla(['verify', archive])).toMatchObject({
      code: 65,
      stdout: expect.stringMatching(/segments\/[0-9a-f.]+\.zst is missing/),
    });
    const settings = { FLOTILLA_DATA: join(here.dataRoot, '..', 'elsewhere') };
    expect(here.flotilla(['restore', archive], settings)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('memory: older records of calls are not there'),
    });
    expect(records(here, settings)).toMatch(/^memory: \d records?, the chain holds/);
  });

  test('that were changed where they lie are found, and those of the process are copied anew', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    here.flotilla(['backup']);
    const live = join(here.dataRoot, 'memory', 'audit', 'audit-000001.jsonl');
    const before = segmentsIn(here);
    writeFileSync(live, readFileSync(live, 'utf8').replace('"ok"', '"no"'));

    const made = here.flotilla(['backup']);
    expect(made.stderr).toMatch(/the audit chain of memory: .*which was changed/);
    expect(segmentsIn(here)).toHaveLength(before.length + 1);

    const [stored = ''] = before;
    writeFileSync(join(here.backups, 'segments', stored), 'nonsense');
    expect(here.flotilla(['verify', '--all'])).toMatchObject({
      code: 65,
      stdout: expect.stringMatching(/segments\/.* is not the file that .* names/),
    });
  });

  test('that are damaged beside the archives are copied anew by the next backup', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    here.flotilla(['backup']);
    const [stored = ''] = segmentsIn(here);
    const path = join(here.backups, 'segments', stored);
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.with(bytes.length >> 1, ~(bytes[bytes.length >> 1] ?? 0) & 0xff));

    expect(here.flotilla(['backup'])).toMatchObject({ code: 0, stderr: '' });

    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(here.flotilla(['verify', '--all'])).toMatchObject({ code: 0, stderr: '' });
  });

  test('are encrypted as the archives are, and proven without the identity; another recipient gets its own', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    const [mine, other] = [await passingKey(), await passingKey()];
    const file = join(here.dataRoot, '..', 'identity.txt');
    writeFileSync(file, mine.identity);
    const to = (recipient: string) => here.flotilla(['backup'], { FLOTILLA_BACKUP_RECIPIENT: recipient });

    expect(to(mine.recipient)).toMatchObject({ code: 0, stderr: '' });
    const times = segmentsIn(here).map((name) => statSync(join(here.backups, 'segments', name)).mtimeMs);
    expect(to(mine.recipient)).toMatchObject({ code: 0, stderr: '' });

    expect(segmentsIn(here).every((name) => name.endsWith('.zst.age'))).toBe(true);
    expect(segmentsIn(here).map((name) => statSync(join(here.backups, 'segments', name)).mtimeMs)).toEqual(
      times,
    );
    const open = { FLOTILLA_BACKUP_IDENTITY: file };
    expect(here.flotilla(['verify'], open)).toMatchObject({ code: 0, stderr: '' });
    rmSync(join(here.dataRoot, 'memory'), { recursive: true });
    expect(here.flotilla(['restore'], open)).toMatchObject({ code: 0 });
    expect(records(here)).toMatch(/^memory: 10 records, the chain holds/);

    expect(to(other.recipient)).toMatchObject({ code: 0, stderr: '' });
    expect(here.flotilla(['verify'], open).code).toBe(78);
    writeFileSync(file, `${mine.identity}\n${other.identity}\n`);
    expect(here.flotilla(['verify', '--all'], open)).toMatchObject({ code: 0, stderr: '' });
    expect(here.flotilla(['backup'])).toMatchObject({ code: 0, stderr: '' });
    expect(segmentsIn(here).some((name) => name.endsWith('.zst'))).toBe(true);
  });

  test('go when no archive holds them any more', async () => {
    using here = await keptWith('one');
    await writeRecords(here, 8);
    here.flotilla(['backup']);
    writeFileSync(join(here.backups, 'segments', 'left-by-a-kill'), '');
    const count = segmentsIn(here).length;

    expect(here.flotilla(['prune'])).toMatchObject({ code: 0, stdout: '0 of 1, 0 B went\n' });
    expect(segmentsIn(here)).toHaveLength(count - 1);
    rmSync(`${newest(here)}.json`);
    writeFileSync(join(here.backups, 'segments', 'whose-is-it'), '');
    here.flotilla(['prune']);
    expect(segmentsIn(here)).toHaveLength(count); // an archive does not say what it holds
  });
});

test('an archive that nobody may change is verified all the same', async (context) => {
  const probe = spawnSync('unshare', ['--mount', 'true']);
  if (probe.status !== 0) context.skip('a folder that nobody may change needs root and unshare');
  using here = await keptWith('the kettle is blue');
  here.flotilla(['backup']);
  const fixed = join(here.dataRoot, '..', 'fixed');
  renameSync(here.backups, fixed);
  const script = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && "$0" verify "$1"/flotilla-*.zst; echo "code $?"`;

  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, flotilla, fixed], {
    env: isolatedEnvironment(here.settings),
    encoding: 'utf8',
  });

  expect(stdout).toMatch(/^✓ flotilla-[^]*^code 0$/m);
  expect(stderr).toMatch(/the result is not noted beside .*: EROFS/);
});

describe('flotilla restore', () => {
  test('brings back what was lost with the whole data folder, tokens and servers of others included', async () => {
    using here = await keptWith('one', 'two');
    const [mounted, secrets] = ['upstreams.json', 'upstreams.env'].map((name) =>
      join(here.dataRoot, name),
    ) as [string, string];
    const upstreams = '{ "upstreams": { "notes": { "command": "no-such-program" } } } // mine\n';
    writeFileSync(mounted, upstreams);
    writeFileSync(secrets, 'NOTES_KEY=hidden\n');
    here.flotilla(['backup']);
    const token = readFileSync(join(here.dataRoot, 'token'), 'utf8');
    rmSync(here.dataRoot, { recursive: true });

    const restored = here.flotilla(['restore']);
    // No token is needed where nobody runs.
    expect(here.flotilla(['backup'])).toMatchObject({ code: 0 });

    expect(restored).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/memory: there was nothing before/),
    });
    expect(restored.stdout).toMatch(/tokens: clients' tokens work as before/);
    expect(restored.stdout).toMatch(
      /servers of others: put back; their secrets \(upstreams\.env\) are in no backup/,
    );
    expect(readFileSync(mounted, 'utf8')).toBe(upstreams);
    expect(existsSync(secrets)).toBe(false);
    writeFileSync(join(here.dataRoot, 'token'), token); // as a client has it
    expect(await here.texts()).toEqual(['two', 'one']);
    expect(here.flotilla(['audit', 'verify', 'memory'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('the chain holds'),
    });
  });

  test('on a host that does not know who made it, takes the data and leaves the tokens, unless told to trust', async () => {
    using here = await keptWith('one');
    const made = here.flotilla(['backup']);
    const [key = ''] = /ed25519:[\w-]{43}/.exec(made.stdout) ?? [];
    expect(made.stdout).toContain(`write down ${key}, by which another host knows what this one made`);
    expect(here.flotilla(['backup']).stdout).not.toContain(key);
    expect(here.flotilla(['backups']).stdout).toContain(`This host signs as ${key}`);
    expect(here.flotilla(['verify']).stdout).toContain('; signed here;');
    rmSync(`${here.dataRoot}-backup-key`);
    const on = (data: string, ...args: readonly string[]) => {
      const elsewhere = join(here.dataRoot, '..', data);
      const { code, stdout, stderr } = here.flotilla(['restore', '--from', here.backups, ...args], {
        FLOTILLA_DATA: elsewhere,
      });
      return { code, said: stdout + stderr, tokens: existsSync(join(elsewhere, 'tokens.json')) };
    };

    const careful = on('second');
    expect(careful).toMatchObject({ code: 0, tokens: false });
    expect(careful.said).toContain(`take its tokens too: --trust ${key}`);
    expect(on('third', '--trust', key)).toMatchObject({ code: 0, tokens: true });
    expect(on('third', '--trust', 'me')).toMatchObject({
      code: 2,
      said: expect.stringMatching(/--trust takes a public key/),
    });
    expect(here.flotilla(['verify'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`signed by ${key}`),
    });

    // With a key of its own, it puts none in place by itself that another one signed.
    expect(here.flotilla(['backup']).code).toBe(0);
    rmSync(newest(here));
    rmSync(here.dataRoot, { recursive: true });
    expect(here.flotilla(['restore'])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is not signed by the key of this host, but by ed25519:.*: name it/),
    });
    expect(existsSync(join(here.dataRoot, 'memory'))).toBe(false);
    expect(here.flotilla(['restore', newest(here)])).toMatchObject({ code: 0 });
  });

  test('an archive that is not the file of its note is refused, and its proof fails', async () => {
    using here = await keptWith('one');
    here.flotilla(['backup']);
    const note = `${newest(here)}.json`;
    writeFileSync(note, readFileSync(note, 'utf8').replace(/"sha256": "..../, '"sha256": "0000'));

    for (const args of [['verify'], ['restore', newest(here), '--force']])
      expect(here.flotilla(args)).toMatchObject({ code: 65 });
    expect(here.flotilla(['backups'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('not proven'),
    });
  });

  test('refuses newer data, unless forced, and keeps what it replaces', async () => {
    using here = await keptWith('old');
    here.flotilla(['backup']);
    await write(here, 'new');

    const refused = here.flotilla(['restore']);
    const tried = here.flotilla(['restore', '--dry-run', '--json']);
    const untouched = await here.texts();
    const forced = here.flotilla(['restore', '--force', '--json']);

    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/memory \(2\d{3}-.*Give --force/),
    });
    expect(JSON.parse(tried.stdout)).toMatchObject({
      services: [{ name: 'memory', isNewer: true, replaced: null }],
    });
    expect(untouched).toEqual(['new', 'old']);
    const { services } = JSON.parse(forced.stdout) as { services: { replaced: string }[] };
    expect(await here.texts()).toEqual(['old']);
    const replaced = services[0]?.replaced ?? '';
    rmSync(join(here.dataRoot, 'memory'), { recursive: true });
    spawnSync('mv', [replaced, join(here.dataRoot, 'memory')]);
    expect(await here.texts()).toEqual(['new', 'old']);
  });

  test('what was only started, read and stopped since is not newer, nor are its records of calls', async () => {
    using here = await keptWith('one');
    mkdirSync(join(here.dataRoot, 'health'));
    here.flotilla(['backup']);
    expect(await here.texts()).toEqual(['one']);
    writeFileSync(join(here.dataRoot, 'health', 'polls'), 'always newer');

    expect(JSON.parse(here.flotilla(['restore', '--dry-run', '--json']).stdout)).toMatchObject({
      services: [
        { name: 'memory', isNewer: false },
        { name: 'health', isNewer: false },
      ],
    });
    expect(here.flotilla(['restore'])).toMatchObject({ code: 0 });

    writeFileSync(join(here.dataRoot, 'memory', 'new-file'), 'x');
    expect(here.flotilla(['restore'])).toMatchObject({ code: 2 });
    rmSync(join(here.dataRoot, 'memory', 'new-file'));
    // What cannot be read may be newer.
    writeFileSync(join(here.dataRoot, 'memory', 'memory.db'), 'damaged');
    expect(here.flotilla(['restore'])).toMatchObject({ code: 2 });
    expect(here.flotilla(['restore', '--force'])).toMatchObject({ code: 0 });
    expect(await here.texts()).toEqual(['one']);
  });

  test('that cannot be finished keeps all its processes from starting, until the command it names is run', async () => {
    using here = await keptWith('old');
    mkdirSync(join(here.dataRoot, 'health'));
    here.flotilla(['backup']);
    await write(here, 'new');
    const obstacle = join(here.dataRoot, 'replaced');
    writeFileSync(obstacle, '');

    expect(here.flotilla(['restore', '--force'])).toMatchObject({
      code: 78,
      stderr: expect.stringContaining(`${obstacle} is no folder`),
    });

    expect(readdirSync(here.dataRoot).filter((name) => name.startsWith('.restor'))).toEqual([
      '.restoring-health',
      '.restoring-memory',
    ]);
    const refusal = await here.texts().catch((error: unknown) => String(error));
    const [, again = ''] = /run it again: flotilla (restore .* --force)/.exec(String(refusal)) ?? [];
    rmSync(obstacle);
    expect(here.flotilla(again.split(' '))).toMatchObject({ code: 0 });
    expect(await here.texts()).toEqual(['old']);
  });

  test('an archive of a fast clock is not the newest', async () => {
    using here = await keptWith('now');
    here.flotilla(['backup']);
    const good = newest(here);
    const notes = readdirSync(here.backups).filter((name) => name.startsWith('flotilla-'));
    rmSync(join(here.dataRoot, 'memory'), { recursive: true });
    for (const name of notes) {
      const later = name.replace(/\d{4}/, (year) => String(Number(year) + 4));
      writeFileSync(join(here.backups, later), readFileSync(join(here.backups, name)), { mode: 0o600 });
    }

    expect(here.flotilla(['backups'])).toMatchObject({ code: 0, stderr: expect.stringMatching(/was fast/) });
    expect(here.flotilla(['restore'])).toMatchObject({ code: 0, stdout: expect.stringContaining(good) });
  });

  test('a refused restore leaves nothing behind; a look is allowed beside a process that runs', async () => {
    using here = await keptWith('one');
    here.flotilla(['backup']);
    const archive = join(here.dataRoot, '..', 'made-by-hand.tar.zst');
    const from = join(here.dataRoot, '..', 'from');
    mkdirSync(from);
    const write = async (about: Partial<Manifest>) => {
      const manifest: Manifest = {
        format: 1,
        createdAt: '2026-01-01T00:00:00.000Z',
        version: '0.1.0',
        node: 'v26.10.0',
        services: ['memory', 'health'],
        missing: [],
        files: [],
        ...about,
      };
      writeFileSync(join(from, manifestName), JSON.stringify(manifest));
      rmSync(archive, { force: true });
      await writeArchive(from, [manifestName], archive, [], () => {});
    };
    const empty = join(here.dataRoot, '..', 'empty');
    const restoreEmpty = () => here.flotilla(['restore', archive], { FLOTILLA_DATA: empty });
    const file = { bytes: 0, sha256: '0'.repeat(64) };

    await write({ files: [{ ...file, path: 'memory/lost' }] });
    expect(restoreEmpty()).toMatchObject({
      code: 65,
      stderr: expect.stringMatching(/memory\/lost is missing/),
    });
    expect(readdirSync(empty)).toEqual([]);
    await write({ files: [{ ...file, path: 'memory' }] });
    expect(restoreEmpty()).toMatchObject({ code: 65, stderr: expect.stringMatching(/cannot be understood/) });
    await write({ createdAt: '2090-01-01T00:00:00.000Z' });
    expect(restoreEmpty()).toMatchObject({ code: 2, stderr: expect.stringMatching(/yet to come.*--force/) });

    using _taken = takeFolder(join(here.dataRoot, 'memory'));
    expect(here.flotilla(['restore', '--dry-run'])).toMatchObject({ code: 0 });
  });

  test('goes where a dangling link leads, with no journal of the old database and no leftover of a killed run', async () => {
    using here = await keptWith('one');
    here.flotilla(['backup']);
    const memory = join(here.dataRoot, 'memory');
    for (const end of ['-wal', '-shm']) writeFileSync(join(memory, `memory.db${end}`), 'stale');
    writeFileSync(join(here.dataRoot, '.restoring-memory.0123456789ab.tmp'), '');
    expect(here.flotilla(['restore', '--force'])).toMatchObject({ code: 0 });
    expect(readdirSync(memory).filter((name) => /-(wal|shm)$/.test(name))).toEqual([]);
    expect(readdirSync(here.dataRoot).filter((name) => name.startsWith('.restor'))).toEqual([]);

    rmSync(memory, { recursive: true });
    mkdirSync(join(here.dataRoot, 'private'));
    symlinkSync('private/memory', memory);
    expect(here.flotilla(['restore', '--only', 'memory'])).toMatchObject({ code: 0 });
    expect(existsSync(join(here.dataRoot, 'private', 'memory', 'memory.db'))).toBe(true);
    expect(await here.texts()).toEqual(['one']);
  });

  test('restores one process alone, and nothing while that one runs', async () => {
    using here = await keptWith('one');
    mkdirSync(join(here.dataRoot, 'health', 'below'), { recursive: true });
    writeFileSync(join(here.dataRoot, 'health', 'below', 'file'), 'before');
    expect(here.flotilla(['backup']).code).toBe(0);
    writeFileSync(join(here.dataRoot, 'health', 'below', 'file'), 'after');
    await write(here, 'two');

    {
      using _taken = takeFolder(join(here.dataRoot, 'memory'));
      // Also where --force would be asked for next.
      for (const args of [['restore'], ['restore', '--force']])
        expect(here.flotilla(args)).toMatchObject({
          code: 69,
          stderr: expect.stringMatching(
            /works on the data of memory\. Stop the fleet first: \S*flotilla stop\. Nothing was/,
          ),
        });
    }
    {
      using _taken = takeFolder(join(here.dataRoot, '.restore-staging'));
      const refused = here.flotilla(['restore', '--force']);
      expect(refused).toMatchObject({
        code: 69,
        stderr: expect.stringContaining('Another restore is at work'),
      });
      expect(existsSync(join(here.dataRoot, '.restore-staging'))).toBe(true);
    }
    expect(readFileSync(join(here.dataRoot, 'health', 'below', 'file'), 'utf8')).toBe('after');

    expect(here.flotilla(['restore', '--only', 'memory', '--force'])).toMatchObject({ code: 0 });
    expect(await here.texts()).toEqual(['one']);
    expect(readFileSync(join(here.dataRoot, 'health', 'below', 'file'), 'utf8')).toBe('after');
    expect(here.flotilla(['restore', '--only', 'dashboard'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('has no dashboard'),
    });
    expect(here.flotilla(['restore', 'no-such-archive'])).toMatchObject({ code: 2 });
  });

  test('puts the data of a host where its links lead, in the name of the user who had it', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root may give files to another user');
    using here = await keptWith('one');
    const real = join(here.dataRoot, 'private', 'memory');
    mkdirSync(join(here.dataRoot, 'private'));
    renameSync(join(here.dataRoot, 'memory'), real);
    symlinkSync('private/memory', join(here.dataRoot, 'memory'));
    spawnSync('chown', ['-R', '61234:61234', real]);
    expect(here.flotilla(['backup']).code).toBe(0);
    writeFileSync(join(real, 'memory.db'), 'damaged');

    const restored = here.flotilla(['restore', '--force', '--json']);

    const { services } = JSON.parse(restored.stdout) as { services: { replaced: string }[] };
    expect(services[0]?.replaced).toContain('/private/replaced/');
    for (const name of readdirSync(real, { recursive: true }).map(String))
      expect(statSync(join(real, name)), name).toMatchObject({ uid: 61_234, gid: 61_234 });
    expect(statSync(real)).toMatchObject({ uid: 61_234, mode: 0o40700 });
    expect(await here.texts()).toEqual(['one']);
  });

  test('killed at any moment it loses nothing, keeps the process from starting empty, and runs again', async () => {
    using here = await keptWith('old');
    here.flotilla(['backup']);
    await write(here, 'new');
    const saved = newest(here);
    let killed = 0;
    for (let afterMs = 140; afterMs < 420; afterMs += 40) {
      const child = spawn(flotilla, ['restore', saved, '--force'], {
        env: isolatedEnvironment(here.settings),
        stdio: 'ignore',
        detached: true,
      });
      const ended = new Promise<NodeJS.Signals | null>((done) => {
        child.once('close', (_code, signal) => done(signal));
      });
      await sleep(afterMs);
      try {
        process.kill(-(child.pid ?? 0), 'SIGKILL');
      } catch {
        // it had ended
      }
      if ((await ended) === 'SIGKILL') killed += 1;
      const found = await here.texts().catch((error: unknown) => String(error));
      expect(found.toString()).toMatch(/^(new,)?old$|is being restored.*flotilla restore/);
    }

    expect(killed).toBeGreaterThan(0);
    expect(here.flotilla(['restore', saved, '--force']).code).toBe(0);
    expect(await here.texts()).toEqual(['old']);
    expect(readdirSync(here.dataRoot)).not.toContain('.restore-staging');
  });

  test('broken off between its two renames, the process waits for the second run', async () => {
    using here = await keptWith('old');
    here.flotilla(['backup']);
    renameSync(join(here.dataRoot, 'memory'), join(here.dataRoot, 'moved-away'));
    writeFileSync(join(here.dataRoot, '.restoring-memory'), `${newest(here)} --only memory\n`);

    await expect(here.texts()).rejects.toThrow(/run it again: flotilla restore .*tar\.zst --only memory/);
    expect(existsSync(join(here.dataRoot, 'memory'))).toBe(false);

    expect(here.flotilla(['restore', newest(here), '--only', 'memory'])).toMatchObject({ code: 0 });
    expect(await here.texts()).toEqual(['old']);
  });
});
