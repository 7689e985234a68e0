/** `full-disk.ts FOLDER NAME`, in mounts of its own: fills the disk under a service, and tells what it does then and afterwards. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ProcessName } from '#config/catalogue.ts';
import { verifyAudit } from '#runtime/account/audit-proof.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { callTool, codeOf } from '../support/rpc.ts';
import { acknowledgedWrites, rootOf, type AcknowledgedWrite } from './acknowledged.ts';
import { Disk } from './disk.ts';
import { endWithParent, tell } from './own-mounts.ts';
import { damagesIn, databasesIn, Refused, startProcess } from './service-process.ts';
import { recordsIn, Writing, type Target } from './writers.ts';

interface State {
  readonly status: number;
  readonly reasons: readonly string[];
  /** What was not as it was acknowledged. */
  readonly lost: readonly string[];
}

/** What came of it. */
export interface Filled {
  /** Of each way to write, the error of the first write for which there was no room. */
  readonly refusals: readonly { readonly code: string | undefined; readonly words: string }[];
  readonly whileFull: State & { readonly health: number };
  readonly withRoom: State & { readonly failures: readonly string[] };
  /** Refused writes of which something is in the database nevertheless. */
  readonly halfWritten: readonly string[];
  /** Whether that could have been seen: acknowledged writes that are in the database. */
  readonly wholeWritten: number;
  readonly damages: readonly string[];
  readonly auditFaults: readonly string[];
  /** Records of the refused calls. */
  readonly recorded: number;
  /** How a start on the full disk ends; `null` when it does not. */
  readonly start: { readonly code: number | null; readonly words: string } | null;
}

/** Far more than fits into what a database has taken from the disk before. */
const mostWrites = 5_000;
const changesWithinMs = 10_000;

const [folder = '', name = ''] = process.argv.slice(2);
const service = name as ProcessName;
const ways = acknowledgedWrites[service] ?? [];

async function writeUntilRefused(target: Target, way: AcknowledgedWrite, mark: string) {
  for (let count = 0; count < mostWrites; count += 1) {
    const text = `${mark}-${count}-`;
    const answer = await callTool(target, ...way.write(text.padEnd(200, 'x'), []));
    if (answer.result?.['isError']) {
      return { text, code: codeOf(answer), words: String(answer.result['content'][0].text) };
    }
  }
  return { text: mark, code: undefined, words: `${mostWrites} writes went well` };
}

/** How the service is once `/ready` has this status, or has not for too long. */
async function stateAt(due: number, target: Target, writing: Writing): Promise<State> {
  const endMs = performance.now() + changesWithinMs;
  for (;;) {
    const response = await fetch(`${target.url}/ready`);
    const { reasons } = (await response.json()) as { reasons: string[] };
    const { status } = response;
    if (status === due || performance.now() > endMs) {
      return { status, reasons, lost: await writing.lost(target) };
    }
    await sleep(100);
  }
}

async function fillUnder(disk: Disk): Promise<Filled> {
  const dataRoot = join(disk.path, 'data');
  const dataDir = join(dataRoot, name);
  const audit = join(dataDir, 'audit');
  const place = { dataRoot, portOffset: await freePortOffset() };
  await using running = await startProcess(service, place);
  const { target } = running;
  const writing = new Writing(target, ways);
  await writing.begun();
  await writing.stop();

  disk.fill();
  const refusals = [];
  for (const [index, way] of ways.entries())
    refusals.push(await writeUntilRefused(target, way, `late-${index}`));
  const { status: health } = await fetch(`${target.url}/health`);
  const whileFull = { ...(await stateAt(503, target, writing)), health };

  disk.free();
  const again = await Promise.all(ways.map(async (way) => callTool(target, ...way.write('again', []))));
  const failures = again.filter(({ result }) => result?.['isError']).map((answer) => JSON.stringify(answer));
  const withRoom = { ...(await stateAt(200, target, writing)), failures };
  await running.stop();

  const root = rootOf(dataRoot);
  // The user's databases may stay in WAL mode.
  const files = [...databasesIn(dataDir), ...readdirSync(root).map((file) => join(root, file))];
  const contents = files.map((file) => readFileSync(file));
  const isKept = (text: string) => contents.some((bytes) => bytes.includes(text));
  const outcome = {
    refusals,
    whileFull,
    withRoom,
    halfWritten: refusals.map(({ text }) => text).filter(isKept),
    wholeWritten: writing.series.flatMap(({ written }) => written).filter(({ text }) => isKept(text)).length,
    damages: [dataDir, root].flatMap(damagesIn),
    auditFaults: (await verifyAudit(audit)).faults,
    recorded: recordsIn(audit).filter(({ outcome }) => outcome === 'unavailable').length,
  };
  disk.fill();
  try {
    await using _started = await startProcess(service, place);
    return { ...outcome, start: null };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { ...outcome, start: { code: error.code, words: error.message } };
  }
}

endWithParent();
tell(await fillUnder(new Disk(folder)));
process.exit(0);
