/** A process hands out what it keeps: whole, while it works, to whoever may have it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';

import { expect, test, vi } from 'vitest';

import { verifyAudit } from '#runtime/account/audit-proof.ts';
import { inspectDatabase, openDatabase } from '#runtime/database.ts';
import { snapshotOf } from '#runtime/data/snapshot.ts';
import { DamagedDataError } from '#runtime/errors.ts';
import { startService } from '#runtime/process/run.ts';
import { createToken } from '#runtime/access/tokens.ts';

import dashboard from '../dashboard/service.ts';
import { receiveSnapshot } from '../scripts/backup/receive.ts';
import memory from '../services/memory/service.ts';
import { callTool, codeOf, send } from './support/rpc.ts';
import { serve, temporaryFolder, type Served } from './support/serve.ts';

const ask = async ({ url, token }: Pick<Served, 'url' | 'token'>) =>
  fetch(`${url}/admin/snapshot`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });

async function receive(served: Pick<Served, 'url' | 'token'>, folder: string) {
  const response = await ask(served);
  expect(response.status).toBe(200);
  return receiveSnapshot(response.body ?? new ReadableStream(), folder, () => {});
}

const scratchOf = ({ dataRoot }: Served) => join(dataRoot, 'memory', '.snapshot');

const write = async (served: Served, text: string) => callTool(served, 'add_memory', { text });

test('a snapshot taken under writes is one state, with all that was acknowledged before it began', async () => {
  await using served = await serve(memory);
  using folder = temporaryFolder();
  for (let index = 0; index < 200; index++) await write(served, `before ${index}`);
  const over = new AbortController();
  const writing = (async () => {
    for (let index = 0; !over.signal.aborted; index++) await write(served, `meanwhile ${index}`);
  })();

  const files = await receive(served, folder.path);
  over.abort();
  await writing;

  expect(files.map(({ path }) => path)).toEqual(['memory.db', 'audit/audit-000001.jsonl', 'audit/head.json']);
  const { finding, rows } = inspectDatabase(join(folder.path, 'memory.db'));
  expect(finding).toBeNull();
  expect(rows['memory']).toBeGreaterThanOrEqual(200);
  expect(rows['memory']).toBe(rows['change']);
  const { records, faults } = await verifyAudit(join(folder.path, 'audit'));
  expect(faults).toEqual([]);
  expect(records).toBeGreaterThanOrEqual(200);
  expect(existsSync(scratchOf(served))).toBe(false);
});

test('secrets, locks and temporary files stay where they are', async () => {
  await using served = await serve(dashboard);
  using folder = temporaryFolder();
  const dataDir = join(served.dataRoot, 'dashboard');
  writeFileSync(join(dataDir, 'half.json.tmp'), '{');
  expect(readdirSync(dataDir)).toEqual(expect.arrayContaining(['session-key', '.lock']));

  await receive(served, folder.path);

  expect(readdirSync(folder.path, { recursive: true }).map(String).toSorted()).toEqual([
    'audit',
    'audit/audit-000001.jsonl',
    'audit/head.json',
  ]);
});

test('the scope backup allows a snapshot and nothing else, and no lesser scope allows it', async () => {
  await using served = await serve(memory);
  const tokenOf = async (name: string, scope: string[]) => ({
    url: served.url,
    token: await createToken(served.dataRoot, { name, scope, expiresAt: null }),
  });
  const backup = await tokenOf('backup', ['backup']);
  const reader = await tokenOf('reader', ['*:read', 'memory']);

  const refused = await ask(reader);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toEqual({
    error: expect.stringContaining('lacks the scope backup') as string,
  });
  expect((await ask({ url: served.url, token: 'flt_unknown' })).status).toBe(401);
  expect((await fetch(`${served.url}/admin/snapshot`, { method: 'POST' })).status).toBe(401);

  expect((await send(backup, 'tools/list')).status).toBe(403);
  expect((await send(backup, 'tools/call', { name: 'read_graph', arguments: {} })).status).toBe(403);
  using folder = temporaryFolder();
  await receive(backup, folder.path);
  using second = temporaryFolder();
  await receive(backup, second.path);
  const trail = readFileSync(join(second.path, 'audit', 'audit-000001.jsonl'), 'utf8');
  expect(trail).toMatch(
    /"caller":"reader","method":"POST \/admin\/snapshot","target":null,"outcome":"forbidden"/,
  );
  expect(trail).toMatch(/"caller":"backup","method":"POST \/admin\/snapshot","target":null,"outcome":"ok"/);
});

/** More than the sockets between two processes hold. */
async function muchData(served: Served): Promise<void> {
  writeFileSync(join(served.dataRoot, 'memory', 'large.bin'), Buffer.alloc(64 * 1024 * 1024, 7));
}

