import { mkdirSync, mkdtempDisposableSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type * as promises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { settledAfterMs } from './limits.ts';
import { requirePlainEntries } from './planted-files.ts';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof promises>();
  return { ...real, readdir: vi.fn<typeof real.readdir>(real.readdir) };
});

test('a folder is read again when it has changed, and not otherwise', async () => {
  using place = mkdtempDisposableSync(join(tmpdir(), 'flotilla-git-'));
  const names = Array.from({ length: 20 }, (_, number) => join(place.path, 'objects', `${number}`));
  for (const name of names) mkdirSync(name, { recursive: true });
  for (const name of names) writeFileSync(join(name, 'object'), '');
  const reads = async () => {
    vi.mocked(readdir).mockClear();
    await requirePlainEntries([place.path], [place.path]);
    return vi.mocked(readdir).mock.calls.length;
  };

  await sleep(2 * settledAfterMs);
  expect(await reads()).toBe(22);
  expect(await reads()).toBe(0);

  const [changed = '', emptied = ''] = names;
  mkdirSync(join(changed, 'deeper'));
  rmSync(join(emptied, 'object'));
  await sleep(2 * settledAfterMs);
  expect(await reads()).toBe(3);

  symlinkSync('/etc/passwd', join(changed, 'deeper', 'link'));
  await expect(reads()).rejects.toThrow('leads outside the roots');
  await sleep(2 * settledAfterMs);
  // What is refused stays refused.
  await expect(reads()).rejects.toThrow('leads outside the roots');
});
