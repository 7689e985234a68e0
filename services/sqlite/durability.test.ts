import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { folders, madeElsewhere } from './place.fixture.ts';

const script = fileURLToPath(new URL('writer.fixture.ts', import.meta.url));

test('kill -9 of the service loses no row that was acknowledged, and leaves no engine and no lock', async () => {
  using place = folders();
  const acknowledged = new Map<string, number>();
  for (const mode of ['wal', 'delete']) {
    madeElsewhere(
      join(place.root, `${mode}.db`),
      `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a INTEGER PRIMARY KEY)`,
    );
  }

  const child = spawn(process.execPath, [script, place.root], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  let engines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const [database = '', number] = line.split(' ');
    acknowledged.set(database, Number(number));
    if (acknowledged.size < 2 || Math.min(...acknowledged.values()) < 60 || engines.length > 0) continue;
    engines = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ');
    child.kill('SIGKILL');
  }
  await closed;

  expect(engines.length).toBeGreaterThan(0);
  await vi.waitFor(() => expect(engines.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]), 10_000);
  for (const [name, last] of acknowledged) {
    using database = new DatabaseSync(join(place.root, name));
    database.exec('BEGIN EXCLUSIVE');
    const { n, most } = database.prepare('SELECT count(*) AS n, max(a) AS most FROM t').get() as {
      n: number;
      most: number;
    };
    expect(n).toBe(most);
    expect(n).toBeGreaterThanOrEqual(last);
    expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
  }
});