test('one snapshot at a time; a reader who goes away leaves nothing behind', async () => {
  await using served = await serve(memory);
  await muchData(served);
  const first = await ask(served);

  const second = await ask(served);
  expect(second.status).toBe(409);

  await first.body?.cancel();
  using folder = temporaryFolder();
  await vi.waitFor(
    async () => {
      const response = await ask(served);
      if (response.status !== 200) throw new Error(`still ${response.status}`);
      const into = join(folder.path, String(Date.now()));
      await receiveSnapshot(response.body ?? new ReadableStream(), into, () => {});
    },
    { timeout: 20_000 },
  );
  expect(existsSync(scratchOf(served))).toBe(false);
});

test('a process that stops breaks its snapshot off, and the reader sees that it is not whole', async () => {
  const served = await serve(memory, {}, 0, { limits: { drainMs: 100 } });
  await muchData(served);
  using folder = temporaryFolder();
  const response = await ask(served);

  await served.stop();

  await expect(receiveSnapshot(response.body ?? new ReadableStream(), folder.path, () => {})).rejects.toThrow(
    /terminated|not whole|process stops/,
  );
  expect(existsSync(scratchOf(served))).toBe(false);
  await served[Symbol.asyncDispose]();
});

test('what a crash left of a snapshot goes at the next start', async () => {
  using root = temporaryFolder();
  mkdirSync(join(root.path, 'memory', '.snapshot'), { recursive: true });
  writeFileSync(join(root.path, 'memory', '.snapshot', 'database'), 'half');

  const running = await startService(memory, 0, { FLOTILLA_DATA: root.path, FLOTILLA_LOG_LEVEL: 'error' });

  expect(existsSync(join(root.path, 'memory', '.snapshot'))).toBe(false);
  await running.stop();
});

test('a database that cannot be read fails the snapshot in words, and the process goes on', async () => {
  await using served = await serve(memory, {}, 0, { writeLog: () => {} });
  using folder = temporaryFolder();
  writeFileSync(join(served.dataRoot, 'memory', 'second.db'), 'this is no database at all'.repeat(100));

  await expect(receive(served, folder.path)).rejects.toThrow(DamagedDataError);
  await expect(receive(served, join(folder.path, 'again'))).rejects.toThrow(/second\.db is damaged/);

  expect(codeOf(await callTool(served, 'read_graph'))).toBeUndefined();
  expect(existsSync(scratchOf(served))).toBe(false);
});

test('a link in the data folder is refused, not followed', async () => {
  await using served = await serve(memory, {}, 0, { writeLog: () => {} });
  using folder = temporaryFolder();
  symlinkSync('/etc/hostname', join(served.dataRoot, 'memory', 'elsewhere'));

  await expect(receive(served, folder.path)).rejects.toThrow(/elsewhere is neither a file nor a folder/);
});

test('a database is copied by a thread of its own, which ends with the copy, also when nobody reads on', async () => {
  using folder = temporaryFolder();
  openDatabase(
    join(folder.path, 'memory.db'),
    fileURLToPath(new URL('../services/memory/migrations', import.meta.url)),
  ).close();
  const begun: number[] = [];
  const ended: number[] = [];
  const onWorker = (worker: Worker) => {
    begun.push(worker.threadId);
    worker.once('exit', () => ended.push(worker.threadId));
  };
  process.on('worker', onWorker);
  const parts = () =>
    snapshotOf(
      { dataDir: folder.path, secretFiles: [] },
      new AbortController().signal,
      async () => undefined,
    );

  for await (const _part of parts());
  for await (const _part of parts()) break;
  process.off('worker', onWorker);

  expect(begun).toHaveLength(2);
  await vi.waitFor(() => expect(ended).toEqual(begun.map(() => -1)));
});
