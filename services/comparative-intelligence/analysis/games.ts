/** The games of a ranking: battles as they were judged, or decisions of two models on one item. */
import { ToolError } from '#runtime/errors.ts';
import { connectedGroups, type Match, type Ties } from '#statistics/games.ts';

import type { Snapshot } from '../figure.ts';
import { maxClustered, maxRanked, maxSharedGames } from '../limits.ts';
import { chosenSources, type BattleRead, type Reading, type SummedBattles } from '../store/reading.ts';
import type { Which } from '../store/which.ts';
import type { Kind } from '../subject.ts';

export const covariateNames = ['position', 'length'] as const;

export type Covariate = (typeof covariateNames)[number];

export interface RankRequest {
  readonly from: 'battles' | 'decisions';
  readonly kind: Kind;
  readonly models: readonly string[] | undefined;
  readonly taskType: string | undefined;
  readonly sources: readonly number[] | undefined;
  readonly ties: Ties;
  readonly covariates: readonly Covariate[];
  readonly ci: 'sandwich' | 'bootstrap';
  readonly resamples: number;
  readonly seed: number;
  /** As of this battle; the newest unless given. */
  readonly upTo: number | undefined;
  readonly nowMs: number;
}

/** Games of numbered players, and who they are. */
export interface Games {
  readonly ids: readonly number[];
  readonly matches: readonly Match[];
  readonly mix: Record<string, number>;
  readonly warnings: readonly string[];
}

/** The games of the largest group that games connect. */
export function rankedGames(reading: Reading, request: RankRequest) {
  const { kind, models, from, upTo, nowMs } = request;
  const subjects = models ? models.map((name) => reading.subject(name)) : reading.subjects(kind);
  const foreign = subjects.find((subject) => subject.kind !== kind);
  if (foreign)
    throw new ToolError('invalid_input', `${foreign.key} is no ${kind}: kinds are never ranked together.`);
  if (new Set(subjects.map(({ id }) => id)).size < 2) {
    throw new ToolError(
      'conflict',
      `A ranking needs at least two of kind ${kind}; there is ${subjects.length}.`,
      {
        hint: 'record_battles records battles between two.',
      },
    );
  }
  const keys = new Map(subjects.map(({ id, key }) => [id, key]));
  const now = reading.snapshot(nowMs);
  if (upTo !== undefined && (from === 'decisions' || upTo > now.battles)) {
    throw new ToolError(
      'conflict',
      'This state cannot be read again: only rankings from battles can be repeated as of an earlier one.',
      {
        hint: 'Leave snapshot_id out to use the newest.',
      },
    );
  }
  const which = { kind, taskType: reading.taskType(request.taskType), upTo };
  const all =
    from === 'battles'
      ? battleGames(reading, which, request, keys)
      : decisionGames(reading, which, request, keys);
  if (all.matches.length === 0) {
    throw new ToolError('not_found', 'There is no game between any two of them.', {
      hint:
        from === 'battles'
          ? 'record_battles records battles. Look at kind, task_type and judged_by.'
          : 'Give decisions of several models the same item_id.',
    });
  }
  const [group = []] = connectedGroups(all.ids.length, all.matches);
  if (group.length > maxRanked) {
    throw new ToolError(
      'too_large',
      `There are ${group.length} to rank, and at most ${maxRanked} are ranked at once.`,
      {
        hint: 'Name those that matter in models.',
      },
    );
  }
  const places = new Map(group.map((place, index) => [place, index]));
  const ranking: Games = {
    ...all,
    ids: group.map((place) => all.ids[place] ?? 0),
    matches: all.matches.flatMap((match) => {
      const [a, b] = [places.get(match.a), places.get(match.b)];
      return a === undefined || b === undefined ? [] : [{ ...match, a, b }];
    }),
  };
  const snapshot: Snapshot = { ...now, battles: upTo ?? now.battles };
  return { ranking, all, keys, snapshot };
}

