import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { verifyAudit } from '#runtime/account/audit-proof.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { RunningFleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/serve.ts';
import { acknowledgedWrites, settingsOf, triedStores } from './acknowledged.ts';
import { damagesIn, tokenIn } from './service-process.ts';
import { unrecorded, Writing } from './writers.ts';
import { isWhole } from '../support/trials.ts';

/** The supervisor waits longer after each: half a second, then one, two, four, eight. */
const kills = isWhole ? 5 : 2;

const pidAt = async (url: string) => ((await (await fetch(`${url}/health`)).json()) as { pid: number }).pid;

test(
  'kill -9 of services while clients write loses nothing that was acknowledged, and each is back by itself',
  { timeout: 120_000 + kills * 60_000 },
  async () => {
    using folder = temporaryFolder();
    const dataRoot = join(folder.path, 'data');
    const offset = await freePortOffset();
    await using fleet = new RunningFleet(['--only', triedStores.join(',')], {
      ...settingsOf(dataRoot),
      FLOTILLA_PORT_OFFSET: String(offset),
    });
    await fleet.said(/Stop\s+Ctrl-C/);
    const services = triedStores.map((name) => {
      const url = `http://127.0.0.1:${(entryOf(name)?.port ?? 0) + offset}`;
      const target = { url, token: tokenIn(dataRoot) };
      return { name, target, writing: new Writing(target, acknowledgedWrites[name] ?? []) };
    });

    for (let count = 0; count < kills; count += 1) {
      for (const { writing } of services) {
        const before = writing.acknowledged;
        await vi.waitFor(() => expect(writing.acknowledged).toBeGreaterThan(before + 10), {
          timeout: 60_000,
          interval: 20,
        });
      }
      await sleep(Math.random() * 500);
      const pids = await Promise.all(services.map(async ({ target }) => pidAt(target.url)));
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      for (const [index, { target }] of services.entries()) {
        await vi.waitFor(async () => expect(await pidAt(target.url)).not.toBe(pids[index]), {
          timeout: 60_000,
          interval: 50,
        });
      }
    }

    for (const { name, target, writing } of services) {
      await writing.stop();
      const lost = await writing.lost(target);
      process.stdout.write(
        `${name}: ${kills} kills, ${writing.acknowledged} writes acknowledged, ${lost.length} lost\n`,
      );
      expect(lost).toEqual([]);
    }
    expect(await fleet.interrupt()).toBe(0);
    for (const { name, writing } of services) {
      const audit = join(dataRoot, name, 'audit');
      expect((await verifyAudit(audit)).faults).toEqual([]);
      expect(unrecorded(writing.removals(), audit)).toEqual([]);
      expect(damagesIn(join(dataRoot, name))).toEqual([]);
    }
  },
);
