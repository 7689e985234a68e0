/**
 * Which errors of a window are new against a baseline. Lines of one error within five minutes are one episode: an error that
 * repeats itself in a burst has not happened more often. Were nothing new, each episode of a pattern would lie in the window
 * by chance, with the window's share of the whole time.
 *
 * - An error that the baseline does not have: of the patterns with k episodes in all, `F(k) · share^k` would be expected to lie
 *   wholly in the window. So k episodes are taken for new where that is rare, for k and more together. A log in which many
 *   errors happen once and never again (F(1) is large) so needs more of them than one in which that is unusual. This is how
 *   Good and Toulmin (1956) count what was not seen before.
 * - An error that the baseline has, far rarer: a binomial test against five times the baseline's rate, with the number of
 *   errors that are tested (Bonferroni).
 */
import { Clusters, type Cluster } from './clusters.ts';
import type { Line } from '../store/line.ts';

export const episodeMs = 300_000;
/** How many false alarms are expected of a window of a day in which nothing is new; of a shorter window, its share. */
const falseAlarmsPerDay = 0.25;
const dayMs = 86_400_000;
/** By so much an error that is known varies: by load, by the time of day, by how long an incident lasts. */
const usualRatio = 5;

export interface Windows {
  readonly baselineStartMs: number;
  /** Where the baseline ends and the window begins. */
  readonly startMs: number;
  readonly endMs: number;
}

export interface FoundError {
  readonly cluster: Cluster;
  readonly verdict: 'new' | 'risen' | 'unconfirmed';
  /** Lines in the window, and in the baseline. */
  readonly lines: number;
  readonly baselineLines: number;
  readonly episodes: number;
  readonly baselineEpisodes: number;
  readonly firstMs: number;
  readonly lastMs: number;
  /** How many such findings would be expected if nothing were new. */
  readonly expected: number;
}

/** Errors of a baseline and a window, collected in any order. */
export class ErrorComparison {
  readonly clusters: Clusters;
  private readonly windows: Windows;
  /** Later than it was meant where nothing is known of before. */
  baselineStartMs: number;

  constructor(windows: Windows, mostPatterns?: number) {
    this.windows = windows;
    this.baselineStartMs = windows.baselineStartMs;
    this.clusters = new Clusters(mostPatterns);
  }

  add(line: Line): void {
    const { baselineStartMs, startMs, endMs } = this.windows;
    if (line.atMs < baselineStartMs || line.atMs >= endMs) return;
    // Counted from the start of the window, so that no episode lies on both sides of it.
    this.clusters.add(line, Math.floor((line.atMs - startMs) / episodeMs));
  }

  /**
   * What is new first, then what has risen, then what the baseline does not have but may be chance; by lines in each.
   * @returns nothing of what is as usual.
   */
  found(): FoundError[] {
    const { startMs, endMs } = this.windows;
    const baselineStartMs = Math.min(startMs, this.baselineStartMs);
    const share = (endMs - startMs) / (endMs - baselineStartMs);
    const budget = falseAlarmsPerDay * Math.min(1, (endMs - startMs) / dayMs);
    const all = this.clusters.all().map((cluster) => splitCounts(cluster));
    const expectedOf = expectedNew(all, share);
    const known = all.filter(({ baselineEpisodes, episodes }) => baselineEpisodes > 0 && episodes > 0);
    const usualShare = (usualRatio * share) / (usualRatio * share + 1 - share);
    const found = all.flatMap((counts): FoundError[] => {
      const { episodes, baselineEpisodes } = counts;
      if (episodes === 0) return [];
      if (baselineEpisodes === 0) {
        const expected = expectedOf(episodes);
        return [{ ...counts, expected, verdict: expected <= budget ? 'new' : 'unconfirmed' }];
      }
      const expected = known.length * binomialTail(episodes, episodes + baselineEpisodes, usualShare);
      return expected <= budget ? [{ ...counts, expected, verdict: 'risen' }] : [];
    });
    const order = { new: 0, risen: 1, unconfirmed: 2 };
    return found.toSorted((a, b) => order[a.verdict] - order[b.verdict] || b.lines - a.lines);
  }
}

type Counts = Omit<FoundError, 'verdict' | 'expected'>;

function splitCounts(cluster: Cluster): Counts {
  let lines = 0;
  let episodes = 0;
  let first = Infinity;
  for (const [slot, count] of cluster.counts) {
    if (slot < 0) continue;
    lines += count;
    episodes += 1;
    first = Math.min(first, slot);
  }
  return {
    cluster,
    lines,
    baselineLines: cluster.count - lines,
    episodes,
    baselineEpisodes: cluster.counts.size - episodes,
    firstMs: cluster.firstMs,
    lastMs: cluster.lastMs,
  };
}

/** How many patterns with so many episodes or more would lie wholly in the window by chance. */
function expectedNew(all: readonly Counts[], share: number): (episodes: number) => number {
  const patterns = new Map<number, number>();
  for (const { episodes, baselineEpisodes } of all) {
    const total = episodes + baselineEpisodes;
    patterns.set(total, (patterns.get(total) ?? 0) + 1);
  }
  return (episodes) => {
    let expected = 0;
    for (const [total, count] of patterns) if (total >= episodes) expected += count * share ** total;
    return expected;
  };
}

/** How likely it is that of `n` at least `k` fall where each falls with probability `p`. */
export function binomialTail(k: number, n: number, p: number): number {
  let logTerm = k === 0 ? n * Math.log1p(-p) : logChoose(n, k) + k * Math.log(p) + (n - k) * Math.log1p(-p);
  let sum = 0;
  for (let at = k; at <= n; at += 1) {
    sum += Math.exp(logTerm);
    logTerm += Math.log((n - at) / (at + 1)) + Math.log(p) - Math.log1p(-p);
  }
  return Math.min(1, sum);
}

function logChoose(n: number, k: number): number {
  let log = 0;
  for (let at = 1; at <= k; at += 1) log += Math.log((n - k + at) / at);
  return log;
}
