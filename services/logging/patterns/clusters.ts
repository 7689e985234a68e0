/**
 * Lines of one shape, found as they come. As in Drain (He and others, 2017) a tree of fixed depth leads to the few patterns
 * that a line can belong to: service and level, then how many tokens it has. Two messages with different words are two
 * patterns, until a place has been seen with so many words that it is filled in.
 */
import type { Level, Line } from '../store/line.ts';
import { masked, type Masked } from './mask.ts';

/** A place with so many different words holds a value. Fewer may be `refused`, `reset` and `closed`: what happened. */
const valuesOfVariable = 6;
/** Places that are found to be filled in at once: `<user> moved <file> to <folder>`. */
const mostVariables = 3;
/** Patterns that a new one is compared with, the newest first. */
const mostCompared = 400;
const mostRemembered = 20_000;

export const filledIn = '<*>';

export interface Cluster {
  readonly service: string;
  readonly level: Level;
  readonly tokens: string[];
  readonly shown: string[];
  readonly spaced: boolean[];
  count: number;
  firstMs: number;
  lastMs: number;
  /** The first line of it. */
  example: Line;
  /** What else is counted by whoever uses the clusters; added up when two become one. */
  readonly counts: Map<number, number>;
}

/** Patterns of one service and level with the same number of tokens. */
type Leaf = Cluster[];

export class Clusters {
  private readonly leaves = new Map<string, Leaf>();
  /** Where lines went that looked the same: most lines of a log do. */
  private readonly remembered = new Map<string, Cluster>();
  private readonly most: number;
  private size = 0;
  /** Lines that came when there was no room for another pattern, and that none fitted. */
  unplaced = 0;

  constructor(most = 5_000) {
    this.most = most;
  }

  /**
   * @param slot what is counted of the line beside the line itself, such as its interval.
   * @returns its pattern; `undefined` when there is no room for one more.
   */
  add(line: Line, slot?: number): Cluster | undefined {
    const shape = masked(line.message);
    const { tokens } = shape;
    const leafKey = `${line.service}\0${line.level}\0${tokens.length}`;
    const key = `${leafKey}\0${tokens.join('\0')}`;
    const cluster =
      this.remembered.get(key) ?? this.found(leafKey, tokens) ?? this.made(leafKey, shape, line);
    if (!cluster) {
      this.unplaced += 1;
      return undefined;
    }
    if (this.remembered.size >= mostRemembered) this.remembered.clear();
    this.remembered.set(key, cluster);
    cluster.count += 1;
    if (line.atMs < cluster.firstMs || (line.atMs === cluster.firstMs && line.id < cluster.example.id)) {
      cluster.firstMs = line.atMs;
      cluster.example = line;
    }
    cluster.lastMs = Math.max(cluster.lastMs, line.atMs);
    if (slot !== undefined) cluster.counts.set(slot, (cluster.counts.get(slot) ?? 0) + 1);
    return cluster;
  }

  /** The most frequent first. */
  all(): Cluster[] {
    return [...this.leaves.values()]
      .flat()
      .toSorted((a, b) => b.count - a.count || (a.tokens.join() < b.tokens.join() ? -1 : 1));
  }

  private found(leafKey: string, tokens: readonly string[]): Cluster | undefined {
    return this.leaves
      .get(leafKey)
      ?.find((cluster) => cluster.tokens.every((token, at) => token === filledIn || token === tokens[at]));
  }

  private made(leafKey: string, shape: Masked, line: Line): Cluster | undefined {
    if (this.size >= this.most) return undefined;
    const { service, level, atMs } = line;
    const made: Cluster = {
      service,
      level,
      ...shape,
      count: 0,
      firstMs: atMs,
      lastMs: atMs,
      example: line,
      counts: new Map(),
    };
    const leaf = this.leaves.get(leafKey) ?? [];
    this.leaves.set(leafKey, leaf);
    leaf.push(made);
    this.size += 1;
    const variable = variablesOf(made, leaf);
    if (variable) this.merge(leaf, made, variable);
    return made;
  }

  /** All that differ from this one in these places only become one with it. */
  private merge(leaf: Leaf, into: Cluster, { places, others }: Variables): void {
    for (const place of places) into.tokens[place] = into.shown[place] = filledIn;
    for (const other of others) {
      into.count += other.count;
      if (
        other.firstMs < into.firstMs ||
        (other.firstMs === into.firstMs && other.example.id < into.example.id)
      ) {
        into.firstMs = other.firstMs;
        into.example = other.example;
      }
      into.lastMs = Math.max(into.lastMs, other.lastMs);
      for (const [slot, count] of other.counts) into.counts.set(slot, (into.counts.get(slot) ?? 0) + count);
      leaf.splice(leaf.indexOf(other), 1);
    }
    this.size -= others.length;
    const gone = new Set(others);
    for (const [key, cluster] of this.remembered) if (gone.has(cluster)) this.remembered.set(key, into);
  }
}

interface Variables {
  readonly places: readonly number[];
  readonly others: readonly Cluster[];
}

/** The fewest places that hold many values in patterns which are otherwise the same. */
function variablesOf(made: Cluster, leaf: Leaf): Variables | undefined {
  const words = made.tokens.filter(isWord).length;
  const most = Math.min(mostVariables, Math.floor(words / 2));
  const near = leaf.slice(-mostCompared - 1, -1).flatMap((cluster) => {
    const places = differences(made.tokens, cluster.tokens, most);
    return places ? [{ cluster, places }] : [];
  });
  const candidates = new Map(near.map(({ places }) => [places.join(), places]));
  for (const places of [...candidates.values()].toSorted(
    (a, b) => a.length - b.length || (a.join() < b.join() ? -1 : 1),
  )) {
    const others = near
      .filter((one) => one.places.every((place) => places.includes(place)))
      .map(({ cluster }) => cluster);
    if (others.length + 1 < valuesOfVariable) continue;
    const isVariable = places.every((place) => {
      const values = new Set([made.tokens[place], ...others.map(({ tokens }) => tokens[place])]);
      return values.size >= valuesOfVariable || values.has(filledIn);
    });
    if (isVariable) return { places, others };
  }
  return undefined;
}

/** A sign or a mask says nothing about what happened, and cannot be what is filled in. */
const isWord = (token: string) => /[\p{L}\p{N}]/u.test(token) && !/^<[\w*]+>$/.test(token);

/** The places of words in which they differ; `undefined` where there are more than so many, or others differ. */
function differences(one: readonly string[], other: readonly string[], most: number): number[] | undefined {
  const places: number[] = [];
  for (const [at, token] of one.entries()) {
    const opposite = other[at] as string;
    if (token === opposite) continue;
    if (places.length >= most || !isWord(token) || !(isWord(opposite) || opposite === filledIn))
      return undefined;
    places.push(at);
  }
  return places;
}
