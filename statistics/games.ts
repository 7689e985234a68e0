/** Games between pairs of players, and how games connect players. */

/**
 * What a tie is: `half` a win for each; by Davidson 1970, with a chance that grows with √(π_a π_b); by Rao and Kupper 1967, what is too
 * near to be told apart; or it is dropped. Ratings of one method are not comparable with those of another.
 */
export type Ties = 'half' | 'davidson' | 'rao-kupper' | 'drop';

/** Games of one pair with the same covariates. */
export interface Match {
  /** Numbers of the two players, from 0. */
  readonly a: number;
  readonly b: number;
  readonly aWins: number;
  readonly bWins: number;
  readonly ties: number;
  readonly covariates?: readonly number[];
  /** Games of one cluster, such as those on one item, are not independent: the sandwich then counts clusters. All matches have one, or none. */
  readonly cluster?: number;
}

export function gamesOf({ aWins, bWins, ties }: Match): number {
  return aWins + bWins + ties;
}

export function requireSound(players: number, matches: readonly Match[], covariates: number): void {
  if (!Number.isInteger(players) || players < 2) {
    throw new RangeError(`A ranking needs at least two players, not ${players}.`);
  }
  const isPlayer = (place: number) => Number.isInteger(place) && place >= 0 && place < players;
  for (const { a, b, aWins, bWins, ties, covariates: given = [] } of matches) {
    if (!isPlayer(a) || !isPlayer(b) || a === b)
      throw new RangeError(`No game can be between ${a} and ${b}.`);
    if (!isCount(aWins) || !isCount(bWins) || !isCount(ties)) {
      throw new RangeError(`Wins, losses and ties are counts, not ${aWins}, ${bWins}, ${ties}.`);
    }
    if (given.length !== covariates || !given.every((value) => Number.isFinite(value))) {
      throw new RangeError(`Each match needs ${covariates} covariates, all finite numbers.`);
    }
  }
}

const isCount = (count: number) => count >= 0 && count < Infinity;

/** Players who reach each other through games, whoever won; each group sorted, the largest first. */
export function connectedGroups(players: number, matches: readonly Match[]): number[][] {
  return componentsOf(
    players,
    matches,
    (match) => gamesOf(match) > 0,
    () => true,
  );
}

/**
 * Whether every player can be reached from every other along wins, ties counting both ways: then and only then the maximum is finite
 * (Ford 1957).
 */
export function isStronglyConnected(
  players: number,
  matches: readonly Match[],
  ties: Ties = 'half',
): boolean {
  const tied = (match: Match) => ties !== 'drop' && match.ties > 0;
  const forth = reachable(
    players,
    matches,
    (match) => match.aWins > 0 || tied(match),
    (match) => match.bWins > 0 || tied(match),
  );
  const back = reachable(
    players,
    matches,
    (match) => match.bWins > 0 || tied(match),
    (match) => match.aWins > 0 || tied(match),
  );
  return forth === players && back === players;
}

type Leads = (match: Match) => boolean;

function neighboursOf(
  players: number,
  matches: readonly Match[],
  leadsForth: Leads,
  leadsBack: Leads,
): number[][] {
  const neighbours: number[][] = Array.from({ length: players }, () => []);
  for (const match of matches) {
    if (leadsForth(match)) neighbours[match.a]?.push(match.b);
    if (leadsBack(match)) neighbours[match.b]?.push(match.a);
  }
  return neighbours;
}

function reachable(players: number, matches: readonly Match[], leadsForth: Leads, leadsBack: Leads): number {
  return walked(0, neighboursOf(players, matches, leadsForth, leadsBack), new Uint8Array(players)).length;
}

function componentsOf(players: number, matches: readonly Match[], counts: Leads, back: Leads): number[][] {
  const neighbours = neighboursOf(players, matches, counts, (match) => counts(match) && back(match));
  const seen = new Uint8Array(players);
  const groups: number[][] = [];
  for (let player = 0; player < players; player += 1) {
    if (seen[player] === 0)
      groups.push(walked(player, neighbours, seen).toSorted((one, other) => one - other));
  }
  return groups.toSorted((one, other) => other.length - one.length);
}

function walked(from: number, neighbours: readonly (readonly number[])[], seen: Uint8Array): number[] {
  const found = [from];
  seen[from] = 1;
  for (const player of found) {
    for (const next of neighbours[player] ?? []) {
      if (seen[next] === 1) continue;
      seen[next] = 1;
      found.push(next);
    }
  }
  return found;
}
