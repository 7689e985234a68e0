/** The records of calls, against whoever may write a process's folder: what health and the backups saw shows it. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test, vi } from 'vitest';

import { entryOf, type ProcessName } from '#config/catalogue.ts';
import { breaksFile } from '#runtime/account/audit-breaks.ts';
import { readHead } from '#runtime/account/audit-chain.ts';
import { startService } from '#runtime/process/run.ts';

import { readAnchors } from '../health/anchors.ts';
import { isolatedEnvironment } from '../scripts/environment.ts';
import { loadService } from '../scripts/load.ts';
import { keptWith, type Kept } from './support/backup.ts';
import { callTool } from './support/rpc.ts';

const flotilla = fileURLToPath(new URL('../scripts/flotilla', import.meta.url));

async function start(here: Kept, name: ProcessName) {
  const port = (entryOf(name)?.port ?? 0) + Number(here.settings['FLOTILLA_PORT_OFFSET']);
  const running = await startService(await loadService(name), port, {
    ...here.settings,
    FLOTILLA_LOG_LEVEL: 'error',
    FLOTILLA_HEALTH_EXPECT: 'memory,health',
  });
  return {
    url: `http://127.0.0.1:${port}`,
    token: readFileSync(join(here.dataRoot, 'token'), 'utf8').trim(),
    [Symbol.asyncDispose]: async () => running.stop(),
  };
}

/** Memory takes some calls while health looks on, which may say what troubles it. */
async function run(here: Kept, texts: readonly string[]): Promise<readonly string[]> {
  const numberOf = (folder: string) => {
    const head = readHead(folder);
    return typeof head === 'object' ? head.sequence : 0;
  };
  const before = numberOf(trailOf(here));
  await using memory = await start(here, 'memory');
  for (const text of texts) await callTool(memory, 'add_memory', { text });
  await using health = await start(here, 'health');
  await vi.waitFor(
    () => {
      const seen = readAnchors(join(here.dataRoot, 'health'))
        .get('memory')
        ?.map(({ hash }) => hash);
      const head = readHead(trailOf(here));
      expect(numberOf(trailOf(here))).toBe(before + texts.length);
      expect(typeof head === 'object' && seen?.includes(head.hash)).toBe(true);
    },
    { timeout: 30_000, interval: 50 },
  );
  // A thread writes what was seen; what it thinks of it is heard with the end of that.
  await vi.waitFor(async () => {
    const metrics = await (await fetch(`${health.url}/metrics`)).text();
    expect(metrics).toContain('\nflotilla_health_history_waiting 0\n');
  });
  const ready = (await (await fetch(`${health.url}/ready`)).json()) as { warnings?: string[] };
  return (ready.warnings ?? []).filter((warning) => warning.includes('audit'));
}

const audit = (here: Kept) => here.flotilla(['audit', 'verify']);
const trailOf = (here: Kept) => join(here.dataRoot, 'memory', 'audit');

describe('audit verify', () => {
  test('finds a trail that goes on whole, at its first start and after a restart', async () => {
    using here = await keptWith('one');
    expect(audit(here)).toMatchObject({ code: 0, stdout: 'memory: 1 record, the chain holds\n' });
    expect(await run(here, ['two', 'three'])).toEqual([]);
    expect(await run(here, ['four'])).toEqual([]);

    expect(audit(here)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^memory: 4 records, the chain holds, with \d heads? that others saw$/m),
    });
  });

  test('finds the whole folder gone, and begun anew, until that is accepted', async () => {
    using here = await keptWith('one');
    await run(here, ['two']);
    rmSync(join(here.dataRoot, 'memory'), { recursive: true });

    expect(audit(here)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /^memory: 0 records, 1 fault\n.*memory\/audit is gone: health saw 2 records there on 2/,
      ),
    });
    expect(await run(here, ['three'])).toEqual([expect.stringMatching(/another audit trail than before/)]);
    expect(audit(here)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/another chain than before, which had come to record 2, as health saw/),
    });

    expect(here.flotilla(['audit', 'accept', 'memory'])).toMatchObject({ code: 0 });
    expect(audit(here)).toMatchObject({ code: 0 });
  });

  test('finds an older copy of the folder in its place, by what a backup saw where health is gone too', async () => {
    using here = await keptWith('one');
    cpSync(join(here.dataRoot, 'memory'), join(here.dataRoot, '..', 'older'), { recursive: true });
    await run(here, ['two', 'three']);
    expect(here.flotilla(['backup']).code).toBe(0);
    for (const name of ['memory', 'health']) rmSync(join(here.dataRoot, name), { recursive: true });
    renameSync(join(here.dataRoot, '..', 'older'), join(here.dataRoot, 'memory'));

    expect(audit(here)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(
        /memory: 1 record, 1 fault\n.*but had come to 3, as flotilla-.*zst saw[^]*health: 0 records, 1 fault\n.*is gone/,
      ),
    });
  });

  test('says that it does not know what health saw where that is damaged, and goes on', async () => {
    using here = await keptWith('one');
    await run(here, []);
    writeFileSync(join(here.dataRoot, 'health', 'anchors.db'), 'nonsense'.repeat(1_000));

    expect(audit(here)).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^memory: 1 record, the chain holds/),
      stderr: expect.stringMatching(/what health saw of the trails cannot be read/),
    });
  });
});

