/** A large batch of battles while the process is killed: it is there as a whole or not at all, and sent again it is stored once. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { openToRead } from '#runtime/database.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { readingFrom } from '../../services/comparative-intelligence/store/reading.ts';
import { databaseFile } from '../../services/comparative-intelligence/store/store.ts';
import { callTool } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { startProcess } from './service-process.ts';
import { isWhole } from '../support/trials.ts';

const trials = isWhole ? 20 : 1;
const rows = 20_000;
const name = 'comparative-intelligence';

const csv = `model_a,model_b,winner\n${Array.from(
  { length: rows },
  (_, at) => `a${at % 100},b${(at * 7) % 97},${['model_a', 'model_b', 'tie'][at % 3]}`,
).join('\n')}`;

test('kill -9 while a large batch comes in', { timeout: 60_000 + trials * 20_000 }, async () => {
  using folder = temporaryFolder();
  const options = { dataRoot: join(folder.path, 'data'), portOffset: await freePortOffset() };
  const seen = () => {
    using database = openToRead(databaseFile(join(options.dataRoot, name)));
    const reading = readingFrom(database);
    return {
      state: reading.snapshot(0).battles,
      battles: reading.battles({ kind: 'model' }).length,
      sums: reading.pairs({ kind: 'model' }).reduce((sum, { wa, wb, t, bb }) => sum + wa + wb + t + bb, 0),
    };
  };
  const all = (battles: number) => ({ state: battles, battles, sums: battles });

  for (let trial = 0; trial < trials; trial += 1) {
    const batch = { csv, batch_id: `batch ${trial}` };
    const killed = await startProcess(name, options);
    const sent = callTool(killed.target, 'record_battles', batch).catch(() => undefined);
    await sleep(Math.random() * 1_000);
    await killed.kill();
    const isTold = (await sent)?.result?.['structuredContent']?.accepted === rows;

    const before = trial * rows;
    const found = seen();
    expect([all(before), all(before + rows)]).toContainEqual(found);
    if (isTold) expect(found).toEqual(all(before + rows)); // oxlint-disable-line vitest/no-conditional-expect -- what was told is there

    await using again = await startProcess(name, options);
    const { result } = await callTool(again.target, 'record_battles', batch);
    const { accepted, duplicates } = result?.['structuredContent'] ?? {};
    expect({ accepted, duplicates }).toEqual(
      found.state > before ? { accepted: 0, duplicates: rows } : { accepted: rows, duplicates: 0 },
    );
    await again.stop();
    expect(seen()).toEqual(all(before + rows));
  }
});
