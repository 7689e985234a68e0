/** Batches of decisions while the process is killed: what was acknowledged is stored once, and the sums are those of what is stored. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { openToRead } from '#runtime/database.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { decodeCell } from '../../services/model-profile/store/cell.ts';
import { databaseFile } from '../../services/model-profile/store/store.ts';
import { callTool } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { damagesIn, startProcess } from './service-process.ts';
import { isWhole } from '../support/trials.ts';

const trials = isWhole ? 50 : 2;
const perBatch = 500;
const senders = 4;

test(
  'kill -9 while batches come in: acknowledged is stored, once, with all sums',
  { timeout: 60_000 + trials * 10_000 },
  async () => {
    using folder = temporaryFolder();
    const options = { dataRoot: join(folder.path, 'data'), portOffset: await freePortOffset() };
    const acknowledged = new Set<string>();
    const batch = () =>
      Array.from({ length: perBatch }, (_, at) => ({
        uid: randomUUID(),
        model: 'm',
        task_type: `t${at % 3}`,
        confidence: 0.5,
        outcome: at % 2,
        source: 'code_check',
        latency_ms: at,
      }));

    for (let trial = 0; trial < trials; trial += 1) {
      await using running = await startProcess('model-profile', options);
      await callTool(running.target, 'register_model', { name: 'm' });
      const before = acknowledged.size;
      const killing = new AbortController();
      const sending = Array.from({ length: senders }, async () => {
        while (!killing.signal.aborted) {
          const decisions = batch();
          try {
            const { result } = await callTool(running.target, 'record_decisions', { decisions });
            if (result?.['structuredContent']?.accepted === perBatch)
              for (const { uid } of decisions) acknowledged.add(uid);
          } catch {
            // Killed meanwhile: nobody was told that it is stored.
          }
        }
      });
      while (acknowledged.size === before) await sleep(5);
      await sleep(Math.random() * 150);
      await running.kill();
      killing.abort();
      await Promise.all(sending);
    }

    const last = await startProcess('model-profile', options);
    expect(await last.stop()).toBe(0);
    const dataDir = join(options.dataRoot, 'model-profile');
    using database = openToRead(databaseFile(dataDir));
    const uids = database.prepare<[], string>('SELECT uid FROM decision').pluck().all();
    const stored = new Set(uids);
    const cells = database
      .prepare<[], Buffer>('SELECT sums FROM cell')
      .pluck()
      .all()
      .map((sums) => decodeCell(sums));
    const { n, successes } = database
      .prepare<[], { n: number; successes: number }>(
        'SELECT count(*) AS n, sum(outcome) AS successes FROM decision',
      )
      .get() ?? { n: 0, successes: 0 };
    process.stdout.write(
      `${trials} kills, ${acknowledged.size} decisions acknowledged, ${stored.size} stored\n`,
    );
    expect([...acknowledged].filter((uid) => !stored.has(uid))).toEqual([]);
    expect(uids).toHaveLength(stored.size);
    expect(cells.reduce((sum, cell) => sum + cell.n, 0)).toBe(n);
    expect(
      cells.reduce((sum, { judged }) => sum + judged.reduce((all, one) => all + (one?.successes ?? 0), 0), 0),
    ).toBe(successes);
    expect(damagesIn(dataDir)).toEqual([]);
  },
);
