/**
 * `power-cut.ts FOLDER NAME CUTS [PRELOAD]`, in mounts of its own: cuts the power under a service that clients write to. The
 * file system drops all that has not reached the device; then its journal is replayed, the service starts again and is
 * asked for all that it acknowledged. Another cut comes before, in the middle of its very first start.
 */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ProcessName } from '#config/catalogue.ts';
import { verifyAudit } from '#runtime/account/audit-proof.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { acknowledgedWrites } from './acknowledged.ts';
import { Disk } from './disk.ts';
import { endWithParent, tell } from './own-mounts.ts';
import { damagesIn, Refused, startProcess } from './service-process.ts';
import { unrecorded, Writing } from './writers.ts';

/** What one power cut came to. */
export interface Cut {
  readonly acknowledged: number;
  readonly removals: number;
  /** Calls that failed before the cut. */
  readonly failures: readonly string[];
  /** Why the service did not start again; `null` when it did, and the rest is known. */
  readonly refused: string | null;
  readonly restartMs?: number;
  /** What was not as it was acknowledged. */
  readonly lost?: readonly string[];
  readonly damages?: readonly string[];
  readonly auditFaults?: readonly string[];
  /** Acknowledged removals without an audit record. */
  readonly unrecorded?: readonly string[];
}

/** A start takes about half a second. */
const withinStartMs = 700;
const shortestMs = 300;
const longestMs = 1_800;

const [folder = '', name = '', cuts = '1', preload] = process.argv.slice(2);
const service = name as ProcessName;
const portOffset = await freePortOffset();

async function cutFirstStart(disk: Disk, place: { dataRoot: string; portOffset: number }): Promise<void> {
  const stop = new AbortController();
  const started = startProcess(service, { ...place, signal: stop.signal }).catch(() => undefined);
  await sleep(Math.random() * withinStartMs);
  await disk.cutPower();
  stop.abort();
  await (await started)?.kill();
  await disk.unmount();
  disk.mount();
}

async function cut(disk: Disk): Promise<Cut> {
  const dataRoot = join(disk.path, `data-${Date.now()}`);
  const place = { dataRoot, portOffset };
  await cutFirstStart(disk, place);
  const before = await startProcess(service, { ...place, ...(preload !== undefined && { preload }) });
  const writing = new Writing(before.target, acknowledgedWrites[service] ?? []);
  await sleep(shortestMs + Math.random() * (longestMs - shortestMs));
  // On a busy machine the first ones take longer than the shortest time.
  await writing.begun();
  await disk.cutPower(() => writing.settle());
  await before.kill();
  await writing.stop();
  await disk.unmount();
  disk.mount();

  const { acknowledged, failures } = writing;
  const removals = writing.removals();
  const written = {
    acknowledged,
    failures,
    removals: removals.values().reduce((sum, count) => sum + count, 0),
  };
  const startedAt = performance.now();
  try {
    await using after = await startProcess(service, place);
    const restartMs = Math.round(performance.now() - startedAt);
    const lost = await writing.lost(after.target);
    await after.stop();
    const dataDir = join(dataRoot, name);
    const audit = join(dataDir, 'audit');
    return {
      ...written,
      refused: null,
      restartMs,
      lost,
      damages: damagesIn(dataDir),
      auditFaults: (await verifyAudit(audit)).faults,
      unrecorded: unrecorded(removals, audit),
    };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { ...written, refused: error.message };
  }
}

endWithParent();
const disk = new Disk(folder);
for (let count = 0; count < Number(cuts); count += 1) tell(await cut(disk));
process.exit(0);
