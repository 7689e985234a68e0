import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { catalogue } from '#config/catalogue.ts';
import { exitCodes } from '#runtime/errors.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { temporaryFolder } from '../support/serve.ts';
import { acknowledgedWrites, triedStores } from './acknowledged.ts';
import { databasesIn, startProcess } from './service-process.ts';
import { Writing } from './writers.ts';
import { isWhole } from '../support/trials.ts';

const pageBytes = 4_096;

const damages: Readonly<Record<string, (file: string) => void>> = {
  header: (file) => writeFileSync(file, readFileSync(file).fill(0x5a, 0, 100)),
  'page in the middle': overwriteMiddlePage,
  'second half, cut off': (file) => truncateSync(file, Math.ceil(readFileSync(file).length / 2)),
  'whole contents': (file) => truncateSync(file, 0),
};

const all = Object.entries(damages);
// Each of them is tried on a store in runtime/database.test.ts.
const tried = isWhole ? all : all.slice(1, 2);

/** Of a table or an index: one that is free, or holds the rest of a long text, has no form that could be wrong. */
function overwriteMiddlePage(file: string): void {
  const bytes = readFileSync(file);
  const isTree = (page: number) => [2, 5, 10, 13].includes(bytes[page * pageBytes] ?? 0);
  let page = Math.floor(bytes.length / pageBytes / 2);
  while (!isTree(page)) page -= 1;
  writeFileSync(file, bytes.fill(0xa5, page * pageBytes, (page + 1) * pageBytes));
}

// The dashboard keeps a key, in a file. That the rest of the fleet runs on is shown in tests/e2e/fleet.test.ts.
const names = isWhole
  ? catalogue.filter(({ name, data }) => data !== null && name !== 'dashboard').map(({ name }) => name)
  : triedStores;

test.concurrent.for(names)(
  '%s does not start on a damaged database, says what to do, and leaves it as it is',
  async (name) => {
    using folder = temporaryFolder();
    const sound = join(folder.path, 'sound');
    const portOffset = await freePortOffset();
    {
      await using running = await startProcess(name, { dataRoot: sound, portOffset });
      const writing = new Writing(running.target, acknowledgedWrites[name] ?? []);
      await writing.begun();
      await writing.stop();
      await running.stop();
    }

    expect(databasesIn(join(sound, name))).not.toEqual([]);

    for (const [part, damage] of tried) {
      for (const file of databasesIn(join(sound, name))) {
        const dataRoot = join(folder.path, part);
        cpSync(sound, dataRoot, { recursive: true });
        const copy = file.replace(sound, dataRoot);
        damage(copy);
        const bytes = readFileSync(copy);

        await expect(startProcess(name, { dataRoot, portOffset }), part).rejects.toMatchObject({
          code: exitCodes.damaged,
          message: expect.stringMatching(/^.+\.db is damaged \(.+\)\. Restore it from a backup.*\n$/),
        });

        expect(readFileSync(copy).equals(bytes), part).toBe(true);
      }
    }
  },
);