function battleGames(
  reading: Reading,
  which: Which,
  request: RankRequest,
  keys: ReadonlyMap<number, string>,
): Games {
  const counts = reading.battleMix(which).map(({ source, battles }) => ({ source, n: battles }));
  const { places, mix, warnings } = chosenSources(counts, request.sources);
  const chosen = { ...which, sources: places };
  const isIn = ({ a, b }: { readonly a: number; readonly b: number }) => keys.has(a) && keys.has(b);
  const hasItems = reading.hasItems();
  const isItemwise = hasItems && counts.reduce((sum, { n }) => sum + n, 0) <= maxClustered;
  const all = [
    ...warnings,
    ...(hasItems && !isItemwise
      ? [`Of more than ${maxClustered} battles, intervals take each for independent, whatever its item.`]
      : []),
  ];
  if (!isItemwise && request.covariates.length === 0 && request.upTo === undefined) {
    const rows = reading.pairs(chosen).filter(isIn);
    return {
      ...numbered(rows, ({ wa, wb, t, bb }) => ({ aWins: wa, bWins: wb, ties: t + bb })),
      mix,
      warnings: all,
    };
  }
  const position = request.covariates.includes('position');
  const rows: (SummedBattles | BattleRead)[] =
    isItemwise || request.covariates.includes('length')
      ? reading.battles(chosen)
      : reading.summedBattles(chosen, position);
  const battles = rows.filter(isIn);
  const usable = battles.filter((battle) =>
    request.covariates.every((name) => covariateOf(battle, name) !== undefined),
  );
  const countOf = (list: typeof battles) => list.reduce((sum, row) => sum + gamesOf(row), 0);
  if (usable.length === 0 && battles.length > 0) {
    throw new ToolError('conflict', `No battle says what ${request.covariates.join(' and ')} needs.`, {
      hint: 'position needs swapped, length needs len_a and len_b, of every battle that counts.',
    });
  }
  const unusable = countOf(battles) - countOf(usable);
  const clusterOf = itemClusters(isItemwise ? usable : []);
  const games = numbered(
    aggregated(usable, standardised(usable, request.covariates), clusterOf),
    (row) => row,
  );
  return {
    ...games,
    mix,
    warnings: [
      ...all,
      ...(clusterOf ? [asClusters] : []),
      ...(unusable > 0
        ? [`${unusable} battles are left out, which do not say what the covariates need.`]
        : []),
    ],
  };
}

export const asClusters = 'Games on one item are not independent: intervals count items as clusters.';

/** Numbers of the items, where one of them was judged more than once; a battle without an item is one of its own. */
function itemClusters(
  battles: readonly (SummedBattles | BattleRead)[],
): ((battle: SummedBattles | BattleRead, index: number) => number) | undefined {
  const numbers = new Map<string, number>();
  let hasRepeated = false;
  for (const battle of battles) {
    const item = 'item' in battle ? battle.item : null;
    if (item === null) continue;
    if (numbers.has(item)) hasRepeated = true;
    else numbers.set(item, numbers.size);
  }
  if (!hasRepeated) return undefined;
  return (battle, index) =>
    ('item' in battle && battle.item !== null ? numbers.get(battle.item) : undefined) ?? numbers.size + index;
}

const winsOf = (row: SummedBattles | BattleRead): readonly [aWins: number, bWins: number, ties: number] =>
  'aWins' in row
    ? [row.aWins, row.bWins, row.ties]
    : [Number(row.outcome === 1), Number(row.outcome === 0), Number(row.outcome === 0.5)];

const gamesOf = (row: SummedBattles | BattleRead) => winsOf(row).reduce((sum, count) => sum + count, 0);

type Summed = {
  readonly a: number;
  readonly b: number;
  aWins: number;
  bWins: number;
  ties: number;
  readonly covariates: readonly number[];
  readonly cluster?: number;
};

/** Battles with the same pair, covariates and cluster become one match. */
function aggregated(
  battles: readonly (SummedBattles | BattleRead)[],
  covariates: (battle: SummedBattles | BattleRead) => readonly number[],
  clusterOf: ReturnType<typeof itemClusters>,
): Summed[] {
  const sums = new Map<string, Summed>();
  for (const [index, battle] of battles.entries()) {
    const own = covariates(battle);
    const cluster = clusterOf?.(battle, index);
    const key = `${battle.a} ${battle.b} ${cluster} ${own.join(' ')}`;
    let sum = sums.get(key);
    if (!sum) {
      const { a, b } = battle;
      sum = { a, b, aWins: 0, bWins: 0, ties: 0, covariates: own, ...(cluster !== undefined && { cluster }) };
      sums.set(key, sum);
    }
    const [aWins, bWins, ties] = winsOf(battle);
    sum.aWins += aWins;
    sum.bWins += bWins;
    sum.ties += ties;
  }
  return [...sums.values()];
}

