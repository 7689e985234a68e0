/**
 * What memories mean, as an embeddings endpoint sees it: their vectors are made after they were stored, a batch at a time, and
 * never in the way of a write. The queue is the memories after the last that has one, so a restart loses nothing. While the
 * endpoint fails, searches go by words alone.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import type { Transactions } from '#runtime/database.ts';
import { nowIso } from '#runtime/time.ts';
import type { Steps } from '#runtime/turns.ts';

import { composed } from '../names.ts';
import type { Scored } from '../search/score-table.ts';
import { EndpointError, openEndpoint, type EndpointSettings } from './endpoint.ts';
import type { Unembedded, Vectors } from './vectors.ts';

/** So that the numbers of an answer are read in some milliseconds. */
const batchSize = 16;
/** Of one text, and of a batch. The model takes the beginning of what is longer, or refuses it. */
const mostCharacters = 6_000;
const mostBatchCharacters = 60_000;
/** A text that is refused is tried again with half of it, down to this. */
const leastCharacters = 200;
const batchTimeoutMs = 60_000;
const queryTimeoutMs = 2_000;
const lookEveryMs = 500;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;
/** After a query without an answer, so many milliseconds go by before the next one asks. */
const queryPauseMs = 5_000;
const queriesKept = 200;
const mostNear = 50;
const erasedPerStep = 1_000;

/** Known to be taken, if anything is. */
const harmless = 'tea';

export type Tell = (event: string, fields: Readonly<Record<string, unknown>>) => void;

/** What a query means, or why nobody can say. */
export type QueryMeaning = { readonly vector: Float32Array } | { readonly problem: string };

/** In answers of searches that it was left out of. */
export const wordsOnly = z.string().optional().describe('Why meaning was left out of this search.');

interface Times {
  /** Small in tests. */
  readonly firstPauseMs?: number;
  readonly lookEveryMs?: number;
  readonly batchTimeoutMs?: number;
  readonly queryTimeoutMs?: number;
  readonly queryPauseMs?: number;
}

interface Needs {
  readonly settings: EndpointSettings;
  readonly vectors: Vectors;
  readonly transactions: Pick<Transactions, 'read'>;
  /** Writes when nobody else does. */
  readonly write: <Value>(work: () => Value, signal: AbortSignal) => Promise<Value>;
  readonly tell: Tell;
  readonly times?: Times | undefined;
}

