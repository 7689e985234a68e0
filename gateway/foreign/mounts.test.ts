import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { createLog } from '#runtime/account/log.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { Mounts } from './mounts.ts';

test('a file that cannot be looked at is told once, takes nothing down, and is read when it can be', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'upstreams.json');
  const put = (name: string) => {
    writeFileSync(`${file}.new`, JSON.stringify({ upstreams: { [name]: { command: 'x', enabled: false } } }));
    renameSync(`${file}.new`, file);
  };
  const loop = () => {
    symlinkSync(file, `${file}.loop`);
    renameSync(`${file}.loop`, file);
  };
  const logged: string[] = [];
  loop();
  await using mounts = new Mounts({
    file,
    secretsFile: join(folder.path, 'upstreams.env'),
    dataDir: folder.path,
    environment: {},
    log: createLog('gateway', 'error', (line) => void logged.push(line)),
    now: Date.now,
    fleet: () => ({ tools: new Map(), prompts: new Map(), schemes: new Set() }),
  });
  const names = () => mounts.servers.map(({ name }) => name);
  await vi.waitFor(() => expect(mounts.problem).toMatch(/cannot be read \(ELOOP\)/));

  put('first');
  await vi.waitFor(() => expect([mounts.problem, names()]).toEqual([undefined, ['first']]));

  loop();
  await vi.waitFor(() => expect(mounts.problem).toMatch(/ELOOP/));
  expect(names()).toEqual(['first']);
  put('second');
  await vi.waitFor(() => expect([mounts.problem, names()]).toEqual([undefined, ['second']]));
  expect(logged).toHaveLength(2);
});
