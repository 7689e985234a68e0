/** The logging service copies the records of calls of real processes: each once, whatever happens to trail, process or itself. */
import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { createToken, ownToken, readTokens, revokeToken } from '#runtime/access/tokens.ts';
import { startService } from '#runtime/process/run.ts';

import { followAudit } from '../services/logging/feeds/audit.ts';
import type { Feeding } from '../services/logging/feeds/feeds.ts';
import logging from '../services/logging/service.ts';
import type { NewLine } from '../services/logging/store/line.ts';
import memory from '../services/memory/service.ts';
import { freePortOffset } from '../scripts/ports.ts';
import { callTool } from './support/rpc.ts';
import { serve, temporaryFolder, type Served } from './support/serve.ts';

/** What is copied, and how far, as a store would keep both. */
class Copies {
  readonly lines: NewLine[] = [];
  readonly told: string[] = [];
  readonly #positions = new Map<string, string>();

  /** Follows until it is disposed. */
  follow(url: string, folder: string, token: string): AsyncDisposable {
    const stop = new AbortController();
    const feeding: Feeding = {
      store: async () => Promise.reject(new Error('Lines are kept, not stored.')),
      positionOf: (source) => this.#positions.get(source),
      now: Date.now,
      tell: (_level, event) => void this.told.push(event),
    };
    const done = followAudit(
      { token, processes: [{ name: 'memory', url, folder }] },
      feeding,
      async ({ lines, position }) => {
        this.lines.push(...lines);
        if (position) this.#positions.set(position.source, position.position);
      },
      {
        signal: stop.signal,
        pause: async () => new Promise((resolve) => setTimeout(resolve, 20)),
      },
    );
    return {
      async [Symbol.asyncDispose]() {
        stop.abort();
        await done;
      },
    };
  }

  /** Of the calls that add a memory. */
  get added(): readonly string[] {
    return this.lines
      .filter(({ fields }) => fields['target'] === 'add_memory')
      .map(({ fields }) => fields['sequence'] ?? '');
  }
}

const add = async (served: Pick<Served, 'url' | 'token'>, count: number) => {
  for (let index = 0; index < count; index += 1)
    await callTool(served, 'add_memory', { text: `text ${index}` });
};

test('every record becomes one line, over restarts of who copies, and over a trail that is put back', async () => {
  await using served = await serve(memory);
  const token = await createToken(served.dataRoot, { name: 'auditor', scope: ['audit'], expiresAt: null });
  const folder = join(served.dataRoot, 'memory');
  const copies = new Copies();
  const seen = async (count: number) => vi.waitFor(() => expect(copies.added).toHaveLength(count));

  await add(served, 3);
  {
    await using _ = copies.follow(served.url, folder, token);
    await seen(3);
    await add(served, 2);
    await seen(5);
  }
  await add(served, 2);
  {
    await using _ = copies.follow(served.url, folder, token);
    await seen(7);
  }
  expect(new Set(copies.added).size).toBe(7);
  const [line] = copies.lines;
  expect(line).toMatchObject({ service: 'memory', source: 'audit:memory', level: 'info' });
  expect(copies.lines.find(({ fields }) => fields['target'] === 'add_memory')).toMatchObject({
    message: expect.stringMatching(/^first add_memory ok \d/) as string,
    traceId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    fields: { caller: 'first', method: 'tools/call', outcome: 'ok' },
  });
  expect(JSON.stringify(copies.lines)).not.toContain('text 0');
  expect(copies.told).toEqual([]);
});

test('a trail that was cut back is told, and what comes then is copied too', async () => {
  using root = temporaryFolder();
  const port = 4321 + (await freePortOffset());
  const url = `http://127.0.0.1:${port}`;
  const start = async () =>
    startService(memory, port, { FLOTILLA_DATA: root.path, FLOTILLA_LOG_LEVEL: 'error' });
  const folder = join(root.path, 'memory');
  const trail = join(folder, 'audit');
  const early = join(root.path, 'early');
  let running = await start();
  const token = await createToken(root.path, { name: 'all', scope: ['*'], expiresAt: null });
  await add({ url, token }, 2);
  await running.stop();
  cpSync(trail, early, { recursive: true });
  running = await start();
  const copies = new Copies();
  {
    await using _ = copies.follow(url, folder, token);
    await add({ url, token }, 4);
    await vi.waitFor(() => expect(copies.added).toHaveLength(6));
    // While it does not run, it is asked again and again.
    await running.stop();
    rmSync(trail, { recursive: true });
    cpSync(early, trail, { recursive: true });
    running = await start();
    await vi.waitFor(() => expect(copies.told).toEqual(['audit_trail_shorter']));
    await add({ url, token }, 1);
    await vi.waitFor(() => expect(copies.added).toHaveLength(7));
  }
  await running.stop();
});

test('who may not read records is told once, and does not stop', async () => {
  await using served = await serve(memory);
  const token = await createToken(served.dataRoot, { name: 'other', scope: ['memory'], expiresAt: null });
  const copies = new Copies();
  await using _ = copies.follow(served.url, join(served.dataRoot, 'memory'), token);
  await vi.waitFor(() => expect(copies.told).toEqual(['audit_not_copied']));
  expect(copies.lines).toEqual([]);
});

test('a process has a token of its own: the same one after a restart, another when it was revoked, and never that of somebody else', async () => {
  await using served = await serve(memory);
  const folder = join(served.dataRoot, 'logging');
  const want = { name: 'logging', scope: ['audit'] };
  const secret = await ownToken(folder, want);
  expect(await ownToken(folder, want)).toBe(secret);
  await revokeToken(served.dataRoot, 'logging');
  const second = await ownToken(folder, want);
  expect(second).not.toBe(secret);
  rmSync(folder, { recursive: true });
  expect(await ownToken(folder, want)).not.toBe(second);
  await expect(ownToken(folder, { name: 'first', scope: ['audit'] })).rejects.toThrow(/already/);
  expect(readTokens(served.dataRoot).map(({ name }) => name)).toEqual(['first', 'logging']);
});

test('beside memory, the service finds its records by their trace id', async () => {
  using root = temporaryFolder();
  const offset = await freePortOffset();
  const settings = {
    FLOTILLA_DATA: root.path,
    FLOTILLA_LOG_LEVEL: 'error',
    FLOTILLA_PORT_OFFSET: String(offset),
  };
  const running = [
    await startService(memory, 4321 + offset, settings),
    await startService(logging, 4336 + offset, settings),
  ];
  const token = await createToken(root.path, { name: 'all', scope: ['*'], expiresAt: null });
  await callTool({ url: `http://127.0.0.1:${4321 + offset}`, token }, 'add_memory', { text: 'text' });
  const found = await vi.waitFor(async () => {
    const { result } = await callTool({ url: `http://127.0.0.1:${4336 + offset}`, token }, 'search_logs', {
      query: 'add_memory',
      service: 'memory',
    });
    expect(JSON.stringify(result)).toContain('audit:memory');
    return result;
  });
  expect(JSON.stringify(found)).toContain('all add_memory ok');
  for (const one of running) await one.stop();
  expect(existsSync(join(root.path, 'logging', 'own-token'))).toBe(true);
});