export function openMeaning({ settings, vectors, transactions, write, tell, times = {} }: Needs) {
  const embed = openEndpoint(settings);
  const closing = new AbortController();
  const { signal } = closing;
  const queries = new Map<string, Float32Array>();
  const problems: { memories?: string | undefined; queries?: string | undefined } = {};
  let askAgainAtMs = 0;
  const working = work();

  async function work(): Promise<void> {
    let pauseMs = times.firstPauseMs ?? firstPauseMs;
    // A slow endpoint may have time for fewer.
    let size = batchSize;
    let isReady = false;
    while (!signal.aborted) {
      try {
        if (!isReady) await prepare();
        isReady = true;
        const isDone = !(await embedSome(size));
        size = Math.min(2 * size, batchSize);
        tellOf('memories', undefined);
        pauseMs = times.firstPauseMs ?? firstPauseMs;
        if (isDone) await sleep(times.lookEveryMs ?? lookEveryMs, undefined, { signal, ref: false });
      } catch (error) {
        if (signal.aborted) return;
        const isEndpoint = error instanceof EndpointError;
        const message = isEndpoint ? error.message : 'The vectors could not be stored.';
        tellOf('memories', message, isEndpoint ? {} : { error });
        await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
        pauseMs = Math.min(2 * pauseMs, longestPauseMs);
        size = Math.ceil(size / 2);
      }
    }
  }

  /** Once for each change. */
  function tellOf(what: keyof typeof problems, problem: string | undefined, more: object = {}): void {
    if (problems[what] === problem) return;
    problems[what] = problem;
    if (problem === undefined) tell('embeddings_back', { what });
    else tell('embeddings_failing', { what, problem, ...more });
  }

  /** Reads what there is, unless another model made it. */
  async function prepare(): Promise<void> {
    const stored = vectors.progress();
    if (stored?.model === settings.model) {
      for (const steps = vectors.load(); !steps.next().done && !signal.aborted;)
        await new Promise(setImmediate);
      return;
    }
    let erased: number;
    do erased = await write(() => vectors.eraseSome(erasedPerStep), signal);
    while (erased > 0);
    await write(() => vectors.begin(settings.model), signal);
  }

  /** @returns whether there were any. */
  async function embedSome(most: number): Promise<boolean> {
    const memories = batchOf(transactions.read(() => vectors.next(nowIso({ nowMs: Date.now() }), most)));
    if (memories.length === 0) return false;
    const made = await vectorsOf(memories.map(({ text }) => text.slice(0, mostCharacters)));
    const dimensions = vectors.progress()?.dimensions ?? made.find((vector) => vector)?.length;
    const other = made.find((vector) => vector && vector.length !== dimensions);
    if (other) throw new EndpointError(sizesDiffer(other.length, dimensions));
    await write(() => vectors.keep(memories, made), signal);
    vectors.remember(memories, made);
    return true;
  }

  /** Those that are refused even alone, and by their beginning, have none. */
  async function vectorsOf(texts: readonly string[]): Promise<(Float32Array | undefined)[]> {
    try {
      return await embed(texts, times.batchTimeoutMs ?? batchTimeoutMs, signal);
    } catch (error) {
      if (!(error instanceof EndpointError) || !error.isRefusal) throw error;
      // Is it the texts, or the endpoint?
      await embed([harmless], batchTimeoutMs, signal).catch(() => {
        throw error;
      });
      const [only = ''] = texts;
      if (texts.length > 1) {
        const half = Math.ceil(texts.length / 2);
        return [...(await vectorsOf(texts.slice(0, half))), ...(await vectorsOf(texts.slice(half)))];
      }
      return only.length > leastCharacters
        ? vectorsOf([only.slice(0, Math.floor(only.length / 2))])
        : [undefined];
    }
  }

  const problem = () => problems.memories ?? problems.queries;

  return {
    /** Never throws: who searches goes on without. */
    async ofQuery(query: string, callSignal: AbortSignal): Promise<QueryMeaning> {
      const known = queries.get(query);
      if (known) return { vector: known };
      if (problems.queries !== undefined && performance.now() < askAgainAtMs)
        return { problem: problems.queries };
      try {
        const within = AbortSignal.any([signal, callSignal]);
        const [vector] = await embed(
          [query.slice(0, mostCharacters)],
          times.queryTimeoutMs ?? queryTimeoutMs,
          within,
        );
        const dimensions = vectors.progress()?.dimensions ?? vector?.length;
        if (!vector || vector.length !== dimensions)
          throw new EndpointError(sizesDiffer(vector?.length, dimensions));
        tellOf('queries', undefined);
        queries.set(query, vector);
        for (const oldest of queries.keys()) {
          if (queries.size <= queriesKept) break;
          queries.delete(oldest);
        }
        return { vector };
      } catch (error) {
        const message = error instanceof EndpointError ? error.message : 'The query could not be embedded.';
        if (signal.aborted || callSignal.aborted) return { problem: message };
        askAgainAtMs = performance.now() + (times.queryPauseMs ?? queryPauseMs);
        tellOf('queries', message);
        return { problem: message };
      }
    },

    /** The memories nearest to that, of a project or of all; what is farther off says nothing. */
    *nearest(meaning: QueryMeaning, project: string | undefined): Steps<Scored[]> {
      if (!('vector' in meaning)) return [];
      return yield* vectors.nearest(meaning.vector, project && composed(project), mostNear);
    },

    status: (now: string) => ({ model: settings.model, ...vectors.counts(now), problem: problem() }),

    /** Why it does not work now. */
    problem,

    async close(): Promise<void> {
      closing.abort();
      await working;
    },
  };
}

function batchOf(memories: readonly Unembedded[]): readonly Unembedded[] {
  let characters = 0;
  const end = memories.findIndex(
    ({ text }) => (characters += Math.min(text.length, mostCharacters)) > mostBatchCharacters,
  );
  return end < 0 ? memories : memories.slice(0, Math.max(end, 1));
}

const sizesDiffer = (found: number | undefined, wanted: number | undefined) =>
  `The embeddings endpoint makes vectors of ${found} numbers, but those that are stored have ${wanted}. Give another model another name in FLOTILLA_MEMORY_EMBEDDINGS_MODEL: all memories are then embedded anew.`;
