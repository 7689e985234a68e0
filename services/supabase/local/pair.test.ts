import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test, vi } from 'vitest';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { whyNoLocalPair } from '../local.fixture.ts';
import { inOneGo } from '../sql/pool.ts';

const program = fileURLToPath(new URL('../../../scripts/flotilla.ts', import.meta.url));

/** Nothing is synced: that takes most of the time, and is not what this is about. */
const argumentsFor = (folder: string, port: number) => [
  'supabase',
  'local',
  '--dir',
  folder,
  '--port',
  String(port),
  '--throwaway',
];

/** As a person starts it: what it says at first, and how it ends. */
async function started(folder: string) {
  const child = spawn(process.execPath, [program, ...argumentsFor(folder, 0)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  let said = '';
  const ready = Promise.withResolvers<void>();
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (said.includes('Ctrl-C')) ready.resolve();
  });
  void gone.then(() => ready.reject(new Error('It did not start.')));
  await ready.promise;
  return {
    setting: (name: string) => [...said.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].at(-1)?.[1] ?? '',
    said: () => said,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
    async interrupt() {
      child.kill('SIGINT');
      const [code] = (await gone) as [number | null];
      return code;
    },
  };
}

test('The pair starts, stops with Ctrl-C, and has its data and its keys when it starts again', async (context) => {
  context.skip(whyNoLocalPair !== undefined, whyNoLocalPair);
  using folder = temporaryFolder();

  const first = await started(folder.path);
  await inOneGo(first.setting('FLOTILLA_SUPABASE_DATABASE_URL'), 'CREATE TABLE kept AS SELECT 1 AS one');
  expect(await first.interrupt()).toBe(0);
  expect(first.said()).toContain('Stopped. The data stays.');

  const second = await started(folder.path);
  const again = spawnSync(process.execPath, [program, ...argumentsFor(folder.path, 0)], { encoding: 'utf8' });
  expect(again.stderr).toMatch(/It runs already: .* kill -INT \d+/);
  using other = temporaryFolder();
  const port = Number(new URL(second.setting('FLOTILLA_SUPABASE_DATABASE_URL')).port);
  const beside = spawnSync(process.execPath, [program, ...argumentsFor(other.path, port - 1)], {
    encoding: 'utf8',
  });
  expect(beside.stderr).toContain(`port ${port} is taken`);
  const headers = { apikey: first.setting('FLOTILLA_SUPABASE_KEY') };
  const answer = await fetch(`${second.setting('FLOTILLA_SUPABASE_URL')}/rest/v1/kept`, { headers });
  expect(await answer.json()).toEqual([{ one: 1 }]);
  expect((await fetch(`${second.setting('FLOTILLA_SUPABASE_URL')}/storage/v1/bucket`)).status).toBe(404);
  expect(await second.interrupt()).toBe(0);
  // Nothing of it is left behind.
  expect(spawnSync('pgrep', ['-f', folder.path]).stdout.toString()).toBe('');
});

test('A folder that cannot be made is told at once', (context) => {
  context.skip(whyNoLocalPair !== undefined, whyNoLocalPair);
  for (const folder of ['/proc/none/here', '/dev/null/here']) {
    const { status, stderr } = spawnSync(process.execPath, [program, ...argumentsFor(folder, 0)], {
      encoding: 'utf8',
    });
    expect(status).toBe(69);
    expect(stderr).toMatch(
      new RegExp(`^flotilla: ${folder} cannot be made or used \\(\\w+\\): choose another folder\\.\n$`),
    );
  }
});

test('When it is killed, Postgres ends in good order, and the next start has its data', async (context) => {
  context.skip(whyNoLocalPair !== undefined, whyNoLocalPair);
  using folder = temporaryFolder();
  const first = await started(folder.path);
  await inOneGo(first.setting('FLOTILLA_SUPABASE_DATABASE_URL'), 'CREATE TABLE kept AS SELECT 1 AS one');

  await first.kill();

  await vi.waitFor(
    () => expect(existsSync(join(folder.path, 'postgres/data/postmaster.pid'))).toBe(false),
    20_000,
  );
  const second = await started(folder.path);
  await inOneGo(second.setting('FLOTILLA_SUPABASE_DATABASE_URL'), 'SELECT one FROM kept');
  expect(await second.interrupt()).toBe(0);
});
