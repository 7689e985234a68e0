/** `flotilla audit tail` and `search`: who called what, when, and how it went. */
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { allProcesses } from '#config/catalogue.ts';
import { noteMethod, segmentsOf } from '#runtime/account/audit-chain.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { entriesNamed } from '../environment.ts';
import { isThere } from '../reach.ts';

const recordSchema = z.object({
  time: z.string(),
  caller: z.string(),
  method: z.string(),
  target: z.string().nullable(),
  outcome: z.string(),
  durationMs: z.number(),
  requestBytes: z.number(),
  responseBytes: z.number(),
  traceId: z.string(),
  /** Of calls that have one record together. */
  calls: z.number().optional(),
  since: z.string().optional(),
});

/** A record, and the process whose it is. */
type Record = z.output<typeof recordSchema> & { readonly name: string };

interface Shown {
  readonly lines: number;
  readonly json?: boolean;
}

export interface SearchOptions extends Shown {
  readonly caller?: string;
  readonly target?: string;
  readonly outcome?: string;
  readonly failed?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly trace?: string;
  readonly slowerThan?: number;
}

const lookEveryMs = 300;

export async function tail(
  chosen: readonly string[],
  options: Shown & { readonly follow?: boolean },
  environment: Environment,
): Promise<void> {
  const folders = foldersOf(chosen, environment);
  const newest: Record[] = [];
  for (const [name, folder] of folders) newest.push(...(await lastOf(name, folder, options.lines)));
  show(inOrder(newest).slice(-options.lines), options);
  if (!options.follow) return;
  const ends = new Map([...folders].map(([name, folder]) => [name, endOf(folder)]));
  for (;;) {
    await sleep(lookEveryMs);
    const news = [...folders].flatMap(([name, folder]) => {
      const end = ends.get(name) ?? { segment: '', bytes: 0 };
      const { records, next } = newsOf(name, folder, end);
      ends.set(name, next);
      return records;
    });
    show(inOrder(news), options);
  }
}

export async function search(
  chosen: readonly string[],
  options: SearchOptions,
  environment: Environment,
): Promise<void> {
  const fits = filterOf(options, Date.now());
  const found: Record[] = [];
  for (const [name, folder] of foldersOf(chosen, environment)) {
    const own: Record[] = [];
    for (const segment of segmentsOf(folder)) {
      for await (const record of recordsIn(name, join(folder, segment))) {
        if (!fits(record)) continue;
        own.push(record);
        if (own.length > 2 * options.lines) own.splice(0, own.length - options.lines);
      }
    }
    found.push(...own.slice(-options.lines));
  }
  const newest = inOrder(found).slice(-options.lines);
  show(newest, options);
  if (newest.length === 0) process.stderr.write('No record fits.\n');
}

/** Where the records of these processes lie; of all that have any, unless named. */
function foldersOf(chosen: readonly string[], environment: Environment): ReadonlyMap<string, string> {
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  const names = (chosen.length > 0 ? entriesNamed(chosen) : allProcesses).map(({ name }) => name);
  const folders = names
    .map((name) => [name, join(dataRoot, name, 'audit')] as const)
    .filter(([, folder]) => isThere(folder));
  if (folders.length === 0)
    throw new ConfigError(
      `There are no audit records in ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`,
    );
  return new Map(folders);
}

/** From the newest file backwards: a trail may be long. */
async function lastOf(name: string, folder: string, count: number): Promise<readonly Record[]> {
  let found: Record[] = [];
  for (const segment of segmentsOf(folder).toReversed()) {
    found = [...(await Array.fromAsync(recordsIn(name, join(folder, segment)))), ...found];
    if (found.length >= count) break;
  }
  return found.slice(-count);
}

async function* recordsIn(name: string, file: string): AsyncGenerator<Record> {
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    const record = recordOf(name, line);
    if (record) yield record;
  }
}

/** What is no record is for `audit verify` to tell. */
function recordOf(name: string, line: string): Record | undefined {
  try {
    return { name, ...recordSchema.parse(JSON.parse(line)) };
  } catch {
    return undefined;
  }
}

interface End {
  readonly segment: string;
  readonly bytes: number;
}

function endOf(folder: string): End {
  const segment = segmentsOf(folder).at(-1) ?? '';
  return { segment, bytes: segment === '' ? 0 : statSync(join(folder, segment)).size };
}

/** The whole lines that came after an end. */
function newsOf(name: string, folder: string, end: End): { readonly records: Record[]; readonly next: End } {
  const records: Record[] = [];
  let next = end;
  for (const segment of segmentsOf(folder).filter((one) => one >= end.segment)) {
    const from = segment === end.segment ? end.bytes : 0;
    const bytes = readFileSync(join(folder, segment)).subarray(from);
    const whole = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
    for (const line of whole.toString('utf8').split('\n')) {
      const record = recordOf(name, line);
      if (record) records.push(record);
    }
    next = { segment, bytes: from + whole.length };
  }
  return { records, next };
}

const inOrder = (records: readonly Record[]) => records.toSorted((a, b) => (a.time < b.time ? -1 : 1));

function filterOf(options: SearchOptions, nowMs: number): (record: Record) => boolean {
  const { caller, target, outcome, failed, trace, slowerThan = 0 } = options;
  const since = options.since === undefined ? '' : instantOf(options.since, nowMs);
  const until = options.until === undefined ? '\uffff' : instantOf(options.until, nowMs);
  return (record) =>
    (caller === undefined || record.caller === caller) &&
    (target === undefined || (record.target ?? '').includes(target)) &&
    (outcome === undefined || record.outcome === outcome) &&
    (!failed || record.outcome !== 'ok') &&
    (trace === undefined || record.traceId === trace) &&
    record.durationMs >= slowerThan &&
    record.time >= since &&
    record.time <= until;
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `2h` ago, or a date or time. @throws UsageError for anything else. */
function instantOf(text: string, nowMs: number): string {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const atMs =
    count === undefined ? Date.parse(text) : nowMs - Number(count) * unitMs[unit as keyof typeof unitMs];
  if (Number.isNaN(atMs))
    throw new UsageError(
      `"${text}" is no time: write 30m, 12h, 7d ago, or a date such as 2027-01-31T08:00Z.`,
    );
  return new Date(atMs).toISOString();
}

function show(records: readonly Record[], { json }: Shown): void {
  for (const record of records) process.stdout.write(json ? `${JSON.stringify(record)}\n` : lineOf(record));
}

const nameWidth = Math.max(...allProcesses.map(({ name }) => name.length));

function lineOf({ name, time, caller, method, target, outcome, durationMs, calls, since }: Record): string {
  const what = target === null || method === noteMethod ? method : target;
  const more = method === noteMethod && target !== null ? ` (${target})` : '';
  const sum = calls === undefined ? '' : `, ${calls} calls since ${since ?? '?'}`;
  const line = `${time}  ${name.padEnd(nameWidth)}  ${caller === '' ? '-' : caller}  ${what}  ${outcome}${more}  ${durationMs} ms${sum}`;
  // Whoever can write a trail must not write to the terminal of who reads it.
  return `${line.replaceAll(/\p{Cc}/gu, '?')}\n`;
}
