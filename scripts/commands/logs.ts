/** `flotilla logs`: what the processes of a fleet in the foreground wrote, merged by time. */
import { existsSync, statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { catalogue, entryOf } from '#config/catalogue.ts';
import { ConfigError, UsageError } from '#runtime/errors.ts';
import { logLevels, type LogLevel } from '#runtime/log.ts';
import { parseHostSettings, type Environment } from '#runtime/settings.ts';

import { processLogFile } from '../process-log.ts';

interface LogsOptions {
  readonly lines: number;
  readonly follow?: boolean;
  readonly level?: LogLevel;
  readonly json?: boolean;
}

const pollMs = 250;

export async function logs(
  chosen: readonly string[],
  options: LogsOptions,
  environment: Environment,
): Promise<void> {
  const unknown = chosen.find((name) => !entryOf(name));
  if (unknown !== undefined)
    throw new UsageError(
      `There is no ${unknown}. There are: ${catalogue.map(({ name }) => name).join(', ')}.`,
    );
  const dataRoot = resolve(parseHostSettings(environment).FLOTILLA_DATA);
  const names = chosen.length > 0 ? chosen : catalogue.map(({ name }) => name);
  const files = names.map((name) => processLogFile(dataRoot, name)).filter((file) => existsSync(file));
  if (files.length === 0)
    throw new ConfigError(`There are no logs in ${dataRoot}: set FLOTILLA_DATA, or start the fleet once.`);

  const lines: string[] = [];
  const offsets = new Map<string, number>();
  for (const file of files) {
    const contents = await readFile(file, 'utf8');
    offsets.set(file, Buffer.byteLength(contents));
    lines.push(
      ...contents
        .split('\n')
        .filter((line) => isWanted(line, options.level))
        .slice(-options.lines),
    );
  }
  // Every line begins with its time, in a form that sorts.
  show(lines.toSorted(), options);
  while (options.follow) {
    await sleep(pollMs);
    for (const file of files) {
      const added = await readFrom(file, offsets);
      show(
        added.filter((line) => isWanted(line, options.level)),
        options,
      );
    }
  }
}

/** Whole lines that came since the last look; a file that became shorter was rotated, and is read from its start. */
async function readFrom(file: string, offsets: Map<string, number>): Promise<string[]> {
  const sizeBytes = existsSync(file) ? statSync(file).size : 0;
  const before = offsets.get(file) ?? 0;
  const from = sizeBytes < before ? 0 : before;
  if (sizeBytes === from) return [];
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(sizeBytes - from), position: from });
  const end = buffer.subarray(0, bytesRead).lastIndexOf(0x0a) + 1;
  offsets.set(file, from + end);
  return buffer.subarray(0, end).toString('utf8').trimEnd().split('\n');
}

function isWanted(line: string, level: LogLevel | undefined): boolean {
  if (line === '') return false;
  if (level === undefined) return true;
  const record = parseLine(line);
  return record === undefined || logLevels.indexOf(record.level) >= logLevels.indexOf(level);
}

interface LogRecord {
  readonly time: string;
  readonly level: LogLevel;
  readonly service: string;
  readonly event: string;
}

function parseLine(line: string): (LogRecord & Readonly<Record<string, unknown>>) | undefined {
  if (!line.startsWith('{')) return undefined;
  return JSON.parse(line) as LogRecord & Readonly<Record<string, unknown>>;
}

function show(lines: readonly string[], { json }: LogsOptions): void {
  for (const line of lines) process.stdout.write(`${json ? line : forPeople(line)}\n`);
}

function forPeople(line: string): string {
  const record = parseLine(line);
  if (!record) return line;
  const { time, level, service, event, ...fields } = record;
  const details = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [time, level.padEnd(5), service.padEnd(10), event, ...details].join(' ');
}
