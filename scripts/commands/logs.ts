/**
 * `flotilla logs`: what the processes wrote, merged by time: from the store of the service logging where it answers, else from
 * the files of a fleet in the foreground, or the journal of units.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { allProcesses } from '#config/catalogue.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';
import { logLevels, processLogFile, type LogLevel } from '#runtime/account/log.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { entriesNamed } from '../environment.ts';
import { isHostsFleet } from '../host/systemctl.ts';
import { parseLogLine } from '../process-log.ts';
import { isThere } from '../reach.ts';
import { storedLines, type StoredLine } from './stored-logs.ts';

interface LogsOptions {
  readonly lines: number;
  readonly follow?: boolean;
  readonly level?: LogLevel;
  readonly json?: boolean;
  readonly since?: string;
  readonly search?: string;
}

const pollMs = 250;

export async function logs(
  chosen: readonly string[],
  options: LogsOptions,
  environment: Environment,
): Promise<void> {
  const host = parseHostSettings(environment);
  const dataRoot = resolve(host.FLOTILLA_DATA);
  const entries = chosen.length > 0 ? entriesNamed(chosen) : allProcesses;
  const isSearch = options.since !== undefined || options.search !== undefined;
  if (isSearch && options.follow)
    throw new UsageError('--follow shows what comes; leave out --since and --search.');
  // What follows or shows lines as they were written reads them where they were written.
  if (isSearch || !(options.follow || options.json)) {
    const names = entries.map(({ name }) => name);
    const stored = await storedLines(names, options, host).catch((error: unknown) => {
      if (isSearch) throw error;
    });
    if (stored && (isSearch || stored.length > 0)) {
      for (const line of stored)
        process.stdout.write(`${options.json ? JSON.stringify(line) : ofStore(line)}\n`);
      if (stored.length === 0) process.stderr.write('No line fits.\n');
      return;
    }
  }
  const files = entries.map(({ name }) => processLogFile(dataRoot, name));
  if (!files.some((file) => isThere(file))) {
    if (isHostsFleet(dataRoot)) {
      await journal(
        entries.map(({ name }) => `flotilla@${name}.service`),
        options,
      );
      return;
    }
    throw new ConfigError(`There are no logs in ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`);
  }
  const offsets = new Map<string, number>();
  const read = await Promise.all(files.map(async (file) => readNew(file, offsets)));
  const wanted = read.flatMap((events) =>
    events.filter((event) => isWanted(event, options)).slice(-options.lines),
  );
  show(wanted.toSorted(byTime), options);
  while (options.follow) {
    await sleep(pollMs);
    for (const file of files)
      show(
        (await readNew(file, offsets)).filter((event) => isWanted(event, options)),
        options,
      );
  }
}

/** Of units systemd keeps the lines. @throws ConfigError where it has none, or shows none to this user. */
async function journal(units: readonly string[], options: LogsOptions): Promise<void> {
  const read = units.map((unit) => {
    const args = ['--quiet', '--output=cat', `--lines=${linesRead(options)}`, `--unit=${unit}`];
    const { status, stdout, stderr } = spawnSync('journalctl', args, {
      encoding: 'utf8',
      maxBuffer: 1 << 30,
    });
    if (status !== 0) throw new ConfigError(`journalctl --unit=${unit}: ${stderr.trim()}`);
    return eventsIn(stdout)
      .filter((event) => isWanted(event, options))
      .slice(-options.lines);
  });
  const events = read.flat().toSorted(byTime);
  if (events.length === 0 && !options.follow) {
    throw new ConfigError('The journal has no such lines, or shows you none: run this as root.');
  }
  show(events, options);
  if (!options.follow) return;
  const following = [
    '--quiet',
    '--output=cat',
    '--lines=0',
    '--follow',
    ...units.map((unit) => `--unit=${unit}`),
  ];
  const child = spawn('journalctl', following, { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => {
    show(
      eventsIn(line).filter((event) => isWanted(event, options)),
      options,
    );
  });
  await once(child, 'exit');
}

/** Of a level there may be few among many. */
function linesRead({ lines, level }: LogsOptions): string {
  return level === undefined ? String(lines) : 'all';
}

/** A line of the log, with the lines that are none and follow it: a stack, or a process's last words. */
interface LogEvent {
  readonly time: string;
  readonly level: LogLevel | undefined;
  readonly lines: readonly string[];
}

/** What was written since the last look, file by file: a file that became shorter was rotated, and is read from its start. */
async function readNew(file: string, offsets: Map<string, number>): Promise<LogEvent[]> {
  const sizeBytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const before = offsets.get(file) ?? 0;
  const isRotated = sizeBytes < before;
  const ending =
    isRotated && existsSync(`${file}.1`) ? (await readFile(`${file}.1`)).subarray(before) : Buffer.alloc(0);
  const from = isRotated ? 0 : before;
  const added = sizeBytes > from ? await readFrom(file, from) : Buffer.alloc(0);
  const end = added.lastIndexOf(0x0a) + 1;
  offsets.set(file, from + end);
  return eventsIn(Buffer.concat([ending, added.subarray(0, end)]).toString('utf8'));
}

async function readFrom(file: string, position: number): Promise<Buffer> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(size - position), position });
  return buffer.subarray(0, bytesRead);
}

function eventsIn(text: string): LogEvent[] {
  const events: { time: string; level: LogLevel | undefined; lines: string[] }[] = [];
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const record = parseLogLine(line);
    if (record) events.push({ time: record.time, level: record.level, lines: [line] });
    else if (events.length > 0) events.at(-1)?.lines.push(line);
    else events.push({ time: '', level: undefined, lines: [line] });
  }
  return events;
}

function byTime(one: LogEvent, other: LogEvent): number {
  return one.time < other.time ? -1 : Number(one.time > other.time);
}

function isWanted({ level: found }: LogEvent, { level }: LogsOptions): boolean {
  return level === undefined || found === undefined || logLevels.indexOf(found) >= logLevels.indexOf(level);
}

function show(events: readonly LogEvent[], { json }: LogsOptions): void {
  for (const line of events.flatMap(({ lines }) => lines)) {
    process.stdout.write(`${json ? line : forPeople(line)}\n`);
  }
}

function forPeople(line: string): string {
  const record = parseLogLine(line);
  return record ? inColumns(record) : line;
}

function ofStore({ time, level, service, message, trace_id: traceId, fields }: StoredLine): string {
  return inColumns({
    time,
    level,
    service,
    event: message,
    ...(traceId !== undefined && { traceId }),
    ...fields,
  });
}

function inColumns({
  time,
  level,
  service,
  event,
  ...fields
}: {
  readonly time: string;
  readonly level: string;
  readonly service: string;
  readonly event: string;
} & Readonly<Record<string, unknown>>): string {
  const details = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [time, level.padEnd(5), service.padEnd(10), event, ...details].join(' ');
}
