/** Cuts a graph into answers of bounded size, entities first and then their relations, without losing any between two. */
import { z } from 'zod';

import type { Rows } from '../journal.ts';
import { maxAnswerLength, maxLinksPerTurn, maxRelationsPerAnswer } from '../limits.ts';
import type { GraphStore, Entity, LinkRow, Relation } from './graph-store.ts';

export interface PartialEntity extends Entity {
  /** How many there are, where not all are shown. */
  observationsTotal?: number;
}

export interface PageLimits {
  readonly limit: number;
  readonly characters?: number | undefined;
  readonly observationLimit?: number | undefined;
  readonly observationOffset?: number | undefined;
}

/** Where a page begins, how many of its entities were already given, and after which relation of which to go on. */
export type PagePosition = readonly [start: number, given: number, index: number, relation: number];
export const firstPage: PagePosition = [0, 0, 0, 0];
const count = z.int().min(0);
export const pagePosition = z.tuple([count, count, count, count]);

/** Entities in the order of an answer, each with the position of the one after it. */
export type EntitySource = (start: number) => Iterable<readonly [row: Rows['entity'], next: number]>;

/** The relations of an entity after one of them, in order. */
export type LinkSource = (entityId: number, after: number) => Iterable<LinkRow>;

export interface GraphPage {
  entities: PartialEntity[];
  relations: Relation[];
  next: PagePosition | undefined;
  /** Whether an entity had to be given without all of its observations: alone it is longer than an answer. */
  isCut: boolean;
}

export const lengthOf = (...texts: string[]) => texts.reduce((sum, text) => sum + text.length, 0);

/** The source for entities found by other means than their order. */
export function* listed(graph: GraphStore, ids: readonly number[], start: number) {
  for (const [index, id] of ids.slice(start).entries()) {
    const row = graph.byId(id);
    if (row) yield [row, start + index + 1] as const;
  }
}

export function graphPage(
  graph: GraphStore,
  source: EntitySource,
  linksOf: LinkSource,
  [start, given, firstIndex, firstRelation]: PagePosition,
  limits: PageLimits,
): GraphPage {
  const characters = limits.characters ?? maxAnswerLength;
  const { entities, ids, next, isCut, ...page } = entitiesOf(graph, source(start), given, {
    ...limits,
    characters,
  });
  const isHere = new Set(ids);
  const links: LinkRow[] = [];
  let { used } = page;
  let seen = 0;
  const cut = (index: number, relation: number): GraphPage => ({
    entities,
    relations: inOrder(links),
    next: [start, ids.length, index, relation],
    isCut,
  });
  for (const [index, id] of ids.entries()) {
    if (index < firstIndex) continue;
    let relation = index === firstIndex ? firstRelation : 0;
    for (const link of linksOf(id, relation)) {
      if (seen === maxLinksPerTurn) return cut(index, relation);
      seen += 1;
      // One between two entities of the page is given with the one that it starts from.
      if (link.from_id === id || !isHere.has(link.from_id)) {
        used += lengthOf(link.from, link.to, link.relationType);
        // Every page must bring something, or the cursor would stand still.
        const brings = entities.length + links.length > 0;
        if (brings && (used > characters || links.length === maxRelationsPerAnswer)) {
          return cut(index, relation);
        }
        links.push(link);
      }
      relation = link.id;
    }
  }
  return {
    entities,
    relations: inOrder(links),
    next: next === undefined ? undefined : [next, 0, 0, 0],
    isCut,
  };
}

const inOrder = (links: readonly LinkRow[]): Relation[] =>
  links
    .toSorted((one, other) => one.id - other.id)
    .map(({ from, to, relationType }) => ({ from, to, relationType }));

/** The entities of a page; the first `given` were in an earlier answer and only count for their relations. */
function entitiesOf(
  graph: GraphStore,
  rows: ReturnType<EntitySource>,
  given: number,
  limits: PageLimits & { readonly characters: number },
) {
  const entities: PartialEntity[] = [];
  const ids: number[] = [];
  let used = 0;
  let next: number | undefined;
  let isCut = false;
  for (const [row, position] of rows) {
    if (ids.length === (given || limits.limit)) return { entities, ids, used, next, isCut };
    if (!given) {
      const entity = entityWithin(graph, row, limits, limits.characters - used);
      if (entity.cutShort && entities.length > 0) return { entities, ids, used, next, isCut };
      isCut = entity.cutShort;
      entities.push(entity.value);
      used += entity.length;
    }
    ids.push(row.entity_id);
    next = position;
  }
  return { entities, ids, used, next: undefined, isCut };
}

export function entityWithin(graph: GraphStore, row: Rows['entity'], limits: PageLimits, characters: number) {
  const { observationLimit = Infinity, observationOffset = 0 } = limits;
  const value: PartialEntity = { name: row.name, entityType: row.type, observations: [] };
  let length = lengthOf(row.name, row.type);
  let cutShort = length > characters;
  if (observationLimit > 0) {
    for (const { text } of graph.observations(row.entity_id, observationOffset)) {
      if (value.observations.length === observationLimit) break;
      if (length + text.length > characters) {
        cutShort = true;
        break;
      }
      value.observations.push(text);
      length += text.length;
    }
  }
  const total = graph.observationCount(row.entity_id);
  if (value.observations.length < total) value.observationsTotal = total;
  return { value, length, cutShort };
}
