/** Follows the journal of systemd from where it was left. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { textOf } from '#runtime/readable.ts';

import { levelOfPriority } from '../intake/levels.ts';
import { parseLine } from '../intake/parse.ts';
import { prepared } from '../intake/prepare.ts';
import type { NewLine } from '../store/line.ts';
import type { Feeding } from './feeds.ts';

export const journalPosition = 'journal';
/** Of a journal that was never read. */
const firstLines = 1_000;
const linesPerBatch = 2_000;
const gatherMs = 100;
const againMs = 5_000;

const text = z
  .union([z.string(), z.array(z.number().int().min(0).max(255)), z.null()])
  .optional()
  .catch(undefined);
const entrySchema = z.looseObject({
  __CURSOR: z.string(),
  __REALTIME_TIMESTAMP: z.string().regex(/^\d{1,20}$/),
  MESSAGE: text,
  PRIORITY: text,
  SYSLOG_IDENTIFIER: text,
  _SYSTEMD_UNIT: text,
  _COMM: text,
  _PID: text,
  _HOSTNAME: text,
  _TRANSPORT: text,
});

/** A value that is no UTF-8 comes as its bytes. */
function valueOf(value: z.output<typeof text>): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : textOf(Buffer.from(value)).text;
}

const session = /^session-[^.]+(?=\.scope$)/;
const run = /^run-(?:r[0-9a-f]{32}|u\d+|p\d+-i\d+|\d+)(?=\.\w+$)/;
const user = /(?<=^user(?:-runtime-dir)?)@\d+(?=\.service$)/;
/** Of a socket that starts one for each connection: its number, and the process and user, or both addresses. */
const connection = /@\d+-(?:\d+(?:_\d+)?-\d+|[^-]+:\d+-[^-]+:\d+)(?=\.service$)/;
/** Such as those of containers. */
const longNumber = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32,}/g;
const numberOfScope = /(?<=-)\d+(?=\.scope$)/;

/**
 * Units that are made for one session, run, connection or container are one: their names never come again, and each would be a
 * source for as long as its lines are kept.
 */
export const unitKind = (unit: string): string =>
  unit
    .replace(session, 'session-*')
    .replace(run, 'run-*')
    .replace(user, '@*')
    .replace(connection, '@*')
    .replaceAll(longNumber, '*')
    .replace(numberOfScope, '*');

/** A line of `journalctl --output=json`; `undefined` for what is none. */
export function journalLine(
  json: string,
  nowMs: number,
): { readonly line: NewLine; readonly cursor: string } | undefined {
  let given: unknown;
  try {
    given = JSON.parse(json);
  } catch {
    return undefined;
  }
  const { data: entry } = entrySchema.safeParse(given);
  if (!entry) return undefined;
  const unit = valueOf(entry._SYSTEMD_UNIT);
  const kind = unit === undefined ? undefined : unitKind(unit);
  const identifier = valueOf(entry.SYSLOG_IDENTIFIER) ?? valueOf(entry._COMM);
  const message =
    valueOf(entry.MESSAGE) ?? (entry.MESSAGE === null ? '[too large for the journal to show]' : '');
  const priority = valueOf(entry.PRIORITY);
  // Our own services, and others who log JSON.
  const said = parseLine(message, nowMs);
  const own = /^flotilla-(.+)$/.exec(identifier ?? '')?.[1];
  const line = prepared(
    {
      message: said.fields ? said.message : message,
      atMs: Math.floor(Number(entry.__REALTIME_TIMESTAMP) / 1_000),
      level:
        (said.fields ? said.level : undefined) ??
        (priority === undefined ? undefined : levelOfPriority(Number(priority))),
      service: own ?? identifier ?? kind?.replace(/\.service$/, ''),
      traceId: said.traceId,
      fields: {
        ...said.fields,
        ...(unit !== undefined && { unit }),
        pid: valueOf(entry._PID),
        host: valueOf(entry._HOSTNAME),
        transport: valueOf(entry._TRANSPORT),
      },
    },
    {
      source: own === undefined ? `journal:${kind ?? identifier ?? 'kernel'}` : `fleet:${own}`,
      service: 'journal',
      nowMs,
    },
  );
  return { line, cursor: entry.__CURSOR };
}

type Keep = (batch: {
  readonly lines: readonly NewLine[];
  readonly refused: Readonly<Record<string, number>>;
  readonly position: { readonly source: string; readonly position: string };
}) => Promise<void>;

/** Ends with the signal. A journalctl that ends is started again. */
export async function followJournal(
  { positionOf, now, tell }: Feeding,
  keep: Keep,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const cursor = positionOf(journalPosition);
    const from =
      cursor === undefined ? [`--lines=${firstLines}`] : [`--after-cursor=${cursor}`, '--lines=all'];
    const child = spawn('journalctl', ['--follow', '--output=json', '--no-pager', '--quiet', ...from], {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    });
    let said = '';
    child.stderr.on('data', (part: Buffer) => (said = (said + part.toString()).slice(-500)));
    const ended = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        said = error.message;
        resolve();
      });
      child.once('close', () => resolve());
    });
    await readAll(child.stdout, now, keep, tell);
    await ended;
    if (signal.aborted) return;
    tell('warn', 'journal_ended', { reason: said.trim() });
    await sleep(againMs, undefined, { signal }).catch(() => {});
  }
}

/** To the end of the stream, and no further while a full batch waits for the disk. */
export async function readAll(
  stream: NodeJS.ReadableStream,
  now: () => number,
  keep: Keep,
  tell: Feeding['tell'],
): Promise<void> {
  let lines: NewLine[] = [];
  let cursor = '';
  let unread = 0;
  let last = Promise.resolve();
  let underWay = 0;
  const flush = () => {
    if (lines.length === 0) return last;
    const batch = {
      lines,
      refused: unread > 0 ? { unreadable: unread } : {},
      position: { source: journalPosition, position: cursor },
    };
    lines = [];
    unread = 0;
    underWay += 1;
    last = last.then(async () => keep(batch)).finally(() => (underWay -= 1));
    return last;
  };
  const timer = setInterval(() => {
    // What comes while a batch is under way is gathered until it is a full one, which is waited for.
    if (underWay === 0) void flush();
  }, gatherMs);
  try {
    for await (const json of createInterface({ input: stream })) {
      const found = journalLine(json, now());
      if (!found) {
        unread += 1;
        continue;
      }
      lines.push(found.line);
      ({ cursor } = found);
      if (lines.length >= linesPerBatch) await flush();
    }
  } catch (error) {
    tell('warn', 'journal_unreadable', { reason: (error as Error).message });
  } finally {
    clearInterval(timer);
    await flush();
  }
}
