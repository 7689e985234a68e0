/**
 * Who does best, for whoever shows the fleet: `GET /standings`. Models and clients with the most decisions, of those that decided
 * something in the last days, over the decisions of all tokens. Walking through their sums takes a while: it is done in steps, once
 * for all who ask, and not again at once.
 */
import { mostStanding, mostTaskTypes, standingsSchema, type Standings } from '#runtime/process/standings.ts';
import type { Route } from '#runtime/service.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { snapshotOf, strongest, successRate } from './figure.ts';
import { minOutcomes } from './limits.ts';
import { emptyJudged, mergeJudged, type Judged } from './store/cell.ts';
import { dateOf, dayOf } from './store/day.ts';
import type { Reading } from './store/reading.ts';
import type { Store } from './store/store.ts';
import { kinds, type Kind } from './subject.ts';

export interface Profile extends Store {
  readonly standings: () => Promise<Standings>;
}

const days = 30;
const freshMs = 10_000;
/** What takes long is made more rarely: a twentieth of the time goes to it at most. */
const restFactor = 20;

/** As much of cells as counts here. */
interface Sum {
  decisions: number;
  clustered: number;
  since: number | undefined;
  readonly judged: (Judged | undefined)[];
}

const emptySum = (): Sum => ({ decisions: 0, clustered: 0, since: undefined, judged: [] });

export function openStandings(reading: Reading, now: () => number): () => Promise<Standings> {
  const call = { signal: new AbortController().signal, caller: '', operation: 'GET /standings' };
  let making: Promise<Standings> | undefined;
  let untilMs = 0;
  let madeMs = 0;
  async function make(): Promise<Standings> {
    const startedMs = now();
    const standings = await inTurns(reading.read, call, standingsOf(reading, startedMs));
    madeMs = now();
    untilMs = madeMs + Math.max(freshMs, restFactor * (madeMs - startedMs));
    return standings;
  }
  return async () => {
    // While it is made, all wait for the same; a clock that was set back does not keep it for ever.
    const isFresh = untilMs === 0 || (now() < untilMs && now() >= madeMs);
    if (making && isFresh) return making;
    untilMs = 0;
    making = make();
    // Whoever asks next tries again.
    making.catch(() => (making = undefined));
    return making;
  };
}

function* standingsOf(reading: Reading, nowMs: number): Steps<Standings> {
  const [toDay, fromDay] = [dayOf(nowMs) + 1, dayOf(nowMs) - days + 1];
  const names = reading.taskTypeNames();
  const of: Record<Kind, unknown[]> = { model: [], client: [] };
  for (const kind of kinds) {
    for (const { id, key } of yield* reading.busiest(kind, fromDay, mostStanding)) {
      const all = emptySum();
      const byTask = new Map<number, Sum>();
      yield* reading.cells({ model: id, fromDay, toDay }, (cell, day, task) => {
        const sum = byTask.get(task) ?? emptySum();
        byTask.set(task, sum);
        for (const one of [all, sum]) {
          one.decisions += cell.n;
          one.clustered += cell.clustered;
          one.since ??= day;
          for (const [at, judged] of cell.judged.entries())
            if (judged) mergeJudged((one.judged[at] ??= emptyJudged()), judged);
        }
      });
      const tasks = [...byTask].toSorted(([, a], [, b]) => b.decisions - a.decisions).slice(0, mostTaskTypes);
      of[kind].push({
        name: key.slice(key.indexOf(':') + 1),
        ...resultOf(all, nowMs),
        tasks: tasks.map(([task, sum]) => ({ name: names.get(task) ?? '', ...resultOf(sum, nowMs) })),
      });
      yield;
    }
  }
  const standings = standingsSchema.parse({
    at: new Date(nowMs).toISOString(),
    days,
    needed: minOutcomes,
    models: of.model,
    clients: of.client,
  });
  return { ...standings, models: bestFirst(standings.models), clients: bestFirst(standings.clients) };
}

/** By the lower bound, so that one lucky success does not lead; of whom too little is known come last. */
function bestFirst(all: Standings['models']): Standings['models'] {
  const bound = ({ judged, interval }: (typeof all)[number]) =>
    judged < minOutcomes ? -1 : (interval?.[0] ?? -1);
  return all.toSorted((one, other) => bound(other) - bound(one) || other.decisions - one.decisions);
}

function resultOf({ decisions, clustered, since, judged }: Sum, nowMs: number) {
  const source = strongest(judged);
  const rate = source && successRate(snapshotOf(0, nowMs), judged, source, 'wilson', clustered);
  return {
    decisions,
    judged: rate?.n ?? 0,
    judgedBy: source ?? null,
    share: rate?.value ?? null,
    interval: rate?.ci95 ?? null,
    since: since === undefined ? null : dateOf(since),
    warnings: rate?.warnings ?? [],
  };
}

export const routes: readonly Route<Profile>[] = [
  {
    path: '/standings',
    access: 'token',
    handle: async (_request, { standings }) =>
      Response.json(await standings(), { headers: { 'cache-control': 'no-store' } }),
  },
];
