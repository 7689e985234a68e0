/** docs/operations.md is followed to the letter. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { exitCodes } from '#runtime/errors.ts';

import { isolatedEnvironment } from '../../scripts/environment.ts';
import { freePortOffset } from '../../scripts/ports.ts';
import { processesOf, run, RunningFleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/serve.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

function section(title: string): string {
  const [, text = ''] = page.split(`\n## ${title}\n`);
  return text.split('\n## ')[0] ?? '';
}

test('the restore drill passes beside a running fleet, and leaves nothing behind', async () => {
  using folder = temporaryFolder();
  symlinkSync(fileURLToPath(new URL('../../scripts', import.meta.url)), join(folder.path, 'scripts'));
  const offset = await freePortOffset();
  const settings = { FLOTILLA_DATA: join(folder.path, 'data'), FLOTILLA_PORT_OFFSET: String(offset) };
  await using fleet = new RunningFleet(['--only', 'memory,health,dashboard'], settings);
  await fleet.said(/Stop\s+Ctrl-C/);
  run(['call', 'memory', 'add_memory', '{"text":"Rosebud is a sledge."}'], settings);
  expect(run(['backup'], settings).code).toBe(0);
  const [, commands = ''] = /```sh\n([^]*?)```/.exec(section('Restore drill')) ?? [];
  expect(commands).toContain('FLOTILLA_PORT_OFFSET=1000');

  const before = readdirSync(folder.path);
  const drill = spawnSync(
    'bash',
    ['-e', '-x', '-c', commands.replace('OFFSET=1000', `OFFSET=${await freePortOffset()}`)],
    // The live fleet has other ports here; the drill must not need to know them.
    {
      cwd: folder.path,
      env: isolatedEnvironment({ TMPDIR: folder.path }),
      encoding: 'utf8',
      timeout: 240_000,
    },
  );

  expect(drill, drill.stderr).toMatchObject({ status: 0 });
  expect(drill.stdout).toContain('Rosebud');
  expect(drill.stdout).toMatch(/✓ memory\n/);
  expect(readdirSync(folder.path)).toEqual(before);
  expect(processesOf(settings.FLOTILLA_DATA).length).toBeGreaterThan(1);
});

test('the table of exit codes has every code', () => {
  const told = [...section('Exit codes').matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));

  expect(told).toEqual(Object.values(exitCodes));
});
