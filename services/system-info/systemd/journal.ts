/** Lines of one unit in the journal, by journalctl. */
import { stripVTControlCharacters } from 'node:util';

import { redacted } from '#runtime/redaction.ts';
import type { Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { linesOf, printable, type Host } from '../host.ts';
import { walk } from '../watch.ts';
import { runProgram } from './run.ts';

export interface LogLine {
  readonly time: string;
  readonly priority?: number;
  readonly pid?: number;
  readonly message: string;
}

const mostMessageLength = 2_000;

/**
 * The newest so many lines before a moment, oldest first. Secrets and control characters are taken out, in turns with other
 * calls: one line each step. @throws Absent.
 */
export async function journalOf(
  host: Host,
  unit: string,
  { lines, before }: { readonly lines: number; readonly before?: string | undefined },
  call: Call,
): Promise<LogLine[]> {
  const args = [
    `--unit=${unit}`,
    `--lines=${lines}`,
    '--output=json',
    '--output-fields=MESSAGE,PRIORITY,_PID',
    '--no-pager',
    '--quiet',
    ...(before === undefined ? [] : [`--until=@${(Date.parse(before) / 1_000).toFixed(6)}`]),
  ];
  return walk(call, readLines(await runProgram(host, 'journalctl', args, call.signal)));
}

function* readLines(printed: string): Steps<LogLine[]> {
  const read: LogLine[] = [];
  for (const line of linesOf(printed)) {
    yield;
    const entry = parsed(line);
    if (!entry) continue;
    const { __REALTIME_TIMESTAMP: micros, PRIORITY: priority, _PID: pid, MESSAGE: message } = entry;
    read.push({
      time: new Date(Number(micros) / 1_000).toISOString(),
      ...(priority !== undefined && { priority: Number(priority) }),
      ...(pid !== undefined && { pid: Number(pid) }),
      message: textOf(message),
    });
  }
  return read;
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return Number.isFinite(Number(entry['__REALTIME_TIMESTAMP'])) ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** What is no text is a list of its bytes, and what is too long for a line is null. */
function textOf(message: unknown): string {
  if (message === null || message === undefined) return '[left out by journalctl, for its length]';
  const text = Array.isArray(message)
    ? Buffer.from(message as number[]).toString('utf8')
    : (message as string);
  const shown = redacted(printable(stripVTControlCharacters(text.slice(0, 4 * mostMessageLength))));
  return shown.length > mostMessageLength ? `${shown.slice(0, mostMessageLength - 1)}…` : shown;
}
