/** Comparative intelligence reads model-profile as any client does: real processes, over MCP, with late and revised outcomes. */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { firstTokenFile, readTokens } from '#runtime/access/tokens.ts';
import { openToRead } from '#runtime/database.ts';
import { startService } from '#runtime/process/run.ts';

import { loadService } from '../scripts/load.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { databaseFile } from '../services/comparative-intelligence/store/store.ts';
import { callTool, codeOf } from './support/rpc.ts';
import { temporaryFolder } from './support/serve.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
type Answer = Readonly<Record<string, any>>;

const profile = 'model-profile';
const folder = temporaryFolder();
let offset: number;
let running: Awaited<ReturnType<typeof startService>>[] = [];

const settings = () => ({
  FLOTILLA_DATA: folder.path,
  FLOTILLA_LOG_LEVEL: 'error',
  FLOTILLA_PORT_OFFSET: String(offset),
});

async function start(name: string) {
  const port = (entryOf(name)?.port ?? 0) + offset;
  const started = await startService(await loadService(name), port, settings());
  running.push(started);
  return started;
}

async function stop(started: (typeof running)[number]): Promise<void> {
  running = running.filter((one) => one !== started);
  await started.stop();
}

const served = (name: string) => ({
  url: `http://127.0.0.1:${(entryOf(name)?.port ?? 0) + offset}`,
  token: readFileSync(firstTokenFile(folder.path), 'utf8').trim(),
});

async function call(name: string, tool: string, args: object): Promise<Answer> {
  const answer = await callTool(served(name), tool, { ...args });
  const code = codeOf(answer);
  if (code !== undefined) throw new Error(`${code}: ${JSON.stringify(answer.result?.['content'])}`);
  return answer.result?.['structuredContent'] as Answer;
}

beforeAll(async () => {
  offset = await freePortOffset();
  await start('comparative-intelligence');
});
afterAll(async () => {
  for (const started of running) await started.stop();
  folder[Symbol.dispose]();
});

const compared = async () =>
  call('comparative-intelligence', 'compare_models', { a: 'one', b: 'other', source: 'decisions' });

test('while model-profile does not run, that is said', async () => {
  await expect(compared()).rejects.toThrow(
    'unavailable: [{"type":"text","text":"model-profile cannot be read',
  );
});

test('decisions are copied as they come, are revised, and after a restart; a copy is used while it is down', async () => {
  const first = await start(profile);
  for (const name of ['one', 'other']) await call(profile, 'register_model', { name });
  const decisions = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => index + from).flatMap((item) =>
      ['one', 'other'].map((model) => ({
        uid: `${model} ${item}`,
        model,
        item_id: `item ${item}`,
        task_type: item % 2 === 0 ? 'code' : 'prose',
        confidence: 0.9,
        cost_usd: 0.01,
        ...(item < 55 && { outcome: model === 'one' ? 1 : item % 2, source: 'human' }),
      })),
    );
  await call(profile, 'record_decisions', { decisions: decisions(0, 60) });

  const found = await compared();
  expect(found).toMatchObject({ n: 55, verdict: 'better', source_mix: { human: 110 } });
  expect(found['value']).toBeCloseTo(28 / 55, 6);
  expect(readTokens(folder.path).find(({ name }) => name === 'comparative-intelligence')?.scope).toEqual([
    'model-profile:read',
  ]);

  // Late ones, and one that is revised by a stronger source.
  for (let item = 55; item < 60; item += 1) {
    await call(profile, 'resolve_outcome', { decision: `one ${item}`, outcome: 0, source: 'human' });
    await call(profile, 'resolve_outcome', { decision: `other ${item}`, outcome: 1, source: 'human' });
  }
  await expect.poll(async () => (await compared())['n']).toBe(60);
  const late = await compared();
  expect(late['value']).toBeCloseTo(23 / 60, 6);
  expect(late['snapshot_id']).not.toBe(found['snapshot_id']);

  // Who recorded them is copied as a number, so that nobody pushes out what another recorded.
  {
    using copied = openToRead(databaseFile(join(folder.path, 'comparative-intelligence')));
    expect(copied.prepare('SELECT DISTINCT token FROM decision').all()).toEqual([{ token: 1 }]);
  }

  await stop(first);
  await expect
    .poll(async () => String((await compared())['warnings']))
    .toContain('model-profile does not answer');
  expect((await compared())['n']).toBe(60);

  await start(profile);
  await call(profile, 'record_decisions', {
    decisions: decisions(60, 61).map((one) => ({ ...one, outcome: 1, source: 'human' })),
  });
  await expect.poll(async () => (await compared())['n']).toBe(61);

  const ranking = await call('comparative-intelligence', 'rank_models', { source: 'decisions' });
  expect(ranking['rows'].map(({ model }: Answer) => model)).toEqual(['model:one', 'model:other']);
  const strengths = await call('comparative-intelligence', 'identify_strengths', { model: 'one' });
  expect(strengths['strengths'].map(({ task_type: type }: Answer) => type)).toContain('code');
  const chosen = await call('comparative-intelligence', 'recommend_model', { task_type: 'code' });
  expect(chosen['chosen']).toBe('model:one');
  expect(join('', String(chosen['source_mix'].human))).toBe('62');
});

test('a model-profile that was restored to an earlier state, and has gone on since, is copied anew', async () => {
  const kept = join(folder.path, profile);
  const saved = join(folder.path, 'saved');
  for (const started of running.slice(1)) await stop(started);
  cpSync(kept, saved, { recursive: true });
  const record = async (items: number, better: string) =>
    call(profile, 'record_decisions', {
      decisions: Array.from({ length: items }, (_, index) =>
        ['one', 'other'].map((model) => ({
          uid: `${model} ${better} ${index}`,
          model,
          item_id: `forked ${index}`,
          task_type: 'forked',
          outcome: model === better ? 1 : 0,
          source: 'human',
        })),
      ).flat(),
    });
  const forked = async () =>
    call('comparative-intelligence', 'compare_models', { a: 'one', b: 'other', task_type: 'forked' });
  const first = await start(profile);
  await record(20, 'one');
  await expect.poll(async () => (await forked())['value']).toBe(1);

  await stop(first);
  rmSync(kept, { recursive: true });
  cpSync(saved, kept, { recursive: true });
  await start(profile);
  // More changes than were lost: by its number alone, the newest that was copied is still there.
  await record(30, 'other');
  await expect.poll(async () => (await forked())['n']).toBe(30);
  expect((await forked())['value']).toBe(-1);
});
