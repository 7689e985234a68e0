/** The thread of the keeper: makes lines of what comes, stores them, fetches what is to be fetched, and lets go what is old. */
import { workerData } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';
import { serveLink } from '#runtime/link.ts';
import { unpackedOtlp, type OtlpBody } from '#runtime/otlp/route.ts';

import { followAudit, type AuditSettings } from '../feeds/audit.ts';
import { openFeeds, type FeedSettings } from '../feeds/feeds.ts';
import { followJournal } from '../feeds/journal.ts';
import { withoutKeyLines } from '../intake/clean.ts';
import { levelNamed } from '../intake/levels.ts';
import { saidOf } from '../intake/otlp-lines.ts';
import { parseLine, type Said } from '../intake/parse.ts';
import { prepared } from '../intake/prepare.ts';
import { decodeJson, decodeProtobuf } from '../otlp/decode.ts';
import { openKeeper, type Batch, type Keeping, type Outcome } from './keeper.ts';
import type { Level, LineKey, NewLine } from './line.ts';
import type { SeenStream } from './streams.ts';
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

export interface OtlpIngest extends OtlpBody {
  readonly owner: string;
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
/** Behind whoever is served, and before those who search. */
const keeperNice = 3;
const linesPerPiece = 250;
/** Of OTLP. */
const recordsPerBatch = 10_000;

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
    const all = await inPieces(lines, (given) =>
      prepared(saidBy(typeof given === 'string' ? withoutKeys(given) : given, nowMs), origin),
    );
    return writing.store({ lines: all, owner, name: batch, refused: {} });
  },

  async otlp({ owner, ...request }: OtlpIngest): Promise<Outcome> {
    const nowMs = now();
    const records = await unpackedOtlp(request, decodeJson, decodeProtobuf);
    const origin = { source: `otlp:${owner}`, service: 'unknown', nowMs };
    // Each part is whole; a sender that hears of no end sends all of it again.
    const total: { accepted: number; refused: Record<string, number> } = { accepted: 0, refused: {} };
    for (let at = 0; at < records.length || at === 0; at += recordsPerBatch) {
      const part = records.slice(at, at + recordsPerBatch);
      const { accepted, refused } = await storedPart(
        owner,
        await inPieces(part, (record) => prepared(saidOf(record), origin)),
      );
      total.accepted += accepted;
      for (const [reason, many] of Object.entries(refused))
        total.refused[reason] = (total.refused[reason] ?? 0) + many;
    }
    return { ...total, isRepeated: false };
  },

  setThreshold({ service, level }: { readonly service: string; readonly level: Level | undefined }) {
    keeper.setThreshold(service, level);
  },
  remove: ({ startMs, lines }: { readonly startMs: number; readonly lines: readonly LineKey[] }) =>
    keeper.remove(startMs, lines),
  forget: ({ none }: { readonly none: readonly SeenStream[] }) => keeper.forget(none),
  scrub: ({ startMs }: { readonly startMs: number }) => keeper.scrub(startMs),
  removeWhole: ({ startMs }: { readonly startMs: number }) => keeper.removeWhole(startMs),
  retain: () => keeper.retain(now()),
  probe: () => keeper.probe(),
};
export type KeeperHandlers = typeof handlers;

/** A sender that tried again would be refused again: it is told how many were not taken. */
async function storedPart(owner: string, lines: readonly NewLine[]): Promise<Outcome> {
  try {
    return await writing.store({ lines, owner, refused: {} });
  } catch (error) {
    if (!(error instanceof ToolError && error.code === 'too_large')) throw error;
    return writing.store({ lines: [], owner, refused: { over_quota: lines.length } });
  }
}

/** Of many lines, a piece in each turn of the loop, whoever's they are: what is small goes on at once. */
async function inPieces<Given, Made>(all: readonly Given[], make: (one: Given) => Made): Promise<Made[]> {
  if (all.length <= linesPerPiece) return all.map(make);
  const made: Made[] = [];
  for (let at = 0; at < all.length; at += linesPerPiece) {
    await nextTurn();
    for (const one of all.slice(at, at + linesPerPiece)) made.push(make(one));
  }
  return made;
}

const turns: (() => void)[] = [];

async function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    turns.push(resolve);
    if (turns.length === 1) setImmediate(giveTurn);
  });
}

function giveTurn(): void {
  turns.shift()?.();
  if (turns.length > 0) setImmediate(giveTurn);
}

const say = serveLink(handlers, end, keeperNice);
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
