/** Backups of a fleet at work: nothing that was acknowledged before one began is missing after its restore. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import { createToken } from '#runtime/access/tokens.ts';

import { scheduleBackups } from '../../scripts/backup/schedule.ts';
import { isolatedEnvironment } from '../../scripts/environment.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { run, RunningFleet, type Ended } from '../support/fleet.ts';
import { callTool } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';

const flotilla = fileURLToPath(new URL('../../scripts/flotilla', import.meta.url));
const memoryPort = 4321;

async function place() {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const offset = await freePortOffset();
  const settings = { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(offset) };
  return {
    settings,
    dataRoot,
    backups: `${dataRoot}-backups`,
    target: () => ({
      url: `http://127.0.0.1:${memoryPort + offset}`,
      token: readFileSync(join(dataRoot, 'token'), 'utf8').trim(),
    }),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** While this process goes on with other things. */
async function runMeanwhile(
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<Ended> {
  const child = spawn(flotilla, args, { env: isolatedEnvironment(settings) });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  return new Promise((done) => {
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}

async function allTexts(target: { url: string; token: string }): Promise<Set<string>> {
  const texts = new Set<string>();
  let cursor: string | null | undefined;
  do {
    const answer = await callTool(target, 'list_memories', { limit: 100, ...(cursor && { cursor }) });
    const page = answer.result?.['structuredContent'] as
      | { memories: { text: string }[]; next_cursor?: string | null }
      | undefined;
    for (const { text } of page?.memories ?? []) texts.add(text);
    cursor = page?.next_cursor;
  } while (cursor);
  return texts;
}

test('under writes, then wiped and restored: all that was acknowledged before is there, and every audit chain holds', async () => {
  using here = await place();
  const acknowledged: string[] = [];
  let failed = 0;
  {
    await using fleet = new RunningFleet([], here.settings);
    await fleet.said(/Stop\s+Ctrl-C/);
    const target = here.target();
    const over = new AbortController();
    const writers = [1, 2, 3].map(async (writer) => {
      for (let index = 0; !over.signal.aborted; index++) {
        const text = `writer ${writer} says ${index}`;
        const answer = await callTool(target, 'add_memory', { text });
        if (answer.result?.['isError'] || !answer.result) failed += 1;
        else acknowledged.push(text);
      }
    });
    await vi.waitFor(() => expect(acknowledged.length).toBeGreaterThan(300));
    const backup = await createToken(here.dataRoot, { name: 'backup', scope: ['backup'], expiresAt: null });
    const before = acknowledged.length;

    // As a unit has it that may do nothing else.
    const credentials = join(here.dataRoot, '..', 'credentials');
    mkdirSync(credentials);
    writeFileSync(join(credentials, 'token'), `${backup}\n`);
    const made = await runMeanwhile(['backup'], { ...here.settings, CREDENTIALS_DIRECTORY: credentials });
    over.abort();
    await Promise.all(writers);

    expect(made).toMatchObject({ code: 0, stderr: '' });
    for (const { name } of catalogue) expect(made.stdout).toContain(name);
    expect(failed).toBe(0);
    expect(acknowledged.length).toBeGreaterThan(before);
    acknowledged.length = before;
    await fleet.interrupt();
  }
  const token = readFileSync(join(here.dataRoot, 'token'), 'utf8');
  rmSync(here.dataRoot, { recursive: true });

  const restored = run(['restore'], here.settings);
  expect(restored).toMatchObject({ code: 0, stderr: '' });
  writeFileSync(join(here.dataRoot, 'token'), token, { mode: 0o600 });
  await using fleet = new RunningFleet([], here.settings);
  await fleet.said(new RegExp(`${catalogue.length} of ${catalogue.length} ready`));

  const texts = await allTexts(here.target());
  expect(acknowledged.filter((text) => !texts.has(text))).toEqual([]);
  expect(run(['audit', 'verify'], here.settings).stdout.match(/the chain holds/g)).toHaveLength(
    catalogue.length,
  );
});

test('a process killed while it gives its copy is named, the others are kept, and the next run is whole', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory,health,dashboard'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  // More than fits between the two processes.
  writeFileSync(join(here.dataRoot, 'memory', 'large.bin'), randomBytes(150_000_000));
  const answer = await fetch(`${here.target().url}/health`);
  const { pid } = (await answer.json()) as { pid: number };

  const running = runMeanwhile(['backup'], here.settings);
  const received = join(here.backups, '.scratch', 'collected', 'memory', 'large.bin');
  while (!existsSync(received)) await sleep(1);
  process.kill(pid, 'SIGKILL');
  const made = await running;

  expect(made).toMatchObject({ code: 1, stderr: expect.stringMatching(/memory is missing: /) });
  expect(made.stdout).toMatch(/health, dashboard/);
  await fleet.said(/memory\s+ended with SIGKILL[^]*✓ memory/);
  expect(readdirSync(join(here.dataRoot, 'memory'))).not.toContain('.snapshot');
  rmSync(join(here.dataRoot, 'memory', 'large.bin'));
  expect(run(['backup'], here.settings)).toMatchObject({ code: 0 });
});

test('a fleet makes up for a backup that is due, and for none that is not', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory,health'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  const environment = { ...process.env, ...here.settings };
  const told = vi.fn<(failure: string | null) => void>();
  const archives = () =>
    existsSync(here.backups) ? readdirSync(here.backups).filter((name) => name.endsWith('.zst')) : [];

  const off = scheduleBackups({ ...environment, FLOTILLA_BACKUP_TIME: 'off' }, told, { catchUpMs: 0 });
  await sleep(50);
  await off.stop();
  expect(existsSync(here.backups)).toBe(false);

  const first = scheduleBackups(environment, told, { catchUpMs: 0 });
  await vi.waitFor(() => expect(told).toHaveBeenCalledWith(null));
  await first.stop();
  expect(archives()).toHaveLength(1);

  const second = scheduleBackups(environment, told, { catchUpMs: 0 });
  await sleep(200);
  await second.stop();
  expect(told).toHaveBeenCalledTimes(1);
  expect(archives()).toHaveLength(1);
});

test('a backup that fails on its schedule says why, and one that runs ends with the fleet', async () => {
  using here = await place();
  await using fleet = new RunningFleet(['--only', 'memory'], here.settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  const environment = { ...process.env, ...here.settings };
  const told = vi.fn<(failure: string | null) => void>();

  const failing = scheduleBackups({ ...environment, FLOTILLA_TOKEN: 'flt_unknown' }, told, { catchUpMs: 0 });
  await vi.waitFor(() => expect(told).toHaveBeenCalledWith(expect.stringMatching(/answers 401/)), {
    timeout: 90_000,
  });
  await failing.stop();

  mkdirSync(join(here.dataRoot, 'memory', 'more'));
  writeFileSync(join(here.dataRoot, 'memory', 'more', 'large.bin'), randomBytes(150_000_000));
  const ending = scheduleBackups(environment, told, { catchUpMs: 0 });
  while (!existsSync(join(here.backups, '.scratch', 'collected', 'memory'))) await sleep(2);
  await ending.stop();
  expect(existsSync(join(here.backups, '.scratch'))).toBe(false);
  expect(told).toHaveBeenCalledTimes(1);
});