test('a restore is a record: the trail went back, which is told and no fault', async () => {
  using here = await keptWith('one');
  expect(here.flotilla(['backup']).code).toBe(0);
  await run(here, ['two', 'three']);
  expect(here.flotilla(['backup']).code).toBe(0);
  const [older = ''] = readdirSync(here.backups).filter((name) => name.endsWith('.zst'));

  expect(here.flotilla(['restore', older, '--only', 'memory', '--force']).code).toBe(0);

  expect(audit(here)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^memory: 2 records, the chain holds, with \d heads? that others saw\n  restored on .*: up to record 1 it is that of flotilla-.*zst$/m,
    ),
  });
  expect(await run(here, ['four'])).toEqual([]);
  expect(audit(here).code).toBe(0);
  expect(existsSync(breaksFile(here.dataRoot))).toBe(true);

  // What was restored is held against what others saw up to there.
  const segment = join(trailOf(here), 'audit-000001.jsonl');
  writeFileSync(segment, readFileSync(segment, 'utf8').replace('"outcome":"ok"', '"outcome":"no"'));
  expect(audit(here).stdout).toMatch(/:1 is not the record that flotilla-.*zst saw there/);
});

test('a restore onto a new host raises no alarm, whatever health had seen when the backup was made', async () => {
  using here = await keptWith('one');
  await run(here, ['two', 'three']);
  expect(here.flotilla(['backup']).code).toBe(0);
  const [archive = ''] = readdirSync(here.backups).filter((name) => name.endsWith('.zst'));
  const elsewhere = join(here.dataRoot, '..', 'elsewhere', 'data');
  const settings = { FLOTILLA_DATA: elsewhere };
  cpSync(join(here.dataRoot, 'token'), join(elsewhere, 'token'), { recursive: true });

  expect(here.flotilla(['restore', join(here.backups, archive)], settings)).toMatchObject({ code: 0 });

  expect(here.flotilla(['audit', 'verify'], settings)).toMatchObject({ code: 0 });
  expect(
    await run({ ...here, dataRoot: elsewhere, settings: { ...here.settings, ...settings } }, ['x']),
  ).toEqual([]);
  expect(here.flotilla(['audit', 'verify'], settings)).toMatchObject({ code: 0 });
});

describe('looking at what was called', () => {
  const lines = (here: Kept, ...args: readonly string[]) => {
    const { code, stdout, stderr } = here.flotilla(['audit', ...args]);
    return { code, lines: stdout.trimEnd().split('\n').filter(Boolean), stderr };
  };

  test('tail shows the newest of all processes in the order of time, and goes on with what comes', async () => {
    using here = await keptWith('one', 'two', 'three');
    await run(here, ['four']);

    const shown = lines(here, 'tail', '-n', '3');
    expect(shown.lines).toHaveLength(3);
    expect(shown.lines.at(-1)).toMatch(/^2\S+Z  memory\s+first  add_memory  ok  [\d.]+ ms$/);
    expect(JSON.parse(lines(here, 'tail', 'memory', '-n', '1', '--json').lines[0] ?? '')).toMatchObject({
      name: 'memory',
      caller: 'first',
      target: 'add_memory',
    });

    const following = spawn(flotilla, ['audit', 'tail', '-n', '1', '-f'], {
      env: isolatedEnvironment(here.settings),
    });
    let said = '';
    following.stdout.on('data', (chunk) => {
      said += String(chunk);
    });
    await vi.waitFor(() => expect(said.match(/add_memory/g)).toHaveLength(1));
    await here.withMemory(async (target) => callTool(target, 'list_memories'));
    await vi.waitFor(() => expect(said).toMatch(/list_memories  ok/));
    following.kill();
  });

  test('search finds by caller, tool, outcome, time and trace, over all files, and says when there is nothing', async () => {
    using here = await keptWith('one');
    await here.withMemory(async (target) => {
      await callTool(target, 'search_memories', { query: 'one' });
      await callTool(target, 'search_memories', {});
      await callTool({ ...target, token: 'flt_wrong' }, 'read_graph').catch(() => {});
    });

    expect(lines(here, 'search', '--target', 'search').lines).toHaveLength(2);
    expect(lines(here, 'search', '--target', 'search', '--failed').lines).toEqual([
      expect.stringMatching(/search_memories  invalid_input/),
    ]);
    expect(lines(here, 'search', '--outcome', 'unauthenticated').lines).toHaveLength(1);
    expect(lines(here, 'search', '--caller', 'first', '--since', '1h', '-n', '2').lines).toHaveLength(2);
    const [record = ''] = lines(here, 'search', '--failed', '--json', '--target', 'search').lines;
    const { traceId } = JSON.parse(record) as { traceId: string };
    expect(lines(here, 'search', '--trace', traceId).lines).toHaveLength(1);
    expect(lines(here, 'search', '--until', '2020-01-01')).toMatchObject({
      code: 0,
      lines: [],
      stderr: 'No record fits.\n',
    });
    expect(lines(here, 'search', '--slower-than', '3600000').lines).toEqual([]);
    expect(lines(here, 'search', '--since', 'yesterday')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/"yesterday" is no time/),
    });
    // What a trail was made to say does not reach the terminal as more than text.
    const segment = join(trailOf(here), 'audit-000001.jsonl');
    writeFileSync(segment, readFileSync(segment, 'utf8').replaceAll('"first"', '"\\u001b[2J"'));
    expect(lines(here, 'search', '--target', 'search').lines[0]).toContain('?[2J');
  });
});
