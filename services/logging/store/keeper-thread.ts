/** The thread of the keeper: makes lines of what comes, stores them, fetches what is to be fetched, and lets go what is old. */
import { gunzip } from 'node:zlib';
import { promisify } from 'node:util';
import { workerData } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';

import { followAudit, type AuditSettings } from '../feeds/audit.ts';
import { openFeeds, type FeedSettings } from '../feeds/feeds.ts';
import { followJournal } from '../feeds/journal.ts';
import { withoutKeyLines } from '../intake/clean.ts';
import { levelNamed } from '../intake/levels.ts';
import { saidOf } from '../intake/otlp-lines.ts';
import { parseLine, type Said } from '../intake/parse.ts';
import { prepared } from '../intake/prepare.ts';
import { decodeJson, decodeProtobuf, OtlpError, OtlpTooLargeError, type LogRecord } from '../otlp/decode.ts';
import { openKeeper, type Batch, type Keeping, type Outcome } from './keeper.ts';
import type { Level } from './line.ts';
import { serveLink } from '#runtime/link.ts';
import type { StoredRow } from './segment.ts';
import { writingTo } from './writing.ts';

export interface KeeperSettings {
  readonly dataDir: string;
  readonly keeping: Keeping;
  /** `undefined` where nothing is fetched. */
  readonly feeds: FeedSettings | undefined;
  readonly readsJournal: boolean;
  /** Not given where the records of calls are not copied. */
  readonly audit?: AuditSettings | undefined;
}

/** A line as a tool brings it. */
export interface GivenLine {
  readonly message: string;
  readonly time?: string | undefined;
  readonly level?: string | undefined;
  readonly service?: string | undefined;
  readonly trace_id?: string | undefined;
  readonly fields?: Readonly<Record<string, unknown>> | undefined;
}

export interface Ingest {
  readonly owner: string;
  readonly batch?: string | undefined;
  readonly service: string;
  /** Lines as they stand in a log, or taken apart. */
  readonly lines: readonly (string | GivenLine)[];
}

export interface OtlpIngest {
  readonly owner: string;
  readonly isJson: boolean;
  readonly isPacked: boolean;
  readonly body: Uint8Array;
  /** Of the body when it is unpacked. */
  readonly mostBytes: number;
}

/** What the keeper says unasked. */
export type KeeperEvent =
  | { readonly stored: readonly string[] }
  | {
      readonly level: 'info' | 'warn';
      readonly event: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

const retainEveryMs = 60_000;
const unpack = promisify(gunzip);
const strict = new TextDecoder('utf-8', { fatal: true });

const settings = workerData as KeeperSettings;
const { dataDir, keeping, feeds: feedSettings, readsJournal, audit } = settings;
const keeper = openKeeper(dataDir, keeping);
const now = Date.now;
const writing = writingTo(keeper, now, (sources) => say({ stored: [...sources] } satisfies KeeperEvent));

function saidBy(given: string | GivenLine, nowMs: number): Said {
  if (typeof given === 'string') return parseLine(given, nowMs);
  const { message, time, level, service, trace_id: traceId, fields } = given;
  return {
    message,
    atMs: time === undefined ? undefined : Date.parse(time),
    level: level === undefined ? undefined : levelNamed(level),
    service,
    traceId,
    fields,
  };
}

const handlers = {
  async ingest({ owner, batch, service, lines }: Ingest): Promise<Outcome> {
    const nowMs = now();
    const origin = { source: `ingest:${owner}`, service, nowMs };
    const withoutKeys = withoutKeyLines();
    const all = lines.map((given) =>
      prepared(saidBy(typeof given === 'string' ? withoutKeys(given) : given, nowMs), origin),
    );
    return writing.store({ lines: all, owner, name: batch, refused: {} });
  },

  async otlp({ owner, isJson, isPacked, body, mostBytes }: OtlpIngest): Promise<Outcome> {
    const bytes = isPacked
      ? await unpacked(body, mostBytes)
      : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    const nowMs = now();
    const records = recordsIn(bytes, isJson);
    const origin = { source: `otlp:${owner}`, service: 'unknown', nowMs };
    try {
      return await writing.store({
        lines: records.map((record) => prepared(saidOf(record), origin)),
        owner,
        refused: {},
      });
    } catch (error) {
      if (!(error instanceof ToolError && error.code === 'too_large')) throw error;
      // A sender that tried again would be refused again: it is told how many were not taken.
      return writing.store({ lines: [], owner, refused: { over_quota: records.length } });
    }
  },

  setThreshold({ service, level }: { readonly service: string; readonly level: Level | undefined }) {
    keeper.setThreshold(service, level);
  },
  remove({
    startMs,
    rows,
    owners,
  }: {
    readonly startMs: number;
    readonly rows: readonly StoredRow[];
    readonly owners: ReadonlyMap<string, { readonly items: number; readonly bytes: number }>;
  }) {
    keeper.remove(startMs, rows, owners);
  },
  scrub: ({ startMs }: { readonly startMs: number }) => keeper.scrub(startMs),
  removeWhole: ({ startMs }: { readonly startMs: number }) => keeper.removeWhole(startMs),
  retain: () => keeper.retain(now()),
  probe: () => keeper.probe(),
};
export type KeeperHandlers = typeof handlers;

/** Errors of the decoder are the sender's. */
function recordsIn(bytes: Uint8Array, isJson: boolean): LogRecord[] {
  try {
    return isJson ? decodeJson(strict.decode(bytes)) : decodeProtobuf(bytes);
  } catch (error) {
    // Of the text decoder: what is not UTF-8.
    if (error instanceof OtlpError || error instanceof TypeError)
      throw new ToolError(error instanceof OtlpTooLargeError ? 'too_large' : 'invalid_input', error.message);
    throw error;
  }
}

async function unpacked(body: Uint8Array, mostBytes: number): Promise<Buffer> {
  try {
    return await unpack(body, { maxOutputLength: mostBytes });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new ToolError('too_large', `Unpacked, the request has more than ${mostBytes} bytes.`);
    throw new ToolError('invalid_input', 'The body is not gzip.');
  }
}

const say = serveLink(handlers, end);
const feeding = {
  store: async (batch: Batch) => writing.store(batch),
  positionOf: (source: string) => keeper.positionOf(source),
  now,
  tell: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) =>
    say({ level, event, fields } satisfies KeeperEvent),
};
const feeds = feedSettings && openFeeds(feedSettings, feeding);
const journal = feeds && readsJournal ? followJournal(feeding, feeds.keepTrying, feeds.signal) : undefined;
const auditing = feeds && audit ? followAudit(audit, feeding, feeds.keepTrying, feeds) : undefined;

function retain(): void {
  try {
    const lines = keeper.retain(now());
    if (lines > 0) feeding.tell('info', 'lines_expired', { lines });
  } catch (error) {
    feeding.tell('warn', 'retention_failed', { reason: (error as Error).message });
  }
}
const retaining = setInterval(retain, retainEveryMs);
setImmediate(retain);

async function end(): Promise<void> {
  clearInterval(retaining);
  await feeds?.[Symbol.asyncDispose]();
  await Promise.all([journal, auditing]);
  writing[Symbol.dispose]();
  keeper[Symbol.dispose]();
}
