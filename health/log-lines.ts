/**
 * The last lines that a process logged: from its file where the fleet runs in the foreground, else from the journal. They are read behind
 * whoever asks, who takes what was read last: neither a slow disk nor journalctl holds an answer up.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { z } from 'zod';

import { logLevels, processLogFile } from '#runtime/account/log.ts';
import type { LogLine } from '#runtime/process/overview.ts';
import { redacted } from '#runtime/redaction.ts';

import { plainText } from '#runtime/plain-text.ts';

const mostLines = 40;
const mostTextLength = 400;
/** Of a file, so much of its end is read. */
const tailBytes = 64 * 1024;
const freshMs = { file: 3_000, journal: 15_000 };
const journalDeadlineMs = 5_000;
const mostWaitMs = 250;

const recordSchema = z.looseObject({
  time: z.string().max(40),
  level: z.enum(logLevels),
  event: z.string(),
});

interface Read {
  readonly atMs: number;
  readonly lines: readonly LogLine[];
}

export class LogLines {
  readonly #dataRoot: string;
  readonly #now: () => number;
  readonly #read = new Map<string, Read>();
  readonly #reading = new Map<string, Promise<void>>();

  constructor(dataRoot: string, now: () => number) {
    this.#dataRoot = dataRoot;
    this.#now = now;
  }

  /** The newest last, as they were read a moment ago; nothing the first time. */
  of(name: string): readonly LogLine[] {
    void this.#renew(name);
    return this.#read.get(name)?.lines ?? [];
  }

  /** Comes when they are read, or after a moment: for whoever can wait that long and would show nothing else. */
  async settled(name: string): Promise<void> {
    if (this.#read.has(name)) return;
    await Promise.race([this.#renew(name), sleep(mostWaitMs)]);
  }

  async #renew(name: string): Promise<void> {
    const reading = this.#reading.get(name);
    if (reading) return reading;
    const file = processLogFile(this.#dataRoot, name);
    const isFile = existsSync(file);
    const known = this.#read.get(name);
    const ageMs = known ? Math.abs(this.#now() - known.atMs) : Infinity;
    if (ageMs <= freshMs[isFile ? 'file' : 'journal']) return undefined;
    const look = (isFile ? tailOf(file) : journalOf(name))
      .then(linesIn, () => [])
      .then((lines) => void this.#read.set(name, { atMs: this.#now(), lines }))
      .finally(() => this.#reading.delete(name));
    this.#reading.set(name, look);
    return look;
  }
}

/** Of a log file. @throws the system's error. */
export async function tailOf(file: string): Promise<string> {
  await using handle = await open(file);
  const { size } = await handle.stat();
  const position = Math.max(0, size - tailBytes);
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(size - position), position });
  const text = buffer.subarray(0, bytesRead).toString('utf8');
  // The first line is cut off, unless it is the first of all.
  return position === 0 ? text : text.slice(text.indexOf('\n') + 1);
}

const run = promisify(execFile);

async function journalOf(name: string): Promise<string> {
  if (!existsSync('/run/systemd/system')) return '';
  const unit = `--unit=flotilla@${name}.service`;
  const args = ['--quiet', '--no-pager', '--output=cat', `--lines=${mostLines}`, unit];
  const options = { timeout: journalDeadlineMs, maxBuffer: 4 * 1024 * 1024, env: { PATH: '/usr/bin:/bin' } };
  return (await run('journalctl', args, options)).stdout;
}

/** The newest of them, oldest first. */
export function linesIn(text: string): LogLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .slice(-mostLines)
    .map(lineOf);
}

/** What is no record of ours is shown as it is: a stack, or a process's last words. Secrets go out of both. */
function lineOf(line: string): LogLine {
  const record = parsed(line);
  if (!record) return { time: null, level: null, text: shown(line) };
  const { time, level, event, service: _service, ...fields } = record;
  const details = Object.entries(fields).map(
    ([name, value]) => `${name}=${JSON.stringify(messageOf(value))}`,
  );
  return { time: shown(time), level, text: shown([event, ...details].join(' ')) };
}

function parsed(line: string): z.output<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Of an error without its stack, which is for the log alone. */
function messageOf(value: unknown): unknown {
  const isError = typeof value === 'object' && value !== null && 'message' in value && 'stack' in value;
  return isError ? value.message : value;
}

const shown = (text: string) => plainText(redacted(text.slice(0, 4 * mostTextLength)), mostTextLength);
