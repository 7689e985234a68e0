import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { catalogue, entryOf } from '#config/catalogue.ts';

import { History } from '../../health/history.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { run, RunningFleet } from '../support/fleet.ts';
import { callTool, send } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { tokenIn } from './service-process.ts';

const hourMs = 3_600_000;

/** Every number that a document holds. */
function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

test('when the clock jumps an hour ahead and two back, expiry follows it, and nothing breaks or becomes negative', async () => {
  using folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  const clock = join(folder.path, 'clock');
  const offset = await freePortOffset();
  const settings = { FLOTILLA_DATA: dataRoot, FLOTILLA_PORT_OFFSET: String(offset) };
  const urlOf = (name: string) => `http://127.0.0.1:${(entryOf(name)?.port ?? 0) + offset}`;
  writeFileSync(clock, '0');
  await using fleet = new RunningFleet([], {
    ...settings,
    CLOCK_FILE: clock,
    NODE_OPTIONS: `--import=${fileURLToPath(new URL('shifted-clock.ts', import.meta.url))}`,
  });
  await fleet.said(/Stop\s+Ctrl-C/);
  const token = tokenIn(dataRoot);
  const memory = { url: urlOf('memory'), token };
  const guest = {
    ...memory,
    token: run(['token', 'create', 'guest', '--allow', 'memory', '--expires', '30m'], settings).stdout.trim(),
  };
  const { result } = await callTool(guest, 'add_memory', { text: 'for half an hour', ttl: 1_800 });
  const id = result?.['structuredContent'].ids[0] as number;

  const jump = async (shiftMs: number) => {
    const before = (await answerOf('health')).polledAt;
    writeFileSync(clock, String(shiftMs));
    await vi.waitFor(
      async () => {
        expect((await answerOf('health')).polledAt).not.toBe(before);
        expect(Math.abs(Date.parse((await answerOf('health')).polledAt) - Date.now() - shiftMs)).toBeLessThan(
          hourMs / 10,
        );
        for (const { name } of catalogue) {
          const response = await fetch(`${urlOf(name)}/ready`);
          expect({ name, status: response.status }).toEqual({ name, status: 200 });
        }
      },
      { timeout: 30_000, interval: 100 },
    );
  };
  const answerOf = async (name: string) =>
    (await (await fetch(`${urlOf(name)}/health`)).json()) as { polledAt: string; uptimeMs: number };
  const expectSoundFigures = async () => {
    const status = await fetch(`${urlOf('dashboard')}/status`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const healths = await Promise.all(catalogue.map(async ({ name }) => answerOf(name)));
    expect(Math.max(...healths.map(({ uptimeMs }) => uptimeMs))).toBeLessThan(hourMs / 2);
    const documents: unknown[] = [await status.json(), ...healths];
    for (const { name } of catalogue) {
      const text = await (await fetch(`${urlOf(name)}/metrics`)).text();
      const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      documents.push(samples.map((line) => Number(line.split(' ').at(-1))));
    }
    const numbers = numbersIn(documents);
    expect(numbers.length).toBeGreaterThan(100);
    expect(numbers.filter((number) => number < 0)).toEqual([]);
  };

  await jump(hourMs);
  expect((await callTool(memory, 'get_memory', { id })).result?.['isError']).toBe(true);
  expect((await send(guest, 'tools/list')).status).toBe(401);
  await expectSoundFigures();

  await jump(-2 * hourMs);
  expect((await callTool(guest, 'get_memory', { id })).result?.['isError']).toBeUndefined();
  await callTool(memory, 'add_memory', { text: 'a whistle from the past' });
  const found = await callTool(memory, 'search_memories', { query: 'whistle' });
  expect(found.result?.['structuredContent'].memories).toHaveLength(1);
  await expectSoundFigures();
  expect(await fleet.interrupt()).toBe(0);

  // Health polled all the time, whatever the clock said.
  using history = new History(join(dataRoot, 'health', 'history.db'), { isOpen: true });
  const changes = history.transitions(0, 10_000);
  expect(changes.length).toBeGreaterThan(0);
  expect(changes.filter(({ name, to }) => name === 'health' && to === 'down')).toEqual([]);
  expect(
    changes.filter(({ durationMs, detectionMs }) => (durationMs ?? 0) < 0 || (detectionMs ?? 0) < 0),
  ).toEqual([]);
  const { good, total } = history.counts('health', 0, Date.now() + 2 * hourMs);
  expect(good).toBe(total);
});
