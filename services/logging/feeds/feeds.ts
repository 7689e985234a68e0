/** What is fetched: the logs of the fleet, the files of the settings, the journal. Each goes on from where it was left. */
import { globSync, lstatSync } from 'node:fs';
import { basename, join } from 'node:path';

import { textOf } from '#runtime/readable.ts';

import { withoutKeyLines } from '../intake/clean.ts';
import { parseLine, type Said } from '../intake/parse.ts';
import { prepared } from '../intake/prepare.ts';
import type { Batch, Outcome } from '../store/keeper.ts';
import type { NewLine } from '../store/line.ts';
import { Follower, type Event, type FileLine } from './follow.ts';

export interface FeedSettings {
  /** Where the fleet in the foreground writes its logs. */
  readonly fleetLogs: string;
  /** Files, or patterns of them. */
  readonly files: readonly string[];
}

export interface Feeding {
  readonly store: (batch: Batch) => Promise<Outcome>;
  readonly positionOf: (source: string) => string | undefined;
  readonly now: () => number;
  readonly tell: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** How often files are looked at, and how often new ones are looked for. */
const pollMs = 250;
const searchMs = 5_000;
/** While the disk takes nothing. */
const retryMs = 1_000;
/** Of patterns; each needs a descriptor. */
const mostFiles = 500;

interface Place {
  readonly path: string;
  readonly source: string;
  readonly service: string;
}

export const fleetSource = (name: string) => `fleet:${name}`;
export const fileSource = (path: string) => `file:${path}`;

export function openFeeds({ fleetLogs, files }: FeedSettings, feeding: Feeding) {
  const { store, positionOf, now, tell } = feeding;
  const following = new Map<string, Follower>();
  const stop = new AbortController();
  const running = new Set<Promise<void>>();
  let isFull = false;
  let searchedAtMs: number | undefined;

  function places(): Place[] {
    const found: Place[] = [];
    for (const path of globSync(join(fleetLogs, '*.log'))) {
      const name = basename(path, '.log');
      found.push({ path, source: fleetSource(name), service: name });
    }
    for (const pattern of files) {
      // A name without a pattern may come to be later, and is followed from then on.
      const paths = isPattern(pattern) ? globSync(pattern).filter((path) => !isLink(path)) : [pattern];
      for (const path of paths) {
        found.push({
          path,
          source: fileSource(path),
          service: basename(path).replace(/\.(?:log|jsonl?|txt)$/, ''),
        });
      }
    }
    return found;
  }

  function search(): void {
    const beganAtMs = now();
    for (const place of places()) {
      if (following.has(place.path)) continue;
      if (following.size >= mostFiles) {
        if (!isFull) tell('warn', 'too_many_files', { most: mostFiles });
        isFull = true;
        break;
      }
      const told = (event: Event, detail?: string) =>
        tell(event === 'appeared' ? 'info' : 'warn', `file_${event}`, {
          source: place.source,
          ...(detail !== undefined && { reason: detail }),
        });
      const follower = new Follower(place.path, positionOf(place.source), told, searchedAtMs);
      following.set(place.path, follower);
      const run = follow(follower, place).finally(() => running.delete(run));
      running.add(run);
    }
    searchedAtMs = beganAtMs;
  }

  async function follow(follower: Follower, place: Place): Promise<void> {
    const withoutKeys = withoutKeyLines();
    try {
      while (!stop.signal.aborted) {
        const read = follower.poll(now());
        if (read) {
          await keepTrying({
            lines: read.lines
              .map((line) => lineIn(line, place, withoutKeys, now()))
              .filter((line) => line !== undefined),
            refused: {},
            position: { source: place.source, position: JSON.stringify(read.position) },
          });
        } else await pause(pollMs);
      }
    } catch (error) {
      // A disk that does not answer: looked at again with the next search.
      tell('warn', 'file_unreadable', { source: place.source, reason: (error as Error).message });
    } finally {
      follower[Symbol.dispose]();
      following.delete(place.path);
    }
  }

  /** A line that was read must not be lost because the disk is full for a while. */
  async function keepTrying(batch: Batch): Promise<void> {
    let hasTold = false;
    while (!stop.signal.aborted) {
      try {
        await store(batch);
        return;
      } catch (error) {
        if (!hasTold)
          tell('warn', 'lines_wait', { source: batch.position?.source, reason: (error as Error).message });
        hasTold = true;
        await pause(retryMs);
      }
    }
  }

  async function pause(ms: number): Promise<void> {
    if (stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop.signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      stop.signal.addEventListener('abort', done);
    });
  }

  search();
  const searching = setInterval(search, searchMs);

  return {
    keepTrying,
    pause,
    signal: stop.signal,
    async [Symbol.asyncDispose](): Promise<void> {
      clearInterval(searching);
      stop.abort();
      await Promise.all(running);
    },
  };
}

const isPattern = (path: string) => /[*?[{]/.test(path);
/** Who may make files where the pattern looks could have any file of this user stored by one. */
const isLink = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? true;

/** `undefined` for an empty line. */
function lineIn(
  { bytes, length }: FileLine,
  { source, service }: Place,
  withoutKeys: (text: string) => string,
  nowMs: number,
): NewLine | undefined {
  const { text: given, isBinary } = textOf(bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes);
  const text = withoutKeys(given);
  if (text.trim() === '') return undefined;
  const said: Said = parseLine(text, nowMs);
  const added = {
    ...(isBinary && { 'flotilla.bytes': 'not UTF-8' }),
    ...(length > bytes.length && { 'flotilla.line_bytes': length }),
  };
  const isOurs = source.startsWith('fleet:');
  return prepared(
    { ...said, service: isOurs ? service : said.service, fields: { ...said.fields, ...added } },
    { source, service, nowMs },
  );
}