function covariateOf(battle: SummedBattles | BattleRead, name: Covariate): number | undefined {
  if (name === 'position') return battle.swapped === null ? undefined : battle.swapped === 1 ? -1 : 1;
  const { len_a: a, len_b: b } = battle as Partial<BattleRead>;
  return typeof a === 'number' && typeof b === 'number' ? (a + b === 0 ? 0 : (a - b) / (a + b)) : undefined;
}

/** Position is ±1; length is (a − b)/(a + b), in standard deviations. */
function standardised(
  battles: readonly (SummedBattles | BattleRead)[],
  names: readonly Covariate[],
): (battle: SummedBattles | BattleRead) => readonly number[] {
  const scales = names.map((name) => {
    if (name === 'position') return 1;
    const squares = battles.reduce((sum, battle) => sum + (covariateOf(battle, name) ?? 0) ** 2, 0);
    return Math.sqrt(squares / battles.length) || 1;
  });
  return (battle) => names.map((name, index) => (covariateOf(battle, name) ?? 0) / (scales[index] ?? 1));
}

/** Two models on one item: who did better won. */
function decisionGames(
  reading: Reading,
  which: Which,
  request: RankRequest,
  keys: ReadonlyMap<number, string>,
): Games {
  const rows = reading.decisionsOnItems(which).filter(({ subject }) => keys.has(subject));
  const counts = new Map<number, number>();
  for (const { source } of rows) counts.set(source ?? -1, (counts.get(source ?? -1) ?? 0) + 1);
  const { places, mix, warnings } = chosenSources(
    [...counts].map(([source, n]) => ({ source, n })),
    request.sources,
  );
  const items = new Map<string, Map<number, { sum: number; n: number; cluster: string }>>();
  for (const { item, subject, outcome, source, cluster } of rows) {
    if (item === null || outcome === null || !places.includes(source ?? -1)) continue;
    const models = items.get(item) ?? new Map<number, { sum: number; n: number; cluster: string }>();
    items.set(item, models);
    const own = models.get(subject) ?? { sum: 0, n: 0, cluster: cluster ?? `item ${item}` };
    own.sum += outcome;
    own.n += 1;
    models.set(subject, own);
  }
  const games: (Summed & { readonly cluster: number })[] = [];
  const clusters = new Map<string, number>();
  for (const models of items.values()) {
    const scores = [...models].map(([subject, { sum, n, cluster }]) => ({
      subject,
      score: sum / n,
      cluster,
    }));
    for (const [index, one] of scores.entries()) {
      for (const other of scores.slice(index + 1)) {
        if (games.length >= maxSharedGames) {
          throw new ToolError('too_large', `There are more than ${maxSharedGames} pairs on shared items.`, {
            hint: 'Name fewer models, or one task_type.',
          });
        }
        const cluster = clusters.get(one.cluster) ?? clusters.size;
        clusters.set(one.cluster, cluster);
        games.push({
          a: one.subject,
          b: other.subject,
          aWins: one.score > other.score ? 1 : 0,
          bWins: one.score < other.score ? 1 : 0,
          ties: one.score === other.score ? 1 : 0,
          covariates: [],
          cluster,
        });
      }
    }
  }
  return { ...numbered(games, (row) => row), mix, warnings };
}

/** Players numbered from 0, in the order of their numbers in the store. */
function numbered<Row extends { readonly a: number; readonly b: number }>(
  rows: readonly Row[],
  sumsOf: (row: Row) => Omit<Match, 'a' | 'b'>,
): Pick<Games, 'ids' | 'matches'> {
  const ids = [...new Set(rows.flatMap(({ a, b }) => [a, b]))].toSorted((one, other) => one - other);
  const places = new Map(ids.map((id, place) => [id, place]));
  return {
    ids,
    matches: rows.map((row) => ({ ...sumsOf(row), a: places.get(row.a) ?? 0, b: places.get(row.b) ?? 0 })),
  };
}
