import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { removedPerStep } from './limits.ts';
import { openStore } from './store.ts';
import { contentOf, longSession, quota, think } from './store.fixture.ts';

const script = fileURLToPath(new URL('writer.fixture.ts', import.meta.url));

test('kill -9 while two processes think loses no thought that was acknowledged', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'thinking-'));
  const file = join(folder.path, 'thinking.db');
  const lastAcknowledged = new Map<string, number>();

  const writers = ['one', 'two'].map(async (name) => {
    const child = spawn(process.execPath, [script, file, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    for await (const line of createInterface({ input: child.stdout })) {
      const [session = '', number] = line.split(' ');
      lastAcknowledged.set(session, Number(number));
      if (Number(number) === 150) child.kill('SIGKILL');
    }
    return closed;
  });
  expect((await Promise.all(writers)).map(([, signal]) => signal as unknown)).toEqual(['SIGKILL', 'SIGKILL']);

  using store = openStore(file, quota);
  const sessions = contentOf(store);
  expect(sessions).toHaveLength(2);
  for (const { handle, thoughts, last_number: last } of sessions) {
    expect(thoughts.length).toBeGreaterThanOrEqual(lastAcknowledged.get(handle) ?? Infinity);
    expect(thoughts.map(({ thoughtNumber, position }) => [thoughtNumber, position])).toEqual(
      thoughts.map((_, index) => [index + 1, index + 1]),
    );
    expect(last).toBe(thoughts.length);
    expect(await think(store, { thoughtNumber: last + 1, session_id: handle, strict: true })).toMatchObject({
      thoughtHistoryLength: last + 1,
    });
  }
});

test('a deletion that was interrupted is finished at the next start', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'thinking-'));
  const file = join(folder.path, 'thinking.db');
  {
    using store = openStore(file, quota);
    const session = longSession(store, 2 * removedPerStep);
    // What a kill after its first turn leaves.
    store.add(testCall(), () => store.sessions.remove(store.sessions.get(session)));
    expect(store.kept().holdings).toMatchObject([{ items: 2 * removedPerStep }]);
  }

  using store = openStore(file, quota);

  expect(store.sessions.removeLeftovers()).toBe(false);
  expect(store.kept().holdings).toEqual([]);
  expect(contentOf(store)).toEqual([]);
});
